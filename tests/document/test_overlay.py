"""Somebody who has typed a wrong entry of an overlay is told how a right one looks."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.overlay import (
    MAX_ENTRIES,
    MAX_VALUE_BYTES,
    Action,
    Edit,
    Entry,
    OverlayError,
    check_entries,
    with_edit,
    without_edit,
)


def edit_of(pointer: str, value: str | None = "1") -> Edit:
    """Gives an edit of somebody."""
    return Edit(pointer, "remove" if value is None else "set", value, None, by="ada", at=0.0)


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


class EditTests(SynchronousTestCase):
    """An overlay is changed by one edit after the other."""

    def test_texts_become_an_entry(self) -> None:
        edit = Edit("/a", "set", ' "é" ', "1.50", by="ada", at=0.0, reason="as phoned in")
        self.assertEqual(edit.entry(), Entry.of("/a", "set", '"é"'.encode(), b"1.50"))
        self.assertEqual(edit_of("/a", None).entry(), Entry.of("/a", "remove"))
        with self.assertRaisesRegex(OverlayError, "half of a surrogate pair"):
            edit_of("/a", '"\ud800"').entry()

    def test_an_edit_of_the_same_pointer_takes_the_place_of_the_one_before(self) -> None:
        edits = with_edit(with_edit((), edit_of("/a")), edit_of("/b"))
        self.assertEqual([each.pointer for each in edits], ["/a", "/b"])
        edits = with_edit(edits, edit_of("/a", "2"))
        self.assertEqual([(each.pointer, each.value) for each in edits], [("/b", "1"), ("/a", "2")])

    def test_a_malformed_edit_and_one_too_many_are_refused(self) -> None:
        with self.assertRaisesRegex(OverlayError, "not JSON"):
            with_edit((), edit_of("/a", "North"))
        full = tuple(edit_of(f"/{number}") for number in range(MAX_ENTRIES))
        with self.assertRaisesRegex(OverlayError, "256 entries already"):
            with_edit(full, edit_of("/another"))
        self.assertEqual(len(with_edit(full, edit_of("/0", "2"))), MAX_ENTRIES)

    def test_an_edit_is_dropped_by_its_pointer(self) -> None:
        edits = (edit_of("/a"), edit_of(""))
        self.assertEqual(without_edit(edits, "/a"), edits[1:])
        self.assertEqual(without_edit(edits, ""), edits[:1])
        with self.assertRaisesRegex(OverlayError, "no entry for '/c'; it has /a, \"\"$"):
            without_edit(edits, "/c")
        with self.assertRaisesRegex(OverlayError, "no entries"):
            without_edit((), "/c")
        with self.assertRaisesRegex(OverlayError, "/7 and 2 more$"):
            without_edit([edit_of(f"/{number}") for number in range(10)], "/c")
