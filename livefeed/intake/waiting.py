"""The candidates of a feed: which are held back, why, and the newest one of these.

A candidate is a document that was pulled, before the decision whether it is shown.

Rules: this file decides by the verdict of the rules and the decision that is in force; it publishes nothing. Only the
newest candidate waits. A candidate that a rule refuses is shown only if the rule is released, by an operator or by the
times that its configuration allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from livefeed.clocks import Moment


class Violation(Protocol):
    """A value that a rule refuses; see :class:`livefeed.document.rules.Violation`."""

    @property
    def rule(self) -> str:
        """The name of the rule."""

    @property
    def action(self) -> str:
        """``hold`` or ``alarm``."""

    @property
    def pointer(self) -> str:
        """The place of the value, an RFC 6901 pointer."""

    @property
    def why(self) -> str:
        """One sentence for operators and watchers."""


class Verdict(Protocol):
    """The verdict of all rules on one candidate."""

    @property
    def held(self) -> Violation | None:
        """The first violation of a rule that holds; ``None`` for none."""

    @property
    def alarms(self) -> tuple[Violation, ...]:
        """The violations of rules that only raise an alarm."""


class Rules(Protocol):
    """The rules of a feed."""

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""

    def check(self, shown: bytes | None, candidate: bytes, skip: Collection[str] = ()) -> Verdict:
        """Checks a candidate.

        :param shown: the document that watchers are shown; ``None`` for none.
        :param skip: the names of rules that are left out.
        """


@dataclass(frozen=True, slots=True)
class Waiting:
    """The newest candidate that is held back.

    :ivar data: its bytes.
    :ivar version: its version.
    :ivar since: since when a newer document than the shown one has been held back.
    :ivar pulled: when it was last pulled.
    :ivar rule: the rule that holds it; ``None`` if only a decision does.
    :ivar pointer: the place of the refused value; empty if only a decision holds it.
    :ivar why: the reason, in words for watchers.
    :ivar pulls: how many pulls in a row have given the same refused value, or this document.
    """

    data: bytes
    version: str
    since: Moment
    pulled: Moment
    rule: str | None = None
    pointer: str = ""
    why: str = ""
    pulls: int = 1


@dataclass(frozen=True, slots=True)
class Alarm:
    """A violation of a rule that only raises an alarm, by the newest candidate.

    :ivar since: since when candidates have violated the rule.
    """

    rule: str
    pointer: str
    why: str
    since: Moment
