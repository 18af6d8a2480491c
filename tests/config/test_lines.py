"""The lines of the keys of a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.lines import key_lines

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True), st.sampled_from(["a.b", "", "é", 'q"', "#", "="])
)


def _written(name: str, quote: str) -> str:
    """Gives a key as it may be written."""
    if quote == "bare" and name.isascii() and name and all(each.isalnum() or each in "_-" for each in name):
        return name
    if quote == "literal" and "'" not in name:
        return f"'{name}'"
    return '"' + "".join(f"\\u{ord(each):04x}" for each in name) + '"'


_KEYS = st.tuples(_NAMES, st.sampled_from(["bare", "literal", "basic"]))
_VALUES = st.sampled_from(
    [
        "1",
        "1979-05-27 07:32:00",
        "'# no = comment'",
        '"a \\" ] } b"',
        '"""\n[no.table]\nno = 1\\""" \n"""""',
        "'''\n'no' = \"\"\"\n'''''",
        "[1, # one ]\n  2,\n]",
        "[[], ['}', '''\n]''']]",
        "{}",
        "true # = 1",
    ]
)
_FILLING = st.sampled_from(["", "\n", "# [no]\n", "  \t# no = 1\n\n", "\r\n"])


@dataclass
class _Written:
    """A file, and the line of each of its keys."""

    text: str
    lines: dict[tuple[str, ...], int]


@st.composite
def _files(draw: Callable[..., Any]) -> _Written:
    """Makes tables with keys of all kinds."""
    text = ""
    lines: dict[tuple[str, ...], int] = {}
    for table in (None, *draw(st.lists(_KEYS, max_size=3, unique_by=lambda key: key[0]))):
        prefix: tuple[str, ...] = ()
        text += draw(_FILLING)
        if table is not None:
            prefix = ("feeds", table[0])
            lines[prefix] = text.count("\n") + 1
            text += f"[ feeds . {_written(*table)} ] # here\n"
        for name, quote in draw(st.lists(_KEYS, max_size=4, unique_by=lambda key: key[0])):
            if not prefix and name == "feeds":
                continue
            text += draw(_FILLING)
            line = text.count("\n") + 1
            lines[*prefix, name] = line
            key = f"  {_written(name, quote)} "
            shape = draw(st.sampled_from(["plain", "dotted", "inline"]))
            value = draw(_VALUES)
            if shape == "dotted":
                lines[*prefix, name, "x"] = line
                key += '. "x"'
            elif shape == "inline":
                lines[*prefix, name, "y"] = line
                value = f"{{ y = {value} }}" if "\n" not in value and "#" not in value else "{y = 1}"
            text += f"{key}={value}\n"
    return _Written(text, lines)


class KeyLinesTests(SynchronousTestCase):
    """key_lines."""

    @given(_files())
    def test_each_key_of_a_file(self, written: _Written) -> None:
        """Keys in tables, dotted ones and quoted ones have the lines on which they were written."""
        tomllib.loads(written.text)
        self.assertEqual(dict(key_lines(written.text)), written.lines)

    def test_first_of_several(self) -> None:
        """A table that is named by a table in it, and members of an array of tables."""
        text = "[a.b]\nx = 1\n[a]\ny = 1\n[[c]]\nz = 1\n[[c]]\nz = 2\n"
        lines = key_lines(text)
        self.assertEqual([lines[keys] for keys in (("a", "b"), ("a",), ("c",), ("c", "z"))], [1, 3, 5, 6])

    def test_text_that_is_not_toml(self) -> None:
        """No line is known then, and nothing is raised."""
        for text in ("a", "a =", "[a", "= 1", "a = [" + "[" * 5000, "a = { b"):
            self.assertNotIn(("b",), key_lines(text))
