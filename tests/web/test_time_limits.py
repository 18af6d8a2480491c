"""The deadlines of a connection."""

from __future__ import annotations

from livefeed.testing import Response
from tests.helpers.channels import GET, ChannelTestCase, LaterResource, TimedTransport


class TimeTests(ChannelTestCase):
    def test_slow_head_is_cut_off(self) -> None:
        """Each byte is in time for the idle timeout, the whole is not."""
        for data in (b"G", b"ET /feed HTTP/1.1\r\n", b"Host: a\r\n", b"X-A: b\r\n"):
            self.channel.dataReceived(data)
            self.clock.advance(2.4)
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(0.4)
        self.assertEqual(Response.parse(self.transport.value()).status, 408)
        self.assert_closing()

    def test_second_head_has_its_own_time(self) -> None:
        """The deadline counts from where a head begins, and ends with it."""
        self.channel.dataReceived(GET[:10])
        self.clock.advance(9)
        self.channel.dataReceived(GET[10:] + GET[:10])
        self.transport.clear()
        self.clock.advance(9)
        response = self.receive(GET[10:])
        self.assertEqual(response.status, 200)
        self.clock.advance(60)
        self.assertFalse(self.transport.ended)

    def test_idle_connection_is_closed(self) -> None:
        """After 75 s without a request; nothing is written then."""
        self.receive(GET)
        self.transport.clear()
        self.clock.advance(74)
        self.assertFalse(self.transport.ended)
        self.clock.advance(1)
        self.assertEqual(self.transport.value(), b"")
        self.assert_closing()

    def test_time_without_a_request_counts_from_the_last_answer(self) -> None:
        """However its head was read."""
        for head in ((GET,), (GET[:9], GET[9:])):
            self.connect()
            self.clock.advance(74)
            for piece in head:
                self.channel.dataReceived(piece)
            self.clock.advance(74)
            self.assertFalse(self.transport.ended)
            self.clock.advance(2)
            self.assertTrue(self.transport.ended)

    def test_request_that_waits_is_not_idle(self) -> None:
        """An answer may take its time."""
        self.channel.dataReceived(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        self.clock.advance(500)
        self.assertFalse(self.transport.ended)
        LaterResource.answer()
        self.assertIn(b"at last", self.transport.value())

    def test_nothing_is_left_ticking(self) -> None:
        """A closed connection leaves no timer behind."""
        self.channel.dataReceived(GET[:10])
        self.channel.connectionLost(None)  # type: ignore[arg-type]
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.site.channels, set())

    def test_client_beyond_the_limit(self) -> None:
        """It must send its request at once, since others wait for their refusals."""
        for over_capacity, deadlines in ((False, [75, 10, None]), (True, [10, 10, None])):
            transport = TimedTransport()
            transport.over_capacity = over_capacity
            channel = self.site.buildProtocol(None)
            channel.makeConnection(transport)
            channel.dataReceived(GET[:10])
            channel.setTimeout(None)
            self.assertEqual(transport.deadlines[-3:], deadlines)

    def test_answer_may_take_five_minutes_to_be_read(self) -> None:
        """A phone on a bad line is not idle while it reads."""
        self.receive(GET)
        self.channel.pauseProducing()
        self.clock.advance(299)
        self.assertFalse(self.transport.ended)
        self.channel.resumeProducing()
        self.assertEqual(self.receive(GET).status, 200)
        self.channel.pauseProducing()
        self.clock.advance(300)
        self.assertTrue(self.transport.disconnected)
