"""The time limits of a connection: one deadline at a time, for its present activity.

Rule: this file sets deadlines. ``closing`` has what follows when one passes.
"""

from __future__ import annotations

from livefeed.web.channel_state import ChannelState

HEAD_TIMEOUT_S = 10
"""Seconds that a head may take. Only an attacker is slower, or a line that would not carry 4 KB of answer either."""

SEND_TIMEOUT_S = 300
"""Seconds that a client may take to read an answer: 1 MiB at 3.5 KB/s."""


class TimeLimits(ChannelState):
    """The part of a channel that sets its deadline."""

    def setTimeout(self, period: float | None) -> float | None:
        """TimeoutMixin API. A transport that sweeps deadlines keeps the time, which saves a timer per connection."""
        timed = self._timed
        if timed is not None:
            if period is not None and timed.over_capacity:
                # A client beyond the limit must send its request at once, because others wait for their refusals.
                period = min(period, self.site.head_timeout_s)
            timed.set_deadline(period)
        elif self._deadline is not None:
            self._deadline.set(period)
        # HTTPChannel takes the result for the previous period, and restores that when a request is done.
        idle: float | None = self.site.timeOut
        return idle

    def resetTimeout(self) -> None:
        """TimeoutMixin API. Received data postpones nothing: the deadline of a head is for its last byte."""

    def _set_timeout_for_now(self) -> None:
        if self._closing or self._successor is not None:
            return
        if self.paused:
            self.setTimeout(SEND_TIMEOUT_S)
        elif self._handlingRequest:
            self.setTimeout(None)
        else:
            self.setTimeout(self.site.head_timeout_s if self._in_head else self.site.timeOut)

    def _watch_head(self) -> None:
        under_way = bool(self._buffer or self.requests) and not self._handlingRequest
        if self._closing or self.paused:
            return
        if under_way and not self._in_head:
            self._in_head = True
            self._set_timeout_for_now()

    def _forget_deadline(self) -> None:
        """Ends all time limits, since nothing of the connection is left to this channel."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
