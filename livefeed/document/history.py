"""The last versions of a document, and the patches from them to the newest one.

Rule: a patch is made once, when it is requested for the first time, for all clients and transports.
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
    from collections.abc import Callable, Collection, Iterable

    from livefeed.document.snapshot import Snapshot

VERSIONS = 60
"""The number of versions that are kept: a minute at one a second, longer than a phone is in a tunnel."""

MAX_BYTES = 8 * 1024 * 1024
"""The largest size of these versions together, in bytes: 60 of 140 KB."""

MAX_DOCUMENT_BYTES = 1024 * 1024
"""The size in bytes of the largest document of which patches are made, by default."""

AT_ONCE_BYTES = 65_536
"""The size in bytes of the largest document whose patches the reactor's thread makes, mostly in 1 to 5 ms."""

AT_ONCE_S, ALL_AT_ONCE_S = 0.01, 0.05
"""Seconds for which the reactor's thread may compare two documents; and make all patches to one version and its parts.

Patches that take longer are made in a thread. The worst documents of 64 KiB, 3,000 objects that are shuffled and
changed, take 150 ms.
"""

MAX_DIFF_S = 0.2
"""Seconds for which a thread may compare two documents. A patch that takes longer is not worth making."""

MAX_PATCHES = 16
"""The largest number of patches to one version. Clients that would need another one are sent the document."""

MAX_READ_BYTES = 1024 * 1024
"""The largest number of bytes of old versions that are compared with one version, including those of its parts.

100 KB take about 5 ms if a little has changed, and 25 ms if everything has.
"""

WORTH_IT = 0.6
"""A patch is sent if it is smaller than this fraction of the document, both in the same coding."""


def make_in_thread(old: bytes, new: bytes) -> bytes:
    """Makes a patch, in a thread."""
    end = thread_time() + MAX_DIFF_S
    return diff(parse_in_pieces(old), parse_in_pieces(new), lambda: thread_time() > end)


@dataclass(slots=True, eq=False)
class Allowance:
    """The work that may still be spent on patches until the document changes, for the whole and its parts together."""

    left_bytes: int = MAX_READ_BYTES
    left_s: float = ALL_AT_ONCE_S


@dataclass(slots=True, eq=False)
class _Deadline:
    """Tells whether a point in time has passed.

    :ivar passed: whether it has told so.
    """

    # required parameters
    timer: Callable[[], float]
    at_s: float

    # internal state
    passed: bool = False

    def __call__(self) -> bool:
        """Tells whether the point in time has passed."""
        self.passed = self.passed or self.timer() > self.at_s
        return self.passed


@dataclass(slots=True, eq=False)
class History:
    """The last versions of a feed's document.

    :param whole: the history of the whole document if this is the history of a part, which takes over all its limits.
    :param max_document_bytes: the size in bytes of the largest document of which patches are made.
    :param in_thread: calls a function in a thread, and gives a Deferred; ``None`` to make all patches immediately.
    :param timer: gives the processor time that this thread has taken, in seconds.
    :ivar made: the number of patches that were made since the start.
    :ivar ready: called when a patch is ready that was made in a thread.
    :ivar allowance: the work that may still be spent on patches.
    """

    # required parameters
    whole: History | None = None
    max_document_bytes: int = MAX_DOCUMENT_BYTES
    in_thread: Callable[..., Any] | None = None
    timer: Callable[[], float] = thread_time

    # internal state
    made: int = 0
    ready: Callable[[], object] | None = None
    _versions: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _too_old: str | None = None
    allowance: Allowance = field(init=False)
    _newest: Snapshot | None = None
    _parsed: dict[str, Document] = field(default_factory=dict)
    _wanted: bool = False  # whether a patch to the newest version was requested
    _prepared: tuple[str, str, bytes] | None = None
    _is_making: bool = False
    _patches: dict[str, bytes | None] = field(default_factory=dict)
    _coded: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.allowance = Allowance() if self.whole is None else self.whole.allowance
        if self.whole is not None:
            self.in_thread = self.whole.in_thread
            self.timer = self.whole.timer

    def add(self, snapshot: Snapshot) -> None:
        """Adds the newest version, and removes versions beyond the limits."""
        newest, self._newest = self._newest, snapshot
        self._patches.clear()
        self._coded.clear()
        self._too_old = None
        if self.whole is None:
            self.allowance.left_bytes = MAX_READ_BYTES
            self.allowance.left_s = ALL_AT_ONCE_S
        # Of the parsed documents, only the version before is likely to be needed again.
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
        # The document may have changed back to an earlier version.
        self._forget(snapshot.version)

    def recall(self, data: bytes) -> None:
        """Adds a version from before a restart. It must be older than all versions that are added later."""
        version = version_of(data)
        self._forget(version)
        self._keep(version, data)

    def recall_before(self, documents: Iterable[bytes]) -> None:
        """Adds versions from before all that are kept. Those that are kept already keep their place.

        :param documents: the oldest first.
        """
        kept, self._versions = self._versions, OrderedDict()
        self._bytes = 0
        newest = None if self._newest is None else self._newest.version
        for data in documents:
            version = version_of(data)
            if version != newest and version not in kept:
                self._forget(version)
                self._keep(version, data)
        for version, data in kept.items():
            self._keep(version, data)

    @property
    def _largest_bytes(self) -> int:
        """The size of the largest document of which patches are made now: it may be changed, for the whole."""
        return self.max_document_bytes if self.whole is None else self.whole.max_document_bytes

    def _forget(self, version: str) -> None:
        self._bytes -= len(self._versions.pop(version, b""))

    def _keep(self, version: str, data: bytes) -> None:
        # Only the document: its codings and frames would take several times the memory.
        self._versions[version] = data
        self._bytes += len(data)
        while len(self._versions) > VERSIONS or self._bytes > MAX_BYTES:
            _, oldest = self._versions.popitem(last=False)
            self._bytes -= len(oldest)

    def versions(self) -> list[str]:
        """Gives the versions that are kept, the oldest first, without the newest one of all."""
        return [*self._versions]

    def is_awaited(self, version: str) -> bool:
        """Tells whether the patch from a version may be ready later, because a thread is making one."""
        return self._is_making and version in self._versions

    def want(self) -> None:
        """Takes note that a patch to the newest version is used: the one to the next version will be, too."""
        self._wanted = True

    def latest(self, versions: Collection[str]) -> str | None:
        """Gives the latest of some versions: the patch from it is likely to be the smallest.

        :returns: ``None`` if none of them is kept. The newest version does not count.
        """
        return next((version for version in reversed(self._versions) if version in versions), None)

    def patch(self, version: str | None) -> bytes | None:
        """Gives the patch from a version to the newest one (RFC 6902).

        :returns: ``None`` if the version is not kept or is the newest, if the limits are reached, or if the patch is
            made in a thread and not ready yet.
        """
        if version is None or self._newest is None:
            return None
        self._wanted = self._wanted or version in self._versions
        if version not in self._patches:
            old = self._versions.get(version)
            size = 0 if old is None else max(len(old), len(self._newest.data))
            if old is None or size > self._largest_bytes:
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
        """Makes a patch in this thread; ``None`` if that takes too long, and another thread must do it."""
        begun = self.timer()
        parsed = self._parsed[newest.version] = self._parse(newest.version, newest.data)
        is_late = None
        if self.in_thread is not None:
            is_late = _Deadline(self.timer, begun + min(AT_ONCE_S, self.allowance.left_s))
        patch = diff(self._parse(version, old), parsed, is_late)
        self.allowance.left_s -= self.timer() - begun
        return None if is_late is not None and is_late.passed else patch

    def preparation(self, data: bytes) -> Callable[[], bytes] | None:
        """Gives a function that makes the patch to the next version, to be called in a thread.

        :param data: the document of the next version.
        :returns: ``None`` if no patch to the newest version was requested, or no patch is to be made.
        """
        newest = self._newest
        if newest is None or not self._wanted:
            return None
        if newest.data == data or max(len(newest.data), len(data)) > self._largest_bytes:
            return None
        return partial(make_in_thread, newest.data, data)

    def prepare(self, snapshot: Snapshot, patch: bytes) -> None:
        """Takes the patch from the newest version to the next one, before that is added.

        :param snapshot: the next version.
        """
        if self._newest is not None:
            self._prepared = self._newest.version, snapshot.version, patch

    def _order(self, version: str, old: bytes, newest: Snapshot) -> None:
        """Has a patch made in a thread, one at a time. Until it is ready, clients are sent the document."""
        if self._is_making or self.in_thread is None:
            return

        def made(patch: bytes) -> None:
            self.made += 1
            if self._newest is newest:
                self._patches[version] = patch

        def done(result: object) -> object:
            self._is_making = False
            if self.ready is not None:
                self.ready()
            # An error stays in the Deferred, which logs it.
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
        """Gives the patch from a version in a content coding. There must be such a patch.

        :param coding: one of :data:`.codings.CODINGS`, or ``identity``.
        :returns: the name of the coding, and the bytes. It is ``identity`` if the coding makes the patch no smaller.
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
        """Tells whether the patch from this version, or from a later one, was too large to be sent."""
        if self._too_old is None:
            return False
        in_order = list(self._versions)
        return in_order.index(version) <= in_order.index(self._too_old)

    def _parse(self, version: str, data: bytes) -> Document:
        return self._parsed.get(version) or parse(data)
