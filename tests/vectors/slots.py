"""The section of slots: the time after which a client comes back, by everything that a server says about it.

Each time has a tolerance for the random part of a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MARGIN_MS = 250
"""The most that a client may add to a slot of its own, in milliseconds: the next slot is 20 ms later, and timers are
late."""

LONGEST_MS = 3_600_000
"""The longest time in milliseconds that a client believes. A longer one counts as this."""

Delay = tuple[int, int] | None
"""The shortest and the longest time in milliseconds; ``None`` if the client does not come back."""


def slots() -> Iterator[dict[str, object]]:
    """Gives close codes with and without a reason, statuses with ``Retry-After``, and ``retry`` lines of events."""
    for code, reason, ms in (
        (3000, "come back in 0 ms", 0),
        (3007, "come back in 140 ms", 140),
        (3007, "", 140),
        (3499, "", 9980),
        (3310, "come back in 64213 ms", 64_213),
        (3050, "the document has expired; come back in 1000 ms", 1000),
        (3050, "the document has expired", 1000),
        (3475, "the document is withdrawn; come back in 43500 ms", 43_500),
        (3300, "see /-/problems/come-back; come back in 6000 ms", 6000),
        (3310, "the document is withdrawn; see /-/problems/withdrawn; come back in 43500 ms", 43_500),
        (3010, "come back soon", 200),
        (1001, "come back in 6780 ms", 6780),
    ):
        yield _closed(code, reason, (ms, ms + MARGIN_MS))
    yield _closed(1001, "", (4500, 9000))
    # No server silences its clients for more than an hour.
    for code in (3000, 1001):
        yield _closed(code, "come back in 999999999 ms", (LONGEST_MS, LONGEST_MS + MARGIN_MS))
    for code in (1002, 1007, 1008, 1009, 3500, 3999):
        yield _closed(code, "", None)
    yield _closed(3500, "come back in 100 ms", None)
    for status, seconds in ((503, 1), (503, 60), (410, 2), (304, 7), (200, 5), (503, 99_999_999_999)):
        ms = min(1000 * seconds, LONGEST_MS)
        yield {"status": status, "retry_after": str(seconds), "delay_ms": [ms, ms + 1000]}
    yield {"status": 410, "retry_after": None, "delay_ms": [30_000, 60_000]}
    for retry in (6000, 8999, 60_000, 31_536_000_000):
        yield {"retry": retry, "delay_ms": _after(retry)}
    # The member of a message of the type refused.
    for refused in (0, 1000, 10_000, 31_536_000_000):
        yield {"refused": refused, "delay_ms": _after(refused)}
    yield {"refused": None, "delay_ms": None}


def _after(ms: int) -> list[int]:
    shortest = min(ms, LONGEST_MS)
    return [shortest, shortest + MARGIN_MS]


def _closed(code: int, reason: str, delay: Delay) -> dict[str, object]:
    return {"code": code, "reason": reason, "delay_ms": None if delay is None else [*delay]}
