"""The calls of transports to a channel, and their capabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.error import ConnectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

from livefeed.web.channel import Channel
from tests.helpers.channels import GET, ChannelTestCase, TimedTransport

if TYPE_CHECKING:
    from collections.abc import Hashable


class ConnectionTests(ChannelTestCase):
    """The beginning and the end of a connection."""

    def test_site_knows_its_connections(self) -> None:
        """It has those alone that are there."""
        self.assertEqual(self.site.channels, {self.channel})
        self.channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.site.channels, set())
        self.assertIsNone(self.transport.producer)

    def test_security_is_that_of_the_transport(self) -> None:
        """One without TLS has none."""
        self.assertFalse(self.channel.isSecure())


class ReplayTests(ChannelTestCase):
    """Calls to a transport that can replay answers."""

    LABEL = (200, "http", "identity")

    def label(self) -> Hashable:
        repeatable = self.channel.replayable()
        return None if repeatable is None else repeatable.label

    def test_label_of_an_answer(self) -> None:
        """An answer that may be replayed has a label; the label is set for each answer anew."""
        self.assertIsNone(self.label())
        self.receive(GET)
        self.assertEqual(self.label(), self.LABEL)
        self.receive(GET.replace(b"/feed", b"/nope"))
        self.assertIsNone(self.label())
        self.receive(GET)
        self.assertEqual(self.label(), self.LABEL)

    def test_last_answer_may_be_given_again(self) -> None:
        """Where the client has asked for the end, the answer is as good as any; nothing is asked behind it."""
        self.assertEqual(self.receive(GET[:-2] + b"Connection: close\r\n\r\n").headers["connection"], "close")
        self.assertEqual(self.label(), self.LABEL)
        self.assertFalse(self.channel.at_boundary())
        self.assert_closing()
        self.assertEqual(self.label(), self.LABEL)

    def test_nothing_is_given_again_in_the_middle_of_something(self) -> None:
        """While a request has begun, the last answer is not the last thing that went on."""
        self.receive(GET + GET[:10])
        self.assertIsNone(self.label())
        self.receive(GET[10:])
        self.assertEqual(self.label(), self.LABEL)

    def test_refusal_is_not_given_again(self) -> None:
        """Neither the refusal nor the answer before it is replayed, wherever in the head the fault is."""
        for bad in (
            b"GET /\x01 HTTP/1.1\r\n",
            b"G" * 20_000,
            b"nonsense\r\n",
            b"\x16\x03\x01\x02",
            b"GET /feed HTTP/1.1\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: a\r\nX\x01: b\r\n\r\n",
            b"GET feed HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST /feed HTTP/1.1\r\nHost: a\r\n\r\n",
        ):
            for before in (b"", GET):
                self.connect()
                self.channel.dataReceived(before)
                self.assertGreaterEqual(self.receive(bad).status, 400)
                self.assertEqual((bad[:50], before, self.label()), (bad[:50], before, None))


class RoomTests(ChannelTestCase):
    """Requests that others may wait with."""

    def wait(self, more: bytes = b"") -> None:
        self.channel.dataReceived(GET[:-2] + b"If-None-Match: *\r\nPrefer: wait=5\r\n\r\n" + more)

    def test_request_that_waits(self) -> None:
        """It is the host of equal ones, while it waits."""
        self.assertIsNone(self.channel.waits())
        self.wait()
        self.assertIsNotNone(self.channel.waits())
        self.clock.advance(5)
        self.assertIsNone(self.channel.waits())

    def test_connection_that_ends(self) -> None:
        """An answer that is the last, or has requests behind it, is no answer for others."""
        self.wait()
        self.channel.drain()
        self.assertIsNone(self.channel.waits())

    def test_each_site_has_its_answers(self) -> None:
        """The transport finds them by the channel."""
        self.assertIs(self.channel.replays, self.site.replays)


class TransportTests(ChannelTestCase):
    """The capabilities of transports."""

    def test_transport_that_keeps_the_time(self) -> None:
        """It has the deadlines, and closes orderly by itself; the channel has no timer."""
        transport = TimedTransport()
        channel = self.site.buildProtocol(None)
        assert isinstance(channel, Channel)
        self.clock.calls.clear()
        channel.makeConnection(transport)
        channel.dataReceived(GET[:10])
        self.assertEqual((transport.deadlines[-2:], self.clock.getDelayedCalls()), ([75, 10], []))
        channel.dataReceived(b"\r\n\r\n")
        self.assertEqual((transport.ended, transport.disconnecting), (False, True))

    def test_wrapped_transport(self) -> None:
        """A wrapper such as Twisted's TLS hands the deadlines on."""
        transport = TimedTransport()
        channel = self.site.buildProtocol(None)
        assert isinstance(channel, Channel)
        wrapper = ProtocolWrapper(WrappingFactory(self.site), channel)
        wrapper.makeConnection(transport)
        channel.dataReceived(GET[:10])
        self.assertEqual(transport.deadlines[-2:], [75, 10])
