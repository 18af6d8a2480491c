"""The sockets of the workers: bound once, kept by the parent, and accepted on by workers, with real sockets."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorUNIX,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from livefeed.exceptions import LinkError
from livefeed.process.endpoints import make_endpoint
from livefeed.tls.development import development_certificate
from livefeed.tls.reloading import PairSource
from livefeed.transport.sockets import NOTSENT_LOWAT_BYTES
from livefeed.workers.messages import Message
from livefeed.workers.sockets import (
    BindingReactor,
    GroupEndpoint,
    InheritedPort,
    InheritedReactor,
    SocketGroup,
    WorkerSockets,
    inherited_description,
    is_unix,
)
from tests.helpers.connections import Recorder
from tests.helpers.driven import Client, DrivenReactor, make_pool, turn_until

LOCAL = "tcp:0:interface=127.0.0.1"


class Recorders(Factory):
    """Makes recorders."""

    noisy = False

    def __init__(self) -> None:
        self.made: list[Recorder] = []

    def buildProtocol(self, address: object) -> Recorder:
        self.made.append(Recorder())
        return self.made[-1]


class SocketsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.factory: Any = Recorders()

    def group(self, description: str, count: int = 2, *, is_deferred: bool = False) -> Any:
        """Gives the group of an endpoint that has begun to listen."""
        self.endpoint = self.endpoint_of(description, count, is_deferred=is_deferred)
        self.successResultOf(self.endpoint.listen(self.factory))
        return self.endpoint.group

    def endpoint_of(self, description: str, count: int = 2, *, is_deferred: bool = False) -> GroupEndpoint:
        """Gives the endpoint of a parent."""
        group = SocketGroup(description, count, is_deferred=is_deferred)
        self.addCleanup(group.stopListening)
        return GroupEndpoint(
            make_endpoint(BindingReactor(MemoryReactorClock(), group), description, self.certificate), group
        )

    def certificate(self) -> PairSource:
        files = development_certificate(self.directory)
        return PairSource(((files.cert, files.key),))

    def connect(self, address: Any) -> socket.socket:
        """Gives a connection to an address, which the kernel accepts by itself."""
        sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.addCleanup(sock.close)
        sock.connect(address)
        return sock


def open_files() -> int:
    """Gives the number of open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def is_listening(sock: socket.socket) -> bool:
    """Tells whether a socket accepts connections."""
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


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

    def duplicate(self, sock: socket.socket) -> socket.socket:
        """Gives a socket as it comes over a link."""
        return socket.socket(fileno=os.dup(sock.fileno()))

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
        self.successResultOf(self.endpoint.settle({0: self.duplicate(before.sockets[0])}, self.factory))
        self.assertEqual([sock.getsockname() for sock in group.sockets.values()], [address, address])
        self.assertEqual([is_listening(sock) for sock in group.sockets.values()], [True, True])
        self.assertEqual([sock.fileno() for sock in own], [-1, -1])

    def test_connections_in_the_queue_stay(self) -> None:
        """A connection that waits on an adopted socket is accepted by the next worker."""
        before = self.group(LOCAL, 1)
        client = self.connect(before.sockets[0].getsockname())
        group = self.group(LOCAL, 1, is_deferred=True)
        self.successResultOf(self.endpoint.settle({0: self.duplicate(before.sockets[0])}, self.factory))
        before.stopListening()
        accepted, peer = group.sockets[0].accept()
        self.addCleanup(accepted.close)
        self.assertEqual(peer, client.getsockname())

    def test_more_than_there_are_workers(self) -> None:
        """A socket of a worker that is not continued is closed."""
        before = self.group(LOCAL, 2)
        given = [self.duplicate(sock) for sock in before.sockets.values()]
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
        self.successResultOf(self.endpoint.settle({0: self.duplicate(before.sockets[0])}, self.factory))
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
            group.settle({0: self.duplicate(given), 1: self.duplicate(given)})
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

    def test_unix(self) -> None:
        """Unix sockets are told apart by their kind."""
        descriptions = ("unix:/a", "haproxy:unix:/a", "tcp:0", "tls:1")
        self.assertEqual([is_unix(each) for each in descriptions], [True, True, False, False])


class Reply:
    """A link that keeps the messages that it is given, with descriptors of their own, as the real one does."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(Message(message.type, message.facts, (), tuple(map(os.dup, message.fds))))


class MessageTests(SocketsTestCase):
    """Messages of the parent that change the sockets of a worker."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = DrivenReactor()
        self.addCleanup(self.reactor.close)
        listening = make_pool(self.reactor)
        self.owned = self.group(LOCAL, 2)
        sockets = {0: self.duplicate(self.owned.sockets[0])}
        port: Any = self.successResultOf(
            serverFromString(InheritedReactor(listening, sockets), "tcp:1").listen(self.factory)
        )
        self.addCleanup(port.stopListening)
        self.port: InheritedPort = port
        self.worker = WorkerSockets(0, [LOCAL], [port], self.factory)
        self.reply = Reply()

    def duplicate(self, sock: socket.socket) -> socket.socket:
        return socket.socket(fileno=os.dup(sock.fileno()))

    def receive(self, kind: str, facts: dict[str, Any], *fds: int) -> bool:
        return self.worker.receive(self.reply, Message(kind, facts, (), fds))

    def test_adopt_and_release(self) -> None:
        """The sockets of another worker are accepted on until it can do so itself."""
        fd = os.dup(self.owned.sockets[1].fileno())
        self.assertTrue(self.receive("adopt", {"owner": 1, "listen": [0]}, fd))
        self.assertEqual(sorted(self.port.ports), [0, 1])
        self.assertTrue(self.receive("release", {"owner": 1}))
        self.assertEqual(sorted(self.port.ports), [0])
        self.assertRaises(OSError, os.fstat, fd)

    def test_canary(self) -> None:
        """A socket becomes a connection of its endpoint."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.assertTrue(self.receive("canary", {"listener": 0}, theirs.detach()))
        ours.send(b"question")
        turn_until(self.reactor, lambda: bool(self.factory.made and self.factory.made[0].received))

    def test_report_to_a_new_parent(self) -> None:
        """All sockets are passed on, also those that are meant for other workers."""
        self.receive("adopt", {"owner": 1, "listen": [0]}, os.dup(self.owned.sockets[1].fileno()))
        self.assertTrue(self.receive("sockets", {}))
        (sent,) = self.reply.sent
        self.assertEqual([*map(list, sent.facts["listen"])], [[LOCAL, 0], [LOCAL, 1]])
        passed = [socket.socket(fileno=fd) for fd in sent.fds]
        names = [sock.getsockname() for sock in passed]
        self.assertEqual(names, [sock.getsockname() for sock in self.owned.sockets.values()])
        for sock in passed:
            sock.close()

    def test_impossible_messages(self) -> None:
        """They end the link, and their descriptors are left for the link to close, or closed."""
        for kind, facts, count in (
            ("adopt", {"owner": "x", "listen": [0]}, 1),
            ("adopt", {"owner": 1, "listen": [0]}, 1),
            ("canary", {}, 1),
            ("canary", {"listener": 0}, 1),
            ("adopt", {"owner": 1, "listen": [1]}, 1),
            ("adopt", {"owner": 1, "listen": [0, 0]}, 1),
            ("canary", {"listener": 1}, 1),
            ("canary", {"listener": -1}, 1),
            ("canary", {"listener": 0}, 0),
        ):
            before = open_files()
            message = Message(kind, facts, (), tuple(os.open("/dev/null", os.O_RDONLY) for _ in range(count)))
            self.assertRaises(LinkError, self.worker.receive, self.reply, message)
            message.close_fds()
            self.assertEqual(open_files(), before)

    def test_other_messages(self) -> None:
        """They are for somebody else."""
        self.assertFalse(self.receive("feed", {}))
