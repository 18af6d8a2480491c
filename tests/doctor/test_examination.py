"""All checks: their list, their limits, and their failures."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed import checks, clocks
from livefeed.checks import StartChecks
from livefeed.config.settings import FeedSettings, Settings
from livefeed.doctor import examination as module
from livefeed.doctor import probes
from livefeed.doctor.examination import Examination, run_checks, wanted_ports
from livefeed.doctor.finding import Finding, ok
from livefeed.doctor.machine import Machine, Unit
from livefeed.document.requirements import Required
from livefeed.document.rules import RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.process.processors import Processors
from livefeed.testing import MemorySource

if TYPE_CHECKING:
    from collections.abc import Iterable

RULES = (RuleSpec("r", Required((parse_selector("/votes"),)), place="f:1: r"),)


class RunTests(SynchronousTestCase):
    """run_checks."""

    def test_order(self) -> None:
        """The findings are in the order of the checks, whichever ends first."""
        second_is_done = Event()

        def first() -> Iterable[Finding]:
            second_is_done.wait(30)
            return [ok("a", "1"), ok("a", "2")]

        def second() -> Iterable[Finding]:
            second_is_done.set()
            yield ok("b", "3")

        self.assertEqual([each.text for each in run_checks([("a", first), ("b", second)], 30)], ["1", "2", "3"])

    def test_failure(self) -> None:
        """A check that breaks has a warning, and the others their findings."""

        def broken() -> Iterable[Finding]:
            raise ValueError("a\x1b number\nand more")

        first, second = run_checks([("a", broken), ("b", lambda: [ok("b", "1")])], 30)
        self.assertEqual((first.level, first.text), ("warning", "this check has failed: ValueError: a\\x1b number"))
        self.assertEqual(second, ok("b", "1"))

    def test_time_limit(self) -> None:
        """A check that does not end is left alone."""
        end = Event()
        self.addCleanup(end.set)

        def hanging() -> Iterable[Finding]:
            end.wait(60)
            return []

        first, second = run_checks([("a", hanging), ("b", lambda: [ok("b", "1")])], 0.25)
        self.assertEqual((first.level, first.text[:22]), ("warning", "no answer within 0.25 "))
        self.assertIn(second, (ok("b", "1"), Finding("b", first.level, first.text, first.mend)))


class PortTests(SynchronousTestCase):
    """wanted_ports."""

    def test_ports(self) -> None:
        """Those of TCP count, of watchers and of operators."""
        settings = Settings(
            listen=("tls:443", "tcp:8080:interface=127.0.0.1", "haproxy:tcp:81", "unix:/x", "tcp:0"),
            admin=("tcp:9090:interface=\\:\\:1",),
        )
        self.assertEqual(
            [(each.port, each.address, each.is_plain) for each in wanted_ports(settings)],
            [(443, "", False), (8080, "127.0.0.1", True), (81, "", True), (9090, "::1", False)],
        )


class ExaminationTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.reactor: Any = MemoryReactorClock()
        self.unit: Unit | None = None
        self.patch(probes, "read_unit", lambda: self.unit)
        self.source = MemorySource(deque([b'{"votes": 1}']))
        self.patch(checks, "make_source", lambda url, reactor, max_bytes: self.source)

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def examine(self, watchers: int = 100, **settings: Any) -> tuple[Examination, StartChecks]:
        feeds = (FeedSettings(feed="a", source=f"file:{self.folder}/a.json", rules=RULES),)
        made = Settings(**{"listen": ("tcp:8080",), "runtime_dir": self.folder / "run", "feeds": feeds, **settings})
        start = StartChecks(made, self.reactor, {})
        self.addCleanup(start.close)
        return Examination(made, watchers, {}, "f.toml", Machine(self.folder)), start

    def findings(self, watchers: int = 100, **settings: Any) -> dict[str, Finding]:
        """Gives the findings by their subjects."""
        examination, start = self.examine(watchers, **settings)
        return {finding.subject: finding for section in examination.run(start) for finding in section.findings}

    def test_all_subjects(self) -> None:
        """Each has a finding, also on a machine that tells nothing."""
        subjects = (
            "open files|processors|memory|swap|allocator|huge pages|python|port|ephemeral ports|listen queue|conntrack|"
            "tcp memory|settings|transport|openssl|state folder|runtime folder|inotify|clock|clock source"
        )
        found = self.findings()
        self.assertEqual("|".join(found), subjects)
        self.assertEqual([each for each in found.values() if "this check has failed" in each.text], [])

    def test_the_page_has_each_subject(self) -> None:
        """Operators find the subject of a line as a heading."""
        text = (Path(__file__).parents[2] / "docs/howto/prepare-a-machine.md").read_text("utf-8")
        headings = {line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")}
        self.assertEqual(headings, {*self.findings(), "certificate", "extras", "source"})

    def test_everything_to_mend_has_a_command(self) -> None:
        """Only what is in order has none."""
        for finding in self.findings(watchers=10_000_000, state_dir=self.folder, workers=64).values():
            self.assertEqual(finding.level == "ok", not finding.mend, finding)

    def test_machine(self) -> None:
        """The files of the kernel are those of the machine that was given."""
        self.patch(os, "sched_getaffinity", lambda _: {0, 1})
        for path, text in (
            ("proc/sys/net/core/somaxconn", "128"),
            ("proc/sys/net/netfilter/nf_conntrack_count", "10"),
            ("proc/sys/net/netfilter/nf_conntrack_max", "20"),
            ("proc/sys/net/ipv4/tcp_mem", "1 2 3"),
            ("proc/sys/fs/inotify/max_user_watches", "0"),
            ("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 50 kB\nSwapTotal: 9000000 kB\nSwapFree: 10 kB\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
            ("sys/kernel/mm/transparent_hugepage/defrag", "[always] madvise never"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet"),
            ("sys/devices/system/clocksource/clocksource0/available_clocksource", "hpet tsc"),
        ):
            self.write(path, text)
        found = self.findings(workers="auto", state_dir=self.folder / "none")
        for subject in ("listen queue", "conntrack", "tcp memory", "inotify", "memory", "swap", "huge pages"):
            self.assertIn(found[subject].level, ("warning", "problem"), subject)
        self.assertEqual(found["clock source"].level, "warning")
        self.assertEqual(found["processors"].text, "2; 2 workers")
        self.assertIn("is made at the start", found["state folder"].text)

    def test_livefeed_that_runs(self) -> None:
        """Its limits and its variables count."""
        run = self.folder / "run"
        run.mkdir()
        (run / "lock").touch()
        self.write("proc/locks", f"1: FLOCK  ADVISORY  WRITE 7 fe:00:{(run / 'lock').stat().st_ino} 0 EOF\n")
        self.write("proc/7/limits", "Max open files            64     64      files \n")
        self.write("proc/7/environ", "PYTHONMALLOC=malloc\0")
        found = self.findings(watchers=5000)
        self.assertIn("64 in process 7", found["open files"].text)
        self.assertIn("process 7 runs", found["runtime folder"].text)
        self.assertEqual(found["allocator"].level, "ok")

    def test_unit_that_starts_livefeed(self) -> None:
        """Its limits and variables count while none runs."""
        self.unit = Unit("livefeed.service", 64, may_bind=True, allocation={"PYTHONMALLOC": "malloc"})
        found = self.findings(watchers=5000, listen=("tcp:80",))
        self.assertIn("64 in livefeed.service", found["open files"].text)
        self.assertIn("the limits of livefeed.service", found["runtime folder"].text)
        self.assertEqual((found["allocator"].level, found["port"].text), ("ok", "80: free"))

    def test_clock_that_jumps(self) -> None:
        """It is compared with the measured time."""
        examination, start = self.examine()
        self.patch(clocks, "wall", lambda: examination._offset_s + clocks.monotonic() + 60)
        found = {each.subject: each for section in examination.run(start) for each in section.findings}
        self.assertIn("it was set by +60.0 s", found["clock"].text)

    def test_certificates(self) -> None:
        """Those of the endpoints are looked at, and the CAs of the machine are read for them."""
        self.patch(module, "check_certificates", lambda pairs, roots, now: [ok("certificate", f"{pairs} {roots}")])
        self.assertEqual(self.findings()["certificate"].text, "[] ()")
        self.patch(StartChecks, "pairs", lambda _: ["pair"])
        self.assertEqual(self.findings()["certificate"].text, "['pair'] []")

    def test_problems_of_the_settings(self) -> None:
        """Each is a finding."""
        found = self.findings(listen=("tcp:x",))
        self.assertEqual((found["settings"].level, found["settings"].mend[-6:]), ("problem", "f.toml"))

    def pull(self) -> tuple[Finding, ...]:
        examination, start = self.examine()
        examination.run(start)
        section = self.successResultOf(Deferred.fromCoroutine(examination.pull(start)))
        return tuple(section.findings)

    def test_document(self) -> None:
        """It is pulled once."""
        (found,) = self.pull()
        self.assertEqual((found.level, found.text[:28]), ("ok", "a: a document of 12 bytes, i"))

    def test_document_that_a_rule_holds(self) -> None:
        """It has a line of its own."""
        self.source.answers = deque([b'{"other": 1}'])
        levels = [(each.subject, each.level) for each in self.pull()]
        self.assertEqual(levels[0], ("source", "ok"))
        self.assertEqual(levels[1], ("settings", "warning"))

    def test_document_that_cannot_be_served(self) -> None:
        """It has one line, not two."""
        self.source.answers = deque([b"[1"])
        (found,) = self.pull()
        self.assertEqual((found.subject, found.level), ("source", "problem"))

    def test_quota(self) -> None:
        """The number of processes follows from the setting."""
        self.patch(Machine, "processors", lambda _: Processors(8, 3.0))
        for workers, count in ((0, 1), (5, 5), ("auto", 3)):
            self.assertEqual(self.examine(workers=workers)[0]._processes(), count)
