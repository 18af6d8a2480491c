"""The overlay of a feed: an editor's values, put into each document of the source before the gate sees it.

Rule: an entry that does not fit changes nothing. The log says so when it no longer fits, and when it fits again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from livefeed.document.overlaid import Overlaid, apply
from livefeed.document.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livefeed.document.overlay import Edit, Entry

MAX_SHOWN_CHARACTERS = 256
"""The largest number of characters of a value in a report."""

MAX_SHOWN_PLACES = 16
"""The largest number of values of one entry in a report, and of reasons why it does not fit."""

_log = Logger()


@dataclass(slots=True, eq=False)
class FeedOverlay:
    """The overlay of one feed, and its effect on the last document of the source.

    :param name: the name of the feed, for the log.
    :ivar edits: the entries, in the order in which they were made.
    """

    # required parameters
    name: str

    # internal state
    edits: tuple[Edit, ...] = ()
    _entries: tuple[Entry, ...] = ()
    _source: bytes | None = None  # the document of the result
    _result: Overlaid = field(default_factory=lambda: Overlaid(b""))
    _conflicts: dict[str, str] = field(default_factory=dict)  # why entries do not fit, by their pointers

    def take(self, edits: Sequence[Edit]) -> None:
        """Takes other entries. They count from the next :meth:`apply` on.

        :raises OverlayError: if an entry is malformed.
        """
        self._entries = tuple(each.entry() for each in edits)
        self.edits, self._source = tuple(edits), None

    def apply(self, source: bytes) -> Overlaid:
        """Gives a document of the source with the overlay. The same document is computed once.

        :param source: the document as it was pulled.
        """
        if source != self._source:
            self._result, self._source = apply(source, self._entries), source
            self._note_conflicts()
        return self._result

    def _note_conflicts(self) -> None:
        found: dict[str, str] = {}
        for conflict in self._result.conflicts:
            found.setdefault(self.edits[conflict.entry].pointer, conflict.why)
        in_force = {each.pointer for each in self.edits}
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

    def report(self) -> list[dict[str, Any]]:
        """Gives the entries with the values that they hide, for operators."""
        is_known = self._source is not None
        return [self._report_of(number, edit, is_known=is_known) for number, edit in enumerate(self.edits)]

    def _report_of(self, number: int, edit: Edit, *, is_known: bool) -> dict[str, Any]:
        places = [place for place in self._result.places if place.entry == number] if is_known else []
        conflicts = [each for each in self._result.conflicts if each.entry == number] if is_known else []
        return {
            "pointer": edit.pointer,
            "action": edit.action,
            "value": _brief(edit.value),
            "expected": _brief(edit.expected),
            "reason": edit.reason,
            "by": edit.by,
            "at": timestamp(edit.at),
            "changes": len(places) if is_known else None,
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
