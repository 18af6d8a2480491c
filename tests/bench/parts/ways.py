"""The ways to follow livefeed, side by side: deltas, several items on a connection, and the bytes of each transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import deltas, following, items
from tests.bench.turns import progress

if TYPE_CHECKING:
    from tests.bench.parts.part import Bench

MIXED_ROUNDS = 3
"""Each takes a minute, and the row is about a difference that the eye sees."""


def measure_deltas(bench: Bench) -> None:
    """Measures pushes of deltas of the election night; ``tests.bench.deltas`` measures the small demonstration, too."""
    plan = bench.plan
    deltas.measure(
        bench.setting, "election", count=max(plan.subscribers), rounds=plan.rounds, seconds=plan.fan_out_seconds,
        found=bench.found,
    )  # fmt: skip


def measure_items(bench: Bench) -> None:
    """Measures several items on a connection."""
    items.measure(bench.setting, count=max(bench.plan.subscribers), rounds=bench.plan.rounds, found=bench.found)


def measure_following(bench: Bench) -> None:
    """Measures the transports: the bytes of an update on each, and their costs side by side."""
    found, count = bench.found, max(bench.plan.subscribers)
    found.wire = following.bytes_on_the_wire(bench.setting)
    print(following.wire_table(found.wire), flush=True)
    for _ in range(min(bench.plan.rounds, MIXED_ROUNDS)):
        for kinds, got in following.mixed(bench.setting, count).items():
            found.note(f"livefeed, the demo, {count:,} subscribers", kinds, got, seconds=following.MIXED_S)
            progress("ways", kinds, got)
