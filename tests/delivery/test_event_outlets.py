"""The events of plain streams: alone and in groups, whose members are sent the same bytes as if each were alone."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.event_outlets import EventOutlet
from livefeed.feed.state import State
from livefeed.testing import make_site, publish
from livefeed.transport.groups import ConnectionGroup
from tests.helpers.event_client import Client
from tests.helpers.transports import Grouped, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FIRST, SECOND, THIRD = b'{"n": 1.50}', b'{"n": 2}', b'{"n": 3}'
OLD = b"HTTP/1.0"

STEPS = st.lists(
    st.sampled_from(["publish", "same", "stale", "withdraw", "show", "pause", "resume", "come", "tick"]), max_size=30
)


class OutletTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.serve()

    def serve(self) -> None:
        """Makes a site of a feed that has no snapshot yet."""
        self.clock = Clock()
        made = make_site(clock=self.clock)
        self.feed, self.site = made.feed, made.site

    def joined(self, number: int = 3, **options: Any) -> list[Client]:
        """Gives clients that are in one group, and have taken all that was sent."""
        publish(self.feed, FIRST)
        clients = [Client(self.site, transport=Grouped(), **options) for _ in range(number)]
        # Each joins the group with the first version that it takes.
        publish(self.feed, SECOND)
        for client in clients:
            client.events()
        return clients


class GroupTests(OutletTestCase):
    def test_streams_are_written_to_together(self) -> None:
        """A group of streams costs one write to its transports; streams with and without chunks are two groups."""
        clients = self.joined() + [Client(self.site, transport=Grouped(), version=OLD) for _ in range(3)]
        publish(self.feed, FIRST)
        with mock.patch.object(ConnectionGroup, "write", autospec=True, side_effect=ConnectionGroup.write) as write:
            publish(self.feed, THIRD)
        self.assertEqual(write.call_count, 2)
        for client in clients:
            self.assertEqual(client.events()[-1:], [THIRD])

    def test_state_and_document_are_one_write(self) -> None:
        """A stream that leaves its group in between would never be sent the document."""
        clients = self.joined()
        self.feed.mark_stale()
        with mock.patch.object(ConnectionGroup, "write", autospec=True, side_effect=ConnectionGroup.write) as write:
            publish(self.feed, THIRD)
        self.assertEqual(write.call_count, 1)
        for client in clients:
            self.assertEqual(client.events(), [THIRD])
            self.assertEqual([state["state"] for state in client.states[-2:]], ["stale", "live"])

    def test_state_and_document_are_one_object(self) -> None:
        """All groups, and all streams in none, keep the same bytes while they read slowly: a document may be large."""
        for version in (b"HTTP/1.1", OLD):
            with mock.patch("livefeed.feed.fanout.BATCH", 2):
                self.serve()
                clients = self.joined(5, version=version)
            clients += [Client(self.site, version=version) for _ in range(2)]
            clients[0].pause()
            self.feed.mark_stale()
            written: list[bytes] = []
            with note_writes(written):
                publish(self.feed, THIRD)
                clients[0].resume()
                self.assertEqual((len({*map(id, written)}), len(written) > 3), (1, True))
                # Another state or version makes another piece.
                self.feed.mark_stale()
                publish(self.feed, FIRST)
            self.assertEqual(len({*map(id, written)}), 3)
            for client in clients:
                self.assertEqual(client.events()[-2:], [THIRD, FIRST])
                self.assertEqual([state["state"] for state in client.states[-2:]], ["stale", "live"])

    def test_nothing_is_written_where_nothing_has_changed(self) -> None:
        """A push of the same version is no event."""
        clients = self.joined()
        publish(self.feed, SECOND)
        self.assertEqual([client.received() for client in clients], [b""] * 3)

    def test_one_that_leaves_a_group(self) -> None:
        """A full one is sent the newest version later, with the state if it has changed; one that is gone, nothing."""
        full, gone, other = self.joined()
        full.pause()
        gone.transport.protocol.connectionLost(Failure(ConnectionDone()))
        publish(self.feed, FIRST)
        self.feed.mark_stale()
        publish(self.feed, THIRD)
        self.assertEqual((full.received(), gone.received()), (b"", b""))
        self.assertEqual(other.events(), [FIRST, THIRD])
        full.resume()
        self.assertEqual(full.events(), [THIRD])
        self.assertEqual(full.states[-1]["state"], "live")
        publish(self.feed, FIRST)
        self.assertEqual((full.events(), other.events()), ([FIRST], [FIRST]))

    def test_write_that_fills_a_member(self) -> None:
        """It has that version, and not the next."""
        clients = self.joined()
        with mock.patch.object(Grouped, "write_or_end", fill):
            publish(self.feed, THIRD)
        publish(self.feed, FIRST)
        for client in clients:
            self.assertEqual(client.events(), [THIRD])
            client.resume()
            self.assertEqual(client.events(), [FIRST])

    def test_group_that_breaks_once(self) -> None:
        """All members stay connected, and each is sent the state and the version."""
        clients = self.joined()
        self.feed.mark_stale()
        with mock.patch.object(ConnectionGroup, "write", side_effect=MemoryError()):
            publish(self.feed, THIRD)
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)
        for client in clients:
            self.assertEqual(client.events(), [THIRD])
            self.assertEqual([state["state"] for state in client.states[-2:]], ["stale", "live"])
            self.assertFalse(client.transport.disconnected)

    def test_event_that_breaks(self) -> None:
        """Each stream is cut, alone or in a group."""
        for transport in (Grouped, Transport):
            self.serve()
            publish(self.feed, FIRST)
            clients = [Client(self.site, transport=transport()) for _ in range(2)]
            publish(self.feed, SECOND)
            with mock.patch.object(EventOutlet, "send", side_effect=MemoryError()):
                publish(self.feed, THIRD)
            self.assertEqual([client.transport.disconnected for client in clients], [True] * 2)
            self.assertTrue(self.flushLoggedErrors(MemoryError))
            self.assertEqual(self.feed.subscriptions, {})

    def test_withdrawn_document(self) -> None:
        """It is not sent, and is sent again when it is shown again, although the streams had it."""
        clients = self.joined()
        self.feed.decide(State.WITHDRAWN)
        publish(self.feed, SECOND)
        publish(self.feed, THIRD)
        for client in clients:
            self.assertEqual(client.events(), [])
            self.assertEqual(client.states[-1]["state"], "withdrawn")
        self.feed.decide(None)
        for client in clients:
            self.assertEqual(client.events(), [THIRD])

    @given(STEPS)
    def test_group_is_sent_the_same_as_each_alone(self, steps: list[str]) -> None:
        """The streams of a group, of which one is full at times, get byte for byte the same as those of no group."""
        self.serve()
        publish(self.feed, FIRST)
        pairs = [self.pair() for _ in range(2)]
        versions = count()
        actions: dict[str, Callable[[], object]] = {
            "publish": lambda: publish(self.feed, b"[%d]" % next(versions)),
            "same": lambda: publish(self.feed, b"[]"),
            "stale": self.feed.mark_stale,
            "withdraw": lambda: self.feed.decide(State.WITHDRAWN),
            "show": lambda: self.feed.decide(None),
            "pause": lambda: call_all(Client.pause, pairs[0]),
            "resume": lambda: call_all(Client.resume, pairs[0]),
            "come": lambda: pairs.append(self.pair()) if len(pairs) < 5 else None,
            "tick": lambda: self.clock.advance(1),
        }
        for step in steps:
            actions[step]()
            for grouped, alone in pairs:
                self.assertEqual(grouped.received(), alone.received(), step)
                self.assertEqual(grouped.source.events, alone.source.events)

    def pair(self) -> tuple[Client, Client]:
        """Gives a stream in a group, and one in none."""
        pair = (Client(self.site, transport=Grouped()), Client(self.site))
        for client in pair:
            client.received()
        return pair


def call_all(call: Callable[[Client], None], clients: Iterable[Client]) -> None:
    """Calls a function with each client."""
    for client in clients:
        call(client)


@contextmanager
def note_writes(written: list[bytes]) -> Iterator[None]:
    """Takes note of the data of each write to a group, and of those to transports in none."""
    write_group, write = ConnectionGroup.write, Transport.write

    def to_group(group: Any, data: bytes) -> None:
        written.append(data)
        write_group(group, data)

    def to_one(transport: Any, data: bytes) -> None:
        written.append(data)
        write(transport, data)

    with mock.patch.object(ConnectionGroup, "write", to_group), mock.patch.object(Transport, "write", to_one):
        yield


def fill(transport: Any, data: bytes) -> None:
    """Writes data, which fills the transport."""
    transport.write(data)
    transport.producer.pauseProducing()
