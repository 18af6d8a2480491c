"""The service that writes a feed's last versions to disk, and restores them at the next start.

Rule: a restart must not make a document look more current than it is. So the last confirmation of the newest version is
written, too: when livefeed stops, and every few seconds before that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from livefeed.document.history import VERSIONS
from livefeed.document.stored_version import StoredVersion
from livefeed.exceptions import JournalError, StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorTime

    from livefeed.clocks import Boot, Moment
    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.feed import Feed
    from livefeed.storage.journal import Journal

STOP_S = 2.0
"""Seconds that the last versions may take to be written when livefeed stops."""

CONFIRM_S = 5.0
"""Seconds from one written confirmation of the newest version to the next.

After a kill, the version seems older by that at most. Each write takes a thread for 0.1 ms.
"""

_TROUBLE: dict[Literal["append", "confirm"], tuple[str, str]] = {
    "append": (
        'feed "{feed}": its versions cannot be kept, and a restart will lose them: {why}',
        'feed "{feed}": its versions are kept again',
    ),
    "confirm": (
        'feed "{feed}": when its document was last confirmed cannot be kept, and a restart will have it older: {why}',
        'feed "{feed}": when its document was last confirmed is kept again',
    ),
}
"""The messages of each kind of write: when it fails, and when it works again."""

_log = Logger()


@dataclass(eq=False)
class JournalService(Service):
    """Writes each version of a feed, in a thread, so that a slow disk delays no client.

    If the disk cannot keep up, the oldest versions are left out.

    :param place: the beginning of the message if the journal cannot be used.
    :param in_thread: calls a function in a thread.
    :param boot: the machine's boot, by which the next process measures the age of the versions; ``None`` if only the
        wall clock tells it.
    :ivar restored: is given the kept versions at the start, the oldest first; the owner may set it.
    """

    # required parameters
    feed: Feed
    journal: Journal
    clock: IReactorTime
    place: str
    in_thread: Callable[..., Deferred[Any]]
    boot: Boot | None = None

    # internal state
    restored: Callable[[Sequence[StoredVersion]], object] = field(default=lambda _: None)
    _newest: Snapshot | None = None
    _waiting: deque[StoredVersion] = field(default_factory=lambda: deque(maxlen=VERSIONS))
    _is_writing: bool = False
    _idle: list[Deferred[None]] = field(default_factory=list)
    _broken: set[str] = field(default_factory=set)  # the kinds of writes that fail
    _written: Moment | None = None  # the confirmation that was written last, or is queued
    _unconfirmed: StoredVersion | None = None  # the newest version with a confirmation that is still to be written
    _confirms: bool = False  # whether a confirmation was written since the start
    _loop: LoopingCall | None = None  # none before the start and after the stop: the two refer to each other

    def startService(self) -> None:
        """IService API. Restores the feed, before it is pulled or served.

        A feed that has followed that of an earlier process has a document already. It gets the versions before it.
        """
        super().startService()
        try:
            versions = self.journal.open()
        except JournalError as error:
            self.running = False
            raise StartError(f"livefeed: {self.place}: {error}") from None
        if self.journal.damaged is not None:
            _log.warn(
                'feed "{feed}": {path} is damaged; the versions before the damage count ({count}), and the file is '
                "kept as {damaged}",
                feed=self.feed.name,
                path=str(self.journal.path),
                count=len(versions),
                damaged=str(self.journal.damaged),
            )
        if self.journal.unconfirmed is not None:
            _log.warn(
                'feed "{feed}": {path} is damaged, and passed over: the document may seem older than it is',
                feed=self.feed.name,
                path=str(self.journal.unconfirmed),
            )
        self.restored(versions)
        followed = self.feed.snapshot
        if followed is not None:
            self.feed.recall(versions)
        elif versions:
            self.feed.restore(versions, age_s=self._age_s(versions[-1]))
            _log.info(
                'feed "{feed}" has its last {count} versions back, of which the newest is from {sequence}',
                feed=self.feed.name,
                count=len(versions),
                sequence=versions[-1].sequence,
            )
        self._newest, self._written, self._confirms = self.feed.snapshot, self.feed.confirmed, False
        if followed is not None and (not versions or versions[-1].sequence != followed.sequence):
            # The earlier process has not written it, such as on a full disk: the next tick does.
            self._newest = self._written = None
        self._observe()

    def _observe(self) -> None:
        self.feed.observe(self._note)
        self._loop = LoopingCall(self._confirm)
        self._loop.clock = self.clock
        self._loop.start(CONFIRM_S, now=False)

    def pause(self) -> Deferred[None] | None:
        """Writes what is queued, and closes the journal for another process, until :meth:`resume`."""
        return self._halt()

    def resume(self) -> None:
        """Goes on after :meth:`pause`. If the journal cannot be used any more, the log says so.

        Another process may have opened it meanwhile, and has written nothing.
        """
        if not self.running or self._loop is not None:
            return
        # A disk that hangs keeps it open.
        if not self.journal.is_open:
            try:
                self.journal.open()
            except JournalError as error:
                _log.error(_TROUBLE["append"][0], feed=self.feed.name, why=error)
        self._observe()

    def stopService(self) -> Deferred[None] | None:
        """IService API. Waits a short time for the writes that are queued."""
        super().stopService()
        return None if self._loop is None else self._halt()

    def _halt(self) -> Deferred[None] | None:
        self.feed.unobserve(self._note)
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()
        # The ticks have ended already, so this is the last confirmation.
        self._confirm()
        if not self._is_writing:
            self.journal.close()
            return None
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        # If the disk hangs, its thread still uses the file, which then stays open.
        return (
            idle.addCallback(lambda _: self.journal.close()).addTimeout(STOP_S, self.clock).addErrback(lambda _: None)
        )

    def _age_s(self, version: StoredVersion) -> float | None:
        """Gives the age of a version in seconds, whatever the wall clock says; ``None`` if it was not measured."""
        if self.boot is None or version.boot != self.boot.id:
            return None
        now_s = self.boot.seconds()
        return now_s - version.since_boot_s if 0 <= version.since_boot_s <= now_s else None

    def _note(self) -> None:
        """Queues a new version, or the first confirmation, after a tick."""
        snapshot = self.feed.snapshot
        if snapshot is None:
            return
        if snapshot is not self._newest:
            self._newest, self._written = snapshot, self.feed.confirmed
            self._waiting.append(self._stored(snapshot))
            self._begin_to_write()
        elif not self._confirms:
            # The first one immediately: a process that is killed again and again would write none otherwise.
            self._confirm()

    def _confirm(self) -> None:
        """Queues the last confirmation of the newest version, unless it is written already.

        The confirmation of a restored version is not written again: if its age is unknown, it must stay unknown.
        """
        if self._newest is None or self.feed.confirmed is self._written:
            return
        self._written, self._confirms = self.feed.confirmed, True
        self._unconfirmed = self._stored(self._newest)
        self._begin_to_write()

    def _stored(self, snapshot: Snapshot) -> StoredVersion:
        """Gives a version that has just been confirmed, as it is stored."""
        version = StoredVersion(snapshot.data, snapshot.sequence, self.feed.confirmed_at)
        if self.boot is None:
            return version
        return replace(version, boot=self.boot.id, since_boot_s=self.boot.seconds() - self.feed.age_s())

    def _begin_to_write(self) -> None:
        if not self._is_writing:
            Deferred.fromCoroutine(self._write())

    async def _write(self) -> None:
        self._is_writing = True
        while self._waiting or self._unconfirmed is not None:
            if self._waiting:
                await self._attempt("append", self._waiting.popleft())
            elif self._unconfirmed is not None:
                version, self._unconfirmed = self._unconfirmed, None
                await self._attempt("confirm", version)
        self._is_writing = False
        waiting, self._idle = self._idle, []
        for idle in waiting:
            # It is called already if the wait has reached its limit.
            if not idle.called:
                idle.callback(None)

    async def _attempt(self, kind: Literal["append", "confirm"], version: StoredVersion) -> None:
        """Writes a version or a confirmation, and logs when that begins to fail, and when it works again."""
        fails, works = _TROUBLE[kind]
        try:
            await self.in_thread(self.journal.append if kind == "append" else self.journal.confirm, version)
        except (OSError, MemoryError) as error:
            if kind not in self._broken:
                _log.warn(fails, feed=self.feed.name, why=getattr(error, "strerror", None) or error)
            self._broken.add(kind)
        else:
            if kind in self._broken:
                _log.info(works, feed=self.feed.name)
            self._broken.discard(kind)
