"""The queue in front of a store: edits that arrive within a few milliseconds are made durable by one sync.

Rule: the disk is only touched in a thread, one commit at a time. While one is under way, edits wait for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from livefeed.exceptions import StoreError
from livefeed.storage.store import UNCHANGED, Outcome, Store, Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from livefeed.document.stored_write import StoredWrite
    from livefeed.storage.store import Edited, Kept, View

    Edit = Callable[[View], Edited]

SPACING_S = 0.005
"""The shortest time in seconds from the beginning of one commit to that of the next. Edits in between share the next
one. An edit that comes alone does not wait."""

MAX_WAITING = 256
"""The number of edits that may wait. One more is refused."""

STOP_S = 5.0
"""Seconds for which a stop waits for the edits that were accepted before."""

_log = Logger()


class ClosedStoreError(StoreError):
    """The store takes no edits now: it is closed, or another process takes it over. It can be tried again."""


class BusyStoreError(StoreError):
    """Too many edits wait. It can be tried again."""


@dataclass(eq=False)
class SharedWrites:
    """The store of a feed, for the reactor's thread.

    :param store: the file.
    :param name: the name of the feed, for log lines.
    :param in_thread: calls a function in a thread.
    :ivar newest: the newest durable write; ``None`` before the first.
    :ivar commits: the number of commits that have ended since the start.
    """

    # required parameters
    store: Store
    name: str
    clock: IReactorTime
    in_thread: Callable[..., Deferred[Any]]

    # internal state
    newest: StoredWrite | None = None
    commits: int = 0
    _waiting: list[tuple[Edit, Deferred[Outcome]]] = field(default_factory=list)
    _call: IDelayedCall | None = None
    _changed: Callable[[], None] = field(default=lambda: None)
    _is_committing: bool = False
    _is_open: bool = False
    _fails: bool = False
    _began_at: float = float("-inf")
    _idle: list[Deferred[None]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """The file."""
        return self.store.path

    @property
    def document(self) -> bytes | None:
        """The newest durable document; ``None`` if there is none."""
        return None if self.newest is None else self.newest.data

    @property
    def is_open(self) -> bool:
        """Whether edits are accepted."""
        return self._is_open

    def open(self) -> None:
        """Opens the store, unless it is open.

        :raises StoreError: if it cannot be used.
        """
        if not self.store.is_open:
            self.store.open()
            if self.store.damaged is not None:
                _log.warn(
                    'feed "{feed}": {path} is damaged; the writes that are whole count ({count}), and a copy of the '
                    "file is kept as {damaged}",
                    feed=self.name,
                    path=str(self.path),
                    count=len(self.store.kept),
                    damaged=str(self.store.damaged),
                )
            self.newest = self.store.newest
        self._is_open = True

    def close(self) -> Deferred[None] | None:
        """Accepts no more edits, and closes the store once those are durable that were accepted.

        :returns: fires when it is closed; ``None`` if it is.
        """
        self._is_open = False
        if not self._waiting and not self._is_committing:
            self.store.close()
            return None
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        # If the disk hangs, its thread still uses the file, which then stays open.
        return idle.addTimeout(STOP_S, self.clock).addErrback(lambda _: None)

    def observe(self, changed: Callable[[], None]) -> None:
        """Has a function called after each change of the newest write, in the place of the one before."""
        self._changed = changed

    def edit(self, edit: Edit) -> Deferred[Outcome]:
        """Edits the document.

        :param edit: gives the new document, ``None`` to delete it, or ``UNCHANGED``. It runs in a thread, and what it
            raises fails the Deferred.
        :returns: fires with the outcome once it is durable. It fails with :class:`.StoreError` if the disk refuses the
            write, and nothing has changed then.
        """
        outcome: Deferred[Outcome] = Deferred()
        if not self._is_open:
            outcome.errback(ClosedStoreError(f"{self.path}: the store is closed, or handed over to another process"))
        elif len(self._waiting) >= MAX_WAITING:
            outcome.errback(BusyStoreError(f"{self.path}: {MAX_WAITING} writes wait for the disk already"))
        else:
            self._waiting.append((edit, outcome))
            self._commit_soon()
        return outcome

    async def versions(self) -> tuple[Kept, ...]:
        """Gives the last writes, the oldest first.

        :raises StoreError: if the store is closed.
        """
        found: list[tuple[Kept, ...]] = []

        def look(_: View) -> Unchanged:
            found.append(self.store.kept)
            return UNCHANGED

        await self.edit(look)
        return found[0]

    async def read(self, choose: Callable[[tuple[Kept, ...]], Kept]) -> tuple[Kept, bytes]:
        """Reads the document of one of the last writes.

        :param choose: chooses one of them, in a thread; what it raises is raised here.
        :raises StoreError: if the store is closed, or the record is damaged.
        """
        found: list[tuple[Kept, bytes]] = []

        def look(view: View) -> Unchanged:
            write = choose(self.store.kept)
            found.append((write, view.read(write)))
            return UNCHANGED

        await self.edit(look)
        return found[0]

    def _commit_soon(self) -> None:
        if self._call is None and not self._is_committing:
            wait_s = max(0.0, self._began_at + SPACING_S - self.clock.seconds())
            if wait_s:
                self._call = self.clock.callLater(wait_s, self._commit)
            else:
                self._commit()

    def _commit(self) -> None:
        self._call = None
        self._is_committing = True
        self._began_at = self.clock.seconds()
        Deferred.fromCoroutine(self._commit_waiting())

    async def _commit_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        outcomes: list[Outcome | Exception]
        try:
            outcomes = await self.in_thread(self.store.commit, [edit for edit, _ in waiting])
        except OSError as error:
            # No thread could be started.
            outcomes = [StoreError(f"{self.path}: {error.strerror or error}")] * len(waiting)
        except Exception as error:
            _log.failure('feed "{feed}": writing its document broke', feed=self.name)
            outcomes = [error] * len(waiting)
        self._is_committing = False
        self.commits += 1
        self._note(outcomes)
        before, self.newest = self.newest, self.store.newest
        if self.newest is not before:
            self._changed()
        for (_, outcome), result in zip(waiting, outcomes, strict=True):
            if outcome.called:
                continue
            if isinstance(result, Exception):
                outcome.errback(result)
            else:
                outcome.callback(result)
        if self._waiting:
            self._commit_soon()
        elif not self._is_open:
            self._end()

    def _end(self) -> None:
        """Closes the store after its last commit."""
        self.store.close()
        idle, self._idle = self._idle, []
        for each in idle:
            if not each.called:
                each.callback(None)

    def _note(self, outcomes: list[Outcome | Exception]) -> None:
        """Logs when the disk begins to refuse writes, and when it takes them again."""
        refusal = next((each for each in outcomes if isinstance(each, StoreError)), None)
        if refusal is not None and not self._fails:
            self._fails = True
            _log.error('feed "{feed}": its document cannot be stored: {why}', feed=self.name, why=str(refusal))
        elif refusal is None and self._fails and any(_is_write(each) for each in outcomes):
            self._fails = False
            _log.info('feed "{feed}": its document is stored again', feed=self.name)


def _is_write(outcome: Outcome | Exception) -> bool:
    return isinstance(outcome, Outcome) and outcome.before is not outcome.after
