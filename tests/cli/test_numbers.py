"""Numbers on the command line."""

from __future__ import annotations

import argparse

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.numbers import number_from, size_of, watchers_of


class NumberTests(SynchronousTestCase):
    def test_watchers(self) -> None:
        """They may have marks between the thousands."""
        self.assertEqual(
            [watchers_of(each) for each in ("1", "20,000", "20_000", "10000000")], [1, 20_000, 20_000, 10**7]
        )
        for text in ("0", "10000001", "x", "", "1.5", "-1", "٣", "1" * 5000):
            self.assertRaises(argparse.ArgumentTypeError, watchers_of, text)

    def test_sizes(self) -> None:
        """Units are those of the benchmarks: a thousand, and a million."""
        for text, expected in (("4096", 4096), ("20KB", 20_000), ("20 kb", 20_000), ("1M", 10**6), ("4,195 B", 4195)):
            self.assertEqual(size_of(text), expected)
        for text in ("0", "KB", "1GB", "300MB", "1.5KB", "x", "", "9" * 5000):
            self.assertRaises(argparse.ArgumentTypeError, size_of, text)

    def test_numbers(self) -> None:
        """Both bounds belong to them."""
        read = number_from(0.5, 100)
        self.assertEqual([read(each) for each in ("0.5", "100", "2.5%")], [0.5, 100, 2.5])
        for text in ("0.4", "101", "x", "nan", "inf", ""):
            error = self.assertRaises(argparse.ArgumentTypeError, read, text)
            self.assertIn("is not a number from 0.5 to 100", str(error))
