"""Alarms, states, metrics, close codes and log lines, each in a few lines, from ``docs/reference/explained.json``.

The file is made of the code and the documentation. It has one place in the repository, and another in the wheel.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
FILES = (_PACKAGE / "data" / "explained.json", _PACKAGE.parent / "docs" / "reference" / "explained.json")
"""The places of the file: in the wheel, and in a clone."""

_PREFIXES = {"alarm": "livefeed", "metric": "livefeed_"}
"""The beginnings of names that all of a kind have, and that need not be given."""

_FIELD = re.compile(r"\{[^{}]*\}")
_RANGE = re.compile(r"([0-9]+) to ([0-9]+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something with a name, and its meaning.

    :ivar kind: ``alarm``, ``state``, ``metric``, ``close code`` or ``log line``.
    :ivar name: its name. That of a log line is its format; close codes may be a range, such as ``3000 to 3499``.
    :ivar texts: sentences about it.
    :ivar page: the page of the documentation, and the section.
    """

    kind: str
    name: str
    texts: tuple[str, ...]
    page: str

    def as_text(self) -> str:
        """Gives the explanation."""
        return "\n".join([f"{self.name}: {self.kind}", *self.texts, f"See {self.page}"]) + "\n"

    def fits(self, name: str) -> bool:
        """Tells whether a name is the one of this entry, in capitals or not."""
        if self.kind == "log line":
            # A format without words of its own would be that of any text.
            has_words = any(map(str.isalpha, _FIELD.sub("", self.name)))
            return has_words and " " in name and _pattern_of(self.name).search(_plain(name)) is not None
        known, wanted = self.name.lower(), name.lower().partition("{")[0]
        found = _RANGE.fullmatch(known)
        if found is not None and wanted.isascii() and wanted.isdigit():
            return int(found[1]) <= int(wanted[:9]) <= int(found[2])
        return wanted in (known, known.removeprefix(_PREFIXES.get(self.kind, "")))


def entries() -> tuple[Entry, ...]:
    """Gives all entries; none if the file is missing."""
    path = next((path for path in FILES if path.exists()), None)
    if path is None:
        return ()
    return tuple(Entry(**{**each, "texts": tuple(each["texts"])}) for each in json.loads(path.read_text("utf-8")))


def found_in(known: tuple[Entry, ...], name: str) -> list[Entry]:
    """Gives the entries of a name: of log lines only those that have most of their text in common with it."""
    found = [each for each in known if each.fits(name)]
    lines = [each for each in found if each.kind == "log line"]
    most = max((_fixed(each.name) for each in lines), default=0)
    return [each for each in found if each.kind != "log line" or _fixed(each.name) == most]


def _pattern_of(line: str) -> re.Pattern[str]:
    """Gives the pattern of a log line, whose fields stand for any text, but for a state, which is one word."""
    parts = [re.escape(_plain(text)) for text in _FIELD.split(line)]
    fields = [r"[a-z]+" if field == "{state}" else ".*" for field in _FIELD.findall(line)]
    return re.compile("".join(each for pair in zip_longest(parts, fields, fillvalue="") for each in pair), re.DOTALL)


def _plain(text: str) -> str:
    # A shell takes the quotes away.
    return text.replace('"', "")


def _fixed(line: str) -> int:
    """Gives the number of characters of a log line that are the same in all lines of its format."""
    return len(_FIELD.sub("", line).replace(" ", ""))
