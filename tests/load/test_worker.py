"""The process of a share of the watchers, in the process of the test."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
from typing import TYPE_CHECKING

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from livefeed.load import worker
from livefeed.load.figures import Report
from livefeed.load.kinds import Kind
from livefeed.load.worker import BEGIN, CANNOT_RUN, STOP, main
from tests.helpers.load_targets import Answering, answer, plan_for

if TYPE_CHECKING:
    from livefeed.load.plan import Plan


class Broken(io.BytesIO):
    """An output whose reader has gone."""

    def write(self, data: object) -> int:
        raise BrokenPipeError


class WorkerTests(SynchronousTestCase):
    def setUp(self) -> None:
        handler = signal.getsignal(signal.SIGINT)
        self.addCleanup(signal.signal, signal.SIGINT, handler)
        self.addCleanup(gc.enable)
        self.patch(worker, "raise_open_files", lambda: 20)
        self.source, self.sink = os.pipe()
        self.addCleanup(os.close, self.source)
        self.addCleanup(self.hang_up)
        self.output = io.BytesIO()

    def hang_up(self) -> None:
        # Not by its name alone, in which trial looks for warnings.
        with contextlib.suppress(OSError):
            os.close(self.sink)

    def work(self, plan: Plan, *lines: bytes, output: io.BytesIO | None = None) -> int:
        os.write(self.sink, b"".join([msgspec.json.encode(plan), b"\n", *lines]))
        return main(self.source, output or self.output)

    def reports(self) -> list[Report]:
        return [msgspec.json.decode(line, type=Report) for line in self.output.getvalue().splitlines()]

    def test_commands(self) -> None:
        """It begins when it is told to, also together with its plan, and ends by itself."""
        with Answering(lambda head, number: answer()) as server:
            self.assertEqual(self.work(plan_for(server.port), BEGIN, b"unknown\n"), 0)
        self.assertEqual(sum(each.answers for report in self.reports() for each in report.figures.values()), 10)
        self.assertTrue(self.reports()[-1].is_last)
        self.assertTrue(gc.isenabled())
        self.assertIs(signal.getsignal(signal.SIGINT), signal.SIG_IGN)

    def test_told_later(self) -> None:
        """Commands are obeyed while it runs, and may come in pieces."""

        def reply(head: bytes, number: int) -> bytes:
            os.write(self.sink, (b"be", b"gin\n")[number] if number < 2 else b"")
            return answer()

        with Answering(reply) as server:
            self.assertEqual(self.work(plan_for(server.port, {Kind.POLL: 2})), 0)
        self.assertEqual(self.reports()[-1].phase, "measuring")

    def test_stopped(self) -> None:
        """It ends when it is told to, with a last report, also before it has begun."""
        with Answering(lambda head, number: answer()) as server:
            self.assertEqual(self.work(plan_for(server.port), STOP), 0)
        self.assertEqual([report.is_last for report in self.reports()], [True])

    def test_end_of_the_input(self) -> None:
        """It ends with the command that has started it, whose pipe is closed then."""
        with Answering(lambda head, number: answer()) as server:
            os.write(self.sink, msgspec.json.encode(plan_for(server.port, requests=None, duration_s=60.0)) + b"\nbe")
            os.write(self.sink, b"gin\n")
            self.hang_up()
            self.assertEqual(main(self.source, self.output), 0)
        self.assertEqual(self.reports()[-1].phase, "measuring")

    def test_no_reader(self) -> None:
        """It ends without a traceback when nobody reads its reports any more."""
        with Answering(lambda head, number: answer()) as server:
            self.assertEqual(self.work(plan_for(server.port), BEGIN, output=Broken()), CANNOT_RUN)

    def test_impossible_plans(self) -> None:
        """A plan that cannot be carried out, or is none, is told in one line."""
        for data in (
            msgspec.json.encode(plan_for(1, is_secure=True, cacert="/nowhere/ca.pem")) + b"\n",
            b"{}\n",
        ):
            errors = io.StringIO()
            self.patch(sys, "stderr", errors)
            os.write(self.sink, data)
            self.assertEqual(main(self.source, self.output), CANNOT_RUN)
            self.assertEqual(len(errors.getvalue().splitlines()), 1, errors.getvalue())

    def test_no_plan(self) -> None:
        """An input that ends at once has no plan."""
        self.hang_up()
        self.patch(sys, "stderr", io.StringIO())
        self.assertEqual(main(self.source), CANNOT_RUN)
