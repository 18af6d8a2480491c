"""The settings, with the packages that they need, and the documents of the sources."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.checks import Problem, Pulled
from livefeed.doctor.feeds import check_pulled, check_settings
from livefeed.doctor.finding import Finding


class SettingsTests(SynchronousTestCase):
    def test_no_problem(self) -> None:
        """That is told, too."""
        expected = Finding("settings", "ok", "my feed.toml: no error")
        self.assertEqual(list(check_settings([], "my feed.toml")), [expected])
        (found,) = check_settings([], None)
        self.assertIn("--config FILE", found.text)

    def test_problems(self) -> None:
        """Each has its place and its level."""
        problems = [Problem("f:1: listen", "is wrong"), Problem("", "the certificate expires", is_warning=True)]
        first, second = check_settings(problems, "my feed.toml")
        self.assertEqual((first.level, first.text), ("problem", "f:1: listen: is wrong"))
        self.assertEqual(first.mend, "put it right, then: livefeed check 'my feed.toml'")
        self.assertEqual((second.level, second.text), ("warning", "the certificate expires"))
        (alone,) = check_settings(problems[:1], None)
        self.assertEqual(alone.mend, "put it right, then: livefeed check")

    def test_missing_package(self) -> None:
        """The settings are right, and the command is the one that the message has."""
        why = "mongodb:// needs pymongo: pip install 'livefeed[mongo]' in the same environment"
        (found,) = check_settings([Problem("--source", why)], None)
        self.assertEqual((found.subject, found.mend), ("extras", "pip install 'livefeed[mongo]'"))


class PulledTests(SynchronousTestCase):
    def check(self, pulled: Pulled, file: str | None = None) -> Finding:
        return check_pulled(pulled, 1000, 0.25, file)

    def test_good_document(self) -> None:
        """Its size and the time are shown."""
        found = self.check(Pulled("a", 800, "v", None))
        self.assertEqual((found.level, found.text), ("ok", "a: a document of 800 bytes, in 0.25 s"))

    def test_nearly_too_large(self) -> None:
        """The next version may be too large."""
        found = self.check(Pulled("a", 801, "v", None))
        self.assertEqual((found.level, found.mend), ("warning", "--max-bytes 2000"))

    def test_too_large(self) -> None:
        """Its whole size is not known."""
        found = self.check(Pulled("a", 1001, "v", "it has more than 1000 bytes"))
        self.assertEqual((found.level, found.mend), ("problem", "--max-bytes 2000"))

    def test_failure(self) -> None:
        """The source does not answer, or the gate refuses its document."""
        found = self.check(Pulled("a", None, None, "no answer within 1 s"), "f.toml")
        self.assertEqual((found.level, found.text), ("problem", "a: no answer within 1 s"))
        self.assertEqual(found.mend, "mend the source, then: livefeed check --pull f.toml")
        self.assertTrue(self.check(Pulled("a", 5, "v", "it is no JSON")).mend.endswith("livefeed check --pull"))
