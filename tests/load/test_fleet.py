"""The processes of a run. Some tests start real ones, others talk to the fleet in their place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import FollowError
from livefeed.load import fleet as module
from livefeed.load.figures import Figures, Report
from livefeed.load.fleet import Fleet
from livefeed.load.kinds import Kind
from livefeed.load.plan import divided
from tests.helpers.load_targets import Answering, answer, plan_for

if TYPE_CHECKING:
    from livefeed.load.fleet import Result


def report(phase: str, *, answers: int = 0, is_last: bool = False, arrived: int = 1, late_ns: int = 0) -> bytes:
    """Gives a line of a process."""
    figures = Figures(deliveries=answers, connects=answers)
    for _ in range(answers):
        figures.answered(200)
        figures.latency.add(1_000_000)
        figures.connect.add(2_000_000)
    figures.failed("reset", answers)
    made = Report(
        phase=phase,
        seconds=1.0,
        arrived=arrived,
        open=1,
        cpu_s=0.5,
        late_ns=late_ns,
        figures={Kind.POLL: figures.take()},
        is_last=is_last,
    )
    return msgspec.json.encode(made) + b"\n"


class FleetTests(SynchronousTestCase):
    def replaced(self, program: str) -> None:
        """Has a program in Python take the place of the processes."""
        begin = subprocess.Popen

        def start(arguments: object, **named: object) -> subprocess.Popen[bytes]:
            return begin([sys.executable, "-c", program], **named)  # type: ignore[call-overload, no-any-return]

        self.patch(subprocess, "Popen", start)

    def telling(self, *lines: bytes, then: str = "") -> None:
        """Has processes say lines in place of working."""
        self.replaced(f"import sys\nsys.stdin.buffer.readline()\nsys.stdout.buffer.write({b''.join(lines)!r})\n{then}")

    def result_of(self, fleet: Fleet, seconds: list[Result]) -> Result:
        with fleet:
            return fleet.run(seconds.append)

    def test_processes(self) -> None:
        """Two processes share a run, and the result is that of both."""
        seconds: list[Result] = []
        with Answering(lambda head, number: answer()) as server:
            whole = plan_for(server.port, {Kind.POLL: 3, Kind.CONDITIONAL: 1}, requests=20)
            result = self.result_of(Fleet(divided(whole, 2)), seconds)
        self.assertEqual(list(result.figures), [Kind.POLL, Kind.CONDITIONAL])
        self.assertEqual(sum(each.answers for each in result.figures.values()), 20)
        self.assertEqual(sum(each.connects for each in result.figures.values()), 4)
        self.assertEqual((result.arrived, result.open, result.lost_processes), (4, 4, 0))
        self.assertGreater(result.measured_s, 0)
        self.assertTrue(0 < result.busy <= 1.5)
        self.assertTrue(any(point.rates["poll"] for point in result.points))

    def test_stopped(self) -> None:
        """A run that is ended early has the figures so far."""

        def stop(result: Result) -> None:
            if result.measured_s:
                raise KeyboardInterrupt

        with (
            Answering(lambda head, number: answer()) as server,
            Fleet([plan_for(server.port, requests=None, duration_s=60.0)]) as fleet,
        ):
            self.assertRaises(KeyboardInterrupt, fleet.run, stop)
            result = fleet.stop()
        self.assertGreater(result.figures[Kind.POLL].answers, 0)

    def test_arrival(self) -> None:
        """Answers of the arrival are in the course and not in the figures; its errors and connections are in both."""
        self.telling(
            report("arriving", answers=3),
            report("measuring", answers=2, late_ns=7),
            report("measuring", answers=1, is_last=True),
            then="sys.stdin.read()",
        )
        with Fleet([plan_for(1)]) as fleet:
            result = fleet.run(lambda result: None)
        figures = result.figures[Kind.POLL]
        self.assertEqual((figures.answers, figures.connects, figures.errors), (3, 6, {"reset": 6}))
        self.assertEqual((figures.latency.count, figures.connect.count), (3, 6))
        self.assertEqual((result.measured_s, result.busy, result.late_ns), (2.0, 0.5, 7))
        (point,) = result.points
        self.assertAlmostEqual(point.rates["poll"] * point.seconds, 6)
        self.assertAlmostEqual(point.p99_ms["poll"], 1, places=1)

    def test_dies_at_once(self) -> None:
        """A process that ends before its first report is told with its code."""
        self.replaced("import sys; sys.exit(3)")
        with Fleet([plan_for(1)]) as fleet:
            error = self.assertRaises(FollowError, fleet.run, lambda result: None)
        self.assertIn("ended with code 3", str(error))

    def test_dies_later(self) -> None:
        """A process that ends without its last report is lost, and the run goes on without it."""
        self.telling(report("measuring", answers=1))
        with Fleet([plan_for(1), plan_for(1)]) as fleet:
            result = fleet.run(lambda result: None)
        self.assertEqual((result.lost_processes, result.figures[Kind.POLL].answers), (2, 2))

    def test_silent(self) -> None:
        """A process that says nothing any more is ended."""
        self.patch(module, "SILENCE_S", 0.3)
        self.telling(report("arriving", arrived=0), then="sys.stdout.flush(); sys.stdin.read(); sys.stdin.read()")
        with Fleet([plan_for(1)]) as fleet:
            result = fleet.run(lambda result: None)
        self.assertEqual(result.lost_processes, 1)

    def test_endless_report(self) -> None:
        """A process whose report does not end is ended."""
        self.patch(module, "MAX_LINE_BYTES", 100)
        self.telling(report("arriving"), b"x" * 200, then="sys.stdout.flush(); sys.stdin.read()")
        with Fleet([plan_for(1)]) as fleet:
            result = fleet.run(lambda result: None)
        self.assertEqual(result.lost_processes, 1)

    def test_does_not_end(self) -> None:
        """A process that ignores the end of its input is killed."""
        self.patch(module, "END_S", 0.05)
        self.telling(report("measuring", is_last=True), then="sys.stdout.flush()\nimport signal\nsignal.pause()")
        with Fleet([plan_for(1)]) as fleet:
            fleet.run(lambda result: None)
            (member,) = fleet._members
        self.assertEqual(member.process.returncode, -signal.SIGKILL)

    def test_cannot_start(self) -> None:
        """If one process cannot be started, the others are ended."""
        begin = subprocess.Popen
        started: list[subprocess.Popen[bytes]] = []

        def start(arguments: object, **named: object) -> subprocess.Popen[bytes]:
            if started:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            started.append(begin(arguments, **named))  # type: ignore[call-overload]
            return started[0]

        self.patch(subprocess, "Popen", start)
        self.assertRaises(BlockingIOError, Fleet([plan_for(1), plan_for(1)]).__enter__)
        self.assertIsNotNone(started[0].poll())

    def test_course(self) -> None:
        """The course of a long run stays short."""
        self.patch(module, "MAX_POINTS", 10)
        fleet = Fleet([plan_for(1)])
        for _ in range(100):
            fleet._point()
            self.assertLessEqual(len(fleet.result.points), 10)
            fleet._reported_s = 1.0
        self.assertGreater(len(fleet.result.points), 1)
        self.assertLessEqual(len(fleet.result.points), 10)
        fleet.__exit__()

    def test_nothing_to_read(self) -> None:
        """A descriptor may be ready without anything to read."""
        source, sink = os.pipe()
        os.set_blocking(source, False)
        self.telling(report("measuring", is_last=True))
        with Fleet([plan_for(1)]) as fleet:
            (member,) = fleet._members
            output, member.stdout = member.stdout, os.fdopen(source, "rb")
            fleet._read(member)
            member.stdout.close()
            member.stdout = output
            os.close(sink)
            self.assertIsNone(member.last)
            self.assertLess(time.monotonic() - member.heard_s, 60)
