"""The work that both front ends share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client import driver as driver_module
from livefeed.client.actions import Failed
from livefeed.client.address import Address
from livefeed.client.answers import Answer
from livefeed.client.driver import MAX_SENT_BYTES, Driver
from livefeed.client.http import Requests
from livefeed.client.protocol import Protocol
from livefeed.client.token import Token
from livefeed.client.update import Line, State
from tests.helpers.client_loop import FakeLoop, FakeWire
from tests.helpers.delta_messages import document, splices, version_of

if TYPE_CHECKING:
    from livefeed.client.update import Shown
    from livefeed.exceptions import FollowError

A, B = '{"seats": 42}', '{"seats": 43}'


class DriverTests(SynchronousTestCase):
    """Actions become calls, and calls become events."""

    def setUp(self) -> None:
        self.now = 100.0
        self.patch(driver_module, "monotonic", lambda: self.now)
        self.loop = FakeLoop()
        self.shown: list[Shown] = []
        self.errors: list[FollowError] = []
        protocol = Protocol(Address.of("http://h/feed"), part=lambda: 0.5)
        self.driver = Driver(protocol, self.loop, None, self.shown.append, self.errors.append)
        self.driver.start()

    @property
    def wire(self) -> FakeWire:
        return self.loop.wires[-1]

    def test_websocket(self) -> None:
        """Messages lead to documents, questions are sent, and there is one timer at a time."""
        self.assertEqual(len(self.loop.waiting), 1)
        self.wire.accept()
        self.wire.send(document(A))
        self.wire.send(splices(A, B))
        self.assertEqual([each.content for each in self.shown], [A.encode(), B.encode()])
        self.wire.send(splices(A, B))
        (frame,) = self.wire.server.events_received()
        self.assertIn(b'"have":null', frame.data)  # type: ignore[union-attr]
        self.assertEqual(len(self.loop.waiting), 1)
        self.now += 2
        self.assertAlmostEqual(self.driver.age_s() or 0, 2.04)

    def test_close_leads_to_the_next_connection(self) -> None:
        """After a slot, the client connects anew, and late events of the last connection change nothing."""
        self.wire.accept()
        self.wire.send(document(A))
        first = self.wire
        first.close(3010)
        self.assertTrue(first.is_dropped)
        first.receiver.ended(None)
        self.assertIs(self.shown[-1].line, Line.OFFLINE)
        (timer,) = self.loop.waiting
        self.now += timer.delay_s
        timer.call()
        self.assertIsNot(self.wire, first)
        first.receiver.ended(ConnectionRefusedError())
        self.wire.receiver.connected()
        self.assertIn(f"have={version_of(A)}".encode(), self.wire.sent)

    def test_failed_connection(self) -> None:
        """The reason of a connection that cannot be had is told."""
        self.wire.receiver.ended(ConnectionRefusedError(111, "x"))
        self.assertEqual(self.shown[-1].problem, "nothing listens at h")
        self.assertTrue(self.wire.is_dropped)

    def test_silent_connection_is_dropped(self) -> None:
        """The server of a silent connection is told, and polled."""
        self.wire.accept()
        self.wire.send(document(A))
        self.now += 5
        self.loop.waiting[0].call()
        self.assertTrue(self.wire.is_dropped)
        self.assertEqual(self.wire.server.close_rcvd and self.wire.server.close_rcvd.code, 1000)
        self.assertEqual(len(self.loop.requests), 1)

    def test_polls(self) -> None:
        """One object makes all requests, one after the other."""
        self.wire.receiver.connected()
        self.wire.receiver.ended(None)
        _, done = self.loop.requests.pop()
        done(Answer(200, {"livefeed-version": version_of(A), "livefeed-state": "live"}, A.encode()))
        self.assertEqual((self.shown[-1].state, self.shown[-1].line), (State.LIVE, Line.POLLING))
        self.now = self.driver.protocol.wakes_at or 0
        self.loop.waiting[0].call()
        _, done = self.loop.requests.pop()
        done(Failed("nothing listens at h"))
        self.assertIs(self.shown[-1].line, Line.OFFLINE)

    def test_token(self) -> None:
        """It is asked for before each connection and each poll, and its lack is a failure like any other."""
        tokens = ["one", "two"]
        protocol = Protocol(Address.of("http://localhost/feed"), part=lambda: 0.5)
        token = Token.of(lambda: tokens.pop(0), protocol.address)
        driver = Driver(protocol, self.loop, None, self.shown.append, self.errors.append, token)
        self.driver.stop()
        driver.start()
        self.assertIn(b"Authorization: Bearer one\r\n", driver._session.socket.handshake())  # type: ignore[union-attr]
        asked: list[dict[str, str]] = []
        self.patch(Requests, "get", lambda _, fields: asked.append(fields))
        self.wire.receiver.ended(ConnectionRefusedError())
        work, done = self.loop.requests.pop()
        work()
        self.assertEqual(asked[0]["Authorization"], "Bearer two")
        done(Failed("nothing listens at h"))
        driver.stop()

    def test_no_token(self) -> None:
        """Without one, neither a WebSocket nor a poll is tried, and the client tries again later."""
        self.driver.stop()
        protocol = Protocol(Address.of("http://localhost/feed"), part=lambda: 0.5)
        token = Token.of(lambda: [""].pop(1), protocol.address)
        driver = Driver(protocol, self.loop, None, self.shown.append, self.errors.append, token)
        wires = len(self.loop.wires)
        driver.start()
        for begin in (lambda: None, lambda: driver._get({})):
            begin()
            (timer,) = [each for each in self.loop.waiting if each.delay_s == 0]
            timer.cancel()
            timer.call()
        self.assertEqual((len(self.loop.wires), self.loop.requests), (wires, []))
        self.assertIn("there is no token: pop index out of range", self.shown[-1].problem)
        self.assertEqual(len(self.loop.waiting), 1)
        driver.stop()
        driver._note_failed(Failed("too late"))

    def test_end_by_the_server(self) -> None:
        """After an error that trying again does not help against, nothing is left."""
        self.wire.accept()
        self.wire.close(3500, "too many frames")
        self.assertIn("too many frames", str(self.errors[0]))
        self.assertEqual(self.loop.waiting, [])

    def test_pings_without_end(self) -> None:
        """A server that only wants answers, which it may never read, is left for a while."""
        self.wire.accept()
        self.wire.send(document(A))
        ping = b"\x89\x7d" + b"x" * 125
        self.wire.receiver.data_received(ping)
        before = len(self.wire.sent)
        for _ in range(1000):
            self.wire.receiver.data_received(ping)
        self.assertTrue(self.wire.is_dropped)
        self.assertLess(len(self.wire.sent) - before, MAX_SENT_BYTES)
        self.assertIs(self.shown[-1].line, Line.OFFLINE)
        self.assertEqual(self.errors, [])
        # The next connection has a limit of its own, and an answer now and then needs none.
        (timer,) = self.loop.waiting
        self.now += timer.delay_s
        timer.call()
        self.wire.accept()
        self.wire.send(document(A))
        for _ in range(1000):
            self.now += 2
            self.wire.receiver.data_received(ping)
            self.wire.send(document(A))
        self.assertFalse(self.wire.is_dropped)

    def test_connections_are_closed(self) -> None:
        """The connection of polls is closed at the end, whether a request is under way or not."""
        closed: list[Requests] = []

        def close(requests: Requests) -> None:
            closed.append(requests)

        self.patch(Requests, "get", lambda requests, fields: Answer(200, {}, A.encode()))
        self.patch(Requests, "close", close)
        for is_under_way in (False, True):
            self.setUp()
            self.wire.receiver.connected()
            self.wire.receiver.ended(None)
            work, done = self.loop.requests.pop()
            closed.clear()
            if is_under_way:
                self.driver.stop()
                work()
            else:
                done(work())
                self.assertEqual(closed, [])
                self.driver.stop()
            self.assertEqual(len(closed), 1)

    def test_end_by_the_user(self) -> None:
        """Nothing happens after the end, also if a request is answered then."""
        self.wire.receiver.connected()
        self.wire.receiver.ended(None)
        count = len(self.shown)
        self.driver.stop()
        _, done = self.loop.requests.pop()
        done(Answer(200, {}, A.encode()))
        self.assertEqual((len(self.shown), self.loop.waiting, self.errors), (count, [], []))
