"""``livefeed replay``: judges the documents of a recording by the rules of a feed."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livefeed.cli.feed_choice import add_feed_option, chosen_feed
from livefeed.cli.settings_argument import add_settings_argument, refuse_document
from livefeed.cli.tables import count, duration, printable
from livefeed.config.settings import Layers
from livefeed.document.gate import check_document
from livefeed.document.rule_replay import RuleReplay
from livefeed.document.rules import Rules
from livefeed.document.timestamps import timestamp
from livefeed.exceptions import DocumentError, RecordingError
from livefeed.storage.recording import Recording
from livefeed.storage.recording_time import clock_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from livefeed.config.settings import FeedSettings
    from livefeed.document.rule_replay import Decision
    from livefeed.document.rules import Violation
    from livefeed.storage.record_file import Entry

HELP = "judge a recording by the rules of a feed"
DESCRIPTION = (
    "Takes the documents of a recording in their order and at their times, and tells which of them the rules of a feed "
    "would have held back, for how long, and which alarms there would have been. Each document counts as pulled again "
    "at each interval of the feed until the next one. Nothing is served. Exit codes: 0 all documents would have been "
    "shown at once; 4 some would have been held back; 1 the settings have an error, or the recording is damaged or "
    "cannot be read; 2 the command line is wrong."
)

DONE, FAILED, HELD = 0, 1, 4
"""The exit codes."""

VERSION_CHARACTERS = 12
"""The number of characters of a version in the text."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument("recording", type=Path, metavar="RECORDING", help="the recording")
    add_settings_argument(parser, " [default: $LIVEFEED_CONFIG]")
    add_feed_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object for each document that is not shown")


def run(options: argparse.Namespace) -> int:
    """Judges the recording, prints what would not have been shown, and gives the exit code."""
    refuse_document(options.file or os.environ.get("LIVEFEED_CONFIG"), "livefeed replay", "livefeed plan")
    layers = Layers({} if options.file is None else {"config": options.file}, dict(os.environ), Path.cwd())
    feed = chosen_feed(options, layers.read().feeds)
    if not feed.rules:
        options.fail(f"the feed {feed.feed} has no rules; the file of settings is the second argument")
    night = Night(feed)
    try:
        with Recording(options.recording, feed.max_bytes) as recording:
            for judged in night.judged(recording):
                if judged.is_remarkable:
                    print(json.dumps(judged.to_json()) if options.json else "\n".join(judged.lines()))
    except RecordingError as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return FAILED
    if not options.json:
        print(night.summary())
    return HELD if night.held else DONE


@dataclass(frozen=True, slots=True)
class Judged:
    """A document of a recording, and what would have been done with it.

    :ivar entry: the record.
    :ivar gate: why the gate refuses it; ``None`` if it accepts it.
    :ivar decision: the decision of the rules; ``None`` if the gate refuses it.
    """

    entry: Entry
    gate: str | None
    decision: Decision | None

    @property
    def is_held(self) -> bool:
        """Whether it would not have been shown at once."""
        return self.decision is None or self.decision.held is not None

    @property
    def is_remarkable(self) -> bool:
        """Whether it would not have been shown at once, or would have raised an alarm."""
        return self.is_held or (self.decision is not None and bool(self.decision.alarms))

    def lines(self) -> Iterator[str]:
        """Gives the text for an operator."""
        entry, decision = self.entry, self.decision
        yield f"{clock_of(entry.at)}  document {entry.number}, version {entry.head.version[:VERSION_CHARACTERS]}"
        if decision is None:
            yield f"  HOLD  the gate: {printable(self.gate or '')}"
            return
        if decision.held is not None:
            yield f"  HOLD  {decision.held.rule}: {printable(decision.held.why)}"
            yield f"        {self._outcome(decision)}"
        for alarm in decision.alarms:
            yield f"  ALARM {alarm.rule}: {printable(alarm.why)}"

    def _outcome(self, decision: Decision) -> str:
        rules = " and ".join(decision.released)
        if decision.shown_after_s is not None:
            return f"shown after {duration(decision.shown_after_s)}: {rules} would have released it"
        if decision.last is not None and decision.released:
            return f"never shown: {rules} would have released it, and {decision.last.rule} would not"
        return "never shown"

    def to_json(self) -> dict[str, Any]:
        """Gives the same as values of JSON."""
        facts: dict[str, Any] = {
            "at": timestamp(self.entry.at),
            "number": self.entry.number,
            "version": self.entry.head.version,
            "gate": self.gate,
        }
        if self.decision is None:
            return {**facts, "held": None, "alarms": [], "shown_after_s": None, "released": []}
        decision = self.decision
        return {
            **facts,
            "held": None if decision.held is None else _facts(decision.held),
            "alarms": [_facts(alarm) for alarm in decision.alarms],
            "shown_after_s": None if decision.shown_after_s is None else round(decision.shown_after_s, 3),
            "released": [*decision.released],
        }


def _facts(violation: Violation) -> dict[str, Any]:
    return {"rule": violation.rule, "pointer": violation.pointer, "why": violation.why}


@dataclass(slots=True, eq=False)
class Night:
    """The documents of a recording, judged one after another.

    :param feed: the settings of the feed.
    :ivar documents: the number of documents.
    :ivar held: the number of documents that would not have been shown at once, by the rule; ``""`` for the gate.
    :ivar never: the number of those that would never have been shown.
    :ivar alarms: the number of documents that would have raised an alarm, by the rule.
    """

    # required parameters
    feed: FeedSettings

    # internal state
    documents: int = 0
    held: Counter[str] = field(default_factory=Counter)
    never: int = 0
    alarms: Counter[str] = field(default_factory=Counter)

    def judged(self, recording: Recording) -> Iterator[Judged]:
        """Judges all documents.

        :raises RecordingError: if the recording is damaged or cannot be read.
        """
        replay = RuleReplay(Rules.compile(self.feed.rules), self.feed.interval)
        waiting: Entry | None = None
        until_s = 0.0
        for entry in recording.entries():
            until_s = entry.elapsed_s
            if entry.data is not None:
                if waiting is not None:
                    yield self._judge(replay, waiting, until_s)
                waiting = entry
        if waiting is not None:
            yield self._judge(replay, waiting, until_s)

    def _judge(self, replay: RuleReplay, entry: Entry, until_s: float) -> Judged:
        assert entry.data is not None
        self.documents += 1
        try:
            check_document(entry.data, max_bytes=self.feed.max_bytes)
        except DocumentError as error:
            self.held[""] += 1
            self.never += 1
            return Judged(entry, str(error), None)
        decision = replay.take(entry.data, entry.elapsed_s, until_s)
        if decision.held is not None:
            self.held[decision.held.rule] += 1
            self.never += decision.shown_after_s is None
        self.alarms.update(alarm.rule for alarm in decision.alarms)
        return Judged(entry, None, decision)

    def summary(self) -> str:
        """Gives the last line."""
        held = self.held.total()
        text = f"{count(self.documents)} documents: {count(self.documents - held)} shown at once, {count(held)} held"
        if held:
            by = ", ".join(f"{rule or 'the gate'} {count(number)}" for rule, number in self.held.most_common())
            text += f" (by {by}), {count(self.never)} of them never shown"
        if self.alarms:
            by = ", ".join(f"{rule} {count(number)}" for rule, number in self.alarms.most_common())
            text += f"; {count(self.alarms.total())} alarms ({by})"
        return text
