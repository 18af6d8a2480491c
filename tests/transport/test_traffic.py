"""The bytes that connections send and receive, as the kernel counts them."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from typing import Any
from weakref import ref

from twisted.trial.unittest import SynchronousTestCase

from livefeed.transport.traffic import SAMPLES_S, Traffic


@dataclass(eq=False)
class Connection:
    """The part of a connection that is counted."""

    sock: Any
    fd: int


class TrafficTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.traffic = Traffic()
        self.connections: dict[int, Any] = {}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)

    def connect(self) -> tuple[socket.socket, Any]:
        """Gives the ends of the client and of the server of a connection."""
        client = socket.create_connection(self.listener.getsockname())
        sock, _ = self.listener.accept()
        for each in (client, sock):
            self.addCleanup(each.close)
        connection = Connection(sock, sock.fileno())
        self.connections[connection.fd] = connection
        return client, connection

    def exchange(self, sent: int, received: int, client: socket.socket, connection: Connection) -> None:
        """Sends bytes in both directions, and waits until they are there."""
        for one, other, count in ((connection.sock, client, sent), (client, connection.sock, received)):
            one.sendall(b"x" * count)
            left = count
            while left:
                left -= len(other.recv(left))

    def counts(self) -> tuple[int, int]:
        return self.traffic.sent, self.traffic.received

    def test_open_connections(self) -> None:
        """Their bytes are counted from time to time, each once."""
        client, connection = self.connect()
        for sent, received in ((3000, 10), (0, 0), (500, 7)):
            self.exchange(sent, received, client, connection)
            self.traffic.sample(self.connections, SAMPLES_S)
        self.assertEqual(self.counts(), (3500, 17))

    def test_end(self) -> None:
        """The rest is counted at the end, also if the connection was never asked; the next one begins from nothing."""
        for _ in range(2):
            client, connection = self.connect()
            self.exchange(100, 10, client, connection)
            self.traffic.sample(self.connections, SAMPLES_S)
            self.exchange(20, 1, client, connection)
            self.traffic.end(self.connections.pop(connection.fd))
            connection.sock.close()
        client, connection = self.connect()
        self.exchange(5, 5, client, connection)
        self.traffic.end(connection)
        self.assertEqual(self.counts(), (245, 27))

    def test_some_at_a_time(self) -> None:
        """All connections are asked once in the time, a part of them at each call."""
        ends = [self.connect() for _ in range(6)]
        for client, connection in ends:
            self.exchange(10, 1, client, connection)
        found = []
        for _ in range(6):
            self.traffic.sample(self.connections, SAMPLES_S / 6)
            found.append(self.traffic.received)
        self.assertEqual(found, [1, 2, 3, 4, 5, 6])

    def test_connection_that_ends_before_its_turn(self) -> None:
        """The one that has its descriptor by then is asked in its place."""
        ends = [self.connect() for _ in range(2)]
        self.traffic.sample(self.connections, SAMPLES_S / 2)
        first = ends[0][1]
        self.traffic.end(self.connections.pop(first.fd))
        client, connection = self.connect()
        self.connections[first.fd] = replace(self.connections.pop(connection.fd), fd=first.fd)
        self.exchange(10, 1, client, connection)
        self.traffic.sample(self.connections, SAMPLES_S / 2)
        self.assertEqual(self.counts(), (10, 1))

    def test_connections_that_have_ended_are_freed(self) -> None:
        """Their turn may never come: while nobody is connected, nobody is asked."""
        ends = [self.connect() for _ in range(4)]
        self.traffic.sample(self.connections, SAMPLES_S / 4)
        ended = [ref(connection) for _, connection in ends]
        for connection in [*self.connections.values()]:
            self.traffic.end(self.connections.pop(connection.fd))
        del ends, connection
        self.traffic.sample(self.connections, SAMPLES_S)
        self.assertEqual([each() for each in ended], [None] * 4)

    def test_descriptors_are_freed_as_objects(self) -> None:
        """Those that are left of a round hold no integers: each would keep its page of the heap."""

        freed = []

        class Descriptor(int):
            """An integer whose end can be seen."""

            def __del__(self) -> None:
                freed.append(int(self))

        self.connections[Descriptor(2**20)] = None
        self.traffic.sample(self.connections, 0.0)
        self.connections.clear()
        self.assertEqual(freed, [2**20])

    def test_sockets_without_counts(self) -> None:
        """Unix sockets have none, and a closed one has none any more."""
        one, other = socket.socketpair()
        self.addCleanup(other.close)
        connection: Any = Connection(one, one.fileno())
        self.traffic.end(connection)
        one.close()
        self.traffic.end(connection)
        self.traffic.sample({}, SAMPLES_S)
        self.assertEqual(self.counts(), (0, 0))
