"""The answer to a handshake, byte for byte as Autobahn gives it."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.websocket import connection
from livefeed.delivery.websocket.agreement import DEFLATE, FULL_WINDOW, PLAIN, Agreement, accept_of
from livefeed.delivery.websocket.connection import WebSocketConnectionFactory

KEY, ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class AgreementTests(SynchronousTestCase):
    def test_key_is_answered(self) -> None:
        """By the example of RFC 6455, 1.3."""
        self.assertEqual(accept_of(KEY), ACCEPT)

    def test_answer_is_that_of_autobahn(self) -> None:
        """Whatever was agreed on; Autobahn is shown a request with the same key when it takes over."""
        answers: list[bytes] = []
        self.patch(connection._Mute, "write", lambda _, data: answers.append(data))
        subscriber: Any = None
        factory = WebSocketConnectionFactory(reactor=Clock())
        for subprotocol in (None, "livefeed.delta.v1", "livefeed.delta.v2"):
            for extension in (b"", DEFLATE, DEFLATE + FULL_WINDOW):
                agreement = Agreement(subprotocol, extension)
                factory.take_over(subscriber, agreement, None, None)
                self.assertEqual(agreement.answer(KEY), answers.pop())

    def test_client_that_offers_nothing(self) -> None:
        """It is granted nothing."""
        self.assertEqual(PLAIN, Agreement())
        self.assertTrue(PLAIN.answer(KEY).endswith(b"Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n" % ACCEPT))
