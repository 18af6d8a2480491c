"""A recording as a file: what is in it, its versions from any time on, and whether it is whole.

Rules: a document is given only if every record from the beginning of the file to it is the one that was written there.
A file that a newer livefeed has written in another format is not read. Calls may block.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from livefeed.document.recording import FORMAT, MAX_DOCUMENT_BYTES, WHOLE_EVERY, Place, TooLargeError
from livefeed.document.stored_version import DamagedRecordError, NewerFormatError
from livefeed.exceptions import RecordingError, newer_format
from livefeed.storage.record_file import Cursor, Ending, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from livefeed.document.recording import Head
    from livefeed.storage.record_file import Entry

_KINDS = {Ending.OPEN: "it has no end", Ending.TORN: "its last record is incomplete"}


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in front of a whole document, from which a file can be read.

    :ivar offset: in bytes from the beginning of the file.
    :ivar place: the same place as the next record needs it.
    :ivar elapsed_s: seconds from the beginning of the recording to the record behind the place.
    """

    offset: int
    place: Place
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a recording, as the lines of its records tell them.

    :ivar beginning: the head of its first record.
    :ivar versions: the number of its versions.
    :ivar states: the number of its changes of state.
    :ivar length_s: seconds from its beginning to its last record.
    :ivar ending: how it ends.
    :ivar bytes: the size of everything that is whole.
    :ivar chain: the last hash, which stands for the whole recording.
    :ivar document_bytes: the size of all documents together.
    :ivar marks: the places from which it can be read, in their order.
    """

    beginning: Head
    versions: int
    states: int
    length_s: float
    ending: Ending
    bytes: int
    chain: str
    document_bytes: int
    marks: list[Mark] = field(repr=False)

    @property
    def why_not_complete(self) -> str:
        """The reason why it is not complete; empty if it is."""
        return _KINDS.get(self.ending, "")

    def before(self, elapsed_s: float) -> Mark:
        """Gives the last mark before a time, or at it, in seconds from the beginning."""
        marks, low, high = self.marks, 0, len(self.marks)
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (middle, high) if marks[middle].elapsed_s <= elapsed_s else (low, middle)
        return marks[low]


@dataclass(eq=False)
class Recording:
    """A recording that is open for reading. It may be written at the same time.

    :ivar path: the file.
    :ivar max_bytes: the size in bytes of the largest document that is read.
    """

    # required parameters
    path: Path
    max_bytes: int = MAX_DOCUMENT_BYTES

    # internal state
    _cursor: Cursor = field(init=False)

    def __post_init__(self) -> None:
        try:
            self._cursor = Cursor(open_regular(self.path), self.max_bytes)
        except OSError as error:
            raise RecordingError(f"{self.path}: {error.strerror or error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._cursor.file.close()

    @property
    def ending(self) -> Ending | None:
        """How the file ends; ``None`` while its end was not reached."""
        return self._cursor.ending

    @property
    def position(self) -> tuple[int, Place]:
        """The place behind the last entry: in bytes from the beginning of the file, and as the next record needs it."""
        return self._cursor.offset, self._cursor.place

    def move_to(self, mark: Mark) -> None:
        """Has the next entry be the one behind a mark."""
        self._cursor.offset, self._cursor.place, self._cursor.ending = mark.offset, mark.place, None

    def rewind(self) -> None:
        """Has the next entry be the first one."""
        self.move_to(Mark(0, Place()))

    def next(self, *, passes_over: bool = False) -> Entry | None:
        """Reads the next record.

        :param passes_over: whether its document is left unread.
        :returns: the record; ``None`` at the end, where later calls may find more if the file is being written.
        :raises RecordingError: if the file is damaged there or cannot be read.
        """
        with self._described():
            return self._cursor.next(passes_over=passes_over, refuses_large=not passes_over)

    def entries(self) -> Iterator[Entry]:
        """Reads all records from the place on.

        :raises RecordingError: like :meth:`next`.
        """
        while (entry := self.next()) is not None:
            yield entry

    def scan(self) -> Contents:
        """Reads the lines of all records, without the documents, and moves to the beginning.

        86,400 records, those of a day, take about a second.

        :raises RecordingError: like :meth:`next`, or if the file is empty.
        """
        self.rewind()
        beginning: Head | None = None
        states = document_bytes = 0
        marks: list[Mark] = []
        cursor = self._cursor
        while True:
            offset, place = cursor.offset, cursor.place
            entry = self.next(passes_over=True)
            if entry is None:
                break
            head = entry.head
            beginning = beginning or head
            states += head.kind == "state"
            document_bytes += head.size or head.bytes
            if head.kind == "whole" and (not marks or place.versions >= marks[-1].place.versions + WHOLE_EVERY - 1):
                marks.append(Mark(offset, place, entry.elapsed_s))
        if beginning is None:
            raise RecordingError(f"{self.path}: is empty, or its first record is incomplete", 0)
        place = cursor.place
        contents = Contents(
            beginning,
            place.versions,
            states,
            place.elapsed_s,
            cursor.ending or Ending.OPEN,
            cursor.offset,
            place.chain.decode(),
            document_bytes,
            marks,
        )
        self.rewind()
        return contents

    def move_near(self, contents: Contents, elapsed_s: float) -> None:
        """Has the next entries be those from a whole document before a time on.

        :param contents: the result of :meth:`scan`.
        :param elapsed_s: seconds from the beginning of the recording.
        """
        if contents.marks:
            self.move_to(contents.before(elapsed_s))
        else:
            self.rewind()

    def move_near_version(self, contents: Contents, number: int) -> None:
        """Has the next entries be those from a whole document before a version on; see :meth:`move_near`.

        :param number: the number of the version in the recording, from 1.
        """
        before = [mark for mark in contents.marks if mark.place.versions < number]
        if before:
            self.move_to(before[-1])
        else:
            self.rewind()

    @contextmanager
    def _described(self) -> Iterator[None]:
        """Gives errors the text that an operator needs."""
        cursor = self._cursor
        try:
            yield
        except NewerFormatError as error:
            remedy = "read it with that one"
            raise RecordingError(newer_format(self.path, error.format, FORMAT, remedy)) from None
        except TooLargeError as error:
            why = f"version {cursor.place.versions + 1} has {error.size} bytes, and {cursor.max_bytes} are allowed"
            raise RecordingError(f"{self.path}: {why}") from None
        except DamagedRecordError:
            if not cursor.offset:
                why = "is no recording, or its first record is damaged"
                raise RecordingError(f"{self.path}: {why}", 0) from None
            why = (
                f"is damaged in the record at byte {cursor.offset}, {cursor.place.elapsed_s:.0f} s from its beginning; "
                f"the {cursor.place.versions} versions before are whole"
            )
            raise RecordingError(f"{self.path}: {why}", cursor.offset) from None
        except OSError as error:
            raise RecordingError(f"{self.path}: cannot be read: {error.strerror or error}") from None
