"""The blocks of a page: fenced code, indented code, and the comments in front of them, as CommonMark has them."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

from tests.docs.marks import Hidden, MarkError, Needs, mark_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.docs.marks import Mark

MOST_NESTED = 4
"""How deep blocks may be nested in others, such as code in a tab of a set of tabs."""

_PROSE = frozenset({"note", "warning", "tip", "important", "caution", "admonition", "dropdown", "tab-set", "tab-item"})
"""The directives of Sphinx whose content is prose, which may have blocks. That of others is none of a reader's."""

_CODE = frozenset({"code", "code-block", "sourcecode"})

_MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    :ivar language: the first word after the fence; empty if there is none.
    :ivar first, last: its lines, from 0 on; *last* is the first one after it.
    :ivar fault: why it cannot be run; empty if it can.
    """

    language: str
    text: str
    first: int
    last: int
    marks: tuple[Mark, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What stands in a comment of its own: hidden commands, or what the following blocks need."""

    mark: Hidden | Needs
    first: int
    last: int


Part = Block | Preparation


@dataclass(slots=True)
class _Page:
    """The parts of a page that were read, and the marks that wait for their block."""

    parts: list[Part] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    marked: int = 0

    def comment(self, text: str, first: int, last: int) -> None:
        """Reads an HTML comment."""
        try:
            mark = mark_of(text)
        except MarkError as error:
            self.parts.append(Block("", text, first, last, fault=f"the mark is not understood: {error}"))
            return
        if isinstance(mark, Hidden | Needs):
            self.parts.append(Preparation(mark, first, last))
        elif mark is not None:
            self.marks.append(mark)
            self.marked = first

    def block(self, language: str, text: str, first: int, last: int, fault: str = "") -> None:
        """Adds a block with the marks before it."""
        self.parts.append(Block(language, text, first, last, tuple(self.marks), fault))
        self.marks.clear()

    def prose(self) -> None:
        """Reads something that is no block: a mark in front of it is lost."""
        if self.marks:
            fault = "no block follows this mark"
            self.parts.append(Block("", "", self.marked, self.marked + 1, fault=fault))
            self.marks.clear()


def parts_of(text: str) -> list[Part]:
    """Gives the blocks and preparations of a page of Markdown, in order."""
    page = _Page()
    _read(page, text, 0, MOST_NESTED)
    page.prose()
    return page.parts


def _read(page: _Page, text: str, offset: int, depth: int) -> None:
    """Reads Markdown that begins at the line *offset* of a page."""
    for token in _MARKDOWN.parse(text):
        if token.map is None or token.nesting < 0:
            continue
        first, last = (offset + line for line in token.map)
        if token.type == "html_block" and token.content.lstrip().startswith("<!--"):
            for comment in _comments(token.content):
                page.comment(comment, first, last)
        elif token.type == "code_block":
            page.block("", token.content, first, last, "an indented block has no language: fence it, and name one")
        elif token.type == "fence":
            _fence(page, token.info.strip(), token.content, (first, last), depth)
        elif token.type in ("inline", "heading_open", "html_block", "hr"):
            page.prose()


def _comments(html: str) -> Iterator[str]:
    """Gives the comments of a block of HTML, one after the other."""
    while html.lstrip().startswith("<!--"):
        comment, end, html = html.lstrip().partition("-->")
        yield comment + end


def _fence(page: _Page, info: str, content: str, lines: tuple[int, int], depth: int) -> None:
    """Reads a fenced block, which may be a directive of Sphinx."""
    if not info.startswith("{"):
        language = info.split(maxsplit=1)[0] if info else ""
        page.block(language, content, *lines)
        return
    name = info[1:].partition("}")[0]
    if name in _CODE:
        page.block("", content, *lines, "a directive of Sphinx is not shown as code elsewhere: use a plain fence")
    elif name in _PROSE and depth:
        page.prose()
        _read(page, content, lines[0] + 1, depth - 1)
    else:
        page.prose()


def docstring_blocks(source: str) -> list[Block]:
    """Gives the examples in the docstrings of a module: the indented lines after one that ends with ``::``.

    Their language is Python. A mark is a comment of reStructuredText before them: ``.. not run: REASON``.
    """
    blocks: list[Block] = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if not node.body or not isinstance(node.body[0], ast.Expr):
            continue
        literal = node.body[0].value
        if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
            blocks += _literal_blocks(literal.value, literal.lineno - 1)
    return sorted(blocks, key=lambda block: block.first)


def _literal_blocks(docstring: str, offset: int) -> Iterator[Block]:
    """Gives the literal blocks of a docstring that begins at the line *offset* of a file."""
    lines = docstring.expandtabs().splitlines()
    # The first line stands behind the quotes, wherever the others begin.
    lines[:1] = [
        " " * min((_margin(line) for line in lines[1:] if line.strip()), default=0) + line for line in lines[:1]
    ]
    index = 0
    marks: list[Mark] = []
    while index < len(lines):
        line, index = lines[index], index + 1
        if line.lstrip().startswith(".. ") and (mark := mark_of(f"<!-- {line.strip()[3:]} -->")):
            marks.append(mark)
        if not line.rstrip().endswith("::"):
            continue
        margin = _margin(line)
        first = index
        while index < len(lines) and (not lines[index].strip() or _margin(lines[index]) > margin):
            index += 1
        text = textwrap.dedent("\n".join(lines[first:index])).strip("\n")
        if text:
            yield Block("python", f"{text}\n", offset + first, offset + index, tuple(marks))
        marks.clear()


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())
