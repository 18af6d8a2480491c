"""The handshake of a WebSocket, against an implementation of others."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from livefeed.load.answers import AnswerError, Head, head_of
from livefeed.load.handshake import SUBPROTOCOLS, Agreed, agreed, fields_for
from livefeed.load.kinds import WEBSOCKETS, Kind


def answer_to(kind: Kind, **named: object) -> Head:
    """Gives the answer of a server to the handshake of a kind."""
    settings = {
        "extensions": [ServerPerMessageDeflateFactory()],
        "subprotocols": [Subprotocol(name) for name in SUBPROTOCOLS.values()] if kind in SUBPROTOCOLS else None,
        **named,
    }
    protocol = ServerProtocol(**settings)  # type: ignore[arg-type]
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields_for(kind).items())
    protocol.receive_data(f"GET /feed HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode())
    (request,) = protocol.events_received()
    assert isinstance(request, Request)
    protocol.send_response(protocol.accept(request))
    return head_of(b"".join(protocol.data_to_send()))


class HandshakeTests(SynchronousTestCase):
    def test_accepted(self) -> None:
        """A server accepts the handshake of each kind, and compression only where it was offered."""
        for kind in WEBSOCKETS:
            with self.subTest(kind):
                self.assertEqual(agreed(answer_to(kind), kind), Agreed(kind is Kind.WS_DEFLATE))

    def test_compression_with_a_context(self) -> None:
        """A server that keeps its context has other bytes for each watcher."""
        head = head_of(answer_to(Kind.WS_DEFLATE).data.replace(b"; server_no_context_takeover", b""))
        self.assertEqual(agreed(head, Kind.WS_DEFLATE), Agreed(is_deflated=True, is_stateless=False))

    def test_refused(self) -> None:
        """Wrong keys, things that were not offered, and a lack of what the kind is about are errors."""
        plain = answer_to(Kind.WS).data
        for kind, data, said in (
            (Kind.WS, plain.replace(b"Accept: ", b"Accept: x"), "wrong answer"),
            (Kind.WS, answer_to(Kind.WS_DEFLATE).data, "not offered"),
            (Kind.WS, plain[:-2] + b"Sec-WebSocket-Extensions: other\r\n\r\n", "not offered"),
            (Kind.WS_DEFLATE, plain, "without permessage-deflate"),
            (Kind.WS_DELTA2, plain, "without livefeed.delta.v2"),
        ):
            with self.subTest(said):
                self.assertIn(said, str(self.assertRaises(AnswerError, agreed, head_of(data), kind)))
