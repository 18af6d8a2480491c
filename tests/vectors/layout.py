"""The text of ``vectors.json``: one case on each line, in ASCII, so that no editor changes a byte of a document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.vectors import documents, messages, slots, statements

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = Path(__file__).with_name("vectors.json")


def written() -> str:
    """Gives the text of the file."""
    sections: dict[str, Iterable[dict[str, object]]] = {
        "documents": documents.documents(),
        "splices": documents.splices(),
        "bad_splices": documents.bad_splices(),
        "patches": documents.patches(),
        "messages": messages.messages(),
        "sequences": messages.sequences(),
        "lifetimes": messages.lifetimes(),
        "slots": slots.slots(),
        "statements": statements.statements(),
    }
    lines = (f"{json.dumps(name)}: [\n" + ",\n".join(map(_case, cases)) + "\n]" for name, cases in sections.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _case(case: dict[str, object]) -> str:
    """Gives one case as JSON. A value of the type ``bytes`` is JSON already, whose numbers must stay as they are."""
    members = (
        f"{json.dumps(name)}: {value.decode('ascii') if isinstance(value, bytes) else json.dumps(value)}"
        for name, value in case.items()
    )
    return "  {" + ", ".join(members) + "}"
