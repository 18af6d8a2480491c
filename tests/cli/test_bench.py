"""``livefeed bench``, with its processes, against servers that answer as a test tells them."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import socket
import ssl
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from livefeed.cli import bench
from livefeed.cli.main import main
from livefeed.load.addresses import Target
from livefeed.load.clock import SAMPLES
from livefeed.load.fleet import Fleet
from livefeed.load.kinds import Kind
from tests.helpers.load_targets import DOCUMENT, Answering, answer, target_of
from tests.helpers.threaded_server import HOST
from tests.helpers.tls import CertificateTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.load.fleet import Result
    from livefeed.load.plan import Plan

OTHER_MACHINE = replace(target_of(1), ip="192.0.2.1", name="server.test")


class BenchTests(CertificateTestCase):
    def setUp(self) -> None:
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.stdout)
        self.patch(sys, "stderr", self.stderr)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)

    def bench(self, *arguments: str, reply: Any = None, **named: Any) -> int:
        """Runs the command on a server that gives one answer, and gives the exit code."""
        with Answering(lambda head, number: answer() if reply is None else reply, **named) as server:
            self.server = server
            scheme = "https" if named else "http"
            return main(["bench", f"{scheme}://{HOST}:{server.port}/feed", *arguments])

    def usage(self, *arguments: str) -> str:
        """Gives the message about a wrong command line."""
        self.stderr.truncate(self.stderr.seek(0))
        try:
            code = main(["bench", *arguments])
        except SystemExit as end:
            code = int(str(end.code))
        self.assertEqual(code, 2, self.stderr.getvalue())
        return self.stderr.getvalue()

    def planned(self, *arguments: str, head: tuple[str, ...] = ()) -> Plan:
        """Gives the task that a command line makes, without carrying it out."""
        plans: list[Plan] = []

        def take(options: object, plan: Plan, setup: object) -> int:
            plans.append(plan)
            return 0

        self.patch(bench, "_measure", take)
        self.assertEqual(self.bench(*arguments, reply=answer(DOCUMENT, *head)), 0)
        return plans[0]

    def test_run(self) -> None:
        """A run by a number shows its figures on standard output, and its course on standard error."""
        self.assertEqual(self.bench("-n", "20", "-c", "2", "-k"), 0)
        self.assertRegex(self.stdout.getvalue(), r"poll +2 +20 ")
        self.assertIn("errors       none", self.stdout.getvalue())

    def test_new_connections(self) -> None:
        """Without -k each request makes a connection, and the summary says so."""
        code = self.bench("-n", "4", "-c", "2", reply=answer(DOCUMENT, "Connection: close"))
        self.assertEqual(code, 0)
        self.assertIn("a new connection for each request (-k keeps them)", self.stdout.getvalue())
        self.assertIn("note         each request makes a new connection", self.stdout.getvalue())

    def test_json_and_plot(self) -> None:
        """The figures are one JSON object, and the plot is an SVG."""
        path = self.folder / "plot.svg"
        self.assertEqual(self.bench("-n", "10", "-c", "1", "-k", "--json", "--quiet", "--plot", str(path)), 0)
        figures = json.loads(self.stdout.getvalue())
        self.assertEqual((figures["kinds"]["poll"]["answers"], figures["errors"]), (10, 0))
        self.assertEqual(self.stderr.getvalue(), "")
        self.assertTrue(ET.parse(path).getroot().tag.endswith("svg"))

    def test_limits(self) -> None:
        """A missed limit is told, and the exit code is 1."""
        code = self.bench("-n", "10", "-c", "1", "-k", "--max-p99", "1us", "--min-rate", "1e9", "--max-errors", "0")
        self.assertEqual(code, 1)
        self.assertEqual(self.stdout.getvalue().count("missed: "), 2)
        code = self.bench("-n", "10", "-c", "1", "-k", "--max-p99", "1m", "--min-rate", "0.001", "--max-errors", "0")
        self.assertEqual(code, 0)

    def test_nothing_answered(self) -> None:
        """A server that stops answering after the first request makes the run fail."""

        def second_fails(head: bytes, number: int) -> Any:
            return answer() if number == 0 else lambda sock: None

        with Answering(second_fails) as server:
            self.patch(Fleet, "run", self.without_connections(Fleet.run))
            code = main(["bench", f"http://{HOST}:{server.port}/feed", "-n", "1", "-c", "1", "-k"])
        self.assertEqual(code, 1)
        self.assertIn("missed: nothing was answered", self.stdout.getvalue())

    def without_connections(self, run: Callable[..., Result]) -> Callable[..., Result]:
        def changed(*arguments: Any) -> Result:
            result = run(*arguments)
            for figures in result.figures.values():
                figures.connects = 0
            return result

        return changed

    def test_no_server(self) -> None:
        """A server that is not there is one line, and the exit code is 1."""
        with socket.create_server((HOST, 0)) as listening:
            port = listening.getsockname()[1]
        self.assertEqual(main(["bench", f"http://{HOST}:{port}/feed"]), 1)
        self.assertEqual(self.stderr.getvalue(), f"livefeed: nothing listens at {HOST}:{port}\n")

    def test_interrupted(self) -> None:
        """Ctrl-C ends the run, and shows the figures so far."""
        show = Fleet._point

        def interrupt(fleet: Fleet) -> None:
            show(fleet)
            if fleet.result.measured_s:
                self.patch(Fleet, "_point", show)
                os.kill(os.getpid(), signal.SIGINT)

        self.patch(Fleet, "_point", interrupt)
        handler = signal.getsignal(signal.SIGINT)
        code = self.bench("-c", "1", "-k", "--duration", "60s", "--json", "--quiet")
        self.assertEqual(code, 130)
        figures = json.loads(self.stdout.getvalue())
        self.assertTrue(figures["interrupted"])
        self.assertGreater(figures["kinds"]["poll"]["answers"], 0)
        self.assertIs(signal.getsignal(signal.SIGINT), handler)

    def test_interrupted_before(self) -> None:
        """Ctrl-C before the first answer ends the command, too."""

        def interrupt(*arguments: object) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        self.patch(bench, "ask_once", interrupt)
        self.assertEqual(self.bench(), 143)
        self.assertEqual(self.stdout.getvalue(), "")

    def test_other_machines(self) -> None:
        """Another machine is loaded only by a user who names it twice, and the message says how."""
        self.patch(bench, "resolved", lambda address: OTHER_MACHINE)
        for arguments in ((), ("--i-may-load", "other.test")):
            message = self.usage("http://server.test/feed", *arguments)
            self.assertIn("server.test (192.0.2.1) is not this machine", message)
            self.assertIn("--i-may-load server.test", message)

    def test_usage(self) -> None:
        """Each mistake is told with what is allowed."""
        url = f"http://{HOST}:1/feed"
        (self.folder / "d.svg").mkdir()
        for arguments, said in (
            (["-n", "0"], "no whole number from 1 to"),
            (["-c", "x"], "no whole number from 1 to"),
            (["-c", "9" * 5000], "no whole number from 1 to"),
            (["--duration", "soon"], "write 250ms, 1.5s or 2m"),
            (["--duration", "48h"], "more than a day"),
            (["--mix", "pol"], "did you mean poll?"),
            (["--rate", "0"], "no rate"),
            (["--rate", "many"], "no rate"),
            (["--header", "secret"], "'Name: value'"),
            (["--header", "Host: a"], "set by the command itself"),
            (["--origin", "a\r\nb"], "'Name: value'"),
            (["--mix", "ws", "--rate", "5"], "--rate is about pollers"),
            (["-c", "1", "-t", "2"], "-t 2 is more than the 1 watchers"),
            (["-c", "1000000"], "use -t"),
            (["--plot", "/nowhere/a.svg"], "cannot be written"),
            (["--plot", str(self.folder / "d.svg")], "cannot be written"),
            (["--plot", "a.png"], "--plot: a.png: the picture is an SVG: name a file that ends in .svg"),
            (["--max-p99", "5"], "argument --max-p99: '5' has no unit: write 5ms, 5s or 5m"),
            (["--max-delay-p99", "0.2"], "has no unit"),
            (["--wait", "9"], "has no unit"),
            (["--wait", "1.5s"], "no whole number of seconds up to 3600s"),
            (["--wait", "2h"], "no whole number of seconds up to 3600s"),
            (["--colour"], "there is no argument"),
        ):
            with self.subTest(arguments):
                self.patch(resource, "getrlimit", lambda _: (1024, 20_000))
                message = self.usage(url, *arguments)
                self.assertIn(said, message)
                self.assertNotIn("secret", message)

    def test_wrong_url(self) -> None:
        """A URL without a scheme is a mistake of the command line."""
        self.assertIn("'localhost:8080/feed': is no URL", self.usage("localhost:8080/feed"))

    def test_too_many_ports(self) -> None:
        """Connections to another machine are limited by its ports."""
        self.patch(bench, "resolved", lambda address: OTHER_MACHINE)
        self.patch(resource, "getrlimit", lambda _: (1024, -1))
        message = self.usage("http://server.test/feed", "--i-may-load", "SERVER.test", "-c", "30000")
        self.assertIn("another machine", message)

    def test_plot_that_cannot_be_written(self) -> None:
        """A disk that is full at the end is told after the figures."""

        def fail(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(Path, "write_text", fail)
        code = self.bench("-n", "1", "-c", "1", "-k", "--plot", str(self.folder / "a.svg"))
        self.assertEqual(code, 1)
        self.assertIn("errors       none", self.stdout.getvalue())
        self.assertIn("a.svg: No space left on device", self.stderr.getvalue())

    def test_plan(self) -> None:
        """Options become the task of the processes."""
        token = self.folder / "token"
        token.write_text("abc.def")
        plan = self.planned(
            "-c", "10", "--mix", "poll=8,ws=2", "--rate", "100", "--ramp", "2s", "--timeout", "3s", "--wait", "9s",
            "--verify", "--time-at", "/at", "--header", "X: y", "--origin", "https://a.test", "--no-resume", "-k",
            "--token-file", str(token),
        )  # fmt: skip
        self.assertEqual(plan.watchers, {Kind.POLL: 8, Kind.WS: 2})
        self.assertEqual((plan.rate, plan.ramp_s, plan.timeout_s, plan.wait_s), (100, 2, 3, 9))
        self.assertEqual((plan.duration_s, plan.requests), (10, None))
        self.assertEqual(plan.fields, {"X": "y", "Origin": "https://a.test", "Authorization": "Bearer abc.def"})
        self.assertEqual((plan.verifies, plan.time_pointer, plan.is_resumed, plan.is_kept), (True, "/at", False, True))
        self.assertFalse(plan.has_reference)

    def test_defaults(self) -> None:
        """Watchers arrive at a rate that servers can bear, and a number takes the place of the time."""
        plan = self.planned("-n", "7", "-c", "100")
        self.assertEqual((plan.duration_s, plan.requests, plan.ramp_s), (None, 7, 0.1))

    def test_reference(self) -> None:
        """Where a feed of livefeed is watched in a way that tells no times, one more watcher does."""
        head = (f"Livefeed-Version: {'0' * 32}",)
        self.assertTrue(self.planned("--mix", "ws", head=head).has_reference)
        self.assertFalse(self.planned("--mix", "ws-delta2", head=head).has_reference)

    def page(self, path: str, content: bytes) -> int:
        """Runs the command on a page of a server, whose list of feeds has a content, and gives the exit code."""

        def reply(head: bytes, number: int) -> bytes:
            if head.startswith(b"GET /-/feeds.json "):
                return answer(content)
            return answer() if head.startswith(b"GET /a ") else answer(b"<p>", "Content-Type: text/html")

        with Answering(reply) as server:
            self.at = f"http://{HOST}:{server.port}"
            return main(["bench", f"{self.at}{path}", "-n", "4", "-c", "2", "-k", "--json", "--quiet"])

    def test_page_of_the_only_feed(self) -> None:
        """The start page of a livefeed stands for its only feed, as for livefeed watch."""
        self.assertEqual(self.page("/", b'{"feeds": [{"path": "/a"}]}'), 0)
        self.assertEqual(json.loads(self.stdout.getvalue())["url"], f"{self.at}/a")

    def test_pages_of_livefeed(self) -> None:
        """Other pages are no documents, and the message names the feeds."""
        for path, content, named in (
            ("/", b'{"feeds": [{"path": "/a"}, {"path": "/b"}]}', ["/a", "/b"]),
            ("/a.html", b'{"feeds": [{"path": "/a"}]}', ["/a"]),
        ):
            self.stderr.truncate(self.stderr.seek(0))
            self.assertEqual(self.page(path, content), 2)
            message = f"{self.at}{path} is a page of livefeed, and no document: name one of its feeds: "
            self.assertIn(message + ", ".join(f"{self.at}{each}" for each in named), self.stderr.getvalue())

    def test_pages(self) -> None:
        """A page of another server can be loaded, and a note asks whether it is meant."""
        self.bench("-n", "1", "-c", "1", "-k", reply=answer(b"<p>", "Content-Type: text/html"))
        self.assertIn("note         the answer is a page", self.stdout.getvalue())

    def test_certificates(self) -> None:
        """The certificate is checked, unless it must not be, which is said aloud."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.made.cert, self.made.key)
        few = ("-n", "2", "-c", "1", "-k")
        self.assertEqual(self.bench(*few, tls=context), 1)
        self.assertIn("is not trusted", self.stderr.getvalue())
        self.assertEqual(self.bench(*few, "--cacert", str(self.made.ca), tls=context), 0)
        self.assertNotIn("NOT checked", self.stderr.getvalue())
        self.assertEqual(self.bench(*few, "--insecure", tls=context), 0)
        self.assertIn("the certificate is NOT checked", self.stderr.getvalue())

    def test_clock_of_another_machine(self) -> None:
        """The clock of a server that tells times is estimated from a dozen answers, at the ends of its seconds."""
        slept: list[float] = []
        self.patch(time, "sleep", slept.append)
        self.patch(bench, "_check_permission", lambda *_: None)
        self.patch(Target, "is_loopback", False)
        date = "Date: Sun, 30 Nov 2025 01:00:00 GMT"
        self.assertLess(self.planned("--time-at", "/at", head=(date,)).clock_offset_ns, 0)
        self.assertEqual(len(slept), SAMPLES - 1)
        self.assertTrue(all(0 <= seconds <= 1 for seconds in slept))
        # Without a date there is nothing to learn, and without times nothing to compare.
        slept.clear()
        self.assertEqual(self.planned("--time-at", "/at").clock_offset_ns, 0)
        self.assertEqual(self.planned(head=(date,)).clock_offset_ns, 0)
        self.assertEqual(slept, [])

    def test_clock_that_is_set(self) -> None:
        """Dates that contradict each other give no estimate."""
        self.patch(time, "sleep", lambda seconds: None)
        self.patch(bench, "_check_permission", lambda *_: None)
        self.patch(Target, "is_loopback", False)
        plans: list[Plan] = []
        self.patch(bench, "_measure", lambda options, plan, setup: plans.append(plan))

        def reply(head: bytes, number: int) -> bytes:
            return answer(DOCUMENT, f"Date: Sun, 30 Nov 2025 01:00:{10 + 20 * (number % 2)} GMT")

        with Answering(reply) as server:
            main(["bench", f"http://{HOST}:{server.port}/feed", "--time-at", "/at"])
        self.assertEqual(plans[0].clock_offset_ns, 0)
