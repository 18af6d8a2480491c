"""Splices turn the old version into the new one, byte for byte."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document import splices as splices_module
from livefeed.document.exact_json import DeltaError
from livefeed.document.splices import MAX_NUMBER, apply_splices, make_splices, make_verified_splices
from livefeed.sources.demo import DemoSource
from tests.helpers.rows import rows_of, written

LARGEST = 1 << 24

# Rows and words of few kinds, so that equal stretches are frequent, and letters of one to four bytes that share bytes.
WORDS = st.sampled_from(
    ["é", "è", "ê", "€", "😀", "😁", "a", "12", "name", '"', "\\", ",", "},", "\n", " ", "\x00", "\u2028"]
)
TEXTS = st.lists(WORDS | st.text(max_size=3), max_size=25).map("".join)
ROWS = st.lists(
    st.sampled_from([f'{{"id":{n},"name":"{"é€😀"[n % 3]}{"x" * n}"}},' for n in range(24)]), max_size=60
).map("".join)


@st.composite
def edits(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Gives a text, and the text after some stretches were replaced, removed, repeated and moved."""
    old = draw(TEXTS | ROWS) * draw(st.integers(1, 3))
    new = old
    for _ in range(draw(st.integers(0, 5))):
        ends = sorted(draw(st.lists(st.integers(0, len(new)), min_size=3, max_size=3)))
        first, second = new[ends[0] : ends[1]], new[ends[1] : ends[2]]
        middle = draw(st.sampled_from([second + first, first, first + second + first, draw(TEXTS)]))
        new = new[: ends[0]] + middle + new[ends[2] :]
    return old.encode(), new.encode()


def made(old: bytes, new: bytes) -> list[Any]:
    """Gives the splices of two versions as a list."""
    elements: list[Any] = json.loads(make_splices(old, new))
    return elements


def text_bytes(splices: list[Any]) -> int:
    """Gives the number of bytes that are not copied."""
    return sum(len(splice.encode()) for splice in splices if isinstance(splice, str))


class MakeVerifiedSplicesTests(SynchronousTestCase):
    """make_verified_splices."""

    def test_splices_are_tried(self) -> None:
        """Splices that are wrong, or cannot be applied, are replaced by the whole, and a warning says so."""
        old, new = b'{"seat":42,"party":"A"}', b'{"seat":43,"party":"A"}'
        self.assertEqual(make_verified_splices(old, new), b'[9,"3",13]')
        for wrong in (b'[9,"4",13]', b"[9,1]", b'[9,"3",99]'):
            self.patch(splices_module, "make_splices", lambda *_, wrong=wrong: wrong)
            splices = make_verified_splices(old, new)
            self.assertEqual(apply_splices(old, json.loads(splices), LARGEST), new)
            (warning,) = self.flushWarnings()
            self.assertIn("defect", warning["message"])


class MakeSplicesTests(SynchronousTestCase):
    """make_splices."""

    def assert_round_trip(self, old: bytes, new: bytes) -> list[Any]:
        splices = made(old, new)
        self.assertEqual(apply_splices(old, splices, len(new)), new)
        return splices

    @given(edits())
    @example((b"", b""))
    @example((b"", b"x"))
    @example((b"x", b""))
    @example(("é".encode(), "è".encode()))  # the first byte is the same
    @example(("é".encode(), "ũ".encode()))  # the last byte is the same
    @settings(deadline=None, max_examples=40)
    def test_any_edit(self, versions: tuple[bytes, bytes]) -> None:
        """The result is the new version; texts are whole letters, or they could not be written as JSON."""
        self.assert_round_trip(*versions)

    @given(TEXTS | ROWS, TEXTS | ROWS)
    @settings(deadline=None, max_examples=40)
    def test_any_two_texts(self, old: str, new: str) -> None:
        """Two documents need not have anything in common."""
        self.assert_round_trip(old.encode(), new.encode())

    def test_edits_of_large_documents(self) -> None:
        """Rows are changed, moved, added and removed, at random; the result is right and little of it is text."""
        draw = random.Random(1)
        for size in (100, 1000):
            rows = rows_of(draw, size)
            changed = [dict(row) for row in rows]
            for row in draw.sample(changed, size // 50):
                row["votes"] = row["votes"] + 17
                changed.remove(row)
                changed.insert(draw.randrange(size), row)
            changed[size // 3 : size // 3 + 2] = rows_of(draw, 1)
            old, new = written(rows), written(changed)
            splices = self.assert_round_trip(old, new)
            self.assertLess(text_bytes(splices), 200 + size // 50 * 10)

    def test_examples(self) -> None:
        """The examples of the documentation: a text that replaces, a text that is inserted, and no change."""
        self.assertEqual(made(b'{"seat":42,"party":"A"}', b'{"seat":43,"party":"A"}'), [9, "3", 13])
        self.assertEqual(made(b'{"seat":42,"party":"A"}', b'{"seat":421,"party":"A"}'), [10, "1", 0, -1, 13])
        self.assertEqual(made(b'{"seat":421,"party":"A"}', b'{"seat":42,"party":"A"}'), [10, 1, 13])
        self.assertEqual(made(b"[1]", b"[1]"), [3])
        self.assertEqual(made(b"[1]", b""), [])
        self.assertEqual(made(b"", b"[1]"), ["[1]"])

    def test_moved_rows_are_copied(self) -> None:
        """A row that climbs is not sent again."""
        rows = rows_of(random.Random(2), 60)
        moved = [rows[50], *rows[:50], *rows[51:]]
        splices = self.assert_round_trip(written(rows), written(moved))
        self.assertLess(text_bytes(splices), 4)

    def test_a_row_that_moved_and_changed(self) -> None:
        """The equal parts of the row are copied from its old place."""
        rows = [dict(row) for row in rows_of(random.Random(3), 400)]
        old = written(rows)
        row = rows.pop(300)
        row["votes"] = 123456
        rows.insert(20, row)
        splices = self.assert_round_trip(old, written(rows))
        self.assertLess(text_bytes(splices), 24)

    def test_no_structure(self) -> None:
        """Equal stretches of text without rows are found by words."""
        draw = random.Random(4)
        words = ["".join(draw.choices("abcdefgh", k=draw.randint(2, 12))) for _ in range(900)]
        changed = [*words[:200], "new", *words[500:], *words[200:500]]
        splices = self.assert_round_trip(" ".join(words).encode(), " ".join(changed).encode())
        self.assertLess(text_bytes(splices), 60)

    def test_text_is_smaller_than_the_document(self) -> None:
        """Three minutes of the demonstration: few of their bytes are text."""
        demo = DemoSource(kind="small")
        for second in range(1_790_000_000, 1_790_000_180, 7):
            old, new = demo.document(second), demo.document(second + 1)
            self.assertLess(text_bytes(self.assert_round_trip(old, new)), 100)

    def test_hostile_documents(self) -> None:
        """Equal letters, rows that are all equal, digits, and noise: as many steps as allowed, and the right result."""
        draw = random.Random(5)
        noise = "".join(draw.choices("0123456789abcdef", k=30_000)).encode()
        for old, new in (
            (b"a" * 200_000, b"a" * 300_000),
            (b"a" * 100_000 + b"b" * 100_000, b"b" * 100_000 + b"a" * 100_000),
            (b"{}," * 20_000, b"{}," * 12_000 + b"{ }," * 3_000),
            (b"a," * 20_000, b"b," * 20_000),
            (noise, noise[15_000:] + noise[:15_000]),
            (noise, bytes(reversed(noise))),
            (b"\xf0\x9f\x98\x80" * 20_000, b"\xf0\x9f\x98\x81" * 20_000),
        ):
            self.assert_round_trip(old, new)

    def test_steps_are_limited(self) -> None:
        """When the steps are used up, the rest is sent as text."""
        rows = rows_of(random.Random(8), 300)
        old, new = written(rows), written([{**row, "votes": row["votes"] + 1} for row in rows])
        all_of_it = len(self.assert_round_trip(old, new))
        self.patch(splices_module, "MAX_STEPS", 50)
        self.assertLess(len(self.assert_round_trip(old, new)), all_of_it / 4)

    def test_late(self) -> None:
        """When the time is over, the rest is sent as text, apart from the equal end."""
        rows = rows_of(random.Random(6), 300)
        changed = [{**row, "votes": row["votes"] + 1} for row in rows]
        old, new = written(rows), written(changed)
        late = json.loads(make_splices(old, new, lambda: True))
        self.assertEqual(apply_splices(old, late, LARGEST), new)
        self.assertLess(len(late), 12)

    def test_rows_are_limited(self) -> None:
        """Rows beyond the limit are found by words."""
        self.patch(splices_module, "MAX_ROWS", 20)
        rows = rows_of(random.Random(7), 200)
        splices = self.assert_round_trip(written(rows), written([*rows[1:150], {**rows[150], "votes": 0}, *rows[151:]]))
        self.assertLess(text_bytes(splices), 24)

    def test_not_utf8(self) -> None:
        """A document that the gate would refuse is not sent."""
        error = self.assertRaises(DeltaError, make_splices, b"a", b"\xff")
        self.assertIn("not UTF-8", str(error))


class ApplySplicesTests(SynchronousTestCase):
    """apply_splices."""

    OLD = b"0123456789"

    def assert_refused(self, splices: object, why: str, max_bytes: int = 100) -> None:
        error = self.assertRaises(DeltaError, apply_splices, self.OLD, splices, max_bytes)
        self.assertIn(why, str(error))

    def test_copies_and_texts(self) -> None:
        """A text moves the position on; the number after a text is a length, and the one after a length a distance."""
        for splices, result in (
            ([], b""),
            ([10], b"0123456789"),
            ([3, "ab", 5], b"012ab56789"),
            ([3, "ab", 0, -2, 7], b"012ab3456789"),
            ([3, 2, 5], b"01256789"),
            ([0, 8, 2, -10, 8], b"8901234567"),
            (["a", "b", 1], b"ab2"),
            (["é", 1], b"\xc3\xa92"),
            (["a" * 90, 0, -90, 10], b"a" * 90 + b"0123456789"),
            ([4, 3], b"0123"),
        ):
            self.assertEqual(apply_splices(self.OLD, splices, 100), result)

    def test_moved_elements(self) -> None:
        """The example of the documentation: two elements change places, and nothing is text."""
        self.assertEqual(apply_splices(b'["A","B"]', [1, 4, 3, -4, 1, -4, 3, 4, 1], 9), b'["B","A"]')

    def test_malformed(self) -> None:
        """The error says which splice is wrong."""
        malformed: tuple[object, ...] = ({}, "x", None, 3)
        for splices in malformed:
            self.assert_refused(splices, "the splices are not an array")
        elements: tuple[object, ...] = (True, 1.0, None, [], {}, MAX_NUMBER + 1, -MAX_NUMBER - 1, 10**4000)
        for wrong in elements:
            self.assert_refused([1, wrong], "splice 1 is neither a text nor a whole number of less than 54 bits")
        self.assert_refused(["\ud83d"], "splice 0: the text has half of a surrogate pair")

    def test_out_of_range(self) -> None:
        """Nothing outside of the old version is copied."""
        self.assert_refused([11], "splice 0: there are no 11 bytes at 0 in a document of 10")
        self.assert_refused([-1], "splice 0: there are no -1 bytes at 0 in a document of 10")
        self.assert_refused([5, 1, 5], "splice 2: there are no 5 bytes at 6 in a document of 10")
        self.assert_refused([5, -6, 5], "splice 2: there are no 5 bytes at -1 in a document of 10")
        self.assert_refused([0, MAX_NUMBER, 1], "splice 2: there are no 1 bytes at 9007199254740991")

    def test_too_large(self) -> None:
        """Few bytes that ask for many are refused before these are copied."""
        self.assert_refused([10, -10] * 11, "splice 20: the document becomes larger than 100 bytes")
        self.assert_refused([10, "a" * 91], "splice 1: the document becomes larger than 100 bytes")
        self.assertEqual(len(apply_splices(self.OLD, [10, "a" * 90], 100)), 100)

    @given(
        st.lists(
            st.integers(-12, 12) | st.text(max_size=3) | st.sampled_from([None, 2.5, MAX_NUMBER, True]), max_size=12
        )
    )
    def test_anything(self, splices: list[object]) -> None:
        """Any array is applied or refused with a DeltaError; nothing that it gives is larger than allowed."""
        with contextlib.suppress(DeltaError):
            self.assertLessEqual(len(apply_splices(self.OLD, splices, 40)), 40)
