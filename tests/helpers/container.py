"""The recipe of the container's image, as the tests read it."""

from __future__ import annotations

import re

from tests.helpers.documentation import DOCS


def instructions() -> list[tuple[int, str, str]]:
    """Gives the number of the stage, the name and the argument of each instruction; lines that continue are joined."""
    text = re.sub(r"^#.*\n", "", (DOCS / "container" / "Dockerfile").read_text(), flags=re.MULTILINE)
    found: list[tuple[int, str, str]] = []
    stage = -1
    for line in text.replace("\\\n", "").splitlines():
        if not line.strip():
            continue
        name, _, argument = line.partition(" ")
        stage += name == "FROM"
        found.append((stage, name, argument.strip()))
    return found
