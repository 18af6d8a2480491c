"""The orderly end of connections."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.drain import DRAIN_S, Drain

if TYPE_CHECKING:
    from livefeed.web.reconnect_slots import ReconnectSlots


class FakeConnection:
    """A connection of any kind.

    :ivar events: the calls, in order.
    """

    def __init__(self, events: list[str], name: str) -> None:
        self.events = events
        self.name = name
        self.transport = SimpleNamespace(abortConnection=lambda: events.append(f"abort {name}"))

    def drain(self) -> None:
        self.events.append(f"drain {self.name}")


class FakeFeed:
    """A feed with event streams.

    :ivar returns: the slots that its clients were given.
    """

    def __init__(self, open_streams: list[Any]) -> None:
        self.open_streams = open_streams
        self.returns: list[ReconnectSlots] = []

    def streams(self) -> list[Any]:
        return self.open_streams

    def let_go(self, returns: ReconnectSlots) -> None:
        self.returns.append(returns)


class DrainTests(SynchronousTestCase):
    """Drain."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[str] = []
        self.channel, self.socket, self.stream = (
            FakeConnection(self.events, name) for name in ("channel", "socket", "stream")
        )
        self.site = SimpleNamespace(channels={self.channel})
        self.subscribers: Any = SimpleNamespace(
            protocols_open=[self.socket], let_go=lambda: self.events.append("let go")
        )
        self.feeds = [FakeFeed([self.stream]), FakeFeed([])]

    def drain(self, pool: Any = None) -> Drain:
        return Drain(self.site, self.subscribers, self.feeds, pool, self.clock)

    def empty(self) -> None:
        self.site.channels.clear()
        self.subscribers.protocols_open.clear()
        self.feeds[0].open_streams.clear()

    def test_count(self) -> None:
        """All kinds of connections count; with the fast transport the pool counts them."""
        self.assertEqual(self.drain().count(), 3)
        self.assertEqual(self.drain(SimpleNamespace(connections={1: None, 2: None})).count(), 2)
        drain = self.drain()
        self.feeds.append(FakeFeed([self.stream]))
        self.assertEqual(drain.count(), 4)

    def test_ends_when_all_connections_have_ended(self) -> None:
        """Nothing is cut off then, and all feeds share the slots of the clients."""
        ended = self.drain().stopService()
        self.assertEqual(self.events, ["let go", "drain channel"])
        self.clock.advance(DRAIN_S / 2)
        self.assertNoResult(ended)
        self.empty()
        self.clock.advance(DRAIN_S / 10)
        self.successResultOf(ended)
        self.assertEqual(self.events, ["let go", "drain channel"])
        (first,), (second,) = (feed.returns for feed in self.feeds)
        self.assertIs(first, second)

    def test_cuts_off_what_is_left(self) -> None:
        """After DRAIN_S, and not before."""
        ended = self.drain().stopService()
        self.clock.pump([0.1] * round(DRAIN_S * 10 - 1))
        self.assertNoResult(ended)
        self.clock.pump([0.1] * 3)
        self.successResultOf(ended)
        self.assertEqual(self.events[2:], ["abort socket", "abort stream", "abort channel"])

    def test_idle_connections_of_the_pool(self) -> None:
        """They are closed at once."""
        connections: dict[int, None] = {1: None}
        ended = self.drain(SimpleNamespace(connections=connections, end_idle=connections.clear)).stopService()
        self.successResultOf(ended)
