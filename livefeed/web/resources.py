"""The base classes of all resources: the paths below them, and small content such as a page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.web.resource import Resource

from livefeed.document.snapshot import IDENTITY, version_of
from livefeed.web import problems
from livefeed.web.answers import answer, refuse
from livefeed.web.conditional import is_another, listed_tags, matching_tag
from livefeed.web.negotiation import KeyedFields

if TYPE_CHECKING:
    from collections.abc import Hashable

    from twisted.web.resource import IResource

    from livefeed.web.cors import Origins
    from livefeed.web.request import Request


METHODS = b"GET, HEAD, OPTIONS"
"""The methods of all resources. Balancers probe with ``OPTIONS /``."""


class Node(Resource):
    """A resource with no other children than those of ``putChild``.

    :param origins: the origins whose pages may read answers.
    """

    nothing = "There is nothing at this path."
    """The reason of a 404."""

    def __init__(self, origins: Origins) -> None:
        super().__init__()
        self._origins = origins

    def getChild(self, path: bytes, request: Request) -> IResource:
        """IResource API."""
        return NotFound(self._origins)

    def render(self, request: Request) -> int:
        """IResource API. A path that only leads to others has no content of its own."""
        return refuse(request, problems.NOT_FOUND, self.nothing, self.permission(request))

    def permission(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Gives the fields with which browsers let pages of the allowed origins read an answer."""
        headers = self._origins.response_headers(request.fields.keyed.origin)
        return headers if self._origins.any_origin else [*headers, (b"Vary", b"Origin")]


class Content(Node):
    """Small content that can only be read, such as a page.

    :ivar content_type: the media type.
    """

    content_type = b"application/json"

    def content(self) -> bytes:
        """Gives the present content."""
        raise NotImplementedError

    def coded(self, request: Request) -> tuple[bytes, str]:
        """Gives the content as it is sent, and its content coding."""
        return self.content(), IDENTITY

    def media_type(self, request: Request) -> bytes:
        """Gives the media type of the content as it is sent."""
        return self.content_type

    def fields(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Gives the fields of an answer with the content."""
        raise NotImplementedError

    def shared(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Gives the fields of every answer."""
        return []

    def render(self, request: Request) -> int:
        """IResource API."""
        if request.method == b"OPTIONS":
            return answer(request, 204, [*self.shared(request), (b"Allow", METHODS)], None)
        if request.method not in (b"GET", b"HEAD"):
            return refuse(
                request, problems.METHOD_NOT_ALLOWED, "This is only read.", [*self.shared(request), (b"Allow", METHODS)]
            )
        if request.has_content:
            return refuse(
                request, problems.UNEXPECTED_CONTENT, "A request for a page has no content.", self.shared(request)
            )
        body, coding = self.coded(request)
        etag = b'"%s"' % version_of(body).encode()
        if is_another(request.fields.if_match, etag):
            return refuse(
                request, problems.PRECONDITION_FAILED, "It is not the one that If-Match names.", self.shared(request)
            )
        headers = [*self.shared(request), *self.fields(request), (b"ETag", etag)]
        request.select = partial(self._variant, etag)
        if matching_tag(request.fields.tags, [etag]) is not None:
            return answer(request, 304, headers, None)
        if coding != IDENTITY:
            headers.append((b"Content-Encoding", coding.encode()))
        return answer(request, 200, [*headers, (b"Content-Type", self.media_type(request))], body)

    def _variant(self, etag: bytes, values: list[bytes | None]) -> Hashable:
        """Gives the parts of the keyed fields that matter; see :data:`livefeed.transport.answer.Select`."""
        fields = KeyedFields._make(values)
        permission = tuple(self._origins.response_headers(fields.origin))
        return matching_tag(listed_tags(fields.if_none_match), [etag]), permission, fields.persistence()


class NotFound(Node):
    """Answers a path without content. The answer can be read from other origins, like all others."""

    isLeaf = True
