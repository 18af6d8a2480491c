"""The text of the trace."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.tables import Painter
from livefeed.cli.trace_text import trace_lines


class TraceTests(SynchronousTestCase):
    """Reports as people read them."""

    def report(self, **more: Any) -> dict[str, Any]:
        return {
            "feed": "results",
            "version": "0123456789abcdef",
            "sequence": "7.1",
            "published_at": "2026-11-03T20:00:00.000Z",
            "asked_ms": 0.0,
            "pulled_ms": 1.24,
            "checked_ms": 1.5,
            "published_ms": 2.0,
            "deliveries": [
                {"process": "worker 0", "first_ms": 2.5, "last_ms": 1250.0, "subscribers": 10_000},
                {"process": "worker 1", "first_ms": 2.25, "last_ms": None, "subscribers": 0},
            ],
            **more,
        }

    def test_steps_are_in_order(self) -> None:
        """With those of all processes; a step that has not happened is left out."""
        self.assertEqual(
            trace_lines([self.report()], Painter(False)),
            [
                "results  version 0123456789abcdef",
                "sequence 7.1, published at 2026-11-03T20:00:00.000Z",
                "",
                "     MS  STEP",
                "    0.0  the source is asked",
                "    1.2  the document is there",
                "    1.5  the gate has accepted it",
                "    2.0  it is the newest version",
                "    2.2  worker 1 begins to send it",
                "    2.5  worker 0 begins to send it",
                "1,250.0  worker 0 has sent it to 10,000 subscribers",
            ],
        )

    def test_several(self) -> None:
        """Between them is an empty line."""
        lines = trace_lines([self.report(deliveries=[]), self.report(deliveries=None)], Painter(False))
        self.assertEqual((lines.count(""), lines.count("results  version 0123456789abcdef")), (3, 2))
