"""The pointers of overlaid values, as messages list them: few, short, and never too few to find every such value."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_LISTED, MAX_LISTED_CHARACTERS = 64, 2048
"""The largest number of pointers that a message lists, and of characters in them: a message has room for 16 KiB."""

MAX_FIELD_POINTERS, MAX_FIELD_CHARACTERS = 16, 512
"""The same of a field of HTTP, percent-encoded: common proxies take heads of 4 KiB."""


def listed(
    pointers: Iterable[str], most: int = MAX_LISTED, most_characters: int = MAX_LISTED_CHARACTERS
) -> tuple[str, ...]:
    """Shortens a list of pointers. Each pointer of the list, or one above it, is in the result.

    A pointer below another one is left out. While there are too many, the longest paths lose their last segments.

    :param most: the largest number of pointers in the result.
    :param most_characters: the largest number of their characters together.
    """
    kept = _outermost(pointers)
    while len(kept) > most or sum(map(len, kept)) > most_characters:
        depth = max(pointer.count("/") for pointer in kept)
        kept = _outermost(pointer.rpartition("/")[0] if pointer.count("/") == depth else pointer for pointer in kept)
    return kept


def _outermost(pointers: Iterable[str]) -> tuple[str, ...]:
    # Each pointer comes directly behind one above it, or behind others below that one.
    kept: list[str] = []
    for segments in sorted({tuple(pointer.split("/")) for pointer in pointers}):
        if not kept or "/".join(segments[: kept[-1].count("/") + 1]) != kept[-1]:
            kept.append("/".join(segments))
    return tuple(kept)


def listed_below(pointers: Iterable[str], part: str) -> tuple[str, ...]:
    """Gives the pointers of a list that concern a part of the document, as pointers in that part.

    :param part: the pointer of the part. If it lies at or below a pointer of the list, so does every value in it, and
        the result is the empty pointer alone.
    """
    if not part:
        return tuple(pointers)
    below = []
    for pointer in pointers:
        if part == pointer or part.startswith(f"{pointer}/"):
            return ("",)
        if pointer.startswith(f"{part}/"):
            below.append(pointer[len(part) :])
    return tuple(below)


def field_value(pointers: Iterable[str]) -> bytes:
    """Gives the value of the field ``Livefeed-Overlay``: a list of strings (RFC 8941, 3.1).

    :param pointers: the pointers that messages list. In the field they are percent-encoded as in a URL, behind the path
        of the document. So is a comma, which then only stands between two of them.
    """
    encoded = (quote(pointer, safe="/~!$&'()*+=:@", errors="replace") for pointer in pointers)
    kept = listed(encoded, MAX_FIELD_POINTERS, MAX_FIELD_CHARACTERS)
    return ", ".join(f'"{pointer}"' for pointer in kept).encode("ascii")
