"""The level of the log."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, Logger, LogLevel, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.log_level import LogLevels


class LogLevelsTests(SynchronousTestCase):
    """LogLevels."""

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        self.publisher = LogPublisher(observer)
        self.log = Logger("x", observer=self.publisher)

    def seen(self) -> list[str]:
        """Logs one line of each level, and gives the levels that were passed on."""
        self.events.clear()
        for level in LogLevel.iterconstants():
            self.log.emit(level, "a line")
        return [event["log_level"].name for event in self.events]

    def test_less_important_lines_are_left_out(self) -> None:
        """From the start of the service on, and the level can be changed; failures are always there."""
        levels = LogLevels("warn", self.publisher)
        self.assertEqual(len(self.seen()), 5)
        levels.privilegedStartService()
        self.assertEqual(self.seen(), ["warn", "error", "critical"])
        for name, count in (("debug", 5), ("info", 4), ("error", 2)):
            levels.set(name)
            self.assertEqual((levels.name, len(self.seen())), (name, count))

    def test_events_of_older_interfaces(self) -> None:
        """They may have no level and no namespace, and pass."""
        LogLevels("error", self.publisher).privilegedStartService()
        self.publisher({"log_text": "x"})
        self.assertEqual(len(self.events), 1)

    def test_observers_are_wrapped_once(self) -> None:
        """Also if the service starts twice; observers that are added later see everything."""
        levels = LogLevels("info", self.publisher)
        levels.privilegedStartService()
        levels.privilegedStartService()
        later: list[LogEvent] = []
        observer: Any = later.append
        self.publisher.addObserver(observer)
        self.assertEqual((len(self.seen()), len(later)), (4, 5))
