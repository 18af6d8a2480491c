"""The number of messages that the parent takes from a worker in a time. No I/O.

Rule: a worker of livefeed never comes near a limit, also when the parent was suspended and reads a backlog. One that
reaches it is broken: its lines of the log are left out, and any other message ends the link.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.exceptions import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ALL = "all"
"""The name of the allowance for messages of all types together."""

LINES = "log"
"""The type of the messages with lines of the log."""

RATES: Mapping[str, tuple[int, float]] = {
    ALL: (50_000, 10_000.0),
    "heartbeat": (1_000, 10.0),
    LINES: (1_000, 50.0),
    "ready": (10, 1.0),
    "sockets": (10, 1.0),
}
"""For each type the number of messages at once, and per second.

64 feeds at their shortest interval have 3,000 events per second to confirm. A heartbeat has 500 bytes at least, so that
a socket and a paused worker hold fewer than 1,000."""


@dataclass(slots=True)
class Allowance:
    """The allowance of one worker: token buckets, each a number, the time at which it is full again.

    :param seconds: gives the time by the clock.
    :ivar left_out: number of lines of the log that were left out since the last that was taken.
    """

    # required parameters
    seconds: Callable[[], float]

    # internal state
    left_out: int = 0
    _full_at: dict[str, float] = field(default_factory=dict)

    def take(self, kind: str) -> bool:
        """Takes note of a message.

        :param kind: its type.
        :returns: whether it may be used. A line of the log may be left out.
        :raises LinkError: if there were too many messages.
        """
        now = self.seconds()
        is_allowed = self._take(ALL, now) and self._take(kind, now)
        if not is_allowed and kind != LINES:
            raise LinkError(f"there are too many messages, the last one is {kind}")
        if not is_allowed:
            self.left_out += 1
        return is_allowed

    def _take(self, kind: str, now: float) -> bool:
        if kind not in RATES:
            return True
        burst, per_second = RATES[kind]
        full_at = max(self._full_at.get(kind, now), now)
        # Half a message apart from the limit, so that errors of rounding cannot add or remove one.
        if full_at - now > (burst - 0.5) / per_second:
            return False
        self._full_at[kind] = full_at + 1 / per_second
        return True
