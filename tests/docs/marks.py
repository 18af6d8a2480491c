"""Marks: HTML comments that say how the block after them is run. They are invisible on a rendered page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_COMMENT = 10_000
"""The longest comment in characters that is read as a mark."""

NEEDS = frozenset({"redis", "mongodb", "certificates", "clone", "pip"})
"""What a page may need. :mod:`tests.docs.page` provides it."""

_COMMENT = re.compile(r"\A\s*<!--\s*(not run|run|file|tested|needs|script|hidden)\b[ \t]*(.*?)\s*-->\s*\Z", re.DOTALL)
_WORD = re.compile(r'"[^"]*"|[^\s,]+')
_FLAGS = frozenset({"background", "parse", "retry", "numbers"})
_VALUES = frozenset({"until", "exit", "shows", "on"})


class MarkError(ValueError):
    """A mark that says nothing the runner knows. The message tells what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a block is run.

    :ivar background: whether its last command goes on to run.
    :ivar until: the text in the output of the last command at which the next block is run; without *background* the
        command is interrupted then.
    :ivar exit: the exit status of the last command.
    :ivar shows: the text that a browser shows of the page.
    :ivar on: the URL of the page into which a browser puts the block; empty for a page of another origin.
    :ivar parse: whether it is only parsed.
    :ivar retry: whether the commands are repeated until they print what is shown.
    :ivar numbers: whether each number in the output may be another one.
    """

    background: bool = False
    until: str = ""
    exit: int = 0
    shows: str = ""
    on: str = ""
    parse: bool = False
    retry: bool = False
    numbers: bool = False


@dataclass(frozen=True, slots=True)
class NotRun:
    """The reason for which a block is not run."""

    reason: str


@dataclass(frozen=True, slots=True)
class OtherTest:
    """The test that runs a block, by its path in the repository."""

    path: str


@dataclass(frozen=True, slots=True)
class File:
    """The path of the file that has the block as its content."""

    path: str


@dataclass(frozen=True, slots=True)
class Script:
    """JavaScript that a browser runs before the block: the parts of a page that the block leaves to its reader."""

    text: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What the following blocks need."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hidden:
    """Commands that prepare the page.

    :ivar session: a console session.
    """

    session: str
    run: Run


Mark = Run | NotRun | OtherTest | File | Script | Needs | Hidden


def mark_of(comment: str) -> Mark | None:
    """Gives what an HTML comment says, or ``None`` if it is no mark.

    :raises MarkError: if it begins like a mark, and goes on in another way.
    """
    found = _COMMENT.match(comment[:MOST_COMMENT])
    if found is None:
        return None
    kind, rest = found[1], found[2]
    if kind == "hidden":
        options, _, session = rest.partition("\n")
        return Hidden(f"{session}\n", _run(options.removeprefix(":").strip()))
    if kind == "run" and not rest:
        return Run()
    text = rest.removeprefix(":").strip()
    if not rest.startswith(":") or not text:
        raise MarkError(f'"{kind}" needs a colon, and text after it')
    return _MARKS[kind](text if kind == "script" else " ".join(text.split()))


def _run(text: str) -> Run:
    """Reads the parts of a mark such as ``background until "listening", retry``."""
    words = iter(_WORD.findall(text))
    values: dict[str, str | int | bool] = {}
    for name in words:
        if name in _FLAGS:
            values[name] = True
            continue
        if name not in _VALUES:
            raise MarkError(f"a block cannot be run with {name!r}")
        value = next(words, "").strip('"')
        if not value:
            raise MarkError(f"{name!r} needs a value")
        if name == "exit" and not value.isdecimal():
            raise MarkError(f"{value!r} is no exit status")
        values[name] = int(value) if name == "exit" else value
    return Run(**values)  # type: ignore[arg-type]


def _needs(text: str) -> Needs:
    """Reads the names of what a page needs."""
    names = tuple(text.replace(",", " ").split())
    if unknown := [each for each in names if each not in NEEDS]:
        raise MarkError(f"a page cannot need {unknown[0]!r}, only {', '.join(sorted(NEEDS))}")
    return Needs(names)


_MARKS: Final[dict[str, Callable[[str], Mark]]] = {
    "run": _run,
    "not run": NotRun,
    "tested": OtherTest,
    "file": File,
    "script": Script,
    "needs": _needs,
}
