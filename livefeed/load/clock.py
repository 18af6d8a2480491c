"""The clock of the server, estimated from its answers, so that the times of a feed can be compared with this machine's.

``Date`` has whole seconds: an answer with the date D was made at a moment of [D, D + 1) of the server's clock, between
the request and the answer by this machine's clock. Each answer therefore limits the difference of the clocks to an
interval, and answers at different parts of a second together limit it to a few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

SECOND_NS = 1_000_000_000

LAG_NS = 20_000_000
"""The time in nanoseconds by which a server may be late with a new ``Date``: many make it once for many answers."""

SAMPLES = 12
"""The answers of an estimate: each halves the interval, from a second to a quarter of a millisecond."""


@dataclass(frozen=True, slots=True)
class Offset:
    """The difference of two clocks: the server's less this machine's.

    :ivar lowest_ns: the smallest difference that agrees with all answers.
    :ivar highest_ns: the largest.
    """

    lowest_ns: int
    highest_ns: int

    @property
    def estimate_ns(self) -> int:
        """The middle."""
        return (self.lowest_ns + self.highest_ns) // 2

    @property
    def error_ns(self) -> int:
        """The largest error of the estimate."""
        return (self.highest_ns - self.lowest_ns) // 2

    def narrowed(self, other: Offset) -> Offset | None:
        """Gives what agrees with both; ``None`` if nothing does: a clock was set, or the server's dates are late."""
        lowest, highest = max(self.lowest_ns, other.lowest_ns), min(self.highest_ns, other.highest_ns)
        return Offset(lowest, highest) if lowest <= highest else None

    def best_moment_ns(self, now_ns: int) -> int:
        """Gives the next moment at which an answer halves the interval: the end of the server's second."""
        server_ns = now_ns + self.estimate_ns
        return now_ns + (-server_ns) % SECOND_NS


def offset_of(date: str | None, sent_ns: int, received_ns: int) -> Offset | None:
    """Gives the differences that agree with one answer.

    :param date: its ``Date``.
    :param sent_ns: when the request was sent, in nanoseconds since 1970 by this machine's clock.
    :param received_ns: when the answer came.
    :returns: the differences; ``None`` without a date.
    """
    try:
        at_ns = int(parsedate_to_datetime(date or "").timestamp()) * SECOND_NS
    except (ValueError, TypeError, OverflowError):
        return None
    return Offset(at_ns - received_ns, at_ns + SECOND_NS + LAG_NS - sent_ns)
