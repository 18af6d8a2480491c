"""The lines on which the keys of a TOML file stand: ``tomllib`` tells a position for errors of the syntax alone.

Rule: this reads only text that ``tomllib`` has accepted, and decides about no value. Where it is not sure, it knows no
line, and messages then name the file and the key without one.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Keys = tuple[str, ...]
"""The keys from the top of the file down to one value."""

_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
"""White space, line ends and comments, which may stand between any two members of an array."""

_KEY = re.compile(r"""[ \t]*(?:(?P<bare>[A-Za-z0-9_-]+)|(?P<quoted>"(?:\\.|[^"\\\n])*"|'[^'\n]*'))[ \t]*""")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")
"""A number, a date or a truth value: they contain none of the characters that can follow them."""


def key_lines(text: str) -> Mapping[Keys, int]:
    """Gives the line of each key and of each table, from 1 on; the first one if a table has several.

    :param text: a document that ``tomllib`` has accepted; empty if the text cannot be followed.
    """
    scanner = _Scanner(text)
    try:
        scanner.scan()
    except (ValueError, RecursionError):
        return {}
    return scanner.lines


@dataclass(eq=False)
class _Scanner:
    """Walks over the text once."""

    # required parameters
    text: str

    # internal state
    lines: dict[Keys, int] = field(default_factory=dict)
    _position: int = 0
    _starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._starts = [match.end() for match in re.finditer("\n", self.text)]

    def scan(self) -> None:
        """Finds all keys.

        :raises ValueError: if the text is not as TOML is.
        """
        table: Keys = ()
        while self._skip_space():
            if self._take("["):
                is_array = self._take("[")
                table = self._key((), is_table=True)
                self._expect("]]" if is_array else "]")
            else:
                self._pair(table)

    def _pair(self, table: Keys) -> None:
        """Reads a key, which may be dotted, and its value."""
        keys = self._key(table)
        self._expect("=")
        self._value(keys)

    def _key(self, table: Keys, *, is_table: bool = False) -> Keys:
        keys = table
        line = 0
        while True:
            found = _KEY.match(self.text, self._position)
            if found is None:
                raise ValueError("there is no key")
            line = line or bisect_right(self._starts, found.start()) + 1
            self._position = found.end()
            quoted = found["quoted"]
            keys = (*keys, found["bare"] if quoted is None else tomllib.loads(f"_ = {quoted}")["_"])
            if not self._take("."):
                break
            if not is_table:
                self.lines.setdefault(keys, line)
        # A table may have been named before its own header, by that of a table in it.
        self.lines.setdefault(keys, line)
        return keys

    def _value(self, keys: Keys) -> None:
        self._skip_space()
        if self._take("["):
            while self._skip_space() and not self._take("]"):
                self._value(keys)
                self._skip_space()
                self._take(",")
        elif self._take("{"):
            while self._skip_space() and not self._take("}"):
                self._pair(keys)
                self._skip_space()
                self._take(",")
        else:
            found = _STRING.match(self.text, self._position) or _SCALAR.match(self.text, self._position)
            if found is None or found.end() == self._position:
                raise ValueError("there is no value")
            self._position = found.end()

    def _skip_space(self) -> bool:
        """Skips what stands between two members, and tells whether there is more text."""
        found = _SPACE.match(self.text, self._position)
        self._position = self._position if found is None else found.end()
        return self._position < len(self.text)

    def _take(self, text: str) -> bool:
        if not self.text.startswith(text, self._position):
            return False
        self._position += len(text)
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise ValueError(f"there is no {text}")
