"""The allowance of a worker: what it may send at once and in a time, and the end of a flood."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import LinkError
from livefeed.workers.allowance import ALL, LINES, RATES, Allowance


class AllowanceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.allowance = Allowance(self.clock.seconds)

    def take_all(self, kind: str) -> int:
        """Takes messages of a type until there are too many, and gives their number."""
        for number in range(RATES[ALL][0] + 1):
            try:
                if not self.allowance.take(kind):
                    return number
            except LinkError as error:
                self.assertEqual(str(error), f"there are too many messages, the last one is {kind}")
                return number
        raise AssertionError("there is no limit")

    def test_backlog_and_rate(self) -> None:
        """A backlog is taken at once, and then as many as come in the time."""
        for kind in ("heartbeat", "ready", "sockets", LINES):
            burst, per_second = RATES[kind]
            self.assertEqual(self.take_all(kind), burst)
            self.clock.advance(5.0)
            self.assertEqual(self.take_all(kind), 5 * per_second)

    def test_all_together(self) -> None:
        """Messages without a limit of their own have one, too."""
        self.assertEqual(self.take_all("seen"), RATES[ALL][0])
        self.assertRaises(LinkError, self.allowance.take, "wanted")
        self.clock.advance(1.0)
        self.assertTrue(self.allowance.take("wanted"))

    def test_lines_that_are_left_out(self) -> None:
        """Too many lines of a log end nothing, and are counted."""
        self.take_all(LINES)
        for _ in range(9):
            self.assertFalse(self.allowance.take(LINES))
        self.assertEqual(self.allowance.left_out, 10)
        self.assertTrue(self.allowance.take("heartbeat"))

    def test_a_worker_of_livefeed(self) -> None:
        """Its heartbeats, with events of 64 feeds ten times a second, never come near the limits."""
        for _ in range(60):
            for _ in range(2):
                self.assertTrue(self.allowance.take("heartbeat"))
            for _ in range(64 * 10 * 5):
                self.assertTrue(self.allowance.take("seen"))
            self.clock.advance(1.0)
