"""Endpoint descriptions: livefeed's own tls:, and those of Twisted."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import tcp
from twisted.internet.endpoints import TCP4ServerEndpoint, quoteStringArgument
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.process import endpoints
from livefeed.process.endpoints import BACKLOG, make_endpoint
from livefeed.process.socket_file import SocketFileEndpoint
from livefeed.tls.development import DevelopmentCertificate, development_certificate
from livefeed.tls.files import GivenFiles
from livefeed.tls.options import ServedCertificates
from livefeed.tls.reloading import EndpointCertificates, PairSource
from tests.helpers.ports import close_port


class ListenTestCase(SynchronousTestCase):
    directory: tempfile.TemporaryDirectory[str]
    files: DevelopmentCertificate

    @classmethod
    def setUpClass(cls) -> None:
        cls.directory = tempfile.TemporaryDirectory()
        cls.files = development_certificate(Path(cls.directory.name))

    @classmethod
    def tearDownClass(cls) -> None:
        cls.directory.cleanup()

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.asked = 0
        self.patch(endpoints, "_dual_stack", lambda: True)

    def certificate(self) -> PairSource:
        self.asked += 1
        return PairSource(((self.files.cert, self.files.key),))

    def listened(self, description: str) -> tuple[int, Any, int, str]:
        """Gives the port, TLS configuration, backlog and interface of an endpoint that listens."""
        endpoint = make_endpoint(self.reactor, description, self.certificate)
        self.successResultOf(endpoint.listen(Factory.forProtocol(Protocol)))
        ((port, _, options, backlog, interface),) = self.reactor.sslServers
        self.assertEqual(self.reactor.tcpServers, [])
        self.reactor.sslServers.clear()
        return port, options, backlog, interface

    def refusal(self, description: str) -> str:
        return str(self.assertRaises(ConfigurationError, make_endpoint, self.reactor, description, self.certificate))


class TlsTests(ListenTestCase):
    """tls: followed by a port."""

    def test_tls_is_tls(self) -> None:
        """It listens with the configuration of livefeed.tls.options, and lets many connections wait."""
        port, options, backlog, interface = self.listened("tls:8443")
        self.assertEqual((port, backlog, interface), (8443, BACKLOG, "::"))
        self.assertIsInstance(options, EndpointCertificates)
        self.assertTrue(options.is_default)

    def test_without_ipv6(self) -> None:
        """The endpoint serves IPv4 if one socket cannot serve both."""
        self.patch(endpoints, "_dual_stack", lambda: False)
        self.assertEqual(self.listened("tls:8443")[3], "")

    def test_interface(self) -> None:
        """An interface may be an address of either kind, its colons escaped."""
        self.assertEqual(self.listened("tls:8443:interface=127.0.0.1")[3], "127.0.0.1")
        self.assertEqual(self.listened(r"tls:8443:interface=\:\:1")[3], "::1")

    def test_certificate_of_the_operator(self) -> None:
        """A description without files of its own uses those that the callable gives."""
        options = self.listened("tls:8443")[1]
        self.assertEqual(self.asked, 1)
        self.assertEqual(options.certificates.source, PairSource(((self.files.cert, self.files.key),)))

    def test_certificate_of_its_own(self) -> None:
        """Files in the description are used, and then no development certificate is made."""
        cert, key = Path(self.directory.name) / "a:b.pem", Path(self.directory.name) / "a:b.key"
        cert.write_bytes(self.files.cert.read_bytes())
        key.write_bytes(self.files.key.read_bytes())
        quoted = [quoteStringArgument(str(path)) for path in (cert, key)]
        one, both = f"cert={quoted[0]}:key={quoted[1]}", (cert, key)
        for parts, pairs in ((one, (both,)), (f"{one}:{one}", (both, both))):
            options = self.listened(f"tls:8443:{parts}")[1]
            self.assertEqual(options.certificates.source, PairSource(pairs, "listen"))
            self.assertFalse(options.is_default)
        self.assertEqual(self.asked, 0)

    def test_files_of_another_process(self) -> None:
        """A worker reads none itself, and needs no folder to be there."""
        data = self.files.cert.read_bytes() + self.files.key.read_bytes()
        served = ServedCertificates(files=GivenFiles({Path("/no/such/folder/a.pem"): data}))
        make_endpoint(self.reactor, "tls:/no/such/folder:8443", self.certificate, served=served)
        self.assertEqual([each.file for each in served], [Path("/no/such/folder/a.pem")])

    def test_host(self) -> None:
        """The URLs of an endpoint have the name of its certificate; without one, those of this machine."""
        served = ServedCertificates()
        make_endpoint(self.reactor, "tls:8443", self.certificate, served=served)
        make_endpoint(self.reactor, "tcp:8080", self.certificate, served=served)
        (endpoint,) = served.users
        assert isinstance(endpoint, EndpointCertificates)
        self.assertEqual(served.host_of("tls:8443"), endpoint.certificates.host() or "localhost")
        served.note_host("tls:8443", "results.example.org")
        served.note_host("tls:8444", None)
        hosts = [served.host_of(each) for each in ("tls:8443", "tls:8444", "tcp:8080")]
        self.assertEqual(hosts, ["results.example.org", "localhost", "localhost"])

    def test_port_range(self) -> None:
        """65535 is the last port, and 0 asks the system for one."""
        self.assertEqual(self.listened("tls:65535")[0], 65535)
        self.assertEqual(self.listened("tls:0")[0], 0)
        for description in ("tls:65536", "tls:99999", "tcp:99999", "tcp6:70000", "ssl:99999", "tcp:" + "9" * 5000):
            why = f"--listen: {description}: a port is a number from 0 to 65535"
            self.assertEqual(self.refusal(description), why)

    def test_certificate_without_key(self) -> None:
        """One of the two alone, or one of them empty, is refused: no other certificate is put in its place."""
        for parts in ("cert=c.pem", "key=k.pem", "cert=c.pem:key=", "cert=:key=k.pem", "cert=:key="):
            self.assertIn(f"tls:8443:{parts} is not tls:PORT", self.refusal(f"tls:8443:{parts}"))
        self.assertEqual(self.asked, 0)
        self.assertTrue(self.refusal("tls:0:cert=c.pem").endswith(": cert= takes key= as well"))
        self.assertTrue(self.refusal("tls:0:key=k.pem").endswith(": key= takes cert= as well"))
        self.assertTrue(
            self.refusal("tls:0:interfce=x").endswith(": there is no part interfce=; did you mean interface=?")
        )
        self.assertTrue(self.refusal("tls:0:interface=").endswith(": interface= has no value"))

    def test_unknown_parts(self) -> None:
        """A misspelt part, or one too many, is refused with the form that is allowed."""
        for parts in ("interfce=::1", "8444", "", "cert=a:key=b:interface=c:interface=d"):
            self.assertIn("is not tls:PORT[:interface=ADDRESS]", self.refusal(f"tls:8443:{parts}"), parts)

    def test_same_part_twice(self) -> None:
        """Neither of two interfaces is silently dropped."""
        self.assertIn("is not tls:PORT", self.refusal("tls:8443:interface=127.0.0.1:interface=10.0.0.1"))

    def test_part_without_a_value(self) -> None:
        """An interface without a value is refused, rather than taken for all interfaces."""
        self.assertIn("is not tls:PORT", self.refusal("tls:8443:interface"))

    def test_unusable_certificate(self) -> None:
        """A file that is missing is named before anything is started."""
        self.assertIn("/no/such.pem", self.refusal("tls:8443:cert=/no/such.pem:key=/no/such.key"))


class FolderTests(ListenTestCase):
    """tls: followed by a folder."""

    def folder(self) -> str:
        """Gives the description of an empty one."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return f"tls:{quoteStringArgument(directory.name)}"

    def test_parts_are_those_that_twisted_has(self) -> None:
        """A port, the length of the queue and an interface, each by its place or by its name."""
        folder = self.folder()
        for parts, where in (
            ("", (443, BACKLOG, "::")),
            (":8443", (8443, BACKLOG, "::")),
            (":8443:7:127.0.0.1", (8443, 7, "127.0.0.1")),
            (":interface=127.0.0.1:port=8443:backlog=7", (8443, 7, "127.0.0.1")),
            (r":8443:interface=\:\:1", (8443, BACKLOG, "::1")),
        ):
            port, _, backlog, interface = self.listened(folder + parts)
            self.assertEqual((port, backlog, interface), where, parts)
        self.assertEqual(self.asked, 0)

    def test_wrong_parts(self) -> None:
        """The refusal has the allowed form."""
        folder = self.folder()
        for parts in (":http", ":99999", ":8443:colour=red", ":8443:port=8443", ":1:2:::", ":8443:backlog=-1"):
            self.assertIn(f"{parts} is not tls:FOLDER[:PORT][:interface=ADDRESS]", self.refusal(folder + parts))

    def test_a_folder_that_cannot_be_used(self) -> None:
        """The setting and the file are named."""
        folder = self.folder()
        file = Path(folder.removeprefix("tls:")) / "ca.pem"
        file.write_bytes((Path(self.directory.name) / "ca.pem").read_bytes())
        self.assertTrue(self.refusal(folder).startswith(f"--listen: {file}: a CA that has signed itself"))

    def test_livefeeds_own_certificates(self) -> None:
        """The folder that the command ``livefeed certs`` fills is refused, in the place of an endless search."""
        self.assertIn("/ca.pem: a CA that has signed itself", self.refusal(f"tls:{self.directory.name}"))


class ServedCertificateTests(ListenTestCase):
    """The files that an endpoint reports as served."""

    def test_each_kind_of_endpoint(self) -> None:
        """Once, also if two endpoints have the same; that of ssl: by the place of its part, or by its name."""
        own = Path(self.directory.name) / "own.pem"
        own.write_bytes(self.files.cert.read_bytes() + self.files.key.read_bytes())
        folder = Path(self.directory.name) / "folder"
        folder.mkdir()
        (folder / "both.pem").write_bytes(own.read_bytes())
        cert, key = self.files.cert, self.files.key
        for description, file in (
            ("tls:8443", cert),
            (f"tls:8443:cert={own}:key={key}", own),
            (f"tls:{folder}:8443", folder / "both.pem"),
            (f"ssl:8443:privateKey={key}:certKey={cert}", cert),
            (f"ssl:8443:{key}:{cert}", cert),
            (f"ssl:8443:privateKey={own}", own),
            (f"ssl:8443:{own}", own),
        ):
            served = ServedCertificates()
            for _ in range(2):
                make_endpoint(self.reactor, description, self.certificate, served=served)
            self.assertEqual([each.file for each in served], [file], description)
        served = ServedCertificates()
        make_endpoint(self.reactor, "tcp:8080", self.certificate, served=served)
        self.assertEqual([*served], [])


class TwistedTests(ListenTestCase):
    """All other kinds are Twisted's."""

    def test_mistakes(self) -> None:
        """They are refused by the setting's name and the description."""
        for description, why in (
            ("tcp:8080x", "tcp: is followed by a port"),
            ("8443", "there is no kind in front"),
            ("tcp:1,tcp:2", "this is more than one endpoint"),
            (f"unix:{quoteStringArgument(self.directory.name)}", "this is a folder"),
        ):
            refusal = self.refusal(description)
            self.assertTrue(refusal.startswith(f"--listen: {description}: {why}"), refusal)
        for description in ("tcp:port=8080", r"unix:/a\=b/x", "unix:/x:mode=600", "haproxy:tcp:8080"):
            make_endpoint(self.reactor, description, self.certificate)

    def test_words_of_python(self) -> None:
        """They are put in the words of an operator."""
        for description, why in (
            ("tcp:8080:backlog=many", "one of its parts must be a number"),
            ("systemd", "a part is missing, or one is too many"),
        ):
            begin = f"--listen: {description}: this is not an endpoint, such as "
            form = "tls:PORT[:interface=ADDRESS][:cert=FILE:key=FILE] or tcp:8080: "
            refusal = self.refusal(description)
            self.assertTrue(refusal.startswith(begin + form + why), refusal)

    def test_file_of_a_key_that_is_missing(self) -> None:
        """It is named, and the endpoint is not said to be none."""
        description = "ssl:443:privateKey=/no/such.pem"
        self.assertEqual(self.refusal(description), f"--listen: {description}: /no/such.pem: No such file or directory")

    def test_endpoints_of_twisted(self) -> None:
        """They are made by Twisted, and no certificate is asked for."""
        tcp = make_endpoint(self.reactor, "tcp:8080:interface=127.0.0.1", self.certificate)
        self.assertIsInstance(tcp, TCP4ServerEndpoint)
        unix = make_endpoint(self.reactor, "unix:/run/livefeed.sock", self.certificate)
        self.assertIsInstance(unix, SocketFileEndpoint)
        self.assertEqual(self.asked, 0)

    def test_socket_that_systemd_has_not_passed_on(self) -> None:
        """The error says so, and how it is done."""
        for wanted in ("index=0", "name=web"):
            refusal = self.refusal(f"systemd:domain=INET:{wanted}")
            self.assertIn("systemd has not passed this socket on; start livefeed by a .socket unit", refusal)

    def backlog(self, description: str, servers: str) -> int:
        """Gives the length of an endpoint's queue of connections."""
        endpoint = make_endpoint(self.reactor, description, self.certificate)
        self.successResultOf(endpoint.listen(Factory.forProtocol(Protocol)))
        *_, (_, _, backlog, _) = getattr(self.reactor, servers)
        assert isinstance(backlog, int)
        return backlog

    def test_queue(self) -> None:
        """It is as long as that of tls:, unless the description says otherwise, by name or by place."""
        for description, length in (
            ("tcp:8080", BACKLOG),
            ("tcp:8080:interface=127.0.0.1", BACKLOG),
            ("tcp:8080:127.0.0.1", BACKLOG),
            ("tcp:8080:127.0.0.1:7", 7),
            ("tcp:8080:backlog=7", 7),
            (r"tcp6:8080:interface=\:\:1", BACKLOG),
            ("tcp6:8080:7", 7),
        ):
            self.assertEqual((description, self.backlog(description, "tcpServers")), (description, length))
        for description, length in (("unix:/x", BACKLOG), ("unix:/x:mode=600", BACKLOG), ("unix:/x:600:7", 7)):
            made = make_endpoint(self.reactor, description, self.certificate)
            self.successResultOf(made.listen(Factory.forProtocol(Protocol)))
            self.assertEqual(self.reactor.unixServers[-1][2], length)
        description = f"ssl:443:privateKey={self.files.key}:certKey={self.files.cert}"
        make_endpoint(self.reactor, description, self.certificate).listen(Factory.forProtocol(Protocol))
        self.assertEqual(self.reactor.sslServers[-1][3], BACKLOG)

    def test_refusals_name_option_and_description(self) -> None:
        """The refusal names the description, whatever exception Twisted raises for it."""
        broken = Path(self.directory.name) / "broken.pem"
        broken.write_text("nothing")
        for description in (
            "",
            ":",
            "bogus:1",
            "tcp",
            "tcp:",
            "tcp:http",
            "tcp:8080:colour=red",
            "ssl:8443:privateKey=/no/such.pem",
            f"ssl:8443:privateKey={broken}",
            f"ssl:8443:privateKey={self.files.key}:certKey={broken}",
            "systemd:domain=INET:index=0",
            "systemd:domain=INET:name=web",
            "systemd:domain=BOGUS:index=0",
            "unix:/x:mode=rwx",
        ):
            self.assertTrue(self.refusal(description).startswith(f"--listen: {description}: "), description)


class BothFamiliesTests(SynchronousTestCase):
    """tls:PORT of Twisted's transport."""

    def test_ipv4_is_served_where_sockets_of_ipv6_are_for_ipv6_alone(self) -> None:
        """net.ipv6.bindv6only sets this option for each new socket."""
        if not endpoints._dual_stack():
            return
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        made = development_certificate(Path(directory.name))
        create = tcp.Port.createInternetSocket

        def for_ipv6_alone(port: tcp.Port) -> socket.socket:
            sock: socket.socket = create(port)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            return sock

        self.patch(tcp.Port, "createInternetSocket", for_ipv6_alone)
        reactor = SelectReactor()
        endpoint = make_endpoint(reactor, "tls:0", lambda: PairSource(((made.cert, made.key),)))
        port: Any = self.successResultOf(endpoint.listen(Factory.forProtocol(Protocol)))
        self.addCleanup(close_port, reactor, port)
        self.assertEqual(port.backlog, BACKLOG)
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port.getHost().port)):
                pass
