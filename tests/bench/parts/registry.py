"""All parts of the bench, in the order in which they are measured."""

from __future__ import annotations

from tests.bench.parts import claims, connecting, idle, memory, pollers, requests, rest, subscribers, ways, workers
from tests.bench.parts.part import Part

PARTS = (
    Part("requests", requests.measure, is_quick=True),
    Part("connecting", connecting.measure),
    Part("pollers", pollers.measure),
    Part("subscribers", subscribers.measure, is_quick=True),
    Part("streams", subscribers.measure_streams),
    Part("waiting", subscribers.measure_waiting),
    Part("documents", subscribers.measure_documents),
    Part("idle", idle.measure),
    Part("deltas", ways.measure_deltas),
    Part("items", ways.measure_items),
    Part("memory", memory.measure),
    Part("rest", rest.measure),
    Part("following", ways.measure_following),
    Part("workers", workers.measure),
    Part("claims", claims.measure),
)


def chosen(only: str | None, *, is_quick: bool) -> list[Part]:
    """Gives the parts of a run.

    :param only: the name of the only part; ``None`` for all of them, or all quick ones.
    """
    return [part for part in PARTS if part.name == only or (only is None and (part.is_quick or not is_quick))]
