"""Watchers that ask for the document, against servers that answer as a test tells them."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.items import version_of
from livefeed.load import poller, watcher
from livefeed.load.histogram import MAX_NS
from livefeed.load.kinds import Kind
from livefeed.load.layout import MAX_LAYOUTS
from livefeed.load.line import READ_BYTES
from livefeed.load.poller import Poller
from livefeed.load.run import Run
from tests.helpers.load_targets import DOCUMENT, Answering, answer, plan_for, ran, until_gone

if TYPE_CHECKING:
    import socket

VERSION = f"Livefeed-Version: {version_of(DOCUMENT)}"
NOT_MODIFIED = b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n'


def tagged(tag: str, content: bytes = DOCUMENT) -> bytes:
    return answer(content, f'ETag: "{tag}"')


class ClosedLoopTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(watcher, "RETRY_NS", 1_000_000)

    def test_kept_connections(self) -> None:
        """Each poller sends the next request when it has the answer, on the same connection."""
        with Answering(lambda head, number: answer(DOCUMENT, f"Age: {number % 10}")) as server:
            done = ran(plan_for(server.port, {Kind.POLL: 2}, requests=20))
        figures = done.measured
        self.assertEqual((figures.answers, figures.statuses, figures.errors), (20, {200: 20}, {}))
        self.assertEqual(figures.latency.count, 20)
        self.assertEqual(figures.received, 20 * len(answer(DOCUMENT, "Age: 0")))
        self.assertEqual((done.figures().connects, done.reports[-1].open, done.reports[-1].arrived), (2, 2, 2))
        self.assertTrue(done.reports[-1].is_last)
        # Of the requests on arrival there is one of each.
        self.assertEqual(len(server.heads), 22)

    def test_new_connections(self) -> None:
        """Without kept connections, each request has one of its own."""
        with Answering(lambda head, number: answer(DOCUMENT, "Connection: close")) as server:
            done = ran(plan_for(server.port, {Kind.POLL: 2}, is_kept=False, requests=10))
        self.assertEqual((done.measured.answers, done.measured.errors), (10, {}))
        # The last two pollers may both make a connection, although one request is left.
        self.assertIn(done.figures().connects, (12, 13))
        self.assertTrue(all(b"\r\nConnection: close\r\n" in head for head in server.heads))

    def test_by_time(self) -> None:
        """A run by its time asks from the arrival on, and ends in time."""
        with Answering(lambda head, number: answer()) as server:
            done = ran(plan_for(server.port, requests=None, duration_s=0.05))
            self.assertTrue(done.reports[-1].is_last)
            plan = plan_for(server.port, requests=None, duration_s=60.0)
            done = ran(plan, until=lambda figures: figures.answers > 1)
        self.assertGreater(done.figures().answers, 1)

    def test_conditional(self) -> None:
        """A poller sends the tag that it has; the next version is a delivery, the first one is none."""
        tags = ["a", "a", "b", "b"]
        with Answering(lambda head, number: NOT_MODIFIED if number == 1 else tagged(tags[min(number, 3)])) as server:
            done = ran(plan_for(server.port, {Kind.CONDITIONAL: 1}, requests=3))
        figures = done.figures(Kind.CONDITIONAL)
        self.assertEqual((figures.statuses, figures.deliveries), ({200: 3, 304: 1}, 1))
        found = [head.partition(b"If-None-Match: ")[2].partition(b"\r")[0] for head in server.heads]
        self.assertEqual(found, [b"", b'"a"', b'"a"', b'"b"'])

    def test_browsers(self) -> None:
        """No two requests are the same."""
        with Answering(lambda head, number: tagged("a")) as server:
            ran(plan_for(server.port, {Kind.BROWSER: 1}, requests=5))
        self.assertEqual(len({*server.heads}), 6)
        self.assertEqual(sum(b'If-None-Match: "a"' in head for head in server.heads), 5)

    def test_answers_in_pieces(self) -> None:
        """Heads and contents may come in any pieces, in chunks, and until the end of the connection."""

        def byte_by_byte(sock: socket.socket) -> None:
            for byte in answer():
                sock.sendall(bytes([byte]))
            until_gone(sock)

        def until_close(sock: socket.socket) -> None:
            sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + DOCUMENT)

        large = answer(b"x" * (2 * READ_BYTES))
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        replies = [large, chunked, until_close, large, byte_by_byte]
        with Answering(lambda head, number: replies[number]) as server:
            done = ran(plan_for(server.port, requests=4))
        self.assertEqual((done.figures().answers, done.figures().errors), (5, {}))

    def test_statuses(self) -> None:
        """A refusal is counted by its status, and the poller goes on."""
        with Answering(lambda head, number: answer(b"no", status="503 Service Unavailable")) as server:
            done = ran(plan_for(server.port, requests=3))
        self.assertEqual((done.measured.statuses, done.measured.refusals, done.measured.errors), ({503: 3}, 3, {}))

    def test_closed_by_the_server(self) -> None:
        """The end of a connection after an answer is no error."""

        def once(sock: socket.socket) -> None:
            sock.sendall(answer())

        with Answering(lambda head, number: once) as server:
            done = ran(plan_for(server.port, requests=4, watchers={Kind.CONDITIONAL: 1}))
        figures = done.figures(Kind.CONDITIONAL)
        # The server may be found gone at the next request, too.
        self.assertEqual(figures.answers + sum(figures.errors.values()), 5)
        self.assertGreaterEqual(figures.answers, 2)

    def test_errors(self) -> None:
        """Each kind of defect has a name, and ends the connection."""
        defects: tuple[tuple[Any, str], ...] = (
            (lambda sock: None, "closed before the answer"),
            (lambda sock: sock.sendall(answer()[:-1]), "an answer that ends in the middle"),
            (b"SSH-2.0\r\n", "no answer of HTTP/1"),
            (answer() + b"more", "bytes behind an answer"),
            (answer(b"x" * 100), "a content that is too large"),
        )
        for reply, said in defects:
            with self.subTest(said), Answering(lambda head, number: reply) as server:  # noqa: B023 - used at once
                done = ran(plan_for(server.port, requests=1, max_bytes=50))
                self.assertEqual({*done.figures().errors}, {said})

    def test_reads_that_fail(self) -> None:
        """Nothing to read is nothing, an end of TLS is an end, and anything else is an error."""
        for problem, errors in (
            (BlockingIOError(), {}),
            (ssl.SSLEOFError(8, "eof"), {}),
            (ConnectionResetError(104, "reset"), {"reset": 1}),
        ):
            run = Run(plan_for(1), lambda report: None)
            client = run.watchers[0]

            def receive(buffer: bytearray, problem: OSError = problem) -> int:
                raise problem

            client.receive = receive
            client.on_readable(0)
            self.assertEqual(client.figures.errors, errors)
            run.close()

    def test_idle_connections_that_end(self) -> None:
        """A server may close a connection on which nothing was asked; a closed loop makes another one."""
        with Answering(lambda head, number: answer()) as server:
            run = Run(plan_for(server.port, requests=None, duration_s=1.0), lambda report: None)
            client = run.watchers[0]
            client.receive = lambda buffer: 0
            client.on_readable(0)
            self.assertIsNotNone(client.sock)
            run.close()

    def test_bytes_without_a_request(self) -> None:
        """A server that says something on its own breaks the protocol."""
        with Answering(lambda head, number: answer()) as server:
            run = Run(plan_for(server.port), lambda report: None)
            client = run.watchers[0]
            client.receive = lambda buffer: 3
            client.on_readable(0)
        self.assertEqual(client.figures.errors, {"bytes without a request": 1})
        run.close()


class VerificationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(watcher, "RETRY_NS", 1_000_000)

    def test_right_documents(self) -> None:
        """The content of each answer is compared with its version."""
        with Answering(lambda head, number: answer(DOCUMENT, VERSION)) as server:
            done = ran(plan_for(server.port, verifies=True, requests=5))
        self.assertEqual((done.measured.verified, done.measured.errors), (5, {}))

    def test_wrong_documents(self) -> None:
        """Another content of the same length and the same head is an error."""
        wrong = DOCUMENT.replace(b"1", b"2")
        with Answering(lambda head, number: answer(wrong if number == 2 else DOCUMENT, VERSION)) as server:
            done = ran(plan_for(server.port, verifies=True, requests=2))
        self.assertEqual(done.measured.errors, {"a document that is not its version": 1})

    def test_other_servers(self) -> None:
        """One entity tag stands for one content."""
        with Answering(lambda head, number: tagged("x", DOCUMENT if number < 2 else b'{"n": 2}')) as server:
            done = ran(plan_for(server.port, verifies=True, requests=2))
        self.assertEqual(done.measured.errors, {"a document that is not its version": 1})

    def test_not_comparable(self) -> None:
        """A coded content without a digest is counted apart, and an answer without a tag not at all."""
        for lines, unverified in ((('ETag: "x"', "Content-Encoding: br"), 1), ((), 0)):
            reply = answer(DOCUMENT, *lines)
            with Answering(lambda head, number: reply) as server:  # noqa: B023 - used at once
                done = ran(plan_for(server.port, verifies=True, requests=1))
            self.assertEqual(done.figures().unverified > 0, unverified > 0)
            self.assertEqual((done.figures().verified, done.figures().errors), (0, {}))


class OpenLoopTests(SynchronousTestCase):
    def test_rate(self) -> None:
        """Requests fall due at their times, and all are answered."""
        with Answering(lambda head, number: answer()) as server:
            done = ran(plan_for(server.port, {Kind.POLL: 2}, rate=2000.0, requests=20))
        self.assertEqual((done.measured.answers, done.measured.latency.count), (20, 20))
        self.assertEqual(len(server.heads), 22)

    def test_latency_counts_from_the_intended_start(self) -> None:
        """While a server answers nothing, requests fall due all the same, and the whole wait of each is recorded."""

        def never(sock: socket.socket) -> None:
            until_gone(sock)

        with Answering(lambda head, number: answer() if number == 0 else never) as server:
            done = ran(plan_for(server.port, rate=200.0, requests=None, duration_s=0.1))
        figures = done.measured
        self.assertEqual((figures.answers, figures.errors), (0, {}))
        self.assertTrue(18 <= figures.unanswered <= 21, figures.unanswered)
        self.assertEqual(figures.latency.count, figures.unanswered)
        self.assertGreaterEqual(figures.latency.longest_ns, 95_000_000)

    def test_new_connections(self) -> None:
        """A poller without a connection makes one when a request falls due."""
        with Answering(lambda head, number: answer(DOCUMENT, "Connection: close")) as server:
            done = ran(plan_for(server.port, rate=500.0, requests=5, is_kept=False))
        self.assertEqual((done.measured.answers, done.figures().connects), (5, 6))

    def test_closed_by_the_server(self) -> None:
        """A connection that the server has closed while nothing was due is made anew."""
        with Answering(lambda head, number: answer(DOCUMENT, "Connection: close")) as server:
            done = ran(plan_for(server.port, rate=500.0, requests=5))
        self.assertEqual((done.measured.answers, done.measured.errors), (5, {}))


class LongPollTests(SynchronousTestCase):
    def test_waiting(self) -> None:
        """A watcher asks again at once, and each new version is a delivery; latency is not recorded."""
        with Answering(lambda head, number: tagged(str(number))) as server:
            done = ran(plan_for(server.port, {Kind.WAIT: 1}, requests=3))
        figures = done.figures(Kind.WAIT, phase="measuring")
        self.assertEqual((figures.deliveries, figures.latency.count), (3, 0))
        self.assertTrue(all(b"\r\nPrefer: wait=25\r\n" in head for head in server.heads))

    def test_closed_connections(self) -> None:
        """A watcher whose connection ends with an answer comes back at once."""
        with Answering(lambda head, number: answer(DOCUMENT, f'ETag: "{number}"', "Connection: close")) as server:
            done = ran(plan_for(server.port, {Kind.WAIT: 1}, requests=2))
        self.assertEqual(done.figures(Kind.WAIT).errors, {})

    def test_server_that_does_not_wait(self) -> None:
        """A 304 at once must not become a closed loop: the watcher pauses, and the reason is counted."""
        with Answering(lambda head, number: NOT_MODIFIED) as server:
            plan = plan_for(server.port, {Kind.WAIT: 1}, requests=None, duration_s=0.2)
            done = ran(plan)
        self.assertEqual(done.figures(Kind.WAIT).errors, {"a server that does not wait": 1})
        self.assertEqual(len(server.heads), 1)

    def test_asks_again_after_a_pause(self) -> None:
        """After the pause it asks again, on the same connection."""
        self.patch(poller, "RETRY_NS", 1_000_000)
        with Answering(lambda head, number: NOT_MODIFIED if number == 0 else tagged(str(number))) as server:
            done = ran(plan_for(server.port, {Kind.WAIT: 1}, requests=1))
        self.assertEqual((done.figures(Kind.WAIT).deliveries, done.figures(Kind.WAIT).connects), (1, 1))
        self.assertGreaterEqual(done.run.watchers[0].patience_s, 35)


class MemoryTests(SynchronousTestCase):
    def test_bounded(self) -> None:
        """Answers of many sizes fill no memory."""
        with Answering(lambda head, number: answer(b"x" * number)) as server:
            done = ran(plan_for(server.port, requests=MAX_LAYOUTS + 3))
        self.assertLess(len(done.run.shared.layouts), MAX_LAYOUTS)

    def test_longest_latency(self) -> None:
        """One that is longer than the histogram has place for counts as the longest."""
        run = Run(plan_for(1), lambda report: None)
        client = run.watchers[0]
        assert isinstance(client, Poller)
        client.due_ns = time.monotonic_ns() - 2 * MAX_NS
        client._record(time.monotonic_ns())
        self.assertEqual(client.figures.latency.longest_ns, MAX_NS)
        run.close()
