"""The sockets that the parent binds and keeps, with real sockets."""

from __future__ import annotations

import socket
from pathlib import Path

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorUNIX,
    IStreamServerEndpoint,
)
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from livefeed.process.endpoints import make_endpoint
from livefeed.transport.sockets import NOTSENT_LOWAT_BYTES
from livefeed.workers.bound_sockets import BindingReactor, GroupEndpoint, SocketGroup, is_listening, is_unix
from tests.helpers.socket_groups import LOCAL, SocketsTestCase, duplicate


class BindingTests(SocketsTestCase):
    """Sockets in the parent."""

    def test_interfaces(self) -> None:
        """The reactor provides the interfaces that endpoints require, and the real one the rest."""
        reactor = BindingReactor(MemoryReactorClock(), SocketGroup(LOCAL, 2))
        for interface in (IReactorTCP, IReactorSSL, IReactorUNIX, IReactorSocket):
            self.assertTrue(interface.providedBy(reactor))
        self.assertEqual(reactor.seconds(), 0.0)
        verifyObject(IListeningPort, self.group(LOCAL))
        verifyObject(IStreamServerEndpoint, self.endpoint)

    def test_one_for_each_worker(self) -> None:
        """All listen on the port that the first one was given, and each belongs to one worker."""
        group = self.group(LOCAL, 3)
        self.assertEqual(sorted(group.sockets), [0, 1, 2])
        self.assertEqual({sock.getsockname() for sock in group.sockets.values()}, {("127.0.0.1", group.getHost().port)})
        self.assertTrue(all(is_listening(sock) for sock in group.sockets.values()))
        self.assertEqual(group.sockets_of(1), [(1, group.sockets[1])])
        self.assertEqual(group.sockets_of(3), [])

    def test_options(self) -> None:
        """Connections inherit the options that the fast transport requires."""
        for sock in self.group(LOCAL).sockets.values():
            self.assertTrue(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            lowat = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
            self.assertEqual((lowat, sock.getblocking()), (NOTSENT_LOWAT_BYTES, False))

    def test_tls(self) -> None:
        """The sockets are those of plain TCP; an impossible certificate is refused in the parent."""
        self.assertEqual(len(self.group("tls:0:interface=127.0.0.1").sockets), 2)
        self.assertEqual(len(self.group("tls:0").sockets), 2)

    def test_port_of_another_process(self) -> None:
        """A port on which somebody listens is refused, also if that socket shares its port."""
        group = self.group(LOCAL)
        endpoint = self.endpoint_of(f"tcp:{group.getHost().port}:interface=127.0.0.1")
        error = self.failureResultOf(endpoint.listen(self.factory), CannotListenError).value
        self.assertIn("in use", str(error))
        self.assertEqual(endpoint.group.sockets, {})

    def test_unix(self) -> None:
        """A Unix socket is one for all workers; its files are gone after the end."""
        path = str(self.directory / "s")
        group = self.group(f"unix:{path}", 3)
        self.assertEqual(group.sockets_of(0), group.sockets_of(2))
        self.connect(path)
        self.assertEqual(group.getHost().name, path.encode())
        group.stopListening()
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_inherited(self) -> None:
        """A socket from outside is shared, and is duplicated: the group closes its own descriptor alone."""
        with socket.create_server(("127.0.0.1", 0)) as given:
            group = SocketGroup("systemd:domain=INET:index=0", 2)
            BindingReactor(MemoryReactorClock(), group).adoptStreamPort(given.fileno(), given.family, self.factory)
            self.assertTrue(group.is_shared)
            self.assertEqual(group.sockets_of(1)[0][1].getsockname(), given.getsockname())
            group.stopListening()
            self.assertTrue(is_listening(given))

    def test_stop(self) -> None:
        """The port is free again."""
        group = self.group(LOCAL)
        address = ("127.0.0.1", group.getHost().port)
        group.startListening()
        group.stopListening()
        self.assertRaises(ConnectionRefusedError, self.connect, address)

    def test_failure_half_way_leaves_nothing_open(self) -> None:
        """If the second socket cannot be bound, the first one is closed."""
        opened: list[socket.socket] = []

        def bind_one(port: int) -> socket.socket:
            if opened:
                raise CannotListenError("", port, OSError())
            opened.append(socket.socket())
            return opened[0]

        self.assertRaises(CannotListenError, SocketGroup(LOCAL, 2).bind, bind_one, 0, 1)
        self.assertEqual(opened[0].fileno(), -1)


class SettlingTests(SocketsTestCase):
    """Sockets that a new parent takes over from the workers of an earlier one."""

    def test_deferred(self) -> None:
        """The sockets are bound while that is allowed, beside those of the earlier parent, and do not listen yet."""
        before = self.group(LOCAL)
        description = f"tcp:{before.getHost().port}:interface=127.0.0.1"
        group = self.group(description, is_deferred=True)
        self.assertEqual([is_listening(sock) for sock in group.sockets.values()], [False, False])
        self.successResultOf(self.endpoint.settle({}, self.factory))
        self.assertEqual([is_listening(sock) for sock in group.sockets.values()], [True, True])
        self.assertFalse(group.is_deferred)

    def test_adopted(self) -> None:
        """The sockets of living workers are kept with their queues, and only missing ones are added to the group."""
        before = self.group(LOCAL)
        address = before.sockets[0].getsockname()
        group = self.group(LOCAL, is_deferred=True)
        own = list(group.sockets.values())
        self.successResultOf(self.endpoint.settle({0: duplicate(before.sockets[0])}, self.factory))
        self.assertEqual([sock.getsockname() for sock in group.sockets.values()], [address, address])
        self.assertEqual([is_listening(sock) for sock in group.sockets.values()], [True, True])
        self.assertEqual([sock.fileno() for sock in own], [-1, -1])

    def test_connections_in_the_queue_stay(self) -> None:
        """A connection that waits on an adopted socket is accepted by the next worker."""
        before = self.group(LOCAL, 1)
        client = self.connect(before.sockets[0].getsockname())
        group = self.group(LOCAL, 1, is_deferred=True)
        self.successResultOf(self.endpoint.settle({0: duplicate(before.sockets[0])}, self.factory))
        before.stopListening()
        accepted, peer = group.sockets[0].accept()
        self.addCleanup(accepted.close)
        self.assertEqual(peer, client.getsockname())

    def test_more_than_there_are_workers(self) -> None:
        """A socket of a worker that is not continued is closed."""
        before = self.group(LOCAL, 2)
        given = [duplicate(sock) for sock in before.sockets.values()]
        group = self.group(LOCAL, 1, is_deferred=True)
        self.successResultOf(self.endpoint.settle(dict(enumerate(given)), self.factory))
        self.assertEqual(list(group.sockets), [0])
        self.assertEqual(given[1].fileno(), -1)

    def test_unix(self) -> None:
        """The socket stays bound to its file, which the new parent removes at its own end."""
        path = str(self.directory / "s")
        before = self.group(f"unix:{path}")
        group = self.group(f"unix:{path}", is_deferred=True)
        self.assertEqual(group.sockets, {})
        self.successResultOf(self.endpoint.settle({0: duplicate(before.sockets[0])}, self.factory))
        self.connect(path)
        self.assertTrue(group.is_shared)
        group.stopListening()
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_unix_of_no_worker(self) -> None:
        """A Unix socket that no worker has is bound then."""
        path = str(self.directory / "s")
        self.group(f"unix:{path}", is_deferred=True)
        self.assertFalse(Path(path).exists())
        self.successResultOf(self.endpoint.settle({}, self.factory))
        self.connect(path)

    def test_inherited(self) -> None:
        """A socket that systemd has passed on to both parents is the same one."""
        with socket.create_server(("127.0.0.1", 0)) as given:
            group = SocketGroup("systemd:domain=INET:index=0", 2, is_deferred=True)
            self.addCleanup(group.stopListening)
            BindingReactor(MemoryReactorClock(), group).adoptStreamPort(given.fileno(), given.family, self.factory)
            group.settle({0: duplicate(given), 1: duplicate(given)})
            self.assertEqual([sock.getsockname() for sock in group.sockets.values()], [given.getsockname()])


class SuccessionTests(SocketsTestCase):
    """The sockets of the parent before an upgrade, which are never bound or closed on the way."""

    def heir(self, description: str, before: SocketGroup, count: int) -> SocketGroup:
        """Gives the group of the next parent, with duplicates of the sockets."""
        group = SocketGroup(description, count)
        self.addCleanup(group.stopListening)
        sockets = {index: sock.dup() for index, sock in before.sockets.items()}
        group.inherit(sockets, is_shared=before.is_shared)
        endpoint = make_endpoint(BindingReactor(MemoryReactorClock(), group), "tcp:0", self.certificate)
        self.successResultOf(GroupEndpoint(endpoint, group).listen(self.factory))
        return group

    def test_sockets_stay(self) -> None:
        """They are the same ones, with the connections in their queues."""
        before = self.group("tcp:0:interface=127.0.0.1")
        client = self.connect(before.sockets[0].getsockname())
        group = self.heir("tcp:0:interface=127.0.0.1", before, 2)
        before.hand_over()
        before.stopListening()
        for index, sock in group.sockets.items():
            self.assertTrue(is_listening(sock))
            self.assertEqual(group.sockets_of(index), [(index, sock)])
        client.sendall(b"still there")

    def test_fewer_workers(self) -> None:
        """One of them accepts on several sockets."""
        group = self.heir("tcp:0:interface=127.0.0.1", self.group("tcp:0:interface=127.0.0.1", 3), 2)
        self.assertEqual([[number for number, _ in group.sockets_of(index)] for index in (0, 1)], [[0, 2], [1]])

    def test_more_workers(self) -> None:
        """Some of them share a socket."""
        group = self.heir("tcp:0:interface=127.0.0.1", self.group("tcp:0:interface=127.0.0.1", 2), 5)
        numbers = [[number for number, _ in group.sockets_of(index)] for index in range(5)]
        self.assertEqual(numbers, [[0], [1], [0], [1], [0]])

    def test_file_of_a_unix_socket(self) -> None:
        """The new parent removes it at its end, once it has taken over; nobody removes it before."""
        path = self.directory / "feed.sock"
        before = self.group(f"unix:{path}")
        for _ in range(2):
            group = self.heir(f"unix:{path}", before, 2)
            self.assertEqual(group.sockets_of(1), group.sockets_of(0))
            group.stopListening()
            self.assertTrue(path.exists())
        group = self.heir(f"unix:{path}", before, 2)
        before.hand_over()
        before.stopListening()
        self.assertTrue(path.exists())
        group.take_over()
        group.stopListening()
        self.assertFalse(path.exists())


class DescriptionTests(SynchronousTestCase):
    """Descriptions of endpoints."""

    def test_unix(self) -> None:
        """Unix sockets are told apart by their kind."""
        descriptions = ("unix:/a", "haproxy:unix:/a", "tcp:0", "tls:1")
        self.assertEqual([is_unix(each) for each in descriptions], [True, True, False, False])
