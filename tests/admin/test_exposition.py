"""The samples in the text format of Prometheus."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.exposition import CONTENT_TYPE, PREFIX, Exposition, families_of
from livefeed.admin.samples import FAMILIES, Sample

SAMPLES = [
    Sample("ticks_total", (("feed", "b"),), 2),
    Sample("connections", (), 7),
    Sample("ticks_total", (("feed", "a"),), 1),
]


class ExpositionTests(SynchronousTestCase):
    """Exposition and families_of."""

    def test_text(self) -> None:
        """It has all samples, with those of the system about this process, and is made anew each time."""
        samples = list(SAMPLES)
        exposition = Exposition(lambda: samples)
        for more in ((), (Sample("parts", (("feed", "a"),), 3),)):
            samples += more
            families = {each.name: each for each in text_string_to_metric_families(exposition.text().decode())}
            self.assertEqual(f"{PREFIX}parts" in families, bool(more))
            self.assertIn("process_open_fds", families)
            (sample,) = families[f"{PREFIX}connections"].samples
            self.assertEqual((sample.labels, sample.value), ({}, 7.0))
        self.assertTrue(CONTENT_TYPE.startswith(b"text/plain"))

    def test_families(self) -> None:
        """Their order is that of the table; samples of one family stay together, and unknown ones are left out."""
        families = [*families_of([*SAMPLES, Sample("unknown", (), 1)])]
        names = [each.name.removeprefix(PREFIX) for each in families]
        known = [name.removesuffix("_total") for name in FAMILIES if name in {"connections", "ticks_total"}]
        self.assertEqual(names, known)
        ticks = families[names.index("ticks")]
        self.assertEqual([each.labels["feed"] for each in ticks.samples], ["b", "a"])
        self.assertEqual((ticks.type, families[names.index("connections")].type), ("counter", "gauge"))
