"""What the resources of the site have in common: what is below them, and how a request's fields are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.web.resource import Resource

from livefeed.web.answers import refuse

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from livefeed.web.origins import Origins
    from livefeed.web.site import Request


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
        headers = self._origins.response_headers(field(request, b"Origin"))
        if not self._origins.any_origin:
            headers.append((b"Vary", b"Origin"))
        return refuse(request, 404, "There is nothing at this path.", headers)


class NotFound(Node):
    """Answers what is not there, readable from other origins like the rest."""

    isLeaf = True


def field(request: Request, name: bytes) -> bytes | None:
    """Gives the value of a request's field, its lines joined with commas (RFC 9110, 5.3)."""
    lines = request.requestHeaders.getRawHeaders(name)
    return None if lines is None else b", ".join(lines)


def asks_for_websocket(request: Request) -> bool:
    """Tells whether a request wants to become a WebSocket (RFC 6455, 4.1)."""
    upgrade = field(request, b"Upgrade")
    return upgrade is not None and b"websocket" in [name.strip().lower() for name in upgrade.split(b",")]
