"""Compares output with what a page shows of it.

Some output differs from run to run. A page shows it with real-looking values all the same, so that readers see what
they will see: a time of day matches every other time of day. Everything else is equal, or written as ``...``.
"""

from __future__ import annotations

import difflib
import re

_ZONE = r"(?:Z|[+-]\d\d:?\d\d)?(?: [A-Z]{3,4}\b)?(?: \(UTC[+-]\d\d:\d\d\))?"
_VARYING = (
    # A moment: 2026-11-30T21:30:00.123Z, 2026-11-30 21:30:00+01:00, with the name of a zone.
    rf"\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?{_ZONE}",
    # One of an access log.
    r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}",
    r"\d{4}-\d\d-\d\d",
    r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?(?: [A-Z]{3,4}\b)?",
    # The order of versions: EPOCH.N.
    r"\b\d{13}\.\d+\b",
    # A duration: 12.0 s, 25 min 41 s, 54 days 3 h. The word after it may not be a longer one.
    r"\b\d+(?:\.\d+)? (?:ms|s|min|h|days?)\b(?: \d+(?:\.\d+)? (?:ms|s|min|h)\b)*",
    r"\b(?:process|pid) \d+",
    # A moment in the future or the past that livefeed has given a name.
    r"\bembargo(?: cancel)? [0-9a-f]{8}\b",
)
_NUMBER = r"\b\d+(?:,\d{3})*(?:\.\d+)?\b"
_ANY = r"\.\.\."
_SPACES = re.compile(r" +")


def pattern_of(line: str, *, numbers: bool = False) -> str:
    """Gives the regular expression of the lines that a line on a page stands for.

    Runs of spaces match runs of any length: columns are as wide as their values.

    :param numbers: whether each number matches every other.
    """
    kinds = [*_VARYING, _NUMBER] if numbers else [*_VARYING]
    token = re.compile("|".join(f"({each})" for each in (_ANY, *kinds)))
    pieces = []
    position = 0
    for found in token.finditer(line):
        kind = found.lastindex
        assert kind is not None
        pieces += [_literal(line[position : found.start()]), ".*?" if kind == 1 else f"(?:{kinds[kind - 2]})"]
        position = found.end()
    return "".join([*pieces, _literal(line[position:])])


def _literal(text: str) -> str:
    return _SPACES.sub(" +", re.sub(r"([^\w ])", r"\\\1", text))


def _lines(text: str) -> list[str]:
    """Gives the lines of a text without spaces at their ends, and without empty ones around them."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n").splitlines()


def difference(shown: str, actual: str, *, numbers: bool = False) -> str:
    """Gives the difference of what a page shows and the actual output, or an empty text if there is none.

    A line ``...`` stands for any lines. Spaces at the ends of lines, and empty lines around them, do not count.
    """
    wanted, got = _lines(shown), _lines(actual)
    whole = "".join(r"(?:.*\n)*?" if line == "..." else f"{pattern_of(line, numbers=numbers)}\n" for line in wanted)
    if re.fullmatch(whole, "".join(f"{line}\n" for line in got)):
        return ""
    # Lines that match are no differences, so the page's are replaced by the actual ones.
    unused = [*got]
    aligned = []
    for line in wanted:
        same = next(
            (each for each in unused if line != "..." and re.fullmatch(pattern_of(line, numbers=numbers), each)), None
        )
        if same is not None:
            unused.remove(same)
        aligned.append(line if same is None else same)
    lines = difflib.unified_diff(aligned, got, "the page shows", "the output is", lineterm="", n=3)
    return "\n".join(lines) or "the lines come in another order"
