"""The fields of a request, parsed once: the codings, forms, versions and delays that its answer depends on.

Rule: this file is pure. Nothing here reads a resource, a clock or a connection.

A request that is rendered has all its fields in one :class:`RequestFields`. Replay, which decides whether two requests
are answered the same, has the fields of its key alone, in :class:`KeyedFields`, and parses as few of them as it needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from livefeed.document.codings import CODINGS, MAX_MEMBERS, MAX_PARAMETERS, members_of
from livefeed.document.snapshot import IDENTITY
from livefeed.web.conditional import listed_tags
from livefeed.web.replay import KEYED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from twisted.web.http_headers import Headers

EVENTS = b"text/event-stream"

JSON_PATCH, SPLICES = b"json-patch", b"livefeed-splices"
MANIPULATIONS = (JSON_PATCH, SPLICES)
"""The instance manipulations (RFC 3229) that a client can ask for in ``A-IM``: the answer is a JSON Patch, or splices.
"""

KEPT = 256
"""Upper limit of the values of a field whose meaning is kept, by each of three functions. Clients of one kind send the
same. Clients can make the values 4 MB for each function, since a head has at most 16 KB."""

MAX_WAIT_S = 55
"""Limit of the wait in seconds. Most proxies give up on an answer after 60 s."""

_QVALUE = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")
_WAIT = re.compile(rb'[ \t]*wait[ \t]*=[ \t]*(?:([0-9]{1,18})|"([0-9]{1,18})")[ \t]*(?:;|\Z)', re.IGNORECASE)
_WAIT_NAME = re.compile(rb"[ \t]*wait[ \t]*(?:[=;]|\Z)", re.IGNORECASE)
# The text between commas, except the commas in quoted strings (RFC 9110, 5.6.4). A string that is never closed extends
# to the end: to look for another beginning within it would take quadratic time.
_PREFERENCE = re.compile(rb'(?:"(?>[^"\\]++|\\.)*+(?:"|\\?\Z)|[^,"]++)+')
# The first segment of a path has the name of the feed and the form of the answer.
_AUTHORITY = re.compile(rb"\A[A-Za-z]+://[^/?]*")
_EVENTS_PATH = re.compile(rb"/[^/?]*\.sse(?:[/?]|\Z)")
_OTHER_PATH = re.compile(rb"/[^/?]*\.(?:json|ws|html)(?:[/?]|\Z)")


class KeyedFields(NamedTuple):
    """The fields in the key of replay, as they were sent: each ``None`` if it was not sent.

    Their order is that of :data:`livefeed.web.replay.KEYED`. A frozen dataclass would take 1.7 µs more to make, of the
    12 µs that replay takes for a head that it has never seen.
    """

    accept: bytes | None
    accept_encoding: bytes | None
    if_none_match: bytes | None
    origin: bytes | None
    connection: bytes | None
    prefer: bytes | None
    a_im: bytes | None

    def persistence(self) -> bytes | None:
        """Gives the field ``Connection`` if the connection may end with the answer."""
        return self.connection if self.connection is not None and b"close" in self.connection.lower() else None

    def accepts_events(self) -> bool:
        """Tells whether ``Accept`` names :data:`EVENTS`."""
        return first_accepted(self.accept, (EVENTS,)) is not None

    def manipulation(self) -> bytes | None:
        """Gives the first of :data:`MANIPULATIONS` that ``A-IM`` names; ``None`` if it names none."""
        return first_accepted(self.a_im, MANIPULATIONS)


@dataclass(frozen=True, slots=True)
class RequestFields:
    """The parsed fields of a request.

    :ivar keyed: the fields in the key of replay, as they were sent.
    :ivar accepts_events: whether ``Accept`` names ``text/event-stream``.
    :ivar codings: the weights of the content codings, from ``Accept-Encoding``; see :func:`coding_weights`.
    :ivar tags: the entity tags of ``If-None-Match``; see :func:`livefeed.web.conditional.listed_tags`.
    :ivar wait_s: the preferred wait in seconds, from ``Prefer``; ``None`` if there is none.
    :ivar manipulation: the first of :data:`MANIPULATIONS` that ``A-IM`` names; ``None`` if it names none.
    :ivar connection_options: the members of ``Connection``, in lower case.
    :ivar if_match: the field ``If-Match``; ``None`` if it was not sent.
    :ivar asks_for_websocket: whether the request asks to become a WebSocket (RFC 6455, 4.1). In HTTP/1.0 none can
        (RFC 9110, 7.8).
    :ivar is_preflight: whether a browser asks if a page of another origin may send its request (Fetch standard, 3.2.2).
    :ivar asks_to_close: whether the client closes the connection after the answer (RFC 9112, 9.6). twisted.web finds
        ``close`` also between blanks of the first line of ``Connection``, and obeys it in HTTP/1.1.
    """

    keyed: KeyedFields
    accepts_events: bool
    codings: Mapping[str, float]
    tags: list[bytes]
    wait_s: int | None
    manipulation: bytes | None
    connection_options: list[bytes]
    if_match: bytes | None
    asks_for_websocket: bool
    is_preflight: bool
    asks_to_close: bool

    @classmethod
    def of(cls, headers: Headers, method: bytes, version: bytes) -> RequestFields:
        """Parses the fields of a request.

        :param headers: the fields.
        :param method: the method, such as ``GET``.
        :param version: the version, such as ``HTTP/1.1``.
        """
        keyed = KeyedFields._make([field_of(headers, name) for name in KEYED])
        upgrade = field_of(headers, b"Upgrade")
        first_line = headers.getRawHeaders(b"Connection", [b""])[0] if version == b"HTTP/1.1" else b""
        return cls.of_keyed(
            keyed,
            if_match=field_of(headers, b"If-Match"),
            asks_for_websocket=(upgrade is not None and version != b"HTTP/1.0" and b"websocket" in names_of(upgrade)),
            is_preflight=method == b"OPTIONS" and headers.hasHeader(b"Access-Control-Request-Method"),
            first_line=first_line,
        )

    @classmethod
    def of_keyed(
        cls,
        keyed: KeyedFields,
        *,
        if_match: bytes | None = None,
        asks_for_websocket: bool = False,
        is_preflight: bool = False,
        first_line: bytes | None = None,
    ) -> RequestFields:
        """Parses the keyed fields of a request.

        :param if_match: the field ``If-Match``; ``None`` if it was not sent.
        :param first_line: the first line of ``Connection`` where twisted.web obeys it; ``None`` if there is no other
            line.
        """
        options = names_of(keyed.connection)
        first_line = keyed.connection or b"" if first_line is None else first_line
        return cls(
            keyed,
            keyed.accepts_events(),
            coding_weights(keyed.accept_encoding),
            listed_tags(keyed.if_none_match),
            preferred_wait_s(keyed.prefer),
            keyed.manipulation(),
            options,
            if_match,
            asks_for_websocket,
            is_preflight,
            b"close" in options or b"close" in first_line.lower().split(b" "),
        )


def field_of(headers: Headers, name: bytes) -> bytes | None:
    """Gives the value of a field, its lines joined with commas (RFC 9110, 5.3); ``None`` if it was not sent."""
    lines = headers.getRawHeaders(name)
    return None if lines is None else b", ".join(lines)


def names_of(listed: bytes | None) -> list[bytes]:
    """Gives the members of a list in a field, in lower case and without white space.

    :param listed: the value of the field; ``None`` if it was not sent. Only its first
        :data:`livefeed.document.codings.MAX_MEMBERS` members count.
    """
    return [] if listed is None else [member.strip(b" \t") for member in members_of(listed.lower())]


@lru_cache(maxsize=KEPT)
def first_accepted(listed: bytes | None, wanted: tuple[bytes, ...]) -> bytes | None:
    """Gives the first of some names that a field accepts, with a weight that is not 0 (RFC 9110, 12.4.2).

    The order of the field decides, and not the weights. If it has a name several times, the first counts.

    :param listed: the value of ``Accept`` or ``A-IM``; ``None`` if it was not sent. Only its first
        :data:`livefeed.document.codings.MAX_MEMBERS` members count. ``*/*`` asks for the document, not for events.
    :param wanted: the names, in lower case.
    :returns: one of these; ``None`` if the field accepts none.
    """
    if listed is None:
        return None
    refused: list[bytes] = []
    for member in members_of(listed.lower()):
        name, _, parameters = member.partition(b";")
        name = name.strip(b" \t")
        if name in wanted and name not in refused:
            if weight_of(parameters) > 0:
                return name
            refused.append(name)
    return None


def weight_of(parameters: bytes) -> float:
    """Gives the weight of a member of a list, 0 to 1 (RFC 9110, 12.4.2).

    :param parameters: the text after the first semicolon of the member; it may be empty.
    :returns: 0 if the weight is malformed, or if there are more than
        :data:`livefeed.document.codings.MAX_PARAMETERS` parameters.
    """
    if not parameters:
        return 1.0
    separate = parameters.split(b";", MAX_PARAMETERS)
    if len(separate) > MAX_PARAMETERS:
        return 0.0
    for parameter in separate:
        name, _, value = parameter.strip(b" \t").partition(b"=")
        if name.lower() == b"q":
            return float(value) if _QVALUE.match(value) else 0.0
    return 1.0


@lru_cache(maxsize=KEPT)
def coding_weights(accept_encoding: bytes | None) -> Mapping[str, float]:
    """Gives the weights of content codings, 0 to 1, by their names in lower case; ``*`` stands for all others.

    :param accept_encoding: the value of the field; ``None`` if it was not sent.
    :returns: no weights if the field was not sent, or if it has more than :data:`MAX_MEMBERS` members: a member beyond
        the limit may exclude a coding.
    """
    if accept_encoding is None:
        return {}
    members = accept_encoding.split(b",", MAX_MEMBERS)
    if len(members) > MAX_MEMBERS:
        return {}
    weights: dict[str, float] = {}
    for member in members:
        coding, _, parameters = member.partition(b";")
        name = coding.strip(b" \t").decode("latin-1").lower()
        weights["gzip" if name == "x-gzip" else name] = weight_of(parameters)
    return weights


def choose_coding(weights: Mapping[str, float], available: Iterable[str]) -> str:
    """Gives the content coding of the answer (RFC 9110, 12.5.3).

    :param weights: those of :func:`coding_weights`.
    :param available: the codings that exist besides ``identity``, the preferred one first.
    :returns: one of *available*, or ``"identity"``. It is ``"identity"`` also if the client accepts no coding that
        exists, because a document that the client can probably read is worth more than a 406.
    """
    others = weights.get("*", 0.0)
    # Of equal weights, the coding that *available* names first wins, and any of them wins over identity: max() keeps
    # the first of equals. Identity is acceptable unless excluded, but is only chosen if its weight is higher.
    candidates = [(weights.get(coding, others), coding) for coding in available]
    weight, best = max(candidates, key=lambda candidate: candidate[0], default=(0.0, IDENTITY))
    return best if weight > 0 and weight >= weights.get(IDENTITY, 0.0) else IDENTITY


@lru_cache(maxsize=KEPT)
def preferred_coding(accept_encoding: bytes | None, available: tuple[str, ...]) -> str:
    """Gives the content coding of the answer, by the value of the field; see :func:`choose_coding`.

    :param accept_encoding: the value; ``None`` if it was not sent.
    """
    return choose_coding(coding_weights(accept_encoding), [coding for coding in available if coding != IDENTITY])


def coding_ranks(weights: Mapping[str, float]) -> tuple[int, ...]:
    """Gives everything that the result of :func:`choose_coding` can depend on, for any available codings.

    :param weights: those of :func:`coding_weights`.
    :returns: for each of :data:`livefeed.document.codings.CODINGS` a rank: 0 if it is never chosen, and otherwise
        higher the more it is preferred.
    """
    others, least = weights.get("*", 0.0), weights.get(IDENTITY, 0.0)
    usable = [weight if weight >= least else 0.0 for weight in (weights.get(coding, others) for coding in CODINGS)]
    in_order = sorted({0.0, *usable})
    return tuple(in_order.index(weight) for weight in usable)


def preferred_wait_s(prefer: bytes | None) -> int | None:
    """Gives the preferred wait in whole seconds, 0 to :data:`MAX_WAIT_S` (RFC 7240, 4.3); ``None`` if there is none.

    :param prefer: the value of ``Prefer``; ``None`` if it was not sent. Of several waits the first counts, also if it
        is malformed (RFC 7240, 2). Other preferences are ignored, and so is a wait behind
        :data:`livefeed.document.codings.MAX_MEMBERS` others.
    """
    if prefer is None:
        return None
    for match in islice(_PREFERENCE.finditer(prefer), MAX_MEMBERS):
        preference = match[0]
        if _WAIT_NAME.match(preference):
            wait = _WAIT.match(preference)
            return None if wait is None else min(int(wait[1] or wait[2]), MAX_WAIT_S)
    return None


def asks_for_events(fields: RequestFields, method: bytes, target: bytes) -> bool:
    """Tells whether the only possible answer to a request is a stream of events, by its head alone.

    There may be no resource at its path, or none that answers with events.

    :param target: the target of the request, with the query.
    """
    if method not in (b"GET", b"HEAD") or fields.asks_for_websocket:
        return False
    path = _AUTHORITY.sub(b"", target)
    return bool(_EVENTS_PATH.match(path)) or (fields.accepts_events and not _OTHER_PATH.match(path))
