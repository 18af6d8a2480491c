"""The last versions of a document, and the patches from them to the newest one.

Rule: a patch is made when it is first asked for, once, whoever asks and over whatever transport.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from time import thread_time
from typing import TYPE_CHECKING, Any

from livefeed.document.codings import compress_in
from livefeed.document.diff import diff
from livefeed.document.exact_json import Document, parse, parse_in_pieces
from livefeed.document.snapshot import IDENTITY, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from livefeed.document.snapshot import Snapshot

VERSIONS = 60
"""A minute at one version a second: longer than a phone is in a tunnel."""

MAX_BYTES = 8 * 1024 * 1024
"""All versions together, the newest aside: 60 of 140 KB."""

MAX_DOCUMENT_BYTES = 1024 * 1024
"""By default, there are no patches of larger documents."""

AT_ONCE_BYTES = 65_536
"""Of documents up to this size a patch takes 1 to 5 ms, mostly, and is made when asked for; others in a thread."""

AT_ONCE_S, ALL_AT_ONCE_S = 0.01, 0.05
"""So long the reactor's thread compares two documents, and all that become one version, those of parts included.

What takes longer is left to a thread. The worst of 64 KiB, 3,000 objects that are shuffled and changed, take 150 ms.
"""

MAX_DIFF_S = 0.2
"""So long two documents are compared in a thread: what takes longer is worth no patch."""

MAX_PATCHES = 16
MAX_READ_BYTES = 1024 * 1024
"""So many patches are made to one version, from versions of so many bytes together, those of parts included; whoever
would need another is sent the document. 100 KB take about 5 ms where a little has changed, and 25 where all has."""

WORTH_IT = 0.6
"""A patch that is not smaller than this part of the document, compressed alike, is not sent."""


def make_in_thread(old: bytes, new: bytes) -> bytes:
    """Makes a patch, in a thread."""
    end = thread_time() + MAX_DIFF_S
    return diff(parse_in_pieces(old), parse_in_pieces(new), lambda: thread_time() > end)


@dataclass(slots=True, eq=False)
class Allowance:
    """What may still be read for patches until the document changes: of the whole, and of its parts."""

    left_bytes: int = MAX_READ_BYTES
    left_s: float = ALL_AT_ONCE_S


@dataclass(slots=True, eq=False)
class _Deadline:
    """Tells whether it is over, and whether anybody was told so."""

    # required parameters
    timer: Callable[[], float]
    at_s: float

    # internal state
    passed: bool = False

    def __call__(self) -> bool:
        """Tells whether it is over."""
        self.passed = self.passed or self.timer() > self.at_s
        return self.passed


@dataclass(slots=True, eq=False)
class History:
    """The last versions of a feed's document.

    :param whole: the history of the whole document, if this is that of a part.
    :param max_document_bytes: there are no patches of larger documents. A part has its whole's limit.
    :param in_thread: calls a function in a thread, and gives a Deferred; ``None`` to make all patches at once. A part
        has its whole's.
    :param timer: gives the time that this thread has taken, in seconds.
    :ivar made: how many patches were made since the start.
    :ivar allowance: what may still be read.
    """

    # required parameters
    whole: History | None = None
    max_document_bytes: int = MAX_DOCUMENT_BYTES
    in_thread: Callable[..., Any] | None = None
    timer: Callable[[], float] = thread_time

    # internal state
    made: int = 0
    _versions: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _too_old: str | None = None
    allowance: Allowance = field(init=False)
    _newest: Snapshot | None = None
    _parsed: dict[str, Document] = field(default_factory=dict)
    _wanted: bool = False  # whether a patch of the newest version was asked for
    _prepared: tuple[str, str, bytes] | None = None
    _is_making: bool = False
    _patches: dict[str, bytes | None] = field(default_factory=dict)
    _coded: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.allowance = Allowance() if self.whole is None else self.whole.allowance
        if self.whole is not None:
            self.max_document_bytes = self.whole.max_document_bytes
            self.in_thread = self.whole.in_thread
            self.timer = self.whole.timer

    def add(self, snapshot: Snapshot) -> None:
        """Takes the newest version, and forgets what is too old."""
        newest, self._newest = self._newest, snapshot
        self._patches.clear()
        self._coded.clear()
        self._too_old = None
        if self.whole is None:
            self.allowance.left_bytes = MAX_READ_BYTES
            self.allowance.left_s = ALL_AT_ONCE_S
        # Of what was parsed, only the version before is likely to be asked for again.
        before = None if newest is None else self._parsed.get(newest.version)
        self._parsed.clear()
        self._wanted = False
        if self._prepared is not None and newest is not None:
            old, new, patch = self._prepared
            if (old, new) == (newest.version, snapshot.version):
                self._patches[old] = patch
                self.made += 1
        self._prepared = None
        if newest is not None:
            self._keep(newest.version, newest.data)
            if before is not None:
                self._parsed[newest.version] = before
        # It may have been there before, and be the newest once more.
        self._forget(snapshot.version)

    def recall(self, data: bytes) -> None:
        """Takes a version from before a restart, older than the next one that is taken, and than the newest."""
        version = version_of(data)
        self._forget(version)
        self._keep(version, data)

    def _forget(self, version: str) -> None:
        self._bytes -= len(self._versions.pop(version, b""))

    def _keep(self, version: str, data: bytes) -> None:
        # The document alone: its codings and frames would be several times as much.
        self._versions[version] = data
        self._bytes += len(data)
        while len(self._versions) > VERSIONS or self._bytes > MAX_BYTES:
            _, oldest = self._versions.popitem(last=False)
            self._bytes -= len(oldest)

    def latest(self, versions: Collection[str]) -> str | None:
        """Gives the latest of some versions, from which the patch is made sooner than from any other.

        :returns: ``None`` if none of them is remembered, the newest aside.
        """
        return next((version for version in reversed(self._versions) if version in versions), None)

    def patch(self, version: str | None) -> bytes | None:
        """Gives the patch from a version to the newest one (RFC 6902).

        :returns: ``None`` if the version is not remembered, or is the newest, or if enough patches were made already.
        """
        if version is None or self._newest is None:
            return None
        self._wanted = self._wanted or version in self._versions
        if version not in self._patches:
            old = self._versions.get(version)
            size = 0 if old is None else max(len(old), len(self._newest.data))
            if old is None or size > self.max_document_bytes:
                return None
            if self._is_too_old(version) or len(self._patches) >= MAX_PATCHES or self.allowance.left_bytes < 0:
                return None
            self.allowance.left_bytes -= len(old)
            patch = None
            if self.in_thread is None or (size <= AT_ONCE_BYTES and self.allowance.left_s > 0):
                patch = self._make_at_once(version, old, self._newest)
            if patch is None:
                self._order(version, old, self._newest)
                return None
            self._patches[version] = patch
            self.made += 1
            if len(self._patches[version] or b"") > WORTH_IT * len(self._newest.data):
                self._too_old = version
        return self._patches[version]

    def _make_at_once(self, version: str, old: bytes, newest: Snapshot) -> bytes | None:
        """Makes a patch; ``None`` if that takes so long that a thread is to do it."""
        begun = self.timer()
        parsed = self._parsed[newest.version] = self._parse(newest.version, newest.data)
        is_late = None
        if self.in_thread is not None:
            is_late = _Deadline(self.timer, begun + min(AT_ONCE_S, self.allowance.left_s))
        patch = diff(self._parse(version, old), parsed, is_late)
        self.allowance.left_s -= self.timer() - begun
        return None if is_late is not None and is_late.passed else patch

    def preparation(self, data: bytes) -> Callable[[], bytes] | None:
        """Gives what makes the patch to a document that is to be the newest version, to be called in a thread.

        :returns: ``None`` if nobody has asked for a patch lately, or there is to be none.
        """
        newest = self._newest
        if newest is None or not self._wanted:
            return None
        if newest.data == data or max(len(newest.data), len(data)) > self.max_document_bytes:
            return None
        return partial(make_in_thread, newest.data, data)

    def prepare(self, snapshot: Snapshot, patch: bytes) -> None:
        """Takes the patch that was made from the newest version to the next."""
        if self._newest is not None:
            self._prepared = self._newest.version, snapshot.version, patch

    def _order(self, version: str, old: bytes, newest: Snapshot) -> None:
        """Has a patch made in a thread, one at a time. Until then the document is sent."""
        if self._is_making or self.in_thread is None:
            return

        def made(patch: bytes) -> None:
            self.made += 1
            if self._newest is newest:
                self._patches[version] = patch

        def done(result: object) -> object:
            self._is_making = False
            # An error is left in the Deferred, which logs it.
            return result

        self._is_making = True
        try:
            making = self.in_thread(make_in_thread, old, newest.data)
        except OSError:  # There is no thread.
            self._is_making = False
            return
        making.addCallback(made)
        making.addBoth(done)

    def coded_patch(self, version: str, coding: str) -> tuple[str, bytes]:
        """Gives the patch from a version, for which there is one, in a content coding, and the name of that.

        :param coding: one of :data:`.codings.CODINGS`; it is ``identity`` in the end where the patch is no
            smaller in it.
        """
        patch = self.patch(version)
        assert patch is not None
        if coding == IDENTITY:
            return IDENTITY, patch
        key = version, coding
        if key not in self._coded:
            self._coded[key] = compress_in(coding, patch)
        coded = self._coded[key]
        return (coding, coded) if len(coded) < len(patch) else (IDENTITY, patch)

    def _is_too_old(self, version: str) -> bool:
        """Tells whether from a later version there was no patch already that anybody would be sent."""
        if self._too_old is None:
            return False
        in_order = list(self._versions)
        return in_order.index(version) <= in_order.index(self._too_old)

    def _parse(self, version: str, data: bytes) -> Document:
        return self._parsed.get(version) or parse(data)
