"""``/feed.ws``: where a WebSocket is opened, and nothing else is to be had. Below it are the document's parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from livefeed.delivery.feed_resource import Branch, refuse_part
from livefeed.web.answers import answer, refuse
from livefeed.web.resources import asks_for_websocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.web.resource import IResource

    from livefeed.delivery.delivery import Ways
    from livefeed.feed.parts import Parts
    from livefeed.web.cors import Origins
    from livefeed.web.site import Request


_METHODS = b"GET, OPTIONS"


class WebSocketResource(Branch):
    """Answers what is no handshake, and hands on what is one.

    :param ways: how the feed can be followed.
    :param origins: who may read other answers from another site.
    :param parts: where what is below is found; ``None`` if nothing is.
    :param refuse: answers a handshake where there is nothing to be followed now; ``None`` if there is.
    """

    is_content = False

    def __init__(
        self,
        ways: Ways,
        origins: Origins,
        parts: Parts | None = None,
        *,
        refuse: Callable[[Request], int] | None = None,
    ) -> None:
        super().__init__(ways, origins, parts)
        self._refuse = refuse

    def follows(self, request: Request) -> bool:
        """Branch API."""
        return asks_for_websocket(request)

    def part(self, ways: Ways) -> IResource:
        """Branch API."""
        return WebSocketResource(ways, self._origins)

    def unknown(self) -> IResource:
        """Branch API."""
        return WebSocketResource(self._ways, self._origins, refuse=self._refuse_unknown)

    def busy(self) -> IResource:
        """Branch API."""
        return WebSocketResource(self._ways, self._origins, refuse=refuse_part)

    def _refuse_unknown(self, request: Request) -> int:
        retry_s = math.ceil(max(1.0, self._ways.feed.next_tick_s()))
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
        if not asks_for_websocket(request):
            headers = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
            return refuse(request, 426, "This path speaks WebSocket only.", headers)
        if self._refuse is not None:
            return self._refuse(request)
        return self._ways.upgrade(request, self._ways)
