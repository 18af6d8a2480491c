"""Documents of rows, as large as needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

NAMES = ("Nord", "Süd", "Ost", "West", "Alt", "Neu", "Berg", "Tal", "See", "Wald")


def rows_of(draw: random.Random, count: int) -> list[dict[str, Any]]:
    """Gives rows of some 140 bytes each."""
    return [
        {
            "id": 100_000 + 7 * number,
            "name": f"{draw.choice(NAMES)}{draw.choice(NAMES).lower()} {draw.randint(1, 99)}",
            "latitude": round(draw.uniform(45, 55), 5),
            "longitude": round(draw.uniform(5, 15), 5),
            "status": draw.choice(("open", "closed", "unknown")),
            "bikes": draw.randint(0, 40),
            "docks": draw.randint(0, 40),
            "votes": draw.randint(0, 100_000),
            "updated": 1_790_000_000 + draw.randint(0, 9999),
        }
        for number in range(count)
    ]


def written(rows: Sequence[dict[str, Any]]) -> bytes:
    """Gives a document with these rows."""
    return json.dumps({"title": "Stations", "rows": [*rows]}, separators=(",", ":"), ensure_ascii=False).encode()
