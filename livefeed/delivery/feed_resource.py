"""The paths below those of a feed: the parts of its document, each in the form of the path above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.delivery.delivery import peer_of
from livefeed.document.codings import CODINGS
from livefeed.document.snapshot import IDENTITY
from livefeed.feed.parts import UNUSED_S, TooManyPartsError
from livefeed.web.answers import refuse
from livefeed.web.negotiation import choose_coding
from livefeed.web.resources import Node, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.web.resource import IResource

    from livefeed.delivery.delivery import Delivery
    from livefeed.feed.parts import Parts
    from livefeed.web.cors import Origins
    from livefeed.web.request import Request

_NO_ROOM = "Too many parts of the document are followed already."


def refuse_part(request: Request, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Answers a request to follow a part for which there is no room."""
    # A part is kept for so long after its last request: by then there may be room.
    return refuse(request, 503, _NO_ROOM, [*headers, (b"Retry-After", b"%d" % UNUSED_S)])


class FeedResource(Node):
    """A resource of a feed, with the parts of its document below.

    :param delivery: how the feed can be followed.
    :param origins: who may read it from another site.
    :param parts: where what is below is found; ``None`` if nothing is.
    """

    def __init__(self, delivery: Delivery, origins: Origins, parts: Parts[Delivery] | None = None) -> None:
        super().__init__(origins)
        self._delivery = delivery
        self._parts = parts

    def getChild(self, path: bytes, request: Request) -> IResource:
        """IResource API. Below the document are its parts."""
        if self._parts is None:
            return super().getChild(path, request)
        segments = [path, *(request.postpath or [])]
        request.postpath = []
        # A browser hands on a 404 only if the preflight before it was granted, part or no part.
        if self._delivery.feed.snapshot is None or request.fields.is_preflight:
            return self.unknown()
        # Rendered for others, it is of no address, and nobody follows the part any more.
        has_waited = request.channel.has_waited
        peer = peer_of(request.getClientAddress()) if self.follows(request) and not has_waited else None
        # A client that only follows by WebSocket takes no content coding.
        coded = self.is_content and choose_coding(request.fields.codings, CODINGS) != IDENTITY
        try:
            part = self._parts.find(segments, peer, coded=coded, has_waited=has_waited)
        except TooManyPartsError:
            return self.busy()
        return NotFound(self._origins) if part is None else self.part(part)

    is_content = True
    """Whether a part is answered as content, which may be coded."""

    def follows(self, request: Request) -> bool:
        """Tells whether a client asks for more than one answer, now."""
        raise NotImplementedError

    def part(self, delivery: Delivery) -> IResource:
        """Gives the resource of a part."""
        raise NotImplementedError

    def unknown(self) -> IResource:
        """Gives the resource of a part of which nobody knows yet whether it is there."""
        raise NotImplementedError

    def busy(self) -> IResource:
        """Gives the resource of a part for which there is no room."""
        raise NotImplementedError
