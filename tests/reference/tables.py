"""Tables in Markdown."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Gives a table.

    :param heads: the titles of the columns.
    :param rows: the cells of each row, in Markdown.
    """
    lines = [_row(heads), "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(_row([_cell(each) for each in row]) for row in rows)])


def _row(cells: Sequence[str]) -> str:
    return re.sub(r"\|  (?=\|)", "| ", f"| {' | '.join(cells)} |")


def _cell(text: str) -> str:
    """Gives a text as a cell, in one line. A bar would begin another cell, also in code."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def code(text: str) -> str:
    """Gives a text as code, also if it has code in it."""
    if "`" in text:
        return f"`` {text} ``"
    return f"`{text}`" if text else ""


def linked_from(page: str, text: str) -> str:
    """Gives a text whose links begin at the folder of the documentation with links that begin at a page.

    :param page: the path of the page, as it is in the repository: ``docs/reference/problems.md``.
    """

    def relative(found: re.Match[str]) -> str:
        path, anchor = found[1], found[2] or ""
        target = PurePosixPath("docs") / path
        if str(target) == page and anchor:
            return f"]({anchor})"
        return f"]({os.path.relpath(target, PurePosixPath(page).parent)}{anchor})"

    return _LINK.sub(relative, text)
