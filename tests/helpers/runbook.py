"""The runbook of the docs, section by section."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.helpers.documentation import DOCS

PAGE = "night/index.md"

PARTS = ("Meaning", "Watchers see", "It has worked when", "Never")
"""What each section about a fault says, in this order, in bold."""

_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
_BLOCK = re.compile(r"^((?:<!-- [^\n]* -->\n)*)```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NOT_RUN = "<!-- not run: "
_PROMPT = "$ "


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page.

    :ivar heading: its heading.
    :ivar text: everything below it.
    """

    heading: str
    text: str

    @property
    def anchor(self) -> str:
        """The fragment of a URL that leads to the section, as MyST and GitHub make it."""
        return re.sub(r"[^\w -]", "", self.heading.lower()).replace(" ", "-")

    @property
    def is_about_a_fault(self) -> bool:
        """Whether the section tells what to do about a fault."""
        return f"**{PARTS[0]}**" in self.text

    @property
    def alarms(self) -> list[str]:
        """The names of the alert rules that lead here."""
        return re.findall(r"`(Livefeed\w+)`", _line(self.text, "**Alarms**"))

    @property
    def log_lines(self) -> list[str]:
        """Patterns of the lines in the log that lead here: regular expressions."""
        return [pattern_of(text) for text in re.findall(r"`(.+?)`", _line(self.text, "**Log**"))]

    def commands(self) -> list[str]:
        """Gives the commands to type, in their order, without those that no test can run."""
        return [
            line.removeprefix(_PROMPT)
            for marks, block in _BLOCK.findall(self.text)
            if _NOT_RUN not in marks
            for line in block.splitlines()
            if line.startswith(_PROMPT)
        ]


def pattern_of(text: str) -> str:
    """Gives a regular expression for a text in which ``…`` stands for any text."""
    return ".*".join(map(re.escape, text.split("…")))


def sections() -> dict[str, Section]:
    """Gives the sections of the page by their headings, in their order."""
    parts = _HEADING.split((DOCS / PAGE).read_text("utf-8"))[1:]
    return {heading: Section(heading, text) for heading, text in zip(parts[::2], parts[1::2], strict=True)}


def _line(text: str, beginning: str) -> str:
    """Gives the line that begins with a text; empty if there is none."""
    return next((line for line in text.splitlines() if line.startswith(beginning)), "")
