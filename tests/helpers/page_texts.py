"""The texts of pages and their modules: all of them belong into one file, for translation."""

from __future__ import annotations

import re
from html.parser import HTMLParser

NAMES = frozenset(
    {"livefeed", "livefeed ctl desk FEED", "JSON", "Enter", "Escape", "Date", "{{feed}}", "Bearer ${this.token}"}
)
"""Names and commands that are the same in every language, keys of a keyboard, and the names of fields."""

SPOKEN = ("aria-label", "title", "placeholder", "alt")
"""The attributes that readers see or hear."""

_LITERAL = re.compile(r"\"([^\"\n]*)\"|'([^'\n]*)'|`([^`]*)`")
_SENTENCE = re.compile(r"[A-Z][a-z]+( [a-z$].*)?|[^./<>{}()=]*[a-z]+ [a-z]+ [a-z]+.*\.")


class TextFinder(HTMLParser):
    """Finds the texts of a page, without those of scripts, styles and placeholders."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside = ""

    @classmethod
    def texts_of(cls, html: str) -> list[str]:
        """Gives the texts."""
        finder = cls()
        finder.feed(html)
        return finder.texts

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """HTMLParser API."""
        self._inside = tag
        self.texts += [value for name, value in attrs if name in SPOKEN and value]

    def handle_data(self, data: str) -> None:
        """HTMLParser API."""
        text = re.sub(r"\{\{\w+\}\}(?:\.\w+)?", "", data).strip()
        if text and self._inside not in ("style", "script"):
            self.texts.append(text)


def texts_of_module(code: str) -> list[str]:
    """Gives the literals of a module that look like texts for readers."""
    code = re.sub(r"(?m)^\s*//.*$|\s//\s.*$", "", code)
    literals = [(match.start(), next(filter(None, match.groups()), "")) for match in _LITERAL.finditer(code)]
    spoken = re.compile(rf"(?:{'|'.join(SPOKEN)})\"?: $")
    return [
        text
        for start, text in literals
        if _SENTENCE.fullmatch(text) or (text and spoken.search(code[max(0, start - 20) : start]) and "${" not in text)
    ]
