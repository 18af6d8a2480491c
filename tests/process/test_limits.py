"""The limit of open files."""

from __future__ import annotations

import resource

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.limits import FileLimit


class FileLimitTests(SynchronousTestCase):
    """The limit of open files."""

    def logged(self, soft: int, hard: int, reserved: int | None = 256) -> list[str]:
        """Gives the log lines of a start under a limit."""
        self.limits = soft, hard

        def set_limit(_: int, limits: tuple[int, int]) -> None:
            self.limits = limits

        self.patch(resource, "getrlimit", lambda _: self.limits)
        self.patch(resource, "setrlimit", set_limit)
        with capturedLogs() as events:
            FileLimit(reserved).privilegedStartService()
        return [str(formatEvent(event)) for event in events]

    def warnings(self, limit: int) -> list[str]:
        """Gives the log lines of a start under a limit that cannot be raised."""
        return self.logged(limit, limit)

    def test_less_than_is_set_aside(self) -> None:
        """The warning has both numbers and the remedy; a limit with room for connections gives none."""
        (warning,) = self.warnings(200)
        self.assertIn(
            "the limit is 200 open files, of which 256 are set aside for everything but connections: raise it", warning
        )
        self.assertEqual(len(self.warnings(511)), 1)
        self.assertEqual(self.warnings(512), [])

    def test_raised(self) -> None:
        """The limit is raised to the hard limit, and the log has both numbers; then there is room enough."""
        self.assertEqual(self.logged(200, 4096), ["the limit of open files is raised from 200 to 4096"])
        self.assertEqual(self.limits, (4096, 4096))

    def test_not_raised(self) -> None:
        """A limit that must not be changed stays, with a warning, and the start goes on."""

        def refuse(_: int, limits: tuple[int, int]) -> None:
            raise ValueError("not allowed to raise maximum limit")

        self.patch(resource, "getrlimit", lambda _: (1024, 4096))
        self.patch(resource, "setrlimit", refuse)
        with capturedLogs() as events:
            FileLimit(None).privilegedStartService()
        (line,) = [str(formatEvent(event)) for event in events]
        self.assertEqual(line, "the limit of open files stays 1024: not allowed to raise maximum limit")

    def test_transport_that_sets_no_files_aside(self) -> None:
        """Has no room to be warned of."""
        self.assertEqual(self.logged(200, 200, None), [])
