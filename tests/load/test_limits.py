"""Open files."""

from __future__ import annotations

import resource

from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import FollowError
from livefeed.load.limits import RESERVED_FILES, check_open_files, raise_open_files


class LimitTests(SynchronousTestCase):
    def test_enough(self) -> None:
        """A run that fits is not refused; -1 is no limit."""
        check_open_files(1000, 1, 1000 + RESERVED_FILES)
        check_open_files(2000, 2, 1000 + RESERVED_FILES)
        check_open_files(10**6, 1, -1)

    def test_too_many(self) -> None:
        """The message says how many processes would do, and that number does."""
        error = self.assertRaises(FollowError, check_open_files, 2001, 2, 1000 + RESERVED_FILES)
        self.assertIn("allows 1,064 (ulimit -Hn): use -t 3,", str(error))
        check_open_files(2001, 3, 1000 + RESERVED_FILES)

    def test_raised(self) -> None:
        """The soft limit becomes the hard one."""
        given: list[tuple[int, int]] = []
        self.patch(resource, "setrlimit", lambda _, limits: given.append(limits))
        for limits in ((10, 20), (20, 20)):
            self.patch(resource, "getrlimit", lambda _, limits=limits: limits)
            self.assertEqual(raise_open_files(), 20)
        self.assertEqual(given, [(20, 20)])
