"""The last versions of a document, and the deltas from them to the newest one: patches and splices.

Rule: a delta is made once, when it is requested for the first time, for all clients and transports.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from time import thread_time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from livefeed.document.codings import compress_in
from livefeed.document.diff import diff
from livefeed.document.exact_json import Document, parse, parse_in_pieces
from livefeed.document.snapshot import IDENTITY, version_of
from livefeed.document.splices import make_verified_splices

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from livefeed.document.snapshot import Snapshot

    Deltas = Mapping["DeltaForm", bytes]
    """Deltas between the same two versions, by their forms."""


NO_DELTAS: Deltas = MappingProxyType({})


class DeltaForm(StrEnum):
    """The form of a delta."""

    PATCH = "patch"
    """RFC 6902. It gives the same JSON value, and not the same bytes."""
    SPLICES = "splices"
    """:mod:`livefeed.document.splices`. They give the same bytes."""


VERSIONS = 60
"""The number of versions that are kept: a minute at one a second, longer than a phone is in a tunnel."""

MAX_BYTES = 8 * 1024 * 1024
"""The largest size of these versions together, in bytes: 60 of 140 KB."""

MAX_DOCUMENT_BYTES = 1024 * 1024
"""The size in bytes of the largest document of which deltas are made, by default."""

AT_ONCE_BYTES = 65_536
"""The size in bytes of the largest document whose deltas the reactor's thread makes, mostly in 1 to 5 ms."""

AT_ONCE_S, ALL_AT_ONCE_S = 0.01, 0.05
"""Seconds for which the reactor's thread may compare two documents; and make all deltas to one version and its parts.

Deltas that take longer are made in a thread. The worst documents of 64 KiB, 3,000 objects that are shuffled and
changed, take 150 ms.
"""

MAX_DIFF_S = 0.2
"""Seconds for which a thread may compare two documents. A delta that takes longer is not worth making."""

MAX_DELTAS = 16
"""The largest number of deltas of one form to one version. Clients that would need another are sent the document."""

MAX_READ_BYTES = 1024 * 1024
"""The largest number of bytes of old versions that are compared with one version, including those of its parts.

100 KB take about 5 ms if a little has changed, and 25 ms if everything has.
"""

WORTH_IT = 0.6
"""A delta is sent if it is smaller than this fraction of the document, both in the same coding."""


def make_in_thread(forms: Collection[DeltaForm], old: bytes, new: bytes) -> dict[DeltaForm, bytes]:
    """Makes deltas of some forms, in a thread."""
    deltas: dict[DeltaForm, bytes] = {}
    for form in forms:
        is_late = _Deadline(thread_time, thread_time() + MAX_DIFF_S)
        if form is DeltaForm.SPLICES:
            deltas[form] = make_verified_splices(old, new, is_late)
        else:
            deltas[form] = diff(parse_in_pieces(old), parse_in_pieces(new), is_late)
    return deltas


@dataclass(slots=True, eq=False)
class Allowance:
    """The work that may still be spent on deltas until the document changes, for the whole and its parts together."""

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
    :param max_document_bytes: the size in bytes of the largest document of which deltas are made.
    :param in_thread: calls a function in a thread, and gives a Deferred; ``None`` to make all deltas immediately.
    :param timer: gives the processor time that this thread has taken, in seconds.
    :ivar made: the number of deltas that were made since the start.
    :ivar ready: called when a delta is ready that was made in a thread.
    :ivar allowance: the work that may still be spent on deltas.
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
    _too_old: dict[DeltaForm, str] = field(default_factory=dict)
    allowance: Allowance = field(init=False)
    _newest: Snapshot | None = None
    _parsed: dict[str, Document] = field(default_factory=dict)
    _wanted: set[DeltaForm] = field(default_factory=set)  # the forms in which deltas to the newest version are used
    _prepared: tuple[str, str, Deltas] | None = None
    _is_making: bool = False
    _deltas: dict[tuple[DeltaForm, str], bytes] = field(default_factory=dict)
    _coded: dict[tuple[DeltaForm, str, str], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.allowance = Allowance() if self.whole is None else self.whole.allowance
        if self.whole is not None:
            self.in_thread = self.whole.in_thread
            self.timer = self.whole.timer

    def add(self, snapshot: Snapshot) -> None:
        """Adds the newest version, and removes versions beyond the limits."""
        newest, self._newest = self._newest, snapshot
        self._deltas.clear()
        self._coded.clear()
        self._too_old.clear()
        if self.whole is None:
            self.allowance.left_bytes = MAX_READ_BYTES
            self.allowance.left_s = ALL_AT_ONCE_S
        # Of the parsed documents, only the version before is likely to be needed again.
        before = None if newest is None else self._parsed.get(newest.version)
        self._parsed.clear()
        self._wanted.clear()
        if self._prepared is not None and newest is not None:
            old, new, deltas = self._prepared
            if (old, new) == (newest.version, snapshot.version):
                self._deltas.update(((form, old), delta) for form, delta in deltas.items())
                self.made += len(deltas)
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
        """The size of the largest document of which deltas are made now: it may be changed, for the whole."""
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

    def document(self, version: str) -> bytes | None:
        """Gives the document of a version that is kept; ``None`` if it is not, or is the newest one of all."""
        return self._versions.get(version)

    def is_awaited(self, version: str) -> bool:
        """Tells whether a delta from a version may be ready later, because a thread is making one."""
        return self._is_making and version in self._versions

    def want(self, form: DeltaForm) -> None:
        """Takes note that a delta to the newest version is used: the one to the next version will be, too."""
        self._wanted.add(form)

    def latest(self, versions: Collection[str]) -> str | None:
        """Gives the latest of some versions: the delta from it is likely to be the smallest.

        :returns: ``None`` if none of them is kept. The newest version does not count.
        """
        return next((version for version in reversed(self._versions) if version in versions), None)

    def delta(self, form: DeltaForm, version: str | None) -> bytes | None:
        """Gives the delta from a version to the newest one.

        :returns: ``None`` if the version is not kept or is the newest, if the limits are reached, or if the delta is
            made in a thread and not ready yet.
        """
        if version is None or self._newest is None:
            return None
        old = self._versions.get(version)
        if old is None:
            return None
        self._wanted.add(form)
        key = form, version
        if key not in self._deltas:
            size = max(len(old), len(self._newest.data))
            if size > self._largest_bytes or self._is_too_old(form, version) or self.allowance.left_bytes < 0:
                return None
            if sum(kept is form for kept, _ in self._deltas) >= MAX_DELTAS:
                return None
            self.allowance.left_bytes -= len(old)
            delta = None
            if self.in_thread is None or (size <= AT_ONCE_BYTES and self.allowance.left_s > 0):
                delta = self._make_at_once(form, version, old, self._newest)
            if delta is None:
                self._order(form, version, old, self._newest)
                return None
            self._deltas[key] = delta
            self.made += 1
            if len(delta) > WORTH_IT * len(self._newest.data):
                self._too_old[form] = version
        return self._deltas[key]

    def _make_at_once(self, form: DeltaForm, version: str, old: bytes, newest: Snapshot) -> bytes | None:
        """Makes a delta in this thread; ``None`` if that takes too long, and another thread must do it."""
        begun = self.timer()
        is_late = None
        if self.in_thread is not None:
            is_late = _Deadline(self.timer, begun + min(AT_ONCE_S, self.allowance.left_s))
        if form is DeltaForm.SPLICES:
            delta = make_verified_splices(old, newest.data, is_late)
        else:
            parsed = self._parsed[newest.version] = self._parse(newest.version, newest.data)
            delta = diff(self._parse(version, old), parsed, is_late)
        self.allowance.left_s -= self.timer() - begun
        return None if is_late is not None and is_late.passed else delta

    def preparation(self, data: bytes) -> Callable[[], Deltas] | None:
        """Gives a function that makes the deltas to the next version, to be called in a thread.

        :param data: the document of the next version.
        :returns: ``None`` if no delta to the newest version was requested, or no delta is to be made.
        """
        newest = self._newest
        if newest is None or not self._wanted:
            return None
        if newest.data == data or max(len(newest.data), len(data)) > self._largest_bytes:
            return None
        return partial(make_in_thread, sorted(self._wanted), newest.data, data)

    def prepare(self, snapshot: Snapshot, deltas: Deltas) -> None:
        """Takes the deltas from the newest version to the next one, before that is added.

        :param snapshot: the next version.
        """
        if self._newest is not None:
            self._prepared = self._newest.version, snapshot.version, deltas

    def _order(self, form: DeltaForm, version: str, old: bytes, newest: Snapshot) -> None:
        """Has a delta made in a thread, one at a time. Until it is ready, clients are sent the document."""
        if self._is_making or self.in_thread is None:
            return

        def made(deltas: Deltas) -> None:
            self.made += 1
            if self._newest is newest:
                self._deltas[form, version] = deltas[form]

        def done(result: object) -> object:
            self._is_making = False
            if self.ready is not None:
                self.ready()
            # An error stays in the Deferred, which logs it.
            return result

        self._is_making = True
        try:
            making = self.in_thread(make_in_thread, (form,), old, newest.data)
        except OSError:  # There is no thread.
            self._is_making = False
            return
        making.addCallback(made)
        making.addBoth(done)

    def coded(self, form: DeltaForm, version: str, coding: str) -> tuple[str, bytes]:
        """Gives the delta from a version in a content coding. There must be such a delta.

        :param coding: one of :data:`.codings.CODINGS`, or ``identity``.
        :returns: the name of the coding, and the bytes. It is ``identity`` if the coding makes the delta no smaller.
        """
        delta = self.delta(form, version)
        assert delta is not None
        if coding == IDENTITY:
            return IDENTITY, delta
        key = form, version, coding
        if key not in self._coded:
            self._coded[key] = compress_in(coding, delta)
        coded = self._coded[key]
        return (coding, coded) if len(coded) < len(delta) else (IDENTITY, delta)

    def _is_too_old(self, form: DeltaForm, version: str) -> bool:
        """Tells whether the delta of a form from this version, or from a later one, was too large to be sent."""
        too_old = self._too_old.get(form)
        if too_old is None:
            return False
        in_order = list(self._versions)
        return in_order.index(version) <= in_order.index(too_old)

    def _parse(self, version: str, data: bytes) -> Document:
        return self._parsed.get(version) or parse(data)
