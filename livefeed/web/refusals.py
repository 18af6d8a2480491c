"""The refusal of an event stream: status 200, a ``retry:`` line, and the end of the stream.

An ``EventSource`` does not reconnect after any other status (HTML standard, 9.2.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.web.server import NOT_DONE_YET

from livefeed.web.answers import EVENT_STREAM, EVERY_ANSWER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from livefeed.web.problem_type import ProblemType
    from livefeed.web.request import Request

_COUNTS_AS = 503


def refuse_events(
    request: Request, kind: ProblemType, headers: Iterable[tuple[bytes, bytes]] = (), retry_ms: int | None = None
) -> int:
    """Refuses an event stream. The connection stays open for the next attempt of the client.

    The metrics count the answer as a 503. A comment, which no client reads, names the page of the reason.

    :param kind: the reason, with which any other request would be refused.
    :param headers: the fields besides those of every event stream.
    :param retry_ms: the delay in milliseconds after which the client comes back; ``None`` for the next slot of clients
        that are refused.
    :returns: the result of ``render``.
    """
    request.counts_as = _COUNTS_AS
    if retry_ms is None:
        retry_ms = request.channel.site.refusal_slots.next_retry_ms()
    body = b"retry: %d\n: see %s\n" % (retry_ms, kind.path.encode())
    for name, value in (*EVERY_ANSWER, *headers, *EVENT_STREAM):
        request.responseHeaders.setRawHeaders(name, [value])
    if request.clientproto == b"HTTP/1.0":
        # HTTP/1.0 has no chunks: the stream would only end with the connection.
        request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
    request.write(body)
    request.finish()
    return NOT_DONE_YET
