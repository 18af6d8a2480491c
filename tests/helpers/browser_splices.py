"""Splices that are applied by the code for browsers, in Node."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE = Path(__file__).parents[2] / "clients" / "js" / "src" / "splices.js"
PROGRAM = Path(__file__).parent.parent / "clients" / "splices.mjs"
WAIT_S = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of applying splices once or several times.

    :ivar result: the new document; ``None`` if the splices were refused.
    :ivar error: the name of the error.
    :ivar ms: the median time of applying the splices.
    :ivar read_ms: the median time of decoding and parsing the result.
    """

    result: bytes | None
    error: str | None
    ms: float
    read_ms: float


def applied_in_node(node: str, cases: Sequence[tuple[bytes, bytes, int]], repeat: int = 1) -> list[Answer]:
    """Applies splices in Node.

    :param node: the path of Node.
    :param cases: of each the old document, the splices as JSON, and the largest size of the result.
    """
    described = [
        {"old": base64.b64encode(old).decode(), "splices": splices.decode(), "maxBytes": largest, "repeat": repeat}
        for old, splices, largest in cases
    ]
    done = subprocess.run(
        [node, PROGRAM], input=json.dumps(described).encode(), stdout=subprocess.PIPE, timeout=WAIT_S, check=True
    )
    return [
        Answer(
            base64.b64decode(answer["result"]) if "result" in answer else None,
            answer.get("error"),
            answer.get("ms") or 0,
            answer.get("readMs") or 0,
        )
        for answer in json.loads(done.stdout)
    ]
