"""WebSocket subscribers, driven in memory: Autobahn on one side, an independent implementation on the other."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Opcode
from websockets.typing import Subprotocol

from livefeed.delivery.heartbeats import AT_ONCE
from livefeed.delivery.websocket.close_codes import COME_BACK, SLOTS
from livefeed.delivery.websocket.framed import FREE_FRAMES
from livefeed.delivery.websocket.handshake import DELTA, DELTA_2
from livefeed.delivery.websocket.protocol import (
    PING_INTERVAL_S,
    PINGS_UNANSWERED,
    SubscriberFactory,
    SubscriberProtocol,
)
from livefeed.document.snapshot import version_of
from livefeed.feed.state import State
from livefeed.testing import publish
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers.guarded import SHORT_S, protect
from tests.helpers.transports import Grouped, Transport
from tests.helpers.websocket_client import (
    FIRST,
    SECOND,
    THIRD,
    Client,
    DeflatingClient,
    WebSocketTestCase,
    sent,
    text,
)

SENT_AWAY = b"see /-/problems/come-back; come back in %d ms"
"""The reason of a close frame, with its delay in milliseconds."""


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

    def test_malformed_messages_are_ignored(self) -> None:
        """They end no connection, and write nothing to the log."""
        publish(self.feed, self.document(1))
        client = self.open()
        client.messages()
        deep = b'{"have":null,"x":' + b"[" * 4000
        for payload in (b"{", deep, b'{"have":"\xff"}', b'{"\xff":', b'{"have":1}', b'{"have":"%s"}' % (b"x" * 99)):
            client.protocol.send_binary(payload)
            client.send()
            self.assertEqual(client.messages(), [])
        self.assertFalse(client.transport.disconnecting)
        self.assertEqual(len(self.say(client, b'{"have":null}')), 1)

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


class Full(Transport):
    """A transport that the handshake has filled."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if isinstance(producer, SubscriberProtocol):
            producer.pauseProducing()


class Leaving(Transport):
    """A transport whose connection is being closed while the first document is written to it."""

    def write(self, data: bytes) -> None:
        super().write(data)
        protocol, self.producer = self.producer, None
        if isinstance(protocol, SubscriberProtocol):
            protocol.send_away(1000)


class OpeningTests(WebSocketTestCase):
    """The beginning of a subscription, by each subprotocol."""

    protocols = ((), (DELTA,), (DELTA_2,))

    def open(self, subprotocols: tuple[str, ...], transport: Transport) -> Client:
        return Client(self.site, subprotocols=[Subprotocol(name) for name in subprotocols], transport=transport)

    def test_transport_that_is_full_already(self) -> None:
        """The newest document comes when the client reads: nothing but the first one is written until then."""
        for subprotocols in self.protocols:
            self.serve()
            publish(self.feed, FIRST)
            client = self.open(subprotocols, Full())
            self.assertLess(len(client.receive()), 2)
            publish(self.feed, SECOND)
            self.assertEqual((subprotocols, client.receive()), (subprotocols, []))
            client.resume()
            ((_, payload),) = client.receive()
            self.assertIn(b'"n": 2}', payload.replace(b"\\", b""))

    def test_connection_that_is_closed_by_the_first_document(self) -> None:
        """No subscription is left of it."""
        for subprotocols in self.protocols:
            self.serve()
            publish(self.feed, FIRST)
            client = self.open(subprotocols, Leaving())
            self.assertEqual([opcode for opcode, _ in client.receive()], [Opcode.TEXT, Opcode.CLOSE])
            self.assertEqual((subprotocols, self.feed.subscriptions), (subprotocols, {}))

    def test_question_before_the_first_document(self) -> None:
        """It has no answer yet."""
        client = self.open((DELTA,), Transport())
        client.receive()
        client.protocol.send_text(b'{"have": null}')
        client.send()
        self.assertEqual(client.receive(), [])


class ItemTests(WebSocketTestCase):
    """The subprotocol livefeed.delta.v2, in plain and compressed frames."""

    def setUp(self) -> None:
        super().setUp()
        publish(self.feed, b'{"a": 1, "b": 2}')

    def test_items_are_followed(self) -> None:
        """The client is sent the document of its path, those that it asks for, and their changes."""
        for kind in (Client, DeflatingClient):
            client = kind(self.site, subprotocols=[Subprotocol(DELTA_2)])
            (message,) = client.messages()
            self.assertEqual((message["type"], message["path"]), ("document", "/feed"))
            client.protocol.send_text(b'{"follow": "/feed/a"}')
            client.send()
            (message,) = client.messages()
            self.assertEqual((message["type"], message["path"], message["text"]), ("document", "/feed/a", "1"))

    def test_pushes_of_items_spare_pings(self) -> None:
        """A client of several items is pinged as seldom as one that follows a single document."""
        client = Client(self.site, subprotocols=[Subprotocol(DELTA_2)])
        client.receive()
        counts = []
        for seconds, is_pushed in ((90, True), (30, False)):
            pings = 0
            for _ in range(seconds):
                if is_pushed:
                    publish(self.feed, b'{"a": 1, "b": 2}')
                self.clock.pump([0.25] * 4)
                pings += [opcode for opcode, _ in client.receive()].count(Opcode.PING)
            counts.append(pings)
        self.assertEqual(counts, [0, 1])

    def test_heartbeats_spare_pings(self) -> None:
        """They keep a connection alive where only changes are pushed; a client of plain documents has pings alone."""
        self.feed.push = "change"
        followed = (("/feed.ws", DELTA), ("/feed.ws", DELTA_2), ("/feed.ws/a", DELTA_2))
        clients = [Client(self.site, path=path, subprotocols=[Subprotocol(name)]) for path, name in followed]
        pings = dict.fromkeys([*clients, Client(self.site)], 0)
        for _ in range(90):
            publish(self.feed, b'{"a": 1, "b": 2}')
            self.clock.pump([0.25] * 4)
            for client in pings:
                pings[client] += [opcode for opcode, _ in client.receive()].count(Opcode.PING)
                client.send()
        self.assertEqual([*pings.values()], [0, 0, 0, 3])


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
        self.assertEqual(client.receive(), [(Opcode.CLOSE, b"\x03\xe9" + SENT_AWAY % 6000)])
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
        self.assertEqual(reasons, {SENT_AWAY % (6000 + 20 * number) for number in range(3)})

    def test_reason_says_what_a_code_cannot(self) -> None:
        """A delay above 9.98 s is in the reason, and the code is one of those from 6 s on."""
        client = Client(self.site, subprotocols=[Subprotocol(DELTA)])
        client.receive()
        self.factory.let_go(ReconnectSlots(40.0))
        ((_, payload),) = client.receive()
        self.assertEqual((int.from_bytes(payload[:2]), payload[2:]), (3400, SENT_AWAY % 40_000))

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


class PlainTests(WebSocketTestCase):
    def test_messages_say_nothing(self) -> None:
        """A plain subscriber is sent no more for them."""
        publish(self.feed, FIRST)
        client = Client(self.site)
        client.receive()
        client.protocol.send_text(b'{"have": null}')
        client.send()
        self.assertEqual(client.receive(), [])


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
            delay_ms = (code - COME_BACK) * 20
            self.assertEqual(reason, f"the document has expired; see /-/problems/expired; come back in {delay_ms} ms")
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
            pattern = r"the document is withdrawn; see /-/problems/withdrawn; come back in (\d+) ms"
            reason = re.fullmatch(pattern, payload[2:].decode())
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


class ProtectedTests(WebSocketTestCase):
    """Subscribers with a token."""

    def test_the_end_of_a_token(self) -> None:
        """It closes the WebSocket with a time to come back. Nothing is kept of one that has left."""
        published = self.made.published[0]
        guard = protect(published, self.site)
        publish(self.feed, FIRST)
        clients = []
        for names in ((), (DELTA,), (DELTA_2,)):
            offered = [Subprotocol(each) for each in (*names, "livefeed.bearer.c2hvcnQtdG9rZW4")]
            clients.append(Client(self.site, subprotocols=offered))
        self.assertEqual(len(guard.admissions), 3)
        for client in clients:
            client.receive()
        clients.pop().transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(guard.admissions), 2)
        self.clock.advance(SHORT_S)
        reasons = [client.receive()[-1] for client in clients]
        told = b"the token has ended; see /-/problems/token-expired; come back in %d ms"
        self.assertEqual(
            reasons, [(Opcode.CLOSE, b"\x03\xe9" + told % 1000), (Opcode.CLOSE, b"\x0b\xea" + told % 1000)]
        )
        guard.admissions.clear()

    def test_leaving(self) -> None:
        """A client that leaves before its token ends is forgotten with it."""
        guard = protect(self.made.published[0], self.site)
        publish(self.feed, FIRST)
        client = Client(self.site, subprotocols=[Subprotocol("livefeed.bearer.c2hvcnQtdG9rZW4")])
        self.assertEqual(len(guard.admissions), 1)
        client.transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((len(guard.admissions), self.feed.subscriptions), (0, {}))


class ConnectionsTests(SynchronousTestCase):
    """SubscriberFactory.connections."""

    def test_one_for_all(self) -> None:
        """It is made when it is first needed, and then makes all connections."""
        factory = SubscriberFactory(reactor=Clock())
        self.assertIs(factory.connections, factory.connections)
        self.assertIs(factory.connections.reactor, factory.clock)
