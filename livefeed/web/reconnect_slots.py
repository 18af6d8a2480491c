"""Reconnect slots: the delays after which refused and released clients come back, so that they do not come together.

Event streams carry them in ``retry:``, and long polls in ``Retry-After``. WebSockets have slots of their own, in close
codes.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

RECONNECT_DELAYS_S = (6.0, 9.0)
"""The shortest and the longest delay in seconds after which the client of a broken event stream comes back. Each client
has a random delay in this range. The shortest is longer than a restart: 3 s to release all clients, and 2 s to start.
It is also the delay of the first slot."""

MAX_RECONNECT_DELAY_S = 60.0
"""Limit in seconds of the delay of a client that is refused, or released at a stop."""

RECONNECTS_PER_S = 400
"""Clients that come back per second after a refusal or a stop. With a TLS handshake each they use a third of a core."""

SLOT_LENGTH_S = 0.02
"""The length of a slot in seconds. Eight clients share it, of the 400 that come back per second. More would be a storm:
to begin an event stream with a full TLS handshake took 3 ms of a busy processor; without TLS it took 0.9 ms."""

SLOT_COUNT = round((MAX_RECONNECT_DELAY_S - RECONNECT_DELAYS_S[0]) / SLOT_LENGTH_S)
"""Slots until the longest delay. Further clients begin with the first slot again."""

_PER_SLOT = round(RECONNECTS_PER_S * SLOT_LENGTH_S)
_JITTER = RECONNECT_DELAYS_S[1] / RECONNECT_DELAYS_S[0]


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
    """Gives each client that is released a slot: the first is after a restart, and all slots have equally many clients.

    All clients of a slot are sent the same delay, so that a message is rendered once per slot.
    """

    # internal state
    _count: int = 0

    def add(self, count: int = 1) -> None:
        """Takes the places of clients that were sent their delay.

        :param count: the number of these clients.
        """
        self._count += count

    def retry_ms(self) -> int:
        """Gives the delay of the next client in milliseconds: 6000 to 59,980, a multiple of 20."""
        slot = self._count // _PER_SLOT % SLOT_COUNT
        return round(1000 * (RECONNECT_DELAYS_S[0] + slot * SLOT_LENGTH_S))

    def retry_after_s(self) -> int:
        """Gives the same in whole seconds, rounded up, for ``Retry-After`` (RFC 9110, 10.2.3)."""
        return math.ceil(self.retry_ms() / 1000)
