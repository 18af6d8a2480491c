"""The subscriptions that a token has opened, and their end: with the token's time, or when it is revoked.

Rule: a subscription costs nothing while its token is good. One timer waits for the earliest end, and no tick looks at
tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from livefeed.web.reconnect_slots import ReconnectSlots

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from livefeed.auth.grants import Grant

    End = Callable[[int], object]

FIRST_S = 1.0
"""Seconds after which the first client comes back whose token has ended: with another token, it misses little."""

SLICE = 256
"""Subscriptions that are ended in one turn of the reactor. All tokens of one sign-on may end at the same time, and
10,000 ends take half a second."""

MAX_DELAY_S = 86_400.0
"""The longest time for which a timer is set. The end of a token may be years away."""


@dataclass(slots=True, eq=False)
class Admission:
    """A subscription that a token has opened.

    :ivar grant: the grant of the token.
    :ivar end: ends the subscription; it is given the milliseconds after which the client comes back.
    """

    _all: Admissions
    grant: Grant
    end: End
    due_s: float | None = None

    def leave(self) -> None:
        """Takes note that the subscription has ended. A second call has no effect."""
        self._all.discard(self)


@dataclass(eq=False)
class Admissions:
    """All subscriptions of one feed that tokens have opened.

    :ivar clock: a monotonic clock, which measures the time of a token from its admission on: setting the wall clock
        neither ends subscriptions nor prolongs them.
    :ivar wall: the wall clock, in seconds since 1970.
    """

    # required parameters
    clock: IReactorTime
    wall: Callable[[], float]

    # internal state
    slots: ReconnectSlots = field(init=False)
    _open: dict[Admission, None] = field(default_factory=dict)
    # By their ends; the number decides among equals. Those that have left stay until they are many.
    _due: list[tuple[float, int, Admission]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _call: IDelayedCall | None = None

    def __post_init__(self) -> None:
        self.slots = ReconnectSlots(FIRST_S, seconds=self.clock.seconds)

    def __len__(self) -> int:
        return len(self._open)

    def add(self, grant: Grant, end: End) -> Admission:
        """Adds a subscription.

        :param end: ends it, once.
        """
        admission = Admission(self, grant, end)
        self._open[admission] = None
        self._expect(admission)
        return admission

    def discard(self, admission: Admission) -> None:
        """Removes a subscription that has ended."""
        self._open.pop(admission, None)
        if not self._open:
            self._due.clear()
            self._schedule()
        elif len(self._due) > 2 * len(self._open) + SLICE:
            self._due = [each for each in self._due if each[2] in self._open]
            heapify(self._due)

    def check(self, renew: Callable[[Grant], Grant | None]) -> None:
        """Checks all grants again, after tokens or keys have changed.

        :param renew: gives a grant as it is now; ``None`` if it is revoked.
        """
        for admission in tuple(self._open):
            grant = renew(admission.grant)
            if grant is None:
                self._push(admission, self.clock.seconds())
            elif grant != admission.grant:
                admission.grant = grant
                self._expect(admission)
        self._schedule()

    def clear(self) -> None:
        """Forgets all subscriptions, which go on: the feed is public from now on, or they end for another reason."""
        self._open.clear()
        self._due.clear()
        self._schedule()

    def _expect(self, admission: Admission) -> None:
        expires_at = admission.grant.expires_at
        if expires_at is None:
            admission.due_s = None
            return
        self._push(admission, self.clock.seconds() + max(0.0, expires_at - self.wall()))
        self._schedule()

    def _push(self, admission: Admission, due_s: float) -> None:
        admission.due_s = due_s
        heappush(self._due, (due_s, next(self._numbers), admission))

    def _schedule(self, least_s: float = 0.0) -> None:
        call, self._call = self._call, None
        if not self._due:
            if call is not None and call.active():
                call.cancel()
            return
        delay_s = min(MAX_DELAY_S, max(least_s, self._due[0][0] - self.clock.seconds()))
        if call is not None and call.active():
            call.reset(delay_s)
            self._call = call
        else:
            self._call = self.clock.callLater(delay_s, self._end_due)

    def _end_due(self) -> None:
        self._call = None
        now = self.clock.seconds()
        for _ in range(SLICE):
            if not self._due or self._due[0][0] > now:
                break
            due_s, _, admission = heappop(self._due)
            if admission in self._open and admission.due_s == due_s:
                del self._open[admission]
                admission.end(self.slots.take_ms())
        self._schedule()
