"""The gate: the checks that a pulled document must pass before it becomes a snapshot.

Rule: the gate accepts or refuses bytes and never changes them: livefeed serves the bytes that it pulled.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

from livefeed.exceptions import DocumentError

# Every escape in a string: a surrogate pair, half of one, or any other escape.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


def check_document(data: bytes, *, max_bytes: int) -> None:
    """Refuses a document unless all JSON parsers read it alike.

    An accepted document is a JSON text (RFC 8259) in UTF-8 without a byte order mark. No object has a name twice, and
    there is no ``NaN``, no ``Infinity`` and no lone surrogate. These are the rules of RFC 7493, except for numbers:
    they may have any size and precision, since livefeed does not convert them.

    :param data: the document as it was pulled.
    :param max_bytes: the size in bytes of the largest document that is accepted.
    :raises DocumentError: if *data* is empty, too large, or breaks a rule; the message says where.
    """
    if len(data) > max_bytes:
        raise DocumentError(f"the document has more than {max_bytes} bytes (--max-bytes)")
    if not data.strip(b" \t\r\n"):
        raise DocumentError("the document is empty")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError(f"the document is not UTF-8: {error.reason} at byte {error.start}") from None
    try:
        _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise DocumentError(f"the document is not JSON: {place_in(error)}") from None
    except RecursionError:
        raise DocumentError("the document is nested too deeply") from None
    if "\\ud" in text or "\\uD" in text:
        _check_surrogates(text)


def place_in(error: json.JSONDecodeError) -> str:
    """Gives the text of an error of Python's parser, with its line and column.

    An error behind the last character is at the end of the text: an editor shows no line behind its last line feed.
    """
    text = error.doc.rstrip()
    if error.pos >= len(text):
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
        return f"{error.msg.removesuffix(' at')} at the end, line {line}, column {column}"
    comma = "" if error.msg.endswith(" at") else ","
    return f"{error.msg}{comma} line {error.lineno}, column {error.colno}"


def _check_surrogates(text: str) -> None:
    for escape in _ESCAPE.finditer(text):
        if escape["lone"]:
            raise DocumentError(f"the document has {escape['lone']} in it, half of a surrogate pair")


def _object(members: list[tuple[str, object]]) -> None:
    names = dict(members)
    if len(names) != len(members):
        seen: set[str] = set()
        for name, _ in members:
            if name in seen:
                raise DocumentError(f"the document has the name {name[:40]!r} twice in one object")
            seen.add(name)


def _constant(name: str) -> NoReturn:
    raise DocumentError(f"the document has {name}, which is not JSON")


def _number(text: str) -> None:
    """Ignores a number: its size is unlimited, and the conversion of a long one takes quadratic time."""


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_number, parse_float=_number)
