"""How the pool takes connections on, how many, and how it goes to rest."""

from __future__ import annotations

import errno
import gc
import resource
import socket
import subprocess
import sys
import textwrap
from itertools import count
from select import EPOLLIN
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import capturedLogs, formatEvent
from twisted.python.monkey import MonkeyPatcher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from livefeed.delivery import document_content
from livefeed.testing import Response, make_site, publish
from livefeed.transport import endpoint as endpoint_module
from livefeed.transport.connection import Connection
from livefeed.transport.endpoint import ConnectionFactory
from livefeed.transport.limits import NO_LIMIT, RESERVED_FILES, Limits
from livefeed.transport.pool import EVENTS, OVERFLOW, SWEEP_S, TURN_S, Pool
from tests.helpers.connections import Recorder
from tests.helpers.driven import Client, connections_of, make_pool, record_handled, turn_until
from tests.helpers.pools import PoolTestCase

GET = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"


class AcceptingTests(PoolTestCase):
    def test_interface(self) -> None:
        """The pool is one descriptor to the reactor."""
        self.listen()
        verifyObject(IReadDescriptor, self.pool)
        self.assertEqual([reader for reader in self.reactor.getReaders() if isinstance(reader, Pool)], [self.pool])

    def test_events_are_handled_in_batches(self) -> None:
        """One turn handles at most EVENTS events; the next turn handles the remaining connections."""
        self.listen()
        count = EVENTS + 50
        clients = [self.connect() for _ in range(count)]
        self.connected(count)
        for client in clients:
            client.send(b"x")
        self.pool.doRead()
        self.assertEqual(sum(protocol.times for protocol in self.protocols), EVENTS)
        self.pool.doRead()
        self.assertEqual([protocol.received for protocol in self.protocols], [b"x"] * count)

    def test_turn_ends_where_protocols_take_long(self) -> None:
        """The clock is looked at behind each event that was not replayed. The others come first in the next turn."""
        self.listen()
        count = 5
        clients = [self.connect() for _ in range(count)]
        self.connected(count)
        order: list[int] = []

        def take_long(protocol: Any, data: bytes) -> None:
            order.append(data[0])
            self.reactor.now += 1.5 * TURN_S

        self.patch(Recorder, "dataReceived", take_long)
        for number, client in enumerate(clients):
            client.send(bytes([number]))
        for turns in range(1, 2 * count + 1):
            self.pool.doRead()
            self.assertEqual(len(order), turns)
            # The client asks again immediately, and must wait until all other clients have had a turn.
            clients[order[-1]].send(bytes([order[-1]]))
        self.assertEqual(sorted(order[:count]), [*range(count)])
        self.assertEqual(order[:count], order[count:])

    def test_events_that_are_left_over_are_of_connections_that_are_there(self) -> None:
        """Events of connections that have ended are discarded, even if a new connection has reused the descriptor."""
        self.listen()
        clients = [self.connect() for _ in range(3)]
        self.connected(3)

        def take_long(protocol: Any, data: bytes) -> None:
            received.append(data)
            self.reactor.now += 2 * TURN_S

        received: list[bytes] = []
        self.patch(Recorder, "dataReceived", take_long)
        for client in clients:
            client.send(b"x")
        self.pool.doRead()
        fds = [fd for fd, _, _ in self.pool._left_over]
        self.assertEqual((len(received), len(fds)), (1, 2))
        self.pool.connections[fds[0]].abortConnection()
        self.reactor.settle()
        self.assertEqual((len(received), len(self.pool.connections)), (2, 2))
        self.assertEqual(self.pool._left_over, [])

    def test_connection_is_handled_again(self) -> None:
        """Once, in the same turn or in a turn of its own, although the kernel reports nothing."""
        self.listen()
        client = self.connect()
        self.connected(1)
        (connection,) = self.pool.connections.values()
        handled = record_handled(self, Connection)
        self.pool.handle_again(connection)
        self.reactor.settle()
        self.assertEqual(handled, [EPOLLIN])
        self.patch(Recorder, "dataReceived", lambda *_: self.pool.handle_again(connection))
        client.send(b"x")
        self.pool.doRead()
        self.assertEqual(handled, [EPOLLIN] * 3)
        self.reactor.settle()
        self.assertEqual(handled, [EPOLLIN] * 3)

    def test_connections_that_end_in_a_turn_end_with_it(self) -> None:
        """Connections that end in a turn need no delayed call; all others share one in the reactor's next turn."""
        self.listen()
        clients = [self.connect() for _ in range(4)]
        self.connected(4)
        calls = len(self.reactor.getDelayedCalls())
        for client in clients[:2]:
            client.reset()
        self.pool.doRead()
        self.assertEqual((len(self.pool.connections), len(self.reactor.getDelayedCalls())), (2, calls))
        for connection in tuple(self.pool.connections.values()):
            connection.abortConnection()
        self.assertEqual((len(self.pool.connections), len(self.reactor.getDelayedCalls())), (2, calls + 1))
        self.reactor.settle()
        self.assertEqual((len(self.pool.connections), len(self.reactor.getDelayedCalls())), (0, calls))

    def test_other_limits_while_it_runs(self) -> None:
        """A new rate holds at once, also for clients that wait; connections above a lower limit stay."""
        self.listen(accept_rate=10)
        for _ in range(50):
            self.connect()
        self.reactor.settle()
        self.assertIn(len(self.pool.connections), (1, 2))
        self.pool.configure(Limits(connections=30, accept_rate=NO_LIMIT))
        self.assertEqual(self.pool.capacity, 30)
        self.reactor.settle()
        self.assertEqual((len(self.pool.connections), self.pool.refused), (50, 20))
        self.pool.configure(Limits(connections=10, accept_rate=100))
        self.reactor.settle()
        self.assertEqual((len(self.pool.connections), self.pool.capacity), (50, 10))
        self.assertEqual(self.pool.accept_rate, 100)

    def test_limits_before_it_listens(self) -> None:
        """They hold from the start."""
        self.pool = make_pool(self.reactor).pool
        self.pool.configure(Limits(accept_rate=50))
        self.assertEqual(self.pool.capacity, 0)
        self.add_listener()
        self.assertEqual(self.pool.accept_rate, 50)

    def test_end_is_handled_once(self) -> None:
        """The kernel would report the end again as long as the connection is watched."""
        self.listen()
        handled = record_handled(self, Connection)
        client = self.connect()
        self.connected(1)
        client.reset()
        self.connected(0)
        self.assertLessEqual(len(handled), 2)  # epoll may report the end in more than one event

    def test_protocol_that_breaks_is_called_once(self) -> None:
        """A protocol that raises is called once, however many bytes the client had sent."""
        self.listen()
        client = self.connect()
        self.connected(1)
        client.send(b"x")
        turn_until(self.reactor, lambda: bool(self.protocols))

        def break_down(data: bytes) -> None:
            raise RuntimeError(len(data))

        self.patch(self.protocols[0], "dataReceived", break_down)
        client.send(bytes(200_000))
        self.connected(0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_connection_that_breaks_is_ended(self) -> None:
        """It is logged, once, and the others go on."""
        self.listen()
        client, other = self.connect(), self.connect()
        self.connected(2)
        handle = Connection.handle
        broken = next(iter(self.pool.connections.values()))

        def break_one(connection: Connection, events: int) -> None:
            if connection is broken:
                raise RuntimeError
            handle(connection, events)

        self.patch(Connection, "handle", break_one)
        for each in (client, other):
            each.send(b"x")
        self.connected(1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        turn_until(self.reactor, lambda: sum(len(protocol.received) for protocol in self.protocols) == 1)

    def test_connection_that_cannot_be_made(self) -> None:
        """The failure is logged and the new connection closed; all others stay."""
        self.listen()
        first = self.connect()
        self.connected(1)

        def fail(*arguments: object) -> None:
            raise MemoryError

        patch = MonkeyPatcher((endpoint_module.ConnectionFactory, "__call__", fail))
        patch.patch()
        self.addCleanup(patch.restore)
        second = self.connect()
        turn_until(self.reactor, lambda: second.ended, second)
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)
        patch.restore()
        first.send(b"still here")
        turn_until(self.reactor, lambda: self.protocols[0].received == b"still here")
        self.connect()
        self.connected(2)

    def test_connection_that_cannot_be_watched(self) -> None:
        """The kernel may have no room for another."""
        self.listen()
        first = self.connect()
        self.connected(1)
        epoll = self.pool._epoll

        class Full:
            def __getattr__(self, name: str) -> Any:
                return getattr(epoll, name)

            def register(self, fd: int, mask: int) -> None:
                raise OSError(errno.ENOSPC, "")

        self.patch(self.pool, "_epoll", Full())
        second = self.connect()
        turn_until(self.reactor, lambda: second.ended, second)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(len(self.pool.connections), 1)
        self.pool._epoll = epoll
        first.send(b"still here")
        turn_until(self.reactor, lambda: self.protocols[0].received == b"still here")


class SiteTestCase(PoolTestCase):
    def setUp(self) -> None:
        super().setUp()
        made = make_site(clock=self.reactor)
        self.feed, self.site = made.feed, made.site
        publish(self.feed, b"{}")

    def ask(self, client: Client) -> Response:
        client.received = b""
        client.send(GET)
        turn_until(self.reactor, lambda: b"}" in client.received, client)
        return Response.parse(client.received)


class CapacityTests(SiteTestCase):
    """More connections than there is room for."""

    def test_one_too_many_is_told_to_come_back(self) -> None:
        """In an answer, also where that could be replayed; when others have left there is room."""
        self.listen(self.site, connections=2)
        first, second, third = (self.connect() for _ in range(3))
        self.connected(3)
        for _ in range(3):
            self.assertEqual(self.ask(first).status, 200)
            self.assertEqual(self.ask(second).status, 200)
        response = self.ask(third)
        self.assertEqual((response.status, response.headers["retry-after"]), (503, "5"))
        self.assertEqual(response.headers["connection"], "close")
        turn_until(self.reactor, lambda: third.ended, third)
        third.close()
        first.close()
        self.connected(1)
        self.assertEqual(self.ask(self.connect()).status, 200)
        self.assertEqual(self.pool.refused, 1)

    def test_those_told_to_come_back_take_no_place(self) -> None:
        """Refused connections that are still open do not keep others from a free place."""
        self.listen(self.site, connections=2)
        first, second, third, fourth = (self.connect() for _ in range(4))
        self.connected(4)
        first.close()
        self.connected(3)
        self.assertEqual([self.ask(self.connect()).status for _ in range(2)], [200, 503])
        self.assertEqual([self.ask(client).status for client in (second, third, fourth)], [200, 503, 503])

    def test_many_too_many_are_closed(self) -> None:
        """A connection is closed immediately if OVERFLOW connections are being refused with an answer already."""
        self.listen(self.site, connections=2)
        clients = [self.connect() for _ in range(2 + OVERFLOW + 3)]
        turn_until(self.reactor, lambda: sum(client.ended for client in clients) == 3, *clients)
        self.assertEqual([client.ended for client in clients], [False] * (2 + OVERFLOW) + [True] * 3)
        self.assertEqual(len(self.pool.connections), 2 + OVERFLOW)
        self.assertEqual((self.pool.accepted, self.pool.refused), (2 + OVERFLOW, OVERFLOW + 3))

    def test_capacity_by_open_files(self) -> None:
        """The capacity is the limit of open files, less the reserve for the process's other files."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        # Files that earlier tests have left in cycles are open, too.
        gc.collect()
        resource.setrlimit(resource.RLIMIT_NOFILE, (RESERVED_FILES + 20, hard))
        for wanted in (0, 1000):
            self.listen(self.site, connections=wanted)
            clients = [self.connect() for _ in range(21)]
            self.connected(21)
            self.assertEqual([self.ask(client).status for client in clients], [200] * 20 + [503])

    def test_capacity_by_memory(self) -> None:
        """It replaces a missing setting, and neither a setting nor the limit of open files."""
        self.listen(self.site)
        files = self.pool.capacity
        self.assertEqual(files, self.pool.max_files)
        self.pool.limit_by_memory(2)
        self.assertEqual(self.pool.capacity, 2)
        clients = [self.connect() for _ in range(3)]
        self.connected(3)
        self.assertEqual([self.ask(client).status for client in clients], [200, 200, 503])
        self.pool.configure(Limits(connections=9))
        self.assertEqual(self.pool.capacity, 9)
        self.pool.configure(Limits())
        self.pool.limit_by_memory(files + 1)
        self.assertEqual(self.pool.capacity, files)

    def test_held_at_the_present_number(self) -> None:
        """No more clients are taken than there are, until the hold ends; a place that becomes free is taken."""
        self.listen(self.site, connections=100)
        clients = [self.connect() for _ in range(2)]
        self.connected(2)
        self.assertEqual(self.pool.hold(held=True), 2)
        self.pool.configure(Limits(connections=50, accept_rate=NO_LIMIT))
        third = self.connect()
        self.connected(3)
        self.assertEqual(self.ask(third).status, 503)
        third.close()
        clients[0].close()
        self.connected(1)
        self.assertEqual(self.ask(self.connect()).status, 200)
        self.assertEqual(self.pool.hold(held=False), 2)
        self.assertEqual(self.pool.capacity, 50)

    def test_those_who_do_not_ask_are_told_nothing(self) -> None:
        """They make room for others that are to be told."""
        self.listen(self.site, connections=1)
        self.connect()
        self.connected(1)
        silent = [self.connect() for _ in range(OVERFLOW)]
        self.connected(1 + OVERFLOW)
        self.reactor.advance(self.site.head_timeout_s + 1)
        turn_until(self.reactor, lambda: all(client.ended for client in silent), *silent)
        for client in silent:
            client.close()
        self.connected(1)
        self.assertEqual(self.ask(self.connect()).status, 503)

    def test_crowd_is_told_once_in_the_log(self) -> None:
        """Its beginning and its end are, however many clients are told to come back."""
        self.listen(self.site, connections=2)
        with capturedLogs() as logs:
            clients = [self.connect() for _ in range(4)]
            self.connected(4)
            self.reactor.advance(2 * SWEEP_S)
            self.assertEqual(len(logs), 1)
            for client in clients:
                client.close()
            self.connected(0)
            self.reactor.advance(2 * SWEEP_S)
        texts = ["the limit of 2 connections is reached", "the number of connections is below the limit again"]
        self.assertEqual([formatEvent(each).partition(":")[0] for each in logs], texts)

    def test_guests_count_nowhere(self) -> None:
        """They are served although there is no room, and leave the places of others alone."""
        self.listen(self.site, connections=1)
        self.connect()
        self.connected(1)
        guest = self.admit()
        self.assertEqual((len(self.pool.connections), self.pool.count), (2, 1))
        self.assertEqual((self.pool.accepted, self.pool.refused), (1, 0))
        self.assertEqual(self.ask(guest).status, 200)
        self.assertEqual(self.ask(self.connect()).status, 503)
        guest.close()
        turn_until(self.reactor, lambda: not self.pool.guests)
        self.assertEqual(self.pool.count, 2)

    def test_guests_need_no_listener(self) -> None:
        """The pool runs for them alone, and rests after them."""
        self.pool = make_pool(self.reactor).pool
        guest = self.admit()
        self.assertEqual(self.ask(guest).status, 200)
        guest.close()
        self.connected(0)
        self.assertNotIn(self.pool, self.reactor.getReaders())

    def test_guest_that_cannot_be_taken(self) -> None:
        """Its socket is closed, and nothing is kept of it."""

        def fail(*arguments: object) -> Any:
            raise MemoryError

        self.listen(self.site)
        guest = self.admit(fail)
        turn_until(self.reactor, lambda: guest.ended, guest)
        self.assertEqual((self.pool.guests, self.pool.connections), (set(), {}))
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)

    def admit(self, make_connection: Any = None) -> Client:
        """Gives the other end of a socket that the pool has taken without a listener."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.pool.admit(theirs, make_connection or ConnectionFactory(self.site, None))
        return Client(ours)

    def test_refusals_are_counted(self) -> None:
        """Refusals that are written before there is a request count, too."""
        self.listen(self.site)
        for head in (b"GET /feed HTTP/1.1\r\n\r\n", b"GET /feed HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"):
            client = self.connect()
            client.send(head)
            turn_until(self.reactor, lambda c=client: c.ended, client)  # type: ignore[misc]
        self.assertEqual(self.site.counts(), {(400, "http", "identity"): 2})

    def test_failure_is_not_repeated(self) -> None:
        """A request that fails does not affect the next request."""
        self.listen(self.site)
        failures = [RuntimeError()]
        preferred_coding = document_content.preferred_coding  # type: ignore[attr-defined]

        def fail(*arguments: Any) -> Any:
            if failures:
                raise failures.pop()
            return preferred_coding(*arguments)

        self.patch(document_content, "preferred_coding", fail)
        self.assertEqual([self.ask(self.connect()).status for _ in range(3)], [500, 200, 200])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class AllConnectionsTests(SiteTestCase):
    """What is asked and said of all connections."""

    def test_pollers(self) -> None:
        """Connections over the limit are none: nothing is repeated to them."""
        self.listen(self.site, connections=2)
        for _ in range(3):
            self.connect()
        self.connected(3)
        self.assertEqual(self.pool.pollers(), connections_of(self.pool)[:2])

    def test_active_connections(self) -> None:
        """An answer was repeated to them within the time; one that was rendered does not count."""
        self.listen(self.site)
        first, second = self.connect(), self.connect()
        self.connected(2)
        self.ask(first)
        self.assertEqual(self.pool.count_active(1.0), 0)
        self.ask(second)
        self.assertEqual(self.pool.count_active(1.0), 1)
        self.reactor.advance(1 + 2 * SWEEP_S)
        self.assertEqual((self.pool.count_active(1.0), self.pool.count_active(9.0)), (0, 1))

    def test_answers_of_another_store(self) -> None:
        """Connections that are there take the new one: each has a time of its own at which it comes back."""
        self.listen(self.site)
        clients = [self.connect() for _ in range(3)]
        self.connected(3)
        self.site.announce_returns(count(7).__next__)
        self.pool.renew_answers()
        self.assertEqual([self.ask(client).headers["retry-after"] for client in clients], ["7", "8", "9"])

    def test_idle_connections_end(self) -> None:
        """A connection on which a request has begun stays."""
        self.listen(self.site)
        idle, busy = self.connect(), self.connect()
        self.connected(2)
        busy.send(GET[:9])
        self.reactor.settle()
        self.pool.end_idle()
        turn_until(self.reactor, lambda: idle.ended, idle)
        busy.send(GET[9:])
        turn_until(self.reactor, lambda: b"}" in busy.received, busy)
        self.assertEqual(Response.parse(busy.received).status, 200)

    def test_connection_in_the_place_of_another(self) -> None:
        """It begins on the same socket, over the limit if the other was, and without the deadline of the other."""
        self.listen(connections=1)
        self.connect()
        client = self.connect()
        self.connected(2)
        over = connections_of(self.pool)[-1]
        over.set_deadline(1.0)
        successor: Any = ConnectionFactory(self.factory, None)(self.pool, over.sock, ("192.0.2.1", 9))
        self.pool.replace(over, successor)
        self.assertIs(self.protocols[-1].transport, successor)
        self.assertEqual((successor.over_capacity, connections_of(self.pool)[-1]), (True, successor))
        self.assertEqual(self.pool.deadlines, {})
        client.send(b"x")
        turn_until(self.reactor, lambda: self.protocols[-1].received == b"x")
        client.close()
        self.connected(1)
        self.assertEqual(self.pool._over, 0)

    def test_end_that_is_told_twice(self) -> None:
        """Its protocol hears of it once, and the next connection with its descriptor is left alone."""
        self.listen()
        client = self.connect()
        self.connected(1)
        (connection,) = connections_of(self.pool)
        connection.abortConnection()
        self.pool.close_later(connection)
        turn_until(self.reactor, lambda: client.ended, client)
        self.assertEqual((self.pool.connections, self.flushLoggedErrors()), ({}, []))

    def test_guests_count_nowhere(self) -> None:
        """They are connections like others, whatever the limits say."""
        self.listen()
        self.connect()
        self.connected(1)
        self.pool.hold(held=True)
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
            sock, _ = server.accept()
            guest = Client(client)
            self.pool.admit(sock, ConnectionFactory(self.factory, None))
            self.assertEqual((len(self.pool.connections), self.pool.count, self.pool.accepted), (2, 1, 1))
            guest.send(b"x")
            turn_until(self.reactor, lambda: self.protocols[-1].received == b"x")
            guest.close()
            self.connected(1)
        self.assertEqual(self.pool.guests, set())


class SweepTests(PoolTestCase):
    @given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 10)), min_size=1, max_size=10))
    @settings(deadline=None, max_examples=25)
    def test_deadlines(self, deadlines: list[tuple[int, int]]) -> None:
        """Each connection ends at its last deadline, within a sweep; earlier deadlines have no effect."""
        self.listen()
        self.protocols.clear()
        for _ in deadlines:
            self.connect()
        self.connected(len(deadlines))
        start = self.reactor.now
        for protocol, (seconds, before) in zip(self.protocols, deadlines, strict=True):
            protocol.transport.set_deadline(before)
            protocol.transport.set_deadline(seconds)
        while self.reactor.now < start + 21:
            self.reactor.advance(SWEEP_S)
            passed = self.reactor.now - start
            for protocol, (seconds, _) in zip(self.protocols, deadlines, strict=True):
                if passed < seconds:
                    self.assertIsNone(protocol.lost)
                if passed > seconds + SWEEP_S:
                    self.assertIsNotNone(protocol.lost)
        self.unlisten()


class RestTests(PoolTestCase):
    """The pool's reader and timers stop when there is nothing left to serve."""

    def running(self) -> bool:
        return self.pool in self.reactor.getReaders()

    def test_unlisten_leaves_connections(self) -> None:
        """Open connections continue and new ones are refused; after the last one has ended, the pool is idle."""
        self.listen()
        client = self.connect()
        self.connected(1)
        self.pool.unlisten(self.listener)
        self.assertRaises(ConnectionRefusedError, self.connect)
        client.send(b"still here")
        turn_until(self.reactor, lambda: self.protocols[0].received == b"still here")
        self.assertTrue(self.running())
        client.close()
        self.connected(0)
        self.assertFalse(self.running())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_idle_from_the_start(self) -> None:
        """A pool without a connection ends with the listening, and can begin again."""
        self.listen()
        self.pool.unlisten(self.listener)
        self.assertFalse(self.running())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.address = self.listener.getsockname()
        self.pool.listen(self.listener, ConnectionFactory(self.factory, None))
        self.connect()
        self.connected(1)

    def test_unlisten_while_accepting_rests(self) -> None:
        """The next sweep tolerates that the listener has gone."""
        self.listen()
        self.connect()
        self.connected(1)
        self.listener.failures = [OSError(errno.EMFILE, "")]
        client = self.connect()
        self.pool.doRead()
        self.pool.unlisten(self.listener)
        self.reactor.advance(2)
        turn_until(self.reactor, lambda: client.ended, client)
        self.assertEqual((len(self.pool.connections), self.flushLoggedErrors()), (1, []))

    def test_unlisten_in_a_turn(self) -> None:
        """A client that the kernel has reported in the same turn is not taken any more."""
        self.listen()
        first = self.connect()
        self.connected(1)
        self.protocols[0].dataReceived = lambda data: self.unlisten()  # type: ignore[method-assign]
        first.send(b"x")
        second = self.connect()
        self.pool.doRead()
        turn_until(self.reactor, lambda: second.ended, second)
        self.assertEqual((self.pool.accepted, self.flushLoggedErrors()), (1, []))

    def test_end_of_the_reactor(self) -> None:
        """All connections are closed and their protocols notified; a later unlisten raises no error."""
        self.listen()
        for _ in range(3):
            self.connect()
        self.connected(3)
        self.reactor.disconnectAll()
        self.pool.unlisten(self.listener)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual([protocol.lost is not None for protocol in self.protocols], [True] * 3)
        self.assertEqual(self.pool.connections, {})

    def test_protocols_that_end_each_other(self) -> None:
        """An end may bring another about."""
        self.listen()
        for _ in range(3):
            self.connect()
        self.connected(3)
        for protocol, other in zip(self.protocols, [*self.protocols[1:], self.protocols[0]], strict=True):
            protocol.connectionLost = self.ending(protocol, other)  # type: ignore[method-assign]
        self.protocols[0].transport.abortConnection()
        self.reactor.settle()
        self.assertEqual(self.pool.connections, {})
        self.assertEqual([protocol.events for protocol in self.protocols], [["lost"]] * 3)

    @staticmethod
    def ending(protocol: Recorder, other: Recorder) -> Any:
        def lost(reason: object = None) -> None:
            protocol.events.append("lost")
            other.transport.abortConnection()

        return lost

    def test_limits_have_defaults(self) -> None:
        """The defaults are the limit of open files, no rate, and the times in the documentation."""
        self.assertEqual(Limits(), Limits(connections=0, accept_rate=0, handshake_s=10.0, idle_s=75.0))


class ReactorTests(SynchronousTestCase):
    """On reactors that are not made of epoll."""

    program = textwrap.dedent("""
        import socket
        from twisted.internet import {module}
        {module}.install()
        from twisted.internet import reactor
        from twisted.internet.protocol import Factory, Protocol
        from livefeed.transport.endpoint import PoolReactor
        from livefeed.transport.pool import Pool

        class Server(Protocol):
            def dataReceived(self, data):
                self.transport.write(b"answer to " + data)
                self.transport.loseConnection()

        class Client(Protocol):
            def connectionMade(self):
                self.transport.write(b"question")

            def dataReceived(self, data):
                print(type(reactor).__name__, data.decode(), flush=True)

            def connectionLost(self, reason):
                port.stopListening().addCallback(lambda _: reactor.callLater(0, reactor.stop))

        pool = Pool(reactor)
        port = PoolReactor(pool).listenTCP(0, Factory.forProtocol(Server), interface="127.0.0.1")
        from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
        connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), Client())
        reactor.callLater(20, reactor.stop)
        reactor.run()
    """)

    def test_any_reactor(self) -> None:
        """One that takes a reader will do: the pool is one descriptor to it."""
        for module, name in (
            ("selectreactor", "SelectReactor"),
            ("pollreactor", "PollReactor"),
            ("epollreactor", "EPollReactor"),
            ("asyncioreactor", "AsyncioSelectorReactor"),
        ):
            done = subprocess.run(
                [sys.executable, "-c", self.program.format(module=module)],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            self.assertEqual((done.stdout, done.returncode), (f"{name} answer to question\n", 0), done.stderr)
