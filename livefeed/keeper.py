"""The service that keeps a feed's last versions on disk, and gives them back to it at the next start."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from livefeed.exceptions import JournalError, StartError
from livefeed.history import VERSIONS
from livefeed.journal import Journal, Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from livefeed.clocks import Boot
    from livefeed.feed import Feed
    from livefeed.snapshot import Snapshot

STOP_S = 2.0
"""How long the last versions may take to be written when livefeed stops."""

_log = Logger()


@dataclass(eq=False)
class Keeper(Service):
    """Writes each version of a feed, in a thread, since a slow disk is to hurt nobody.

    Of what the disk cannot keep up with, the oldest is left out.

    :param place: what a message begins with if the journal cannot be used.
    :param in_thread: calls a function in a thread.
    :param boot: measures, for the next process, how old the versions are; ``None`` if nothing but the wall clock does.
    """

    # required parameters
    feed: Feed
    journal: Journal
    clock: IReactorTime
    place: str
    in_thread: Callable[..., Deferred[Any]]
    boot: Boot | None = None

    # internal state
    _newest: Snapshot | None = None
    _waiting: deque[Kept] = field(default_factory=lambda: deque(maxlen=VERSIONS))
    _is_writing: bool = False
    _idle: list[Deferred[None]] = field(default_factory=list)
    _works: bool = True

    def startService(self) -> None:
        """IService API. Gives the feed what it had, before it is pulled or served."""
        super().startService()
        try:
            kept = self.journal.open()
        except JournalError as error:
            raise StartError(f"livefeed: {self.place}: {error}") from None
        if self.journal.damaged is not None:
            _log.warn(
                "feed {feed}: {path} is damaged; the versions before the damage count ({count}), and the file is kept "
                "as {damaged}",
                feed=self.feed.name,
                path=str(self.journal.path),
                count=len(kept),
                damaged=str(self.journal.damaged),
            )
        if kept:
            self.feed.restore(kept, age_s=self._age_s(kept[-1]))
            _log.info(
                "feed {feed} has its last {count} versions back, of which the newest is from {sequence}",
                feed=self.feed.name,
                count=len(kept),
                sequence=kept[-1].sequence,
            )
        self._newest = self.feed.snapshot
        self.feed.changed.append(self._note)

    def stopService(self) -> Deferred[None] | None:
        """IService API. Waits a short time for versions that are still to be written."""
        super().stopService()
        self.feed.changed.remove(self._note)
        if not self._is_writing:
            self.journal.close()
            return None
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        # A disk that hangs is left to itself: its thread still has the file.
        return (
            idle.addCallback(lambda _: self.journal.close()).addTimeout(STOP_S, self.clock).addErrback(lambda _: None)
        )

    def _age_s(self, kept: Kept) -> float | None:
        """Gives how old a version is, whatever the wall clock said or says; ``None`` if that is not known."""
        if self.boot is None or kept.boot != self.boot.id:
            return None
        now_s = self.boot.seconds()
        return now_s - kept.since_boot_s if 0 <= kept.since_boot_s <= now_s else None

    def _note(self) -> None:
        """Takes note of a tick."""
        snapshot = self.feed.snapshot
        if snapshot is None or snapshot is self._newest:
            return
        self._newest = snapshot
        kept = Kept(snapshot.data, snapshot.sequence, self.feed.confirmed_at)
        if self.boot is not None:
            kept = replace(kept, boot=self.boot.id, since_boot_s=self.boot.seconds() - self.feed.age_s())
        self._waiting.append(kept)
        if not self._is_writing:
            Deferred.fromCoroutine(self._write())

    async def _write(self) -> None:
        self._is_writing = True
        while self._waiting:
            try:
                await self.in_thread(self.journal.append, self._waiting.popleft())
            except (OSError, MemoryError) as error:
                if self._works:
                    text = "feed {feed}: its versions cannot be kept, and a restart will lose them: {why}"
                    _log.warn(text, feed=self.feed.name, why=getattr(error, "strerror", None) or error)
                self._works = False
            else:
                if not self._works:
                    _log.info("feed {feed}: its versions are kept again", feed=self.feed.name)
                self._works = True
        self._is_writing = False
        for idle in self._idle:
            idle.callback(None)
