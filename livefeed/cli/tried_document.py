"""The part of ``livefeed check`` that tries a document on the gate and the rules of a feed, and serves nothing.

Rule: each rule is tried on its own, so that an operator sees all that refuse the document. A feed that runs stops at
the first one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from livefeed.cli.document_file import read_document
from livefeed.document.gate import check_document
from livefeed.document.rules import Rules
from livefeed.document.snapshot import version_of
from livefeed.exceptions import CommandError, DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.config.settings import FeedSettings
    from livefeed.document.rules import RuleSpec

SHOWN, UNREADABLE, HELD = 0, 1, 4
"""The exit codes: watchers would be shown the document; it was not tried; it would be held back or refused."""

SHOWN_CHARACTERS = 12
"""The number of characters of a version in the text, as livefeed publish prints them."""

_INSTEAD = "settings stand before the options: `livefeed check SETTINGS.toml --document DOCUMENT.json`"
_MARKS = {"hold": "HOLD ", "alarm": "ALARM", None: "ok   "}


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What one rule says about a document.

    :ivar spec: the rule.
    :ivar why: why it refuses the document; ``None`` if it accepts it.
    :ivar pointer: the first refused value; ``None`` if it accepts the document.
    """

    spec: RuleSpec
    why: str | None = None
    pointer: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Gives the outcome as values of JSON."""
        spec = self.spec
        accepts = self.why is None
        facts = {"rule": spec.name, "kind": spec.check.kind, "action": spec.action, "accepts": accepts}
        return facts | {"pointer": self.pointer, "why": self.why}


@dataclass(frozen=True, slots=True)
class TriedDocument:
    """A document that was tried.

    :ivar feed: the feed's name.
    :ivar document: the document's name, and its bytes.
    :ivar shown: the same of the document that watchers are shown meanwhile; ``None`` without one.
    :ivar gate: why the gate refuses the document; ``None`` if it accepts it.
    :ivar outcomes: what each rule says, in the order in which they are checked; empty if the gate refuses the document.
    :ivar idle: the selectors that find nothing, each with the name of its rule.
    """

    feed: str
    document: tuple[str, bytes]
    shown: tuple[str, bytes] | None
    gate: str | None
    outcomes: tuple[RuleOutcome, ...]
    idle: tuple[tuple[str, str], ...]

    @property
    def is_held(self) -> bool:
        """Whether watchers would not be shown the document."""
        return self.gate is not None or any(each.why and each.spec.action == "hold" for each in self.outcomes)

    @property
    def has_warnings(self) -> bool:
        """Whether a rule raises an alarm, or a selector finds nothing."""
        return bool(self.idle) or any(each.why and each.spec.action == "alarm" for each in self.outcomes)

    def to_json(self) -> dict[str, Any]:
        """Gives everything as values of JSON."""
        return {
            "ok": not self.is_held,
            "feed": self.feed,
            "document": _facts(*self.document),
            "shown": None if self.shown is None else _facts(*self.shown),
            "gate": self.gate,
            "rules": [each.to_json() for each in self.outcomes],
            "idle": [{"rule": rule, "pointer": pointer} for rule, pointer in self.idle],
        }

    def lines(self) -> Iterator[str]:
        """Gives the text for an operator. The last line is the conclusion."""
        yield f"feed {self.feed}"
        yield _described("the document", *self.document)
        if self.shown is not None:
            yield _described("watchers are shown", *self.shown)
        if self.gate is not None:
            yield f"HOLD  the gate: {self.gate}"
        for each in self.outcomes:
            mark = _MARKS[None if each.why is None else each.spec.action]
            yield f"{mark} {each.spec.name}: {each.why or each.spec.check}"
        if self.shown is None and any(each.spec.check.cost == 1 for each in self.outcomes):
            yield "note: rules that compare have nothing to compare with; --shown FILE gives the document that is shown"
        for rule, pointer in self.idle:
            yield f"warning: rule {rule}: there is no {pointer} in the document, so this pointer checks nothing"
        yield self._conclusion()

    def _conclusion(self) -> str:
        if self.gate is not None:
            return "This document would not be shown. Watchers keep the one that they have, and the feed becomes stale."
        if self.is_held:
            return "This document would be held back. Watchers keep the one that they have."
        if not self.outcomes:
            return f"This document would be shown: feed {self.feed} has no rules."
        return "This document would be shown."


def try_document(feed: FeedSettings, document: str, shown: str | None) -> TriedDocument:
    """Tries a document on the gate and the rules of a feed.

    :param feed: the settings of the feed.
    :param document: the path of the document; ``-`` for standard input.
    :param shown: the path of the document that watchers are shown meanwhile; ``None`` for none.
    :raises CommandError: if a file cannot be read, or the gate refuses the document that is shown.
    """
    data = read_document(document, feed.max_bytes, _INSTEAD)
    before = None if shown is None else read_document(shown, feed.max_bytes, _INSTEAD)
    if before is not None:
        try:
            check_document(before, max_bytes=feed.max_bytes)
        except DocumentError as error:
            raise CommandError(f"{shown}: cannot be the document that is shown: {error}") from None
    named = None if shown is None or before is None else (shown, before)
    try:
        check_document(data, max_bytes=feed.max_bytes)
    except DocumentError as error:
        return TriedDocument(feed.feed, (document, data), named, str(error), (), ())
    rules = Rules.compile(feed.rules)
    outcomes = []
    for spec in rules.specs:
        verdict = Rules((spec,)).check(before, data)
        violation = verdict.held or next(iter(verdict.alarms), None)
        found = (None, None) if violation is None else (violation.why, violation.pointer)
        outcomes.append(RuleOutcome(spec, *found))
    idle = tuple(rules.idle(data) if before is None else rules.idle(data, before))
    return TriedDocument(feed.feed, (document, data), named, None, tuple(outcomes), idle)


def _facts(name: str, data: bytes) -> dict[str, Any]:
    return {"file": name, "bytes": len(data), "version": version_of(data)}


def _described(what: str, name: str, data: bytes) -> str:
    return f"{what}: {name}, {len(data)} bytes, version {version_of(data)[:SHOWN_CHARACTERS]}"
