"""``livefeed explain``."""

from __future__ import annotations

import io
import sys

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.explain import explanation_of, list_of_problems
from livefeed.cli.main import main
from livefeed.config.setting_texts import TEXTS
from livefeed.exceptions import LivefeedError
from livefeed.web.operator_problems import ALL
from livefeed.web.problems import EXPIRED


class ExplainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.stdout)
        self.patch(sys, "stderr", self.stderr)

    def test_problems(self) -> None:
        """By the name, or by the type that an answer has."""
        for name in ("expired", "/-/problems/expired"):
            self.assertEqual(explanation_of(name), EXPIRED.as_text())

    def test_settings(self) -> None:
        """By the key, the option or the variable."""
        for name in ("max_bytes", "--max-bytes", "LIVEFEED_MAX_BYTES"):
            text = explanation_of(name)
            for word in ("--max-bytes", "LIVEFEED_MAX_BYTES", TEXTS["max_bytes"].allowed, "A reload changes it"):
                self.assertIn(word, text)
        self.assertIn("A restart changes it", explanation_of("transport"))

    def test_list(self) -> None:
        """It has each problem in a line of its own."""
        self.assertEqual(main(["explain"]), 0)
        self.assertEqual(self.stdout.getvalue(), list_of_problems())
        self.assertEqual([line.split()[1] for line in list_of_problems().splitlines()], [each.name for each in ALL])

    def test_unknown_name(self) -> None:
        """The closest one is named."""
        for name, hint in (("expird", "expired"), ("max_byte", "max_bytes")):
            with self.assertRaisesRegex(LivefeedError, f"no setting '{name}'; did you mean {hint}"):
                explanation_of(name)
        self.assertEqual(main(["explain", "qqqqqq"]), 1)
        self.assertEqual(self.stderr.getvalue(), "livefeed: there is no problem and no setting 'qqqqqq'\n")
