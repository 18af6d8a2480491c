"""The code that the documentation shows, which the tests run."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
EXAMPLES = DOCS.parent / "examples"


def code_block(page: str, language: str, index: int = 0) -> str:
    """Gives a block of code in a language on a page.

    :param page: its path below ``docs``.
    :param index: how many blocks in that language come before it.
    """
    found = re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) > index, (page, language)
    return str(found[index])
