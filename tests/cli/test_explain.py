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
            self.assertTrue(explanation_of(name).startswith(EXPIRED.as_text()))
        self.assertEqual(explanation_of("410"), list_of_problems("410"))
        self.assertTrue(all(line.startswith("410  ") for line in list_of_problems("410").splitlines()))

    def test_settings(self) -> None:
        """By the key, the option or the variable."""
        for name in ("max_bytes", "--max-bytes", "LIVEFEED_MAX_BYTES"):
            text = explanation_of(name)
            for word in ("--max-bytes", "LIVEFEED_MAX_BYTES", TEXTS["max_bytes"].allowed, "A reload changes it"):
                self.assertIn(word, text)
        self.assertIn("A restart changes it", explanation_of("transport"))

    def test_others(self) -> None:
        """Each has its kind, its meaning and its page; a name that is a problem and a state has both."""
        self.assertIn("expired: state\nThe document is older", explanation_of("expired"))
        self.assertEqual(main(["explain", "LivefeedDocumentIsOld"]), 0)
        self.assertIn("LivefeedDocumentIsOld: alarm\n", self.stdout.getvalue())
        self.assertIn("\nSee docs/night/index.md#the-source-is-away\n", self.stdout.getvalue())
        # As a shell passes a line that its user has not quoted.
        self.stdout.truncate(self.stdout.seek(0))
        self.assertEqual(main(["explain", "feed", "results", "is", "stale:", "no", "pull", "has", "ended"]), 0)
        self.assertIn('feed "{feed}" is stale: {why}: log line\n', self.stdout.getvalue())

    def test_list(self) -> None:
        """It has each problem in a line of its own."""
        self.assertEqual(main(["explain"]), 0)
        self.assertEqual(self.stdout.getvalue(), list_of_problems())
        self.assertEqual([line.split()[1] for line in list_of_problems().splitlines()], [each.name for each in ALL])

    def test_unknown_name(self) -> None:
        """The closest one is named."""
        for name, hint in (
            ("expird", "expired"),
            ("max_byte", "max_bytes"),
            ("LivefeedDocumentOld", "LivefeedDocumentIsOld"),
            ("stael", "stale"),
        ):
            with self.assertRaisesRegex(LivefeedError, f"line of the log '{name}'; did you mean {hint}"):
                explanation_of(name)
        self.assertEqual(main(["explain", "qqqqqq"]), 1)
        self.assertTrue(self.stderr.getvalue().endswith(" close code or line of the log 'qqqqqq'\n"))
