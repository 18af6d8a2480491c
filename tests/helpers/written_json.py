"""JSON values, and all the ways in which a document can write them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

NAMES = st.text(alphabet='ab/~0*{}="\\ ,:é😀', max_size=3)
"""Names with characters that mean something in JSON, pointers and selectors."""

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.sampled_from((0.5, 1.0, 1e300)) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)

_SPACE = st.sampled_from(("", "", " ", "\n\t", "\r\n  "))


@st.composite
def written(draw: st.DrawFn, value: Any) -> bytes:
    """Gives a document with a value, with white space and escapes at random."""
    return f"{draw(_SPACE)}{draw(_text(value))}{draw(_SPACE)}".encode()


@st.composite
def _text(draw: st.DrawFn, value: Any) -> str:
    space = lambda: draw(_SPACE)  # noqa: E731 - it is drawn at many places
    if isinstance(value, dict):
        members = [
            f"{space()}{draw(_scalar(name))}{space()}:{space()}{draw(_text(each))}{space()}"
            for name, each in value.items()
        ]
        return "{" + (",".join(members) or space()) + "}"
    if isinstance(value, list):
        return "[" + (",".join(f"{space()}{draw(_text(each))}{space()}" for each in value) or space()) + "]"
    return draw(_scalar(value))


def _scalar(value: object) -> st.SearchStrategy[str]:
    return st.booleans().map(lambda is_ascii: json.dumps(value, ensure_ascii=is_ascii))
