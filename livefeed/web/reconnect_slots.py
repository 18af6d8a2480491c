"""Reconnect slots: the delays after which refused and released clients come back, so that they do not come together.

Every transport carries them: event streams in ``retry:``, long polls in ``Retry-After``, and WebSockets in close codes
and reasons. All clients that are released together take their slots from one :class:`ReconnectSlots`, whatever their
transports: the sum of their returns is limited.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

RECONNECT_DELAYS_S = (6.0, 9.0)
"""The shortest and the longest delay in seconds after which the client of a broken event stream comes back. Each client
has a random delay in this range. The shortest is longer than a restart: 3 s to release all clients, and 2 s to start.
It is also the delay of the first slot."""

MAX_RECONNECT_DELAY_S = 60.0
"""Limit in seconds of the delay of a client that is refused. That of a released client is as long as needed."""

RECONNECTS_PER_S = 400
"""Clients that come back per second after a refusal, or after a stop if the cost of a handshake is unknown.

To begin an event stream with a full TLS handshake took 3 ms of a busy processor; without TLS it took 0.9 ms."""

SLOT_S = 0.02
"""The length of a slot in seconds. At 400 clients per second, eight share it."""

_JITTER = RECONNECT_DELAYS_S[1] / RECONNECT_DELAYS_S[0]
_EXACT = 1e-9  # repairs divisions whose exact result is a whole number


def _no_time_passes() -> float:
    return 0.0


@dataclass(eq=False)
class RefusalSlots:
    """Gives each client whose event stream is refused a delay, one client after the other.

    :ivar clock: measures the time.
    """

    # required parameters
    clock: IReactorTime

    # internal state
    _last_return: float = 0.0  # the return of the last refused client, less the shortest delay

    def next_retry_ms(self) -> int:
        """Gives the delay in milliseconds after which the client that is refused now comes back.

        It grows with the number of refused clients that have not come back yet, up to :data:`MAX_RECONNECT_DELAY_S`.
        """
        now = self.clock.seconds()
        longest = now + MAX_RECONNECT_DELAY_S / _JITTER - RECONNECT_DELAYS_S[0]
        self._last_return = min(max(self._last_return, now) + 1 / RECONNECTS_PER_S, longest)
        wait_s = RECONNECT_DELAYS_S[0] + self._last_return - now
        return int(1000 * random.uniform(wait_s, wait_s * _JITTER))  # noqa: S311


@dataclass(eq=False)
class ReconnectSlots:
    """Gives each client that is released a slot, one client after the other.

    All clients of a slot are sent the same delay, so that a message is rendered once per slot.

    :ivar first_s: the shortest delay in seconds: until the server, or its successor, takes clients again.
    :ivar returns_per_s: the clients that come back per second, more than 0.
    :ivar seconds: a monotonic clock, for clients that are released over some time: each comes back ``first_s`` after
        its own release, or later if others have taken the slots until then. By default all are released at once.
    """

    # required parameters
    first_s: float = RECONNECT_DELAYS_S[0]
    returns_per_s: float = RECONNECTS_PER_S
    seconds: Callable[[], float] = _no_time_passes

    # internal state
    _begin: float | None = None  # the time of slot 0
    _count: int = 0  # of the clients since then

    def add(self, count: int = 1) -> None:
        """Takes the places of clients that were sent their delay.

        :param count: the number of these clients.
        """
        self._count += count

    def retry_ms(self) -> int:
        """Gives the delay of the next client in whole milliseconds."""
        now = self.seconds()
        first = now + self.first_s
        if self._begin is None:
            self._begin = first
        elif self._begin + self._count / self.returns_per_s < first:
            # Slots that nobody has taken in time are not made up for.
            self._begin, self._count = first, 0
        slot = int(self._count / (self.returns_per_s * SLOT_S) + _EXACT)
        # A slot begins up to its length before its turn.
        return round(1000 * max(self.first_s, self._begin - now + slot * SLOT_S))

    def retry_after_s(self) -> int:
        """Gives the same in whole seconds, rounded up, for ``Retry-After`` (RFC 9110, 10.2.3)."""
        return math.ceil(self.retry_ms() / 1000)

    def take_s(self) -> int:
        """Gives the delay of the next client in whole seconds, rounded up, and takes its place."""
        delay_s = self.retry_after_s()
        self._count += 1
        return delay_s

    def take_ms(self) -> int:
        """Gives the delay of the next client in milliseconds, and takes its place."""
        delay_ms = self.retry_ms()
        self._count += 1
        return delay_ms
