"""WebSocket connections, driven in memory: Autobahn on one side, an independent implementation on the other."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from twisted.internet.error import ConnectionDone
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

from livefeed.delivery.heartbeats import AT_ONCE
from livefeed.delivery.websocket.close_codes import COME_BACK, SLOTS
from livefeed.delivery.websocket.handshake import DELTA
from livefeed.delivery.websocket.protocol import (
    FREE_FRAMES,
    PING_INTERVAL_S,
    PINGS_UNANSWERED,
    SubscriberProtocol,
)
from livefeed.document.snapshot import version_of
from livefeed.feed.state import State
from livefeed.testing import publish
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers.transports import Grouped, Transport
from tests.helpers.websocket_client import (
    FIRST,
    SECOND,
    THIRD,
    Client,
    DeflatingClient,
    Raw,
    WebSocketTestCase,
    raw,
    sent,
    text,
)


class DeltaTests(WebSocketTestCase):
    """The subprotocol livefeed.delta.v1."""

    def document(self, number: int) -> bytes:
        return json.dumps({"number": number, "rest": ["unchanged"] * 50}).encode()

    def open(self, path: str = "/feed.ws", *subprotocols: str, transport: Transport | None = None) -> Client:
        names = [Subprotocol(name) for name in (*subprotocols, DELTA)]
        return Client(self.site, path=path, subprotocols=names, transport=transport)

    def say(self, client: Client, message: bytes) -> list[dict[str, Any]]:
        """Sends a message, and gives the messages of the answer."""
        client.protocol.send_text(message)
        client.send()
        return client.messages()

    def test_it_is_agreed_on(self) -> None:
        """The subprotocol is agreed on if the client offers it; no other subprotocol is."""
        publish(self.feed, self.document(1))
        client = self.open("/feed.ws", "other")
        self.assertEqual([message["type"] for message in client.messages()], ["snapshot"])
        self.assertEqual(client.protocol.subprotocol, DELTA)
        plain = Client(self.site, subprotocols=[Subprotocol("other")])
        self.assertEqual(plain.receive(), [text(self.document(1))])
        self.assertIsNone(plain.protocol.subprotocol)

    def test_changes_are_sent(self) -> None:
        """The client is sent changes, and at each tick without any a heartbeat, which has the state."""
        publish(self.feed, self.document(1))
        client = self.open()
        publish(self.feed, self.document(2))
        publish(self.feed, self.document(2))
        self.feed.mark_stale()
        told = [(message["type"], message["state"]) for message in client.messages()]
        self.assertEqual(told, [("snapshot", "live"), ("patch", "live"), ("heartbeat", "live"), ("heartbeat", "stale")])

    def test_client_that_comes_back(self) -> None:
        """The client names its version in the URL, and is sent a patch from there."""
        for number in (1, 2, 3):
            publish(self.feed, self.document(number))
        (message,) = self.open(f"/feed.ws?have={version_of(self.document(1))}").messages()
        self.assertEqual((message["type"], message["from"]), ("patch", version_of(self.document(1))))
        self.assertEqual(message["patch"], [{"op": "replace", "path": "/number", "value": 3}])

    def test_client_may_say_what_it_has(self) -> None:
        """A client may send it at any time; malformed messages are ignored."""
        for number in (1, 2):
            publish(self.feed, self.document(number))
        client = self.open()
        client.receive()
        old, newest = version_of(self.document(1)), version_of(self.document(2))
        for have, kind in ((old, "patch"), (newest, "heartbeat"), ("unknown", "snapshot"), (None, "snapshot")):
            (message,) = self.say(client, json.dumps({"have": have}).encode())
            self.assertEqual((message["type"], message["version"]), (kind, newest))
        for nonsense in (b"", b"{", b"[]", b"{}", b'{"have": 1}', b'{"have": "%s"}' % (b"x" * 65), b"\xc3\xa4"):
            self.assertEqual(self.say(client, nonsense), [], nonsense)
        self.assertFalse(client.transport.disconnecting)

    def test_questions_are_limited(self) -> None:
        """Each is a frame like any other."""
        publish(self.feed, self.document(1))
        client = self.open()
        client.receive()
        for _ in range(FREE_FRAMES + 1):
            client.protocol.send_text(b'{"have": null}')
        client.send()
        opcode, payload = client.receive()[-1]
        self.assertEqual((opcode, payload[:2]), (Opcode.CLOSE, (3500).to_bytes(2)))

    def test_slow_subscriber_is_sent_one_patch(self) -> None:
        """The patch leads from the client's version to the newest once the client reads again, also in a group."""
        for transport in (Transport(), Grouped()):
            self.serve()
            client = self.open(transport=transport)
            for number in (1, 2, 3):
                publish(self.feed, self.document(number))
            client.receive()
            client.pause()
            for number in (4, 5, 6):
                publish(self.feed, self.document(number))
            self.assertEqual(client.messages(), [])
            client.resume()
            (message,) = client.messages()
            self.assertEqual((message["from"], message["patch"][0]["value"]), (version_of(self.document(3)), 6))

    def test_one_of_many_may_say_what_it_has(self) -> None:
        """One member of a group may say it, too; the others are sent the usual patches."""
        publish(self.feed, self.document(1))
        clients = [self.open(transport=Grouped()) for _ in range(3)]
        for number in (2, 3, 4):
            publish(self.feed, self.document(number))
        for client in clients:
            client.receive()
        old = version_of(self.document(2))
        (message,) = self.say(clients[1], json.dumps({"have": old}).encode())
        self.assertEqual((message["from"], message["patch"][0]["value"]), (old, 4))
        for number in (5, 6, 7):
            publish(self.feed, self.document(number))
            for client in clients:
                (message,) = client.messages()
                before = version_of(self.document(number - 1))
                self.assertEqual((message["from"], message["patch"][0]["value"]), (before, number))

    def test_part_of_the_document(self) -> None:
        """It is followed as the whole is, and pushed only when it changes."""
        publish(self.feed, b'{"a": [1, 2], "b": 1}')
        client = Client(self.site, path="/feed/a")
        publish(self.feed, b'{"a": [1, 2], "b": 2}')
        publish(self.feed, b'{"a": [1, 3], "b": 2}')
        self.assertEqual(client.receive(), [text(b"[1, 2]"), text(b"[1, 3]")])


class LivenessTests(WebSocketTestCase):
    def test_subscriber_is_pinged(self) -> None:
        """Every 25 s, so that networks on the way do not forget the connection; the idle timeout of HTTP is gone."""
        client = Client(self.site)
        client.receive()
        for _ in range(20):
            self.clock.pump([1.0] * 26)
            opcodes = [opcode for opcode, _ in client.receive()]
            self.assertEqual(opcodes, [Opcode.PING])
            client.send()
            self.assertFalse(client.transport.disconnecting)

    def test_subscriber_that_is_sent_documents_is_pinged_less_often(self) -> None:
        """Each 100 s; when there are no more documents, as soon as it is due; and then again if it is silent."""
        client = Client(self.site)
        client.receive()

        def pings(seconds: int, *, pushed: bool) -> list[int]:
            """Gives after how many seconds each ping came."""
            came = []
            for second in range(1, seconds + 1):
                if pushed:
                    publish(self.feed, FIRST)
                self.clock.pump([0.25] * 4)
                came += [second for opcode, _ in client.receive() if opcode is Opcode.PING]
            return came

        self.assertEqual(pings(99, pushed=True), [])
        self.assertEqual(pings(1, pushed=True), [1])
        client.send()
        self.assertEqual(pings(100, pushed=True), [100])
        client.send()
        self.assertEqual(pings(30, pushed=True), [])
        self.assertEqual(pings(25, pushed=False), [20])
        self.assertEqual(pings(25, pushed=True), [20])
        self.assertEqual(pings(15, pushed=True), [])
        self.assertFalse(client.transport.disconnected)
        self.clock.pump([0.25] * 4 * 10)
        self.assertTrue(client.transport.disconnected)

    def test_line_is_never_silent_for_long(self) -> None:
        """The connection is never silent for 30 s, for any rate of documents: the strictest networks drop it then."""
        for every_s in (1, 3, 4, 5, 10, 20, 24, 26, 40, 60):
            self.serve()
            client = Client(self.site)
            client.receive()
            silent_s = 0
            for second in range(1, 300):
                if second % every_s == 0:
                    publish(self.feed, FIRST)
                self.clock.pump([0.25] * 4)
                silent_s = 0 if client.transport.value() else silent_s + 1
                self.assertLess(silent_s, 30, every_s)
                if Opcode.PING in dict(client.receive()):
                    client.send()

    def test_large_documents_do_not_put_off_pings(self) -> None:
        """Pings are on time even if every document is sent in several portions."""
        client = Client(self.site)
        client.receive()
        pings = 0
        for _ in range(400):
            publish(self.feed, FIRST)
            client.pause()
            client.resume()
            self.clock.advance(1)
            if Opcode.PING in dict(client.receive()):
                pings += 1
                client.send()
        self.assertEqual(pings, 4)

    def test_subscriber_that_does_not_answer_is_dropped(self) -> None:
        """A phone that left without a word costs nothing a minute and a half later."""
        client = Client(self.site)
        self.clock.pump([1.0] * 90)
        self.assertTrue(client.transport.disconnected)

    def test_subscriber_that_is_sent_documents_and_does_not_answer_is_dropped(self) -> None:
        """The subscriber is dropped after two minutes and a half, though its kernel takes the documents."""
        client = Client(self.site)
        for _ in range(150):
            self.assertFalse(client.transport.disconnected)
            publish(self.feed, FIRST)
            self.clock.advance(1)
        self.assertTrue(client.transport.disconnected)

    def test_gone_subscriber_is_forgotten(self) -> None:
        """No subscription and no timer is left of it."""
        client = Client(self.site)
        self.assertEqual(len(self.feed.subscriptions), 1)
        client.transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(self.feed.subscriptions), 0)
        self.assertEqual(list(self.factory.protocols_open), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        publish(self.feed, FIRST)

    def test_closing_handshake_of_the_client_is_answered(self) -> None:
        """RFC 6455, 5.5.1; and a client that then does not hang up is hung up on."""
        client = Client(self.site)
        client.receive()
        client.protocol.send_close(1000)
        client.send()
        self.assertEqual(client.receive(), [(Opcode.CLOSE, b"\x03\xe8")])
        self.assertTrue(client.transport.disconnecting)
        publish(self.feed, FIRST)
        self.assertEqual(client.transport.value(), b"")
        self.clock.advance(2)
        self.assertTrue(client.transport.disconnected)

    def test_server_says_that_it_goes_away(self) -> None:
        """Close code 1001; a client that does not answer is cut off."""
        client = Client(self.site)
        client.receive()
        self.factory.let_go(ReconnectSlots())
        self.assertEqual(client.receive(), [(Opcode.CLOSE, b"\x03\xe9come back in 6000 ms")])
        publish(self.feed, FIRST)
        self.assertEqual(client.transport.value(), b"")
        self.clock.pump([1.0] * 4)
        self.assertTrue(client.transport.disconnected)

    def test_everybody_comes_back_at_another_time(self) -> None:
        """Clients that follow by delta derive their delay from the close code, or from the reason as all do."""
        clients = [Client(self.site, subprotocols=[Subprotocol(DELTA)]) for _ in range(60)]
        for client in clients:
            client.receive()
        self.factory.let_go(ReconnectSlots(returns_per_s=1000))
        payloads = [payload for client in clients for _, payload in client.receive()]
        codes = [int.from_bytes(payload[:2]) for payload in payloads]
        self.assertEqual(sorted(Counter(codes).items()), [(3300, 20), (3301, 20), (3302, 20)])
        reasons = {payload[2:] for payload in payloads}
        self.assertEqual(reasons, {b"come back in %d ms" % (6000 + 20 * number) for number in range(3)})

    def test_reason_says_what_a_code_cannot(self) -> None:
        """A delay above 9.98 s is in the reason, and the code is one of those from 6 s on."""
        client = Client(self.site, subprotocols=[Subprotocol(DELTA)])
        client.receive()
        self.factory.let_go(ReconnectSlots(40.0))
        ((_, payload),) = client.receive()
        self.assertEqual((int.from_bytes(payload[:2]), payload[2:]), (3400, b"come back in 40000 ms"))

    def test_one_that_is_closed_already_takes_no_slot(self) -> None:
        """It is sent no second close frame."""
        clients = [Client(self.site, subprotocols=[Subprotocol(DELTA)]) for _ in range(2)]
        for client in clients:
            client.receive()
        first = clients[0].transport.protocol
        assert isinstance(first, SubscriberProtocol)
        first.send_away(100)
        first.send_away(200)
        slots = ReconnectSlots(returns_per_s=50)
        self.factory.let_go(slots)
        codes = [int.from_bytes(payload[:2]) for client in clients for _, payload in client.receive()]
        self.assertEqual((codes, slots.retry_ms()), ([3005, 3300], 6020))

    def test_nothing_is_pushed_behind_a_close_frame(self) -> None:
        """No document and no ping follows a close frame of either side (RFC 6455, 5.5.1)."""

        def goes_away(client: Client) -> None:
            protocol = client.transport.protocol
            assert isinstance(protocol, SubscriberProtocol)
            protocol.send_away(1000)

        def leaves(client: Client) -> None:
            client.send(extra=sent(Opcode.CLOSE, b"\x03\xe8"))

        def offends(client: Client) -> None:
            client.send(extra=b"\xff\xff")

        for begin, code in ((goes_away, 1001), (leaves, 1000), (offends, 1002)):
            for is_full in (False, True):
                self.serve()
                client = Client(self.site)
                client.receive()
                self.clock.pump([0.25] * 98)
                if is_full:
                    client.pause()
                    publish(self.feed, FIRST)
                begin(client)
                ((opcode, payload),) = client.receive()
                self.assertEqual((opcode, payload[:2]), (Opcode.CLOSE, code.to_bytes(2, "big")))
                publish(self.feed, SECOND)
                if is_full:
                    client.transport.protocol.resumeProducing()
                self.clock.pump([0.25] * 6)
                publish(self.feed, THIRD)
                self.assertEqual((code, is_full, client.transport.value()), (code, is_full, b""))
                self.assertEqual(len(self.feed.subscriptions), 0)

    def test_full_subscriber_is_not_pinged(self) -> None:
        """No ping is queued for a full subscriber; it is dropped no later than one that does not answer."""
        client, other = Client(self.site), Client(self.site)
        for each in (client, other):
            each.receive()
        client.pause()
        until_dropped = PING_INTERVAL_S * (PINGS_UNANSWERED + 1)
        self.clock.pump([0.25] * (until_dropped * 4 - 1))
        self.assertEqual(client.transport.value(), b"")
        self.assertEqual([opcode for opcode, _ in other.receive()], [Opcode.PING] * PINGS_UNANSWERED)
        self.assertFalse(client.transport.disconnected)
        self.clock.advance(0.25)
        self.assertEqual((client.transport.disconnected, other.transport.disconnected), (True, True))
        self.assertEqual(client.transport.value(), b"")
        self.assertEqual(self.feed.tally.dropped, {"silent": 2})

    def test_sending_is_no_sign_of_life_of_one_that_does_not_read(self) -> None:
        """It would keep the version that it was sent in memory for as long as it likes."""
        client = Client(self.site)
        client.receive()
        client.pause()
        for _ in range(PINGS_UNANSWERED + 1):
            self.assertFalse(client.transport.disconnected)
            self.clock.pump([1.0] * (PING_INTERVAL_S - 1))
            client.send(extra=sent(Opcode.PING, b"here"))
            client.send(extra=sent(Opcode.PONG, b"live"))
            self.clock.advance(1)
        self.assertTrue(client.transport.disconnected)

    def test_progress_is_a_sign_of_life_of_one_that_reads_slowly(self) -> None:
        """A subscriber with a full transport counts as alive while it reads; one that stops reading is dropped."""
        client = Client(self.site)
        client.receive()
        client.pause()
        for left in range(8, 0, -1):
            client.transport.unsent_bytes = left * 1000
            self.clock.pump([1.0] * PING_INTERVAL_S)
            self.assertFalse(client.transport.disconnected)
        self.clock.pump([1.0] * PING_INTERVAL_S * PINGS_UNANSWERED)
        self.assertTrue(client.transport.disconnected)

    def test_reading_is_a_sign_of_life(self) -> None:
        """A subscriber on a slow line that reads its messages late counts as alive, though it sends nothing."""
        client = Client(self.site)
        client.receive()
        for _ in range(6):
            client.pause()
            self.clock.pump([1.0] * PING_INTERVAL_S * PINGS_UNANSWERED)
            self.assertFalse(client.transport.disconnected)
            client.resume()
        self.clock.pump([1.0] * PING_INTERVAL_S * (PINGS_UNANSWERED + 1))
        self.assertTrue(client.transport.disconnected)

    def test_many_are_pinged_in_several_turns(self) -> None:
        """A turn pings at most AT_ONCE of the clients that came together; all of them are pinged within one second."""
        clients = [Client(self.site) for _ in range(2 * AT_ONCE + 1)]
        for client in clients:
            client.receive()
        for wait_s in (PING_INTERVAL_S - 0.25, PING_INTERVAL_S - 1):
            self.clock.pump([0.25] * int(wait_s * 4))
            self.assertEqual({client.transport.value() for client in clients}, {b""})
            turns: list[int] = []
            for _ in range(4):
                self.clock.advance(0.25)
                turns.append(sum(1 for client in clients if client.transport.value()) - sum(turns))
            self.assertEqual(turns, [AT_ONCE, AT_ONCE, 1, 0])
            for client in clients:
                self.assertEqual([opcode for opcode, _ in client.receive()], [Opcode.PING])

    def test_subscriber_that_cannot_be_pinged(self) -> None:
        """The subscriber is logged and disconnected; the others are pinged in the same turn and in all later ones."""

        class Broken(Transport):
            """A transport that does not let itself be written to."""

            broken = False

            def write(self, data: bytes) -> None:
                if self.broken:
                    raise RuntimeError
                super().write(data)

        before, broken, behind = Client(self.site), Client(self.site, transport=Broken()), Client(self.site)
        for client in (before, broken, behind):
            client.receive()
        broken.transport.broken = True  # type: ignore[attr-defined]
        self.clock.pump([1.0] * PING_INTERVAL_S)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(len(self.factory.protocols_open), 2)
        self.assertTrue(broken.transport.disconnected)
        broken.transport.protocol.connectionLost(Failure(ConnectionDone()))
        for _ in range(3):
            for client in (before, behind):
                self.assertEqual([opcode for opcode, _ in client.receive()], [Opcode.PING])
                client.send()
            self.clock.pump([1.0] * PING_INTERVAL_S)


class PongTests(WebSocketTestCase):
    """The answer to a ping, which livefeed reads itself; Autobahn reads all frames that differ from it."""

    def setUp(self) -> None:
        super().setUp()
        self.by_autobahn: list[bytes] = []
        original = WebSocketServerProtocol.dataReceived

        def received(protocol: WebSocketServerProtocol, data: bytes) -> None:
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
        for _ in range(100):
            client.send(extra=b"a" * 65536)
        self.assertEqual(protocol.data, b"")
        self.assertNotIn("control_frame_data", vars(protocol))

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


class ExpiryTests(WebSocketTestCase):
    """The messages to connected clients when the document expires."""

    def setUp(self) -> None:
        super().setUp()
        self.feed.gone_after_s = 10
        publish(self.feed, FIRST)

    def test_plain_subscribers_are_let_go(self) -> None:
        """No message could tell them. They are sent nothing more, and when to come back, each at another time."""
        clients = [Client(self.site, path=path) for path in ("/feed.ws", "/feed/n") for _ in range(10)]
        full = clients[0]
        for client in clients:
            self.assertEqual(len(client.receive()), 1)
        full.pause()
        self.clock.advance(10)
        codes = set()
        for client in clients:
            ((opcode, payload),) = client.receive()
            code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            self.assertIs(opcode, Opcode.CLOSE)
            self.assertTrue(COME_BACK + 50 <= code < COME_BACK + SLOTS, code)
            self.assertEqual(reason, f"the document has expired; come back in {(code - COME_BACK) * 20} ms")
            codes.add(code)
        self.assertGreater(len(codes), 10)
        self.assertEqual(len(self.feed.subscriptions), 0)
        full.resume()
        publish(self.feed, SECOND)
        self.assertEqual([client.receive() for client in clients], [[]] * 20)

    def test_withdrawal_lets_plain_subscribers_go_for_longer(self) -> None:
        """They come back after half a minute to a minute, each at another time, and from another code."""
        clients = [Client(self.site, path=path) for path in ("/feed.ws", "/feed/n") for _ in range(10)]
        for client in clients:
            self.assertEqual(len(client.receive()), 1)
        self.feed.decide(State.WITHDRAWN)
        codes = set()
        for client in clients:
            ((opcode, payload),) = client.receive()
            self.assertIs(opcode, Opcode.CLOSE)
            reason = re.fullmatch(r"the document is withdrawn; come back in (\d+) ms", payload[2:].decode())
            assert reason is not None
            self.assertTrue(30_000 <= int(reason[1]) <= 60_000)
            codes.add(int.from_bytes(payload[:2], "big"))
        self.assertLessEqual(codes, {*range(COME_BACK + 300, COME_BACK + SLOTS)})
        self.assertGreater(len(codes), 10)
        self.assertEqual(len(self.feed.subscriptions), 0)

    def test_decisions_are_told(self) -> None:
        """To delta subscribers they are heartbeats, except for a withdrawal, which takes the document back."""
        client = self.open()
        client.messages()
        for decision, kind in ((State.HELD, "heartbeat"), (State.ENDED, "heartbeat"), (State.WITHDRAWN, "state")):
            self.feed.decide(decision)
            (message,) = client.messages()
            self.assertEqual((message["type"], message["state"]), (kind, decision.value))
        publish(self.feed, SECOND)
        (message,) = client.messages()
        self.assertEqual((message["type"], message["state"], "data" in message), ("state", "withdrawn", False))
        self.feed.decide(State.HELD)
        (message,) = client.messages()
        self.assertEqual((message["type"], message["state"], message["data"]), ("snapshot", "held", json.loads(SECOND)))

    def test_delta_subscribers_are_told(self) -> None:
        """The message has no document, and its repeats are heartbeats; the next document comes whole."""
        clients = [self.open() for _ in range(3)]
        for client in clients:
            self.assertEqual([message["type"] for message in client.messages()], ["snapshot"])
        clients[2].pause()
        self.clock.advance(10)
        self.assertEqual(clients[2].messages(), [])
        clients[2].resume()
        clients.append(self.open(f"/feed.ws?have={version_of(FIRST)}"))
        for _ in range(2):
            for client in clients:
                (message,) = client.messages()
                self.assertEqual((message["type"], message["state"]), ("state", "expired"))
                self.assertEqual(set(message), {"type", "version", "sequence", "state", "at"})
            self.feed.mark_stale()
        for client in clients:
            self.assertEqual(len(client.messages()), 1)
        clients[0].protocol.send_text(json.dumps({"have": version_of(FIRST)}).encode())
        clients[0].send()
        self.assertEqual([message["type"] for message in clients[0].messages()], ["state"])
        publish(self.feed, FIRST)
        for client in clients:
            (message,) = client.messages()
            self.assertEqual((message["type"], message["state"], message["data"]), ("snapshot", "live", {"n": 1.5}))
        publish(self.feed, FIRST)
        for client in clients:
            self.assertEqual([message["type"] for message in client.messages()], ["heartbeat"])

    def test_group_that_did_not_have_the_same(self) -> None:
        """Members of one group each get the right messages, before and after the document expired."""
        clients = [self.open(transport=Grouped()) for _ in range(6)]
        publish(self.feed, SECOND)
        self.clock.advance(10)
        clients += [self.open(f"/feed.ws?have={version_of(have)}", transport=Grouped()) for have in (FIRST, SECOND)]
        self.feed.mark_stale()
        publish(self.feed, SECOND)
        publish(self.feed, THIRD)
        for client in clients:
            documents = [message for message in client.messages() if message["type"] != "heartbeat"]
            self.assertEqual(documents[-1]["version"], version_of(THIRD))
            self.assertEqual([message["type"] for message in documents[-3:]], ["state", "snapshot", "snapshot"])

    def open(self, path: str = "/feed.ws", transport: Transport | None = None) -> Client:
        return Client(self.site, path=path, subprotocols=[Subprotocol(DELTA)], transport=transport)
