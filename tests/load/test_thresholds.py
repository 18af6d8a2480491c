"""The limits that make a run fail."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.figures import Figures
from livefeed.load.fleet import Result
from livefeed.load.kinds import Kind
from livefeed.load.thresholds import Thresholds, TimeTextError, errors_of, rate_of, seconds_of


class ThresholdTests(SynchronousTestCase):
    def setUp(self) -> None:
        polls, deliveries = Figures(answers=150), Figures(deliveries=50)
        for milliseconds in range(1, 101):
            polls.latency.add(milliseconds * 1_000_000)
        polls.answered(200)
        polls.answers = 150
        deliveries.delay.add(20_000_000)
        deliveries.failed("reset", 2)
        self.result = Result({Kind.POLL: polls, Kind.WS: deliveries}, measured_s=2.0)

    def test_kept(self) -> None:
        """A run that keeps its limits, or has none, says nothing."""
        for limits in (
            Thresholds(),
            Thresholds(max_p99_s=0.1, max_delay_p99_s=0.02, min_rate=100, max_errors=2),
        ):
            self.assertEqual(limits.missed(self.result), [])

    def test_missed(self) -> None:
        """Each missed limit is one sentence, with the figure and the limit."""
        limits = Thresholds(max_p99_s=0.05, max_delay_p99_s=0.01, min_rate=101, max_errors=1)
        found = limits.missed(self.result)
        self.assertEqual(len(found), 4)
        self.assertRegex(found[0], r"^the p99 of latency of poll is 99.* ms, and may be 50 ms at most$")
        self.assertRegex(found[1], r"^the p99 of delay of ws is 20 ms, and may be 10 ms at most$")
        self.assertEqual(found[2], "there were 100 answers and deliveries per second, and 101 are needed")
        self.assertEqual(found[3], "there were 2 errors, and there may be 1 at most")

    def test_each_kind(self) -> None:
        """A limit is one of each kind: many fast answers to one do not hide the slow ones to another."""
        slow = Figures()
        slow.delay.add(500_000_000)
        self.result.figures[Kind.BROWSER] = slow
        for _ in range(1000):
            self.result.figures[Kind.WS].delay.add(1_000_000)
        (found,) = Thresholds(max_delay_p99_s=0.3).missed(self.result)
        self.assertRegex(
            found, "^the p99 of delay of browser is 50. ms, and may be 300 ms at most; the delay of a poll"
        )

    def test_silence(self) -> None:
        """A kind that follows and gets nothing misses a limit on delays, whatever pollers get."""
        self.result.figures[Kind.POLL].delay.add(1_000_000)
        self.result.figures[Kind.WS] = Figures()
        (found,) = Thresholds(max_delay_p99_s=1).missed(self.result)
        self.assertIn("the p99 of delay of ws was not measured", found)

    def test_nothing_measured(self) -> None:
        """A limit of what was not measured is missed: a server that answers nothing must not pass."""
        empty = Result({Kind.POLL: Figures()})
        self.assertEqual(rate_of(empty), 0)
        found = Thresholds(max_p99_s=1, min_rate=1).missed(empty)
        self.assertIn("was not measured", found[0])
        self.assertEqual(len(found), 2)

    def test_counts(self) -> None:
        """An answer that is a delivery counts once, and a process that has ended too early is an error."""
        self.result.figures[Kind.POLL].deliveries = 10
        self.result.lost_processes = 1
        self.assertEqual((rate_of(self.result), errors_of(self.result)), (100, 3))


class TimeTests(SynchronousTestCase):
    def test_times(self) -> None:
        """Each unit is read."""
        for text, seconds in (("250ms", 0.25), ("1.5s", 1.5), ("2m", 120), ("1h", 3600), ("80us", 8e-5), ("3s", 3)):
            self.assertAlmostEqual(seconds_of(text), seconds)

    def test_no_times(self) -> None:
        """The message says which texts are times."""
        for text in ("", "0s", "-1s", "1 s", "1d", "1e3", "nan"):
            self.assertIn("write 250ms", str(self.assertRaises(TimeTextError, seconds_of, text)))

    def test_no_unit(self) -> None:
        """A number alone could be one of seconds or of milliseconds."""
        for text in ("5", "0.001"):
            said = str(self.assertRaises(TimeTextError, seconds_of, text))
            self.assertEqual(said, f"{text!r} has no unit: write {text}ms, {text}s or {text}m")
