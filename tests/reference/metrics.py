"""The metrics."""

from __future__ import annotations

from livefeed.admin.exposition import PREFIX
from livefeed.admin.samples import FAMILIES
from tests.reference.tables import code, table

COMBINED = {"sum": "added up", "max": "the largest", "min": "the smallest", "parent": "that of the parent"}
"""How the values of several processes become one, in words."""


def metric_table() -> str:
    """Gives all metrics of livefeed itself."""
    rows = [
        [
            code(PREFIX + name),
            "counter" if family.is_counter else "gauge",
            ", ".join(map(code, family.labels)),
            family.text,
            COMBINED[family.combine],
        ]
        for name, family in FAMILIES.items()
    ]
    return table(("metric", "type", "labels", "meaning", "with workers"), rows)
