"""Messages list pointers that lead to every overlaid value, and not too many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.overlaid_pointers import (
    MAX_FIELD_CHARACTERS,
    MAX_FIELD_POINTERS,
    MAX_LISTED,
    MAX_LISTED_CHARACTERS,
    field_value,
    listed,
    listed_below,
)
from livefeed.document.pointer import pointer_of


class ListedTests(SynchronousTestCase):
    """Lists of the whole document and of its parts."""

    def test_a_pointer_below_another_is_left_out(self) -> None:
        self.assertEqual(listed(["/a/b", "/a", "/a!", "/b", "/b"]), ("/a", "/a!", "/b"))
        self.assertEqual(listed(["/a", ""]), ("",))
        self.assertEqual(listed([]), ())

    def test_too_many_are_shortened(self) -> None:
        self.assertEqual(listed(["/a/b/c", "/a/d/e", "/x"], most=2), ("/a", "/x"))
        self.assertEqual(listed(["/a/b/c", "/x"], most_characters=4), ("/a", "/x"))
        self.assertEqual(listed(["/abcdef"], most_characters=4), ("",))

    @given(st.lists(st.lists(st.sampled_from("ab!"), max_size=4).map(pointer_of), max_size=8), st.integers(1, 4))
    def test_everything_is_at_or_below_a_pointer_of_the_list(self, pointers: list[str], most: int) -> None:
        kept = listed(pointers, most=most)
        self.assertLessEqual(len(kept), most)
        for pointer in pointers:
            self.assertTrue(any(f"{pointer}/".startswith(f"{each}/") for each in kept))

    def test_a_part_lists_the_pointers_in_it(self) -> None:
        pointers = ("/a/b/c", "/a!", "/d")
        self.assertEqual(listed_below(pointers, ""), pointers)
        self.assertEqual(listed_below(pointers, "/a"), ("/b/c",))
        self.assertEqual(listed_below(pointers, "/d"), ("",))
        self.assertEqual(listed_below(pointers, "/d/e"), ("",))
        self.assertEqual(listed_below(pointers, "/c"), ())

    def test_a_list_has_room_in_a_message(self) -> None:
        # A character of a pointer takes six bytes of JSON at most.
        self.assertLess(6 * MAX_LISTED_CHARACTERS + 3 * MAX_LISTED, 16 * 1024)


class FieldTests(SynchronousTestCase):
    """The list as a field of HTTP."""

    def test_it_is_written_as_in_a_url(self) -> None:
        value = field_value(["/districts/3/winner", '/caf\u00e9 "x"/a~1b', ""])
        self.assertEqual(value, b'""')
        value = field_value(["/districts/3/winner", '/caf\u00e9, "x"/a~1b'])
        self.assertEqual(value, b'"/caf%C3%A9%2C%20%22x%22/a~1b", "/districts/3/winner"')

    @given(st.lists(st.text(max_size=300).map(lambda name: pointer_of([name, "x"])), max_size=40))
    def test_it_is_short_and_ascii(self, pointers: list[str]) -> None:
        value = field_value(pointers)
        self.assertLessEqual(len(value), MAX_FIELD_CHARACTERS + 4 * MAX_FIELD_POINTERS)
        self.assertTrue(value.isascii())
        self.assertEqual(bool(value), bool(pointers))
