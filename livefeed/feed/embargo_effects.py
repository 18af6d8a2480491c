"""The effects of embargoes: a document is stored, or a hold ends.

Rules: a document is stored once, however often livefeed is killed: its write has the id of the embargo as its mark.
Nothing here logs the length or the version of a document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, TimeoutError  # noqa: A004
from twisted.logger import Logger

from livefeed.exceptions import CommandError, PullError, StoreError
from livefeed.feed.state import State
from livefeed.storage.store import UNCHANGED, Marked

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from twisted.internet.interfaces import IReactorTime

    from livefeed.document.embargo import Embargo
    from livefeed.feed.feed import Feed
    from livefeed.storage.shared_writes import SharedWrites
    from livefeed.storage.store import Edited, View

SHOWN_S = 15.0
"""Seconds for which the log waits to tell whether watchers are shown a document that was stored."""

_log = Logger()


class ConditionError(CommandError):
    """A condition on the stored document does not hold."""


class Shown(Protocol):
    """The outcome of a pull."""

    @property
    def is_shown(self) -> bool:
        """Whether watchers are shown the document that the pull gave."""

    @property
    def why(self) -> str:
        """Why they are not."""


class Target(Protocol):
    """The feed as far as embargoes change it."""

    @property
    def store(self) -> SharedWrites | None:
        """The store of the feed; ``None`` if its document comes from another source."""

    def pull_soon(self) -> Deferred[Any]:
        """Pulls, and gives the outcome, a :class:`Shown`."""

    def end_hold(self, embargo: Embargo) -> Awaitable[object]:
        """Ends the hold of the feed.

        :raises CommandError: if that is not possible.
        """


@dataclass(frozen=True, slots=True)
class EmbargoEffects:
    """Carries the embargoes of one feed out.

    :param target: stores documents, and ends holds.
    """

    feed: Feed
    clock: IReactorTime
    target: Target

    async def carry_out(self, embargo: Embargo) -> None:
        """Stores the document, or ends the hold.

        :raises CommandError: if that is not possible.
        :raises StoreError: if the disk refuses it.
        """
        try:
            if embargo.data is None:
                await self._end_hold(embargo)
            else:
                await self._store(embargo, embargo.data)
        except (CommandError, StoreError):
            raise
        except Exception:
            _log.failure('feed "{feed}": its embargo {id} broke', feed=self.feed.name, id=embargo.id)
            raise CommandError("it broke; the log has the reason") from None

    async def _end_hold(self, embargo: Embargo) -> None:
        try:
            await self.target.end_hold(embargo)
        except PullError as error:
            # The rules could not be checked.
            raise CommandError(str(error)) from None

    async def _store(self, embargo: Embargo, data: bytes) -> None:
        store = self.target.store
        if store is None:
            raise CommandError("the source of the feed is not store: any more")
        if self.feed.decision is State.ENDED:
            raise CommandError("the feed has ended: no more versions will come")

        def change(view: View) -> Edited:
            if any(each.mark == embargo.id for each in store.store.kept):
                # A process that was killed has stored it.
                return UNCHANGED
            why = embargo.refusal(view.newest.version if view.newest is not None else "")
            if why:
                raise ConditionError(why)
            # Also if the same document is stored: the write is the sign that the embargo has ended.
            return Marked(data, embargo.id)

        await store.edit(change)
        Deferred.fromCoroutine(self._tell_shown(embargo))

    async def _tell_shown(self, embargo: Embargo) -> None:
        try:
            outcome: Shown = await self.target.pull_soon().addTimeout(SHOWN_S, self.clock)
        except TimeoutError:
            is_shown, why = False, f"no pull has ended within {SHOWN_S:g} s"
        else:
            is_shown, why = outcome.is_shown, outcome.why
        if is_shown:
            text = 'feed "{feed}": the document of the embargo {id} is stored, and watchers are shown it'
            _log.info(text, feed=self.feed.name, id=embargo.id)
        else:
            text = 'feed "{feed}": the document of the embargo {id} is stored, and watchers are NOT shown it: {why}'
            _log.warn(text, feed=self.feed.name, id=embargo.id, why=why)
