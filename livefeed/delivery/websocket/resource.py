"""``/feed.ws``: the path of a feed's WebSocket. It has no content. The parts of the document are below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.delivery.feed_resource import FeedResource, refuse_part
from livefeed.feed.state import State
from livefeed.web import problems
from livefeed.web.answers import answer, refuse, refuse_not_pulled, refuse_withdrawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.web.resource import IResource

    from livefeed.delivery.delivery import Delivery
    from livefeed.delivery.feed_resource import Access
    from livefeed.feed.parts import Parts
    from livefeed.web.request import Request


_METHODS = b"GET, OPTIONS"


class WebSocketResource(FeedResource):
    """Passes handshakes on, and refuses all other requests.

    :param delivery: the ways in which the feed can be followed.
    :param access: the declaration of who may read the answers.
    :param parts: the parts of the document, which are below this resource; ``None`` if nothing is.
    :param refuse: refuses a handshake while the feed or part cannot be followed; ``None`` if it can.
    """

    is_content = False

    def __init__(
        self,
        delivery: Delivery,
        access: Access,
        parts: Parts[Delivery] | None = None,
        *,
        refuse: Callable[[Request], int] | None = None,
    ) -> None:
        super().__init__(delivery, access, parts)
        self._refuse = refuse

    def follows(self, request: Request) -> bool:
        """FeedResource API."""
        return request.fields.asks_for_websocket

    def part(self, delivery: Delivery) -> IResource:
        """FeedResource API."""
        return WebSocketResource(delivery, self._access)

    def unknown(self) -> IResource:
        """FeedResource API."""
        return WebSocketResource(self._delivery, self._access, refuse=self._refuse_unknown)

    def busy(self) -> IResource:
        """FeedResource API."""
        return WebSocketResource(self._delivery, self._access, refuse=refuse_part)

    def _refuse_unknown(self, request: Request) -> int:
        feed = self._delivery.feed
        if feed.state is State.WITHDRAWN:
            return refuse_withdrawn(request)
        return refuse_not_pulled(request, feed.next_tick_s())

    def respond(self, request: Request) -> int:
        """FeedResource API."""
        if request.method == b"OPTIONS":
            return answer(request, 204, [(b"Allow", _METHODS)], None)
        if request.method != b"GET":
            return refuse(
                request, problems.METHOD_NOT_ALLOWED, "A WebSocket is opened with GET.", [(b"Allow", _METHODS)]
            )
        if request.has_content:
            return refuse(request, problems.UNEXPECTED_CONTENT, "A WebSocket handshake has no content.")
        if not request.fields.asks_for_websocket:
            headers = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
            return refuse(request, problems.WEBSOCKET_REQUIRED, "This path speaks WebSocket only.", headers)
        if self._refuse is not None:
            return self._refuse(request)
        return self._delivery.answer_handshake(request, self._delivery)
