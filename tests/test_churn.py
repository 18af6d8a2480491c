"""The judgement of the churn: a leak of one object in each reload is found, and noise is not taken for one."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.churn import LIMITS, Configuration, report


def growing(leak: str = "", per_reload: float = 0.0) -> list[str]:
    """Gives what is found to grow in samples with noise, of which one kind has a leak."""
    random = Random(7)
    samples = []
    for number in range(0, 1000, 10):
        sample = {"files": 20.0, "threads": 3.0, "timers": 12.0, "objects": 5000.0, "memory": 7e7}
        for kind in LIMITS:
            sample[kind] *= random.uniform(0.99, 1.01)
        if leak:
            sample[leak] += per_reload * number
        samples.append((number, sample))
    with contextlib.redirect_stdout(io.StringIO()):
        return report(samples, "parent")


class ReportTests(SynchronousTestCase):
    def test_leaks(self) -> None:
        """Each kind is found."""
        self.assertEqual(growing(), [])
        for kind, per_reload in (
            ("files", 0.01),
            ("threads", 0.01),
            ("timers", 0.01),
            ("objects", 1.0),
            ("memory", 2e3),
        ):
            self.assertEqual(growing(kind, per_reload), [f"{kind} of parent"])


class ConfigurationTests(SynchronousTestCase):
    def test_changes(self) -> None:
        """Every kind of change comes up, and each one is taken back later: nothing grows by itself."""
        with tempfile.TemporaryDirectory() as folder:
            made = Configuration.make(Path(folder))

            def state() -> tuple[str, bytes]:
                return made.path.read_text(), made.certificate.cert.read_bytes()

            first, seen = state(), []
            for number in range(12):
                before = state()
                made.change(number)
                seen.append(state() == before)
            self.assertEqual(state(), first)
            self.assertEqual(seen, [False, False, False, False, False, True] * 2)
