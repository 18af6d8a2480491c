"""The service that does at their times what was asked for before: it stores documents, and ends holds.

The times are those of the wall clock, as an operator says them. The wall clock is read again each second, so that a
clock that is set meanwhile moves them; see :mod:`.believed_clock`.

Rules: everything is durable before it is answered. Whatever cannot be done at its time is kept and reported, never
lost. Nothing here logs the length or the version of a document.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from livefeed.document.embargo import Embargo, Kind
from livefeed.document.timestamps import timestamp
from livefeed.exceptions import CommandError, StoreError, closest
from livefeed.feed.believed_clock import BelievedClock
from livefeed.storage.shared_writes import ClosedStoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from livefeed.feed.embargo_effects import EmbargoEffects
    from livefeed.feed.embargo_keeping import EmbargoKeeping
    from livefeed.feed.feed import Feed

MAX_EMBARGOES = 32
"""The number of embargoes of a feed: the documents of a night. They are in memory, and in each write of the file."""

MAX_EMBARGO_BYTES = 16 * 1024 * 1024
"""The size in bytes of all documents under embargo of a feed. A larger one is accepted if it is the only one."""

LOOK_S = 1.0
"""Seconds from one look at the wall clock to the next while something is to happen."""

RETRY_S = 1.0
"""Seconds after which something is tried again that the disk has refused."""

STOP_S = 5.0
"""Seconds for which a stop waits for the disk."""

_ID_BYTES = 4

_log = Logger()


class UnknownEmbargoError(CommandError):
    """There is no embargo by this id."""


class TooManyEmbargoesError(CommandError):
    """No more embargoes are accepted."""


@dataclass(eq=False)
class Embargoes:
    """The embargoes of one feed.

    :param keeping: keeps them, with the audit.
    :param effects: stores documents, and ends holds.
    :ivar entries: what is to happen, the next one first; entries that have failed are behind the others.
    """

    # required parameters
    feed: Feed
    keeping: EmbargoKeeping
    clock: IReactorTime
    effects: EmbargoEffects

    # internal state
    entries: tuple[Embargo, ...] = ()
    _is_open: bool = False
    _lock: DeferredLock = field(default_factory=DeferredLock)  # one change at a time
    _call: IDelayedCall | None = None
    _done: set[str] = field(default_factory=set)  # has happened, and could not be removed from the file yet
    _told: set[str] = field(default_factory=set)  # those that are tried again, and the log has said so
    _believed: BelievedClock = field(init=False)

    def __post_init__(self) -> None:
        self._believed = BelievedClock(self.feed.name, self.clock, self.keeping.wall)

    def open(self) -> None:
        """Reads the file, and does from now on what is due; see :meth:`close`.

        :raises StoreError: if the file cannot be used.
        """
        if self._is_open:
            return
        self.entries = _ordered(self.keeping.open())
        self._is_open = True
        self._believed.forget()
        if waiting := self._waiting():
            text = 'feed "{feed}": {count} embargoes wait, of which the next one ends at {at}'
            _log.info(text, feed=self.feed.name, count=len(waiting), at=timestamp(waiting[0].at))
        self._schedule()

    def close(self) -> Deferred[None]:
        """Does nothing more, and leaves the file to another process, until :meth:`open`.

        :returns: fires once nothing is written any more.
        """
        if self._is_open and self.keeping.file is not None and (waiting := self._waiting()):
            # Such as for a feed that a reload has removed.
            text = 'feed "{feed}": {count} embargoes do not end until livefeed has the feed again; they are in {path}'
            _log.warn(text, feed=self.feed.name, count=len(waiting), path=str(self.keeping.file.path))
        self._is_open = False
        if self._call is not None:
            self._call.cancel()
            self._call = None

        def close_file(lock: DeferredLock) -> None:
            lock.release()
            if not self._is_open:
                self.keeping.close()

        # If the disk hangs, its thread still uses the file, which then stays open.
        return self._lock.acquire().addCallback(close_file).addTimeout(STOP_S, self.clock).addErrback(lambda _: None)

    def note_store(self, *, has_store: bool) -> None:
        """Takes note that a reload has given the feed another source."""
        count = sum(each.kind is Kind.PUBLISH and not each.failed for each in self.entries)
        if count and not has_store:
            text = (
                'feed "{feed}": {count} documents under embargo wait, and are not published unless the source is '
                "store: again by then"
            )
            _log.warn(text, feed=self.feed.name, count=count)

    # Commands

    async def add(self, embargo: Embargo) -> None:
        """Accepts something that is to happen. It is durable when this returns.

        :raises TooManyEmbargoesError: if there are too many.
        :raises StoreError: if the disk refuses it; nothing has changed then.
        """
        async with _Locked(self._lock):
            self._check_open()
            total = sum(each.size for each in self.entries)
            if len(self.entries) >= MAX_EMBARGOES:
                why = f"{MAX_EMBARGOES} embargoes of this feed wait already; cancel one of them"
                raise TooManyEmbargoesError(why)
            if total and total + embargo.size > MAX_EMBARGO_BYTES:
                why = (
                    f"the documents under embargo would have {total + embargo.size} bytes together; cancel one of them"
                )
                raise TooManyEmbargoesError(f"{why}: the limit is {MAX_EMBARGO_BYTES}")
            try:
                await self._write((*self.entries, embargo), self.keeping.line(embargo, "set aside", embargo.by))
            except StoreError as error:
                raise StoreError(f"it cannot be kept, and will not happen: {error}", is_full=error.is_full) from None
        what = "a document is to be published" if embargo.kind is Kind.PUBLISH else "the hold is to end"
        text = 'feed "{feed}": {what} at {at}, by {by} (embargo {id})'
        _log.info(text, feed=self.feed.name, what=what, at=timestamp(embargo.at), by=embargo.by, id=embargo.id)

    async def cancel(self, name: str, by: str) -> Embargo:
        """Removes something that is to happen, or that has failed. It never happens when this returns.

        :raises UnknownEmbargoError: if there is none by this id, such as since it has happened.
        :raises StoreError: if the disk refuses it; nothing has changed then.
        """
        async with _Locked(self._lock):
            self._check_open()
            found = self.find(name)
            await self._write(
                [each for each in self.entries if each.id != found.id], self.keeping.line(found, "cancel", by)
            )
        _log.info('feed "{feed}": the embargo {id} was cancelled by {by}', feed=self.feed.name, id=found.id, by=by)
        return found

    async def happen_now(self, name: str, by: str, *, any_version: bool = False) -> Embargo:
        """Does now what is to happen later, or what has failed.

        :param any_version: whether its conditions on the stored or waiting version are passed over.
        :raises UnknownEmbargoError: if there is none by this id.
        :raises CommandError: if it cannot be done; it is kept.
        :raises StoreError: if the disk refuses it; it is kept.
        """
        async with _Locked(self._lock):
            self._check_open()
            found = self.find(name)
            try:
                await self._do(replace(found, if_match=None, if_none_match=None) if any_version else found)
            except CommandError as error:
                with suppress(StoreError):
                    line = self.keeping.line(found, "publish now", by, f"failed: {error}")
                    await self.keeping.write(self.entries, self.entries, line)
                raise
            _log.info('feed "{feed}": the embargo {id} was ended by {by}', feed=self.feed.name, id=found.id, by=by)
            try:
                await self._forget(found, by, "publish now")
            except StoreError as error:
                self._tell_once(found, error)
                self._schedule(RETRY_S)
        return found

    def listed(self) -> tuple[Embargo, ...]:
        """Gives what is to happen, without what has happened and is still in the file."""
        return tuple(each for each in self.entries if each.id not in self._done)

    def find(self, name: str) -> Embargo:
        """Gives an embargo by its id.

        :raises UnknownEmbargoError: if there is none.
        """
        for each in self.listed():
            if each.id == name:
                return each
        why = f"no embargo of this feed has the id {name!r}: it has happened, or was cancelled"
        raise UnknownEmbargoError(f"{why}{closest(name, [each.id for each in self.entries])}")

    # Time

    def _schedule(self, delay_s: float | None = None) -> None:
        """Looks again at the next time, or after a delay in seconds."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        waiting = self._waiting()
        if not self._is_open or not waiting:
            self._believed.forget()
            return
        if delay_s is None:
            delay_s = min(LOOK_S, max(0.0, waiting[0].at - self._now_s()))
        self._call = self.clock.callLater(delay_s, self._look)

    def _waiting(self) -> list[Embargo]:
        """Gives what is to happen, the next one first."""
        return [each for each in self.entries if each.id in self._done or not each.failed]

    def _now_s(self) -> float:
        """Gives the believed time in seconds since 1970."""
        return self._believed.read(lambda wall_s: [each.id for each in self._waiting() if each.at <= wall_s])

    def _look(self) -> None:
        self._call = None
        Deferred.fromCoroutine(self._do_due())

    async def _do_due(self) -> None:
        """Does what is due, one after another in the order of the times."""
        delay_s: float | None = None
        async with _Locked(self._lock):
            while self._is_open and (waiting := self._waiting()):
                now_s = self._now_s()
                first = next((each for each in waiting if each.id in self._done or each.at <= now_s), None)
                if first is None:
                    break
                try:
                    await self._end(first)
                except StoreError as error:
                    self._tell_once(first, error)
                    delay_s = RETRY_S
                    break
        self._schedule(delay_s)

    async def _end(self, embargo: Embargo) -> None:
        """Does what is due, or notes why that is not possible.

        :raises StoreError: if the disk refuses it.
        """
        try:
            await self._do(embargo)
        except CommandError as error:
            failed = embargo.fail(str(error))
            entries = [failed if each.id == embargo.id else each for each in self.entries]
            await self._write(entries, self.keeping.line(embargo, "end", embargo.by, f"failed: {failed.failed}"))
            text = (
                'feed "{feed}": the embargo {id} of {by} was due at {at} and is NOT carried out: {why}; it is kept: '
                "`livefeed ctl embargo cancel {id}` removes it, and `livefeed ctl embargo publish {id}` tries it again"
            )
            at = timestamp(embargo.at)
            _log.error(text, feed=self.feed.name, id=embargo.id, by=embargo.by, at=at, why=failed.failed)
            return
        await self._forget(embargo, embargo.by)
        if embargo.kind is Kind.RELEASE:
            text = 'feed "{feed}": the time of the embargo {id} of {by} has come: nothing is held back any more'
            _log.info(text, feed=self.feed.name, id=embargo.id, by=embargo.by)

    def _tell_once(self, embargo: Embargo, why: StoreError) -> None:
        if self._is_open and embargo.id not in self._told:
            self._told.add(embargo.id)
            text = 'feed "{feed}": the embargo {id} is due, and is tried again each second: {why}'
            _log.error(text, feed=self.feed.name, id=embargo.id, why=str(why))

    # Effects

    async def _do(self, embargo: Embargo) -> None:
        """Stores the document, or ends the hold.

        :raises CommandError: if that is not possible.
        :raises StoreError: if the disk refuses it.
        """
        if embargo.id not in self._done:
            await self.effects.carry_out(embargo)
            self._done.add(embargo.id)

    async def _forget(self, embargo: Embargo, by: str, action: str = "end") -> None:
        """Removes an embargo that has ended.

        :raises StoreError: if the disk refuses it. It is not done again.
        """
        await self._remove(embargo, action, by)
        self._done.discard(embargo.id)
        self._told.discard(embargo.id)

    async def _remove(self, embargo: Embargo, action: str, by: str) -> None:
        entries = [each for each in self.entries if each.id != embargo.id]
        await self._write(entries, self.keeping.line(embargo, action, by))

    async def _write(self, entries: Sequence[Embargo], line: Mapping[str, Any]) -> None:
        """Keeps embargoes, with the line of the audit about the change.

        :raises StoreError: if the disk refuses it; nothing has changed then.
        """
        ordered = _ordered(entries)
        await self.keeping.write(self.entries, ordered, line)
        self.entries = ordered
        self._schedule()

    def _check_open(self) -> None:
        if not self._is_open:
            raise ClosedStoreError("the embargoes of the feed are closed, or handed over to another process; try again")


def new_id() -> str:
    """Gives the id of a new embargo, by chance."""
    return secrets.token_hex(_ID_BYTES)


def _ordered(entries: Sequence[Embargo]) -> tuple[Embargo, ...]:
    """Gives embargoes in the order in which they happen; those that have failed are behind the others."""
    return tuple(sorted(entries, key=lambda each: (bool(each.failed), each.at, each.asked_at)))


@dataclass(slots=True)
class _Locked:
    """Holds a lock for the time of a block."""

    lock: DeferredLock

    async def __aenter__(self) -> None:
        await self.lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.lock.release()
