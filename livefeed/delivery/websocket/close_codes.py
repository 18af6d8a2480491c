"""Close codes (RFC 6455, 7.4), and the time at which a closed client comes back.

A client that reconnects at once, together with thousands of others, overloads the server. So the subprotocol
``livefeed.delta.v1`` has codes of its own that carry a delay: ``3000 + slot``, where a slot is a multiple of 20 ms.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

GOING_AWAY = 1001
POLICY_VIOLATION = 1008

COME_BACK = 3000
SLOTS = 500
SLOT_S = 0.02
"""The first of the 500 close codes that ask a client to come back, each one slot of 20 ms later than the one before."""

DO_NOT_COME_BACK = 3500
"""The first close code that tells a client not to come back, because the client has a defect."""

AWAY_S = 1.0
"""Seconds until the first client may come back. A restart may take longer: a refused client tries again."""

WEBSOCKET_RECONNECTS_PER_S = 1000
"""Clients that come back per second while there are enough slots: with TLS they use less than half of a core."""

_FIRST_SLOT = round(AWAY_S / SLOT_S)

LAST_SLOT = SLOTS - 1


def slots_for(count: int) -> Iterator[int]:
    """Gives a slot, 50 to 499, to each of a number of clients: in order and evenly, at most 1000 clients per second.

    If the clients need more slots than there are, each slot takes more clients.
    """
    slots = min(SLOTS - _FIRST_SLOT, math.ceil(count / (WEBSOCKET_RECONNECTS_PER_S * SLOT_S)))
    for number in range(count):
        yield _FIRST_SLOT + number * slots // count


def random_slot() -> int:
    """Gives a random slot, 50 to 499."""
    return random.randrange(_FIRST_SLOT, SLOTS)  # noqa: S311


def delay_ms(slot: int) -> float:
    """Gives the delay that a slot stands for, in milliseconds.

    :param slot: 0 to 499.
    """
    return slot * SLOT_S * 1000
