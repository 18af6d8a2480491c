"""Periodic calls for many members, by one timer.

Rule: this file does not know what its members are.
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
"""The smallest number of seconds between two turns."""

AT_ONCE = 250
"""Limit of the members that are called in one turn of the reactor: 3 ms of work. At one call per member and 25 s, this
leaves room for 25,000 members that joined together."""

_log = Logger()


class Member(Protocol):
    """An object that is called periodically."""

    def beat(self) -> None:
        """Sends a sign of life, or ends the connection if the client gave none for too long."""

    def drop(self) -> None:
        """Aborts the connection. Its ``beat`` raised, and is not called any more."""


T = TypeVar("T", bound=Member)


@dataclass(eq=False)
class Heartbeats(Generic[T]):
    """Calls ``beat`` of each member periodically, as long as there are members.

    A timer for each member would take 500 bytes and ten times as long. The members are kept in the order in which they
    are due.

    :param interval_s: seconds between two calls of a member, and from joining to the first call.
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
        """Adds a member."""
        self._due[member] = self.clock.seconds() + self.interval_s
        if self._call is None:
            self._wait()

    def discard(self, member: T) -> None:
        """Removes a member, if it is one."""
        self._due.pop(member, None)
        if not self._due and self._call is not None and self._call.active():
            self._call.cancel()
            self._call = None

    def _turn(self) -> None:
        # Members come and go meanwhile. Until the end of this turn, the call that led here stands for the next one.
        self._call_members()
        self._call = None
        if self._due:
            self._wait()

    def _wait(self) -> None:
        """Sets the timer to the call that is due first."""
        # Not to each grain: a process that wakes for nothing takes 0.1 ms for it.
        left_s = next(iter(self._due.values())) - self.clock.seconds()
        self._call = self.clock.callLater(max(GRAIN_S, left_s), self._turn)

    def _call_members(self) -> None:
        now = self.clock.seconds()
        due = takewhile(lambda member: self._due[member] <= now, self._due)
        for member in list(islice(due, AT_ONCE)):
            # A member may have removed others.
            if self._due.pop(member, None) is None:
                continue
            self._due[member] = now + self.interval_s
            try:
                member.beat()
            except Exception:
                _log.failure("a heartbeat failed, and its connection is aborted: {member}", member=type(member))
                self.discard(member)
                self._drop(member)

    def _drop(self, member: T) -> None:
        try:
            member.drop()
        except Exception:
            _log.failure("a connection whose heartbeat failed could not be aborted: {member}", member=type(member))
