"""The gate: the checks that a pulled document passes before it becomes a snapshot.

Rule: this file is pure. It says yes or no to bytes and never changes them: what is served is what was pulled.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

from livefeed.exceptions import DocumentError

# Every escape of a string: a surrogate pair, half of one, or anything else.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


def check_document(data: bytes, *, max_bytes: int) -> None:
    """Lets a document through that every JSON parser reads alike.

    That is a JSON text (RFC 8259) in UTF-8 without a byte order mark, with no name twice in one object and no
    ``NaN``, ``Infinity`` or lone surrogate (as RFC 7493 has it, but for numbers: they may be of any size and
    precision, since nothing here converts them).

    :param data: the document as it was pulled.
    :param max_bytes: the largest size that is let through.
    :raises DocumentError: if *data* is empty, too large, or not such a document; the message says where.
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
        raise DocumentError(
            f"the document is not JSON: {error.msg}, line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise DocumentError("the document is nested too deeply") from None
    if "\\ud" in text or "\\uD" in text:
        _check_surrogates(text)


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
    """Leaves numbers unread: their size is unlimited, and converting a long one takes quadratic time."""


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_number, parse_float=_number)
