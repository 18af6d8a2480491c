"""What is counted."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.figures import MAX_ERROR_KINDS, OTHERS, Figures, Report
from livefeed.load.kinds import Kind


class FiguresTests(SynchronousTestCase):
    def filled(self) -> Figures:
        """Gives figures of which each is another number."""
        figures = Figures(1, 2, 3, 4, 5, 6, 7, 8)
        figures.answered(200)
        figures.answered(503)
        figures.failed("reset", 9)
        for number, histogram in enumerate((figures.latency, figures.delay, figures.connect), 1):
            histogram.add(1000 * number)
        return figures

    def test_reports(self) -> None:
        """The sum of the reports is the whole, also after their way from process to process."""
        figures, whole = self.filled(), Figures()
        for _ in range(3):
            report = Report(
                phase="measuring",
                seconds=1.0,
                arrived=1,
                open=1,
                cpu_s=0.5,
                late_ns=0,
                figures={Kind.WS: figures.take()},
            )
            read = msgspec.json.decode(msgspec.json.encode(report), type=Report)
            self.assertEqual(read, report)
            whole.add(read.figures[Kind.WS])
        wanted = self.filled()
        for name in (
            "answers", "deliveries", "received", "verified", "unverified", "unanswered", "connects", "resumed",
            "statuses", "errors",
        ):  # fmt: skip
            self.assertEqual(getattr(whole, name), getattr(wanted, name), name)
        for name in ("latency", "delay", "connect"):
            theirs, ours = getattr(whole, name), getattr(wanted, name)
            self.assertEqual((theirs.filled(), theirs.longest_ns), (ours.filled(), ours.longest_ns))

    def test_errors(self) -> None:
        """Answers with a status from 400 on are errors, too."""
        figures = self.filled()
        self.assertEqual((figures.refusals, figures.error_count), (1, 10))

    def test_many_kinds_of_errors(self) -> None:
        """A server that has a new error each time fills no memory."""
        figures = Figures()
        for number in range(1000):
            figures.failed(f"error {number}")
        self.assertEqual(len(figures.errors), MAX_ERROR_KINDS + 1)
        self.assertEqual(figures.errors[OTHERS], 1000 - MAX_ERROR_KINDS)
