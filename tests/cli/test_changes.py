"""The values in which two versions differ, and the lines of a document."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.changes import MAX_CHANGES, MAX_LINES, MAX_TEXT, changes, lines_of, text_of
from livefeed.cli.until import ABSENT
from livefeed.document.exact_json import decode, encode


def found(old: str, new: str) -> list[str]:
    """Gives the changes as text."""
    return [encode(each.as_json()).decode() for each in changes(decode(old.encode()), decode(new.encode()))]


class ChangeTests(SynchronousTestCase):
    """Differences."""

    def test_changes(self) -> None:
        """Each change has a place, and the values that there are; numbers stay as they are written."""
        self.assertEqual(
            found('{"a": 1.50, "b": {"x": [1, 2]}, "c": null}', '{"a": 1.5, "b": {"x": [1, 3, 4]}, "d/e": true}'),
            [
                '{"path":"/a","old":1.50,"new":1.5}',
                '{"path":"/b/x/1","old":2,"new":3}',
                '{"path":"/b/x/2","new":4}',
                '{"path":"/d~1e","new":true}',
                '{"path":"/c","old":null}',
            ],
        )
        self.assertEqual(found("[1, 2]", "[1]"), ['{"path":"/1","old":2}'])
        self.assertEqual(found("[1]", '{"0": 1}'), ['{"path":"","old":[1],"new":{"0":1}}'])
        self.assertEqual(found("1", "true"), ['{"path":"","old":1,"new":true}'])

    def test_limits(self) -> None:
        """A document that has changed everywhere gives a limited number of changes, and deep ones end somewhere."""
        self.assertEqual(len(changes([0] * 5000, [1] * 5000)), MAX_CHANGES)
        self.assertEqual(len(found("[" * 300 + "1" + "]" * 300, "[" * 300 + "2" + "]" * 300)), 1)


class TextTests(SynchronousTestCase):
    """Values and documents as text."""

    def test_values(self) -> None:
        """Values are on one line, without control characters, and not too long."""
        for text in ("1.50", '"é"', "true", "null", "{}", '{"a": [1, "x"]}', "[]"):
            self.assertEqual(text_of(decode(text.encode())), text)
        self.assertEqual(text_of(ABSENT), "-")
        self.assertEqual(text_of("\x1b[2J\x9b"), '"\\u001b[2J\\x9b"')
        self.assertEqual(len(text_of("x" * 10**5)), MAX_TEXT + 1)
        self.assertEqual(len(text_of(["x" * 99] * 10**5)), MAX_TEXT + 1)
        self.assertIn("…", text_of(decode(b"[" * 200 + b"]" * 200)))

    def lines(self, text: str, width: int) -> list[str]:
        return ["".join(piece.text for piece in line) for line in lines_of(decode(text.encode()), width)]

    def test_lines(self) -> None:
        """Short objects and arrays are on one line, and all lines together are the document."""
        text = '{"a": {"x": 1.50, "y": []}, "b": [[1, 2], {"c": "d"}]}'
        self.assertEqual(
            self.lines(text, 40),
            ["{", '  "a": {"x": 1.50, "y": []},', '  "b": [', "    [1, 2],", '    {"c": "d"}', "  ]", "}"],
        )
        self.assertEqual(
            self.lines('{"long": "aaaaaaaaaaaaaaaaaaaa"}', 20), ["{", '  "long": "aaaaaaaaaaaaaaaaaaaa"', "}"]
        )
        self.assertEqual(self.lines("1", 20), ["1"])

    def test_places(self) -> None:
        """Each value has its place."""
        (line,) = lines_of(decode(b'{"a/b": 1}'), 40)
        self.assertEqual([piece.pointer for piece in line if piece.pointer is not None], ["/a~1b"])

    def test_many_lines(self) -> None:
        """A large document is cut."""
        self.assertLess(len(lines_of([[1, [2]]] * 50_000, 40)), MAX_LINES + 9)
