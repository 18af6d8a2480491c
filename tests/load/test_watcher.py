"""What all watchers do: connect, fail, come back; with and without TLS."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING

from livefeed.load import watcher as module
from livefeed.load.kinds import Kind
from livefeed.load.line import Tls
from livefeed.load.run import Run
from tests.helpers.load_targets import Answering, answer, plan_for, ran, until_gone
from tests.helpers.threaded_server import HOST, ThreadedServer
from tests.helpers.tls import CertificateTestCase

if TYPE_CHECKING:
    from livefeed.load.watcher import Watcher


class WatcherTests(CertificateTestCase):
    def setUp(self) -> None:
        self.patch(module, "RETRY_NS", 1_000_000)

    def context(self) -> ssl.SSLContext:
        """Gives the TLS of a server with the certificate of the class."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.made.cert, self.made.key)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def watcher(self, port: int = 1) -> Watcher:
        """Gives a watcher of a run that does not run."""
        run = Run(plan_for(port), lambda report: None)
        self.addCleanup(run.close)
        return run.watchers[0]

    def test_refused(self) -> None:
        """A server that is not there is an error, once per attempt, and the watcher has arrived."""
        self.patch(module, "RETRY_NS", 1_000_000_000)
        with socket.create_server((HOST, 0)) as listening:
            port = listening.getsockname()[1]
        done = ran(plan_for(port, requests=None, duration_s=0.05))
        self.assertEqual((done.figures().errors, done.figures().connects), ({"refused": 1}, 0))
        self.assertEqual((done.reports[-1].arrived, done.reports[-1].open), (1, 0))

    def test_fails_at_once(self) -> None:
        """So is a connection that cannot be begun."""

        def fail(*arguments: object) -> None:
            raise OSError(24, "Too many open files")

        self.patch(module, "RETRY_NS", 1_000_000_000)
        self.patch(module, "open_socket", fail)
        done = ran(plan_for(1, requests=None, duration_s=0.01))
        self.assertEqual(done.figures().errors, {"too many open files": 1})

    def test_comes_back(self) -> None:
        """After a pause, the watcher connects again."""

        def hang_up(sock: socket.socket) -> None:
            pass

        with Answering(lambda head, number: hang_up if number < 3 else answer()) as server:
            done = ran(plan_for(server.port, requests=5))
        self.assertEqual((done.figures().answers, {*done.figures().errors}), (3, {"closed before the answer"}))

    def test_reset(self) -> None:
        """A connection that is reset is one."""

        def reset(sock: socket.socket) -> None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        for kind in (Kind.POLL, Kind.WS):
            with Answering(lambda head, number: reset) as server:
                done = ran(plan_for(server.port, {kind: 1}, requests=1))
            self.assertEqual({*done.figures(kind).errors}, {"reset"})

    def test_timed_out(self) -> None:
        """A server that does not answer is given up; one that owes nothing is not."""
        with ThreadedServer(until_gone) as server:
            run = Run(plan_for(server.port, timeout_s=0.5), lambda report: None)
            (watcher,) = run.watchers
            now = time.monotonic_ns()
            watcher.check(now)
            watcher.connect()
            watcher.check(now)
            self.assertEqual(watcher.figures.errors, {})
            watcher.check(time.monotonic_ns() + 1_000_000_000)
            self.assertEqual(watcher.figures.errors, {"timed out": 1})
            watcher.check(time.monotonic_ns() + 2_000_000_000)
            self.assertEqual(watcher.figures.errors, {"timed out": 1})
            run.close()

    def test_no_room_to_send(self) -> None:
        """Requests are few bytes: a connection that does not take them is given up."""
        for problem, said in (
            (BlockingIOError(), "no room to send"),
            (BrokenPipeError(32, "x"), "reset"),
            (None, "no room to send"),
        ):
            watcher = self.watcher()

            def send(data: bytes, problem: Exception | None = problem) -> int:
                if problem is not None:
                    raise problem
                return 1

            watcher.send = send
            self.assertFalse(watcher.write(b"abc"))
            self.assertEqual(watcher.figures.errors, {said: 1})

    def test_reads(self) -> None:
        """The ends of TLS are ends, whatever they are called, and nothing to read is no error."""
        for problem, wanted in ((ssl.SSLEOFError(), 0), (ssl.SSLZeroReturnError(), 0), (ssl.SSLWantReadError(), None)):
            watcher = self.watcher()

            def receive(buffer: bytearray, problem: Exception = problem) -> int:
                raise problem

            watcher.receive = receive
            self.assertEqual(watcher.read(), wanted)
            watcher.on_readable(0)
        self.assertEqual(watcher.figures.errors, {})

    def test_tls(self) -> None:
        """Answers are read over TLS, and later connections resume the first session, unless they must not."""
        for is_resumed in (True, False):
            with Answering(lambda head, number: answer(b"{}", "Connection: close"), self.context()) as server:
                done = ran(
                    plan_for(
                        server.port,
                        is_secure=True,
                        cacert=str(self.made.ca),
                        is_kept=False,
                        requests=4,
                        is_resumed=is_resumed,
                    )
                )
            figures = done.figures()
            self.assertEqual((figures.answers, figures.errors), (5, {}))
            self.assertEqual(figures.resumed, figures.connects - 1 if is_resumed else 0)

    def test_untrusted(self) -> None:
        """A certificate that is not trusted is an error with its reason, unless it is not checked."""
        for checks, errors in ((True, 1), (False, 0)):
            with Answering(lambda head, number: answer(), self.context()) as server:
                done = ran(plan_for(server.port, is_secure=True, checks_certificate=checks, requests=1))
            self.assertEqual(len(done.figures().errors), errors)
            self.assertTrue(all("certificate refused (" in each for each in done.figures().errors))

    def test_no_tls(self) -> None:
        """A server that speaks plain HTTP is an error with its reason."""

        def plainly(sock: socket.socket) -> None:
            sock.recv(1000)
            sock.sendall(answer())

        with ThreadedServer(plainly) as server:
            done = ran(plan_for(server.port, is_secure=True, checks_certificate=False, requests=1))
        (error,) = done.figures().errors
        self.assertIn("TLS failed (", error)

    def test_tls_that_cannot_begin(self) -> None:
        """A connection that is gone before TLS begins is an error, also if its socket has lost its descriptor."""

        def fail(tls: object, sock: socket.socket) -> ssl.SSLSocket:
            socket.close(sock.detach())
            raise ConnectionResetError(104, "reset")

        self.patch(Tls, "wrap", fail)
        with Answering(lambda head, number: answer(), self.context()) as server:
            done = ran(plan_for(server.port, is_secure=True, checks_certificate=False, requests=1))
        self.assertEqual({*done.figures().errors}, {"reset"})

    def test_handshake_that_waits_to_write(self) -> None:
        """A handshake whose bytes do not fit into the connection goes on when there is room."""
        tries: list[object] = []

        class Waiting(ssl.SSLSocket):
            def do_handshake(self, block: bool = False) -> None:
                tries.append(None)
                if len(tries) == 1:
                    raise ssl.SSLWantWriteError
                super().do_handshake(block)

        self.patch(ssl.SSLContext, "sslsocket_class", Waiting)
        with Answering(lambda head, number: answer(), self.context()) as server:
            self.patch(server._tls, "sslsocket_class", ssl.SSLSocket)
            done = ran(plan_for(server.port, is_secure=True, checks_certificate=False, requests=1))
        self.assertEqual(done.figures().errors, {})
        self.assertGreater(len(tries), 1)
