"""Whole answers: the only function through which resources respond, and the answers that several resources give."""

from __future__ import annotations

import math
import time
from functools import cache, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from twisted.web.http import datetimeToString
from twisted.web.http_headers import Headers
from twisted.web.server import NOT_DONE_YET

from livefeed.document.snapshot import IDENTITY
from livefeed.web import problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from livefeed.web.interfaces import AnsweredRequest
    from livefeed.web.problem_type import ProblemType


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

PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""The reason phrases of RFC 9110, section 15. Python has some of its own before 3.13."""

_IDENTITY = IDENTITY.encode()
_STATUS_LINES = {status: f"{status} {phrase}".encode() for status, phrase in PHRASES.items()}


def answer(
    request: AnsweredRequest, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes | None = b""
) -> int:
    """Answers a request completely.

    :param status: the status code.
    :param headers: the fields besides :data:`EVERY_ANSWER`. Of two fields with one name the later counts. A value of
        ``Connection`` is added to the value that the channel has set, which may announce the end of the connection.
    :param body: the content, which is left out if the method is ``HEAD``. ``None`` for a status without content (204,
        304), which has no ``Content-Length``.
    :returns: the result of ``render``.
    """
    lines = fields_by_name(request.opening(), headers, body)
    request.coding = coding_of(lines)
    request.reply(status, b"%b %b" % (request.clientproto, head_of(status, lines)), body or b"")
    return NOT_DONE_YET


def fields_by_name(
    first: Iterable[tuple[bytes, bytes]], others: Iterable[tuple[bytes, bytes]], body: bytes | None
) -> dict[bytes, bytes]:
    """Gives the fields of an answer by their names, in their order.

    :param first: the fields with which it begins.
    :param others: the fields besides these and :data:`EVERY_ANSWER`; see :func:`answer`.
    :param body: the content; ``None`` for a status without content.
    """
    lines = dict(first)
    for name, value in (*EVERY_ANSWER, *others):
        written = _as_written(name)
        is_joined = written == b"Connection" and written in lines
        lines[written] = lines[written] + b", " + value if is_joined else value
    if body is not None:
        lines[b"Content-Length"] = b"%d" % len(body)
    return lines


def opening_fields() -> tuple[tuple[bytes, bytes], ...]:
    """Gives the fields with which each answer to a request begins."""
    return (b"Server", SERVER), (b"Date", http_date())


def coding_of(lines: Mapping[bytes, bytes]) -> str:
    """Gives the content coding of an answer.

    :param lines: the fields, by their names.
    """
    return lines.get(b"Content-Encoding", _IDENTITY).decode()


def head_of(status: int, lines: Mapping[bytes, bytes]) -> bytes:
    """Gives the head of an answer, without the version of the protocol and the blank behind it.

    :param lines: the fields, by their names.
    """
    head = b"\r\n".join([_STATUS_LINES[status], *map(b": ".join, lines.items()), b"", b""])
    # A line end in a value would begin another field, or the body.
    if head.count(b"\n") + head.count(b"\r") != 2 * len(lines) + 4:
        return head_of(status, {name: b" ".join(value.splitlines()) for name, value in lines.items()})
    return head


def line_of(field: tuple[bytes, bytes]) -> bytes:
    """Gives the line of a field."""
    return b"%b: %b\r\n" % field


def http_date() -> bytes:
    """Gives the present time as ``Date`` has it (RFC 9110, 5.6.7)."""
    return _date_of(int(time.time()))


@lru_cache(maxsize=1)
def _date_of(second: int) -> bytes:
    """Gives a time as ``Date`` has it. It takes 2 µs."""
    date: bytes = datetimeToString(second)
    return date


@cache
def _as_written(name: bytes) -> bytes:
    """Gives the name of a field as twisted.web writes it. All names are livefeed's own, so there are few."""
    return next(Headers({name: [b""]}).getAllRawHeaders())[0]


def problem(
    kind: ProblemType, detail: str, more: Mapping[str, str] | None = None
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Gives the fields and the body of an error (RFC 9457).

    :param kind: its type, which has the status code.
    :param detail: one sentence for a human reader. It must not contain anything that the client sent.
    :param more: further members (RFC 9457, 3.2).
    """
    facts = {"type": kind.path, "title": kind.title, "status": kind.status, "detail": detail, **(more or {})}
    # With a line end: otherwise the prompt of a shell stands behind the text that curl shows.
    body = msgspec.json.encode(facts) + b"\n"
    return [(b"Content-Type", b"application/problem+json"), (b"Cache-Control", b"no-store")], body


def refuse(
    request: AnsweredRequest,
    kind: ProblemType,
    detail: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    more: Mapping[str, str] | None = None,
) -> int:
    """Answers a request with a problem; see :func:`problem`."""
    fields, body = problem(kind, detail, more)
    return answer(request, kind.status, (*fields, *headers), body)


def refuse_one_more(request: AnsweredRequest, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Refuses a request to follow a feed whose limit of subscribers is reached."""
    return refuse(
        request,
        problems.TOO_MANY_SUBSCRIBERS,
        "As many follow this already as may.",
        [*headers, retry_after(FULL_RETRY_S)],
    )


def refuse_not_pulled(request: AnsweredRequest, retry_s: float, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Refuses a request for a feed without any version yet.

    :param retry_s: the seconds until the next tick.
    """
    return refuse(request, problems.NO_VERSION_YET, "There is no document yet.", [*headers, retry_after(retry_s)])


def refuse_expired(request: AnsweredRequest, retry_s: float, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Refuses a request for a feed whose document is too old to be shown.

    The status is 410 and not 503, because a cache may answer with its copy instead of a 503.

    :param retry_s: the seconds until the next tick.
    """
    detail = "The document is too old to be shown. Come back later."
    return refuse(request, problems.EXPIRED, detail, [*headers, retry_after(retry_s)])


def refuse_withdrawn(request: AnsweredRequest, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Refuses a request for a feed whose document is withdrawn. Nothing tells when another one comes.

    The status is 410 for the same reason as that of :func:`refuse_expired`.
    """
    return refuse(request, problems.WITHDRAWN, "The document is withdrawn, and must not be shown.", headers)


def retry_after(delay_s: float) -> tuple[bytes, bytes]:
    """Gives the field ``Retry-After`` (RFC 9110, 10.2.3)."""
    return b"Retry-After", b"%d" % whole_seconds(delay_s)


def whole_seconds(delay_s: float) -> int:
    """Gives a delay in whole seconds, rounded up, and at least one: a client must not ask again at once."""
    return math.ceil(max(1.0, delay_s))
