"""Documents that are refused to a publisher who does not want them held back."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.strictness import RuleRefusedError, strictly, wants_strictness
from livefeed.document.rules import Violation
from livefeed.storage.store import UNCHANGED
from livefeed.web.operator_problems import RULE_REFUSED

VIOLATION = Violation("votes", "hold", "/votes", "/votes is missing", b"")


class PreferTests(SynchronousTestCase):
    """The field ``Prefer`` (RFC 7240)."""

    def test_field(self) -> None:
        """The first preference of the name counts."""
        for value, is_strict in (
            (b"handling=strict", True),
            (b'wait=5, HANDLING = "Strict"; a=b', True),
            (b"handling=lenient, handling=strict", False),
            (b"handling", False),
            (b"strict", False),
            (b"", False),
        ):
            self.assertEqual((value, wants_strictness(value)), (value, is_strict))


class EditTests(SynchronousTestCase):
    """Edits under a rule."""

    def edit(self, data: Any) -> Any:
        refused = {b"0": VIOLATION}
        return strictly(lambda _: data, refused.get)(None)  # type: ignore[arg-type]

    def test_edits(self) -> None:
        """Only a document can be refused: no deletion, and no edit that changes nothing."""
        for data in (b"1", None, UNCHANGED):
            self.assertIs(self.edit(data), data)
        with self.assertRaises(RuleRefusedError) as caught:
            self.edit(b"0")
        self.assertEqual((caught.exception.kind, caught.exception.violation), (RULE_REFUSED, VIOLATION))
