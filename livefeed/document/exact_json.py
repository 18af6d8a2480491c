"""JSON with exact numbers: the values that patches are computed from and applied to.

Rule: a number is kept as its text, in a :class:`msgspec.Raw`. Two of these are compared by their bytes,
and each is written unchanged, both in C. So ``==`` between large values is fast and exact: ``1.50`` does not
equal ``1.5``, and 1 does not equal ``true``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

WHITE_SPACE = b" \t\r\n"
"""The white space of JSON (RFC 8259, 2)."""

PIECE_BYTES = 65_536
"""The size in bytes above which a value is decoded in pieces; see :func:`parse_in_pieces`."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])


class DeltaError(ValueError):
    """A document or a patch is malformed, or the patch does not fit. The message names the operation and the reason."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document that is read once and can be compared with others any number of times.

    :ivar data: its bytes.
    :ivar value: its value: dicts, lists, strings, booleans, ``None``, and a :class:`msgspec.Raw` for each number. It is
        never changed.
    """

    data: bytes
    value: object


def parse(data: bytes) -> Document:
    """Reads a document.

    The gate accepts deeper nesting than can be read here. Such a document becomes a single value, which patches can
    only replace as a whole.

    :raises DeltaError: if *data* is not JSON in UTF-8.
    """
    try:
        return Document(data, decode(data))
    except RecursionError:
        return Document(data, msgspec.Raw(data.strip(WHITE_SPACE)))


def parse_in_pieces(data: bytes) -> Document:
    """Reads a document like :func:`parse`, in a thread. Other threads can run after each :data:`PIECE_BYTES`.

    The decoder itself never releases the interpreter lock, and takes 10 ms and more for 1 MB.
    """
    try:
        return Document(data, _decode_in_pieces(data.strip(WHITE_SPACE)))
    except (msgspec.DecodeError, RecursionError):  # such as half of a surrogate pair, which msgspec refuses
        return parse(data)


def _decode_in_pieces(data: bytes) -> Any:
    if len(data) > PIECE_BYTES and data.startswith(b"{"):
        return {name: _decode_in_pieces(bytes(value)) for name, value in _members.decode(data).items()}
    if len(data) > PIECE_BYTES and data.startswith(b"["):
        elements = _elements.decode(data)
        # Many small elements are decoded together.
        if len(elements) > len(data) // PIECE_BYTES * 8:
            step = len(elements) * PIECE_BYTES // len(data) + 1
            starts = range(0, len(elements), step)
            joined = (b"[%b]" % b",".join(map(bytes, elements[start : start + step])) for start in starts)
            return [element for piece in joined for element in decode(piece)]
        return [_decode_in_pieces(bytes(element)) for element in elements]
    return decode(data)


def _constant(name: str) -> NoReturn:
    raise DeltaError(f"{name} is not JSON")


# It takes 0.8 ms for 100 KB, with and without the hooks. msgspec's own decoder takes 0.4 ms, but turns -0 into 0 and
# integers into int, where 1 == True.
_decoder = json.JSONDecoder(parse_int=msgspec.Raw, parse_float=msgspec.Raw, parse_constant=_constant)
_encoder = msgspec.json.Encoder()


def decode(data: bytes) -> Any:
    """Gives the value of a JSON text.

    :raises DeltaError: if *data* is not JSON in UTF-8.
    :raises RecursionError: if it is nested too deeply.
    """
    try:
        return _decoder.decode(data.decode())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DeltaError(f"not JSON in UTF-8: {error}") from None


def encode(value: object) -> bytes:
    """Gives a value as compact JSON in UTF-8."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:  # half of a surrogate pair, which an escape can express and UTF-8 cannot
        return "".join(_text(value)).encode()


def _text(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for number, (name, member) in enumerate(value.items()):
            yield f"{',' if number else '{'}{json.dumps(name)}:"
            yield from _text(member)
        yield "}" if value else "{}"
    elif isinstance(value, list):
        for number, element in enumerate(value):
            yield "," if number else "["
            yield from _text(element)
        yield "]" if value else "[]"
    elif isinstance(value, msgspec.Raw):
        yield bytes(value).decode()
    else:
        yield json.dumps(value)


def same_value(one: object, other: object) -> bool:
    """Tells whether two values are the same. Numbers are compared by value, not by text (RFC 6902, 4.6)."""
    if isinstance(one, msgspec.Raw) and isinstance(other, msgspec.Raw):
        if one == other:
            return True
        try:
            return Decimal(bytes(one).decode()) == Decimal(bytes(other).decode())
        except ArithmeticError:  # an exponent of 19 digits
            return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    return one == other
