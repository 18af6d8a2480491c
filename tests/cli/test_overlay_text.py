"""The text about an overlay says what watchers see, and what the source has."""

from __future__ import annotations

from typing import Any

from livefeed.cli.overlay_text import changed_lines, command_line, entry_lines, overlay_lines
from livefeed.cli.tables import Painter
from livefeed.cli.times import here
from tests.helpers.desk_reports import desk_report, entry
from tests.helpers.zones import ZoneTestCase

PAINTER = Painter(in_colour=False)


class OverlayTextTests(ZoneTestCase):
    """Texts."""

    def lines(self, **more: Any) -> list[str]:
        """Gives the lines about one entry."""
        return entry_lines(entry(**more), PAINTER, here())

    def test_entry(self) -> None:
        """The pointer, the value, the hidden value with its place, and its origin."""
        first, hidden, origin = self.lines(reason="as phoned in")
        self.assertEqual(first, '/districts/{name=North}/winner  set to "C"')
        self.assertEqual(hidden, '  at /districts/3/winner, the source has "A"')
        self.assertRegex(origin, r"^  by ada, since \d\d:00:00 CET: as phoned in$")

    def test_place_of_the_pointer_itself(self) -> None:
        """It is not repeated."""
        places: list[dict[str, Any]] = [{"pointer": "/a", "hidden": "1"}]
        self.assertEqual(self.lines(pointer="/a", places=places)[1], "  the source has 1")
        places[0]["hidden"] = None
        self.assertEqual(self.lines(pointer="/a", places=places)[1], "  the source has no such member")

    def test_removal(self) -> None:
        """It has no value."""
        self.assertEqual(self.lines(action="remove", value=None)[0], "/districts/{name=North}/winner  removed")
        self.assertEqual(self.lines(pointer="")[0], 'the whole document  set to "C"')

    def test_several_values(self) -> None:
        """The first ones are shown, and the number of the others."""
        places = [{"pointer": f"/{number}", "hidden": "x" * 100} for number in range(16)]
        _, first, *_, rest, _ = self.lines(changes=1000, places=places)
        self.assertEqual(first, f"  at /0, the source has {'x' * 60}...")
        self.assertEqual(rest, "  and 997 other values")

    def test_entry_that_does_not_fit(self) -> None:
        """It is never shown as if it changed something."""
        why = {"pointer": "/districts/{name=North}/winner", "why": "the source's document has no such value now"}
        lines = self.lines(changes=0, places=[], conflicts=[why], expected='"A"')
        self.assertEqual(
            lines[1:-1],
            [
                "  does not fit: the source's document has no such value now",
                "  CHANGES NOTHING: watchers are shown what the source has",
                '  only while the source has "A"',
            ],
        )
        self.assertIn("  not tried yet: no document was pulled since", self.lines(changes=None, places=[]))
        some = self.lines(conflicts=[{"pointer": "/districts/4/winner", "why": 'the source has "B"'}])
        self.assertEqual(some[2], '  at /districts/4/winner, does not fit: the source has "B"')

    def test_all(self) -> None:
        """Their number, how many do not fit, and the way back."""
        wrong = entry(pointer="/b", changes=0, places=[])
        head, *_, last = overlay_lines(desk_report(overlay=[entry(), wrong]), PAINTER, here(), " --instance x")
        self.assertEqual(head, "results: 2 entries in the overlay, 1 does not fit the source's document.")
        drop = "livefeed ctl overlay results drop '/districts/{name=North}/winner' --instance x"
        self.assertEqual(last, f"Undo one: {drop}")
        head, *_ = overlay_lines(desk_report(overlay=[entry()]), PAINTER, here())
        self.assertEqual(head, "results: 1 entry in the overlay.")

    def test_none(self) -> None:
        """That is said, too."""
        (line,) = overlay_lines(desk_report(), PAINTER, here())
        self.assertEqual(line, "results: no overlay. The document is that of the source, byte for byte.")

    def test_changed(self) -> None:
        """Only the entry of the command."""
        report = desk_report(overlay=[entry(pointer="/a"), entry(pointer="/b")])
        self.assertEqual(changed_lines(report, "/b", PAINTER, here())[0], '/b  set to "C"')
        self.assertEqual(changed_lines(report, "/c", PAINTER, here()), [])

    def test_control_characters(self) -> None:
        """Terminals obey none of a document."""
        places = [{"pointer": "/\x1b[2J", "hidden": '"\x1b[2J"'}]
        text = "\n".join(self.lines(pointer="/\x1b", value='"\x1b"', places=places, reason="\x1b", by="\x1b"))
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\x1b", command_line("results", "drop", "/\x1b"))
