"""A channel on a transport in memory, and the ends that it can come to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from livefeed.testing import Response, make_site, publish
from livefeed.web.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from livefeed.delivery.delivery import Delivery
    from livefeed.web.request import Request

DOCUMENT = b'{"a": 1.50}'
GET = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"


class HalfClosingTransport(StringTransport):
    """A TCP connection, as far as closing it goes.

    :ivar ended: whether the server has said its last word.
    """

    ended = False
    protocol: Protocol

    def loseWriteConnection(self) -> None:
        self.ended = True

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        for data in iovec:
            self.write(data)


class TimedTransport(HalfClosingTransport):
    """A transport that keeps the time, as the fast transport does.

    :ivar deadlines: those that were set, in seconds.
    """

    over_capacity = False

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: list[float | None] = []

    def set_deadline(self, seconds: float | None) -> None:
        self.deadlines.append(seconds)


class Recorder(Protocol):
    """A protocol that writes down what it receives."""

    def __init__(self) -> None:
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class LaterResource(Resource):
    """Answers when it is told to."""

    isLeaf = True
    waiting: Request | None = None

    def render(self, request: Request) -> int:
        type(self).waiting = request
        return NOT_DONE_YET

    @classmethod
    def answer(cls) -> None:
        assert cls.waiting is not None
        cls.waiting.write(b"at last")
        cls.waiting.finish()
        cls.waiting = None


class ChannelTestCase(SynchronousTestCase):
    """The base of the tests of a channel and its layers, which are tested on the whole channel."""

    def setUp(self) -> None:
        self.clock = Clock()
        made = make_site(clock=self.clock, upgrade=self.upgrade)
        publish(made.feed, DOCUMENT)
        self.recorder = Recorder()
        self.site = made.site
        self.site.resource.putChild(b"later", LaterResource())
        self.connect()

    def upgrade(self, upgrading: Request, delivery: Delivery) -> int:
        upgrading.channel.hand_over(self.recorder)
        return NOT_DONE_YET

    def connect(self) -> None:
        self.transport = HalfClosingTransport()
        channel = self.site.buildProtocol(None)
        assert isinstance(channel, Channel)
        self.channel = channel
        self.channel.makeConnection(self.transport)

    def receive(self, data: bytes) -> Response:
        """Sends bytes, and gives the answer to them."""
        self.transport.clear()
        self.channel.dataReceived(data)
        return Response.parse(self.transport.value())

    def assert_refused(self, status: int, data: bytes) -> None:
        """Sends bytes on a new connection; they are answered once, in JSON, and the connection ends."""
        self.connect()
        response = self.receive(data)
        self.assertEqual((data[:200], response.status), (data[:200], status))
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        self.assertEqual(response.headers["connection"], "close")
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(int(response.headers["content-length"]), len(response.body))
        self.assertEqual(json.loads(response.body)["status"], status)
        self.assert_closing()

    def assert_closing(self) -> None:
        """The server has said its last word, listens no more, and hangs up if the client does not."""
        self.assertTrue(self.transport.ended)
        sent = self.transport.value()
        self.channel.dataReceived(GET)
        self.assertEqual(self.transport.value(), sent)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(2)
        self.assertTrue(self.transport.disconnecting)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(300)
        self.assertTrue(self.transport.disconnected)
