"""Selectors are read, and their segments are written."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.selectors import (
    MAX_SELECTOR_CHARACTERS,
    MAX_TOKENS,
    Each,
    EachNamed,
    Element,
    Name,
    SelectorError,
    element_segment,
    name_segment,
    parse_selector,
    text_of,
)

NAMES = st.text(alphabet="ab/~01*{}=é😀", max_size=4)


class ParsingTests(SynchronousTestCase):
    """parse_selector, and the segments that it reads."""

    def refusal(self, text: str) -> str:
        return str(self.assertRaises(SelectorError, parse_selector, text))

    def test_tokens(self) -> None:
        """Each kind of segment."""
        self.assertEqual(parse_selector("").tokens, ())
        self.assertEqual(
            parse_selector("/a/*/{name=North}/{name=*}/0/").tokens,
            (Name("a"), Each(), Element("name", "North"), EachNamed("name"), Name("0"), Name("")),
        )

    def test_escapes(self) -> None:
        """Characters with a meaning can be in names, members and their values."""
        self.assertEqual(
            parse_selector("/~2/~3a=b}/~0~1/**/{~4~3=~2}/{a=b=c}/{a=}/{a=}}").tokens,
            (
                *(Name("*"), Name("{a=b}"), Name("~/"), Name("**")),
                *(Element("={", "*"), Element("a", "b=c"), Element("a", ""), Element("a", "}")),
            ),
        )
        self.assertEqual(parse_selector("/~01").tokens, (Name("~1"),))

    @settings(deadline=None)
    @given(st.lists(NAMES, max_size=MAX_TOKENS), NAMES.filter(bool), NAMES)
    def test_segments_are_read_back(self, names: list[str], member: str, value: str) -> None:
        """The segment of any name, and of any element, stands for it."""
        path = (*map(name_segment, names[1:]), element_segment(member, value))
        expected = (*map(Name, names[1:]), Element(member, value))
        self.assertEqual(parse_selector(text_of(path)).tokens, expected)

    @settings(deadline=None)
    @given(NAMES | st.text(max_size=20) | st.text(alphabet="/~0123456{}=*a", max_size=12))
    def test_anything_is_read_or_refused(self, text: str) -> None:
        """No text raises anything but a SelectorError."""
        try:
            selector = parse_selector(text)
        except SelectorError as error:
            self.assertTrue(str(error))
        else:
            self.assertEqual(len(selector.tokens), text.count("/"))
            self.assertEqual(selector.text, text)

    def test_refusals_name_the_place(self) -> None:
        """The message has the position of the character, from 1 on, and the way to write it."""
        self.assertIn("begin with a slash", self.refusal("votes"))
        self.assertIn("at character 4, no digit", self.refusal("/ab~5"))
        self.assertIn("at character 7,", self.refusal("/ab/cd~"))
        for text in ("/ab/{", "/ab/{}", "/ab/{a}", "/ab/{=x}", "/ab/{a=x", "/ab/{a=x}y"):
            refusal = self.refusal(text)
            self.assertIn("at character 5, the {", refusal)
            self.assertIn("~3", refusal)

    def test_limits(self) -> None:
        """A selector of just the limit is read, one more is refused."""
        self.assertEqual(len(parse_selector("/" * MAX_TOKENS).tokens), MAX_TOKENS)
        self.assertIn(f"{MAX_TOKENS} are the most", self.refusal("/" * (MAX_TOKENS + 1)))
        parse_selector("/" + "a" * (MAX_SELECTOR_CHARACTERS - 1))
        self.assertIn(f"{MAX_SELECTOR_CHARACTERS} are the most", self.refusal("/" + "a" * MAX_SELECTOR_CHARACTERS))

    def test_single(self) -> None:
        """Only stars name several values."""
        for text in ("", "/a/0", "/a/{name=x}/b", "/~2"):
            self.assertTrue(parse_selector(text).is_single, text)
        for text in ("/*", "/a/{name=*}/b"):
            self.assertFalse(parse_selector(text).is_single, text)
