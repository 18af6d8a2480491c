"""A patch turns the old document into the new one, to the last digit."""

from __future__ import annotations

import json
import math
import random
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document import diff as diff_module
from livefeed.document.diff import MAX_DEPTH, MAX_SHIFTS, diff
from livefeed.document.exact_json import DeltaError, encode, parse
from livefeed.document.gate import check_document
from livefeed.document.patch import apply_patch
from tests.helpers.exact_patches import Number, patched, read, same

if TYPE_CHECKING:
    from collections.abc import Callable

# Numbers as texts that a float, an int or another writer would not reproduce, and pairs of equal value.
NUMBERS = ("0", "-0", "0.0", "1", "1.0", "1.5", "1.50", "15e-1", "1e400", "1E400", "12345678901234567890", "9" * 5000)
NAMES = ("", "/", "~", "~01", "~1", "a/b", "a", "b", "-", "0", "01", "é😀", '"\\', "\x00\u2028")
LEAVES = st.sampled_from(["null", "true", "false", '"1"', '"\\ud83d\\ude00"', '"😀"', r'"\u0061\/"', '"a/"', *NUMBERS])


def _object(members: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)} :{text}" for name, text in members.items()) + "}"


# JSON texts rather than values, so that nothing here writes a number.
TEXTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=6).map(lambda elements: "[" + " ,".join(elements) + "]")
        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5).map(_object)
    ),
    max_leaves=25,
)


def make_patch(old: bytes, new: bytes) -> bytes:
    """Gives the patch from one document to another."""
    return diff(parse(old), parse(new))


def edited(draw: st.DrawFn, value: Any) -> Any:
    """Gives a value with a few changes."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        changed = {other: member for other, member in value.items() if other != name}
        if draw(st.integers(0, 3)):
            changed[draw(st.sampled_from([name, *NAMES]))] = edited(draw, value[name])
        return changed
    if isinstance(value, list) and draw(st.integers(0, 4)):
        elements = list(value)
        for _ in range(draw(st.integers(1, 4))):
            index = draw(st.integers(0, len(elements)))
            kind = draw(st.sampled_from(["insert", "remove", "edit", "move"]))
            if kind == "insert":
                elements.insert(index, read(draw(LEAVES)))
            elif index < len(elements):
                element = elements.pop(index)
                if kind != "remove":
                    element = edited(draw, element) if kind == "edit" else element
                    elements.insert(index if kind == "edit" else draw(st.integers(0, len(elements))), element)
        return elements
    return read(draw(TEXTS))


def written(value: Any) -> str:
    if isinstance(value, Number):
        return value[0]
    if isinstance(value, dict):
        return _object({name: written(member) for name, member in value.items()})
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


@st.composite
def versions(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Two documents, the second with a few changes, its members perhaps in another order."""
    old = draw(TEXTS | st.lists(LEAVES, max_size=30).map(lambda elements: "[" + ",".join(elements) + "]"))
    return old.encode(), written(edited(draw, read(old))).encode()


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class _Case(SynchronousTestCase):
    def check(self, old: bytes, new: bytes) -> bytes:
        """Makes a patch, and checks it by two ways of applying it."""
        patch = make_patch(old, new)
        self.assertTrue(same(patched(read(old), read(patch)), read(new)), (old, new, patch))
        self.assertTrue(same(read(apply_patch(old, patch)), read(new)), (old, new, patch))
        return patch


class MakePatchTests(_Case):
    """diff and parse."""

    @settings(deadline=None, max_examples=500)
    @given(versions())
    def test_edits(self, pair: tuple[bytes, bytes]) -> None:
        """The patch contains any change in any document."""
        self.check(*pair)

    @settings(deadline=None, max_examples=300)
    @given(TEXTS, TEXTS)
    @example("[1,true,0,false]", "[true,1,false,0]")
    @example('"1"', "1")
    @example("{}", "[]")
    @example("1.5", "1.50")
    def test_any_two_documents(self, old: str, new: str) -> None:
        """This includes documents that have nothing in common."""
        self.check(old.encode(), new.encode())

    @settings(deadline=None)
    @given(st.lists(st.integers(0, 9), max_size=20), st.lists(st.integers(0, 9), max_size=20))
    def test_arrays(self, old: list[int], new: list[int]) -> None:
        """Equal elements are distinguished by their place."""
        self.check(compact({"a": old, "long": "x" * 2000}), compact({"a": new, "long": "x" * 2000}))

    @settings(deadline=None)
    @given(versions())
    def test_no_larger_than_the_document(self, pair: tuple[bytes, bytes]) -> None:
        """If operations would be longer than the new value, the value is replaced."""
        whole = compact([{"op": "replace", "path": "", "value": None}])
        patch = read(make_patch(*pair))
        if len(patch) > 1:
            self.assertLess(len(written(patch)), 2 * (len(whole) + len(written(read(pair[1])))))

    def test_equal_documents(self) -> None:
        """The order of members, white space and escapes make no difference to a value."""
        self.assertEqual(make_patch(b'{"a":1,"b":"\\u00e9"}', '{ "b":"é",\n"a":1 }'.encode()), b"[]")

    def test_patch_is_compact(self) -> None:
        """The operations are the shortest, without white space, and characters are not escaped."""
        old = '{"a":{"b":[1,2,{"é/~":1.50}],"c":"some text that stays"}}'.encode()
        new = '{"a":{"b":[1,2,{"é/~":1.5}],"c":"some text that stays"}}'.encode()
        self.assertEqual(self.check(old, new).decode(), '[{"op":"replace","path":"/a/b/2/é~1~0","value":1.5}]')

    @settings(deadline=None)
    @given(versions())
    def test_operations_have_what_they_need(self, pair: tuple[bytes, bytes]) -> None:
        """Each is one of four, with a pointer, and with a value or another pointer if it takes one (RFC 6902, 4)."""
        patch = json.loads(make_patch(*pair), parse_int=str, parse_float=str)
        self.assertIsInstance(patch, list)
        for operation in patch:
            value = {"value"} if operation["op"] in ("add", "replace") else set()
            source = {"from"} if operation["op"] == "move" else set()
            self.assertEqual({*operation}, {"op", "path"} | value | source)
            self.assertIn(operation["op"], ("add", "replace", "remove", "move"))
            self.assertRegex(operation["path"], r"\A(?:/(?:[^~/]|~[01])*)*\Z")

    def test_numbers_by_their_text(self) -> None:
        """Two ways to write one number are two numbers, and each survives."""
        for number in NUMBERS:
            for other in NUMBERS:
                old, new = (b'{"n":%b,"s":"%b"}' % (text.encode(), b"x" * 99) for text in (number, other))
                value = other if number != other else None
                expected = f'[{{"op":"replace","path":"/n","value":{value}}}]' if value else "[]"
                self.assertEqual(self.check(old, new).decode(), expected)

    def test_booleans_are_no_numbers(self) -> None:
        """1 and true differ, although they are equal in Python."""
        self.assertEqual(self.check(b'{"a":1}', b'{"a":true}'), b'[{"op":"replace","path":"/a","value":true}]')

    def test_strings_are_no_numbers(self) -> None:
        """1.50 and "1.50" differ."""
        self.assertEqual(self.check(b"1.50", b'"1.50"'), b'[{"op":"replace","path":"","value":"1.50"}]')

    def test_half_surrogates(self) -> None:
        """Even characters that the gate refuses are kept: in values, in names, and beside other characters."""
        for old, new in (
            (rb'{"a":"\ud800"}', rb'{"a":"\udfff"}'),
            (rb'{"\ud800":1,"b":[]}', rb'{"\ud800":2.50,"b":[{},null,true,{"x":"y","z":0}]}'),
            (rb'["\ud800",1,2]', '["é\\ud800",{"😀":-0}]'.encode()),
        ):
            self.check(old, new)

    def test_odd_names(self) -> None:
        """Names that look like parts of a pointer, added, changed and removed."""
        filler = {"filler": "x" * 3000}
        for name in NAMES:
            for old, new in ({}, {name: 1}), ({name: 1}, {name: 2}), ({name: {name: [1]}}, {name: {name: [2]}}):
                self.check(compact(old | filler), compact(new | filler))
                self.check(compact(new | filler), compact(old | filler))

    def test_names_that_leave_and_names_that_come(self) -> None:
        """Each is one operation, in the order of the documents; the rest of the object needs none."""
        rest = b'"rest":"%b"' % (b"x" * 300)
        patch = self.check(b'{"a":1,"b":2,"c":3,%b}' % rest, b'{"e":[5],"b":2,%b,"d":4}' % rest)
        expected = (
            b'{"op":"remove","path":"/a"}',
            b'{"op":"remove","path":"/c"}',
            b'{"op":"add","path":"/e","value":[5]}',
            b'{"op":"add","path":"/d","value":4}',
        )
        self.assertEqual(patch, b"[%b]" % b",".join(expected))

    def test_row_leaves_and_row_comes(self) -> None:
        """The patch of a departures board has only the removed row, the added row and the delays."""
        rows = [{"id": number, "to": f"Town {number}", "delay": 0} for number in range(40)]
        news = [dict(row) for row in [*rows[1:], {"id": 40, "to": "Town 40", "delay": 0}]]
        news[9]["delay"] = 5
        patch = json.loads(self.check(compact(rows), compact(news)))
        told = sorted((operation["op"], operation["path"]) for operation in patch)
        self.assertEqual(told, [("add", "/40"), ("remove", "/0"), ("replace", "/10/delay")])

    def ranking(self, count: int, seed: int = 0) -> list[dict[str, object]]:
        """Gives the rows of a ranking, which are identified by their titles."""
        rng = random.Random(seed)
        return [
            {
                "rank": place,
                "url": f"/search?q={rng.random()}&rank={place}",
                "heat": rng.randrange(10**6),
                "title": f"title {place}",
            }
            for place in range(count)
        ]

    def test_moved_elements_are_moved(self) -> None:
        """A row that climbs is moved and the rows that it passes are not sent; a row that also changes is changed."""
        old = self.ranking(40)
        new = [old[30], *old[:20], *old[21:30], *old[31:], {**old[20], "heat": -1}]
        patch = self.check(json.dumps(old).encode(), json.dumps(new).encode())
        steps = [(each["op"], each.get("from"), each["path"]) for each in json.loads(patch)]
        self.assertEqual(steps, [("move", "/30", "/0"), ("move", "/21", "/39"), ("replace", None, "/39/heat")])

    def test_rankings(self) -> None:
        """A new order, with rows that leave, come and change, gives a patch far smaller than the rows, at any seed."""
        for seed in range(20):
            rng = random.Random(seed)
            old = self.ranking(100, seed)
            new = [{**row, "heat": rng.randrange(10**6)} if rng.random() < 0.2 else row for row in old]
            new = [row for row in new if rng.random() < 0.95]
            for _ in range(8):
                new.insert(rng.randrange(len(new)), new.pop(rng.randrange(len(new))))
            new.insert(rng.randrange(len(new)), {"rank": -1, "title": "new", "url": "", "heat": 0})
            documents = [json.dumps({"rows": rows}).encode() for rows in (old, new)]
            patch = self.check(*documents)
            self.assertIn(b'"move"', patch)
            self.assertLess(len(patch), len(documents[1]) / 3)

    def test_what_elements_are_recognised_by(self) -> None:
        """Strings and numbers that are unique in both arrays identify rows; without them, rows are compared."""
        rows = [{"id": place, "rest": f"{place} {'x' * 50}"} for place in range(12)]
        turned = rows[6:] + rows[:6]
        changes: list[tuple[Callable[[dict[str, Any]], object], bool]] = [
            (lambda row: row, True),
            (lambda row: {**row, "id": str(row["id"])}, True),
            (lambda row: {**row, "id": 1}, True),  # there is "rest"
            (lambda row: {"id": {"n": row["id"]}, "rest": "x" * 50}, False),
            (lambda row: {"id": None, "rest": [row["rest"]]}, False),
            (lambda _: {"id": True, "rest": {}}, False),
        ]
        for change, moves in changes:
            old, new = ([change(row) for row in each] for each in (rows, turned))
            patch = self.check(json.dumps(old).encode(), json.dumps(new).encode())
            self.assertEqual(b'"move"' in patch, moves, patch)

    def test_part_that_changed_all_over(self) -> None:
        """Five counts in one object become one replacement of it."""
        old = {"votes": dict.fromkeys("abcde", 1), "name": "x" * 500}
        patch = self.check(compact(old), compact(old | {"votes": dict.fromkeys("abcde", 2)}))
        self.assertEqual(patch, b'[{"op":"replace","path":"/votes","value":{"a":2,"b":2,"c":2,"d":2,"e":2}}]')

    def test_parsed_documents_are_used_again(self) -> None:
        """Making patches changes neither document."""
        old, new, other = (parse(data) for data in (b'{"a":[1,{"b":2}]}', b'{"a":[{"b":3}]}', b'{"a":[[1],4]}'))
        first = diff(old, new), diff(old, other), diff(new, other)
        self.assertEqual((diff(old, new), diff(old, other), diff(new, other)), first)
        self.assertEqual(old, parse(b'{"a":[1,{"b":2}]}'))

    def test_wrong_patch_is_never_given(self) -> None:
        """If the operations were wrong, the whole document would be replaced."""
        self.patch(
            diff_module, "_compare", lambda path, old, new, depth, found: found.append(b'{"op":"remove","path":"/a"}')
        )
        for old in (b'{"a":1,"b":2}', b'{"b":2}'):
            patch = make_patch(old, b' {"b": 3.0}\n')
            self.assertEqual(patch, b'[{"op":"replace","path":"","value":{"b": 3.0}}]')

    def test_not_json(self) -> None:
        """Documents that the gate refuses are refused with a DeltaError."""
        for data in (b"", b"{", b"[NaN]", b"-Infinity", b'"\xff"', b"\xef\xbb\xbf{}", b"1 2"):
            self.assertRaises(DeltaError, make_patch, b"{}", data)


class LimitTests(_Case):
    """Depth, size and time."""

    def test_paths_end_at_the_greatest_depth(self) -> None:
        """No path has more tokens than the limit; values below are replaced as a whole."""
        for depth, tokens in ((MAX_DEPTH - 1, MAX_DEPTH - 1), (MAX_DEPTH, MAX_DEPTH), (MAX_DEPTH + 9, MAX_DEPTH)):
            old, new = (b'{"a":' * depth + number + b"}" * depth for number in (b"1", b"2"))
            [operation] = json.loads(self.check(old, new))
            self.assertEqual(operation["path"].count("/"), tokens)

    def test_every_depth_that_the_gate_knows(self) -> None:
        """All documents that the gate accepts have a patch, which may be the whole document if they are deep."""
        refused = 0
        for depth in (100, 500, *range(800, 1001), 100_000):
            old, new = (b'{"a":[' * (depth // 2) + number + b"]}" * (depth // 2) for number in (b"1", b"2"))
            try:
                check_document(old, max_bytes=len(old))
            except Exception:
                refused += 1
            patch = make_patch(old, new)
            self.assertTrue(patch.startswith(b'[{"op":"replace","path":"'), depth)
            self.assertEqual(patch.count(b'"op"'), 1)
            self.assertEqual(patch.count(b"2"), 1)
            try:
                self.assertEqual(apply_patch(old, patch), new)
            except DeltaError as error:
                self.assertGreater(depth, 800)
                self.assertIn("too deeply", str(error))
        self.assertGreater(refused, 0)

    def test_element_in_front_of_ten_thousand(self) -> None:
        """One insertion is one operation, however long the array."""
        numbers = list(range(10_000))
        self.assertEqual(
            self.check(compact(numbers), compact([-1, *numbers])), b'[{"op":"add","path":"/0","value":-1}]'
        )
        self.assertEqual(self.check(compact([-1, *numbers]), compact(numbers)), b'[{"op":"remove","path":"/0"}]')

    def test_ten_thousand_others(self) -> None:
        """An array that is all new, or shuffled, is replaced as a whole."""
        numbers = list(range(10_000))
        shuffled = random.Random(1).sample(numbers, len(numbers))
        for new in (shuffled, [-number - 1 for number in numbers], [*numbers[::-1]]):
            self.assertEqual(len(json.loads(self.check(compact(numbers), compact(new)))), 1)

    def test_most_moves(self) -> None:
        """Beyond the limit, elements are not paired, since each would be searched for in the whole array."""
        rows = [{"id": number, "rest": "x" * 100} for number in range(100)]
        turned = rows[::-1]
        documents = [json.dumps(each).encode() for each in (rows, turned)]
        self.patch(diff_module, "MAX_SHIFTS_OF_PAIRS", 99 * 2 * 100)
        self.assertIn(b'"move"', self.check(*documents))
        self.patch(diff_module, "MAX_SHIFTS_OF_PAIRS", 99 * 2 * 100 - 1)
        self.assertNotIn(b'"move"', self.check(*documents))

    def test_most_shifts(self) -> None:
        """Removals up to the limit are operations; with one more, the array is replaced."""
        numbers = [f"{number:0200}" for number in range(5_000)]
        allowed = MAX_SHIFTS // len(numbers)
        for removals, operations in ((allowed, allowed), (allowed + 1, 1)):
            new = [number for index, number in enumerate(numbers) if index % 2 or index >= 2 * removals]
            self.assertEqual(make_patch(compact(numbers), compact(new)).count(b'"op"'), operations)

    def test_one_mebibyte(self) -> None:
        """A large document with a few changes has a small patch."""
        rows = [{"id": number, "name": f"Row {number}", "counts": [number, 1.5, None]} for number in range(20_000)]
        old = compact(rows)
        self.assertGreater(len(old), 1 << 20)
        rows[77]["counts"] = [0, 1.5, None]
        rows[19_999]["name"] = "last"
        self.assertLess(len(self.check(old, compact(rows))), 150)


def shuffled(elements: list[Any]) -> list[Any]:
    return random.Random(1).sample(elements, len(elements))


COUNT = 500
NUMBERED: list[dict[str, Any]] = [{"i": number, "v": [number]} for number in range(COUNT)]
CHANGED: list[dict[str, Any]] = [{"i": number, "v": [number + 1]} for number in range(COUNT)]
SLOW: dict[str, tuple[Any, Any]] = {
    "shuffled and changed": (NUMBERED, shuffled(CHANGED)),
    "some moved": (NUMBERED, shuffled(NUMBERED[:20]) + NUMBERED[20:]),
    "scalars shuffled": ([*range(COUNT)], shuffled([*range(COUNT)])),
    "scalars shifted": ([*range(COUNT)], [*range(1, COUNT + 1)]),
    "scalars removed here and there": ([*range(COUNT)], [number for number in range(COUNT) if number % 4]),
    "changed in place": (NUMBERED, CHANGED),
    "in order, some gone": (NUMBERED, [each for each in CHANGED if each["i"] % 9]),
    "members changed": ({str(number): 0 for number in range(COUNT)}, {str(number): 1 for number in range(COUNT)}),
    "members renamed": ({str(number): 0 for number in range(COUNT)}, {f"{number}x": 0 for number in range(COUNT)}),
}
"""Documents that take long for their size."""


class LateTests(SynchronousTestCase):
    """A comparison that takes too long."""

    def test_it_is_given_up_at_once(self) -> None:
        """The whole document is replaced once the time is over, however the documents differ."""
        for name, (old, new) in SLOW.items():
            before, after = (parse(json.dumps(each).encode()) for each in (old, new))
            asked, encoded = 0, [0]

            def is_late(end: float, encoded: list[int] = encoded) -> bool:
                nonlocal asked
                asked += 1
                encoded.append(0)
                return asked > end

            def count(value: object, encoded: list[int] = encoded) -> bytes:
                encoded[-1] += 1
                return encode(value)

            self.patch(diff_module, "encode", count)
            diff(before, after, lambda: is_late(math.inf))
            # The work between two checks is at most one pass over all elements.
            self.assertLessEqual(max(encoded), COUNT + 1, name)
            for end in (0, 1, asked // 3, asked - 1):
                total, asked = asked, 0
                patch = diff(before, after, partial(is_late, end))
                self.assertEqual(json.loads(patch), [{"op": "replace", "path": "", "value": new}], name)
                self.assertEqual(asked, end + 1, name)
                asked = total
