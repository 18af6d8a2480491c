"""If-None-Match and If-Match."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.web.conditional import MAX_TAGS, is_another, is_list_of_tags, listed_tags, matching_tag, strong_tags

OPAQUE = st.binary(max_size=6).map(lambda raw: bytes(byte for byte in raw if byte == 0x21 or 0x23 <= byte != 0x7F))
TAGS = st.sampled_from([b"a", b"b", b"a,b", b"", b"W/", b"*"]) | OPAQUE
MEMBERS = st.lists(st.tuples(st.booleans(), TAGS), min_size=1, max_size=6)
SEPARATORS = st.sampled_from([b",", b", ", b" ,", b"\t,\t", b",,", b", , "])


def none_match(if_none_match: bytes | None, *etags: bytes) -> bool:
    """Whether a client has none of these, and is answered in full."""
    return matching_tag(listed_tags(if_none_match), etags) is None


class MatchingTagTests(SynchronousTestCase):
    """matching_tag: the tag of the representation that the client already has."""

    def test_selected_tag_comes_first(self) -> None:
        """A client that has several representations is told of the one that it would be sent."""
        etags = [b'"v-br"', b'"v"', b'"v-gzip"']
        self.assertEqual(matching_tag(listed_tags(b'"v-gzip", W/"v-br"'), etags), b'"v-br"')
        self.assertEqual(matching_tag(listed_tags(b'"v-gzip", "u"'), etags), b'"v-gzip"')
        self.assertEqual(matching_tag(listed_tags(b"*"), etags), b'"v-br"')
        self.assertIsNone(matching_tag(listed_tags(b'"v-zstd"'), etags))

    def test_absent_field(self) -> None:
        """A request without a precondition gets an answer."""
        self.assertTrue(none_match(None, b'"a"'))

    def test_same_tag(self) -> None:
        """The newest tag means that the client has it."""
        self.assertFalse(none_match(b'"a"', b'"a"'))
        self.assertTrue(none_match(b'"b"', b'"a"'))

    def test_comparison_is_weak(self) -> None:
        """A tag that a proxy has weakened, by compressing say, still matches (RFC 9110, 8.8.3.2)."""
        self.assertFalse(none_match(b'W/"a"', b'"a"'))

    def test_weakness_is_case_sensitive(self) -> None:
        """A small w is no mark of weakness (RFC 9110, 8.8.3)."""
        self.assertTrue(none_match(b'w/"a"', b'"a"'))

    def test_tags_are_case_sensitive(self) -> None:
        """Tags are compared byte for byte."""
        self.assertTrue(none_match(b'"A"', b'"a"'))

    def test_asterisk(self) -> None:
        """An asterisk alone matches any representation; in quotes or in a list it does not."""
        self.assertFalse(none_match(b"*", b'"a"'))
        self.assertFalse(none_match(b" *\t", b'"a"'))
        self.assertTrue(none_match(b'"*"', b'"a"'))
        self.assertTrue(none_match(b'*, "b"', b'"a"'))

    def test_comma_inside_a_tag(self) -> None:
        """Only commas between tags separate them."""
        self.assertTrue(none_match(b'"a,b"', b'"a"'))
        self.assertTrue(none_match(b'"x","b"', b'"x","b"'))
        self.assertFalse(none_match(b'"x,\\", "a"', b'"a"'))

    def test_tag_without_quotes(self) -> None:
        """A tag without its quotes is no tag: the answer is given in full."""
        self.assertTrue(none_match(b"a", b'"a"'))
        self.assertTrue(none_match(b'"a', b'"a"'))
        self.assertTrue(none_match(b'"a"b', b'"a"'))

    def test_empty_field(self) -> None:
        """An empty list matches nothing."""
        for field in (b"", b" ", b",", b", ,"):
            self.assertTrue(none_match(field, b'"a"'), field)

    def test_list_counts_up_to_where_it_is_one(self) -> None:
        """Garbage ends the list; the tags before it count, those behind it do not."""
        self.assertFalse(none_match(b'"a", garbage', b'"a"'))
        self.assertTrue(none_match(b'garbage, "a"', b'"a"'))

    def test_long_lists(self) -> None:
        """A tag behind as many as are looked at is not found, and the client is answered in full."""
        others = [b'W/"%d"' % number for number in range(MAX_TAGS)]
        self.assertFalse(none_match(b",".join((*others[1:], b'"a"')), b'"a"'))
        self.assertTrue(none_match(b",".join((*others, b'"a"')), b'"a"'))
        self.assertEqual(len(listed_tags(b'"a",' * 4000)), MAX_TAGS)

    @settings(deadline=None, max_examples=300)
    @given(MEMBERS, SEPARATORS, st.sampled_from([b"", b" ", b", ", b"\t,"]), TAGS)
    def test_lists_of_tags(
        self, members: list[tuple[bool, bytes]], separator: bytes, edge: bytes, current: bytes
    ) -> None:
        """In any list, strong and weak tags mixed and empty members between them, each tag is found."""
        field = edge + separator.join(b'%b"%b"' % (b"W/" if weak else b"", tag) for weak, tag in members) + edge
        self.assertEqual(none_match(field, b'"%b"' % current), current not in [tag for _, tag in members])

    @settings(deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes(self, field: bytes) -> None:
        """No field value raises, and none matches without having the tag in it."""
        if not none_match(field, b'"tag"'):
            self.assertTrue(b'"tag"' in field or field.strip(b" \t") == b"*")


class StrongTagsTests(SynchronousTestCase):
    """Tags that are kept, to be compared later."""

    def test_strong_tags(self) -> None:
        """Weak tags match nothing (RFC 9110, 13.1.1)."""
        for value, tags in (
            (b"*", [b"*"]),
            (b" * ", [b"*"]),
            (b'"a", W/"b" ,"c"', [b'"a"', b'"c"']),
            (b'W/"b"', []),
            (b"", []),
        ):
            self.assertEqual(strong_tags(value), tags)


class IsAnotherTests(SynchronousTestCase):
    """is_another: whether a client asks for something else than there is."""

    def test_absent_field(self) -> None:
        """A request without a precondition accepts any representation."""
        self.assertFalse(is_another(None, b'"a"'))

    def test_comparison_is_strong(self) -> None:
        """A weak tag is not the same as any (RFC 9110, 8.8.3.2 and 13.1.1)."""
        self.assertFalse(is_another(b'"a"', b'"a"'))
        self.assertFalse(is_another(b'W/"a", "b" ,, "a"', b'"a"'))
        self.assertTrue(is_another(b'W/"a"', b'"a"'))
        self.assertTrue(is_another(b'"A", "a-gzip"', b'"a"'))

    def test_asterisk(self) -> None:
        """An asterisk alone matches any representation; in quotes it is a tag."""
        self.assertFalse(is_another(b" *\t", b'"a"'))
        self.assertTrue(is_another(b'"*"', b'"a"'))
        self.assertTrue(is_another(b'*, "b"', b'"a"'))

    def test_long_lists(self) -> None:
        """A tag behind as many as are looked at is not found, and the client is answered 412."""
        others = [b'"%d"' % number for number in range(MAX_TAGS)]
        self.assertFalse(is_another(b",".join((*others[1:], b'"a"')), b'"a"'))
        self.assertTrue(is_another(b",".join((*others, b'"a"')), b'"a"'))

    def test_what_is_no_tag(self) -> None:
        """A malformed If-None-Match field names no tag."""
        for field in (b"", b",", b"a", b'"a', b'a"', b'w/"a"', b'garbage, "a"'):
            self.assertTrue(is_another(field, b'"a"'), field)

    @settings(deadline=None, max_examples=300)
    @given(MEMBERS, SEPARATORS, TAGS)
    def test_lists_of_tags(self, members: list[tuple[bool, bytes]], separator: bytes, current: bytes) -> None:
        """Only the strong tags of a list are found."""
        field = separator.join(b'%b"%b"' % (b"W/" if weak else b"", tag) for weak, tag in members)
        self.assertEqual(is_another(field, b'"%b"' % current), (False, current) not in members)


class ListTests(SynchronousTestCase):
    """is_list_of_tags."""

    def test_lists(self) -> None:
        """Empty members and white space around the commas do not count (RFC 9110, 5.6.1)."""
        for value in (b"*", b" *\t", b'"a"', b'W/"a"', b'"a", W/"b" ,"c"', b'"a",', b', "a"', b'"a",, "b"', b'""'):
            self.assertTrue(is_list_of_tags(value), value)

    def test_other_values(self) -> None:
        """A list is parsed up to its end: what is behind the last tag counts."""
        for value in (b"", b",", b"a", b'"a', b'"a" b', b'"a", b', b'"a" "', b'*, "a"', b'w/"a"'):
            self.assertFalse(is_list_of_tags(value), value)

    def test_long_lists(self) -> None:
        """More tags than are looked at are no list."""
        tags = [b'"%d"' % number for number in range(MAX_TAGS + 1)]
        self.assertTrue(is_list_of_tags(b",".join(tags[1:])))
        self.assertFalse(is_list_of_tags(b",".join(tags)))

    @given(MEMBERS, SEPARATORS, st.sampled_from([b"", b" ", b", "]))
    def test_any_list(self, members: list[tuple[bool, bytes]], separator: bytes, end: bytes) -> None:
        """Any tags are a list, however they are separated."""
        value = separator.join(b'%b"%b"' % (b"W/" if weak else b"", tag) for weak, tag in members)
        self.assertTrue(is_list_of_tags(value + end))
