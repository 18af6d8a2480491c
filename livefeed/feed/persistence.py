"""The service that keeps a feed's last versions on disk, and gives them back to it at the next start.

Rule: what is not known to be fresh does not become fresh by a restart. So with the newest version its last confirmation
is kept, exactly when livefeed stops, and every few seconds before that.
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
from livefeed.exceptions import JournalError, StartError
from livefeed.storage.journal import Journal, Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from livefeed.clocks import Boot, Moment
    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.feed import Feed

STOP_S = 2.0
"""How long the last versions may take to be written when livefeed stops."""

CONFIRM_S = 5.0
"""How often it is written when the newest version was last confirmed: after a kill it seems older by that at most.

Each time takes a thread for 0.1 ms.
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
"""What is said of each kind of writing when it fails, and when it works again."""

_log = Logger()


@dataclass(eq=False)
class JournalService(Service):
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
    _broken: set[str] = field(default_factory=set)  # the kinds of writing that fail
    _written: Moment | None = None  # the confirmation that was written last, or is about to be
    _unconfirmed: Kept | None = None  # the newest version with a confirmation that is still to be written
    _confirms: bool = False  # whether one was written since the start
    _loop: LoopingCall = field(init=False)

    def __post_init__(self) -> None:
        self._loop = LoopingCall(self._confirm)
        self._loop.clock = self.clock

    def startService(self) -> None:
        """IService API. Gives the feed what it had, before it is pulled or served."""
        super().startService()
        try:
            kept = self.journal.open()
        except JournalError as error:
            raise StartError(f"livefeed: {self.place}: {error}") from None
        if self.journal.damaged is not None:
            _log.warn(
                'feed "{feed}": {path} is damaged; the versions before the damage count ({count}), and the file is '
                "kept as {damaged}",
                feed=self.feed.name,
                path=str(self.journal.path),
                count=len(kept),
                damaged=str(self.journal.damaged),
            )
        if self.journal.unconfirmed is not None:
            _log.warn(
                'feed "{feed}": {path} is damaged, and passed over: the document may seem older than it is',
                feed=self.feed.name,
                path=str(self.journal.unconfirmed),
            )
        if kept:
            self.feed.restore(kept, age_s=self._age_s(kept[-1]))
            _log.info(
                'feed "{feed}" has its last {count} versions back, of which the newest is from {sequence}',
                feed=self.feed.name,
                count=len(kept),
                sequence=kept[-1].sequence,
            )
        self._newest, self._written, self._confirms = self.feed.snapshot, self.feed.confirmed, False
        self.feed.changed.append(self._note)
        self._loop.start(CONFIRM_S, now=False)

    def stopService(self) -> Deferred[None] | None:
        """IService API. Waits a short time for what is still to be written."""
        super().stopService()
        self.feed.changed.remove(self._note)
        self._loop.stop()
        # The ticks have ended before: there is none later than this.
        self._confirm()
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
        if snapshot is None:
            return
        if snapshot is not self._newest:
            self._newest, self._written = snapshot, self.feed.confirmed
            self._waiting.append(self._kept(snapshot))
            self._begin_to_write()
        elif not self._confirms:
            # The first at once: a process that is killed again and again before the first round would write none.
            self._confirm()

    def _confirm(self) -> None:
        """Has it written when the newest version was last confirmed, unless that is written already.

        What a restart has brought back is not written again: if its age is not known, it must not look as if it were.
        """
        if self._newest is None or self.feed.confirmed is self._written:
            return
        self._written, self._confirms = self.feed.confirmed, True
        self._unconfirmed = self._kept(self._newest)
        self._begin_to_write()

    def _kept(self, snapshot: Snapshot) -> Kept:
        """Gives a version that has just been confirmed as it is to be kept."""
        kept = Kept(snapshot.data, snapshot.sequence, self.feed.confirmed_at)
        if self.boot is None:
            return kept
        return replace(kept, boot=self.boot.id, since_boot_s=self.boot.seconds() - self.feed.age_s())

    def _begin_to_write(self) -> None:
        if not self._is_writing:
            Deferred.fromCoroutine(self._write())

    async def _write(self) -> None:
        self._is_writing = True
        while self._waiting or self._unconfirmed is not None:
            if self._waiting:
                await self._attempt("append", self._waiting.popleft())
            elif self._unconfirmed is not None:
                kept, self._unconfirmed = self._unconfirmed, None
                await self._attempt("confirm", kept)
        self._is_writing = False
        for idle in self._idle:
            idle.callback(None)

    async def _attempt(self, kind: Literal["append", "confirm"], kept: Kept) -> None:
        """Writes something, and logs it if that fails, or works again."""
        fails, works = _TROUBLE[kind]
        try:
            await self.in_thread(self.journal.append if kind == "append" else self.journal.confirm, kept)
        except (OSError, MemoryError) as error:
            if kind not in self._broken:
                _log.warn(fails, feed=self.feed.name, why=getattr(error, "strerror", None) or error)
            self._broken.add(kind)
        else:
            if kind in self._broken:
                _log.info(works, feed=self.feed.name)
            self._broken.discard(kind)
