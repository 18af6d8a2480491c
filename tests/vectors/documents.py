"""The sections of documents, splices and patches."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from livefeed.document.diff import diff
from livefeed.document.exact_json import parse
from livefeed.document.snapshot import version_of
from livefeed.document.splices import make_splices
from livefeed.sources.demo import DemoSource
from tests.helpers.rows import rows_of, written
from tests.vectors.messages import TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 32
"""The largest result in bytes that a client takes from bad splices. It is larger than the right result."""

FILLER = "x" * 99

DOCUMENTS = {
    "an object": '{"seat":42,"party":"A"}',
    "a number alone": "1.50",
    "null": "null",
    "an empty object, white space and a line feed": " {\r\n\t} \n",
    "UTF-8 of two bytes": '{"city":"Zürich"}',
    "UTF-8 of three bytes": '["€","日本"]',
    "UTF-8 of four bytes": '["😀","𝄞"]',
    "a byte order mark in a string": '["\ufeff"]',
    "line and paragraph separators": '["\u2028\u2029"]',
    "escapes that JSON allows": r'["\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00"]',
    "the escape of a null character": r'["\u0000"]',
    "a delete character and a non-character": '["\u007f\uffff"]',
    "numbers that no double has": "[1.50,-0,1e400,123456789012345678901234567890,0.1000000000000000055511151231257827]",
    "names that a pointer escapes": '{"a/b":1,"c~d":2,"":3,"0":4}',
}
"""Documents by the reason for which they are here."""


def documents() -> Iterator[dict[str, object]]:
    """Gives documents and their versions, among them those that messages are about."""
    for name, text in (DOCUMENTS | TEXTS).items():
        yield {"name": name, "text": text, "version": version_of(text.encode())}


def _moved() -> tuple[str, str]:
    """Gives rows, and the same rows with some of them moved and changed."""
    draw = random.Random(7)
    rows = rows_of(draw, 12)
    moved = [dict(row) for row in rows]
    for index in (2, 9):
        row = moved.pop(index)
        row["votes"] += 1
        moved.insert(draw.randrange(10), row)
    return written(rows).decode(), written(moved).decode()


def _pairs() -> Iterator[tuple[str, str, str]]:
    """Gives pairs of versions that :func:`make_splices` compares, with a name."""
    seats = '{"seat":42,"party":"A"}'
    yield "a number is replaced", seats, '{"seat":43,"party":"A"}'
    yield "a digit is inserted", seats, '{"seat":421,"party":"A"}'
    yield "a digit is deleted", '{"seat":421,"party":"A"}', seats
    yield "the end is cut off", "[1,2,3,4,5,6,7,8,9]\n", "[1,2,3,4,5,6,7,8,9]"
    yield "nothing is kept", "[1]", '{"other":true}'
    yield "exact numbers stay", '[1.50,1e400,"x"]', '[1.50,1e400,"y"]'
    yield "a letter becomes another with the same first byte", '["é","ü"]', '["è","ü"]'
    yield "a letter becomes another with the same last bytes", '["日日日日日日日日"]', '["日日日日汥日日日"]'
    yield "an emoji becomes another", '{"mood":"😀😀😀😀"}', '{"mood":"😀😁😀😀"}'
    yield "quotes and escapes", r'["a\"b","c"]', r'["a\"b\\","\u00e9"]'
    yield "a byte order mark and separators", '["\ufeff",1,2,3,4,5,6,7,8]', '["\ufeff",1,2,3,"\u2028",4,5,6,7,8]'
    value = {"results": [{"party": "A", "votes": 10}, {"party": "B", "votes": 20}], "total": 30}
    yield "the document is formatted anew", json.dumps(value, separators=(",", ":")), json.dumps(value, indent=2)
    yield "elements are moved and changed", *_moved()
    demo = DemoSource(kind="small")
    yield "a second of the demonstration", demo.document(1_790_000_000).decode(), demo.document(1_790_000_001).decode()


BY_HAND: tuple[tuple[str, str, str, list[str | int]], ...] = (
    ("no splices give an empty document", "[1]", "", []),
    ("an empty document before", "", "[1]", ["[1]"]),
    ("nothing changes", "[1,2]", "[1,2]", [5]),
    ("copies of nothing, and empty texts", "[1]", "[1]", ["", 0, 0, 0, 0, 3, 0, 0]),
    ("texts one after the other", "[1]", "[1,2]", [2, ",", "2", 0, -2, 1]),
    ("a text moves the position on by its length in UTF-8", "[12,7]", '["é€😀",7]', [1, '"é€😀"', 0, -9, 3]),
    ("two elements change places", '["A","B"]', '["B","A"]', [1, 4, 3, -4, 1, -4, 3, 4, 1]),
    ("an element is repeated", "[1,2]", "[1,1,1,2]", [3, -2, 2, -2, 4]),
    ("the position leaves the document and comes back", "[1]", "[2]", ["[2", 0, 1000, 0, -1000, 1, 5]),
    ("a copy from before the text that replaces it", "abc", "xyzabc", ["xyz", 0, -3, 3]),
)
"""Splices that no program has to make, but that each has to apply."""


def splices() -> Iterator[dict[str, object]]:
    """Gives splices, and the versions that they lead from and to."""
    for name, old, new in _pairs():
        yield _splices(name, old, new, json.loads(make_splices(old.encode(), new.encode())))
    for name, old, new, elements in BY_HAND:
        yield _splices(name, old, new, elements)


def _splices(name: str, old: str, new: str, elements: list[str | int]) -> dict[str, object]:
    return {"name": name, "old": old, "new": new, "version": version_of(new.encode()), "splices": elements}


def bad_splices() -> Iterator[dict[str, object]]:
    """Gives splices that no client may show the result of.

    They are the text of the JSON, since not every program reads all of them. The version is that of the document that
    the splices are for: the result of some of them is only found to be wrong by its hash.
    """
    old, new = '{"é":[1,2,3]}', '{"é":[1,2,4]}'
    bad: dict[str, object] = {
        "a length beyond the end": [15],
        "a length beyond the end after a text": [10, "4", 4],
        "a negative length": [-1],
        "a copy from before the beginning": [10, "4", 0, -12, 3],
        "a copy from behind the end": [0, 15, 1],
        "a copy of nothing may be anywhere, and the next copy not": [0, 15, 0, 1, 1],
        "a number that is not whole": [1.5],
        "a number of more than 53 bits": [0, 9007199254740993, 0],
        "a number that no integer has": [1e300],
        "true is no number": [True],
        "null": [None],
        "an array": [[]],
        "an object in place of the array": {},
        "a copy that ends inside a character": [3, "x", 10],
        "splices for another document": [10, "5", 2],
        "splices that stop too early": [10, "4"],
        "more bytes than the client takes": [10, "4", 2, *[-13, 13] * 2],
    }
    named = {name: json.dumps(value) for name, value in bad.items()}
    named["the first half of a surrogate pair"] = r'[10,"\ud83d",2]'
    named["the second half of a surrogate pair"] = r'[10,"\ude00",2]'
    named["halves of a surrogate pair in two texts"] = r'["\ud83d","\ude00"]'
    named["no JSON"] = "[10"
    for name, text in named.items():
        yield {"name": name, "old": old, "splices": text, "version": version_of(new.encode()), "max_bytes": MAX_BYTES}


def patches() -> Iterator[dict[str, object]]:
    """Gives patches (RFC 6902), and documents with the same value as their results."""
    pairs = {
        "a member changes": ('{"seat":42,"party":"A"}', '{"seat":43,"party":"A"}'),
        "a number changes its notation": ('{"n":1.5,"rest":[1,2,3]}', '{"n":1.50,"rest":[1,2,3]}'),
        "a number that no double has": (
            '{"n":1,"rest":[1,2,3]}',
            '{"n":123456789012345678901234567890,"rest":[1,2,3]}',
        ),
        "an element goes, and one comes": (
            '["Alt","Berg","Nord","Ost","See"]'.replace(",", f'," {FILLER}",'),
            '["Alt","Nord","Ost","See","Tal"]'.replace(",", f'," {FILLER}",'),
        ),
        "names that a pointer escapes": (
            f'{{"a/b":1,"c~d":2,"":3,"rest":"{FILLER}"}}',
            f'{{"a/b":2,"c~d":3,"":4,"rest":"{FILLER}"}}',
        ),
        "text outside of ASCII": (
            f'{{"city":"Zürich","mood":"😀","rest":"{FILLER}"}}',
            f'{{"city":"Genève","mood":"😁","rest":"{FILLER}"}}',
        ),
        "the whole value changes": ("[1]", '{"a":1}'),
    }
    for name, (old, new) in pairs.items():
        patch = diff(parse(old.encode()), parse(new.encode()))
        yield {"name": name, "old": old, "new": new, "patch": _ascii(patch)}


def _ascii(data: bytes) -> bytes:
    """Gives JSON with escapes in place of all other characters."""
    return "".join(each if each.isascii() else json.dumps(each)[1:-1] for each in data.decode()).encode()
