"""``/feed.ws``: where a WebSocket is opened, and nothing else is to be had. Below it are the document's parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from livefeed.web.answers import refuse
from livefeed.web.parts import TooManyPartsError
from livefeed.web.resource import Node, NotFound, asks_for_websocket
from livefeed.web.ways import peer_of

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from livefeed.web.origins import Origins
    from livefeed.web.parts import Parts
    from livefeed.web.site import Request
    from livefeed.web.ways import Ways


class WebSocketResource(Node):
    """Answers what is no handshake, and hands on what is one.

    :param ways: how the feed can be followed.
    :param origins: who may read other answers from another site.
    :param parts: where what is below is found; ``None`` if nothing is.
    :param why_not: why there is nothing to be followed now, and after how many seconds there may be; ``None`` if
        there is.
    """

    def __init__(
        self, ways: Ways, origins: Origins, parts: Parts | None = None, *, why_not: tuple[str, int] | None = None
    ) -> None:
        super().__init__(origins)
        self._ways = ways
        self._parts = parts
        self._why_not = why_not

    def getChild(self, path: bytes, request: Request) -> IResource:
        """IResource API. Below the document are its parts."""
        if self._parts is None:
            return super().getChild(path, request)
        segments = [path, *(request.postpath or [])]
        request.postpath = []
        feed = self._ways.feed
        if feed.snapshot is None:
            retry_s = math.ceil(max(1.0, feed.next_tick_s()))
            return WebSocketResource(
                self._ways, self._origins, why_not=("The document has not been pulled yet.", retry_s)
            )
        try:
            peer = peer_of(request.getClientAddress()) if asks_for_websocket(request) else None
            part = self._parts.find(segments, peer)
        except TooManyPartsError:
            return WebSocketResource(
                self._ways, self._origins, why_not=("Too many parts of the document are followed already.", 60)
            )
        return NotFound(self._origins) if part is None else WebSocketResource(part, self._origins)

    def render(self, request: Request) -> int:
        """IResource API."""
        if request.method != b"GET":
            return refuse(request, 405, "A WebSocket is opened with GET.", [(b"Allow", b"GET")])
        if request.has_content:
            return refuse(request, 413, "A WebSocket handshake has no content.")
        if not asks_for_websocket(request):
            headers = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
            return refuse(request, 426, "This path speaks WebSocket only.", headers)
        if self._why_not is not None:
            detail, retry_s = self._why_not
            return refuse(request, 503, detail, [(b"Retry-After", b"%d" % retry_s)])
        return self._ways.upgrade(request, self._ways)
