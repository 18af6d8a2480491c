"""The result of a check."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.doctor.finding import Finding, ok, size


class FindingTests(SynchronousTestCase):
    def test_ok(self) -> None:
        """There is nothing to mend."""
        self.assertEqual(ok("swap", "none"), Finding("swap", "ok", "none", ""))

    def test_size(self) -> None:
        """The unit fits the number."""
        for count, shown in (
            (12, "12 bytes"),
            (1024, "1.0 KB"),
            (4304, "4.2 KB"),
            (5 << 20, "5 MB"),
            (1536 << 20, "1.5 GB"),
        ):
            self.assertEqual(size(count), shown)
