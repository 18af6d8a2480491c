"""The last answers before a stop, with the times at which clients come back."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed.testing import Response, make_site, publish
from livefeed.transport.answer import Repeatable
from livefeed.web.last_answers import LastAnswers
from livefeed.web.replay import Replay

HEAD = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"


class LastAnswersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.replay = Replay()
        self.last = LastAnswers(self.replay, count(7).__next__)

    def store(self, data: bytes, body: bytes = b"") -> None:
        self.assertIsNone(self.last.find(HEAD))
        key = self.last.missed
        assert key is not None
        self.last.store(key, data, Repeatable("label"), body=body, last=True)

    def test_each_has_a_time_of_its_own(self) -> None:
        """Head, body and end stay as they are, and the answers are counted."""
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nRetry-After: %d\r\nServer: livefeed\r\n\r\n"
        content = b"\r\nRetry-After: 1\r\n"
        self.store(head % 6 + content, b"body")
        for seconds in (7, 8, 9):
            answer = self.last.find(HEAD)
            assert answer is not None
            self.assertEqual((answer.data, answer.body), (head % seconds + content, b"body"))
            self.assertEqual((answer.last, answer.at_once), (True, False))
        self.assertEqual(self.last.counts(), {"label": 3})

    def test_other_answers_stay(self) -> None:
        """An error has a time of its own, and a field in the content is none."""
        for data in (
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nServer: livefeed\r\n\r\n\r\nRetry-After: 1\r\n\r\n",
        ):
            self.last.clear()
            self.store(data)
            answer = self.last.find(HEAD)
            assert answer is not None
            self.assertEqual(answer.data, data)

    def test_answers_from_before(self) -> None:
        """They do not end their connections, so they are forgotten."""
        self.assertIsNone(self.replay.find(HEAD))
        self.replay.store(self.replay.missed or b"", b"HTTP/1.1 200 OK\r\n\r\n", Repeatable("label"))
        self.assertIsNotNone(self.replay.find(HEAD))
        self.assertIsNone(LastAnswers(self.replay, lambda: 1).find(HEAD))

    def test_peer_and_generation(self) -> None:
        """They are those of the other store."""
        self.last.peer = 17
        self.assertEqual((self.replay.peer, self.last.peer), (17, 17))
        self.assertEqual(self.last.generation, self.replay.generation)

    def test_emptiness(self) -> None:
        """It is that of the other store."""
        self.assertTrue(self.last.is_empty)
        self.store(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertFalse(self.last.is_empty)
        self.last.clear()
        self.assertTrue(self.last.is_empty)


class SiteTests(SynchronousTestCase):
    """Connections of a site that announces returns."""

    def setUp(self) -> None:
        made = make_site(clock=Clock())
        publish(made.feed, b"[1]")
        self.site = made.site

    def connect(self) -> tuple[Any, StringTransport]:
        transport = StringTransport()
        channel: Any = self.site.buildProtocol(None)
        channel.makeConnection(transport)
        return channel, transport

    def test_open_and_new_connections(self) -> None:
        """Each ends with its next answer, and not before; 200 and 304 say when the client comes back."""
        channel, transport = self.connect()
        channel.dataReceived(HEAD)
        etag = Response.parse(transport.value()).headers["etag"].encode()
        transport.clear()
        self.site.announce_returns(count(7).__next__)
        self.assertFalse(transport.disconnecting)
        later, other = self.connect()
        later.dataReceived(HEAD)
        channel.dataReceived(HEAD.replace(b"Host", b"If-None-Match: %s\r\nHost" % etag))
        for each, status, seconds in ((other, 200, "7"), (transport, 304, "8")):
            response = Response.parse(each.value())
            fields = response.headers
            self.assertEqual((response.status, fields["connection"], fields["retry-after"]), (status, "close", seconds))
            self.assertTrue(each.disconnecting)

    def test_stores_are_replaced(self) -> None:
        """The counts go on."""
        self.site.replays[False].store(b"key", b"", Repeatable((200, "http", "")))
        self.site.announce_returns(lambda: 1)
        self.assertIsInstance(self.site.replays[True], LastAnswers)
        self.site.forget_answers()
        self.assertEqual(self.site.counts(), {})
