"""Many members that are each called again and again, by one timer.

Rule: this file knows nothing of what its members are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

GRAIN_S = 0.25
AT_ONCE = 250
"""Members that are called in one turn of the reactor: 3 ms of work, and room for 25,000 that came together, at one call
each 25 s."""

_log = Logger()


class Member(Protocol):
    """An object that is called in rounds."""

    def beat(self) -> None:
        """Takes its turn."""

    def drop(self) -> None:
        """Ends: its turn broke, and it is not called any more."""


T = TypeVar("T", bound=Member)


@dataclass(eq=False)
class Heartbeats(Generic[T]):
    """Calls ``beat`` of each member every so often, for as long as there are any.

    A timer for each would take 500 bytes and ten times as long. The members stand in the order in which they are due.

    :param interval_s: seconds from one call to the next, and from joining to the first.
    """

    # required parameters
    clock: IReactorTime
    interval_s: float

    # internal state
    _due: dict[T, float] = field(default_factory=dict)
    _call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[T]:
        return iter(self._due)

    def add(self, member: T) -> None:
        """Lets a member join."""
        self._due[member] = self.clock.seconds() + self.interval_s
        if self._call is None:
            self._call = self.clock.callLater(GRAIN_S, self._turn)

    def discard(self, member: T) -> None:
        """Lets a member go, if it has joined."""
        self._due.pop(member, None)
        if not self._due and self._call is not None and self._call.active():
            self._call.cancel()
            self._call = None

    def _turn(self) -> None:
        # Until the end of this turn the call that has just come about stands for the next: members come and go.
        self._call_members()
        self._call = self.clock.callLater(GRAIN_S, self._turn) if self._due else None

    def _call_members(self) -> None:
        now = self.clock.seconds()
        due = takewhile(lambda member: self._due[member] <= now, self._due)
        for member in list(islice(due, AT_ONCE)):
            # One may have let others go.
            if self._due.pop(member, None) is None:
                continue
            self._due[member] = now + self.interval_s
            try:
                member.beat()
            except Exception:
                _log.failure("a member of a round broke, and is ended: {member}", member=type(member))
                self.discard(member)
                self._drop(member)

    def _drop(self, member: T) -> None:
        try:
            member.drop()
        except Exception:
            _log.failure("a member of a round that broke could not be ended: {member}", member=type(member))
