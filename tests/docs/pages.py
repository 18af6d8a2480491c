"""The pages whose blocks are run, and the count of their blocks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final

from tests.docs.blocks import Block, docstring_blocks, parts_of
from tests.docs.languages import mark_in
from tests.docs.machine import ROOT
from tests.docs.marks import File, NotRun, OtherTest, Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.docs.blocks import Part

PATTERNS: Final = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "certs/README.md",
    "docs/**/*.md",
    "examples/**/*.md",
    "clients/**/*.md",
)
FOREIGN: Final = frozenset({"node_modules", "build", "target"})
"""Folders whose pages are those of other projects."""

PARSED: Final = frozenset({"json", "yaml", "ini"})
"""The languages of which a block has nothing to run."""


def pages(root: Path = ROOT) -> list[Path]:
    """Gives the pages of the documentation, and the modules whose docstrings have examples."""
    markdown = {
        path
        for path in chain.from_iterable(root.glob(pattern) for pattern in PATTERNS)
        if not FOREIGN & {*path.relative_to(root).parts}
    }
    modules = {path for path in (root / "livefeed").rglob("*.py") if docstring_blocks(path.read_text("utf-8"))}
    return sorted(markdown) + sorted(modules)


def parts_in(path: Path) -> list[Part]:
    """Gives the blocks and preparations of a page, or of the docstrings of a module."""
    text = path.read_text("utf-8")
    return [*docstring_blocks(text)] if path.suffix == ".py" else parts_of(text)


@dataclass(slots=True)
class Count:
    """How many blocks are run.

    :ivar run: blocks that are run here, by their languages.
    :ivar parsed: blocks that are read, or written into a file.
    :ivar tested: blocks that another test runs, by its path.
    :ivar not_run: the others, by their reasons.
    :ivar commands: the commands in the blocks of consoles and scripts that are run.
    """

    run: Counter[str] = field(default_factory=Counter)
    parsed: Counter[str] = field(default_factory=Counter)
    tested: Counter[str] = field(default_factory=Counter)
    not_run: Counter[str] = field(default_factory=Counter)
    commands: int = 0

    def add(self, block: Block) -> None:
        """Counts a block."""
        if reason := mark_in(block, NotRun):
            self.not_run[reason.reason] += 1
        elif test := mark_in(block, OtherTest):
            self.tested[test.path] += 1
        elif block.language in PARSED or mark_in(block, File) is not None or (mark_in(block, Run) or Run()).parse:
            self.parsed[block.language] += 1
        else:
            self.run[block.language] += 1
            self.commands += _commands_in(block)

    def lines(self) -> Iterator[str]:
        """Gives the table that the run ends with."""
        yield f"{_sum(self.run):4} blocks run, with {self.commands} commands: {_listed(self.run)}"
        yield f"{_sum(self.parsed):4} read, or written into files: {_listed(self.parsed)}"
        yield f"{_sum(self.tested):4} run by other tests:"
        yield from _rows(self.tested)
        yield f"{_sum(self.not_run):4} not run:"
        yield from _rows(self.not_run)


def count(paths: Iterable[Path]) -> Count:
    """Counts the blocks of pages."""
    counted = Count()
    for path in paths:
        for part in parts_in(path):
            if isinstance(part, Block):
                counted.add(part)
    return counted


def _commands_in(block: Block) -> int:
    """Gives how many commands a block has; each line of a script that is no comment counts as one."""
    lines = block.text.splitlines()
    if block.language == "console":
        return sum(line.startswith("$ ") for line in lines)
    return sum(bool(line.strip()) and not line.startswith("#") for line in lines) if block.language == "sh" else 0


def _sum(counter: Counter[str]) -> int:
    return sum(counter.values())


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {name or 'text'}" for name, number in counter.most_common())


def _rows(counter: Counter[str]) -> Iterator[str]:
    for name, number in counter.most_common():
        yield f"     {number:4}  {name}"
