"""Close codes (RFC 6455, 7.4), and the time at which a closed client comes back.

A client that reconnects at once, together with thousands of others, overloads the server. So the subprotocol
``livefeed.delta.v1`` has codes of its own that carry a delay: ``3000 + slot``, where a slot is a multiple of 20 ms.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from livefeed.web.reconnect_slots import SLOT_S

if TYPE_CHECKING:
    from livefeed.web.problem_type import ProblemType

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
_LATE = 300  # 6 s, the first slot after a stop

WITHDRAWN_DELAYS_MS = (30_000, 60_000)
"""The shortest and the longest delay of a client whose document is withdrawn."""


@dataclass(frozen=True, slots=True)
class CloseMeaning:
    """The meaning of a close code.

    :ivar codes: the code, or the first and the last one.
    :ivar by: the clients that are sent it: all, those without a subprotocol, or those with one.
    :ivar when: the reason, in Markdown.
    :ivar client: what the client should do, in Markdown.
    """

    codes: tuple[int, int]
    by: Literal["all", "without a subprotocol", "with a subprotocol"]
    when: str
    client: str


_BROKEN = "repair the client, and do not come back as it is"
MEANINGS = (
    CloseMeaning(
        (GOING_AWAY, GOING_AWAY),
        "without a subprotocol",
        "the server is being stopped or upgraded, the feed was removed or became protected, the part had to make room, "
        "or the token has ended",
        "come back in as many milliseconds as the reason says (the text `come back in N ms`), or after about 6 "
        "seconds, with a random part",
    ),
    CloseMeaning((1002, 1002), "all", "the client broke the protocol (RFC 6455)", _BROKEN),
    CloseMeaning(
        (1007, 1007), "all", "the client sent text that is not UTF-8, or data that cannot be inflated", _BROKEN
    ),
    CloseMeaning(
        (POLICY_VIOLATION, POLICY_VIOLATION), "without a subprotocol", "the client sent too many frames", _BROKEN
    ),
    CloseMeaning((1009, 1009), "all", "the client sent a message larger than 4096 bytes", _BROKEN),
    CloseMeaning(
        (COME_BACK, COME_BACK + SLOTS - 1),
        "with a subprotocol",
        "as 1001",
        "come back in as many milliseconds as the reason says (the text `come back in N ms`). A client that does not "
        "read the reason takes (code - 3000) times 20 ms: the same, except for delays above 9980 ms",
    ),
    CloseMeaning(
        (COME_BACK, COME_BACK + SLOTS - 1),
        "without a subprotocol",
        "the document has [expired](reference/protocol.md#an-expired-document)",
        "stop showing it; come back in (code - 3000) times 20 ms, and less often while that is refused with 410",
    ),
    CloseMeaning(
        (COME_BACK + _LATE, COME_BACK + SLOTS - 1),
        "without a subprotocol",
        "the document is [withdrawn](reference/protocol.md#states)",
        "stop showing it; come back in as many milliseconds as the reason says (the text `come back in N ms`)",
    ),
    CloseMeaning(
        (DO_NOT_COME_BACK, DO_NOT_COME_BACK + SLOTS - 1),
        "with a subprotocol",
        "the client sent too many frames (3500); other codes of the range are not used yet",
        _BROKEN,
    ),
)
"""The codes of all close frames that the server begins with, for the documentation."""

_FIRST_AFTER_EXPIRY = 50  # one second


def told(why: bytes, delay_ms: float, kind: ProblemType) -> bytes:
    """Gives the reason of a close frame, with the page for people and the delay for clients.

    The delay is at the end, where clients look for it that were written before there were pages.

    :param why: the beginning; it may be empty. A reason has 123 bytes at most (RFC 6455, 5.5).
    :param delay_ms: the time in milliseconds after which the client comes back.
    :param kind: the type of problem whose page says more.
    """
    return b"%bsee %b; come back in %d ms" % (why, kind.path.encode(), delay_ms)


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
