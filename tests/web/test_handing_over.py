"""Another protocol takes a connection over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

from livefeed.web.channel import Channel
from tests.helpers.channels import GET, ChannelTestCase, HalfClosingTransport

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

    from livefeed.delivery.delivery import Delivery
    from livefeed.web.request import Request

UPGRADE = GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"


class PeeredTransport(HalfClosingTransport):
    """A transport whose peer can be replaced, as the fast transport is.

    :ivar peer: the address that was set; ``None`` before.
    """

    peer: IAddress | None = None

    def set_peer(self, address: IAddress) -> None:
        self.peer = address


class UpgradeTests(ChannelTestCase):
    def test_protocol_takes_the_connection_over(self) -> None:
        """The new protocol gets the transport and the bytes behind the request; the channel's timeouts are gone."""
        self.channel.dataReceived(UPGRADE + b"first frame")
        self.assertEqual(self.recorder.received, b"first frame")
        self.assertIs(self.recorder.transport, self.transport)
        self.assertIs(self.transport.protocol, self.recorder)
        self.assertEqual(self.site.channels, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_is_answered_afterwards(self) -> None:
        """What the client sends after the request is the new protocol's, also where it looks like a request."""
        self.channel.dataReceived(GET.replace(b"/feed", b"/feed.sse"))
        self.channel.dataReceived(GET)
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 "), 1)

    def test_end_is_told_once(self) -> None:
        """The site counts the end after the protocol has heard of it, and nothing refers to the protocol then."""
        ended: list[str] = []
        self.site.handed_over = lambda _: lambda: ended.append("site")  # type: ignore[method-assign, assignment]
        self.recorder.connectionLost = lambda _: ended.append("protocol")  # type: ignore[method-assign, assignment, misc]
        self.channel.dataReceived(UPGRADE)
        self.assertEqual(ended, [])
        self.recorder.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(ended, ["protocol", "site"])
        self.assertNotIn("connectionLost", self.recorder.__dict__)

    def test_wrapper_is_kept(self) -> None:
        """The protocol is below the wrapper, such as Twisted's TLS, as the channel was."""
        channel = self.site.buildProtocol(None)
        assert isinstance(channel, Channel)
        wrapper = ProtocolWrapper(WrappingFactory(self.site), channel)
        wrapper.makeConnection(HalfClosingTransport())
        channel.dataReceived(UPGRADE)
        self.assertIs(wrapper.wrappedProtocol, self.recorder)
        self.assertIs(self.recorder.transport, wrapper)


class ForwardedTests(ChannelTestCase):
    """A client behind a proxy."""

    def upgrade(self, upgrading: Request, delivery: Delivery) -> int:
        upgrading.client = IPv4Address("TCP", "192.0.2.7", 0)
        upgrading.is_forwarded = self.is_forwarded
        return super().upgrade(upgrading, delivery)

    def test_connection_is_its_own_afterwards(self) -> None:
        """The transport is told the address of the client, where a proxy has named it."""
        for self.is_forwarded in (False, True):
            transport = PeeredTransport()
            channel = self.site.buildProtocol(None)
            assert isinstance(channel, Channel)
            channel.makeConnection(transport)
            channel.dataReceived(UPGRADE)
            self.assertEqual(transport.peer is not None, self.is_forwarded)
