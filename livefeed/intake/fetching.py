"""The fetches of a source: each has a limited time, and one that ignores its cancellation delays nothing.

Rule: a source that hangs is asked again only while few of its fetches have not ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from livefeed.exceptions import SourceError

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from livefeed.exceptions import SpentErrors
    from livefeed.sources import Source

LATE_S = 0.05
"""The lateness in seconds at the end of a pull's time that shows that livefeed stood still, and has read nothing."""

MAX_LEFT = 3
"""The number of cancelled fetches that have not ended, from which on no more fetches begin."""


@dataclass(slots=True, eq=False)
class _TimeLimit:
    """Cancels a fetch at the end of its time.

    If livefeed stood still at that moment, the fetch has once more the time by which livefeed is late.

    :ivar is_over: whether the fetch was cancelled.
    """

    # required parameters
    fetching: Deferred[bytes | None]
    clock: IReactorTime
    timeout_s: float

    # internal state
    is_over: bool = False
    _due_at: float = field(init=False)
    _call: IDelayedCall | None = field(init=False)

    def __post_init__(self) -> None:
        self._due_at = self.clock.seconds() + self.timeout_s
        self._call = self.clock.callLater(self.timeout_s, self._end_or_extend)

    def stop(self) -> None:
        """Cancels nothing any more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _end_or_extend(self) -> None:
        late_s = self.clock.seconds() - self._due_at
        if late_s > LATE_S:
            self._call = self.clock.callLater(min(late_s, self.timeout_s), self._end)
        else:
            self._end()

    def _end(self) -> None:
        # The call that has been made refers to this object.
        self._call = None
        self.is_over = True
        self.fetching.cancel()


@dataclass(slots=True, eq=False)
class Fetches:
    """The fetches of one source, one at a time.

    :param spent: keeps the errors that were replaced by others.
    """

    # required parameters
    clock: IReactorTime
    spent: SpentErrors

    # internal state
    _fetching: Deferred[bytes | None] | None = None
    _left: int = 0  # the number of cancelled fetches that have not ended
    _last: bytes | None = None  # the last document, whether it may be served or not

    async def fetch(self, source: Source, timeout_s: float) -> bytes:
        """Asks the source, and gives its document; the last one if the source says that nothing has changed.

        :param source: the source, always the same.
        :param timeout_s: seconds that this may take.
        :raises PullError: if there is none.
        """
        if self._left >= MAX_LEFT:
            raise SourceError(f"{self._left} pulls have neither ended nor obeyed when they were cancelled")
        self._fetching = self._begin(source)
        try:
            data = await self._limit(self._fetching, timeout_s)
        finally:
            self._fetching = None
        if data is None:
            if self._last is None:
                raise SourceError("it says that nothing has changed, and has given nothing before")
            data = self._last
        self._last = data
        return data

    def cancel(self) -> None:
        """Cancels the fetch that is under way, if there is one."""
        if self._fetching is not None:
            self._fetching.cancel()

    def _begin(self, source: Source) -> Deferred[bytes | None]:
        """Begins a fetch, and gives its outcome, which fires when it is cancelled even if the fetch ignores that.

        A fetch that continues anyway does not delay the next tick. Its result is discarded.
        """
        fetching = Deferred.fromCoroutine(source.fetch())

        def cancel(outcome: Deferred[bytes | None]) -> None:
            fetching.cancel()
            if not outcome.called:
                self._left += 1

        outcome: Deferred[bytes | None] = Deferred(cancel)

        def end(result: bytes | Failure | None) -> None:
            if outcome.called:
                self._left -= 1
            else:
                outcome.callback(result)

        fetching.addBoth(end)
        return outcome

    def _limit(self, fetching: Deferred[bytes | None], timeout_s: float) -> Deferred[bytes | None]:
        """Cancels a fetch at the end of its time, and gives the error that says so in place of the cancellation."""
        limit = _TimeLimit(fetching, self.clock, timeout_s)

        def describe(result: bytes | Failure | None) -> bytes | Failure | None:
            limit.stop()
            if limit.is_over and isinstance(result, Failure):
                self.spent.add(result.value)
                raise SourceError(f"no answer within {timeout_s:g} s")
            return result

        return fetching.addBoth(describe)
