"""The rules of a feed: they decide which of its documents may be shown.

Rule: this file decides and does nothing. The desk holds documents back, counts pulls and takes commands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from livefeed.document.json_schema import Schema
from livefeed.document.matches import MatchError, SelectorReader
from livefeed.document.rule_checks import Check, Documents

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from livefeed.document.rule_checks import Refusal

Action = Literal["hold", "alarm"]
"""The effect of a rule: it holds a document back, or only raises an alarm."""

MAX_RULES = 32
"""The largest number of rules of a feed. Each is checked at each new document."""

MAX_SELECTORS = 32
"""The largest number of selectors of a rule."""

MAX_REFUSED = 4096
"""The largest number of refused values that are remembered of one rule. More are never the same ones as before, so that
the rule does not release them by itself."""

RULE_NAME = r"[a-z][a-z0-9_-]{0,31}"
"""The pattern of a rule's name: it stands in log lines, metrics and commands."""

_NAME = re.compile(RULE_NAME)


class RuleError(ValueError):
    """Rules can never work. The message names the rule, and is for operators.

    :ivar rule: the name of the rule.
    """

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(f"{rule}: {why}")
        self.rule = rule
        self.why = why


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A rule of a feed.

    :ivar name: its name, as in :data:`RULE_NAME`.
    :ivar check: its check.
    :ivar action: its effect.
    :ivar release_pulls: the number of pulls with the same refused value after which it is shown all the same; 0 for
        never.
    :ivar release_after_s: the seconds for which a value is refused before it is shown all the same; 0 for never.
    :ivar place: where it was set, for messages: file, line and key.
    """

    name: str
    check: Check
    action: Action = "hold"
    release_pulls: int = 0
    release_after_s: float = 0.0
    place: str = field(default="", compare=False)

    def __str__(self) -> str:
        pulls = f"after {self.release_pulls} pulls" if self.release_pulls else ""
        seconds = f"after {self.release_after_s:g} s" if self.release_after_s else ""
        released = " or ".join(filter(None, (pulls, seconds)))
        return f"{self.action} by {self.check}{f', released {released}' if released else ''}"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule refuses a document.

    :ivar rule: the name of the rule.
    :ivar action: its effect.
    :ivar pointer: a selector of the first refused value; empty for the document as a whole.
    :ivar why: a sentence for operators, without a period, such as ``/votes falls from 1200 to 0``.
    :ivar value: the first refused value as it stands in the document, at most 256 bytes of it; for a length, its
        number; empty for a value that is missing.
    :ivar refused: all refused values by their pointers, at most :data:`MAX_REFUSED` of them.
    :ivar count: the number of all refused values.
    :ivar check: the check of the rule.
    """

    rule: str
    action: Action
    pointer: str
    why: str
    value: bytes
    refused: Mapping[str, bytes] = field(default_factory=dict)
    count: int = 1
    check: Check | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What rules say about a document.

    :ivar held: the first violation of a rule that holds documents back; ``None`` if the document may be shown.
    :ivar alarms: the violations of all rules that only raise an alarm.
    """

    held: Violation | None = None
    alarms: tuple[Violation, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a feed. They never change, and remember only which documents they have accepted.

    :ivar specs: the rules in the order in which they are checked: cheap checks come first, and otherwise the order is
        that of the settings.
    """

    specs: tuple[RuleSpec, ...] = ()

    # internal state
    _accepted: list[tuple[bytes, set[str]]] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def compile(cls, specs: Sequence[RuleSpec]) -> Self:
        """Makes rules of descriptions.

        :raises RuleError: if there are more than :data:`MAX_RULES`, or a name is not possible or is there twice.
        """
        if len(specs) > MAX_RULES:
            raise RuleError(specs[MAX_RULES].name, f"there are {len(specs)} rules, and {MAX_RULES} at most")
        names: set[str] = set()
        for spec in specs:
            if not _NAME.fullmatch(spec.name):
                why = "is not a name: a letter, then letters, digits, _ and -, all lower case, at most 32 characters"
                raise RuleError(spec.name, why)
            if spec.name in names:
                raise RuleError(spec.name, "there are two rules of this name")
            if len(spec.check.selectors) > MAX_SELECTORS:
                raise RuleError(spec.name, f"it has {len(spec.check.selectors)} pointers, and {MAX_SELECTORS} at most")
            names.add(spec.name)
        return cls(tuple(sorted(specs, key=lambda spec: spec.check.cost)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rules, in the order in which they are checked."""
        return tuple(spec.name for spec in self.specs)

    @property
    def may_take_long(self) -> bool:
        """Whether a check of a short document may take long: a schema may look at a value any number of times."""
        return any(spec.check.kind == Schema.kind for spec in self.specs)

    def check(self, shown: bytes | None, candidate: bytes, skip: Collection[str] = ()) -> Verdict:
        """Checks a document.

        After a rule that holds the document back, only rules that raise alarms are checked. So before a document is
        released from one rule, check it again without that one.

        It may run in a thread, and in several at a time: what they remember about documents is always true, and at
        worst not remembered. docs/explanation/benchmarks.md has the time that it takes.

        :param shown: the document that watchers are shown; ``None`` if there is none. Then rules that compare have
            nothing to refuse.
        :param candidate: a document that has passed the gate.
        :param skip: the names of the rules that are not checked.
        """
        documents = Documents(shown, candidate)
        before, accepted = self._accepting(shown), self._accepting(candidate)
        held: Violation | None = None
        alarms: list[Violation] = []
        for spec in self.specs:
            if spec.name in skip or (held is not None and spec.action == "hold"):
                continue
            violation = _violation(spec, spec.check.refusals(documents, has_passed=spec.name in before))
            if violation is None:
                accepted.add(spec.name)
                continue
            if spec.action == "hold":
                held = violation
            else:
                alarms.append(violation)
        # The candidate is the one that is shown when the next one is checked, or that one still is.
        known = [(candidate, accepted)]
        self._accepted[:] = known if shown is None or shown == candidate else [*known, (shown, before)]
        return Verdict(held, tuple(alarms))

    def _accepting(self, document: bytes | None) -> set[str]:
        """Gives the names of the rules that have accepted a document, as far as that is known."""
        return next((names for known, names in self._accepted if known == document), set())

    def idle(self, *documents: bytes) -> Iterator[tuple[str, str]]:
        """Gives the selectors that find nothing in any of these documents, each with the name of its rule.

        Such a selector has a typing error, or the rule is for a document that is still to come.
        """
        readers = [SelectorReader(document) for document in documents]
        for spec in self.specs:
            for selector in spec.check.selectors:
                try:
                    if not any(reader.find(selector).matches for reader in readers):
                        yield spec.name, selector.text
                except MatchError:
                    continue


def same_refusal(earlier: Violation, later: Violation) -> bool:
    """Tells whether a rule still refuses the same values, so that pulls and seconds until its release go on counting.

    No other value may be refused than before, and each must be the same one. A value that goes on moving in a way that
    the rule allows counts as the same: a recount settles on a lower level, and goes on rising from there.

    :param earlier: the violation of the pull before.
    :param later: the violation of this pull.
    """
    check = later.check
    if check is None or earlier.rule != later.rule or earlier.check != check or later.count > len(later.refused):
        return False
    return all(
        pointer in earlier.refused and check.is_same(earlier.refused[pointer], value)
        for pointer, value in later.refused.items()
    )


def _violation(spec: RuleSpec, refusals: Iterator[Refusal]) -> Violation | None:
    """Gives the violation of one rule; ``None`` if it refuses nothing."""
    first = next(refusals, None)
    if first is None:
        return None
    refused = {first.pointer: first.value}
    count = 1
    for refusal in refusals:
        count += 1
        if len(refused) < MAX_REFUSED:
            refused.setdefault(refusal.pointer, refusal.value)
    others = "" if count == 1 else f" (and {count - 1} more like it)"
    why = f"{first.why}{others}"
    return Violation(spec.name, spec.action, first.pointer, why, first.value, refused, count, spec.check)
