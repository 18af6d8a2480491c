"""WebSocket clients in memory, by an implementation that is independent of Autobahn, and the site that they follow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response as Handshake
from websockets.uri import parse_uri

from livefeed.feed.feed import Feed
from livefeed.testing import make_site
from livefeed.web.channel import Channel
from tests.helpers.transports import PausingClient, Transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from websockets.extensions import ClientExtensionFactory, Extension
    from websockets.typing import Subprotocol

    from livefeed.config.settings import Push
    from livefeed.web.site import Site


FIRST, SECOND, THIRD = b'{"n": 1.50}', b'{"n": 2}', b'{"n": 3}'
LONG = b'{"text": "%s"}' % (b"x" * 1000)


class WebSocketTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.serve()

    def serve(self, *origins: str, push: Push = "tick") -> None:
        self.clock = Clock()
        self.feed = Feed("feed", clock=self.clock, push=push)
        made = make_site(self.feed, origins=origins or ("*",))
        self.made, self.site, self.factory = made, made.site, made.subscribers


class Client(PausingClient):
    """A client that speaks to the site in memory.

    :cvar offers: the extensions that it offers.
    """

    offers: ClassVar[Sequence[ClientExtensionFactory]] = ()

    def __init__(
        self,
        site: Site,
        *,
        path: str = "/feed.ws",
        extra: bytes = b"",
        transport: Transport | None = None,
        subprotocols: list[Subprotocol] | None = None,
    ) -> None:
        self.transport = transport or Transport()
        channel = site.buildProtocol(None)
        assert isinstance(channel, Channel)
        self.transport.protocol = channel
        channel.makeConnection(self.transport)
        uri = parse_uri(f"ws://localhost{path}")
        self.protocol = ClientProtocol(uri, subprotocols=subprotocols, extensions=self.offers)
        self.protocol.send_request(self.protocol.connect())
        self.send(extra=extra)

    def send(self, *, extra: bytes = b"") -> None:
        """Hands over the data that the client wants to send, and the answer comes back."""
        # The transport's protocol changes with the upgrade, as it does on a real transport.
        self.transport.protocol.dataReceived(b"".join(self.protocol.data_to_send()) + extra)

    def agreed(self) -> list[Extension]:
        """Gives the extensions of the handshake, which is removed from the received bytes."""
        handshake, end, rest = self.transport.value().partition(b"\r\n\r\n")
        self.protocol.receive_data(handshake + end)
        self.transport.clear()
        self.transport.write(rest)
        return list(self.protocol.extensions)

    def messages(self) -> list[dict[str, Any]]:
        """Gives the JSON messages that have come in."""
        return [json.loads(payload) for opcode, payload in self.receive() if opcode is Opcode.TEXT]

    def receive(self) -> list[tuple[Opcode, bytes]]:
        """Gives the frames that have come in."""
        self.protocol.receive_data(self.transport.value())
        self.transport.clear()
        frames = []
        for event in self.protocol.events_received():
            if isinstance(event, Handshake):
                assert event.status_code == 101, event
            else:
                assert isinstance(event, Frame)
                frames.append((event.opcode, bytes(event.data)))
        return frames


def text(document: bytes) -> tuple[Opcode, bytes]:
    return (Opcode.TEXT, document)


def sent(opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Gives a frame as a client sends it."""
    return Frame(opcode, payload, fin=fin).serialize(mask=True, extensions=[])


@dataclass(frozen=True)
class Raw:
    """A frame as it was sent, even if it is malformed."""

    first: int
    masked: bool
    length: int
    payload: bytes

    @classmethod
    def read(cls, data: bytes) -> list[Raw]:
        """Splits the bytes of a server into whole frames, and fails if there is a rest."""
        frames = []
        while data:
            first, second, short = data[0], data[1], data[1] & 0x7F
            extended = {126: 2, 127: 8}.get(short, 0)
            length = int.from_bytes(data[2 : 2 + extended], "big") if extended else short
            payload, data = data[2 + extended : 2 + extended + length], data[2 + extended + length :]
            frames.append(cls(first, bool(second & 0x80), len(payload), payload))
            assert len(payload) == length
        return frames


def raw(first: int, payload: bytes = b"", *, length: bytes | None = None) -> bytes:
    """Gives a frame as a client may send it.

    :param first: its first byte.
    :param length: how long it says that it is, if that is another length than the payload's.
    """
    assert len(payload) <= 125
    size = bytes([0x80 | len(payload)]) if length is None else bytes([0x80 | length[0]]) + length[1:]
    return bytes([first]) + size + b"\x00" * 4 + payload


class DeflatingClient(Client):
    """A client that offers permessage-deflate."""

    offers = (ClientPerMessageDeflateFactory(),)


class WindowClient(Client):
    """A client that names the whole window for both sides, and wants it granted."""

    offers = (
        ClientPerMessageDeflateFactory(
            server_max_window_bits=15, client_max_window_bits=15, server_no_context_takeover=True
        ),
    )
