"""All forms of one feed together: the number of clients and the address that each counts under."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Opcode

from livefeed.testing import make_site, publish
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers import event_client
from tests.helpers.transports import Transport
from tests.helpers.websocket_client import Client


class DeliveryTests(SynchronousTestCase):
    def setUp(self) -> None:
        made = make_site()
        self.feed, self.site = made.feed, made.site
        self.delivery = made.published[0].delivery
        publish(self.feed, b"1")
        self.sockets = [Client(self.site) for _ in range(3)]
        self.streams = [event_client.Client(self.site) for _ in range(2)]
        self.poll = self.wait()
        for client in self.sockets:
            client.receive()

    def wait(self) -> Transport:
        """Gives the transport of a request that waits."""
        assert self.feed.snapshot is not None
        transport: Any = Transport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        channel.makeConnection(transport)
        etag = self.feed.snapshot.etags()[0]
        channel.dataReceived(b"GET /feed HTTP/1.1\r\nHost: a\r\nPrefer: wait=9\r\nIf-None-Match: %s\r\n\r\n" % etag)
        waiting: Transport = transport
        return waiting

    def test_subscribers_are_counted(self) -> None:
        """Subscribers count on all transports, each with its address."""
        self.assertEqual(self.delivery.followers(), 6)
        self.assertEqual(len(list(self.delivery.peers())), 6)

    def test_close_ends_all(self) -> None:
        """All have slots of the same sequence, WebSockets first."""
        returns = ReconnectSlots(first_s=9.0, returns_per_s=50)
        self.assertFalse(self.delivery.full())
        self.delivery.close(returns)
        self.assertTrue(self.delivery.full())
        for number, client in enumerate(self.sockets):
            reason = b"come back in %d ms" % (9000 + 20 * number)
            self.assertEqual(client.receive(), [(Opcode.CLOSE, b"\x03\xe9" + reason)])
        for stream in self.streams:
            stream.events()
            self.assertEqual((stream.ending, stream.transport.disconnecting), (event_client.LAST_CHUNK, True))
        self.assertIn(b"HTTP/1.1 304 ", self.poll.value())
        self.assertEqual((self.delivery.followers(), returns._count), (0, 6))

    def test_evicted_clients_come_back_late(self) -> None:
        """As late as a close code can say, and those after them later."""
        self.delivery.evict()
        self.assertEqual(self.sockets[0].receive(), [(Opcode.CLOSE, b"\x03\xe9come back in 9980 ms")])
        self.assertTrue(self.delivery.full())

    def test_nothing_begins_after_they_are_let_go(self) -> None:
        """Neither a stream nor a wait. A late client takes a slot behind the others."""
        self.assertIsNone(self.delivery.slots)
        slots = ReconnectSlots()
        self.delivery.let_go(slots)
        self.assertIs(self.delivery.slots, slots)
        count = slots._count
        late = event_client.Client(self.site)
        self.assertEqual((late.head.status, late.ending), (200, event_client.LAST_CHUNK))
        self.assertIn(b"HTTP/1.1 304 ", self.wait().value())
        self.assertEqual((self.delivery.followers(), slots._count), (3, count + 2))
        self.assertEqual(late.source.retry_ms, 6000)

    def test_web_sockets_stay_where_the_others_are_let_go(self) -> None:
        """At a stop their factory closes the WebSockets, and gives them slots of their own."""
        self.delivery.let_go(ReconnectSlots())
        self.assertEqual([client.receive() for client in self.sockets], [[]] * 3)
        self.assertEqual(self.delivery.followers(), 3)
        self.assertTrue(self.streams[0].transport.disconnecting)
