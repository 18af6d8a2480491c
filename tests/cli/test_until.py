"""Conditions on a document."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.until import ABSENT, Condition, ConditionError, find
from livefeed.document.exact_json import decode

DOCUMENT = decode('{"counted": 99.50, "winner": "Ä", "a/b": [true, 1, null], "x > y": {"n": 1.0}}'.encode())


class ConditionTests(SynchronousTestCase):
    """Comparisons of one value."""

    def test_conditions(self) -> None:
        """Numbers are compared exactly, texts by their order, and everything else only by equality."""
        for text, holds in (
            ("/counted >= 99.5", True),
            ("/counted>99.5", False),
            ("/counted == 99.5", True),
            ("/counted != 99.5", False),
            ("/counted < 1e2", True),
            ("/counted <= 99.49999999999999999999", False),
            ('/counted < "a"', False),
            ("/winner == Ä", True),
            ('/winner == "Ä"', True),
            ("/winner > A", True),
            ("/winner", True),
            ("/winner= == 1", False),
            ("/loser", False),
            ("/loser != 1", True),
            ("/loser == null", False),
            ("/a~1b/0 == true", True),
            ("/a~1b/0 == 1", False),
            ("/a~1b/1 == true", False),
            ("/a~1b/2 == null", True),
            ("/a~1b/9", False),
            ("/a~1b/1/2", False),
            ("/a~1b == [true, 1.0, null]", True),
            (" == 1", False),
            ("/winner == 1e999999999999999999999", False),
        ):
            self.assertIs(Condition.of(text).holds(DOCUMENT), holds, text)

    def test_wrong_conditions(self) -> None:
        """The message says how a condition is written."""
        for text, why in (
            ("counted >= 1", "is no JSON Pointer"),
            ("/counted >=", "a value is missing"),
            ("/a~2 == 1", "neither 0 nor 1"),
            ("/a = 1", "there are ==, !="),
            ("/a=1", "has no operator"),
            ("/a => 1", "has no operator"),
            ("/a =< 1", "has no operator"),
            ("/a === 1", "has no operator"),
            ("/a > null", "compares numbers and texts"),
            ("/" + "a" * 1000, "up to 1000 characters"),
        ):
            self.assertIn(why, str(self.assertRaises(ConditionError, Condition.of, text)))

    def test_places(self) -> None:
        """A place that a document does not have is no value."""
        self.assertIs(find(DOCUMENT, ("winner", "0")), ABSENT)
        self.assertIs(find(DOCUMENT, ()), DOCUMENT)
