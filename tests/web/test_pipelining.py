"""Several requests of one client, and a client that does not read its answers."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from livefeed.web.answers import answer
from livefeed.web.channel_state import MAX_AT_FIRST, MAX_AT_ONCE
from tests.helpers.channels import DOCUMENT, GET, ChannelTestCase, LaterResource


class OrderTests(ChannelTestCase):
    def test_pipelined_requests_are_answered_in_order(self) -> None:
        """RFC 9112, 9.3.2."""
        self.channel.dataReceived(GET + b"GET /nope HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        statuses = [part[:3] for part in self.transport.value().split(b"HTTP/1.1 ")[1:]]
        self.assertEqual(statuses, [b"200", b"404", b"200"])


class BackPressureTests(ChannelTestCase):
    """A client that does not read its answers gets no further answers."""

    def test_pipelined_requests_wait_for_their_reader(self) -> None:
        """A client that does not read gets no further answers: 30 KB of requests could ask for gigabytes."""
        answers = 0

        def write(data: bytes) -> None:
            nonlocal answers
            if data == DOCUMENT:
                answers += 1
                if answers == 3:
                    self.channel.pauseProducing()

        self.transport.write = write  # type: ignore[method-assign]
        self.channel.dataReceived(GET * 10)
        self.assertEqual(answers, 3)
        self.channel.dataReceived(GET * 10)
        self.assertEqual(answers, 3)
        self.channel.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(answers, 20)

    def test_nothing_is_read_while_answers_are_not(self) -> None:
        """Input would pile up in memory, also where the transport is full in the middle of an answer."""
        write = self.transport.write

        def write_and_pause(data: bytes) -> None:
            write(data)
            if data == DOCUMENT:
                self.channel.pauseProducing()

        self.transport.write = write_and_pause  # type: ignore[method-assign]
        self.channel.dataReceived(GET)
        self.assertEqual(self.transport.producerState, "paused")
        self.channel.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")

    def test_much_that_waits_is_read_on_after_the_answer(self) -> None:
        """Reading is paused while more requests wait behind the first one than are kept, and goes on afterwards."""
        self.channel.dataReceived(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        self.channel.dataReceived(GET[:-2] + b"X: " + b"x" * 16_000 + b"\r\n")
        self.channel.dataReceived(b"Y: " + b"y" * 200)
        self.channel.dataReceived(b"y" * 200)
        self.assertEqual(self.transport.producerState, "paused")
        assert LaterResource.waiting is not None
        answer(LaterResource.waiting, 200, [], b"")
        self.assertEqual(self.transport.producerState, "producing")

    def test_data_that_comes_while_an_answer_is_written(self) -> None:
        """It waits for the end of the answer."""
        write, more = self.transport.write, [GET, GET + GET]

        def write_and_receive(data: bytes) -> None:
            if more:
                self.channel.dataReceived(more.pop())
            write(data)

        self.transport.write = write_and_receive  # type: ignore[method-assign]
        self.channel.dataReceived(GET)
        heads = self.transport.value().split(DOCUMENT)
        self.assertEqual([head[:15] for head in heads], [b"HTTP/1.1 200 OK"] * 4 + [b""])

    def test_departure_is_noticed_while_an_answer_is_awaited(self) -> None:
        """The channel reads again once the client has read earlier answers, although its last request still waits."""
        self.channel.dataReceived(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        self.channel.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        self.channel.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")
        self.channel.dataReceived(GET * 1000)
        self.assertEqual(self.transport.producerState, "paused")
        self.channel.pauseProducing()
        self.channel.resumeProducing()
        self.assertEqual(self.transport.producerState, "paused")
        LaterResource.answer()
        self.assertEqual(self.transport.producerState, "paused")  # some are answered, and others have their turn
        self.clock.pump([0] * 100)
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200"), 1001)

    def test_many_requests_at_once_are_answered_in_portions(self) -> None:
        """Others get their turn in between, and all are answered in the end."""
        self.receive(GET * 100)
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200"), MAX_AT_FIRST)
        self.channel.resumeProducing()  # as a transport does that was full
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200"), 2 * MAX_AT_FIRST)
        self.channel.go_on()
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200"), 2 * MAX_AT_FIRST + MAX_AT_ONCE)
        self.clock.advance(0)
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200"), 100)

    def test_client_with_many_requests_leaves(self) -> None:
        """The remaining requests of a client that has left are not answered."""
        self.receive(GET * 100)
        self.channel.connectionLost(Failure(ConnectionDone()))
        before = self.transport.value()
        self.clock.advance(0)
        self.assertEqual(self.transport.value(), before)
