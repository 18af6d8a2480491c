"""Samples and their families."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.samples import FAMILIES, Sample, total_of


class SampleTests(SynchronousTestCase):
    """Samples of one process."""

    def test_total(self) -> None:
        """Samples that have the labels are added; without any there is no total."""
        samples = [
            Sample("subscribers", (("feed", "a"), ("by", "events")), 1.0),
            Sample("subscribers", (("feed", "a"), ("by", "waiting")), 2.0),
            Sample("subscribers", (("feed", "b"), ("by", "events")), 4.0),
            Sample("parts", (("feed", "a"),), 8.0),
        ]
        self.assertEqual(total_of(samples, "subscribers"), 7.0)
        self.assertEqual(total_of(samples, "subscribers", feed="a"), 3.0)
        self.assertEqual(total_of(samples, "subscribers", by="events"), 5.0)
        self.assertIsNone(total_of(samples, "subscribers", feed="c"))

    def test_counters_are_added(self) -> None:
        """A counter of several processes is a sum, unless the parent alone counts."""
        for family in FAMILIES.values():
            if family.is_counter:
                self.assertIn(family.combine, ("sum", "parent"), family.name)

    def test_every_family_is_documented(self) -> None:
        """The table of the reference names each metric."""
        text = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text("utf-8")
        missing = [name for name in FAMILIES if f"`livefeed_{name}" not in text]
        self.assertEqual(missing, [])
