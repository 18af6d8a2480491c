"""The overlay of a feed: an editor's values, put into each document of the source before the gate sees it.

Rule: an entry that does not fit changes nothing. The log says so when it no longer fits, and when it fits again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from livefeed.document.history import VERSIONS
from livefeed.document.overlaid import Overlaid, apply, pointers_in
from livefeed.document.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livefeed.document.overlay import Edit, Entry
    from livefeed.document.snapshot import Snapshot

MAX_SHOWN_CHARACTERS = 256
"""The largest number of characters of a value in a report."""

MAX_SHOWN_PLACES = 16
"""The largest number of values of one entry in a report, and of reasons why it does not fit."""

MAX_MARKED = 2 * VERSIONS
"""The number of versions whose pointers are remembered: all that can be shown again at once, and those that waited."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class Trial:
    """The entries of an overlay, and their effect on a document of the source.

    :ivar edits: the entries, in the order in which they were made.
    :ivar entries: the same, compiled.
    :ivar source: the document as it was pulled; ``None`` if there is none yet.
    :ivar result: the document with the overlay.
    """

    edits: tuple[Edit, ...] = ()
    entries: tuple[Entry, ...] = ()
    source: bytes | None = None
    result: Overlaid = field(default_factory=lambda: Overlaid(b""))

    @classmethod
    def of(cls, edits: Sequence[Edit], source: bytes | None) -> Trial:
        """Puts entries into a document.

        :raises OverlayError: if an entry is malformed.
        """
        entries = tuple(each.entry() for each in edits)
        return cls(tuple(edits), entries, source, Overlaid(b"") if source is None else apply(source, entries))

    def on(self, source: bytes) -> Trial:
        """Puts the same entries into another document. The same one is not computed again."""
        return self if source == self.source else Trial(self.edits, self.entries, source, apply(source, self.entries))


@dataclass(slots=True, eq=False)
class FeedOverlay:
    """The overlay of one feed.

    :param name: the name of the feed, for the log.
    :ivar trial: the entries, and their effect on the last document of the source.
    """

    # required parameters
    name: str

    # internal state
    trial: Trial = field(default_factory=Trial)
    _conflicts: dict[str, str] = field(default_factory=dict)  # why entries do not fit, by their pointers
    _marks: OrderedDict[str, tuple[str, ...]] = field(default_factory=OrderedDict)  # pointers, by version

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The entries, in the order in which they were made."""
        return self.trial.edits

    def take(self, trial: Trial) -> None:
        """Takes the entries of a trial, and its document as the last one of the source."""
        if trial is self.trial:
            return
        self.trial = trial
        found: dict[str, str] = {}
        for conflict in trial.result.conflicts:
            found.setdefault(trial.edits[conflict.entry].pointer, conflict.why)
        in_force = {each.pointer for each in trial.edits}
        for pointer, why in found.items():
            if pointer not in self._conflicts:
                text = 'feed "{feed}": the overlay of {pointer} changes nothing: {why}'
                _log.warn(text, feed=self.name, pointer=pointer or '""', why=why)
        for pointer in self._conflicts.keys() - found.keys():
            if pointer in in_force:
                text = 'feed "{feed}": the overlay of {pointer} fits again'
                _log.info(text, feed=self.name, pointer=pointer or '""')
        self._conflicts = found

    @property
    def alarms(self) -> dict[str, str]:
        """Why entries do not fit the last document, by their pointers."""
        return dict(self._conflicts)

    # Versions

    def note(self, version: str, pointers: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Remembers the pointers to the values of an editor in a version.

        :param pointers: the pointers; ``None`` for those in the last document of the source, which is this version.
        :returns: the pointers.
        """
        pointers = self.trial.result.pointers if pointers is None else pointers
        self._marks[version] = pointers
        self._marks.move_to_end(version)
        if len(self._marks) > MAX_MARKED:
            self._marks.popitem(last=False)
        return pointers

    def marks_of(self, snapshot: Snapshot | None) -> tuple[str, ...]:
        """Gives the pointers to the values of an editor in a version.

        Of a version of an earlier process, these are the values that the entries of now would have put there.
        """
        if snapshot is None:
            return ()
        known = self._marks.get(snapshot.version)
        if known is None:
            entries = self.trial.entries
            known = self.note(snapshot.version, pointers_in(snapshot.data, entries) if entries else ())
        return known

    # Reports

    def report(self) -> list[dict[str, Any]]:
        """Gives the entries with the values that they hide, for operators."""
        return report_of(self.trial)


def report_of(trial: Trial) -> list[dict[str, Any]]:
    """Gives the entries of a trial with the values that they hide, for operators."""
    return [_entry_of(trial, number, edit) for number, edit in enumerate(trial.edits)]


def _entry_of(trial: Trial, number: int, edit: Edit) -> dict[str, Any]:
    places = [place for place in trial.result.places if place.entry == number]
    conflicts = [each for each in trial.result.conflicts if each.entry == number]
    return {
        "pointer": edit.pointer,
        "action": edit.action,
        "value": _brief(edit.value),
        "expected": _brief(edit.expected),
        "reason": edit.reason,
        "by": edit.by,
        "at": timestamp(edit.at),
        "changes": None if trial.source is None else len(places),
        "places": [
            {"pointer": place.pointer, "hidden": None if place.hidden is None else _brief(_decoded(place.hidden))}
            for place in places[:MAX_SHOWN_PLACES]
        ],
        "conflicts": [{"pointer": each.pointer, "why": each.why} for each in conflicts[:MAX_SHOWN_PLACES]],
    }


def _decoded(text: bytes) -> str:
    return text[: 4 * (MAX_SHOWN_CHARACTERS + 1)].decode(errors="replace")


def _brief(text: str | None) -> str | None:
    if text is None or len(text) <= MAX_SHOWN_CHARACTERS:
        return text
    return f"{text[:MAX_SHOWN_CHARACTERS]}…"
