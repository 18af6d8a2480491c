"""Somebody who has typed a wrong entry of an overlay is told how a right one looks."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.overlay import MAX_ENTRIES, MAX_VALUE_BYTES, Action, Entry, OverlayError, check_entries


class EntryTests(SynchronousTestCase):
    """Each limit and each mistake has a message."""

    def refused(self, selector: str, action: Action, value: bytes | None = None, expected: bytes | None = None) -> str:
        """Gives the reason for which an entry is refused."""
        with self.assertRaises(OverlayError) as caught:
            Entry.of(selector, action, value, expected)
        return str(caught.exception)

    def test_pointers(self) -> None:
        self.assertIn("the pointer 'a' cannot be used: it does not begin with a slash", self.refused("a", "set", b"1"))
        self.assertIn("must end with its name", self.refused("/a/*", "add", b"1"))
        self.assertIn("must end with its name", self.refused("", "add", b"1"))
        self.assertIn("withdraw it", self.refused("", "remove"))

    def test_values(self) -> None:
        self.assertEqual(self.refused("/a", "set"), "to set needs a value")
        self.assertEqual(self.refused("/a", "remove", b"1"), "to remove takes no value")
        self.assertIn("the value is not JSON", self.refused("/a", "set", b"North"))
        self.assertIn("needs its quotation marks", self.refused("/a", "set", b"North"))
        self.assertIn("the expected value is not JSON", self.refused("/a", "set", b"1", b"x"))
        self.assertIn("the name 'a' twice", self.refused("/a", "set", b'{"a":1,"a":2}'))
        self.assertIn(f"{MAX_VALUE_BYTES} are the most", self.refused("/a", "set", b" " * (MAX_VALUE_BYTES + 1)))
        self.assertIn("use set in place of add", self.refused("/a", "add", b"1", b"1"))

    def test_limits_of_the_whole(self) -> None:
        entry = Entry.of("/é", "set", b"1", b"2")
        self.assertEqual(entry.size, 5)
        check_entries([entry] * MAX_ENTRIES)
        with self.assertRaisesRegex(OverlayError, "has 256 entries already"):
            check_entries([entry] * (MAX_ENTRIES + 1))
        large = Entry.of("/a", "set", b'"%b"' % (b"x" * (MAX_VALUE_BYTES - 2)))
        with self.assertRaisesRegex(OverlayError, "more than 1048576 bytes"):
            check_entries([large] * 43)
