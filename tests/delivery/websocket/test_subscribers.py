"""The subscribers of a process, before and after the first of them."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.websocket.protocol import SubscriberFactory
from livefeed.delivery.websocket.subscribers import Subscribers
from livefeed.web.reconnect_slots import ReconnectSlots


class SubscribersTests(SynchronousTestCase):
    """Subscribers."""

    def setUp(self) -> None:
        self.subscribers = Subscribers(Clock())
        self.slots: Any = ReconnectSlots

    def test_before_the_first(self) -> None:
        """There are none, and handshakes can be refused already. The factory refuses them as well once it is made."""
        self.assertEqual(len(self.subscribers.protocols_open), 0)
        self.assertIsNone(self.subscribers.slots)
        self.subscribers.let_go(self.slots)
        self.assertIs(self.subscribers.slots, self.slots)
        self.assertIs(self.subscribers.factory.slots, self.slots)

    def test_connections_are_those_of_one_factory(self) -> None:
        """It is made once, and makes all connections."""
        made: list[tuple[Any, ...]] = []
        factory = self.subscribers.factory
        self.assertIsInstance(factory, SubscriberFactory)
        self.assertIs(self.subscribers.factory, factory)
        self.patch(factory, "build", lambda *arguments: made.append(arguments))
        self.subscribers.build("address", "delivery", None, None, None)
        self.assertEqual(made, [("address", "delivery", None, None, None)])
        self.assertIs(self.subscribers.protocols_open, factory.protocols_open)

    def test_all_are_let_go(self) -> None:
        """The factory sends all away, and the next handshakes are refused."""
        sent: list[ReconnectSlots] = []
        self.patch(self.subscribers.factory, "let_go", sent.append)
        self.subscribers.let_go(self.slots)
        self.assertEqual(sent, [self.slots])
        self.assertIs(self.subscribers.slots, self.slots)
