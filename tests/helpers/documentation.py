"""The code that the documentation shows, which the tests run."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def code_block(page: str, language: str) -> str:
    """Gives the first block of code in a language on a page.

    :param page: its path below ``docs``.
    """
    match = re.search(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    assert match is not None, (page, language)
    return match[1]
