"""The services of the wiring itself, and what livefeed sets on the sockets of Twisted's own transport."""

from __future__ import annotations

import resource
import signal
import socket
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent, globalLogPublisher, textFileLogObserver
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.logfile import LogFile
from twisted.trial.unittest import SynchronousTestCase

from livefeed import clocks
from livefeed.service import _CertificateWatch, _limit_unsent, _Termination, _warn_of_few_files
from livefeed.tls.development import development_certificate
from livefeed.tls.options import Validity, server_options
from tests.helpers.driven import Client, DrivenReactor, turn_until
from tests.helpers.tls import TLSClient

if TYPE_CHECKING:
    from collections.abc import Callable


class SignalTests(SynchronousTestCase):
    """SIGHUP and SIGUSR1."""

    def setUp(self) -> None:
        self.handlers: dict[int, Callable[..., object]] = {}
        self.before: Any = signal.SIG_DFL
        self.patch(signal, "signal", self.handlers.__setitem__)
        self.patch(signal, "getsignal", lambda number: self.before)
        self.events: list[str] = []

        def record(event: Any) -> None:
            self.events.append(formatEvent(event))

        observer: Any = record
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "livefeed.log"

    def start(self) -> None:
        def call(function: Callable[..., object], *arguments: object) -> None:
            function(*arguments)

        def when_running(*_: object) -> None:
            pass

        _Termination(SimpleNamespace(callFromThread=call, callWhenRunning=when_running)).startService()

    def log_to_file(self) -> None:
        file: Any = LogFile.fromFullPath(str(self.path))
        self.addCleanup(file.close)
        observer = textFileLogObserver(file)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def test_usr1_without_a_log_file(self) -> None:
        """Does not end the process, and says why nothing is rotated."""
        self.start()
        self.handlers[signal.SIGUSR1](signal.SIGUSR1, None)
        self.assertIn("there is no log file", self.events[-1])

    def test_usr1_of_twistd_is_left_alone(self) -> None:
        """It rotates the log file."""
        self.before = lambda number, frame: None
        self.start()
        self.assertNotIn(signal.SIGUSR1, self.handlers)

    def test_hangup_without_a_log_file(self) -> None:
        """Says so, once."""
        self.start()
        self.handlers[signal.SIGHUP](signal.SIGHUP, None)
        self.assertEqual(len(self.events), 1)
        self.assertIn("there is no log file to open again", self.events[0])

    def test_hangup_opens_the_log_file_again(self) -> None:
        """After a rename, what is logged stands in a new file by the old name."""
        self.log_to_file()
        self.start()
        renamed = self.path.rename(self.path.with_name("livefeed.log.1"))
        self.handlers[signal.SIGHUP](signal.SIGHUP, None)
        self.assertIn(f"{self.path} is opened again", self.path.read_text())
        self.assertNotIn("opened again", renamed.read_text())

    def test_log_file_that_cannot_be_made(self) -> None:
        """The old one is kept, and says why."""
        self.log_to_file()
        self.start()
        renamed = self.path.rename(self.path.with_name("livefeed.log.1"))
        self.path.mkdir()
        self.handlers[signal.SIGHUP](signal.SIGHUP, None)
        self.assertIn("cannot be opened again: Is a directory", renamed.read_text())


class FileLimitTests(SynchronousTestCase):
    """The limit of open files."""

    def warnings(self, limit: int) -> list[str]:
        """Gives what is said of a limit."""
        self.patch(resource, "getrlimit", lambda _: (limit, limit))
        with capturedLogs() as events:
            _warn_of_few_files()
        return [str(formatEvent(event)) for event in events]

    def test_less_than_is_set_aside(self) -> None:
        """Has both numbers said, and what to do; a limit with room for watchers has nothing said."""
        (warning,) = self.warnings(200)
        self.assertIn("there may be 200 open files, of which 256 are not for connections: raise the limit", warning)
        self.assertEqual(len(self.warnings(511)), 1)
        self.assertEqual(self.warnings(512), [])


class CertificateWatchTests(SynchronousTestCase):
    """A certificate that is about to expire."""

    def test_warns_at_the_start_and_daily(self) -> None:
        """By the wall clock, until it stops."""
        events: list[str] = []

        def record(event: Any) -> None:
            events.append(formatEvent(event))

        observer: Any = record
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        clock = Clock()
        self.patch(clocks, "wall", clock.seconds)
        watch = _CertificateWatch([Validity(Path("a.pem"), 0, 86_400), Validity(Path("b.pem"), 0, 1e9)], clock)
        watch.startService()
        clock.advance(86_401)
        watch.stopService()
        clock.advance(86_401)
        first, second = events
        self.assertIn("a.pem expires on 1970-01-02", first)
        self.assertIn("a.pem has expired", second)


LARGE = bytes(8 << 20)


class Hearing(Protocol):
    """Writes down that it was sent something."""

    received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class UnsentTests(SynchronousTestCase):
    """How much of what was written has not been taken, on Twisted's transport."""

    def setUp(self) -> None:
        self.reactor = DrivenReactor()
        self.addCleanup(self.reactor.close)
        self.protocols: list[Any] = []
        self.factory: Any = Factory()
        self.factory.noisy = False

        def build(address: object) -> Protocol:
            protocol = Hearing()
            self.protocols.append(protocol)
            return protocol

        self.patch(self.factory, "buildProtocol", build)

    def connect(self, factory: Any) -> socket.socket:
        port: Any = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        _limit_unsent(port)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        sock.connect(("127.0.0.1", port.getHost().port))
        return sock

    def assert_progress_is_seen(self, client: Client) -> None:
        """What a full transport says of itself goes down to nothing as its client reads."""
        self.addCleanup(client.close)
        # Twisted has a protocol from the start, and keeps what it writes until TLS has begun.
        turn_until(self.reactor, lambda: self.protocols != [], client)
        while not self.protocols[0].received:
            turn_until(self.reactor, lambda: True, client)
            client.send(b"?")
        transport = self.protocols[0].transport
        self.assertEqual(transport.unsent_bytes, 0)
        transport.write(LARGE)
        self.reactor.settle()
        seen = [transport.unsent_bytes]
        self.assertGreater(seen[0], len(LARGE) // 2)
        self.reactor.settle()
        self.assertEqual(transport.unsent_bytes, seen[0])
        while seen[-1]:
            turn_until(self.reactor, lambda: transport.unsent_bytes < seen[-1], client)
            seen.append(transport.unsent_bytes)
        turn_until(self.reactor, lambda: len(client.received) == len(LARGE), client)

    def test_without_tls(self) -> None:
        """Of the socket itself."""
        self.assert_progress_is_seen(Client(self.connect(self.factory)))

    def test_with_tls(self) -> None:
        """Of the socket below."""
        made = development_certificate(Path(self.mktemp()))
        sock = self.connect(TLSMemoryBIOFactory(server_options(made.cert, made.key), False, self.factory, self.reactor))
        self.assert_progress_is_seen(TLSClient(sock, SSL.Context(SSL.TLS_CLIENT_METHOD)))
