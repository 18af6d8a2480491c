"""Answers as a whole: the one way in which a resource of livefeed responds, and its small JSON body for errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from twisted.web.server import NOT_DONE_YET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.web.server import Request


SERVER = b"livefeed"
_RETRY_S = b"10"
EVERY_ANSWER = ((b"Server", SERVER), (b"X-Content-Type-Options", b"nosniff"))
EVENT_STREAM = (
    (b"Content-Type", b"text/event-stream"),
    # A proxy that compresses keeps events back until it has enough of them; no-transform forbids it.
    (b"Cache-Control", b"no-store, no-transform"),
    (b"X-Accel-Buffering", b"no"),
)
"""The fields of every stream of events, and of every answer that refuses one."""


def answer(request: Request, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes | None = b"") -> int:
    """Answers a request in one go.

    :param status: the status code.
    :param headers: the fields, besides those that every answer has. Of two by one name the later counts; ``Connection``
        is added to what stands there, since the channel says there that an answer is the last.
    :param body: the content; it is left out by itself where the method is ``HEAD``. ``None`` for a status that has no
        content (204, 304), which then is sent no ``Content-Length``.
    :returns: what ``render`` returns.
    """
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    for name, value in (*EVERY_ANSWER, *headers):
        before = request.responseHeaders.getRawHeaders(name, []) if name == b"Connection" else []
        request.responseHeaders.setRawHeaders(name, [b", ".join((*before, value))])
    if body is not None:
        request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
        request.write(body)
    request.finish()
    return NOT_DONE_YET


def problem(status: int, detail: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Gives the fields and the body that tell what went wrong (RFC 9457).

    :param status: the status code.
    :param detail: one sentence for the person who reads it. It holds nothing that the client sent.
    """
    body = msgspec.json.encode({"title": HTTPStatus(status).phrase, "status": status, "detail": detail})
    return [(b"Content-Type", b"application/problem+json"), (b"Cache-Control", b"no-store")], body


def refuse_one_more(request: Request, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Answers a request to follow a feed that as many follow already as may."""
    return refuse(request, 503, "As many follow this already as may.", [*headers, (b"Retry-After", _RETRY_S)])


def refuse(request: Request, status: int, detail: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Answers a request with a problem."""
    fields, body = problem(status, detail)
    return answer(request, status, (*fields, *headers), body)
