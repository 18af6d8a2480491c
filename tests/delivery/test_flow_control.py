"""The pace of a subscriber's reader."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from livefeed.delivery.flow_control import PausableSubscriber
from livefeed.feed.feed import Feed
from livefeed.testing import RecordingSubscriber, publish
from tests.helpers.transports import Transport


class PausableSubscriberTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.feed = Feed("feed", clock=Clock())
        self.recorder = RecordingSubscriber()
        self.subscriber = PausableSubscriber()
        self.subscriber.transport = Transport()
        self.subscriber.transport.registerProducer(self.subscriber, True)

    def subscribe(self) -> None:
        self.subscriber._subscription = self.feed.subscribe(self.recorder)

    def received(self) -> list[bytes]:
        return [snapshot.data for snapshot in self.recorder.snapshots]

    def test_it_is_a_producer(self) -> None:
        """The object provides the interface that transports require."""
        verifyObject(IPushProducer, self.subscriber)
        self.subscriber.stopProducing()

    def test_subscription_is_paused_with_the_transport(self) -> None:
        """The newest version comes afterwards, and no other."""
        self.subscribe()
        self.subscriber.pauseProducing()
        for data in (b"1", b"2"):
            publish(self.feed, data)
        self.assertEqual(self.received(), [])
        self.subscriber.resumeProducing()
        self.assertEqual(self.received(), [b"2"])

    def test_transport_may_be_full_before_there_is_a_subscription(self) -> None:
        """The transport may drain before there is a subscription, too."""
        self.subscriber.pauseProducing()
        self.assertTrue(self.subscriber._paused)
        self.subscriber.resumeProducing()
        self.assertFalse(self.subscriber._paused)

    def test_socket_below_a_layer_is_left_when_the_layer_has_ended(self) -> None:
        """It waits for that, and would be kept for ever otherwise: below TLS, and below what reads a PROXY header."""
        self.subscribe()
        for number, layer in enumerate((TLSMemoryBIOProtocol, ProtocolWrapper)):
            above: Any = object.__new__(layer)
            above.transport = Transport()
            left: list[bool] = []
            above.unregisterProducer = partial(left.append, True)
            self.subscriber.transport = above
            before = self.received()
            self.subscriber.pauseProducing()
            document = b"%d" % number
            publish(self.feed, document)
            above.transport.disconnecting = True
            self.subscriber.resumeProducing()
            self.assertEqual((left, self.received()), ([True], before))
            above.transport.disconnecting = False
            self.subscriber.resumeProducing()
            self.assertEqual((left, self.received()), ([True], [*before, document]))

    def test_reading_is_a_sign_of_life(self) -> None:
        """A transport that has drained shows that its client is alive; heartbeats that were skipped stay skipped."""
        for silent, after in ((3, 0), (0, 0), (-2, -2)):
            self.subscriber._silent = silent
            self.subscriber.resumeProducing()
            self.assertEqual(self.subscriber._silent, after)

    def test_progress_is_a_sign_of_life(self) -> None:
        """A full transport shows life if it has fewer unsent bytes than at the last heartbeat."""
        for unsent, after in ((500, 1), (500, 1), (499, 0), (499, 1), (600, 1)):
            self.subscriber.transport.unsent_bytes = unsent
            self.subscriber._silent = 1
            self.subscriber._note_progress()
            self.assertEqual(self.subscriber._silent, after, unsent)

    def test_end(self) -> None:
        """The connection is aborted, the subscription ends once, and the transport keeps no producer."""
        self.subscribe()
        self.subscriber.drop()
        self.assertTrue(self.subscriber.transport.disconnected)
        for _ in range(2):
            self.subscriber._unsubscribe()
        self.assertEqual(self.feed.subscriptions, {})
        self.subscriber._leave_transport()
        self.assertIsNone(self.subscriber.transport.producer)
