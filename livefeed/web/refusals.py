"""The refusal of an event stream: status 200, a ``retry:`` line, and the end of the stream.

An ``EventSource`` does not reconnect after any other status (HTML standard, 9.2.3).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.web.server import NOT_DONE_YET

from livefeed.web.answers import EVENT_STREAM, EVERY_ANSWER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.interfaces import IReactorTime

    from livefeed.web.request import Request

RETRY_S = (6.0, 9.0)
"""After how long clients of a stream that breaks come back: each after another time in this range, so that they do not
come together. The shortest is longer than a restart, which takes 3 s to let everybody go, and 2 s to begin. At a stop
it is the first slot, and the other slots follow it (:mod:`livefeed.web.returns`)."""

MAX_RETRY_S = 60.0
"""The longest time after which a client comes back that was refused, or let go at a stop."""

RETURNS_PER_S = 400
"""Clients that come back in a second after they were refused, or let go at a stop: with a TLS handshake each, they take
a third of a core."""

_JITTER = RETRY_S[1] / RETRY_S[0]
_REFUSED = 503


@dataclass(eq=False)
class Refusals:
    """Decides when those come back that are refused: one after another, however many they are.

    :ivar clock: tells the time.
    """

    # required parameters
    clock: IReactorTime

    # internal state
    _last_return: float = 0.0  # when the one refused last comes back, less the shortest wait

    def next_retry_ms(self) -> int:
        """Gives after how many milliseconds the client that is refused now comes back.

        It grows with the number of those who were refused and are still to come back, up to :data:`MAX_RETRY_S`.
        """
        now = self.clock.seconds()
        longest = now + MAX_RETRY_S / _JITTER - RETRY_S[0]
        self._last_return = min(max(self._last_return, now) + 1 / RETURNS_PER_S, longest)
        wait_s = RETRY_S[0] + self._last_return - now
        return int(1000 * random.uniform(wait_s, wait_s * _JITTER))  # noqa: S311


def refuse_events(request: Request, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Refuses an event stream. The connection stays open for the next attempt of the client.

    The metrics count the answer as a 503.

    :param headers: the fields besides those of every event stream.
    :returns: the result of ``render``.
    """
    request.counts_as = _REFUSED
    body = b"retry: %d\n" % request.channel.site.refusals.next_retry_ms()
    for name, value in (*EVERY_ANSWER, *headers, *EVENT_STREAM):
        request.responseHeaders.setRawHeaders(name, [value])
    if request.clientproto == b"HTTP/1.0":
        # HTTP/1.0 has no chunks: the stream would only end with the connection.
        request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
    request.write(body)
    request.finish()
    return NOT_DONE_YET
