"""An overlay changes the values that its entries name, and no other byte."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.gate import check_document
from livefeed.document.overlaid import MAX_PLACES, Conflict, Place, apply, pointers_in
from livefeed.document.overlay import Action, Entry
from livefeed.document.pointer import index_of
from livefeed.document.selectors import name_segment, text_of
from tests.helpers.written_json import NAMES, VALUES, written

NIGHT = b"""{
  "counted": 1.50,
  "districts": [
    {"name": "North", "votes": 120, "winner": "A"},
    {"name": "South", "votes": 80,  "winner": "B"}
  ],
  "notice": null
}
"""


def result_of(data: bytes, *entries: Entry) -> str:
    """Gives the document with an overlay in which every entry fits."""
    overlaid = apply(data, entries)
    assert not overlaid.conflicts, overlaid.conflicts
    return overlaid.data.decode()


def why_not(data: bytes, *entries: Entry) -> list[str]:
    """Gives the reasons for which entries change nothing."""
    overlaid = apply(data, entries)
    return [f"{conflict.pointer}: {conflict.why}" for conflict in overlaid.conflicts]


class SetTests(SynchronousTestCase):
    """A value takes the place of the source's."""

    def test_only_the_value_changes(self) -> None:
        entry = Entry.of("/districts/{name=South}/winner", "set", b' "C" ')
        overlaid = apply(NIGHT, [entry])
        self.assertEqual(overlaid.data, NIGHT.replace(b'"B"', b'"C"'))
        self.assertEqual(overlaid.places, (Place(0, "/districts/1/winner", b'"B"'),))
        self.assertEqual(overlaid.conflicts, ())
        self.assertEqual(overlaid.pointers, ("/districts/1/winner",))

    def test_the_element_is_found_wherever_it_stands(self) -> None:
        entry = Entry.of("/{name=South}/winner", "set", b'"C"')
        self.assertEqual(
            apply(b'[{"name":"South","winner":"B"},{"name":"North"}]', [entry]).pointers,
            ("/0/winner",),
        )
        self.assertEqual(
            apply(b'[{"name":"North"},{"name":"South","winner":"B"}]', [entry]).pointers,
            ("/1/winner",),
        )

    def test_all_values_that_a_selector_names(self) -> None:
        overlaid = apply(NIGHT, [Entry.of("/districts/*/votes", "set", b"0")])
        self.assertEqual([place.hidden for place in overlaid.places], [b"120", b"80"])
        self.assertEqual(overlaid.data, NIGHT.replace(b"120", b"0").replace(b"80", b"0"))

    def test_the_whole_document(self) -> None:
        overlaid = apply(b' {"a":1} ', [Entry.of("", "set", b"{}")])
        self.assertEqual(overlaid.data, b" {} ")
        self.assertEqual(overlaid.places, (Place(0, "", b'{"a":1}'),))

    def test_no_entries_change_nothing(self) -> None:
        overlaid = apply(b"no JSON", [])
        self.assertEqual((overlaid.data, overlaid.pointers), (b"no JSON", ()))


class ExpectedTests(SynchronousTestCase):
    """An entry with an expected value yields when the source has another one."""

    def test_values_are_compared_and_not_texts(self) -> None:
        for text, expected in (
            (b'{"a":1.50}', b"1.5"),
            (b'{"a":1}', b"1.0"),
            (b'{"a":"\\u0041"}', b'"A"'),
            (b'{"a":{"x" : 1,"y":[true]}}', b'{"y":[true],"x":1e0}'),
        ):
            entry = Entry.of("/a", "set", b"7", expected)
            self.assertEqual(result_of(text, entry), '{"a":7}')

    def test_values_in_reasons_command_no_terminal(self) -> None:
        """JSON may have the control characters of Unicode as they are."""
        (conflict,) = apply('{"a":"\x9b31m"}'.encode(), [Entry.of("/a", "set", b"7", b"8")]).conflicts
        self.assertEqual(conflict.why, 'the source has " 31m", and not the expected value')

    def test_another_value_stays(self) -> None:
        entry = Entry.of("/districts/{name=South}/winner", "set", b'"C"', b'"A"')
        overlaid = apply(NIGHT, [entry])
        self.assertIs(overlaid.data[:], NIGHT)
        self.assertEqual(
            overlaid.conflicts,
            (Conflict(0, "/districts/1/winner", 'the source has "B", and not the expected value'),),
        )

    def test_one_of_several(self) -> None:
        entry = Entry.of("/districts/*/winner", "set", b"null", b'"A"')
        overlaid = apply(NIGHT, [entry])
        self.assertEqual(overlaid.pointers, ("/districts/0/winner",))
        self.assertEqual([conflict.pointer for conflict in overlaid.conflicts], ["/districts/1/winner"])

    def test_true_is_not_1_and_depth_is_no_error(self) -> None:
        self.assertTrue(why_not(b'{"a":true}', Entry.of("/a", "remove", expected=b"1")))
        deep = b'{"a":%b}' % (b"[" * 3000 + b"]" * 3000)
        self.assertTrue(why_not(deep, Entry.of("/a", "remove", expected=b"1")))
        long = b'{"a":"%b"}' % (b"x" * 500)
        (why,) = why_not(long, Entry.of("/a", "remove", expected=b"1"))
        self.assertLess(len(why), 150)


class RemoveTests(SynchronousTestCase):
    """A member or an element goes, with one of the commas around it."""

    def test_a_member_in_every_position(self) -> None:
        document = b'{ "a": 1 ,\n  "b": 2,  "c": 3 }'
        self.assertEqual(result_of(document, Entry.of("/a", "remove")), '{ "b": 2,  "c": 3 }')
        self.assertEqual(result_of(document, Entry.of("/b", "remove")), '{ "a": 1,  "c": 3 }')
        self.assertEqual(result_of(document, Entry.of("/c", "remove")), '{ "a": 1 ,\n  "b": 2 }')

    def test_several_and_all(self) -> None:
        entries = {name: Entry.of(f"/{name}", "remove") for name in "abcd"}
        document = b'{"a":1, "b":2, "c":3, "d":4}'
        self.assertEqual(result_of(document, entries["a"], entries["b"]), '{"c":3, "d":4}')
        self.assertEqual(result_of(document, entries["b"], entries["c"]), '{"a":1, "d":4}')
        self.assertEqual(result_of(document, entries["d"], entries["b"]), '{"a":1, "c":3}')
        self.assertEqual(result_of(document, *entries.values()), "{}")
        self.assertEqual(result_of(b"[ 1, 2 ]", Entry.of("/*", "remove")), "[]")

    def test_pointers_are_those_of_the_result(self) -> None:
        entries = [
            Entry.of("/{n=1}", "remove"),
            Entry.of("/{n=0}", "remove"),
            Entry.of("/{n=2}/n", "set", b"9"),
            Entry.of("/{n=3}/x", "remove"),
        ]
        overlaid = apply(b'[{"n":0},{"n":1},{"n":2},{"n":3,"x":0}]', entries)
        self.assertEqual(overlaid.data, b'[{"n":9},{"n":3}]')
        self.assertEqual(
            overlaid.places,
            (
                Place(0, "", b'{"n":1}'),  # there is no element to point at: its array
                Place(1, "", b'{"n":0}'),
                Place(2, "/0/n", b"2"),
                Place(3, "/1/x", b"0"),
            ),
        )


class AddTests(SynchronousTestCase):
    """A member is added if the source does not have it, in the style of its neighbours."""

    def test_it_is_the_last_member(self) -> None:
        entry = Entry.of("/x~1y", "add", b"9")
        self.assertEqual(result_of(b'{"a": 1,\n "b" : 2 }', entry), '{"a": 1,\n "b" : 2,\n "x/y" : 9 }')
        self.assertEqual(result_of(b'{ "a": 1 }', entry), '{ "a": 1, "x/y": 9 }')
        self.assertEqual(result_of(b"{ }", entry), '{"x/y":9}')
        self.assertEqual(apply(b"{}", [entry]).places, (Place(0, "/x~1y", None),))

    def test_a_member_that_is_there_is_replaced(self) -> None:
        overlaid = apply(b'{"a":1,"b":2}', [Entry.of("/a", "add", b"9")])
        self.assertEqual(overlaid.data, b'{"a":9,"b":2}')
        self.assertEqual(overlaid.places, (Place(0, "/a", b"1"),))

    def test_while_others_are_removed(self) -> None:
        added = [Entry.of("/x", "add", b"8"), Entry.of("/y", "add", b"9")]
        remove_b, remove_a = Entry.of("/b", "remove"), Entry.of("/a", "remove")
        self.assertEqual(result_of(b'{"a":1, "b":2}', remove_b, *added), '{"a":1, "x":8, "y":9}')
        self.assertEqual(result_of(b'{"a":1, "b":2}', *added, remove_a), '{"b":2, "x":8, "y":9}')
        self.assertEqual(result_of(b'{"a":1, "b":2}', *added, remove_a, remove_b), '{"x":8,"y":9}')

    def test_only_objects_have_members(self) -> None:
        entry = Entry.of("/districts/0", "add", b"1")
        self.assertEqual(
            why_not(NIGHT, entry),
            ["/districts/0: the source's document has no object at /districts for another member now"],
        )
        several = Entry.of("/districts/*/checked", "add", b"true")
        self.assertEqual(apply(NIGHT, [several]).pointers, ("/districts/0/checked", "/districts/1/checked"))


class ConflictTests(SynchronousTestCase):
    """An entry that does not fit changes nothing, and the others do."""

    def test_nothing_is_there(self) -> None:
        """The reason says from where on."""
        for selector, lacking in (
            ("/districts/{name=West}/winner", "/districts/{name=West}"),
            ("/districts/{name=North}/winer", "/districts/{name=North}/winer"),
            ("/distrcts/*/winner", "/distrcts"),
            ("/distrcts", "/distrcts"),
        ):
            (why,) = why_not(NIGHT, Entry.of(selector, "set", b"1"))
            self.assertEqual(why, f"{selector}: the source's document has no {lacking} now")
        (why,) = why_not(b"[]", Entry.of("/notice", "add", b"1"))
        self.assertEqual(why, "/notice: the source's document has no object at the top for another member now")

    def test_two_elements_of_one_name(self) -> None:
        entry = Entry.of("/{n=1}/v", "set", b"9")
        document = b'[{"n":1,"v":0},{"n":1,"v":0}]'
        self.assertEqual(why_not(document, entry), ["/{n=1}/v: 2 elements of the source's document have this name"])

    def test_too_many_values(self) -> None:
        document = json.dumps(list(range(MAX_PLACES + 1))).encode()
        (why,) = why_not(document, Entry.of("/*", "set", b"0"))
        self.assertEqual(why, "/*: it names 1025 values, and 1024 are the most")

    def test_the_later_of_two_entries_for_one_value_counts(self) -> None:
        entries = [Entry.of("/0", "set", b"1"), Entry.of("/{n=0}", "set", b"2")]
        overlaid = apply(b'[{"n":0}]', entries)
        self.assertEqual(overlaid.data, b"[2]")
        self.assertEqual(overlaid.conflicts, (Conflict(0, "/0", "a later entry changes the same value"),))

    def test_the_outermost_of_nested_entries_counts_in_any_order(self) -> None:
        inner, outer = Entry.of("/districts/0/votes", "set", b"1"), Entry.of("/districts", "remove")
        for entries in ([inner, outer], [outer, inner]):
            overlaid = apply(NIGHT, entries)
            self.assertNotIn(b"districts", overlaid.data)
            (conflict,) = overlaid.conflicts
            self.assertEqual(conflict.entry, entries.index(inner))
            self.assertEqual(conflict.why, "it lies in /districts, which another entry changes")
        (why,) = why_not(b'{"a":1}', Entry.of("", "set", b"1"), Entry.of("/a", "set", b"1"))
        self.assertEqual(why, "/a: it lies in the whole document, which another entry changes")

    def test_an_inner_entry_counts_if_the_outer_one_does_not_fit(self) -> None:
        entries = [Entry.of("/a", "remove", expected=b"0"), Entry.of("/a/b", "set", b"2")]
        overlaid = apply(b'{"a":{"b":1}}', entries)
        self.assertEqual(overlaid.data, b'{"a":{"b":2}}')

    def test_a_document_that_parsers_read_differently(self) -> None:
        for entry in (Entry.of("/a", "set", b"9"), Entry.of("/a", "add", b"9"), Entry.of("/b/c", "add", b"9")):
            document = b'{"a":1,"a":2,"b":{}}'
            overlaid = apply(document, [entry])
            self.assertEqual(overlaid.data, document)
            self.assertIn("cannot be read there", overlaid.conflicts[0].why)

    def test_no_document(self) -> None:
        for document in (b"", b"nul", b"{", b"\xff", b"[" * 100_000):
            overlaid = apply(document, [Entry.of("/a/b", "set", b"1"), Entry.of("/a", "add", b"1")])
            self.assertEqual(overlaid.data, document)
            self.assertEqual(len(overlaid.conflicts), 2)

    @given(st.binary(max_size=20), st.sampled_from(("", "/a", "/*", "/{a=1}/b", "/{a=*}")))
    @example(b'[{"a":"\xff"}]', "/{a=1}/b")
    def test_any_bytes_are_no_error(self, document: bytes, selector: str) -> None:
        apply(document, [Entry.of(selector, "set", b"1")])


class PointersTests(SynchronousTestCase):
    """Of a document whose overlay nobody remembers, the values that entries would have put there are found."""

    def test_values(self) -> None:
        entry = Entry.of("/districts/*/winner", "set", b'"A"')
        self.assertEqual(pointers_in(NIGHT, [entry]), ("/districts/0/winner",))
        self.assertEqual(pointers_in(NIGHT, [Entry.of("/notice", "add", b"null")]), ("/notice",))
        self.assertEqual(pointers_in(NIGHT, [Entry.of("/notice", "add", b"1")]), ())

    def test_removals(self) -> None:
        """A member is missing; of an array, it is not known which element is."""
        self.assertEqual(pointers_in(NIGHT, [Entry.of("/districts/0/note", "remove")]), ("/districts/0/note",))
        self.assertEqual(pointers_in(NIGHT, [Entry.of("/districts/{name=West}", "remove")]), ("/districts",))
        self.assertEqual(pointers_in(NIGHT, [Entry.of("/notice", "remove")]), ())

    def test_a_document_in_which_nothing_can_be_found(self) -> None:
        entries = [Entry.of("/a/b", "set", b"1"), Entry.of("/0", "set", b"1")]
        self.assertEqual(pointers_in(b"[" * 100_000, entries), ())


# Reference: the same edits, made to decoded values.


def paths_of(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Gives the path to each value."""
    inner: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = [(str(index), element) for index, element in enumerate(value)]
    return [path, *(found for token, each in inner for found in paths_of(each, (*path, token)))]


def container_at(value: Any, path: tuple[str, ...]) -> Any:
    """Gives the value at a path."""
    for token in path:
        value = value[int(token) if isinstance(value, list) else token]
    return value


Edit = tuple[tuple[str, ...], Action, Any]


def edited(value: Any, edits: list[Edit]) -> Any:
    """Makes edits of different values, none of which lies in another."""
    value = deepcopy(value)
    # From the last element to the first, so that indexes stay valid.
    in_order = sorted(edits, key=lambda edit: [(index_of(token) or 0, token) for token in edit[0]], reverse=True)
    for path, action, new in in_order:
        if not path:
            return new
        container = container_at(value, path[:-1])
        key = int(path[-1]) if isinstance(container, list) else path[-1]
        if action == "remove":
            del container[key]
        else:
            container[key] = new
    return value


@st.composite
def edits_of(draw: st.DrawFn, value: Any) -> list[Edit]:
    """Gives edits of different values, none of which lies in another."""
    chosen: list[tuple[str, ...]] = []
    edits: list[Edit] = []
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(paths_of(value)))
        action: Action = draw(st.sampled_from(("set", "add", "remove")))
        if action == "add":
            if not isinstance(container_at(value, path), dict):
                continue
            path = (*path, draw(NAMES))
        if action == "remove" and not path:
            continue
        if any(path[: len(other)] == other or other[: len(path)] == path for other in chosen):
            continue
        chosen.append(path)
        edits.append((path, action, None if action == "remove" else draw(VALUES)))
    return edits


class PropertyTests(SynchronousTestCase):
    """For documents of all kinds, written in all ways."""

    @given(st.data(), VALUES)
    def test_the_result_has_the_value_of_the_same_edits(self, data: st.DataObject, value: Any) -> None:
        document = data.draw(written(value))
        edits = data.draw(edits_of(value))
        entries = [
            Entry.of(
                text_of(tuple(name_segment(token) for token in path)),
                action,
                None if action == "remove" else json.dumps(new).encode(),
            )
            for path, action, new in edits
        ]
        overlaid = apply(document, entries)
        self.assertEqual(overlaid.conflicts, ())
        check_document(overlaid.data, max_bytes=1 << 20)
        result = json.loads(overlaid.data)
        self.assertEqual(result, edited(value, edits))
        shuffled = data.draw(st.permutations(entries))
        self.assertEqual(json.loads(apply(document, shuffled).data), result)
        # The pointers lead to the new values in the result, and the hidden values are those of the source.
        for place in overlaid.places:
            path, action, new = edits[place.entry]
            if action != "remove":
                tokens = tuple(token.replace("~1", "/").replace("~0", "~") for token in place.pointer.split("/")[1:])
                self.assertEqual(container_at(result, tokens), new)
            if place.hidden is None:
                self.assertEqual(action, "add")
            else:
                self.assertEqual(json.loads(place.hidden), container_at(value, path))

    @given(st.data(), VALUES)
    def test_all_other_bytes_stay(self, data: st.DataObject, value: Any) -> None:
        document = data.draw(written(value))
        path = data.draw(st.sampled_from(paths_of(value)))
        selector = text_of(tuple(name_segment(token) for token in path))
        overlaid = apply(document, [Entry.of(selector, "set", b'"\\u0000new"')])
        before, _, after = overlaid.data.partition(b'"\\u0000new"')
        (place,) = overlaid.places
        assert place.hidden is not None
        self.assertEqual(before + place.hidden + after, document)
