"""Whole answers: the only function through which resources respond, and the answers that several resources give."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from twisted.web.server import NOT_DONE_YET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from twisted.web.server import Request


SERVER = b"livefeed"

FULL_RETRY_S = 10
"""``Retry-After`` in seconds at the limit of subscribers. Nothing announces when a place becomes free, so clients must
ask again. With a TLS handshake each attempt takes 3 ms: 1,000 refused clients use a third of a core."""

EVERY_ANSWER = ((b"Server", SERVER), (b"X-Content-Type-Options", b"nosniff"))
EVENT_STREAM = (
    (b"Content-Type", b"text/event-stream"),
    # A proxy that compresses holds events back until it has enough of them; no-transform forbids it.
    (b"Cache-Control", b"no-store, no-transform"),
    (b"X-Accel-Buffering", b"no"),
)
"""The fields of every stream of events, and of every refusal of a stream."""

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


def answer(request: Request, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes | None = b"") -> int:
    """Answers a request completely.

    :param status: the status code.
    :param headers: the fields besides :data:`EVERY_ANSWER`. Of two fields with one name the later counts. A value of
        ``Connection`` is added to the value that the channel has set, which may announce the end of the connection.
    :param body: the content, which is left out if the method is ``HEAD``. ``None`` for a status without content (204,
        304), which has no ``Content-Length``.
    :returns: the result of ``render``.
    """
    request.setResponseCode(status, _PHRASES[status])
    answered = request.responseHeaders
    for name, value in (*EVERY_ANSWER, *headers):
        # Only this field is joined: joining all 17 fields of a document took 2 µs more.
        before = answered.getRawHeaders(name, []) if name == b"Connection" else ()
        answered.setRawHeaders(name, [b", ".join((*before, value))] if before else [value])
    if body is not None:
        answered.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
        request.write(body)
    request.finish()
    return NOT_DONE_YET


def problem(status: int, detail: str, more: Mapping[str, str] | None = None) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Gives the fields and the body of an error (RFC 9457).

    :param status: the status code.
    :param detail: one sentence for a human reader. It must not contain anything that the client sent.
    :param more: further members (RFC 9457, 3.2).
    """
    facts = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, **(more or {})}
    body = msgspec.json.encode(facts)
    return [(b"Content-Type", b"application/problem+json"), (b"Cache-Control", b"no-store")], body


def refuse(
    request: Request,
    status: int,
    detail: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    more: Mapping[str, str] | None = None,
) -> int:
    """Answers a request with a problem; see :func:`problem`."""
    fields, body = problem(status, detail, more)
    return answer(request, status, (*fields, *headers), body)


def refuse_one_more(request: Request, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Refuses a request to follow a feed whose limit of subscribers is reached."""
    return refuse(request, 503, "As many follow this already as may.", [*headers, retry_after(FULL_RETRY_S)])


def refuse_not_pulled(request: Request, retry_s: float, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Refuses a request for a feed without any version yet.

    :param retry_s: the seconds until the next tick.
    """
    return refuse(request, 503, "The document has not been pulled yet.", [*headers, retry_after(retry_s)])


def refuse_expired(request: Request, retry_s: float, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Refuses a request for a feed whose document is too old to be shown.

    The status is 410 and not 503, because a cache may answer with its copy instead of a 503.

    :param retry_s: the seconds until the next tick.
    """
    detail = "The document is too old to be shown. Come back later."
    return refuse(request, 410, detail, [*headers, retry_after(retry_s)])


def refuse_withdrawn(request: Request, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Refuses a request for a feed whose document is withdrawn. Nothing tells when another one comes.

    The status is 410 for the same reason as that of :func:`refuse_expired`.
    """
    return refuse(request, 410, "The document is withdrawn, and must not be shown.", headers)


def retry_after(delay_s: float) -> tuple[bytes, bytes]:
    """Gives the field ``Retry-After`` (RFC 9110, 10.2.3)."""
    return b"Retry-After", b"%d" % whole_seconds(delay_s)


def whole_seconds(delay_s: float) -> int:
    """Gives a delay in whole seconds, rounded up, and at least one: a client must not ask again at once."""
    return math.ceil(max(1.0, delay_s))
