"""The links of Markdown pages, and the anchors that they may lead to."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import unquote

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from markdown_it.token import Token

_MARKDOWN = MarkdownIt("commonmark").enable("table")
_ATTRIBUTE = re.compile(r'\b(?:href|src|srcset)="([^"]*)"')
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|/|…$")


def links(text: str) -> Iterator[str]:
    """Gives the targets of all links and pictures of a page, also of those in HTML, in their order."""
    for token in _tokens(text):
        if token.type in ("html_block", "html_inline"):
            yield from _ATTRIBUTE.findall(token.content)
        for name in ("href", "src"):
            if (target := token.attrGet(name)) is not None:
                yield str(target)


def anchors(text: str) -> set[str]:
    """Gives the anchors of the headings of a page, as GitHub and MyST make them."""
    found: dict[str, int] = {}
    made = set()
    tokens = _MARKDOWN.parse(text)
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        words = "".join(each.content for each in inline.children or () if each.type in ("text", "code_inline"))
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        made.add(f"{slug}-{count}" if count else slug)
    return made


def broken_links(page: Path) -> list[str]:
    """Gives the targets of a page that lead nowhere. Those of other hosts are not looked at.

    :param page: the file, in whose folder relative targets begin.
    """
    text = page.read_text("utf-8")
    broken = []
    for target in links(text):
        if _ELSEWHERE.match(target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = page.parent / path if path else page
        is_there = file.exists() and (not anchor or (file.suffix == ".md" and anchor in _anchors_of(file.resolve())))
        if not is_there:
            broken.append(target)
    return broken


@cache
def _anchors_of(file: Path) -> set[str]:
    return anchors(file.read_text("utf-8"))


def _tokens(text: str) -> Iterator[Token]:
    for token in _MARKDOWN.parse(text):
        yield token
        yield from token.children or ()
