"""Parts of pages that are made, between the lines ``<!-- KIND: NAME -->`` and ``<!-- KIND: end -->``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def fill_regions(text: str, kind: str, make: Callable[[str], str]) -> str:
    """Gives a page with its parts made anew.

    :param kind: the kind of the parts, such as ``bench``.
    :param make: gives the text of a part by its name. It raises a ``KeyError`` if there is no such part.
    """

    def made(found: re.Match[str]) -> str:
        return f"<!-- {kind}: {found[1]} -->\n{make(found[1]).strip()}\n<!-- {kind}: end -->"

    pattern = rf"<!-- {kind}: (?!end )([\w-]+) -->\n.*?<!-- {kind}: end -->"
    return re.sub(pattern, made, text, flags=re.DOTALL)


def names_of_regions(text: str, kind: str) -> list[str]:
    """Gives the names of the parts of a page, in their order."""
    return re.findall(rf"^<!-- {kind}: (?!end )([\w-]+) -->$", text, re.MULTILINE)
