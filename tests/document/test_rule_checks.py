"""The texts of refusals are short, and say where."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.matches import MatchError
from livefeed.document.requirements import Required
from livefeed.document.rule_checks import (
    MAX_POINTER_CHARACTERS,
    MAX_SHOWN_CHARACTERS,
    MAX_VALUE_BYTES,
    Documents,
    Refusal,
    cut,
    listed,
    missing,
    place_of,
    short,
    shown_value,
    unreadable,
)
from livefeed.document.selectors import parse_selector


class DocumentsTests(SynchronousTestCase):
    """Documents."""

    def test_readers(self) -> None:
        """Each is made once, and without a document that is shown, one does for both."""
        one = Documents(b"[1]", b"[2]")
        self.assertIs(one.changes(), one.changes())
        self.assertIs(one.all(), one.all())
        self.assertEqual((one.changes().old, one.all().old, one.all().new), (b"[1]", None, b"[2]"))
        other = Documents(None, b"[2]")
        self.assertIs(other.changes(), other.all())


class TextTests(SynchronousTestCase):
    """The helpers of all checks."""

    def test_refusals(self) -> None:
        """A value that is missing, and a selector that cannot be followed."""
        self.assertEqual(missing(("a", "{n=x}")), Refusal("/a/{n=x}", "/a/{n=x} is missing"))
        refusal = unreadable(parse_selector("/a/*"), MatchError("it is too deep"))
        self.assertEqual(refusal, Refusal("/a/*", "/a/* cannot be followed: it is too deep"))
        self.assertEqual(place_of(refusal), ("/a/*", b"", refusal.why))

    def test_pointers(self) -> None:
        """A long one is cut off, and the whole document has a name."""
        self.assertEqual(short(""), "the document")
        self.assertEqual(short("/a"), "/a")
        self.assertEqual(short("/" * MAX_POINTER_CHARACTERS), "/" * MAX_POINTER_CHARACTERS)
        self.assertEqual(short("/" * 300), "/" * MAX_POINTER_CHARACTERS + "...")
        # A name in a document of the source must not begin a line of the log, or colour a terminal.
        self.assertEqual(short("/é\n\x1b[31m\u2028"), "/é\\n\\x1b[31m\\u2028")

    def test_values(self) -> None:
        """A value stands on one line, and not in full length."""
        self.assertEqual(shown_value(b"1.50"), "1.50")
        self.assertEqual(shown_value(b'{"a":\n\t1}'), '{"a":  1}')
        self.assertEqual(shown_value("é".encode() * 300), "é" * MAX_SHOWN_CHARACTERS + "...")
        self.assertEqual(shown_value("\x1b[31m\u202e".encode()), " [31m ")

    def test_checks(self) -> None:
        """A check is described by its kind and its pointers."""
        self.assertEqual(listed(Required((parse_selector("/a"), parse_selector("")))), "required /a, the document")

    def test_cut(self) -> None:
        """Bytes are cut off, but not in a character."""
        self.assertEqual(cut(b"x" * MAX_VALUE_BYTES), b"x" * MAX_VALUE_BYTES)
        self.assertEqual(cut(b"x" * (MAX_VALUE_BYTES + 1)), b"x" * MAX_VALUE_BYTES)
        self.assertEqual(cut(b"x" + "é".encode() * MAX_VALUE_BYTES), b"x" + "é".encode() * ((MAX_VALUE_BYTES - 1) // 2))
