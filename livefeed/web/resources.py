"""The base of the site's resources: the paths below them, and how the fields of a request are read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from twisted.web.resource import Resource

from livefeed.document.codings import members_of, weight_of
from livefeed.document.snapshot import version_of
from livefeed.web.answers import answer, refuse
from livefeed.web.conditional import is_another, matching_tag

if TYPE_CHECKING:
    from collections.abc import Hashable

    from twisted.web.resource import IResource

    from livefeed.web.cors import Origins
    from livefeed.web.site import Request


class KeyedFields(NamedTuple):
    """The fields of a request on which an answer that may be repeated can depend, in the order of replay's ``KEYED``.

    Each is ``None`` where it was not sent.
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


METHODS = b"GET, HEAD, OPTIONS"
"""The methods of all resources. Balancers probe with ``OPTIONS /``."""


class Node(Resource):
    """A resource below which there is nothing but what ``putChild`` puts there.

    :param origins: who may read answers from another site.
    """

    def __init__(self, origins: Origins) -> None:
        super().__init__()
        self._origins = origins

    def getChild(self, path: bytes, request: Request) -> IResource:
        """IResource API."""
        return NotFound(self._origins)

    def render(self, request: Request) -> int:
        """IResource API. There is nothing at a path that only leads to others, either."""
        return refuse(request, 404, "There is nothing at this path.", self.permission(request))

    def permission(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Gives the fields that let pages of the allowed origins read an answer."""
        headers = self._origins.response_headers(field(request, b"Origin"))
        return headers if self._origins.any_origin else [*headers, (b"Vary", b"Origin")]


class Content(Node):
    """Something small that is only read, such as a page.

    :ivar content_type: its media type.
    """

    content_type = b"application/json"

    def content(self) -> bytes:
        """Gives it as it is now."""
        raise NotImplementedError

    def fields(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Gives the fields of an answer with it."""
        raise NotImplementedError

    def shared(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Gives the fields of every answer."""
        return []

    def render(self, request: Request) -> int:
        """IResource API."""
        if request.method == b"OPTIONS":
            return answer(request, 204, [*self.shared(request), (b"Allow", METHODS)], None)
        if request.method not in (b"GET", b"HEAD"):
            return refuse(request, 405, "This is only read.", [*self.shared(request), (b"Allow", METHODS)])
        if request.has_content:
            return refuse(request, 413, "A request for a page has no content.", self.shared(request))
        body = self.content()
        etag = b'"%s"' % version_of(body).encode()
        if is_another(field(request, b"If-Match"), etag):
            return refuse(request, 412, "It is not the one that If-Match names.", self.shared(request))
        headers = [*self.shared(request), *self.fields(request), (b"ETag", etag)]
        request.select = partial(self._variant, etag)
        if matching_tag(field(request, b"If-None-Match"), [etag]) is not None:
            return answer(request, 304, headers, None)
        return answer(request, 200, [*headers, (b"Content-Type", self.content_type)], body)

    def _variant(self, etag: bytes, values: list[bytes | None]) -> Hashable:
        """Tells what an answer depends on; see :data:`livefeed.transport.answer.Select`."""
        fields = KeyedFields._make(values)
        permission = tuple(self._origins.response_headers(fields.origin))
        return matching_tag(fields.if_none_match, [etag]), permission, fields.persistence()


class NotFound(Node):
    """Answers what is not there, readable from other origins like the rest."""

    isLeaf = True


def field(request: Request, name: bytes) -> bytes | None:
    """Gives the value of a request's field, its lines joined with commas (RFC 9110, 5.3)."""
    lines = request.requestHeaders.getRawHeaders(name)
    return None if lines is None else b", ".join(lines)


def lists(request: Request, name: bytes, member: bytes) -> bool:
    """Tells whether a list in a request's field has a member, in whatever case, among those that are looked at.

    :param name: the name of the field.
    :param member: in lower case.
    """
    return member in [each.strip(b" \t") for each in members_of((field(request, name) or b"").lower())]


def accepts(listed: bytes | None, wanted: bytes) -> bool:
    """Tells whether a client accepts something by its name, with a weight that is not 0 (RFC 9110, 12.4.2).

    Not if it stands behind the members that are looked at.

    :param listed: the value of ``Accept``, in which ``*/*`` asks for the document, or of ``A-IM``.
    :param wanted: the name, in lower case.
    """
    for member in members_of((listed or b"").lower()):
        name, _, parameters = member.partition(b";")
        if name.strip(b" \t") == wanted:
            return weight_of(parameters) > 0
    return False


def is_preflight(request: Request) -> bool:
    """Tells whether a browser asks if it may send the request of a page of another origin (Fetch standard, 3.2.2)."""
    return request.method == b"OPTIONS" and request.requestHeaders.hasHeader(b"Access-Control-Request-Method")


def asks_for_websocket(request: Request) -> bool:
    """Tells whether a request wants to become a WebSocket (RFC 6455, 4.1); in HTTP/1.0 none can (RFC 9110, 7.8)."""
    return request.clientproto != b"HTTP/1.0" and lists(request, b"Upgrade", b"websocket")
