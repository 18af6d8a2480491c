"""``Prefer: handling=strict`` of a publisher (RFC 7240, 4.4): a document that a rule refuses is not stored.

Without it, the document is stored, and waits at the desk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.admin.publish_edits import EditRefusedError
from livefeed.storage.store import UNCHANGED
from livefeed.web.operator_problems import RULE_REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.document.rules import Violation
    from livefeed.storage.store import Unchanged, View

    Edit = Callable[[View], bytes | Unchanged | None]

APPLIED = (b"Preference-Applied", b"handling=strict")
"""The field of an answer that has obeyed."""


class RuleRefusedError(EditRefusedError):
    """A rule refuses the document.

    :param violation: the rule, the place and the reason.
    """

    def __init__(self, violation: Violation) -> None:
        super().__init__(RULE_REFUSED, f"The rule {violation.rule} refuses the document: {violation.why}.")
        self.violation = violation


def wants_strictness(prefer: bytes) -> bool:
    """Tells whether a field ``Prefer`` asks for strict handling. The first preference of a name counts."""
    for preference in prefer.split(b","):
        name, _, value = preference.partition(b";")[0].partition(b"=")
        if name.strip().lower() == b"handling":
            return value.strip().strip(b'"').lower() == b"strict"
    return False


def strictly(edit: Edit, refusal: Callable[[bytes], Violation | None]) -> Edit:
    """Gives an edit that is refused if a rule refuses its document.

    :param refusal: gives the violation of a document; it is called in a thread.
    """

    def checked(view: View) -> bytes | Unchanged | None:
        data = edit(view)
        if data is UNCHANGED or not isinstance(data, bytes):
            return data
        violation = refusal(data)
        if violation is not None:
            raise RuleRefusedError(violation)
        return data

    return checked
