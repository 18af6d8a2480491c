"""The decisions that rules would have taken on the documents of a past night.

Rule: a rule releases a value here at the same pull as in a feed that runs, see :mod:`livefeed.intake.candidates`. There
are no operators here, so nothing else is ever released.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.document.rules import same_refusal

if TYPE_CHECKING:
    from livefeed.document.rules import Rules, RuleSpec, Violation


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules would have done with one document.

    :ivar held: the violation for which it would have been held at first; ``None`` if it would have been shown at once.
    :ivar alarms: the violations of rules that only raise an alarm.
    :ivar shown_after_s: seconds from the first pull of the document until it would have been shown; ``None`` for never.
    :ivar released: the rules that would have released it by themselves until then, or all in vain.
    :ivar last: the violation for which it would have been held last.
    """

    held: Violation | None
    alarms: tuple[Violation, ...]
    shown_after_s: float | None
    released: tuple[str, ...]
    last: Violation | None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A value that was refused in pulls in a row: their number, and when the first of them was."""

    violation: Violation
    pulls: int
    since_s: float


@dataclass(slots=True, eq=False)
class RuleReplay:
    """Takes the documents of a night one after another.

    :param rules: the rules.
    :param interval_s: seconds from one pull to the next.
    :ivar shown: the document that watchers would have been shown last; ``None`` before the first one.
    """

    # required parameters
    rules: Rules
    interval_s: float

    # internal state
    shown: bytes | None = None
    _refusals: dict[str, _Refusal] = field(default_factory=dict)

    def take(self, document: bytes, at_s: float, until_s: float) -> Decision:
        """Decides about the next document.

        :param document: a document that has passed the gate.
        :param at_s: when it was first pulled, in seconds; not before those that were taken earlier.
        :param until_s: when another document was first pulled.
        """
        if document == self.shown:
            # The source gives what is shown again, which ends a hold without a look at the rules.
            self._refusals = {}
            return Decision(None, (), 0.0, (), None)
        specs = {spec.name: spec for spec in self.rules.specs}
        refusals: dict[str, _Refusal] = {}
        skip: list[str] = []
        first = verdict = self.rules.check(self.shown, document)
        now_s = at_s
        while verdict.held is not None:
            refusal = self._counted(verdict.held, now_s)
            due_s = now_s + self._until_due_s(specs[verdict.held.rule], refusal, now_s)
            # The pulls that still give this document count, too.
            more = max(math.ceil((until_s - now_s) / self.interval_s) - 1, 0)
            refusals[verdict.held.rule] = _Refusal(verdict.held, refusal.pulls + more, refusal.since_s)
            if due_s > now_s and due_s >= until_s:
                self._refusals = refusals
                return Decision(first.held, first.alarms, None, tuple(skip), verdict.held)
            if due_s > now_s:
                # In the pulls until then, no rule behind this one was checked, so none of these goes on counting.
                self._refusals = {}
            now_s = due_s
            skip.append(verdict.held.rule)
            verdict = self.rules.check(self.shown, document, skip)
        self._refusals = {}
        self.shown = document
        return Decision(first.held, first.alarms, now_s - at_s, tuple(skip), None)

    def _counted(self, violation: Violation, now_s: float) -> _Refusal:
        before = self._refusals.get(violation.rule)
        if before is None or not same_refusal(before.violation, violation):
            return _Refusal(violation, 1, now_s)
        return _Refusal(violation, before.pulls + 1, before.since_s)

    def _until_due_s(self, spec: RuleSpec, refusal: _Refusal, now_s: float) -> float:
        """Gives the seconds until the pull at which a rule releases a value; infinite if it never does."""
        pulls = max(spec.release_pulls - refusal.pulls, 0) if spec.release_pulls else math.inf
        if spec.release_after_s:
            seconds = refusal.since_s + spec.release_after_s - now_s
            pulls = min(pulls, max(math.ceil(seconds / self.interval_s), 0))
        return pulls * self.interval_s
