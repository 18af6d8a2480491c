"""Counts of wrong tokens."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.web.failures import MAX_ADDRESSES, MAX_FAILURES, WINDOW_S, Failures


class FailureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.failures = Failures(self.clock)

    def test_each_address_has_its_own(self) -> None:
        """After some within a window, the next ones are too many."""
        counted = [self.failures.is_one_too_many("a") for _ in range(MAX_FAILURES + 1)]
        self.assertEqual(counted, [False] * MAX_FAILURES + [True])
        self.assertFalse(self.failures.is_one_too_many("b"))
        self.clock.advance(WINDOW_S)
        self.assertFalse(self.failures.is_one_too_many("a"))

    def test_memory(self) -> None:
        """The number of addresses is limited."""
        for number in range(MAX_ADDRESSES):
            self.assertFalse(self.failures.is_one_too_many(str(number)))
        self.assertTrue(self.failures.is_one_too_many("one more"))
        self.assertFalse(self.failures.is_one_too_many("0"))
        self.assertEqual(len(self.failures._counts), MAX_ADDRESSES)
