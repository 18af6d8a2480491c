"""Frames, limits and compression of WebSocket connections: Autobahn in memory, and an independent client."""

from __future__ import annotations

import json
import zlib

from autobahn.twisted.websocket import WebSocketServerProtocol
from twisted.internet.error import ConnectionDone
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

from livefeed.delivery.websocket.close_codes import CLOSE_TIMEOUT_S
from livefeed.delivery.websocket.framed import FREE_FRAMES
from livefeed.delivery.websocket.handshake import DELTA
from livefeed.delivery.websocket.protocol import PING_INTERVAL_S, SubscriberProtocol
from livefeed.document.snapshot import version_of
from livefeed.testing import publish
from tests.helpers.websocket_client import (
    FIRST,
    SECOND,
    Client,
    DeflatingClient,
    Raw,
    WebSocketTestCase,
    raw,
    sent,
    text,
)


class EndTests(WebSocketTestCase):
    """The end of a connection, by either side."""

    def connect(self) -> None:
        self.client = Client(self.site)
        self.client.receive()
        self.client.send(extra=sent(Opcode.TEXT, b"x"))  # Autobahn takes over

    def lose(self) -> None:
        self.client.transport.protocol.connectionLost(Failure(ConnectionDone()))

    def test_lost_connection(self) -> None:
        """Nothing is left of it, whether a closing handshake was under way or not."""
        for is_closing in (False, True):
            self.connect()
            if is_closing:
                self.client.send(extra=sent(Opcode.CLOSE, b"\x03\xe8"))
            self.lose()
            self.assertIsNone(self.client.transport.producer)
        self.assertEqual((self.clock.getDelayedCalls(), self.feed.subscriptions), ([], {}))

    def test_takeover_within_the_closing_handshake(self) -> None:
        """The client has the rest of its time, and is sent no second close frame."""
        self.client = Client(self.site)
        self.client.receive()
        subscriber = self.client.transport.protocol
        assert isinstance(subscriber, SubscriberProtocol)
        subscriber.send_away(100)
        self.client.transport.clear()
        self.clock.advance(1.5)
        subscriber.dataReceived(sent(Opcode.TEXT, b"x"))
        self.assertFalse(self.client.transport.disconnected)
        self.clock.advance(CLOSE_TIMEOUT_S - 1.5)
        self.assertEqual((self.client.transport.value(), self.client.transport.disconnected), (b"", True))

    def test_client_that_does_not_end_its_side(self) -> None:
        """It is aborted after a while, once."""
        self.connect()
        self.client.send(extra=sent(Opcode.CLOSE, b"\x03\xe8"))
        self.assertFalse(self.client.transport.disconnected)
        self.clock.advance(CLOSE_TIMEOUT_S)
        self.assertTrue(self.client.transport.disconnected)
        self.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PongTests(WebSocketTestCase):
    """The answer to a ping, which livefeed reads itself; Autobahn reads all frames that differ from it."""

    def setUp(self) -> None:
        super().setUp()
        self.by_autobahn: list[bytes] = []
        original = WebSocketServerProtocol.dataReceived

        def received(protocol: WebSocketServerProtocol, data: bytes) -> None:
            if not data.startswith(b"GET "):  # it is shown a handshake when it takes over
                self.by_autobahn.append(data)
            original(protocol, data)

        self.patch(WebSocketServerProtocol, "dataReceived", received)
        self.client = Client(self.site)
        self.client.receive()
        self.by_autobahn.clear()
        self.pong = sent(Opcode.PONG, b"live")

    def assert_in_step(self) -> None:
        """No earlier frame was answered, a ping is, and the next version arrives."""
        self.assertEqual(self.client.receive(), [])
        self.client.send(extra=sent(Opcode.PING, b"still here?"))
        publish(self.feed, FIRST)
        self.assertEqual(self.client.receive(), [(Opcode.PONG, b"still here?"), text(FIRST)])
        self.assertFalse(self.client.transport.disconnecting)

    def test_answer_to_a_ping_takes_the_short_way(self) -> None:
        """A pong as a real client sends it bypasses Autobahn; any other frame does not."""
        self.clock.pump([1.0] * PING_INTERVAL_S)
        self.assertEqual([opcode for opcode, _ in self.client.receive()], [Opcode.PING])
        self.client.send()
        self.assertEqual(self.by_autobahn, [])
        self.assert_in_step()
        self.assertEqual(len(self.by_autobahn), 1)

    def test_pongs_on_the_short_way_are_counted(self) -> None:
        """Each for itself: as many as other frames are free, and one more each second."""
        self.clock.advance(20)
        for _ in range(FREE_FRAMES + 20):
            self.client.send(extra=self.pong)
        self.assertEqual((self.client.receive(), self.by_autobahn), ([], []))
        self.client.send(extra=self.pong)
        ((opcode, payload),) = self.client.receive()
        self.assertEqual((opcode, payload[:2]), (Opcode.CLOSE, b"\x03\xf0"))
        self.client.send(extra=self.pong)
        self.assertEqual(self.client.receive(), [])

    def test_pong_in_two_reads(self) -> None:
        """The pong is understood when the network cuts it anywhere, and with other frames before or behind it."""
        for place in range(1, len(self.pong)):
            self.client.send(extra=self.pong[:place])
            self.client.send(extra=self.pong[place:])
        self.client.send(extra=self.pong * 2)
        self.client.send(extra=sent(Opcode.TEXT, b"x") + self.pong)
        self.client.send(extra=self.pong + sent(Opcode.TEXT, b"x"))
        self.assert_in_step()

    def test_pong_with_another_payload(self) -> None:
        """An unsolicited pong is allowed, with any payload (RFC 6455, 5.5.3)."""
        for payload in (b"", b"liv", b"lively", b"evil", b"\xff" * 4, b"x" * 125):
            self.client.send(extra=sent(Opcode.PONG, payload))
        self.assert_in_step()

    def test_pong_within_a_message(self) -> None:
        """Control frames may stand between fragments, here in the middle of a character (RFC 6455, 5.4)."""
        self.client.send(extra=sent(Opcode.TEXT, b"caf\xc3", fin=False))
        self.client.send(extra=self.pong)
        self.client.send(extra=sent(Opcode.CONT, b"\xa9", fin=False))
        self.client.send(extra=self.pong)
        self.client.send(extra=sent(Opcode.CONT, b"!"))
        self.assertNotIn(self.pong, self.by_autobahn)
        self.assert_in_step()
        self.client.send(extra=sent(Opcode.TEXT, b"caf\xc3", fin=False))
        self.client.send(extra=self.pong)
        self.client.send(extra=sent(Opcode.CONT, b"!"))
        ((opcode, payload),) = self.client.receive()
        self.assertEqual((opcode, payload[:2]), (Opcode.CLOSE, b"\x03\xef"))

    def test_what_only_looks_like_a_pong(self) -> None:
        """A read of the same bytes within a frame belongs to that frame."""
        unmasked = b"\x00" * 4
        for before, behind in (
            (b"\x82\x8a" + unmasked, b""),  # all of the payload
            (b"\x82\x8f" + unmasked + b"abc", b"de"),  # from the middle of it
            (b"\x82\x86", b""),  # the mask and the masked payload
        ):
            for piece in (before, self.pong, behind):
                self.client.send(extra=piece)
            self.assert_in_step()

    def test_read_that_is_as_long_as_a_pong(self) -> None:
        """One with less in it and a frame begun behind it is read to its end; an unmasked one is an error."""
        data = sent(Opcode.PONG) + sent(Opcode.TEXT, b"x")
        self.client.send(extra=data[: len(self.pong)])
        self.client.send(extra=data[len(self.pong) :])
        self.assert_in_step()
        self.client.send(extra=b"\x8a\x08unmasked")
        ((opcode, payload),) = self.client.receive()
        self.assertEqual((opcode, payload[:2]), (Opcode.CLOSE, b"\x03\xea"))


class LimitTests(WebSocketTestCase):
    def open(self) -> Client:
        """Gives a client whose handshake is done."""
        client = Client(self.site)
        client.receive()
        return client

    def closed_with(self, client: Client) -> int:
        """Gives the code of the close frame that the client has been sent."""
        opcode, payload = client.receive()[-1]
        self.assertEqual(opcode, Opcode.CLOSE)
        return int.from_bytes(payload[:2], "big")

    def test_messages_are_ignored(self) -> None:
        """A plain subscriber has nothing to ask for."""
        client = self.open()
        client.protocol.send_text(b"hello")
        client.protocol.send_binary(b"\x00" * 4096)
        client.send()
        self.assertEqual(client.receive(), [])
        self.assertFalse(client.transport.disconnecting)

    def test_large_message_is_too_big(self) -> None:
        """Whole or in fragments."""
        client = self.open()
        client.protocol.send_text(b"a" * 4097)
        client.send()
        self.assertEqual(self.closed_with(client), 1009)
        client = self.open()
        client.protocol.send_text(b"a" * 4000, fin=False)
        client.protocol.send_continuation(b"a" * 4000, fin=False)
        client.send()
        self.assertEqual(self.closed_with(client), 1009)

    def test_talkative_subscriber_is_shown_out(self) -> None:
        """100 frames are free, and one more each second."""
        for opcode in (Opcode.TEXT, Opcode.PING):
            client = self.open()
            self.clock.advance(20)
            frame = Frame(opcode, b"x").serialize(mask=True, extensions=[])
            client.send(extra=frame * 120)
            self.assertNotIn(Opcode.CLOSE, [received for received, _ in client.receive()])
            client.send(extra=frame)
            self.assertEqual(self.closed_with(client), 1008)

    def test_talkative_subscriber_by_delta_is_told_to_stay_away(self) -> None:
        """The close code is one of livefeed's own."""
        client = Client(self.site, subprotocols=[Subprotocol(DELTA)])
        client.send(extra=Frame(Opcode.PING, b"x").serialize(mask=True, extensions=[]) * 101)
        self.assertEqual(self.closed_with(client), 3500)

    def test_frames_of_every_kind_are_counted(self) -> None:
        """Unsolicited pongs and fragments count as well."""
        pong = Frame(Opcode.PONG, b"").serialize(mask=True, extensions=[])
        first = Frame(Opcode.TEXT, b"", fin=False).serialize(mask=True, extensions=[])
        more = Frame(Opcode.CONT, b"", fin=False).serialize(mask=True, extensions=[])
        for frames in (pong * 101, first + more * 100):
            client = self.open()
            client.send(extra=frames)
            self.assertEqual(self.closed_with(client), 1008)

    def test_frames_behind_too_many_are_not_read(self) -> None:
        """They may have come in the same piece."""
        begun: list[object] = []
        begin = WebSocketServerProtocol.onFrameBegin

        def count(protocol: WebSocketServerProtocol) -> None:
            begun.append(protocol)
            begin(protocol)

        self.patch(WebSocketServerProtocol, "onFrameBegin", count)
        for opcode in (Opcode.PONG, Opcode.PING, Opcode.TEXT):
            client = self.open()
            begun.clear()
            client.send(extra=Frame(opcode, b"").serialize(mask=True, extensions=[]) * 2500)
            self.assertEqual(self.closed_with(client), 1008)
            self.assertEqual(len(begun), FREE_FRAMES + 1)

    def test_nothing_is_kept_of_what_was_refused(self) -> None:
        """A control frame that announces a terabyte is refused, and all later bytes are discarded."""
        client = self.open()
        client.send(extra=b"\x8a\xff" + (1 << 40).to_bytes(8, "big") + b"\x00" * 4)
        self.assertEqual(self.closed_with(client), 1002)
        (protocol,) = self.factory.protocols_open
        assert protocol.connection is not None
        for _ in range(100):
            client.send(extra=b"a" * 65536)
        self.assertEqual(protocol.connection.data, b"")
        self.assertNotIn("control_frame_data", vars(protocol.connection))

    def test_malformed_close_is_answered(self) -> None:
        """The close frame has the code for the error (RFC 6455, 7.4)."""
        for payload, code in (
            (b"\x00", 1002),
            (b"\x03\xe7", 1002),
            (b"\x03\xed", 1002),
            (b"\x13\x88", 1002),
            (b"\x03\xe8\xff", 1007),
        ):
            client = self.open()
            frame = b"\x88" + bytes([0x80 | len(payload)]) + b"\x00" * 4 + payload
            client.send(extra=frame)
            self.assertEqual((payload, self.closed_with(client)), (payload, code))

    def test_clients_write_no_log(self) -> None:
        """No action of a client writes to the log, as there can be any number of clients."""
        with capturedLogs() as events:
            client = self.open()
            self.clock.pump([1.0] * 26)
            client.receive()
            client.send(extra=Frame(Opcode.PONG, b"bogus").serialize(mask=True, extensions=[]) * 10)
            client.send(extra=b"\xff\xff")
            self.clock.pump([1.0] * 90)
        self.assertEqual([event["log_format"] for event in events], [])

    def test_last_ping_of_a_full_subscriber_is_answered_later(self) -> None:
        """Immediate answers to a client that pings and never reads would fill the server's memory (RFC 6455, 5.5.3)."""
        client = self.open()
        client.pause()
        for payload in (b"w", b"x"):
            client.protocol.send_ping(payload)
            client.send()
        publish(self.feed, FIRST)
        self.assertEqual(client.transport.value(), b"")
        client.resume()
        self.assertEqual(client.receive(), [(Opcode.PONG, b"x"), text(FIRST)])
        client.pause()
        client.resume()
        client.protocol.send_ping(b"y")
        client.send()
        self.assertEqual(client.receive(), [(Opcode.PONG, b"y")])

    def test_late_answer_to_a_ping_that_fills_the_transport(self) -> None:
        """Nothing is written behind it, until the client has read it."""
        client = self.open()
        client.pause()
        client.protocol.send_ping(b"x")
        client.send()
        publish(self.feed, FIRST)
        write = client.transport.write

        def fill(data: bytes) -> None:
            write(data)
            client.pause()

        filling = self.patch(client.transport, "write", fill)
        client.resume()
        publish(self.feed, SECOND)
        self.assertEqual(client.receive(), [(Opcode.PONG, b"x")])
        filling.restore()
        client.resume()
        self.assertEqual(client.receive(), [text(SECOND)])

    def test_ping_is_not_answered_behind_a_close_frame(self) -> None:
        """No pong is sent, even if the ping came before the close frame (RFC 6455, 5.5.1)."""
        client = self.open()
        client.pause()
        client.send(extra=sent(Opcode.PING, b"x") + sent(Opcode.CLOSE, b"\x03\xe8"))
        self.assertEqual(client.receive(), [(Opcode.CLOSE, b"\x03\xe8")])
        client.transport.protocol.resumeProducing()
        self.assertEqual(client.transport.value(), b"")

    def test_unmasked_frame_is_a_protocol_error(self) -> None:
        """RFC 6455, 5.1."""
        client = self.open()
        client.send(extra=Frame(Opcode.TEXT, b"x").serialize(mask=False, extensions=[]))
        self.assertEqual(self.closed_with(client), 1002)

    def test_text_that_is_not_utf_8_is_refused(self) -> None:
        """RFC 6455, 8.1."""
        client = self.open()
        client.protocol.send_text(b"\xff")
        client.send()
        self.assertEqual(self.closed_with(client), 1007)


class FrameTests(WebSocketTestCase):
    """The frames that a client may and may not send (RFC 6455, 5)."""

    def setUp(self) -> None:
        super().setUp()
        self.client = Client(self.site)
        self.client.receive()

    def assert_fails(self, code: int, *pieces: bytes) -> None:
        """The connection is failed with a code; nothing that follows is answered."""
        client = Client(self.site)
        client.receive()
        for piece in pieces:
            client.send(extra=piece)
        ((opcode, payload),) = client.receive()
        self.assertEqual((pieces, opcode, int.from_bytes(payload[:2], "big")), (pieces, Opcode.CLOSE, code))
        client.send(extra=sent(Opcode.PING, b"x"))
        publish(self.feed, FIRST)
        self.assertEqual(client.transport.value(), b"")
        self.clock.pump([1.0] * 4)
        self.assertTrue(client.transport.disconnecting or client.transport.disconnected)

    def test_servers_frames_are_as_they_should_be(self) -> None:
        """Whole, not masked, without reserved bits, and those of control short (RFC 6455, 5.1, 5.2 and 5.5)."""
        publish(self.feed, FIRST)
        self.clock.pump([1.0] * PING_INTERVAL_S)
        for payload in (b"", b"x" * 125):
            self.client.send(extra=sent(Opcode.PING, payload))
        publish(self.feed, b'"%s"' % (b"x" * 70_000))
        self.client.send(extra=sent(Opcode.CLOSE, b"\x03\xe8bye"))
        frames = Raw.read(self.client.transport.value())
        self.assertEqual([frame.first for frame in frames], [0x81, 0x89, 0x8A, 0x8A, 0x81, 0x88])
        for frame in frames:
            self.assertFalse(frame.masked)
            self.assertTrue(frame.first < 0x88 or frame.length <= 125)

    def test_ping_is_answered_with_what_was_in_it(self) -> None:
        """RFC 6455, 5.5.2 and 5.5.3: nothing, a little, or as much as there can be."""
        for payload in (b"", b"\x00\xff", b"x" * 125):
            self.client.send(extra=sent(Opcode.PING, payload))
            self.assertEqual(self.client.receive(), [(Opcode.PONG, payload)])

    def test_reserved_bits_fail(self) -> None:
        """No extension is agreed on that would give them a meaning (RFC 6455, 5.2)."""
        for bits in range(0x10, 0x80, 0x10):
            for opcode in (0x1, 0x2, 0x8, 0x9, 0xA):
                self.assert_fails(1002, raw(0x80 | bits | opcode))

    def test_reserved_opcodes_fail(self) -> None:
        """RFC 6455, 5.2."""
        for opcode in (0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF):
            self.assert_fails(1002, raw(0x80 | opcode))

    def test_fragments_of_control_frames_fail(self) -> None:
        """RFC 6455, 5.5."""
        for opcode in (0x8, 0x9, 0xA):
            self.assert_fails(1002, raw(opcode))

    def test_long_control_frames_fail(self) -> None:
        """They have one byte for their length, and 125 bytes at most (RFC 6455, 5.5)."""
        for opcode in (0x8, 0x9, 0xA):
            self.assert_fails(1002, raw(0x80 | opcode, length=b"\x7e\x00\x7e") + b"x" * 126)
            self.assert_fails(1002, raw(0x80 | opcode, length=b"\x7f" + (1 << 16).to_bytes(8, "big")))

    def test_lengths_that_are_not_the_shortest_fail(self) -> None:
        """Nor may the highest bit of one be set (RFC 6455, 5.2)."""
        for length in (b"\x7e\x00\x7d", b"\x7f" + (65535).to_bytes(8, "big"), b"\x7f\x80" + bytes(7)):
            self.assert_fails(1002, raw(0x82, length=length))

    def test_fragments_out_of_order_fail(self) -> None:
        """A continuation of nothing, and a message within another (RFC 6455, 5.4)."""
        self.assert_fails(1002, raw(0x80, b"x"))
        self.assert_fails(1002, raw(0x00, b"x"))
        for first in (0x81, 0x01, 0x82, 0x02):
            self.assert_fails(1002, raw(0x01, b"x"), raw(first, b"x"))

    def test_fragments_are_put_together(self) -> None:
        """Control frames may stand between them, and are answered at once (RFC 6455, 5.4)."""
        publish(self.feed, FIRST)
        client = Client(self.site, subprotocols=[Subprotocol(DELTA)])
        client.receive()
        client.send(extra=raw(0x01, b'{"have"'))
        client.send(extra=sent(Opcode.PING, b"between"))
        self.assertEqual(client.receive(), [(Opcode.PONG, b"between")])
        client.send(extra=raw(0x00, b": nu") + raw(0x00))
        client.send(extra=raw(0x80, b"ll}"))
        self.assertEqual([message["type"] for message in client.messages()], ["snapshot"])

    def test_text_is_checked_across_fragments(self) -> None:
        """A character may be cut; one that is none is found where it is (RFC 6455, 8.1)."""
        self.client.send(extra=raw(0x01, b"\xc3") + raw(0x80, b"\xa9"))
        self.client.send(extra=raw(0x82, b"\xff"))
        self.assertEqual(self.client.receive(), [])
        self.assert_fails(1007, raw(0x01, b"\xc3"), raw(0x80, b"\x28"))
        self.assert_fails(1007, raw(0x01, b"\xed\xa0\x80"))
        self.assert_fails(1007, raw(0x81, b"\xc3"))

    def test_every_close_is_answered(self) -> None:
        """A close frame with any permitted code, or none, is answered (RFC 6455, 5.5.1 and 7.4)."""
        codes = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
        for payload in (b"", *(code.to_bytes(2, "big") + b"because" for code in codes)):
            client = Client(self.site)
            client.receive()
            client.send(extra=sent(Opcode.CLOSE, payload))
            self.assertEqual((payload, client.receive()), (payload, [(Opcode.CLOSE, b"\x03\xe8")]))

    def test_codes_that_nobody_may_send_fail(self) -> None:
        """Reserved codes, codes outside the ranges and half a code are protocol errors (RFC 6455, 7.4)."""
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
            self.assert_fails(1002, sent(Opcode.CLOSE, code.to_bytes(2, "big")))
        self.assert_fails(1002, raw(0x88, b"\x03"))
        self.assert_fails(1007, raw(0x88, b"\x03\xe8\xff"))

    def test_nothing_is_read_behind_a_close_frame(self) -> None:
        """All bytes that a client sends after its close frame are ignored (RFC 6455, 5.5.1)."""
        self.client.send(extra=sent(Opcode.CLOSE, b"\x03\xe8") + sent(Opcode.PING, b"x") + raw(0xFF))
        self.client.send(extra=sent(Opcode.PING, b"x"))
        self.assertEqual(self.client.receive(), [(Opcode.CLOSE, b"\x03\xe8")])

    def test_server_ends_the_connection_first(self) -> None:
        """The server closes the connection as soon as both sides have sent a close frame (RFC 6455, 7.1.1)."""
        self.client.send(extra=sent(Opcode.CLOSE, b"\x03\xe8"))
        self.assertTrue(self.client.transport.disconnecting)
        other = Client(self.site)
        other.receive()
        protocol = other.transport.protocol
        assert isinstance(protocol, SubscriberProtocol)
        protocol.send_away(1000)
        self.assertFalse(other.transport.disconnecting)
        other.send(extra=sent(Opcode.CLOSE, b"\x03\xe9"))
        self.assertTrue(other.transport.disconnecting)


class CompressionTests(WebSocketTestCase):
    """permessage-deflate (RFC 7692), as a client has it that keeps no context."""

    def open(self, *subprotocols: str) -> Client:
        """Gives a client that has agreed on compression, and has read nothing but the handshake."""
        names = [Subprotocol(name) for name in subprotocols]
        client = DeflatingClient(self.site, subprotocols=names)
        (extension,) = client.agreed()
        self.assertIsInstance(extension, PerMessageDeflate)
        return client

    @staticmethod
    def deflated(message: bytes) -> bytes:
        """Compresses a message as RFC 7692, 7.2.1, has it."""
        compressor = zlib.compressobj(wbits=-15)
        return (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")

    @staticmethod
    def inflated(payload: bytes) -> bytes:
        """Reads a message, with nothing from any before it."""
        return zlib.decompressobj(wbits=-15).decompress(payload + b"\x00\x00\xff\xff")

    def closed_with(self, client: Client, *pieces: bytes) -> int:
        for piece in pieces:
            client.send(extra=piece)
        *_, last = Raw.read(client.transport.value())
        self.assertEqual(last.first, 0x88)
        return int.from_bytes(last.payload[:2], "big")

    def test_messages_are_compressed_and_control_frames_are_not(self) -> None:
        """RSV1 says which is which (RFC 7692, 6), and each message is read by itself (7.1.1.1)."""
        for subprotocols in ((), (DELTA,)):
            self.serve()
            client = self.open(*subprotocols)
            for document in (FIRST, SECOND, FIRST):
                publish(self.feed, document)
            self.clock.pump([1.0] * PING_INTERVAL_S)
            client.send(extra=sent(Opcode.PING, b"x") + sent(Opcode.CLOSE, b"\x03\xe8"))
            frames = Raw.read(client.transport.value())
            self.assertEqual([frame.first for frame in frames], [0xC1] * 3 + [0x89, 0x8A, 0x88])
            messages = [self.inflated(frame.payload) for frame in frames[:3]]
            if subprotocols:
                self.assertEqual([json.loads(message)["data"] for message in messages[:1]], [json.loads(FIRST)])
                self.assertEqual(
                    [json.loads(message)["version"] for message in messages[1:]],
                    [version_of(SECOND), version_of(FIRST)],
                )
            else:
                self.assertEqual(messages, [FIRST, SECOND, FIRST])

    def test_nothing_is_compressed_where_it_was_not_agreed_on(self) -> None:
        """RFC 7692, 6."""
        client = Client(self.site)
        client.receive()
        publish(self.feed, FIRST)
        self.assertEqual([frame.first for frame in Raw.read(client.transport.value())], [0x81])

    def test_clients_messages_are_read_with_and_without_compression(self) -> None:
        """Each by itself, and in fragments of which the first alone says that they are compressed (RFC 7692, 6.1)."""
        publish(self.feed, FIRST)
        client = self.open(DELTA)
        question = b'{"have": null}'
        whole = self.deflated(question)
        for frames in (
            (raw(0xC1, whole),),
            (raw(0x81, question),),
            (raw(0xC1, whole),),
            (raw(0x41, whole[:5]), raw(0x00, whole[5:9]), raw(0x80, whole[9:])),
            (raw(0x41), raw(0x80, whole)),
        ):
            client.transport.clear()
            for frame in frames:
                client.send(extra=frame)
            (answer,) = Raw.read(client.transport.value())
            self.assertEqual((frames, json.loads(self.inflated(answer.payload))["type"]), (frames, "snapshot"))

    def test_bit_where_it_may_not_be_fails(self) -> None:
        """On a control frame, on a continuation, or together with another (RFC 7692, 6 and 6.1)."""
        for pieces in (
            (raw(0xC9, b"x"),),
            (raw(0xC8),),
            (raw(0xCA),),
            (raw(0x41, b"x"), raw(0xC0, b"x")),
            (raw(0x01, b"x"), raw(0xC0, b"x")),
            (raw(0xE1, b"x"),),
            (raw(0xD1, b"x"),),
            (raw(0xA1, b"x"),),
        ):
            self.serve()
            self.assertEqual((pieces, self.closed_with(self.open(), *pieces)), (pieces, 1002))

    def test_bomb_is_too_big(self) -> None:
        """The limit applies to the inflated message, whatever its size on the wire."""
        self.assertEqual(self.closed_with(self.open(), raw(0xC2, self.deflated(b"x" * 4097))), 1009)
        client = self.open()
        client.send(extra=raw(0xC2, self.deflated(b"x" * 4096)))
        self.assertEqual(Raw.read(client.transport.value()), [])

    def test_what_cannot_be_read_fails(self) -> None:
        """Data that cannot be inflated, or is no text, fails the connection (RFC 7692, 7.2.2; RFC 6455, 8.1)."""
        for pieces in ((raw(0xC1, b"\xff\xff\xff"),), (raw(0xC1, self.deflated(b"\xff")),)):
            self.serve()
            self.assertEqual((pieces, self.closed_with(self.open(), *pieces)), (pieces, 1007))
