"""Close codes (RFC 6455, 7.4), and the time at which a closed client comes back.

A client that reconnects at once, together with thousands of others, overloads the server. So the subprotocol
``livefeed.delta.v1`` has codes of its own that carry a delay: ``3000 + slot``, where a slot is a multiple of 20 ms.
"""

from __future__ import annotations

import random

from livefeed.web.reconnect_slots import SLOT_S

CLOSE_TIMEOUT_S = 2
"""Seconds that a client has to answer a close frame, and to end its side of the connection after that."""

GOING_AWAY = 1001
POLICY_VIOLATION = 1008

COME_BACK = 3000
SLOTS = 500
"""The first of the 500 close codes that ask a client to come back, each one slot of 20 ms later than the one before."""

DO_NOT_COME_BACK = 3500
"""The first close code that tells a client not to come back, because the client has a defect."""

LAST_SLOT = SLOTS - 1

WITHDRAWN_DELAYS_MS = (30_000, 60_000)
"""The shortest and the longest delay of a client whose document is withdrawn."""

_FIRST_AFTER_EXPIRY = 50  # one second
_LATE = 300  # 6 s, the first slot after a stop


def close_code(delay_ms: float) -> int:
    """Gives the close code that asks a client to come back after a delay.

    Codes end at 9.98 s. Longer delays are in the reason alone, and their codes are spread over those from 6 s on: a
    client that reads the code alone comes too early, but not together with all others of these.

    :param delay_ms: in milliseconds, 0 or more.
    """
    slot = round(delay_ms / 1000 / SLOT_S)
    if slot > LAST_SLOT:
        slot = _LATE + (slot - SLOTS) % (SLOTS - _LATE)
    return COME_BACK + slot


def random_slot() -> int:
    """Gives a random slot, 50 to 499, to a client that is closed since the document has expired."""
    return random.randrange(_FIRST_AFTER_EXPIRY, SLOTS)  # noqa: S311


def withdrawal_delay_ms() -> int:
    """Gives a random delay in milliseconds to a client that is closed since the document is withdrawn.

    It is longer than any code can say: another document seldom comes at once, and the client is refused until then.
    """
    return random.randint(*WITHDRAWN_DELAYS_MS)  # noqa: S311


def delay_ms(slot: int) -> float:
    """Gives the delay that a slot stands for, in milliseconds.

    :param slot: 0 to 499.
    """
    return slot * SLOT_S * 1000
