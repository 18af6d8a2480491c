"""Subscribers on a WebSocket, driven in memory: Autobahn on one side, an independent implementation on the other."""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

from autobahn.twisted.websocket import WebSocketServerProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.http11 import Response as Handshake
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from livefeed.delivery.heartbeats import AT_ONCE
from livefeed.delivery.messages import Messages
from livefeed.delivery.pages import Root
from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.websocket import protocol
from livefeed.delivery.websocket.protocol import (
    COME_BACK,
    DELTA,
    FREE_FRAMES,
    MAX_OFFERS_BYTES,
    PING_INTERVAL_S,
    PINGS_UNANSWERED,
    SLOTS,
    Handshakes,
    SubscriberFactory,
    SubscriberProtocol,
)
from livefeed.document.codings import MAX_MEMBERS
from livefeed.document.snapshot import version_of
from livefeed.feed.feed import Feed, Push
from livefeed.testing import Response, request
from livefeed.transport.connection import ConnectionGroup
from livefeed.web.channel import Channel
from livefeed.web.cors import Origins
from livefeed.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from websockets.extensions import ClientExtensionFactory, Extension

FIRST, SECOND, THIRD = b'{"n": 1.50}', b'{"n": 2}', b'{"n": 3}'
LONG = b'{"text": "%s"}' % (b"x" * 1000)


class WebSocketTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.serve()

    def serve(self, *origins: str, push: Push = "tick") -> None:
        self.clock = Clock()
        self.feed = Feed("feed", clock=self.clock, push=push)
        self.factory = SubscriberFactory(reactor=self.clock)
        allowed = Origins.parse(origins or ("*",))
        served = PublishedFeed(self.feed, allowed, Handshakes(self.factory, allowed).answer)
        self.site = Site(Root([served]), reactor=self.clock)


class Transport(StringTransport):
    """A transport that, like the real ones, minds neither a producer that leaves twice nor what comes after the end."""

    protocol: Any
    unsent_bytes = 0

    def resumeProducing(self) -> None:
        if not self.disconnecting:
            super().resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None


class Client:
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
        """Hands over what the client wants to send, and reads what comes back."""
        # The transport's protocol changes with the upgrade, as it does on a real transport.
        self.transport.protocol.dataReceived(b"".join(self.protocol.data_to_send()) + extra)

    def agreed(self) -> list[Extension]:
        """Gives the extensions of the handshake, which is taken from what has come in."""
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

    def pause(self) -> None:
        """The client stops reading, and the transport's buffer is full."""
        assert self.transport.producer is not None
        self.transport.producer.pauseProducing()

    def resume(self) -> None:
        """The transport's buffer is empty again."""
        assert self.transport.producer is not None
        self.transport.producer.resumeProducing()


def text(document: bytes) -> tuple[Opcode, bytes]:
    return (Opcode.TEXT, document)


def sent(opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Gives a frame as a client sends it."""
    return Frame(opcode, payload, fin=fin).serialize(mask=True, extensions=[])


class DeltaTests(WebSocketTestCase):
    """The subprotocol livefeed.delta.v1."""

    def document(self, number: int) -> bytes:
        return json.dumps({"number": number, "rest": ["unchanged"] * 50}).encode()

    def open(self, path: str = "/feed.ws", *subprotocols: str, transport: Transport | None = None) -> Client:
        names = [Subprotocol(name) for name in (*subprotocols, DELTA)]
        return Client(self.site, path=path, subprotocols=names, transport=transport)

    def say(self, client: Client, message: bytes) -> list[dict[str, Any]]:
        """Sends a message, and gives what it is answered."""
        client.protocol.send_text(message)
        client.send()
        return client.messages()

    def test_it_is_agreed_on(self) -> None:
        """Where it is among those that are offered; nothing else is."""
        self.feed.publish(self.document(1))
        client = self.open("/feed.ws", "other")
        self.assertEqual([message["type"] for message in client.messages()], ["snapshot"])
        self.assertEqual(client.protocol.subprotocol, DELTA)
        plain = Client(self.site, subprotocols=[Subprotocol("other")])
        self.assertEqual(plain.receive(), [text(self.document(1))])
        self.assertIsNone(plain.protocol.subprotocol)

    def test_changes_are_sent(self) -> None:
        """And a sign of life at each tick without any, which tells the state."""
        self.feed.publish(self.document(1))
        client = self.open()
        self.feed.publish(self.document(2))
        self.feed.publish(self.document(2))
        self.feed.mark_stale()
        told = [(message["type"], message["state"]) for message in client.messages()]
        self.assertEqual(told, [("snapshot", "live"), ("patch", "live"), ("heartbeat", "live"), ("heartbeat", "stale")])

    def test_client_that_comes_back(self) -> None:
        """It says in the URL what it has, and is sent what has changed since."""
        for number in (1, 2, 3):
            self.feed.publish(self.document(number))
        (message,) = self.open(f"/feed.ws?have={version_of(self.document(1))}").messages()
        self.assertEqual((message["type"], message["from"]), ("patch", version_of(self.document(1))))
        self.assertEqual(message["patch"], [{"op": "replace", "path": "/number", "value": 3}])

    def test_client_may_say_what_it_has(self) -> None:
        """At any time; what is not understood is ignored."""
        for number in (1, 2):
            self.feed.publish(self.document(number))
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
        self.feed.publish(self.document(1))
        client = self.open()
        client.receive()
        for _ in range(FREE_FRAMES + 1):
            client.protocol.send_text(b'{"have": null}')
        client.send()
        opcode, payload = client.receive()[-1]
        self.assertEqual((opcode, payload[:2]), (Opcode.CLOSE, (3500).to_bytes(2)))

    def test_slow_subscriber_is_sent_one_patch(self) -> None:
        """From what it has to the newest version, when it can take it; also if many are sent patches together."""
        for transport in (Transport(), Grouped()):
            self.serve()
            client = self.open(transport=transport)
            for number in (1, 2, 3):
                self.feed.publish(self.document(number))
            client.receive()
            client.pause()
            for number in (4, 5, 6):
                self.feed.publish(self.document(number))
            self.assertEqual(client.messages(), [])
            client.resume()
            (message,) = client.messages()
            self.assertEqual((message["from"], message["patch"][0]["value"]), (version_of(self.document(3)), 6))

    def test_one_of_many_may_say_what_it_has(self) -> None:
        """Also where many are sent patches together; the others are sent theirs as if it had not."""
        self.feed.publish(self.document(1))
        clients = [self.open(transport=Grouped()) for _ in range(3)]
        for number in (2, 3, 4):
            self.feed.publish(self.document(number))
        for client in clients:
            client.receive()
        old = version_of(self.document(2))
        (message,) = self.say(clients[1], json.dumps({"have": old}).encode())
        self.assertEqual((message["from"], message["patch"][0]["value"]), (old, 4))
        for number in (5, 6, 7):
            self.feed.publish(self.document(number))
            for client in clients:
                (message,) = client.messages()
                before = version_of(self.document(number - 1))
                self.assertEqual((message["from"], message["patch"][0]["value"]), (before, number))

    def test_part_of_the_document(self) -> None:
        """It is followed as the whole is, and pushed only when it changes."""
        self.feed.publish(b'{"a": [1, 2], "b": 1}')
        client = Client(self.site, path="/feed/a")
        self.feed.publish(b'{"a": [1, 2], "b": 2}')
        self.feed.publish(b'{"a": [1, 3], "b": 2}')
        self.assertEqual(client.receive(), [text(b"[1, 2]"), text(b"[1, 3]")])


class Grouped(Transport):
    """A transport of which many can be written to together."""

    write_or_end = Transport.write
    make_multicast = staticmethod(ConnectionGroup)


class Wrapping(Transport):
    """A transport that wraps another, as Twisted's TLS does, and passes on what it does not have itself."""

    def write_below(self) -> Any:
        raise AssertionError("written below the wrapper, where everybody can read it")

    def __getattr__(self, name: str) -> Any:
        if name == "make_group":
            return self.write_below
        raise AttributeError(name)


class PushTests(WebSocketTestCase):
    def test_subscriber_whose_message_breaks_is_disconnected(self) -> None:
        """Plain and by delta, alone and in a group, as a newcomer and at a version: nobody stays and is silent."""
        for subprotocols, transport, newcomer in product(
            ([], [Subprotocol(DELTA)]), (Transport, Grouped), (False, True)
        ):
            self.serve()
            for version in (FIRST, SECOND):
                self.feed.publish(version)
            clients = [] if newcomer else [Client(self.site, transport=transport(), subprotocols=subprotocols)]
            self.feed.publish(SECOND)
            error = MemoryError()
            with (
                mock.patch.object(Messages, "_make", side_effect=error),
                mock.patch.object(protocol._Outlet, "send", side_effect=error),
            ):
                clients = clients or [Client(self.site, transport=transport(), subprotocols=subprotocols)]
                self.feed.publish(THIRD)
            self.assertEqual([client.transport.disconnected for client in clients], [True])
            self.assertEqual(self.feed.subscriptions, {})
            self.assertTrue(self.flushLoggedErrors(MemoryError))

    def test_one_that_leaves_a_group_is_not_written_to_with_it(self) -> None:
        """A full one is written nothing, and one that has gone is out of the transport's group."""
        for subprotocols in ([], [Subprotocol(DELTA)]):
            self.serve()
            full, gone, other = (Client(self.site, transport=Grouped(), subprotocols=subprotocols) for _ in range(3))
            for version in (FIRST, SECOND):
                self.feed.publish(version)
            for client in (full, gone, other):
                client.receive()
            full.pause()
            gone.transport.protocol.connectionLost(Failure(ConnectionDone()))
            self.feed.publish(THIRD)
            self.assertEqual([client.transport.value() for client in (full, gone)], [b"", b""])
            self.assertEqual(len(other.receive()), 1)

    def test_message_to_a_group_that_breaks_once(self) -> None:
        """All of it have the version in the end, by a patch of what they had, and stay connected."""
        clients = [Client(self.site, transport=Grouped(), subprotocols=[Subprotocol(DELTA)]) for _ in range(3)]
        for version in (LONG, LONG + b" "):
            self.feed.publish(version)
        for client in clients:
            client.messages()
        make = Messages._make
        calls = iter([MemoryError()])

        def break_once(messages: Messages, *arguments: Any) -> bytes:
            for error in calls:
                raise error
            return make(messages, *arguments)

        self.patch(Messages, "_make", break_once)
        for version in (LONG, LONG + b"\n"):
            self.feed.publish(version)
            for client in clients:
                [message] = client.messages()
                self.assertEqual((message["type"], message["version"]), ("patch", version_of(version)))
                self.assertFalse(client.transport.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)

    def test_what_wraps_a_transport_is_not_passed_by(self) -> None:
        """Such as Twisted's TLS, on a connection that can be written to with others: each is written to by itself."""
        for subprotocols in ([], [Subprotocol(DELTA)]):
            self.serve()
            client = Client(self.site, transport=Wrapping(), subprotocols=subprotocols)
            client.receive()
            for document in (FIRST, SECOND):
                self.feed.publish(document)
                self.assertEqual([opcode for opcode, _ in client.receive()], [Opcode.TEXT])

    def test_newest_document_is_sent_at_once(self) -> None:
        """On either path, byte for byte, as one text message."""
        self.feed.publish(FIRST)
        for path in ("/feed.ws", "/feed", "/feed.json", "/feed.ws?x=y"):
            self.assertEqual(Client(self.site, path=path).receive(), [text(FIRST)])

    def test_subscriber_of_an_empty_feed_waits(self) -> None:
        """The handshake is accepted before there is a document."""
        client = Client(self.site)
        self.assertEqual(client.receive(), [])
        self.feed.publish(FIRST)
        self.assertEqual(client.receive(), [text(FIRST)])

    def test_each_good_pull_is_pushed(self) -> None:
        """Also where nothing has changed: the push is the sign of life."""
        client = Client(self.site)
        for document in (FIRST, FIRST, SECOND):
            self.feed.publish(document)
        self.assertEqual(client.receive(), [text(FIRST), text(FIRST), text(SECOND)])

    def test_changes_alone_are_pushed_where_asked_for(self) -> None:
        """--push=change."""
        self.serve(push="change")
        client = Client(self.site)
        for document in (FIRST, FIRST, SECOND):
            self.feed.publish(document)
        self.assertEqual(client.receive(), [text(FIRST), text(SECOND)])

    def test_all_subscribers_are_sent_the_same_bytes(self) -> None:
        """The frame is made once for a snapshot."""
        clients = [Client(self.site) for _ in range(3)]
        for client in clients:
            client.receive()
        self.feed.publish(FIRST)
        assert self.feed.snapshot is not None
        for client in clients:
            self.assertEqual(client.transport.value(), self.feed.snapshot.frame)

    def test_full_subscriber_skips_versions(self) -> None:
        """Nothing is written while it is full, and then the newest version alone."""
        slow, fast = Client(self.site), Client(self.site)
        slow.receive()
        fast.receive()
        slow.pause()
        for document in (FIRST, SECOND, THIRD):
            self.feed.publish(document)
        self.assertEqual(slow.transport.value(), b"")
        self.assertEqual(fast.receive(), [text(FIRST), text(SECOND), text(THIRD)])
        slow.resume()
        self.assertEqual(slow.receive(), [text(THIRD)])
        self.feed.publish(FIRST)
        self.assertEqual(slow.receive(), [text(FIRST)])

    def test_subscriber_that_is_full_from_the_start_is_owed_the_newest(self) -> None:
        """The first document alone may be more than the transport takes."""

        class Small(Transport):
            """Says that it is full as soon as there is something in it."""

            def write(self, data: bytes) -> None:
                super().write(data)
                if self.producer is not None:
                    self.producer.pauseProducing()

        self.feed.publish(FIRST)
        client = Client(self.site, transport=Small())
        self.assertEqual(client.receive(), [text(FIRST)])
        for document in (SECOND, THIRD):
            self.feed.publish(document)
        self.assertEqual(client.receive(), [])
        client.resume()
        self.assertEqual(client.receive(), [text(THIRD)])

    def test_frames_behind_the_handshake_are_read(self) -> None:
        """A client need not wait for the 101 to arrive before it sends."""
        ping = Frame(Opcode.PING, b"early").serialize(mask=True, extensions=[])
        self.assertEqual(Client(self.site, extra=ping).receive(), [(Opcode.PONG, b"early")])


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
                    self.feed.publish(FIRST)
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
        """However often there are documents, and whatever is followed: the strictest networks forget one after 30 s."""
        for every_s in (1, 3, 4, 5, 10, 20, 24, 26, 40, 60):
            self.serve()
            client = Client(self.site)
            client.receive()
            silent_s = 0
            for second in range(1, 300):
                if second % every_s == 0:
                    self.feed.publish(FIRST)
                self.clock.pump([0.25] * 4)
                silent_s = 0 if client.transport.value() else silent_s + 1
                self.assertLess(silent_s, 30, every_s)
                if Opcode.PING in dict(client.receive()):
                    client.send()

    def test_large_documents_do_not_put_off_pings(self) -> None:
        """Though whoever is sent one takes it in several goes."""
        client = Client(self.site)
        client.receive()
        pings = 0
        for _ in range(400):
            self.feed.publish(FIRST)
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
        """Though its kernel takes them: two minutes and a half later."""
        client = Client(self.site)
        for _ in range(150):
            self.assertFalse(client.transport.disconnected)
            self.feed.publish(FIRST)
            self.clock.advance(1)
        self.assertTrue(client.transport.disconnected)

    def test_gone_subscriber_is_forgotten(self) -> None:
        """Nothing is kept of it: no subscription, no timer."""
        client = Client(self.site)
        self.assertEqual(len(self.feed.subscriptions), 1)
        client.transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(self.feed.subscriptions), 0)
        self.assertEqual(list(self.factory.protocols_open), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.feed.publish(FIRST)

    def test_closing_handshake_of_the_client_is_answered(self) -> None:
        """RFC 6455, 5.5.1; and a client that then does not hang up is hung up on."""
        client = Client(self.site)
        client.receive()
        client.protocol.send_close(1000)
        client.send()
        self.assertEqual(client.receive(), [(Opcode.CLOSE, b"\x03\xe8")])
        self.assertTrue(client.transport.disconnecting)
        self.feed.publish(FIRST)
        self.assertEqual(client.transport.value(), b"")
        self.clock.advance(2)
        self.assertTrue(client.transport.disconnected)

    def test_server_says_that_it_goes_away(self) -> None:
        """Close code 1001; a client that does not answer is cut off."""
        client = Client(self.site)
        client.receive()
        self.factory.let_go()
        self.assertEqual(client.receive(), [(Opcode.CLOSE, b"\x03\xe9come back in 1000 ms")])
        self.feed.publish(FIRST)
        self.assertEqual(client.transport.value(), b"")
        self.clock.pump([1.0] * 4)
        self.assertTrue(client.transport.disconnected)

    def test_everybody_comes_back_at_another_time(self) -> None:
        """Those who follow by delta read it from the code: from 3050 on, twenty each 20 ms."""
        clients = [Client(self.site, subprotocols=[Subprotocol(DELTA)]) for _ in range(60)]
        for client in clients:
            client.receive()
        self.factory.let_go()
        codes = [int.from_bytes(payload[:2]) for client in clients for _, payload in client.receive()]
        self.assertEqual(sorted(Counter(codes).items()), [(3050, 20), (3051, 20), (3052, 20)])

    def test_however_many_there_are_they_have_slots(self) -> None:
        """Up to the last of the range, and evenly."""
        slots: Counter[int] = Counter()

        @dataclass(eq=False)
        class Following:
            def send_away(self, slot: int) -> None:
                slots[slot] += 1

        everybody: Any = [Following() for _ in range(45_000)]
        self.factory.protocols_open = everybody
        self.factory.let_go()
        self.assertEqual((min(slots), max(slots), set(slots.values())), (50, 499, {100}))

    def test_nothing_is_pushed_behind_a_close_frame(self) -> None:
        """Whoever has sent the first, and whatever the subscriber was owed: no document, no ping (RFC 6455, 5.5.1)."""

        def goes_away(client: Client) -> None:
            protocol = client.transport.protocol
            assert isinstance(protocol, SubscriberProtocol)
            protocol.send_away(50)

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
                    self.feed.publish(FIRST)
                begin(client)
                ((opcode, payload),) = client.receive()
                self.assertEqual((opcode, payload[:2]), (Opcode.CLOSE, code.to_bytes(2, "big")))
                self.feed.publish(SECOND)
                if is_full:
                    client.transport.protocol.resumeProducing()
                self.clock.pump([0.25] * 6)
                self.feed.publish(THIRD)
                self.assertEqual((code, is_full, client.transport.value()), (code, is_full, b""))
                self.assertEqual(len(self.feed.subscriptions), 0)

    def test_full_subscriber_is_not_pinged(self) -> None:
        """Nothing is put behind what it does not take; it is dropped no later than one that does not answer."""
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
        """Though its transport is full all the while; once it takes nothing any more it is dropped."""
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
        """A subscriber on a slow line that takes what it was sent, if late, is there, though it says nothing."""
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
        """When all came at once: so many in one turn that others get theirs, and all of them within one second."""
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
        """Is logged and disconnected; the others are pinged in the same turn and in all that follow."""

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
    """The answer to a ping, which is read on a way of its own; whatever is not quite that, on Autobahn's."""

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
        """Nothing was answered until now, a ping is, and what the feed has to say comes through."""
        self.assertEqual(self.client.receive(), [])
        self.client.send(extra=sent(Opcode.PING, b"still here?"))
        self.feed.publish(FIRST)
        self.assertEqual(self.client.receive(), [(Opcode.PONG, b"still here?"), text(FIRST)])
        self.assertFalse(self.client.transport.disconnecting)

    def test_answer_to_a_ping_takes_the_short_way(self) -> None:
        """As a real client sends it; anything else does not."""
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
        """Wherever the network cuts it; or with something else behind it, or before."""
        for place in range(1, len(self.pong)):
            self.client.send(extra=self.pong[:place])
            self.client.send(extra=self.pong[place:])
        self.client.send(extra=self.pong * 2)
        self.client.send(extra=sent(Opcode.TEXT, b"x") + self.pong)
        self.client.send(extra=self.pong + sent(Opcode.TEXT, b"x"))
        self.assert_in_step()

    def test_pong_with_another_payload(self) -> None:
        """One that nobody asked for is allowed, whatever is in it (RFC 6455, 5.5.3)."""
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
            (b"\x82\x86", b""),  # the mask, and what it masks
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
        """With a code of livefeed's own."""
        client = Client(self.site, subprotocols=[Subprotocol(DELTA)])
        client.send(extra=Frame(Opcode.PING, b"x").serialize(mask=True, extensions=[]) * 101)
        self.assertEqual(self.closed_with(client), 3500)

    def test_frames_of_every_kind_are_counted(self) -> None:
        """Pongs that nobody asked for, and fragments without end, too."""
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
        """A control frame that says it has a terabyte is refused, and what follows is thrown away."""
        client = self.open()
        client.send(extra=b"\x8a\xff" + (1 << 40).to_bytes(8, "big") + b"\x00" * 4)
        self.assertEqual(self.closed_with(client), 1002)
        (protocol,) = self.factory.protocols_open
        for _ in range(100):
            client.send(extra=b"a" * 65536)
        self.assertEqual(protocol.data, b"")
        self.assertNotIn("control_frame_data", vars(protocol))

    def test_malformed_close_is_answered(self) -> None:
        """RFC 6455, 7.4: with a code that says what was wrong with it."""
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
        """Whatever they do: there can be as many as somebody wants."""
        with capturedLogs() as events:
            client = self.open()
            self.clock.pump([1.0] * 26)
            client.receive()
            client.send(extra=Frame(Opcode.PONG, b"bogus").serialize(mask=True, extensions=[]) * 10)
            client.send(extra=b"\xff\xff")
            self.clock.pump([1.0] * 90)
        self.assertEqual([event["log_format"] for event in events], [])

    def test_last_ping_of_a_full_subscriber_is_answered_later(self) -> None:
        """Or a client that pings and never reads would fill the server's memory with pongs (RFC 6455, 5.5.3)."""
        client = self.open()
        client.pause()
        for payload in (b"w", b"x"):
            client.protocol.send_ping(payload)
            client.send()
        self.feed.publish(FIRST)
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
        self.feed.publish(FIRST)
        write = client.transport.write

        def fill(data: bytes) -> None:
            write(data)
            client.pause()

        filling = self.patch(client.transport, "write", fill)
        client.resume()
        self.feed.publish(SECOND)
        self.assertEqual(client.receive(), [(Opcode.PONG, b"x")])
        filling.restore()
        client.resume()
        self.assertEqual(client.receive(), [text(SECOND)])

    def test_ping_is_not_answered_behind_a_close_frame(self) -> None:
        """Also where it came before (RFC 6455, 5.5.1)."""
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


@dataclass(frozen=True)
class Raw:
    """A frame as it was sent, whatever is wrong with it."""

    first: int
    masked: bool
    length: int
    payload: bytes

    @classmethod
    def read(cls, data: bytes) -> list[Raw]:
        """Takes apart what a server has sent: whole frames, and nothing behind them."""
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


class FrameTests(WebSocketTestCase):
    """What a client may send, and what it may not (RFC 6455, 5)."""

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
        self.feed.publish(FIRST)
        self.assertEqual(client.transport.value(), b"")
        self.clock.pump([1.0] * 4)
        self.assertTrue(client.transport.disconnecting or client.transport.disconnected)

    def test_servers_frames_are_as_they_should_be(self) -> None:
        """Whole, not masked, without reserved bits, and those of control short (RFC 6455, 5.1, 5.2 and 5.5)."""
        self.feed.publish(FIRST)
        self.clock.pump([1.0] * PING_INTERVAL_S)
        for payload in (b"", b"x" * 125):
            self.client.send(extra=sent(Opcode.PING, payload))
        self.feed.publish(b'"%s"' % (b"x" * 70_000))
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
        self.feed.publish(FIRST)
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
        """Whatever code it has that may be sent, or none (RFC 6455, 5.5.1 and 7.4)."""
        codes = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
        for payload in (b"", *(code.to_bytes(2, "big") + b"because" for code in codes)):
            client = Client(self.site)
            client.receive()
            client.send(extra=sent(Opcode.CLOSE, payload))
            self.assertEqual((payload, client.receive()), (payload, [(Opcode.CLOSE, b"\x03\xe8")]))

    def test_codes_that_nobody_may_send_fail(self) -> None:
        """Those that are reserved for what was not said, those of no range, and half a code (RFC 6455, 7.4)."""
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
            self.assert_fails(1002, sent(Opcode.CLOSE, code.to_bytes(2, "big")))
        self.assert_fails(1002, raw(0x88, b"\x03"))
        self.assert_fails(1007, raw(0x88, b"\x03\xe8\xff"))

    def test_nothing_is_read_behind_a_close_frame(self) -> None:
        """What a client sends after its own is nobody's concern (RFC 6455, 5.5.1)."""
        self.client.send(extra=sent(Opcode.CLOSE, b"\x03\xe8") + sent(Opcode.PING, b"x") + raw(0xFF))
        self.client.send(extra=sent(Opcode.PING, b"x"))
        self.assertEqual(self.client.receive(), [(Opcode.CLOSE, b"\x03\xe8")])

    def test_server_ends_the_connection_first(self) -> None:
        """As soon as both sides have said that they close (RFC 6455, 7.1.1)."""
        self.client.send(extra=sent(Opcode.CLOSE, b"\x03\xe8"))
        self.assertTrue(self.client.transport.disconnecting)
        other = Client(self.site)
        other.receive()
        protocol = other.transport.protocol
        assert isinstance(protocol, SubscriberProtocol)
        protocol.send_away(50)
        self.assertFalse(other.transport.disconnecting)
        other.send(extra=sent(Opcode.CLOSE, b"\x03\xe9"))
        self.assertTrue(other.transport.disconnecting)


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


class WindowTests(WebSocketTestCase):
    def test_frames_are_compressed_for_clients_that_name_the_whole_window(self) -> None:
        """An independent implementation agrees, and reads the same frame as all others."""
        client, other = WindowClient(self.site), DeflatingClient(self.site)
        for each in (client, other):
            each.receive()
        self.feed.publish(LONG)
        self.assertEqual(client.transport.value(), other.transport.value())
        self.assertLess(len(client.transport.value()), len(LONG) / 2)
        self.assertEqual(client.receive(), [text(LONG)])


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
                self.feed.publish(document)
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
        self.feed.publish(FIRST)
        self.assertEqual([frame.first for frame in Raw.read(client.transport.value())], [0x81])

    def test_clients_messages_are_read_with_and_without_compression(self) -> None:
        """Each by itself, and in fragments of which the first alone says that they are compressed (RFC 7692, 6.1)."""
        self.feed.publish(FIRST)
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
        """The limit is that of the message as it is read, whatever it takes on the wire."""
        self.assertEqual(self.closed_with(self.open(), raw(0xC2, self.deflated(b"x" * 4097))), 1009)
        client = self.open()
        client.send(extra=raw(0xC2, self.deflated(b"x" * 4096)))
        self.assertEqual(Raw.read(client.transport.value()), [])

    def test_what_cannot_be_read_fails(self) -> None:
        """Or is no text where text was promised (RFC 7692, 7.2.2; RFC 6455, 8.1)."""
        for pieces in ((raw(0xC1, b"\xff\xff\xff"),), (raw(0xC1, self.deflated(b"\xff")),)):
            self.serve()
            self.assertEqual((pieces, self.closed_with(self.open(), *pieces)), (pieces, 1007))


class HandshakeTests(WebSocketTestCase):
    FIELDS = (
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + base64.b64encode(b"0123456789abcdef"),
    )

    def handshake(self, *fields: bytes, without: bytes = b"-", line: bytes = b"GET /feed.ws HTTP/1.1") -> Response:
        kept = [field for field in self.FIELDS if not field.startswith(without)]
        return request(self.site, b"\n".join([line, *kept, *fields]))

    def test_handshake_is_accepted(self) -> None:
        """The key is answered as RFC 6455, 1.3, has it; no unknown extension and no subprotocol is agreed on."""
        response = self.handshake(
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            b"Sec-WebSocket-Extensions: x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=10",
            b"Sec-WebSocket-Protocol: chat, chat",
            without=b"Sec-WebSocket-Key",
        )
        self.assertEqual(response.status, 101)
        self.assertEqual(response.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.assertEqual(response.headers["upgrade"].lower(), "websocket")
        self.assertEqual(response.headers["connection"].lower(), "upgrade")
        self.assertNotIn("sec-websocket-extensions", response.headers)
        self.assertNotIn("sec-websocket-protocol", response.headers)

    def test_deflate_is_agreed_on_where_it_can_be(self) -> None:
        """One frame is made for all, so neither side keeps a context, and no window is limited (RFC 7692, 7.1)."""
        for offer, accepted in (
            (b"permessage-deflate", True),
            (b"permessage-deflate; client_max_window_bits", True),
            (b"Permessage-Deflate;client_max_window_bits=10 ; server_no_context_takeover", True),
            (b"permessage-deflate; server_max_window_bits=9, permessage-deflate", True),
            (b"permessage-deflate; server_max_window_bits=9", False),
            (b"permessage-deflate; unknown", False),
            (b"permessage-deflate; client_no_context_takeover; client_no_context_takeover", False),
            (b"permessage-bzip2", False),
            (b"permessage-deflate; client_max_window_bits=15", True),
            (b'permessage-deflate; client_max_window_bits="8"', True),
            (b'permessage-deflate; client_max_window_bits="1\\0"', True),
            (b", permessage-deflate ,, x; y=z,", True),
            (b"permessage-deflate; client_max_window_bits=7", False),
            (b"permessage-deflate; client_max_window_bits=16", False),
            (b"permessage-deflate; client_max_window_bits=08", False),
            (b"permessage-deflate; client_max_window_bits=x", False),
            (b"permessage-deflate; client_max_window_bits; client_max_window_bits=9", False),
            (b"permessage-deflate; client_no_context_takeover=1", False),
            (b"permessage-deflate; server_no_context_takeover=true", False),
            (b"permessage-deflate; server_max_window_bits", False),
            (b"permessage-deflate; client_max_window_bits=99, permessage-deflate", True),
            (b"x-permessage-deflate", False),
        ):
            response = self.handshake(b"Sec-WebSocket-Extensions: " + offer)
            self.assertEqual(response.status, 101)
            agreed = response.headers.get("sec-websocket-extensions")
            expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            self.assertEqual((offer, agreed), (offer, expected if accepted else None))

    def test_window_that_limits_nothing_is_granted(self) -> None:
        """By name, as it must be (RFC 7692, 7.1.2.1), and only where the offer that is taken up asks for it."""
        granted = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        whole = "permessage-deflate; server_no_context_takeover; server_max_window_bits=15; client_no_context_takeover"
        for offer, agreed in (
            # What Boost.Beast and wsproto send by default.
            (b"permessage-deflate; server_max_window_bits=15; client_max_window_bits=15", whole),
            (b"permessage-deflate; client_max_window_bits=15; server_max_window_bits=15", whole),
            (b'permessage-deflate; server_max_window_bits = "15"', whole),
            (b"permessage-deflate; server_max_window_bits=14, permessage-deflate", granted),
            (b"permessage-deflate, permessage-deflate; server_max_window_bits=15", granted),
            *((b"permessage-deflate; server_max_window_bits=%d" % bits, None) for bits in (*range(15), 16, 115, 150)),
            (b"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15", None),
            (b'permessage-deflate; server_max_window_bits="015"', None),
        ):
            response = self.handshake(b"Sec-WebSocket-Extensions: " + offer)
            self.assertEqual((offer, response.headers.get("sec-websocket-extensions")), (offer, agreed))

    def test_malformed_extensions_end_the_handshake(self) -> None:
        """RFC 6455, 9.1; nothing in quotes is taken for an offer."""
        for offers in (
            b" ,",
            b";,;=,",
            b"permessage-deflate;",
            b"permessage-deflate; ;",
            b"permessage-deflate; client_max_window_bits=",
            b'permessage-deflate; client_max_window_bits="',
            b'permessage-deflate; client_max_window_bits=""',
            b'permessage-deflate; client_max_window_bits="8',
            b'x; y=", permessage-deflate, "',
            b"permessage deflate",
            b"permessage-deflate/",
            b"\xff",
            b"x," * (MAX_OFFERS_BYTES // 2) + b"x",
        ):
            response = self.handshake(b"Sec-WebSocket-Extensions: " + offers)
            self.assertEqual((offers, response.status), (offers, 400))
        response = self.handshake(b"Sec-WebSocket-Extensions:")
        self.assertEqual((response.status, response.headers.get("sec-websocket-extensions")), (101, None))
        response = self.handshake(b"Sec-WebSocket-Extensions: x; y=z", b"Sec-WebSocket-Extensions: permessage-deflate")
        self.assertIn("sec-websocket-extensions", response.headers)

    def test_long_lists_of_offers(self) -> None:
        """An offer behind as many as are looked at is not taken up, nor is one with more parameters than that."""
        others, deflate = b"x," * (MAX_MEMBERS - 1), b"permessage-deflate"
        for offers, taken in (
            (others + deflate, True),
            (b"x," + others + deflate, False),
            (deflate + b"; x" * 300, False),
        ):
            response = self.handshake(b"Sec-WebSocket-Extensions: " + offers)
            self.assertEqual((offers, response.status), (offers, 101))
            self.assertEqual((offers, "sec-websocket-extensions" in response.headers), (offers, taken))
        for protocols, taken in ((others + DELTA.encode(), True), (b"x," + others + DELTA.encode(), False)):
            response = self.handshake(b"Sec-WebSocket-Protocol: " + protocols)
            self.assertEqual((protocols, "sec-websocket-protocol" in response.headers), (protocols, taken))

    def test_subprotocol_is_one_that_was_offered(self) -> None:
        """To the letter, and named once; where it was not offered, none is named (RFC 6455, 4.2.2)."""
        name = DELTA.encode()
        for offered, agreed in (
            (b"Sec-WebSocket-Protocol: other, " + name + b", chat", DELTA),
            (b"Sec-WebSocket-Protocol: other\nSec-WebSocket-Protocol: " + name, DELTA),
            (b"Sec-WebSocket-Protocol: " + name.upper(), None),
            (b"Sec-WebSocket-Protocol: " + name + b".x", None),
            (b"X: y", None),
        ):
            response = self.handshake(offered)
            self.assertEqual(response.status, 101)
            self.assertEqual((offered, response.headers.get("sec-websocket-protocol")), (offered, agreed))

    def test_answer_to_a_handshake_has_no_length(self) -> None:
        """Nor is it chunked (RFC 9110, 8.6, and RFC 9112, 6.1)."""
        headers = self.handshake().headers
        self.assertEqual({"content-length", "transfer-encoding"} & {*headers}, set())

    def test_lists_and_other_cases_are_understood(self) -> None:
        """Firefox sends 'keep-alive, Upgrade'."""
        self.assertEqual(self.handshake(b"Connection: keep-alive, UPGRADE", without=b"Connection").status, 101)
        self.assertEqual(self.handshake(b"Upgrade: WebSocket", without=b"Upgrade").status, 101)

    def test_request_that_is_no_handshake_is_told_what_is(self) -> None:
        """RFC 9110, 15.5.22."""
        for response in (self.handshake(without=b"Upgrade"), self.handshake(b"Upgrade: h2c", without=b"Upgrade")):
            self.assertEqual(response.status, 426)
            self.assertEqual(response.headers["upgrade"], "websocket")
            self.assertEqual(response.headers["content-type"], "application/problem+json")

    def test_incomplete_handshakes_are_refused(self) -> None:
        """In twisted.web's own way, so that Autobahn never sees them."""
        for response in (
            self.handshake(without=b"Connection"),
            self.handshake(without=b"Sec-WebSocket-Key"),
            self.handshake(b"Sec-WebSocket-Key: c2hvcnQ=", without=b"Sec-WebSocket-Key"),
            self.handshake(b"Sec-WebSocket-Key: !" + b"a" * 23, without=b"Sec-WebSocket-Key"),
            self.handshake(self.FIELDS[3]),
            self.handshake(line=b"HEAD /feed HTTP/1.1"),
        ):
            self.assertEqual(response.status, 400)

    def test_upgrade_is_ignored_in_http_1_0(self) -> None:
        """RFC 9110, 7.8; and HTTP/1.0 knows no 1xx (15.2)."""
        self.feed.publish(FIRST)
        self.assertEqual(self.handshake(line=b"GET /feed.ws HTTP/1.0").status, 426)
        response = self.handshake(line=b"GET /feed HTTP/1.0")
        self.assertEqual((response.status, response.body), (200, FIRST))

    def test_other_versions_are_told_ours(self) -> None:
        """RFC 6455, 4.2.2."""
        for version in (b"8", b"14", b"13, 8", b"x"):
            response = self.handshake(b"Sec-WebSocket-Version: " + version, without=b"Sec-WebSocket-Version")
            self.assertEqual((response.status, response.headers["sec-websocket-version"]), (426, "13"))
        self.assertEqual(self.handshake(without=b"Sec-WebSocket-Version").status, 426)
        for first, second in ((b"8", b"13"), (b"13", b"8"), (b"13", b"13")):
            lines = (b"Sec-WebSocket-Version: " + first, b"Sec-WebSocket-Version: " + second)
            self.assertEqual(self.handshake(*lines, without=b"Sec-WebSocket-Version").status, 426)

    def test_wrong_method_and_content_are_refused(self) -> None:
        """A handshake is a GET without content."""
        response = self.handshake(line=b"POST /feed.ws HTTP/1.1")
        self.assertEqual((response.status, response.headers["allow"]), (405, "GET, OPTIONS"))
        self.assertEqual(self.handshake(b"Content-Length: 5").status, 413)

    def test_origin_is_checked(self) -> None:
        """Programs send none; pages must be of an allowed origin, or of this server (RFC 6455, 10.2)."""
        self.serve("https://a.example")
        self.assertEqual(self.handshake().status, 101)
        for origin, status in (
            (b"https://a.example", 101),
            (b"https://localhost", 101),
            (b"https://localhost:8443", 403),
            (b"https://evil.example", 403),
            (b"http://a.example", 403),
            (b"null", 403),
        ):
            self.assertEqual((origin, self.handshake(b"Origin: " + origin).status), (origin, status))

    def test_origin_is_compared_with_the_target_that_is_absolute(self) -> None:
        """And not with Host, which does not count then (RFC 9112, 3.2.2)."""
        self.serve("https://a.example")
        line = b"GET https://b.example/feed.ws HTTP/1.1"
        for origin, status in ((b"https://b.example", 101), (b"https://localhost", 403)):
            self.assertEqual((origin, self.handshake(b"Origin: " + origin, line=line).status), (origin, status))

    def test_part_that_is_not_there_is_no_websocket(self) -> None:
        """Below /feed.ws are the parts of the document, and nothing else."""
        self.feed.publish(FIRST)
        self.assertEqual(self.handshake(line=b"GET /feed.ws/x HTTP/1.1").status, 404)

    def test_document_that_is_too_old(self) -> None:
        """Who can be told of the state opens a WebSocket all the same; others are refused."""
        self.feed.gone_after_s = 10
        self.feed.publish(FIRST)
        self.clock.advance(10)
        for line in (b"GET /feed.ws HTTP/1.1", b"GET /feed HTTP/1.1"):
            refused = self.handshake(line=line)
            told = refused.headers["livefeed-state"], refused.headers["retry-after"], refused.headers["cache-control"]
            self.assertEqual((refused.status, *told), (410, "expired", "1", "no-store"))
        self.assertEqual(self.handshake(b"Sec-WebSocket-Protocol: " + DELTA.encode()).status, 101)
        self.feed.publish(FIRST)
        self.assertEqual(Client(self.site).receive(), [text(FIRST)])


class ExpiryTests(WebSocketTestCase):
    """What those see who are there when the document expires."""

    def setUp(self) -> None:
        super().setUp()
        self.feed.gone_after_s = 10
        self.feed.publish(FIRST)

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
        self.feed.publish(SECOND)
        self.assertEqual([client.receive() for client in clients], [[]] * 20)

    def test_delta_subscribers_are_told(self) -> None:
        """By a message without the document, as a sign of life too; the next document comes whole."""
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
        self.feed.publish(FIRST)
        for client in clients:
            (message,) = client.messages()
            self.assertEqual((message["type"], message["state"], message["data"]), ("snapshot", "live", {"n": 1.5}))
        self.feed.publish(FIRST)
        for client in clients:
            self.assertEqual([message["type"] for message in client.messages()], ["heartbeat"])

    def test_group_that_did_not_have_the_same(self) -> None:
        """Those who are sent to as one are sent what is right for each, before and after it was expired."""
        clients = [self.open(transport=Grouped()) for _ in range(6)]
        self.feed.publish(SECOND)
        self.clock.advance(10)
        clients += [self.open(f"/feed.ws?have={version_of(have)}", transport=Grouped()) for have in (FIRST, SECOND)]
        self.feed.mark_stale()
        self.feed.publish(SECOND)
        self.feed.publish(THIRD)
        for client in clients:
            documents = [message for message in client.messages() if message["type"] != "heartbeat"]
            self.assertEqual(documents[-1]["version"], version_of(THIRD))
            self.assertEqual([message["type"] for message in documents[-3:]], ["state", "snapshot", "snapshot"])

    def open(self, path: str = "/feed.ws", transport: Transport | None = None) -> Client:
        return Client(self.site, path=path, subprotocols=[Subprotocol(DELTA)], transport=transport)
