"""Splices: a later version of a document, written as copies from an earlier one and the text in between, byte for byte.

They are a JSON array of texts and whole numbers. A position in the earlier version begins at 0:

- A text is new, and the position moves on by the length of the text in UTF-8.
- The first number after the beginning or after a text is a length: that many bytes are copied from the position, which
  moves on behind them.
- A number after a length is a distance, by which the position moves, backwards if it is negative; the next number is a
  length again.

``[7,"43",12]`` replaces two bytes in the middle. ``[7,"43",0,-2,12]`` inserts them.

Rule: a copy never begins or ends inside a UTF-8 sequence, so that each text is one.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from livefeed.document.exact_json import DeltaError, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIN_ROW_BYTES, MAX_ROW_BYTES = 64, 1024
"""The mean size in bytes of the rows into which a document is divided to find those that are equal or moved."""

MAX_ROWS = 32_768
"""The largest number of rows: 2 MB of the shortest. The rest of the document is one more."""

MAX_STEPS = 32_768
"""The largest number of searches for the next copy, and of words in them. The rest is sent as text.

A step takes 3 to 5 µs. 1 MB of rows of which all have changed in one number takes 15,000 steps.
"""

MAX_PLACES = 32_768
"""The largest number of places of the old version that can be found from anywhere: they take 5 MB for a moment."""

SMALL_BYTES = 32_768
"""The size in bytes of the largest old version of which all places can be found, in 1 ms.

Of larger ones, only the rows count that the new version does not have. An insertion that resembles its neighbours, such
as the goals of a match, is a tenth smaller if all places count.
"""

NEAR_BYTES, FAR_BYTES = 8, 24
"""The number of equal bytes by which a place is found: close to the end of the last copy, and anywhere.

With 12 bytes instead of 24, a ranking with percent-encoded names is 7 % larger.
"""

SURE_BYTES, BETTER_BYTES = 32, 12
"""A copy from close by is taken without looking for a longer one from elsewhere if it has that many bytes; a copy from
elsewhere must be that many bytes longer, since its distance is a number of its own."""

NEAR_WORDS = 8
"""The number of words after the last copy in the old version of which one may be next."""

MAX_NUMBER = 2**53 - 1
"""The largest whole number that JavaScript reads exactly."""

_BLOCK = 64
"""The number of bytes that are compared in one integer, which takes 0.3 µs."""

_MAX_BLOCK = 65_536

_ROW_ENDS = (b"},", b"\n", b"],", b'",', b",", b" ", b"0,", b"00", b"e", b"0")
"""The ends of rows, the best first. The last ones divide long lists of numbers, and text without structure."""

_SAMPLE_BYTES = 65_536

_LETTERS = re.compile(rb"[\w.+%\x80-\xff-]*")

# The end of a word and of the punctuation that follows it. Bytes above 0x7F are letters of any language.
_WORD = re.compile(rb"[\w.+%\x80-\xff-]{0,48}[^\w.+%\x80-\xff-]{1,16}|[\w.+%\x80-\xff-]{1,48}")


def make_splices(old: bytes, new: bytes, is_late: Callable[[], bool] | None = None) -> bytes:
    """Gives the splices from one version of a document to another.

    :param new: valid UTF-8, as the gate demands.
    :param is_late: tells whether the time is over; the rest of the new version is sent as text then.
    :returns: compact JSON. Documents that have nothing in common give the whole new version as one text.
    :raises DeltaError: if a text is not UTF-8.
    """
    search = _Search(old, new, is_late or (lambda: False))
    search.run()
    try:
        return encode([*_written(new, search.copies)])
    except UnicodeDecodeError as error:
        raise DeltaError(f"the document is not UTF-8: {error}") from None


def make_verified_splices(old: bytes, new: bytes, is_late: Callable[[], bool] | None = None) -> bytes:
    """Gives splices like :func:`make_splices`, after they have made the new version here.

    A client that is sent splices of another document can only ask for the whole, and would do so at each version. To
    apply them takes 0.7 ms where 1.2 MB took 17 ms to make, and 0.03 after 1.2 ms for 68 KB.
    """
    splices = make_splices(old, new, is_late)
    try:
        is_right = apply_splices(old, msgspec.json.decode(splices), len(new)) == new
    except DeltaError:
        is_right = False
    if is_right:
        return splices
    # Twisted writes warnings to the log, and Python repeats none: this module is free of Twisted.
    text = "splices were wrong, and clients are sent the document instead: this is a defect of livefeed"
    warnings.warn(text, RuntimeWarning, stacklevel=2)
    return encode([new.decode()])


def apply_splices(old: bytes, splices: object, max_bytes: int) -> bytes:
    """Gives the version that splices make of an earlier one.

    The caller compares the hash of the result with the version: splices of another document may go unnoticed here.

    :param splices: the array, parsed.
    :param max_bytes: the largest size of the result. Splices of a few bytes can ask for many times the old version.
    :raises DeltaError: if the splices are malformed, copy from outside of *old*, or make more than *max_bytes*.
    """
    if not isinstance(splices, list):
        raise DeltaError("the splices are not an array")
    parts: list[bytes] = []
    at = size = 0
    is_length = True
    for number, splice in enumerate(splices):
        if isinstance(splice, str):
            try:
                part = splice.encode()
            except UnicodeEncodeError:
                raise DeltaError(f"splice {number}: the text has half of a surrogate pair") from None
            at, is_length = at + len(part), True
        elif type(splice) is not int or abs(splice) > MAX_NUMBER:  # the type of True is bool
            raise DeltaError(f"splice {number} is neither a text nor a whole number of less than 54 bits")
        elif not is_length:
            at, is_length = at + splice, True
            continue
        else:
            if splice < 0 or (splice and not 0 <= at <= len(old) - splice):
                raise DeltaError(f"splice {number}: there are no {splice} bytes at {at} in a document of {len(old)}")
            part = old[at : at + splice]
            at, is_length = at + splice, False
        size += len(part)
        if size > max_bytes:
            raise DeltaError(f"splice {number}: the document becomes larger than {max_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


class _Copy(NamedTuple):
    """``new[new:new + size]`` is ``old[old:old + size]``."""

    old: int
    new: int
    size: int


def _written(new: bytes, copies: list[_Copy]) -> Iterator[str | int]:
    """Gives the elements of the array."""
    at = position = 0
    is_length = True
    for copy in copies:
        start, end = copy.new, copy.new + copy.size
        # No more than three bytes each: the rest of a sequence that begins in the text before the copy, or ends behind.
        while start < end and _continues(new, start):
            start += 1
        while start < end and _continues(new, end):
            end -= 1
        if start == end:
            continue
        if at < start:
            yield new[at:start].decode()
            position += start - at
            is_length = True
        distance = copy.old + start - copy.new - position
        if distance or not is_length:
            if is_length:
                yield 0
            yield distance
        yield end - start
        at, position, is_length = end, position + distance + end - start, False
    if at < len(new):
        yield new[at:].decode()


def _continues(data: bytes, at: int) -> bool:
    """Tells whether a UTF-8 sequence continues at an offset."""
    return at < len(data) and data[at] & 0xC0 == 0x80  # noqa: PLR2004 - 10xxxxxx


def _equal_after(old: bytes, at: int, new: bytes, new_at: int, limit: int) -> int:
    """Gives the number of equal bytes after two offsets, up to a limit.

    Blocks are compared at the speed of memory, and only the last 64 bytes in an integer: it takes 1 to 3 µs.
    """
    size, block = 0, _BLOCK
    while size < limit:
        block = min(block, limit - size)
        if old[at + size : at + size + block] == new[new_at + size : new_at + size + block]:
            size += block
            block = min(4 * block, _MAX_BLOCK)
            continue
        while block > _BLOCK:
            half = block >> 1
            if old[at + size : at + size + half] == new[new_at + size : new_at + size + half]:
                size, block = size + half, block - half
            else:
                block = half
        ours = int.from_bytes(old[at + size : at + size + block], "little")
        difference = ours ^ int.from_bytes(new[new_at + size : new_at + size + block], "little")
        return size + _zero_bytes(difference)
    return size


def _equal_before(old: bytes, at: int, new: bytes, new_at: int, limit: int) -> int:
    """Gives the number of equal bytes before two offsets, up to a limit."""
    size, block = 0, _BLOCK
    while size < limit:
        block = min(block, limit - size)
        if old[at - size - block : at - size] == new[new_at - size - block : new_at - size]:
            size += block
            block = min(4 * block, _MAX_BLOCK)
            continue
        while block > _BLOCK:
            half = block >> 1
            if old[at - size - half : at - size] == new[new_at - size - half : new_at - size]:
                size, block = size + half, block - half
            else:
                block = half
        ours = int.from_bytes(old[at - size - block : at - size], "big")
        difference = ours ^ int.from_bytes(new[new_at - size - block : new_at - size], "big")
        return size + _zero_bytes(difference)
    return size


def _zero_bytes(number: int) -> int:
    """Gives the number of zero bytes at the lower end of a number that is not 0."""
    return ((number & -number).bit_length() - 1) >> 3


@dataclass(frozen=True, slots=True)
class _Rows:
    """A stretch of a document, divided behind each occurrence of a row's end.

    :ivar rows: the bytes of each row without its end.
    """

    rows: list[bytes]
    _offsets: list[int]
    _width: int
    _end: int

    @classmethod
    def of(cls, data: bytes, start: int, end: int, row_end: bytes) -> _Rows:
        rows = data[start:end].split(row_end, MAX_ROWS)
        return cls(rows, [*accumulate(map(len, rows), initial=start)], len(row_end), end)

    def start(self, index: int) -> int:
        """Gives the offset of a row in the document; of the row after the last one, the end of the stretch."""
        return min(self._offsets[index] + index * self._width, self._end)


class _Run(NamedTuple):
    """Rows that are equal in both versions, by the indices of the first."""

    old: int
    new: int
    size: int


def _row_end(sample: bytes) -> bytes | None:
    """Gives the text that ends the rows of a document; ``None`` if none divides it well."""
    for end in _ROW_ENDS:
        count = sample.count(end)
        if count * MIN_ROW_BYTES <= len(sample) < count * MAX_ROW_BYTES:
            return end
    return None


def _equal_rows(old: list[bytes], at: int, new: list[bytes], new_at: int) -> int:
    """Gives the number of equal rows after two indices, at which the rows are equal."""
    count, step = 1, 1
    limit = min(len(old) - at, len(new) - new_at)
    while count < limit:
        step = min(step, limit - count)
        if old[at + count : at + count + step] == new[new_at + count : new_at + count + step]:
            count += step
            step *= 2
        elif step == 1:
            break
        else:
            step >>= 1
    return count


def _runs(old: list[bytes], new: list[bytes]) -> Iterator[_Run]:
    """Gives the runs of equal rows, in the order of the new version."""
    places: dict[bytes, int] | None = None
    at = new_at = 0
    while new_at < len(new):
        row = new[new_at]
        here: int | None = at
        if at >= len(old) or old[at] != row:
            here = None
            # A row that changed in its place is followed by equal ones. To look up all rows would take 3 ms per MB.
            if not any(
                old[at + ahead : at + ahead + 1] == new[new_at + ahead : new_at + ahead + 1] for ahead in (1, 2)
            ):
                if places is None:
                    places = dict(zip(old, range(len(old)), strict=True))
                here = places.get(row)
        if here is None:
            at, new_at = at + 1, new_at + 1
            continue
        count = _equal_rows(old, here, new, new_at)
        # A short row is found better together with its neighbours, unless it is where it was.
        if here == at or sum(map(len, new[new_at : new_at + count])) >= FAR_BYTES:
            yield _Run(here, new_at, count)
            at = here
        at, new_at = at + count, new_at + count


@dataclass(slots=True)
class _Search:
    """The search for copies.

    First come the equal ends of both versions. The rest is divided into rows, and equal rows are copied. Between them,
    the search goes from word to word: the words after the last copy, and places in all rows of the old version that the
    new one does not have, are found in dictionaries.
    """

    # required parameters
    old: bytes
    new: bytes
    is_late: Callable[[], bool]

    # internal state
    copies: list[_Copy] = field(default_factory=list)
    _at: int = 0  # the end of the last copy in the old version
    _new_at: int = 0  # and in the new one
    _sure_bytes: int = SURE_BYTES
    _left_steps: int = field(default_factory=lambda: MAX_STEPS)
    _unmatched: list[tuple[int, int]] = field(default_factory=list)  # stretches of the old version
    _places: dict[bytes, int] | None = None

    def run(self) -> None:
        """Finds the copies, in the order of the new version."""
        old_size, new_size = len(self.old), len(self.new)
        self._extend(new_size)
        limit = min(old_size, new_size) - self._new_at
        tail = _equal_before(self.old, old_size, self.new, new_size, limit)
        if self._new_at < new_size - tail:
            self._divide(old_size - tail, new_size - tail)
        if tail:
            self._copy(old_size - tail, new_size - tail, tail)

    def _copy(self, at: int, new_at: int, size: int) -> None:
        last = self.copies[-1] if self.copies else _Copy(0, 0, 0)
        if last.new + last.size == new_at and last.old + last.size == at and self.copies:
            self.copies[-1] = _Copy(last.old, last.new, last.size + size)
        else:
            self.copies.append(_Copy(at, new_at, size))
        self._at, self._new_at = at + size, new_at + size

    def _extend(self, new_end: int) -> None:
        """Copies the bytes that follow the last copy in both versions."""
        limit = min(len(self.old) - self._at, new_end - self._new_at)
        size = _equal_after(self.old, self._at, self.new, self._new_at, limit)
        if size:
            self._copy(self._at, self._new_at, size)

    def _divide(self, end: int, new_end: int) -> None:
        """Finds equal rows from the last copy to the given ends of both versions, and all copies between them."""
        row_end = _row_end(self.old[self._at : min(end, self._at + _SAMPLE_BYTES)])
        if row_end is None:
            self._unmatched = [(self._at, end)]
            self._fill(new_end)
            return
        old = _Rows.of(self.old, self._at, end, row_end)
        new = _Rows.of(self.new, self._new_at, new_end, row_end)
        runs = [*_runs(old.rows, new.rows)]
        self._unmatched = [*_unmatched(old, runs)]
        for run in runs:
            if self.is_late():
                return
            at, new_at = old.start(run.old), new.start(run.new)
            size = min(old.start(run.old + run.size) - at, new.start(run.new + run.size) - new_at)
            before = _equal_before(self.old, at, self.new, new_at, min(at, new_at - self._new_at))
            if self._new_at < new_at - before:
                self._fill(new_at - before, before)
            self._copy(at - before, new_at - before, size + before)
        self._fill(new_end)

    def _fill(self, new_end: int, after: int = 0) -> None:
        """Finds copies by words, up to an offset in the new version.

        :param after: the number of bytes there that are equal in both versions and belong to the same row.
        """
        start = self._new_at
        self._extend(new_end)
        # A row of which more than half is equal at its ends was changed in its place.
        in_place = 2 * (self._new_at - start + after) > new_end - start + after
        self._sure_bytes = NEAR_BYTES if in_place else SURE_BYTES
        while self._new_at < new_end and self._left_steps > 0 and not self.is_late():
            self._left_steps -= 1
            if not self._find_next(new_end):
                return

    def _find_next(self, new_end: int) -> bool:
        """Copies the next stretch; ``False`` if none is found before an offset in the new version."""
        old, new = self.old, self.new
        if new_end - self._new_at < NEAR_BYTES:
            return False
        # Most often, one word has been replaced by another one.
        at, new_at = _letters_end(old, self._at), _letters_end(new, self._new_at)
        if new_at >= new_end and self._sure_bytes == NEAR_BYTES:
            return False
        if old[at : at + NEAR_BYTES] == new[new_at : new_at + NEAR_BYTES]:
            size = _equal_after(old, at, new, new_at, min(len(old) - at, new_end - new_at))
            if size >= self._sure_bytes or new_at + size == new_end:
                self._copy_from_middle(at, new_at, size)
                return True
        near = self._near()
        new_at = self._new_at
        while new_at < new_end and self._left_steps > 0:
            self._left_steps -= 1
            at, size = self._best(near, new_at, new_end)
            if size:
                self._copy_from_middle(at, new_at, size)
                return True
            new_at = _word_end(new, new_at)
        return False

    def _copy_from_middle(self, at: int, new_at: int, size: int) -> None:
        before = _equal_before(self.old, at, self.new, new_at, min(at, new_at - self._new_at))
        self._copy(at - before, new_at - before, size + before)

    def _near(self) -> dict[bytes, int]:
        """Gives the places of the next words in the old version."""
        ends = [self._at]
        while len(ends) < NEAR_WORDS and ends[-1] < len(self.old):
            ends.append(_word_end(self.old, ends[-1]))
        return {self.old[end : end + NEAR_BYTES]: end for end in reversed(ends)}

    def _best(self, near: dict[bytes, int], new_at: int, new_end: int) -> tuple[int, int]:
        """Gives the place and the size of the best copy to an offset in the new version; the size is 0 if none is."""
        old, new = self.old, self.new
        left, size = new_end - new_at, 0
        at = near.get(new[new_at : new_at + NEAR_BYTES])
        if at is not None:
            size = _equal_after(old, at, new, new_at, min(len(old) - at, left))
            if size < min(NEAR_BYTES, left):
                size = 0
        if size < self._sure_bytes:
            if self._places is None:
                self._places = self._find_places()
            far = self._places.get(new[new_at : new_at + FAR_BYTES])
            if far is not None and far != at:
                far_size = _equal_after(old, far, new, new_at, min(len(old) - far, left))
                if far_size > size + BETTER_BYTES:
                    return far, far_size
        return at or 0, size

    def _find_places(self) -> dict[bytes, int]:
        """Gives the places of words in the old version, by the bytes that follow."""
        old = self.old
        stretches = [(0, len(old))] if len(old) <= SMALL_BYTES else self._unmatched
        words = (word for start, end in stretches for word in _WORD.finditer(old, start, end))
        ends = [start for start, _ in stretches[:MAX_PLACES]]
        ends += [word.end() for word in islice(words, MAX_PLACES)]
        # The first of several equal places is the last that is stored.
        ends.sort(reverse=True)
        return {old[end : end + FAR_BYTES]: end for end in ends}


def _letters_end(data: bytes, at: int) -> int:
    letters = _LETTERS.match(data, at, at + _BLOCK)
    return letters.end() if letters else len(data)


def _word_end(data: bytes, at: int) -> int:
    word = _WORD.match(data, at)
    return word.end() if word else len(data)


def _unmatched(old: _Rows, runs: list[_Run]) -> Iterator[tuple[int, int]]:
    """Gives the stretches of the old version that no run contains."""
    used = bytearray(len(old.rows))
    for run in runs:
        used[run.old : run.old + run.size] = b"\x01" * run.size
    start = used.find(0)
    while start >= 0:
        end = used.find(1, start)
        end = len(used) if end < 0 else end
        yield old.start(start), old.start(end)
        start = used.find(0, end)
