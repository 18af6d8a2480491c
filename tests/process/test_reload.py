"""The reload: completely or not at all, one at a time, with a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.settings import FeedSettings, Settings
from livefeed.document.requirements import Required
from livefeed.document.rules import RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.exceptions import CommandError, ConfigurationError, StartError
from livefeed.process.reload import (
    READ_S,
    Change,
    Reload,
    Reloading,
    ReloadReport,
    SimplePart,
    count_feeds,
    differences,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Part:
    """A part that notes what happens to it.

    :param name: its setting.
    :param error: raised when it prepares.
    :param broken: raised when it commits.
    """

    def __init__(
        self, name: str, steps: list[str], error: Exception | None = None, broken: Exception | None = None
    ) -> None:
        self.names = frozenset({name})
        self.name, self.steps, self.error, self.broken = name, steps, error, broken
        self.ending: Deferred[None] | None = None

    def prepare(self, before: Settings, after: Settings) -> Part:
        self.steps.append(f"prepare {self.name}")
        if self.error is not None:
            raise self.error
        self.found = list(differences(before, after, self.names))
        return self

    def changes(self) -> list[Change]:
        return self.found

    def commit(self) -> Deferred[None] | None:
        self.steps.append(f"commit {self.name}")
        if self.broken is not None:
            raise self.broken
        return self.ending

    def abandon(self) -> None:
        self.steps.append(f"abandon {self.name}")


class ReloadTests(SynchronousTestCase):
    """Reload."""

    def setUp(self) -> None:
        self.steps: list[str] = []

    def test_settings_of_a_part(self) -> None:
        """They change after all parts are prepared; the others keep their value, and need a restart."""
        before = Settings(accept_rate=1, idle_timeout=2.0)
        reload = Reload(before, [Part("accept_rate", self.steps), Part("idle_timeout", self.steps)])
        report = reload.apply(Settings(accept_rate=2, idle_timeout=2.0, listen=("tcp:1",), state_dir=Path("/x")))
        self.assertEqual(
            self.steps, ["prepare accept_rate", "prepare idle_timeout", "commit accept_rate", "commit idle_timeout"]
        )
        self.assertEqual(report.changed, (Change("accept_rate", 1, 2),))
        self.assertEqual(
            report.needs_restart, (Change("listen", ["tls:8443"], ["tcp:1"]), Change("state_dir", "", "/x"))
        )
        self.assertEqual(reload.settings, Settings(accept_rate=2, idle_timeout=2.0))

    def test_change_that_waits_for_a_restart_is_told_again(self) -> None:
        """By the next reload, because it still has not taken effect."""
        reload = Reload(Settings(), [])
        read = Settings(admin=("tcp:1",))
        self.assertEqual(reload.apply(read).needs_restart, reload.apply(read).needs_restart)

    def test_nothing_changes_after_an_error(self) -> None:
        """Parts that were prepared are abandoned, the last one first."""
        for error in (ConfigurationError("no"), StartError("no"), ValueError("no")):
            self.steps.clear()
            names = ("accept_rate", "idle_timeout")
            parts = [*(Part(name, self.steps) for name in names), Part("head_timeout", self.steps, error)]
            reload = Reload(Settings(), parts)
            self.assertIs(self.assertRaises(type(error), reload.apply, Settings(accept_rate=5)), error)
            self.assertEqual(self.steps[2:], ["prepare head_timeout", "abandon idle_timeout", "abandon accept_rate"])
            self.assertEqual(reload.settings, Settings())

    def test_part_that_breaks_does_not_stop_the_others(self) -> None:
        """The log has the error."""
        parts = [Part("accept_rate", self.steps, broken=ValueError("x")), Part("idle_timeout", self.steps)]
        Reload(Settings(), parts).apply(Settings(accept_rate=3))
        self.assertEqual(self.steps[-1], "commit idle_timeout")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_end_of_what_was_removed(self) -> None:
        """A reload has ended when that has, well or not."""
        part = Part("accept_rate", self.steps)
        part.ending = Deferred()
        reload = Reload(Settings(), [part])
        reload.apply(Settings())
        ended = reload.ended()
        self.assertNoResult(ended)
        part.ending.errback(ValueError())
        self.successResultOf(ended)
        self.successResultOf(reload.ended())

    def test_simple_part(self) -> None:
        """It is called with all settings, and only if one of its own has changed."""
        taken: list[Settings] = []
        reload = Reload(Settings(), [SimplePart(frozenset({"accept_rate"}), taken.append)])
        reload.apply(Settings(max_connections=3))
        self.assertEqual(taken, [])
        report = reload.apply(Settings(accept_rate=3))
        self.assertEqual(([each.accept_rate for each in taken], report.changed), ([3], (Change("accept_rate", 0, 3),)))

    def test_numbers_of_feeds(self) -> None:
        """Where a setting was set makes no difference."""

        def settings(**intervals: float) -> Settings:
            places = {"interval": str(intervals)}
            return Settings(
                feeds=tuple(FeedSettings(feed=name, interval=each, places=places) for name, each in intervals.items())
            )

        counts = count_feeds(settings(a=1.0, b=2.0, c=3.0), settings(d=1.0, b=2.0, c=4.0))
        self.assertEqual(counts, {"added": 1, "changed": 1, "removed": 1, "unchanged": 1})


class RuleTests(SynchronousTestCase):
    """differences() of rules."""

    def test_one_change_for_each_rule(self) -> None:
        """Rules that are added, changed and removed are told apart by their names."""
        one, other = (Required((parse_selector(text),)) for text in ("/a", "/b"))
        before = FeedSettings(rules=(RuleSpec("same", one), RuleSpec("new-pointer", one), RuleSpec("old", one)))
        after = FeedSettings(rules=(RuleSpec("new", one), RuleSpec("same", one), RuleSpec("new-pointer", other)))
        self.assertEqual(
            list(differences(before, after, {"rules", "interval"}, "feeds.a.")),
            [
                Change("feeds.a.rules.new", None, "hold by required /a"),
                Change("feeds.a.rules.new-pointer", "hold by required /a", "hold by required /b"),
                Change("feeds.a.rules.old", "hold by required /a", None),
            ],
        )


class ReportTests(SynchronousTestCase):
    """ReloadReport."""

    def test_as_json_and_in_the_log(self) -> None:
        """One line for each change, and one for all; no value has the password of a URL."""
        report = ReloadReport(
            (
                Change("accept_rate", 0, 5),
                Change("feeds.b", None, "file:/b.json"),
                Change("feeds.c", "redis://u:hush@h/0/k", None),
            ),
            (Change("listen", ["tcp:1"], ["tcp:2"]),),
            {"added": 1, "changed": 0, "removed": 1, "unchanged": 2},
        )
        with capturedLogs() as events:
            report.log()
        lines = [str(formatEvent(event)) for event in events]
        self.assertEqual(
            lines,
            [
                "reload: accept_rate: 0 -> 5",
                "reload: feeds.b is added: 'file:/b.json'",
                "reload: feeds.c is removed: it was ***@h/0/k'",
                "reload: a restart is needed for listen: ['tcp:1'] -> ['tcp:2']",
                "reloaded (changes: 3, waiting for a restart: 1, feeds: 3)",
            ],
        )
        self.assertEqual(
            json.loads(json.dumps(report.to_json())),
            {
                "changed": [
                    {"setting": "accept_rate", "before": 0, "after": 5},
                    {"setting": "feeds.b", "before": None, "after": "file:/b.json"},
                    {"setting": "feeds.c", "before": "redis://u:hush@h/0/k", "after": None},
                ],
                "needs_restart": [{"setting": "listen", "before": ["tcp:1"], "after": ["tcp:2"]}],
                "feeds": {"added": 1, "changed": 0, "removed": 1, "unchanged": 2},
            },
        )


class ReloadingTests(SynchronousTestCase):
    """Reloading."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.settings = Settings()
        self.threads: list[Deferred[Any]] = []
        self.works: list[Callable[[], Any]] = []
        self.reopened = 0
        self.told: list[str] = []
        self.error: Exception | None = None
        self.checked: list[Settings] = []
        self.taken: list[object] = []
        part = SimplePart(frozenset({"accept_rate"}), lambda settings: self.taken.append(settings.accept_rate))
        self.reload = Reload(Settings(), [part])
        self.reloading = Reloading(
            self.reload,
            self.read,
            [self.checked.append],
            self.reopen,
            self.in_thread,
            self.clock,
            lambda: self.told.append("begin"),
            lambda: self.told.append("end"),
        )

    def read(self) -> Settings:
        if self.error is not None:
            raise self.error
        return self.settings

    def reopen(self) -> None:
        self.reopened += 1

    def in_thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        self.works.append(work)
        self.threads.append(Deferred())
        return self.threads[-1]

    def finish(self) -> None:
        """Lets the thread that was started last end."""
        maybeDeferred(self.works.pop()).chainDeferred(self.threads.pop())

    def logged(self, action: Callable[[], Any]) -> list[str]:
        with capturedLogs() as events:
            action()
        return [str(formatEvent(event)) for event in events]

    def test_files_are_read_in_a_thread(self) -> None:
        """The log files are opened again first, and the settings are checked before one of them is applied."""
        self.settings = Settings(accept_rate=7)
        outcome = self.reloading.reload()
        self.assertEqual((self.reopened, self.checked, self.taken), (1, [], []))
        self.assertNoResult(outcome)
        lines = self.logged(self.finish)
        report = self.successResultOf(outcome)
        self.assertEqual(report.changed, (Change("accept_rate", 0, 7),))
        self.assertEqual((self.checked, self.taken), ([self.settings], [7]))
        self.assertEqual(lines[0], "reload: accept_rate: 0 -> 7")

    def test_errors(self) -> None:
        """They are logged in one line with the place, and given to the caller; the next reload works."""
        for error, said in (
            (ConfigurationError("is no number", place="a.toml:3: interval"), "a.toml:3: interval: is no number"),
            (StartError("livefeed: --state-dir: /x: is used"), "--state-dir: /x: is used"),
        ):
            self.error = error
            outcome = self.reloading.reload()
            lines = self.logged(self.finish)
            failure = self.failureResultOf(outcome, ConfigurationError)
            self.assertEqual((str(failure.value), lines), (said, [f"the reload has changed nothing: {said}"]))
        self.error = ValueError("broken")
        outcome = self.reloading.reload()
        self.finish()
        self.failureResultOf(outcome, ConfigurationError)
        self.assertEqual(self.told, ["begin", "end"] * 3)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.error = None
        outcome = self.reloading.reload()
        self.finish()
        self.successResultOf(outcome)

    def test_command(self) -> None:
        """The operator gets the report, or the reason."""
        self.settings = Settings(accept_rate=7)
        outcome = Deferred.fromCoroutine(self.reloading.command({}))
        self.finish()
        changed = [{"setting": "accept_rate", "before": 0, "after": 7}]
        self.assertEqual(self.successResultOf(outcome)["changed"], changed)
        self.error = ConfigurationError("no", place="x")
        outcome = Deferred.fromCoroutine(self.reloading.command({}))
        self.finish()
        self.assertEqual(str(self.failureResultOf(outcome, CommandError).value), "nothing has changed: x: no")

    def test_requests_during_a_reload(self) -> None:
        """They have one more reload together: the file may have changed after the first one has read it."""
        first = self.reloading.reload()
        for _ in range(20):
            self.reloading.hang_up()
        last = self.reloading.reload()
        self.assertEqual(len(self.works), 1)
        self.finish()
        self.successResultOf(first)
        self.settings = Settings(accept_rate=9)
        self.assertEqual(len(self.works), 1)
        self.finish()
        self.assertEqual(self.successResultOf(last).changed, (Change("accept_rate", 0, 9),))
        self.assertEqual((self.works, self.reopened, self.told), ([], 2, ["begin", "end"] * 2))

    def test_under_way(self) -> None:
        """From the request to the report."""
        self.assertFalse(self.reloading.is_under_way)
        self.reloading.reload()
        self.assertTrue(self.reloading.is_under_way)
        self.finish()
        self.assertFalse(self.reloading.is_under_way)

    def test_signal_that_comes_at_a_bad_time(self) -> None:
        """Nothing is read, and the log has the reason."""
        self.reloading.refusal = "an upgrade is under way"
        (line,) = self.logged(self.reloading.hang_up)
        self.assertEqual((line, self.works), ("SIGHUP has changed nothing: an upgrade is under way", []))

    def test_next_one_waits_for_the_end_of_what_was_removed(self) -> None:
        """A feed that is removed writes its last versions: only then may its name be used again."""
        ending: Deferred[None] = Deferred()
        self.reload._ending.append(ending)
        first = self.reloading.reload()
        self.finish()
        second = self.reloading.reload()
        self.assertNoResult(first)
        self.assertEqual(self.works, [])
        ending.callback(None)
        self.successResultOf(first)
        self.finish()
        self.successResultOf(second)

    def test_files_that_hang(self) -> None:
        """The reload gives up after a time, and no other thread is started until that one has ended."""
        first = self.reloading.reload()
        self.clock.advance(READ_S)
        self.assertIn("within 10 s", str(self.failureResultOf(first, ConfigurationError).value))
        second = self.reloading.reload()
        self.assertIn("an earlier reload", str(self.failureResultOf(second, ConfigurationError).value))
        self.assertEqual(len(self.works), 1)
        self.finish()
        third = self.reloading.reload()
        self.finish()
        self.successResultOf(third)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_thread(self) -> None:
        """The system allows none: the reload fails, and the next one tries again."""

        def none(work: Callable[[], Any]) -> Deferred[Any]:
            raise OSError(11, "Resource temporarily unavailable")

        self.reloading.in_thread = none
        failure = self.failureResultOf(self.reloading.reload(), ConfigurationError)
        self.assertIn("Resource temporarily unavailable", str(failure.value))
        self.reloading.in_thread = self.in_thread
        outcome = self.reloading.reload()
        self.finish()
        self.successResultOf(outcome)
