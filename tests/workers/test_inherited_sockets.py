"""The ports of a worker on sockets that the parent has bound, with real sockets."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorUNIX,
)
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from livefeed.process.endpoints import make_endpoint
from livefeed.workers.bound_sockets import is_listening
from livefeed.workers.inherited_sockets import InheritedPort, InheritedReactor, inherited_description
from tests.helpers.driven import Client, DrivenReactor, make_pool, turn_until
from tests.helpers.socket_groups import LOCAL, SocketsTestCase, open_files


class InheritedTests(SocketsTestCase):
    """Sockets in a worker."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = DrivenReactor()
        self.addCleanup(self.reactor.close)
        self.listening = make_pool(self.reactor)

    def accept_on(self, sockets: dict[int, socket.socket], description: str = "tcp:1") -> InheritedPort:
        """Gives the port of a worker's endpoint."""
        given = {index: socket.socket(fileno=os.dup(sock.fileno())) for index, sock in sockets.items()}
        endpoint = serverFromString(InheritedReactor(self.listening, given), description)
        port: Any = self.successResultOf(endpoint.listen(self.factory))
        self.addCleanup(port.stopListening)
        assert isinstance(port, InheritedPort)
        return port

    def assert_served(self, sock: socket.socket) -> None:
        """A connection is one of the worker's."""
        client = Client(sock)
        client.send(b"question")
        turn_until(self.reactor, lambda: any(made.received == b"question" for made in self.factory.made))
        self.factory.made.clear()

    def test_interfaces(self) -> None:
        """The reactor provides the interfaces that endpoints require, and the real one the rest."""
        reactor = InheritedReactor(self.listening, {})
        for interface in (IReactorTCP, IReactorSSL, IReactorUNIX, IReactorSocket):
            self.assertTrue(interface.providedBy(reactor))
        self.assertEqual(reactor.seconds(), self.reactor.seconds())
        verifyObject(IListeningPort, self.accept_on({}))

    def test_accepts_on_what_the_parent_has_bound(self) -> None:
        """The address in the description is not bound again."""
        group = self.group(LOCAL, 1)
        port = self.accept_on(group.sockets)
        self.assertEqual(port.getHost(), group.getHost())
        self.assert_served(self.connect(group.sockets[0].getsockname()))

    def test_every_kind_of_endpoint(self) -> None:
        """Unix and inherited sockets are accepted on as well, with and without TLS."""
        path = str(self.directory / "s")
        group = self.group(f"unix:{path}")
        self.accept_on(group.sockets, inherited_description(f"unix:{path}:mode=600"))
        self.assert_served(self.connect(path))
        reactor = InheritedReactor(self.listening, {})
        for port in (reactor.listenUNIX(path, self.factory), reactor.adoptStreamPort(3, 1, self.factory)):
            self.assertEqual(port.ports, {})
        tls: Any = self.successResultOf(make_endpoint(reactor, "tls:1", self.certificate).listen(self.factory))
        sock = socket.socket()
        self.addCleanup(sock.close)
        self.assertIsNotNone(tls.make_port(sock).context)

    def test_socket_of_another_worker(self) -> None:
        """A worker can serve the socket of a dead one, and give it back with the connections in its queue."""
        group = self.group(LOCAL, 1)
        port = self.accept_on({})
        client = self.connect(group.sockets[0].getsockname())
        port.add(0, socket.socket(fileno=os.dup(group.sockets[0].fileno())))
        self.assert_served(client)
        port.remove(0)
        port.remove(0)
        waiting = self.connect(group.sockets[0].getsockname())
        self.accept_on(group.sockets)
        self.assert_served(waiting)

    def test_the_same_socket_again(self) -> None:
        """A socket that comes twice is accepted on once, and no descriptor is left over."""
        group = self.group(LOCAL, 1)
        port = self.accept_on(group.sockets)
        before = open_files()
        port.add(0, socket.socket(fileno=os.dup(group.sockets[0].fileno())))
        self.assertEqual(open_files(), before)
        port.startListening()
        self.assert_served(self.connect(group.sockets[0].getsockname()))

    def test_admitted_connection(self) -> None:
        """One end of a pair of sockets is a connection like any other, and is not counted as accepted."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.accept_on({}).admit(theirs, self.factory)
        self.assert_served(ours)
        pool = self.listening.pool
        self.assertEqual((pool.accepted, pool.count, len(pool.connections)), (0, 0, 1))

    def test_stop_leaves_the_parents_sockets(self) -> None:
        """Connections that come afterwards wait in the kernel."""
        group = self.group(LOCAL, 1)
        self.accept_on(group.sockets).stopListening()
        self.connect(group.sockets[0].getsockname())
        self.assertTrue(is_listening(group.sockets[0]))


class DescriptionTests(SynchronousTestCase):
    """Descriptions as a worker reads them."""

    def test_without_files_and_variables(self) -> None:
        """Only the way in which bytes are read is left of endpoints that are not ports."""
        for description, inherited in (
            ("tls:8443", "tls:8443"),
            ("tcp:80:interface=127.0.0.1", "tcp:80:interface=127.0.0.1"),
            ("unix:/run/a:mode=660", "tcp:0"),
            ("systemd:domain=INET6:index=0", "tcp:0"),
            ("haproxy:unix:/run/a", "haproxy:tcp:0"),
            ("haproxy:tcp:80", "haproxy:tcp:80"),
        ):
            self.assertEqual(inherited_description(description), inherited)
