"""``/feed.ws``: where a WebSocket is opened, and nothing else is to be had. Below it are the document's parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from livefeed.delivery.feed_resource import FeedResource, refuse_part
from livefeed.web.answers import answer, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.web.resource import IResource

    from livefeed.delivery.delivery import Delivery
    from livefeed.feed.parts import Parts
    from livefeed.web.cors import Origins
    from livefeed.web.request import Request


_METHODS = b"GET, OPTIONS"


class WebSocketResource(FeedResource):
    """Answers what is no handshake, and hands on what is one.

    :param delivery: how the feed can be followed.
    :param origins: who may read other answers from another site.
    :param parts: where what is below is found; ``None`` if nothing is.
    :param refuse: answers a handshake where there is nothing to be followed now; ``None`` if there is.
    """

    is_content = False

    def __init__(
        self,
        delivery: Delivery,
        origins: Origins,
        parts: Parts[Delivery] | None = None,
        *,
        refuse: Callable[[Request], int] | None = None,
    ) -> None:
        super().__init__(delivery, origins, parts)
        self._refuse = refuse

    def follows(self, request: Request) -> bool:
        """FeedResource API."""
        return request.fields.asks_for_websocket

    def part(self, delivery: Delivery) -> IResource:
        """FeedResource API."""
        return WebSocketResource(delivery, self._origins)

    def unknown(self) -> IResource:
        """FeedResource API."""
        return WebSocketResource(self._delivery, self._origins, refuse=self._refuse_unknown)

    def busy(self) -> IResource:
        """FeedResource API."""
        return WebSocketResource(self._delivery, self._origins, refuse=refuse_part)

    def _refuse_unknown(self, request: Request) -> int:
        retry_s = math.ceil(max(1.0, self._delivery.feed.next_tick_s()))
        headers = [(b"Retry-After", b"%d" % retry_s)]
        return refuse(request, 503, "The document has not been pulled yet.", headers)

    def render(self, request: Request) -> int:
        """IResource API."""
        if request.method == b"OPTIONS":
            return answer(request, 204, [(b"Allow", _METHODS)], None)
        if request.method != b"GET":
            return refuse(request, 405, "A WebSocket is opened with GET.", [(b"Allow", _METHODS)])
        if request.has_content:
            return refuse(request, 413, "A WebSocket handshake has no content.")
        if not request.fields.asks_for_websocket:
            headers = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
            return refuse(request, 426, "This path speaks WebSocket only.", headers)
        if self._refuse is not None:
            return self._refuse(request)
        return self._delivery.upgrade(request, self._delivery)
