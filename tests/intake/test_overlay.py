"""The overlay of a feed changes each document of the source, and tells operators what it does not change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from unittest.mock import patch

from twisted.logger import LogLevel, capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.overlay import Edit, OverlayError
from livefeed.intake import overlay
from livefeed.intake.overlay import MAX_SHOWN_CHARACTERS, MAX_SHOWN_PLACES, FeedOverlay

if TYPE_CHECKING:
    from livefeed.document.overlay import Action


def edit_of(pointer: str, action: Action = "set", value: str | None = '"C"', expected: str | None = None) -> Edit:
    """Gives an edit of somebody."""
    return Edit(pointer, action, value, expected, by="ada", at=1.5, reason="as phoned in")


class ApplyTests(SynchronousTestCase):
    """Documents with the overlay."""

    def setUp(self) -> None:
        self.overlay = FeedOverlay("results")

    def test_without_entries_the_document_is_that_of_the_source(self) -> None:
        source = b'{"a":1}'
        self.assertIs(self.overlay.apply(source).data, source)

    def test_entries_change_each_document(self) -> None:
        self.overlay.take([edit_of("/{n=1}/w")])
        self.assertEqual(self.overlay.apply(b'[{"n":1,"w":"A"}]').data, b'[{"n":1,"w":"C"}]')
        overlaid = self.overlay.apply(b'[{"n":0},{"n":1,"w":"B"}]')
        self.assertEqual(overlaid.data, b'[{"n":0},{"n":1,"w":"C"}]')
        self.assertEqual(overlaid.pointers, ("/1/w",))

    def test_the_same_document_is_computed_once(self) -> None:
        self.overlay.take([edit_of("/a")])
        first = self.overlay.apply(b'{"a":1}')
        with patch.object(overlay, "apply", side_effect=AssertionError):
            self.assertIs(self.overlay.apply(b'{"a":1}'), first)

    def test_other_entries_count_for_the_same_document(self) -> None:
        for edits, expected in (([edit_of("/a")], b'{"a":"C"}'), ([], b'{"a":1}'), ([edit_of("", "set", "{}")], b"{}")):
            self.overlay.take(edits)
            self.assertEqual(self.overlay.apply(b'{"a":1}').data, expected)

    def test_malformed_entries_change_nothing(self) -> None:
        self.overlay.take([edit_of("/a")])
        with self.assertRaises(OverlayError):
            self.overlay.take([edit_of("/a", value="C")])
        self.assertEqual(self.overlay.apply(b'{"a":1}').data, b'{"a":"C"}')


class AlarmTests(SynchronousTestCase):
    """The log has one line when an entry stops to fit, and one when it fits again."""

    def test_each_change_is_logged_once(self) -> None:
        overlay = FeedOverlay("results")
        overlay.take([edit_of("/a"), edit_of("", "set", "1", "0")])
        with capturedLogs() as events:
            for source in (b'{"a":1}', b'{"b":1}', b'{"b":2}', b'{"a":2}', b'{"b":3}'):
                overlay.apply(source)
        told = [(event["log_level"], eventAsText(event, includeTimestamp=False)) for event in events]
        lines = [line.partition("] ")[2] for _, line in told]
        missing = 'feed "results": the overlay of /a changes nothing: the source\'s document has no such value now'
        self.assertEqual(lines[0].partition(": the source has")[0], 'feed "results": the overlay of "" changes nothing')
        self.assertEqual(lines[1:], [missing, 'feed "results": the overlay of /a fits again', missing])
        self.assertEqual([level for level, _ in told], [LogLevel.warn] * 2 + [LogLevel.info, LogLevel.warn])
        self.assertEqual(list(overlay.alarms), ["/a", ""])

    def test_an_entry_that_is_dropped_ends_its_alarm_without_a_line(self) -> None:
        overlay = FeedOverlay("results")
        overlay.take([edit_of("/a")])
        overlay.apply(b"{}")
        overlay.take([])
        with capturedLogs() as events:
            overlay.apply(b"{}")
        self.assertEqual(events, [])
        self.assertEqual(overlay.alarms, {})


class ReportTests(SynchronousTestCase):
    """Operators see what each entry hides, and why one does not fit."""

    def test_an_entry_that_fits_and_one_that_does_not(self) -> None:
        overlay = FeedOverlay("results")
        overlay.take([edit_of("/{n=1}/w"), edit_of("/9", "remove", None, "7"), edit_of("/0/x", "add", "2")])
        overlay.apply(b'[{"n":1,"w":1.50}]')
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
        why = "the source's document has no such value now"
        self.assertEqual(does_not["conflicts"], [{"pointer": "/9", "why": why}])
        self.assertEqual(added["places"], [{"pointer": "/0/x", "hidden": None}])

    def test_before_the_first_document_and_after_a_change_nothing_is_known(self) -> None:
        overlay = FeedOverlay("results")
        overlay.take([edit_of("/a")])
        overlay.apply(b'{"a":1}')
        overlay.take([edit_of("/b")])
        (entry,) = overlay.report()
        self.assertEqual((entry["changes"], entry["places"], entry["conflicts"]), (None, [], []))

    def test_a_report_is_short(self) -> None:
        overlay = FeedOverlay("results")
        overlay.take([edit_of("/a/*", "set", json.dumps("x" * 1000)), edit_of("/b/*", "remove", None, "1")])
        overlay.apply(json.dumps({"a": ["é" * 1000] * 20, "b": [0] * 20}, ensure_ascii=False).encode())
        long, wrong = overlay.report()
        self.assertEqual(len(long["value"]), MAX_SHOWN_CHARACTERS + 1)
        self.assertEqual((long["changes"], len(long["places"])), (20, MAX_SHOWN_PLACES))
        self.assertEqual(len(long["places"][0]["hidden"]), MAX_SHOWN_CHARACTERS + 1)
        self.assertEqual(len(wrong["conflicts"]), MAX_SHOWN_PLACES)
