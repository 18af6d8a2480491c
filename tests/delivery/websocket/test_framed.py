"""The frames that are read without Autobahn, and the moment at which Autobahn takes over."""

from __future__ import annotations

from autobahn.twisted.websocket import WebSocketServerProtocol
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Opcode

from livefeed.delivery.websocket.agreement import PLAIN
from livefeed.delivery.websocket.close_codes import CLOSE_TIMEOUT_S
from livefeed.delivery.websocket.framed import FREE_FRAMES, FramedSubscriber, is_plain_close
from livefeed.testing import publish
from tests.helpers.websocket_client import FIRST, SECOND, Client, WebSocketTestCase, raw, sent, text

AUTOBAHN, HERE = True, False


class FramedTestCase(WebSocketTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client = self.connect()

    def connect(self) -> Client:
        client = Client(self.site)
        client.receive()
        return client

    def subscriber(self, client: Client) -> FramedSubscriber:
        protocol = client.transport.protocol
        assert isinstance(protocol, FramedSubscriber)
        return protocol

    def of(self, client: Client, by: bool) -> FramedSubscriber:
        """Gives the subscriber of a client whose frames Autobahn reads, or not."""
        subscriber = self.subscriber(client)
        if by:
            subscriber._take_over()
        self.assertEqual(subscriber.connection is not None, by)
        return subscriber


class TakeOverTests(FramedTestCase):
    def test_clients_that_only_answer_and_leave(self) -> None:
        """Autobahn never reads a pong or a close frame that comes alone."""

        def fail(*_: object) -> None:
            raise AssertionError

        self.patch(WebSocketServerProtocol, "dataReceived", fail)
        self.client.send(extra=sent(Opcode.PONG, b"live"))
        self.client.send(extra=sent(Opcode.CLOSE, b"\x03\xe9"))
        self.assertEqual(self.client.receive(), [(Opcode.CLOSE, b"\x03\xe8")])

    def test_any_other_frame(self) -> None:
        """From there on Autobahn reads everything, and the subscription goes on."""
        for frame in (sent(Opcode.TEXT, b"x"), sent(Opcode.PING, b"x"), sent(Opcode.PONG, b"other"), b"\x88"):
            client = self.connect()
            client.send(extra=frame)
            self.assertIsNotNone(self.subscriber(client).connection)
            client.receive()
            publish(self.feed, FIRST)
            self.assertEqual(client.receive(), [text(FIRST)])
            self.assertTrue(self.subscriber(client).is_open)

    def test_flood_of_close_frames_and_pongs(self) -> None:
        """The frame that is one too many is answered with a refusal, and counts once."""
        for last in (sent(Opcode.PONG, b"live"), sent(Opcode.CLOSE)):
            self.serve()
            client = self.connect()
            for _ in range(FREE_FRAMES):
                client.send(extra=sent(Opcode.PONG, b"live"))
            self.assertEqual(client.receive(), [])
            client.send(extra=last)
            ((opcode, payload),) = client.receive()
            self.assertEqual((opcode, payload[:2]), (Opcode.CLOSE, b"\x03\xf0"))
            subscriber = self.subscriber(client)
            assert subscriber.connection is not None
            subscriber.count_frame()
            self.assertEqual(self.feed.tally.dropped, {"flood": 1})


class ClosingTests(FramedTestCase):
    """The closing handshake is the same, whether Autobahn reads the frames or not."""

    def test_client_leaves(self) -> None:
        """It is answered once, and the connection is ended in order; a client that stays is aborted."""
        for by in (AUTOBAHN, HERE):
            for payload in (b"", b"\x03\xe8", b"\x03\xe9bye", b"\x0b\xb8", b"\x13\x87"):
                self.serve()
                client = self.connect()
                subscriber = self.of(client, by)
                client.send(extra=sent(Opcode.CLOSE, payload))
                client.send(extra=sent(Opcode.CLOSE, payload))
                client.send(extra=sent(Opcode.PONG, b"live"))
                self.assertEqual(client.receive(), [(Opcode.CLOSE, b"\x03\xe8")])
                self.assertEqual((client.transport.disconnecting, subscriber.is_open), (True, False))
                self.assertEqual((self.feed.subscriptions, client.transport.producer), ({}, None))
                self.clock.advance(CLOSE_TIMEOUT_S)
                self.assertTrue(client.transport.disconnected)
                client.transport.protocol.connectionLost(Failure(ConnectionDone()))
                self.assertEqual((self.clock.getDelayedCalls(), [*self.factory.protocols_open]), ([], []))

    def test_server_closes(self) -> None:
        """The client has two seconds to answer; its answer ends the connection in order, with any code."""
        for by in (AUTOBAHN, HERE):
            for payload in (b"", b"\x03\xe9", b"\x03\xe9why", b"\x03\xf3"):
                self.serve()
                client = self.connect()
                subscriber = self.of(client, by)
                subscriber.close(1011, b"why")
                subscriber.close(1011, b"again")
                publish(self.feed, FIRST)
                self.assertFalse(subscriber.is_open)
                self.assertEqual(client.transport.value(), b"\x88\x05\x03\xf3why")
                client.transport.clear()
                subscriber.dataReceived(sent(Opcode.CLOSE, payload))
                self.assertEqual((client.transport.value(), client.transport.disconnecting), (b"", True))
                client.transport.protocol.connectionLost(Failure(ConnectionDone()))
                self.clock.advance(CLOSE_TIMEOUT_S)
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_client_does_not_answer(self) -> None:
        """It is aborted two seconds after the close frame, whatever else it sends meanwhile."""
        for by in (AUTOBAHN, HERE):
            for others in (b"", sent(Opcode.PONG, b"live"), sent(Opcode.TEXT, b"x")):
                client = self.connect()
                subscriber = self.of(client, by)
                subscriber.close(1001, b"")
                client.transport.clear()
                self.clock.advance(CLOSE_TIMEOUT_S - 0.5)
                if others:
                    subscriber.dataReceived(others)
                self.assertEqual((client.transport.value(), client.transport.disconnected), (b"", False))
                self.clock.advance(0.5)
                self.assertTrue(client.transport.disconnected, (by, others))

    def test_message_behind_the_close_frame_of_the_server(self) -> None:
        """Autobahn takes over in the middle of the closing handshake, and ends it."""
        subscriber = self.subscriber(self.client)
        subscriber.close(1001, b"why")
        self.client.transport.clear()
        subscriber.dataReceived(sent(Opcode.TEXT, b"x"))
        subscriber.dataReceived(sent(Opcode.CLOSE, b"\x03\xe9"))
        self.assertEqual((self.client.transport.value(), self.client.transport.disconnecting), (b"", True))

    def test_close_once_the_connection_is_lost(self) -> None:
        """Nothing is sent, and nothing is kept."""
        subscriber = self.subscriber(self.client)
        subscriber.connectionLost(Failure(ConnectionDone()))
        self.assertFalse(subscriber.is_open)
        subscriber.close(1001, b"")
        self.assertEqual((self.client.transport.value(), self.clock.getDelayedCalls()), (b"", []))


class PausedTests(FramedTestCase):
    def test_full_transport_without_and_with_autobahn(self) -> None:
        """The newest version follows once it has drained, behind the pong if the client has asked."""
        for by in (HERE, AUTOBAHN):
            self.serve()
            client = self.connect()
            subscriber = self.of(client, by)
            client.pause()
            self.assertTrue(subscriber.is_full)
            if by:
                client.send(extra=sent(Opcode.PING, b"x"))
            publish(self.feed, FIRST)
            publish(self.feed, SECOND)
            client.resume()
            self.assertEqual(client.receive(), [(Opcode.PONG, b"x")] * by + [text(SECOND)])

    def test_pong_that_fills_the_transport(self) -> None:
        """Nothing follows it yet."""
        self.client.pause()
        self.client.send(extra=sent(Opcode.PING, b"x"))
        publish(self.feed, FIRST)
        write = self.client.transport.write

        def fill(data: bytes) -> None:
            write(data)
            self.client.pause()

        self.patch(self.client.transport, "write", fill)
        self.client.resume()
        self.assertEqual(self.client.receive(), [(Opcode.PONG, b"x")])


class PlainCloseTests(SynchronousTestCase):
    def test_what_is_read_here(self) -> None:
        """Codes that applications send, with a reason in UTF-8."""
        for payload in (b"", b"\x03\xe8", b"\x03\xe9", b"\x0b\xb8", b"\x13\x87", b"\x03\xe8\xc3\xa4" + b"x" * 121):
            self.assertTrue(is_plain_close(sent(Opcode.CLOSE, payload)), payload)

    def test_what_autobahn_judges(self) -> None:
        """Errors, frames that are cut or followed by others, and codes of implementations."""
        whole = sent(Opcode.CLOSE, b"\x03\xe8")
        for data in (
            whole[:-1],
            whole + b"\x8a",
            whole[:1],
            b"\x88\x02\x03\xe8",
            b"\x08" + whole[1:],
            b"\xc8" + whole[1:],
            raw(0x88, b"\x03"),
            raw(0x88, b"\x03\xe7"),
            raw(0x88, b"\x03\xea"),
            raw(0x88, b"\x13\x88"),
            raw(0x88, b"\x03\xe8\xff"),
            b"\x88\xfe\x00\x7e" + b"\x00" * 130,
        ):
            self.assertFalse(is_plain_close(data), data)

    def test_interface(self) -> None:
        """The subclass decides about messages, floods and ends."""
        subscriber = FramedSubscriber(None, PLAIN)
        for call in (subscriber.ended, subscriber.flooded, lambda: subscriber.receive(b"")):
            self.assertRaises(NotImplementedError, call)
