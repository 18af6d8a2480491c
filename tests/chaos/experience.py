"""What clients experienced that reconnect by themselves. All times are in seconds of CLOCK_MONOTONIC."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.chaos.arithmetic import percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.chaos.arithmetic import Window

COLUMNS = (
    "client",
    "number",
    "connections ended",
    "failed attempts",
    "opened, most/s",
    "back p50/last, s",
    "not back",
    "longest without, s",
    "older",
)


@dataclass(frozen=True, slots=True)
class Experience:
    """The experience of all clients of one kind between begin and end of the window.

    :ivar clients: those with a document before the event.
    :ivar closes: connections that ended, by code; a client that has none of its own says ``end``.
    :ivar errors: failed attempts, by the words of the client.
    :ivar opened: connections that were opened.
    :ivar opened_peak: the most of them in one second.
    :ivar back_p50_s: from the event to the first document after the last end or failure, for those that had one,
    :ivar back_s: and for the last of them.
    :ivar absent: clients without any document after that.
    :ivar silence_s: the longest time without a document, of all clients.
    :ivar older: documents that came after a newer one.
    """

    clients: int
    closes: Mapping[str, int]
    errors: Mapping[str, int]
    opened: int
    opened_peak: int
    back_p50_s: float
    back_s: float
    absent: int
    silence_s: float
    older: int


def experience(events: Iterable[Mapping[str, Any]], window: Window) -> Experience:
    """Judges the events of one kind of clients, which are in the order of their times for each client."""
    by_client: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    closes: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    seconds: Counter[int] = Counter()
    for event in events:
        if event["at"] > window.end:
            continue
        by_client[event["client"]].append(event)
        if event["at"] < window.begin:
            continue
        if event["event"] == "close":
            closes[str(event.get("code", "end"))] += 1
        elif event["event"] == "error":
            errors[event["text"]] += 1
        elif event["event"] == "open":
            seconds[math.floor(event["at"])] += 1
    judged = [_Judged.of(each, window) for each in by_client.values()]
    judged = [each for each in judged if each.began]
    back = [each.back_at - window.event for each in judged if each.was_away and each.back_at is not None]
    return Experience(
        clients=len(judged),
        closes=dict(closes),
        errors=dict(errors),
        opened=seconds.total(),
        opened_peak=max(seconds.values(), default=0),
        back_p50_s=percentile(back, 0.5),
        back_s=max(back, default=math.nan),
        absent=sum(1 for each in judged if each.was_away and each.back_at is None),
        silence_s=max((each.silence_s for each in judged), default=math.nan),
        older=sum(each.older for each in judged),
    )


@dataclass(slots=True)
class _Judged:
    """One client."""

    began: bool = False
    was_away: bool = False
    back_at: float | None = None
    silence_s: float = 0.0
    older: int = 0

    @classmethod
    def of(cls, events: Sequence[Mapping[str, Any]], window: Window) -> _Judged:
        found = cls()
        last, newest = window.begin, -1
        for event in events:
            at = event["at"]
            if event["event"] == "document":
                found.began = found.began or at < window.event
                if at >= window.begin:
                    found.silence_s = max(found.silence_s, at - last)
                    found.older += event["n"] < newest
                    last = at
                newest = max(newest, event["n"])
                if found.was_away and found.back_at is None:
                    found.back_at = at
            elif event["event"] in ("close", "error") and at >= window.begin:
                found.was_away, found.back_at = True, None
        found.silence_s = max(found.silence_s, window.end - last)
        return found


def row(name: str, found: Experience) -> list[str]:
    """Gives the cells of a kind of clients."""

    def number(value: float) -> str:
        return "-" if math.isnan(value) else f"{value:.1f}"

    return [
        name,
        str(found.clients),
        _most(found.closes),
        _most(found.errors),
        str(found.opened_peak),
        f"{number(found.back_p50_s)}/{number(found.back_s)}",
        str(found.absent),
        number(found.silence_s),
        str(found.older),
    ]


def _most(counts: Mapping[str, int]) -> str:
    if not counts:
        return "0"
    total, (name, _) = sum(counts.values()), max(counts.items(), key=lambda item: item[1])
    return f"{total} ({name})" if len(counts) == 1 else f"{total} (most: {name})"
