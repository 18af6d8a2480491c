"""Watchers that are sent the document, against servers that answer as a test tells them."""

from __future__ import annotations

import json
from threading import Event
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from livefeed.client.items import version_of
from livefeed.document.splices import make_splices
from livefeed.load.figures import Figures
from livefeed.load.kinds import Kind
from livefeed.load.run import make_watcher
from livefeed.load.subscriber import WebSocketWatcher
from tests.helpers.load_targets import Answering, answer, plan_for, ran, sending, switched

if TYPE_CHECKING:
    import socket

    from tests.helpers.load_targets import Ran

FIRST, SECOND = b'{"n": 1, "text": "abc"}', b'{"n": 2, "text": "abc"}'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def text(content: bytes) -> bytes:
    return Frame(Opcode.TEXT, content).serialize(mask=False)


def event(content: bytes, name: str) -> bytes:
    data = b"id: %s\ndata: %s\n\n" % (name.encode(), content)
    return b"%x\r\n%s\r\n" % (len(data), data)


def message(kind: str, version: str, **members: Any) -> bytes:
    return text(json.dumps({"type": kind, "path": "/feed", "version": version, **members}).encode())


class SubscriberTestCase(SynchronousTestCase):
    """Watchers of a server, which waits for the beginning of the figures where :attr:`begun` is among its pieces."""

    def setUp(self) -> None:
        self.begun = Event()

    def watch(self, kind: Kind, reply: Any, **named: Any) -> Ran:
        """Has one watcher follow a server until one delivery, and gives the run."""
        with Answering(lambda head, number: reply) as server:
            return ran(plan_for(server.port, {kind: 1}, **{"requests": 1, **named}), begun=self.begun)

    def failed(self, kind: Kind, reply: Any) -> set[str]:
        """Has one watcher follow a server until a failure, and gives the names of all."""
        with Answering(lambda head, number: reply) as server:
            plan = plan_for(server.port, {kind: 1}, requests=None, duration_s=60.0, verifies=True)
            return {*ran(plan, until=lambda figures: figures.errors).figures(kind).errors}

    def refused(self, kind: Kind, reply: Any) -> Ran:
        """Has one watcher follow a server that refuses it."""
        with Answering(lambda head, number: reply) as server:
            plan = plan_for(server.port, {kind: 1}, requests=None, duration_s=60.0)
            return ran(plan, until=lambda figures: figures.statuses)


class WebSocketTests(SubscriberTestCase):
    def test_documents(self) -> None:
        """The next document is a delivery; the first one, and one that is sent again, are none."""
        frames = [text(FIRST), text(FIRST), text(SECOND)]
        done = self.watch(Kind.WS, sending(switched(), *frames[:2], self.begun, frames[2]))
        figures = done.figures(Kind.WS)
        self.assertEqual((figures.deliveries, figures.errors, figures.statuses), (1, {}, {101: 1}))
        self.assertEqual((figures.connects, figures.connect.count, done.reports[-1].open), (1, 1, 1))
        self.assertEqual(figures.received, len(switched()) + sum(map(len, frames)))

    def test_reference(self) -> None:
        """The watcher that only tells the times of versions ends no run, by what it is sent or by its failure."""
        done = self.watch(Kind.WS, sending(switched(), text(FIRST), self.begun, text(SECOND)))
        shared = done.run.shared
        shared.due = 1
        for is_reference, due in ((True, 1), (False, -1)):
            watcher = make_watcher(shared, Kind.WS_DELTA2, Figures(), 0, is_reference=is_reference)
            assert isinstance(watcher, WebSocketWatcher)
            for name in ("a" * 32, "b" * 32):
                watcher.have(shared.documents.named(name))
            watcher.lost("timed out")
            self.assertEqual(shared.due, due)

    def test_at_once(self) -> None:
        """Frames may come with the handshake, and the handshake in pieces."""
        whole = switched() + text(FIRST)
        for pieces in ([whole], [bytes([byte]) for byte in whole]):
            self.begun.clear()
            done = self.watch(Kind.WS, sending(*pieces, self.begun, text(SECOND)))
            self.assertEqual(done.figures(Kind.WS).deliveries, 1)

    def test_compressed(self) -> None:
        """Compressed documents are read."""
        theirs = PerMessageDeflate(True, True, 15, 15)
        frames = [Frame(Opcode.TEXT, content).serialize(mask=False, extensions=[theirs]) for content in (FIRST, SECOND)]
        extension = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"
        done = self.watch(
            Kind.WS_DEFLATE, sending(switched(extension), frames[0], self.begun, frames[1]), verifies=True
        )
        self.assertEqual((done.figures(Kind.WS_DEFLATE).deliveries, done.figures(Kind.WS_DEFLATE).errors), (1, {}))
        # No other watcher has told that these are versions.
        self.assertEqual(done.figures(Kind.WS_DEFLATE).unverified, 2)

    def test_compressed_with_a_context(self) -> None:
        """A server may keep its context from one document to the next."""
        theirs = PerMessageDeflate(True, False, 15, 15)
        frames = [Frame(Opcode.TEXT, content).serialize(mask=False, extensions=[theirs]) for content in (FIRST, SECOND)]
        reply = sending(switched("Sec-WebSocket-Extensions: permessage-deflate"), frames[0], self.begun, frames[1])
        figures = self.watch(Kind.WS_DEFLATE, reply).figures(Kind.WS_DEFLATE)
        self.assertEqual((figures.deliveries, figures.errors), (1, {}))

    def test_pings(self) -> None:
        """A ping is answered; a pong is ignored."""
        got: list[bytes] = []

        def ask(sock: socket.socket) -> None:
            sock.sendall(switched() + Frame(Opcode.PONG, b"").serialize(mask=False))
            sock.sendall(Frame(Opcode.PING, b"abc").serialize(mask=False))
            while len(b"".join(got)) < 9:
                got.append(sock.recv(100))
            sending(text(FIRST), self.begun, text(SECOND))(sock)

        self.watch(Kind.WS, ask)
        self.assertEqual(b"".join(got), bytes([0x8A, 0x83, 0, 0, 0, 0]) + b"abc")

    def test_deltas(self) -> None:
        """Splices are followed, and verified."""
        made = json.loads(make_splices(FIRST, SECOND))
        frames = [
            message("document", version_of(FIRST), text=FIRST.decode()),
            message("heartbeat", version_of(FIRST)),
            message("splices", version_of(SECOND), **{"from": version_of(FIRST)}, splices=made),
        ]
        reply = sending(switched("Sec-WebSocket-Protocol: livefeed.delta.v2"), *frames[:2], self.begun, frames[2])
        done = self.watch(Kind.WS_DELTA2, reply, verifies=True)
        figures = done.figures(Kind.WS_DELTA2)
        self.assertEqual((figures.deliveries, figures.verified, figures.errors), (1, 2, {}))

    def test_delta_of_another_version(self) -> None:
        """A watcher that is sent a delta of a version that it does not have says so."""
        frame = message("splices", version_of(SECOND), **{"from": version_of(FIRST)}, splices=[])
        reply = sending(switched("Sec-WebSocket-Protocol: livefeed.delta.v2"), frame)
        self.assertEqual(self.failed(Kind.WS_DELTA2, reply), {"a delta of another version"})

    def test_ends(self) -> None:
        """A close frame is counted by its code, and so are the ends without one."""
        close = Frame(Opcode.CLOSE, (1001).to_bytes(2)).serialize(mask=False)
        for reply, said in (
            (sending(switched() + close), "closed with 1001"),
            (sending(switched() + Frame(Opcode.CLOSE, b"").serialize(mask=False)), "closed with 1005"),
            (sending(switched(), then=lambda sock: None), "closed by the server"),
            (sending(then=lambda sock: None), "closed before the answer"),
            (sending(switched("Sec-WebSocket-Extensions: x")), "an extension that was not offered"),
            (sending(switched() + b"\x81\x81abcd"), "a frame with a mask"),
        ):
            with self.subTest(said):
                self.assertEqual(self.failed(Kind.WS, reply), {said})

    def test_refused(self) -> None:
        """A refused handshake is counted by its status, and the watcher counts as arrived."""
        done = self.refused(Kind.WS, answer(b"no", status="503 Service Unavailable"))
        figures = done.figures(Kind.WS)
        self.assertEqual((figures.statuses, figures.errors, figures.connects), ({503: 1}, {}, 0))
        self.assertEqual((done.reports[-1].arrived, done.reports[-1].open), (1, 0))


class EventTests(SubscriberTestCase):
    def test_events(self) -> None:
        """Documents are read from events, and verified by their ids; other events are no documents."""
        state = b"event: state\ndata: {}\n\n"
        chunk = b"%x\r\n%s\r\n" % (len(state), state)
        pieces = STREAM, chunk, event(FIRST, version_of(FIRST))
        reply = sending(*pieces, self.begun, event(SECOND, version_of(SECOND)))
        done = self.watch(Kind.EVENTS, reply, verifies=True)
        figures = done.figures(Kind.EVENTS)
        self.assertEqual((figures.deliveries, figures.verified, figures.errors), (1, 2, {}))

    def test_many_watchers(self) -> None:
        """A version that was verified for one watcher is verified for the others by a comparison."""
        reply = sending(STREAM, event(FIRST, version_of(FIRST)), self.begun, event(SECOND, version_of(SECOND)))
        with Answering(lambda head, number: reply) as server:
            done = ran(plan_for(server.port, {Kind.EVENTS: 3}, requests=3, verifies=True), begun=self.begun)
        self.assertEqual(done.figures(Kind.EVENTS).errors, {})

    def test_other_servers(self) -> None:
        """Documents of a server without versions are told apart by their content."""
        done = self.watch(
            Kind.EVENTS, sending(STREAM, event(FIRST, "7"), self.begun, event(SECOND, "8")), verifies=True
        )
        figures = done.figures(Kind.EVENTS)
        self.assertEqual((figures.deliveries, figures.unverified, figures.errors), (1, 2, {}))

    def test_errors(self) -> None:
        """Wrong documents, other types, and ends."""
        for reply, said in (
            (sending(STREAM, event(SECOND, version_of(FIRST))), "a document that is not its version"),
            (sending(answer()), "no event stream"),
            (sending(STREAM + b"0\r\n\r\n"), "closed by the server"),
        ):
            with self.subTest(said):
                self.assertEqual(self.failed(Kind.EVENTS, reply), {said})

    def test_refused(self) -> None:
        """A refused stream is counted by its status, and is a failure of the run by a number."""
        done = self.refused(Kind.EVENTS, answer(b"", status="404 Not Found"))
        self.assertEqual(done.figures(Kind.EVENTS).statuses, {404: 1})
