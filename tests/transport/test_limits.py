"""The number of connections that the limits of a pool allow."""

from __future__ import annotations

import resource

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from livefeed.transport.limits import RESERVED_FILES, ConnectionLimit, max_files, warn_of_few_files


class LimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.hard = hard
        self.allow(100)

    def allow(self, connections: int) -> None:
        """Sets the limit of open files to that of so many connections."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (RESERVED_FILES + connections, self.hard))

    def test_open_files(self) -> None:
        """Some are set aside, and a few connections are always allowed."""
        self.assertEqual(max_files(), 100)
        self.allow(3)
        self.assertEqual(max_files(), 16)

    def test_lowest_counts(self) -> None:
        """A setting replaces the limit of memory, and neither of them that of open files or a hold."""
        for wanted, by_memory, held_at, most in (
            (0, 0, None, 100),
            (0, 50, None, 50),
            (0, 200, None, 100),
            (70, 50, None, 70),
            (200, 50, None, 100),
            (70, 0, 20, 20),
            (70, 0, 80, 70),
            (70, 0, 0, 0),
        ):
            limit = ConnectionLimit(by_memory, held_at)
            self.assertEqual((limit, limit.most(wanted)), (limit, most))

    def test_setting_beyond_the_open_files(self) -> None:
        """The operator is told, since more files can be allowed."""
        for wanted, said in ((0, []), (100, []), (101, [(100, 101)])):
            with capturedLogs() as events:
                warn_of_few_files(wanted)
            self.assertEqual([(event["most"], event["wanted"]) for event in events], said)
