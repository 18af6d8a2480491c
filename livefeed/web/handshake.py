"""``/feed.ws``: where a WebSocket is opened, and nothing else is to be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.web.answers import refuse
from livefeed.web.resource import Node, asks_for_websocket

if TYPE_CHECKING:
    from livefeed.web.origins import Origins
    from livefeed.web.site import Request
    from livefeed.web.ways import Ways


class WebSocketResource(Node):
    """Answers what is no handshake, and hands on what is one.

    :param ways: how the feed can be followed.
    :param origins: who may read other answers from another site.
    """

    def __init__(self, ways: Ways, origins: Origins) -> None:
        super().__init__(origins)
        self._ways = ways

    def render(self, request: Request) -> int:
        """IResource API."""
        if request.method != b"GET":
            return refuse(request, 405, "A WebSocket is opened with GET.", [(b"Allow", b"GET")])
        if request.has_content:
            return refuse(request, 413, "A WebSocket handshake has no content.")
        if not asks_for_websocket(request):
            headers = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
            return refuse(request, 426, "This path speaks WebSocket only.", headers)
        return self._ways.upgrade(request, self._ways)
