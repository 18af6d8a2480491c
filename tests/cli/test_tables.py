"""Text for terminals."""

from __future__ import annotations

import io
import os
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.tables import (
    Cell,
    Painter,
    columns_of,
    count,
    counted,
    duration,
    held_back,
    outline,
    printable,
    wants_colour,
)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TableTests(SynchronousTestCase):
    def test_columns(self) -> None:
        """They are aligned, with colours or without, and lines have no blanks at their ends."""
        heads = [Cell("NAME"), Cell("N", is_right=True), Cell("X")]
        rows = [
            [Cell("a", "good"), Cell("1", is_right=True), Cell("")],
            [Cell("bcdef"), Cell("100", is_right=True), Cell("y")],
        ]
        plain = Painter(in_colour=False).table(heads, rows)
        self.assertEqual(plain, ["NAME     N  X", "a        1", "bcdef  100  y"])
        coloured = Painter(in_colour=True).table(heads, rows)
        self.assertEqual(coloured[1], "\x1b[32ma\x1b[0m        1")

    def test_narrow_terminals(self) -> None:
        """Dispensable columns are left out until the lines fit, and all are there on a wide terminal and in a pipe."""
        heads = [Cell("NAME"), Cell("LONG"), Cell("LAST")]
        for columns, shown in ((None, 3), (16, 3), (15, 2), (9, 1), (3, 1)):
            (line,) = Painter(in_colour=False, columns=columns).table(heads, [], [2, 1])
            self.assertEqual(len(line.split()), shown)
            self.assertTrue(line.startswith("NAME"))

    def test_width(self) -> None:
        """A terminal has one, which is not less than can be read, and a pipe has none."""
        for columns, found in ((80, 80), (1, 40)):
            self.patch(os, "get_terminal_size", lambda _, columns=columns: os.terminal_size((columns, 24)))
            terminal = _Terminal()
            self.patch(terminal, "fileno", lambda: 1)
            with patch.dict(os.environ, {"COLUMNS": ""}):
                self.assertEqual(columns_of(terminal), found)
        with patch.dict(os.environ, {"COLUMNS": "120"}):
            self.assertEqual(columns_of(_Terminal()), 120)
        self.assertIsNone(columns_of(io.StringIO()))

    def test_unknown_width(self) -> None:
        """A terminal that does not tell its own is a usual one."""
        with patch.dict(os.environ, {"COLUMNS": "9" * 5000}):
            self.assertEqual(columns_of(_Terminal()), 80)
        with patch.dict(os.environ, {"COLUMNS": ""}):
            self.assertEqual(columns_of(_Terminal()), 80)

    def test_folding(self) -> None:
        """Lines end between words, each has its colour, and a word that is longer than a line stays whole."""
        text = "name  one two-three https://example.org/a-very-long-path four"
        self.assertEqual(Painter(in_colour=False).fold(text), [text])
        self.assertEqual(
            Painter(in_colour=False, columns=16).fold(text, indent=6),
            ["name  one", "      two-three", "      https://example.org/a-very-long-path", "      four"],
        )
        self.assertEqual(Painter(in_colour=True, columns=4).fold("a bcd", "bad", 1)[1], " \x1b[31mbcd\x1b[0m")
        self.assertEqual(Painter(in_colour=False, columns=4).fold(""), [""])

    def test_colours(self) -> None:
        """A terminal has them, unless its user wants none or it cannot show them."""
        self.assertTrue(wants_colour(_Terminal(), {"TERM": "xterm"}))
        self.assertFalse(wants_colour(io.StringIO(), {"TERM": "xterm"}))
        self.assertFalse(wants_colour(_Terminal(), {"NO_COLOR": "1"}))
        self.assertFalse(wants_colour(_Terminal(), {"TERM": "dumb"}))
        self.assertEqual(Painter(in_colour=True).paint("a", "plain"), "a")

    @given(st.text())
    def test_nothing_commands_the_terminal(self, text: str) -> None:
        """Control characters are escaped, wherever they come from."""
        self.assertTrue(printable(text).isprintable())
        (line,) = Painter(in_colour=False).table([Cell(text)], [])
        self.assertTrue(line.isprintable())
        self.assertTrue(all(line.isprintable() for line in outline({text: [text, {text: text}]})))


class ValueTests(SynchronousTestCase):
    def test_counts(self) -> None:
        """Thousands are separated."""
        self.assertEqual([count(each) for each in (0, 1234.0, None)], ["0", "1,234", "-"])
        self.assertEqual(
            [counted(each, "version") for each in (0, 1, 1234)], ["0 versions", "1 version", "1,234 versions"]
        )

    def test_documents_that_are_held_back(self) -> None:
        """The time, the reason, both or none of them."""
        found = [held_back(*each) for each in ((None, ""), (None, "a"), (65.0, ""), (65.0, "a\x1b"))]
        waits = "a newer version has been waiting for 1 min 5 s"
        self.assertEqual(found, ["", "a", waits, f"{waits}: a\\x1b"])

    def test_durations(self) -> None:
        """In two units at most."""
        found = [duration(each) for each in (None, 0.25, 59.9, 60, 3599, 3600, 90_000, 2 * 86_400 + 7300)]
        self.assertEqual(
            found, ["-", "0.2 s", "59.9 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "1 day 1 h", "2 days 2 h"]
        )

    def test_outline(self) -> None:
        """Reports of any shape."""
        report = {
            "changed_feeds": ["a", "b"],
            "n": 1,
            "ok": True,
            "none": None,
            "empty": [],
            "deep": [{"x": 1}, {"x": 2}],
        }
        self.assertEqual(
            outline(report),
            ["changed feeds:", "  a", "  b", "n: 1", "ok: yes", "none: -", "empty: -", "deep:", "  x: 1", "", "  x: 2"],
        )
        self.assertEqual(outline("text"), ["text"])
        deep: list[object] = []
        for _ in range(100):
            deep = [deep]
        self.assertEqual(len(outline(deep)), 1)
