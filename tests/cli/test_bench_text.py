"""The text of ``livefeed bench``."""

from __future__ import annotations

import io

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.bench_text import Progress, bytes_text, summary_lines, time_text
from livefeed.cli.tables import Painter
from livefeed.load.clock import Offset
from livefeed.load.figures import Figures
from livefeed.load.fleet import Result
from livefeed.load.kinds import Kind
from tests.helpers.load_results import result_of, setup_of

MS = 1_000_000


class NumberTests(SynchronousTestCase):
    def test_times(self) -> None:
        """Durations have three digits, and a unit that fits."""
        for value_ns, text in (
            (None, "-"), (0, "0 µs"), (850_400, "850 µs"), (4_711_000, "4.71 ms"), (47_110_000, "47.1 ms"),
            (471_100_000, "471 ms"), (1_250 * MS, "1.25 s"), (61_000 * MS, "61.0 s"),
        ):  # fmt: skip
            self.assertEqual(time_text(value_ns), text)

    def test_bytes(self) -> None:
        """So have sizes."""
        for count, text in ((512, "512 B"), (4195, "4.2 kB"), (1.7e9, "1.7 GB"), (2e13, "20.0 TB")):
            self.assertEqual(bytes_text(count), text)


class SummaryTests(SynchronousTestCase):
    def text(self, result: Result | None = None, *missed: str, **named: object) -> str:
        setup = setup_of(**named)
        return "\n".join(summary_lines(Painter(in_colour=False), setup, result or result_of(), [*missed]))

    def test_summary(self) -> None:
        """It fits a screen, and has a table of answers and one of deliveries."""
        text = self.text()
        self.assertEqual(
            text.splitlines(),
            [
                "http://localhost:8080/feed (livefeed)",
                "100 watchers in 1 process, closed loop, connections kept, all there after 0.5 s; measured for 2.0 s",
                "",
                "      watchers  answers  per s      p50      p90      p99    p99.9      max  bytes each",
                "poll        80    1,000    500  5.01 ms  9.04 ms  9.96 ms  10.0 ms  10.0 ms      4.2 kB",
                "",
                "    watchers  deliveries  per s      p50      p90      p99    p99.9      max  bytes each",
                "ws        20         200    100  10.0 ms  18.1 ms  19.9 ms  20.0 ms  20.0 ms      4.0 kB",
                "",
                "connections  100 made, p50 800 µs, p99 800 µs, max 800 µs; 3 resumed a TLS session",
                "statuses     200: 1,000",
                "errors       none",
                "verified     200 documents have the hash of their version",
                "clock        server and watchers have the same clock",
                "load         the busiest process took 40% of a core",
            ],
        )

    def test_eighty_columns(self) -> None:
        """On a narrow terminal, tables have fewer columns, and sentences end at words."""
        result = Result({Kind.WS_DEFLATE: result_of().figures[Kind.WS], **result_of().figures}, measured_s=2.0)
        for figures in result.figures.values():
            figures.deliveries = 1_234_567
            figures.answers = 12_345_678
            figures.unanswered = 7
            figures.latency.add(61_000 * MS)
            figures.failed("closed with 1001", 123_456)
        setup = setup_of(is_kept=False, rate=5000.0, is_local=False, notes=["a note of many words, " * 8])
        lines = summary_lines(Painter(in_colour=False, columns=80), setup, result, ["a limit of many words, " * 8])
        for line in lines:
            self.assertLessEqual(len(line), 80)
        self.assertIn("            watchers     answers      per s      p50      p90      p99     max", lines)
        self.assertIn(" " * 13 + "note of many words", "\n".join(lines))

    def test_conditions(self) -> None:
        """The loop and the connections are told where there are pollers."""
        text = self.text(rate=5000.0, is_kept=False, processes=2)
        self.assertIn("2 processes, open loop of 5,000 requests/s, a new connection for each request (-k", text)
        self.assertIn("requests up to 0 µs late", text)
        self.assertNotIn("loop", self.text(watchers={Kind.WS: 20}).splitlines()[1])

    def test_errors(self) -> None:
        """The most frequent kinds are named, refusals are counted, and characters of a server cannot paint."""
        result = result_of()
        for number in range(20):
            result.figures[Kind.POLL].failed(f"kind {number}", number + 1)
        result.figures[Kind.POLL].failed("\x1b[31m", 100)
        result.figures[Kind.WS].answered(503)
        result.lost_processes = 1
        text = self.text(result, "too slow")
        (line,) = [line for line in text.splitlines() if line.startswith("errors")]
        self.assertNotIn("\x1b", text)
        self.assertIn("kind 19: 20, kind 18: 19", line)
        self.assertNotIn("kind 1:", line)
        self.assertIn("status from 400 on: 1; 1 processes have ended too early", line)
        self.assertEqual(text.splitlines()[-1], "missed: too slow")

    def test_more_facts(self) -> None:
        """What could not be compared, what was not answered, and notes."""
        result = result_of()
        result.figures[Kind.POLL].unverified = 7
        result.figures[Kind.POLL].unanswered = 1234
        text = self.text(result, notes=["be careful"])
        self.assertIn("; 7 could not be compared with a version", text)
        self.assertIn("unanswered   1,234 of the due requests", text)
        self.assertIn("note         be careful", text)

    def test_clocks(self) -> None:
        """The difference of two clocks is told with its error."""
        for offset, said in (
            (None, "the server's clock is not known"),
            (Offset(2 * MS, 4 * MS), "the server's is 3.00 ms ahead of this machine's, give or take 1.00 ms"),
            (Offset(-4 * MS, -2 * MS), "the server's is 3.00 ms behind this machine's"),
        ):
            self.assertIn(said, self.text(is_local=False, offset=offset))

    def test_limit_of_the_load(self) -> None:
        """A busy process is told: the figures are its own."""
        result = result_of()
        result.busy = 0.97
        self.assertIn("97% of a core: the load tester was the limit", self.text(result))

    def test_nothing(self) -> None:
        """A run that was ended while watchers arrived has no tables."""
        text = self.text(Result({Kind.POLL: Figures()}, arrival_s=0.3))
        self.assertIn("not all have arrived; measured for 0.0 s", text)
        self.assertIn("connections  none", text)
        self.assertNotIn("p99.9", text)

    def test_no_latency(self) -> None:
        """Answers to long polls have no latency, and deliveries of other servers no delay."""
        result = Result({Kind.WAIT: Figures(answers=5, deliveries=5, received=500)}, measured_s=1.0)
        text = self.text(result, watchers={Kind.WAIT: 5}, server="")
        self.assertRegex(text, r"wait +5 +5 +5( +-){5} +100 B")
        self.assertNotIn("clock", text)


class ProgressTests(SynchronousTestCase):
    def progress(self, *, is_terminal: bool, **named: object) -> Progress:
        self.stream = io.StringIO()
        return Progress(self.stream, is_terminal, setup_of(**named))

    def test_arrival(self) -> None:
        """Before the figures begin, it counts the watchers."""
        progress = self.progress(is_terminal=False)
        result = Result({Kind.POLL: Figures()}, arrived=40)
        result.figures[Kind.POLL].failed("refused", 2)
        self.assertEqual(progress.line(result), "40 of 100 watchers have arrived   2 errors")

    def test_lines(self) -> None:
        """Each second is a line, with the rate of that second."""
        progress = self.progress(is_terminal=False)
        result = result_of()
        progress.show(result)
        result.measured_s = 3.0
        result.figures[Kind.POLL].answers += 50
        progress.show(result)
        result.measured_s = 3.1
        progress.show(result)
        progress.close()
        first, second, third = self.stream.getvalue().splitlines()
        self.assertEqual(first, "2 s   600/s   p99 9.96 ms   delay p99 19.9 ms   100 open")
        self.assertTrue(second.startswith("3 s   50/s "), second)
        self.assertTrue(third.startswith("3 s   403/s "), third)

    def test_terminal(self) -> None:
        """On a terminal the line is written anew, with a bar, and gone at the end."""
        progress = self.progress(is_terminal=True)
        progress.show(result_of())
        self.assertEqual(
            self.stream.getvalue(),
            "\r\x1b[K[####....................]  2 s   600/s   p99 9.96 ms   delay p99 19.9 ms   100 open",
        )
        progress.close()
        self.assertTrue(self.stream.getvalue().endswith("\r\x1b[K"))

    def test_narrow_terminal(self) -> None:
        """A line that a terminal would fold could not be written anew: it goes without its bar, and is cut."""
        progress = self.progress(is_terminal=True)
        progress.columns = 80
        self.assertEqual(progress.line(result_of()), "2 s   600/s   p99 9.96 ms   delay p99 19.9 ms   100 open")
        progress.columns = 20
        self.assertEqual(progress.line(result_of()), "2 s   600/s   p99 9")

    def test_by_number(self) -> None:
        """The bar of a run by a number is that of the number, and no figure is no part of the line."""
        progress = self.progress(is_terminal=True, duration_s=None, requests=10)
        result = Result({Kind.WS: Figures(deliveries=5)}, measured_s=1.0)
        self.assertEqual(progress.line(result), "[############............]  1 s   5/s   0 open")
