"""Twisted's endpoints on the pool: the addresses they listen on, and the errors where listening fails."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorUNIX,
)
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from livefeed.testing import make_site, publish
from livefeed.tls.development import development_certificate
from livefeed.tls.options import FirstContext, ServedCertificates, server_options
from livefeed.tls.reloading import Certificates, EndpointCertificates, PairSource
from livefeed.transport.endpoint import PoolPort, PoolReactor, bind_tcp, negotiating_context
from livefeed.transport.limits import CPU_SHARE, Limits
from livefeed.transport.listeners import ACCEPT_COST_S
from livefeed.transport.sockets import NOTSENT_LOWAT_BYTES
from livefeed.transport.tls_connection import TLSConnection
from tests.helpers.connections import Recorder
from tests.helpers.driven import Client, DrivenReactor, make_pool, turn_until

if TYPE_CHECKING:
    from livefeed.web.site import Site


class RecordingFactory(Factory):
    """Makes recorders, and counts its starts and stops."""

    noisy = False

    def __init__(self) -> None:
        self.protocols: list[Recorder] = []
        self.events: list[str] = []

    def startFactory(self) -> None:
        self.events.append("start")

    def stopFactory(self) -> None:
        self.events.append("stop")

    def buildProtocol(self, address: object) -> Recorder:
        self.protocols.append(Recorder())
        return self.protocols[-1]


class Deaf(socket.socket):
    """A socket that can be bound, and cannot listen.

    :cvar made: those that were made in this test.
    """

    made: ClassVar[list[Deaf]] = []

    def __init__(self, family: int, kind: int) -> None:
        super().__init__(family, kind)
        self.made.append(self)

    def listen(self, backlog: int = 0, /) -> None:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


class EndpointTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        Deaf.made.clear()
        self.reactor = DrivenReactor()
        self.addCleanup(self.reactor.close)
        self.listening = make_pool(self.reactor)
        self.factory = RecordingFactory()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def listen(self, description: str, factory: Any = None) -> Any:
        endpoint = serverFromString(self.listening, description)
        port = self.successResultOf(endpoint.listen(factory or self.factory))
        self.addCleanup(port.stopListening)
        assert isinstance(port, PoolPort)
        return port

    def refusal(self, description: str) -> CannotListenError:
        endpoint = serverFromString(self.listening, description)
        error = self.failureResultOf(endpoint.listen(self.factory), CannotListenError).value
        assert isinstance(error, CannotListenError)
        return error

    def client(self, sock: socket.socket, address: Any) -> Client:
        self.addCleanup(sock.close)
        sock.connect(address)
        return Client(sock)

    def assert_serves(self, client: Client) -> Recorder:
        """Bytes come through in both directions."""
        client.send(b"question")
        turn_until(self.reactor, lambda: bool(self.factory.protocols and self.factory.protocols[-1].received))
        protocol = self.factory.protocols[-1]
        self.assertEqual(protocol.received, b"question")
        protocol.transport.write(b"answer")
        turn_until(self.reactor, lambda: client.received == b"answer", client)
        return protocol


class TcpTests(EndpointTestCase):
    def test_interfaces(self) -> None:
        """The pool provides the reactor interfaces that endpoints require."""
        for interface in (IReactorTCP, IReactorSSL, IReactorUNIX, IReactorSocket):
            self.assertTrue(interface.providedBy(self.listening))
        verifyObject(IListeningPort, self.listen("tcp:0"))

    def test_everything_else_is_the_reactors(self) -> None:
        """Its time, for one."""
        self.reactor.now = 5.0
        self.assertEqual(self.listening.seconds(), 5.0)

    def test_tcp(self) -> None:
        """It is known where it listens, and connections do not delay small writes."""
        host = self.listen("tcp:0:interface=127.0.0.1").getHost()
        self.assertEqual((host.host, host.type), ("127.0.0.1", "TCP"))
        protocol = self.assert_serves(self.client(socket.socket(), ("127.0.0.1", host.port)))
        self.assertTrue(protocol.transport.getTcpNoDelay())
        lowat = protocol.transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        self.assertEqual(lowat, NOTSENT_LOWAT_BYTES)

    def test_tcp6(self) -> None:
        """Addresses of IPv6 are of their own kind."""
        try:
            port = self.listen(r"tcp6:0:interface=\:\:1")
        except CannotListenError:
            self.assertFalse(Path("/proc/net/if_inet6").exists() and Path("/proc/net/if_inet6").read_text())
            return
        protocol = self.assert_serves(self.client(socket.socket(socket.AF_INET6), ("::1", port.getHost().port)))
        self.assertEqual((port.getHost().host, protocol.transport.getPeer().host), ("::1", "::1"))

    def test_port_in_use(self) -> None:
        """The error is Twisted's, and no socket stays open."""
        port = self.listen("tcp:0:interface=127.0.0.1").getHost().port
        error = self.refusal(f"tcp:{port}:interface=127.0.0.1")
        self.assertEqual((error.interface, error.port), ("127.0.0.1", port))
        self.assertIn("in use", str(error.socketError))
        self.assertEqual(self.factory.events, ["start"])

    def test_interface_of_another_machine(self) -> None:
        """The same."""
        self.assertIn("assign", str(self.refusal("tcp:0:interface=192.0.2.1").socketError))

    def test_stop_listening(self) -> None:
        """The factory is told, once; the port is free; connections stay."""
        port = self.listen("tcp:0:interface=127.0.0.1")
        address = ("127.0.0.1", port.getHost().port)
        client = self.client(socket.socket(), address)
        self.assert_serves(client)
        self.successResultOf(port.stopListening())
        self.successResultOf(port.stopListening())
        self.assertEqual(self.factory.events, ["start", "stop"])
        self.assertRaises(ConnectionRefusedError, self.client, socket.socket(), address)
        self.factory.protocols[-1].received = b""
        client.received = b""
        self.assert_serves(client)
        self.listen(f"tcp:{address[1]}:interface=127.0.0.1")

    def test_port_that_cannot_listen(self) -> None:
        """The kernel may tell only then that it is in use; no socket stays open."""
        with mock.patch.object(socket, "socket", Deaf):
            error = self.refusal("tcp:0:interface=127.0.0.1")
        self.assertIn("in use", str(error.socketError))
        self.assertEqual([each.fileno() for each in Deaf.made], [-1])

    def test_port_that_is_shared(self) -> None:
        """Both sockets have to ask for it."""
        first = bind_tcp(0, "127.0.0.1", reuse_port=True)
        self.addCleanup(first.close)
        first.listen()
        port = first.getsockname()[1]
        self.assertRaises(CannotListenError, bind_tcp, port, "127.0.0.1")
        bind_tcp(port, "127.0.0.1", reuse_port=True).close()

    def test_socket_that_is_handed_in(self) -> None:
        """It is a connection of the port, with a protocol of its own factory, and counts nowhere."""
        port = self.listen("tcp:0:interface=127.0.0.1")
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        other = RecordingFactory()
        port.admit(theirs, other)
        client = Client(ours)
        client.send(b"x")
        turn_until(self.reactor, lambda: bool(other.protocols) and other.protocols[0].received == b"x")
        pool = self.listening.pool
        self.assertEqual((self.factory.protocols, pool.count, len(pool.connections)), ([], 0, 1))


class UnixTests(EndpointTestCase):
    def test_unix(self) -> None:
        """The file has the requested mode, and is gone afterwards."""
        path = self.directory / "s"
        port = self.listen(f"unix:{path}:mode=600")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(port.getHost().name, str(path).encode())
        self.assert_serves(self.client(socket.socket(socket.AF_UNIX), str(path)))
        port.stopListening()
        self.assertEqual([*self.directory.iterdir()], [])

    def test_lock(self) -> None:
        """Keeps another process off the file, and tells one that is in use from one that was left lying."""
        path = self.directory / "s"
        port = self.listen(f"unix:{path}:lockfile=1")
        self.assertIn("in use", str(self.refusal(f"unix:{path}:lockfile=1").socketError))
        port.stopListening()
        self.assertEqual([*self.directory.iterdir()], [])
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(path))
        left.close()
        path.with_name("s.lock").symlink_to("999999999")
        self.listen(f"unix:{path}:lockfile=1")
        self.assert_serves(self.client(socket.socket(socket.AF_UNIX), str(path)))

    def test_file_in_use(self) -> None:
        """A file that is in use is never replaced, with a lock or without, and no lock file is left behind."""
        path = self.directory / "s"
        path.write_bytes(b"precious")
        self.assertIn("in use", str(self.refusal(f"unix:{path}:lockfile=0").socketError))
        self.refusal(f"unix:{path}:lockfile=1")
        self.assertEqual([*self.directory.iterdir()], [path])
        path.with_name("s.lock").symlink_to("999999999")
        self.refusal(f"unix:{path}:lockfile=1")
        self.assertEqual(path.read_bytes(), b"precious")

    def test_missing_directory(self) -> None:
        """The error names the directory."""
        error = self.refusal(f"unix:{self.directory}/none/s:lockfile=0")
        self.assertIn("none/s", str(error))

    def test_file_that_cannot_listen(self) -> None:
        """Nothing is left of it: neither the file nor its lock."""
        path = self.directory / "s"
        with mock.patch.object(socket, "socket", Deaf):
            error = self.refusal(f"unix:{path}:lockfile=1")
        self.assertIn("in use", str(error.socketError))
        self.assertEqual(([*self.directory.iterdir()], [each.fileno() for each in Deaf.made]), ([], [-1]))

    def test_lock_of_an_ended_process_without_its_file(self) -> None:
        """There is nothing to remove."""
        path = self.directory / "s"
        path.with_name("s.lock").symlink_to("999999999")
        self.listen(f"unix:{path}:lockfile=1")
        self.assert_serves(self.client(socket.socket(socket.AF_UNIX), str(path)))

    def test_abstract_name(self) -> None:
        """It is no file: there are no permissions to set, and nothing to remove."""
        name = f"\0livefeed {self.directory}"
        port = self.listening.listenUNIX(name, self.factory, mode=0o600)
        self.assert_serves(self.client(socket.socket(socket.AF_UNIX), name))
        self.successResultOf(port.stopListening())
        self.assertRaises(ConnectionRefusedError, self.client, socket.socket(socket.AF_UNIX), name)


class AdoptedTests(EndpointTestCase):
    def test_socket_of_systemd(self) -> None:
        """The socket is adopted as it is, through a descriptor of its own; the original descriptor may be closed."""
        with socket.create_server(("127.0.0.1", 0)) as sock:
            address = sock.getsockname()
            endpoint = AdoptedStreamServerEndpoint(self.listening, os.dup(sock.fileno()), socket.AF_INET)
            port = self.successResultOf(endpoint.listen(self.factory))
        self.addCleanup(port.stopListening)
        self.assertEqual(port.getHost().port, address[1])
        self.assert_serves(self.client(socket.socket(), address))

    def test_socket_file_of_systemd(self) -> None:
        """Its file is not livefeed's to remove."""
        path = self.directory / "s"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
            sock.listen()
            port = self.listening.adoptStreamPort(sock.fileno(), socket.AF_UNIX, self.factory)
        self.assert_serves(self.client(socket.socket(socket.AF_UNIX), str(path)))
        port.stopListening()
        self.assertTrue(path.exists())


class TlsTests(EndpointTestCase):
    """ssl: and its like, up to a request."""

    def setUp(self) -> None:
        super().setUp()
        self.made = development_certificate(self.directory)

    def request(self, port: int, *, offered: tuple[str, ...] = ()) -> tuple[bytes, str | None]:
        """Does a handshake and a request by Python's own TLS; gives the answer and the protocol agreed on."""
        context = ssl.create_default_context(cafile=self.made.ca)
        if offered:
            context.set_alpn_protocols([*offered])
        client = self.client(socket.socket(), ("127.0.0.1", port))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        taken = 0
        asked = False
        answer = b""

        def step() -> bool:
            nonlocal taken, asked, answer
            incoming.write(client.received[taken:])
            taken = len(client.received)
            try:
                tls.do_handshake()
                if not asked:
                    asked = True
                    tls.write(b"GET /feed HTTP/1.1\r\nHost: a\r\n\r\n")
                answer += tls.read()
            except ssl.SSLWantReadError:
                pass
            client.send(outgoing.read())
            return answer.endswith(b"}")

        turn_until(self.reactor, step, client)
        return answer, tls.selected_alpn_protocol()

    def site(self) -> Site:
        made = make_site(clock=self.reactor)
        publish(made.feed, b"{}")
        return made.site

    def test_ssl(self) -> None:
        """Twisted's own description works as it is; that it uses types of pyOpenSSL's past is its own affair."""
        warnings.simplefilter("ignore", DeprecationWarning)
        port = self.listen(
            f"ssl:0:privateKey={self.made.key}:certKey={self.made.cert}:interface=127.0.0.1", self.site()
        )
        answer, _ = self.request(port.getHost().port)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"))

    def test_both_families(self) -> None:
        """On "::" IPv4 is served, too, where sockets of IPv6 are for IPv6 alone (net.ipv6.bindv6only)."""
        if not socket.has_dualstack_ipv6() or not Path("/proc/net/if_inet6").read_text():
            return

        class ForIpv6Alone(socket.socket):
            def __init__(self, family: int, kind: int) -> None:
                super().__init__(family, kind)
                self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)

        options = server_options(self.made.cert, self.made.key)
        with mock.patch.object(socket, "socket", ForIpv6Alone):
            port: Any = self.listening.listenSSL(0, self.site(), options, interface="::")
        self.addCleanup(port.stopListening)
        self.assertTrue(self.request(port.getHost().port)[0].startswith(b"HTTP/1.1 200 OK"))

    def test_site_negotiates_http_1_1(self) -> None:
        """A client that offers http/1.1, even among others, gets it; without ALPN the server selects nothing."""
        options = server_options(self.made.cert, self.made.key)
        port: Any = self.listening.listenSSL(0, self.site(), options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        for offered, agreed in ((("h2", "http/1.1"), "http/1.1"), (("h2",), None), ((), None)):
            self.assertEqual(self.request(port.getHost().port, offered=offered)[1], agreed)

    def test_factory_without_a_choice_of_protocols(self) -> None:
        """The server does not answer ALPN, and gives the context as it is."""
        contexts = mock.Mock()
        self.assertIs(negotiating_context(contexts, self.factory), contexts.getContext())
        contexts.getContext().set_alpn_select_callback.assert_not_called()
        negotiating_context(contexts, self.site())
        contexts.getContext().set_alpn_select_callback.assert_called_once()

    def test_only_certificate(self) -> None:
        """Connections begin with its context; where there are several, with one that asks for the name."""
        served = ServedCertificates()
        pair = self.made.cert, self.made.key
        loaded = Certificates.load(PairSource((pair,)), served.files, time.time(), served.tickets)
        certificates = EndpointCertificates(loaded, served)
        begun: list[object] = []
        original = TLSConnection.__init__

        def begin(connection: TLSConnection, *arguments: Any) -> None:
            begun.append(arguments[-1])
            original(connection, *arguments)

        self.patch(TLSConnection, "__init__", begin)
        port: Any = self.listening.listenSSL(0, self.site(), certificates, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        first = certificates.getContext()
        assert isinstance(first, FirstContext)
        for only in (loaded.default, None):
            first.only = only
            answer, agreed = self.request(port.getHost().port, offered=("http/1.1",))
            self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK"))
            self.assertEqual(agreed, "http/1.1")
        self.assertEqual(begun, [loaded.default, first])

    def test_cost_of_a_handshake(self) -> None:
        """It is measured with the context of the port where the accept rate depends on it, and not otherwise."""
        options = server_options(self.made.cert, self.made.key)
        measured: list[object] = []

        def measure(context: object) -> float:
            measured.append(context)
            return 0.005

        for rate, expected, contexts in (
            (0, CPU_SHARE / (0.005 + ACCEPT_COST_S), [options.getContext()]),
            (70, 70, []),
        ):
            measured.clear()
            pool = make_pool(self.reactor, accept_rate=rate).pool
            listening = PoolReactor(pool, measure=measure)
            port: Any = listening.listenSSL(0, self.site(), options, interface="127.0.0.1")
            self.addCleanup(port.stopListening)
            self.assertEqual((round(pool.accept_rate, 6), measured), (round(expected, 6), contexts))
            # A reload may let the rate depend on it.
            for _ in range(2):
                pool.configure(Limits(accept_rate=0))
                self.assertEqual(round(pool.accept_rate, 6), round(CPU_SHARE / (0.005 + ACCEPT_COST_S), 6))
                self.assertEqual(measured, [options.getContext()])
