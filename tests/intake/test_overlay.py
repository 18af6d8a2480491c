"""The overlay of a feed changes each document of the source, and tells operators what it does not change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from twisted.logger import LogLevel, capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.overlay import Edit, OverlayError
from livefeed.document.snapshot import Sequence, Snapshot, version_of
from livefeed.intake.overlay import MAX_MARKED, MAX_SHOWN_CHARACTERS, MAX_SHOWN_PLACES, FeedOverlay, Trial

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from livefeed.document.overlay import Action


def edit_of(pointer: str, action: Action = "set", value: str | None = '"C"', expected: str | None = None) -> Edit:
    """Gives an edit of somebody."""
    return Edit(pointer, action, value, expected, by="ada", at=1.5, reason="as phoned in")


def try_on(overlay: FeedOverlay, edits: Many[Edit], source: bytes | None) -> bytes:
    """Takes edits and a document of the source, and gives the document with the overlay."""
    overlay.take(Trial.of(edits, source))
    return overlay.trial.result.data


class TrialTests(SynchronousTestCase):
    """Documents with the overlay."""

    def test_without_entries_the_document_is_that_of_the_source(self) -> None:
        source = b'{"a":1}'
        self.assertIs(Trial.of([], source).result.data, source)

    def test_entries_change_each_document(self) -> None:
        first = Trial.of([edit_of("/{n=1}/w")], b'[{"n":1,"w":"A"}]')
        self.assertEqual(first.result.data, b'[{"n":1,"w":"C"}]')
        second = first.on(b'[{"n":0},{"n":1,"w":"B"}]')
        self.assertEqual(second.result.data, b'[{"n":0},{"n":1,"w":"C"}]')
        self.assertEqual((second.edits, second.result.pointers), (first.edits, ("/1/w",)))

    def test_the_same_document_is_computed_once(self) -> None:
        trial = Trial.of([edit_of("/a")], b'{"a":1}')
        self.assertIs(trial.on(bytes(bytearray(b'{"a":1}'))), trial)

    def test_malformed_entries_are_refused(self) -> None:
        with self.assertRaises(OverlayError):
            Trial.of([edit_of("/a", value="C")], None)


class MarksTests(SynchronousTestCase):
    """The pointers to an editor's values are known for each version that can be shown."""

    def setUp(self) -> None:
        self.overlay = FeedOverlay("results")

    def marks_of(self, data: bytes) -> tuple[str, ...]:
        """Gives the pointers of a version."""
        return self.overlay.marks_of(Snapshot.bare(data, Sequence(1, 1)))

    def test_entries(self) -> None:
        """They are there in the order in which they were made."""
        edits = (edit_of("/b"), edit_of("/a"))
        try_on(self.overlay, edits, None)
        self.assertEqual(self.overlay.edits, edits)

    def test_those_of_the_last_document_are_remembered(self) -> None:
        shown = try_on(self.overlay, [edit_of("/a")], b'{"a":1}')
        self.assertEqual(self.overlay.note(version_of(shown)), ("/a",))
        try_on(self.overlay, [], b'{"a":2}')
        self.assertEqual(self.marks_of(shown), ("/a",))
        self.assertEqual(self.marks_of(b'{"a":2}'), ())
        self.assertEqual(self.overlay.marks_of(None), ())

    def test_those_of_a_version_of_an_earlier_process_are_found_by_the_values(self) -> None:
        self.overlay.take(Trial.of([edit_of("/{n=1}/w"), edit_of("/0/x", "remove", None)], None))
        self.assertEqual(self.marks_of(b'[{"n":1,"w":"C"}]'), ("/0/w", "/0/x"))
        self.assertEqual(self.marks_of(b'[{"n":1,"w":"B","x":1}]'), ())

    def test_others_can_be_said(self) -> None:
        self.overlay.note(version_of(b"{}"), ("/b",))
        self.assertEqual(self.marks_of(b"{}"), ("/b",))

    def test_the_oldest_ones_are_forgotten(self) -> None:
        for number in range(MAX_MARKED + 1):
            self.overlay.note(version_of(b"%d" % number), ("",))
        self.assertEqual(self.marks_of(b"0"), ())
        self.assertEqual(self.marks_of(b"%d" % MAX_MARKED), ("",))


class AlarmTests(SynchronousTestCase):
    """The log has one line when an entry stops to fit, and one when it fits again."""

    def test_each_change_is_logged_once(self) -> None:
        overlay = FeedOverlay("results")
        edits = [edit_of("/a"), edit_of("", "set", "1", "0")]
        with capturedLogs() as events:
            for source in (b'{"a":1}', b'{"b":1}', b'{"b":2}', b'{"a":2}', b'{"b":3}'):
                try_on(overlay, edits, source)
                overlay.take(overlay.trial)
        told = [(event["log_level"], eventAsText(event, includeTimestamp=False)) for event in events]
        lines = [line.partition("] ")[2] for _, line in told]
        missing = 'feed "results": the overlay of /a changes nothing: the source\'s document has no /a now'
        self.assertEqual(lines[0].partition(": the source has")[0], 'feed "results": the overlay of "" changes nothing')
        self.assertEqual(lines[1:], [missing, 'feed "results": the overlay of /a fits again', missing])
        self.assertEqual([level for level, _ in told], [LogLevel.warn] * 2 + [LogLevel.info, LogLevel.warn])
        self.assertEqual(list(overlay.alarms), ["/a", ""])

    def test_an_entry_that_is_dropped_ends_its_alarm_without_a_line(self) -> None:
        overlay = FeedOverlay("results")
        try_on(overlay, [edit_of("/a")], b"{}")
        with capturedLogs() as events:
            try_on(overlay, [], b"{}")
        self.assertEqual(events, [])
        self.assertEqual(overlay.alarms, {})


class ReportTests(SynchronousTestCase):
    """Operators see what each entry hides, and why one does not fit."""

    def test_an_entry_that_fits_and_one_that_does_not(self) -> None:
        overlay = FeedOverlay("results")
        edits = [edit_of("/{n=1}/w"), edit_of("/9", "remove", None, "7"), edit_of("/0/x", "add", "2")]
        try_on(overlay, edits, b'[{"n":1,"w":1.50}]')
        fits, does_not, added = overlay.report()
        self.assertEqual(
            fits,
            {
                "pointer": "/{n=1}/w",
                "action": "set",
                "value": '"C"',
                "expected": None,
                "reason": "as phoned in",
                "by": "ada",
                "at": "1970-01-01T00:00:01.500Z",
                "changes": 1,
                "places": [{"pointer": "/0/w", "hidden": "1.50"}],
                "conflicts": [],
            },
        )
        self.assertEqual((does_not["value"], does_not["expected"], does_not["changes"]), (None, "7", 0))
        why = "the source's document has no /9 now"
        self.assertEqual(does_not["conflicts"], [{"pointer": "/9", "why": why}])
        self.assertEqual(added["places"], [{"pointer": "/0/x", "hidden": None}])

    def test_before_the_first_document_nothing_is_known(self) -> None:
        overlay = FeedOverlay("results")
        try_on(overlay, [edit_of("/b")], None)
        (entry,) = overlay.report()
        self.assertEqual((entry["changes"], entry["places"], entry["conflicts"]), (None, [], []))

    def test_a_report_is_short(self) -> None:
        overlay = FeedOverlay("results")
        source = json.dumps({"a": ["é" * 1000] * 20, "b": [0] * 20}, ensure_ascii=False).encode()
        try_on(overlay, [edit_of("/a/*", "set", json.dumps("x" * 1000)), edit_of("/b/*", "remove", None, "1")], source)
        long, wrong = overlay.report()
        self.assertEqual(len(long["value"]), MAX_SHOWN_CHARACTERS + 1)
        self.assertEqual((long["changes"], len(long["places"])), (20, MAX_SHOWN_PLACES))
        self.assertEqual(len(long["places"][0]["hidden"]), MAX_SHOWN_CHARACTERS + 1)
        self.assertEqual(len(wrong["conflicts"]), MAX_SHOWN_PLACES)
