"""The table "Where it stands": what livefeed costs beside others, what was required, and what was aimed at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.results import (
    BY_SPLICES,
    FIVE_ITEMS,
    FULL_HANDSHAKE,
    MANY_FEEDS,
    ONE_ITEM,
    OURS,
    WEBSOCKET_CONNECTING,
    deltas_title,
    items_title,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.results import Kept, Rest

FAN_OUT = "WebSocket, 10,000 subscribers with TLS"
ABSENT = "not measured"


@dataclass(frozen=True)
class Goal:
    """A row of "Where it stands": one figure of livefeed's, divided by another server's; memory of the medians.

    :ivar title: of the row of the bench.
    :ivar must: the ratio at most; ``None`` if nothing was required.
    :ivar goal: the ratio that is aimed at; ``None`` if it is the same.
    :ivar ours: the name of livefeed's figure.
    """

    label: str
    title: str
    theirs: str
    must: float | None
    goal: float | None
    is_memory: bool = False
    ours: str = OURS


GOALS = (
    Goal("HTTPS, identical heads, CPU: nginx", "HTTPS, identical heads, 200 connections", "nginx", 0.95, 0.85),
    Goal("the same: Go", "HTTPS, identical heads, 200 connections", "Go net/http", 0.6, 0.45),
    Goal("HTTPS, all heads different, CPU: nginx", "HTTPS, all heads different, 200 connections", "nginx", 1.05, 0.9),
    Goal("the same: h2o", "HTTPS, all heads different, 200 connections", "h2o", 1.0, 0.9),
    Goal("HTTPS, 304, all heads different, CPU: nginx", "HTTPS, 304, all heads different", "nginx", 1.05, 0.95),
    Goal("the same: h2o", "HTTPS, 304, all heads different", "h2o", None, None),
    Goal("HTTPS, a query that was never seen, CPU: nginx", "HTTPS, a query that was never seen", "nginx", 3, 2),
    Goal("HTTPS, a tag that was never seen, CPU: nginx", "HTTPS, a tag that was never seen", "nginx", 3, 2),
    Goal(
        "HTTPS, 2,000 connections, all heads different, CPU: nginx",
        "HTTPS, all heads different, 2,000 connections", "nginx", 1.0, 0.85,
    ),
    Goal(
        "HTTPS, resumed handshake and one request, CPU: nginx",
        "HTTPS, resumed handshake and one request", "nginx", 1.2, 1.0,
    ),
    Goal("HTTPS, 20 KB, CPU: axum", "HTTPS, 20 KB, 200 connections", "axum", None, None),
    Goal("HTTPS, 100 KB, CPU: axum", "HTTPS, 100 KB, 200 connections", "axum", 1.4, 1.0),
    Goal("HTTPS, 1 MB, CPU: axum", "HTTPS, 1 MB, 50 connections", "axum", None, None),
    Goal(
        "HTTPS, 15,000 pollers, CPU: nginx", "HTTPS, 15,000 pollers, each once a second", "nginx", 1.05, 0.95
    ),
    Goal("WebSocket, 10,000 subscribers, CPU: nchan", FAN_OUT, "nginx + nchan", 0.9, 0.7),
    Goal("the same: axum", FAN_OUT, "axum", None, None),
    Goal("the same: Centrifugo", FAN_OUT, "Centrifugo", None, None),
    Goal(
        "WebSocket, 10,000 subscribers of the election night by v2, CPU: nchan's plain push",
        deltas_title("election", 10_000), "nginx + nchan", 0.9, 0.8, ours=BY_SPLICES,
    ),
    Goal("five items on a connection, CPU of a delivery: one item", items_title(10_000), ONE_ITEM, 1.2, None,
         ours=FIVE_ITEMS),
    Goal("HTTPS, full handshake and one request, CPU: nginx", FULL_HANDSHAKE, "nginx", 1.1, 1.0),
    Goal("connecting a WebSocket, CPU: nchan", WEBSOCKET_CONNECTING, "nginx + nchan", 1.6, 1.2),
    Goal("WebSocket, 100 subscribers, CPU: nchan", "WebSocket, 100 subscribers with TLS", "nginx + nchan", 1.8, 1.2),
    Goal("1 MB pushed to 100, CPU: nchan", "WebSocket, 1 MB pushed to 100", "nginx + nchan", 1.2, 1.0),
    Goal(
        "5,000 event streams without TLS, CPU: nchan", "Event streams, 5,000 without TLS", "nginx + nchan", 0.95, 0.85
    ),
    Goal("HTTPS, 10,000 long polls, CPU: nchan", "HTTPS, 10,000 long polls", "nginx + nchan", 1.0, 0.7),
    Goal("memory of a TLS subscriber: nchan", FAN_OUT, "nginx + nchan", 0.9, 0.7, is_memory=True),
    Goal("memory of an idle TLS poller: nginx", "HTTPS, 5,000 idle pollers", "nginx", 1.4, 1.2, is_memory=True),
)  # fmt: skip


def standing(kept: Kept) -> str:
    """Gives the table "Where it stands"."""
    lines = ["| | ours / theirs | must | goal |", "|---|---|---|---|"]
    lines += [f"| {goal.label} | {_ratio(kept, goal)} | {goal.must or ''} | {goal.goal or ''} |" for goal in GOALS]
    for label, found, must, goal in (
        ("poll p99 while 10,000 subscribers are pushed to", _poll(kept), "25 ms", "10 ms"),
        ("the collector's longest pause at 15,000 connections", _pause(kept), "50 ms", "10 ms"),
        ("memory when 15,000 have come and gone, against before", _growth(kept), "+10 %", ""),
        ("a process at rest, memory", _rest(kept, lambda each: f"{each.pss_bytes / 2**20:.0f} MB"), "50 MB", "40 MB"),
        ("the same: of a core", _rest(kept, lambda each: f"{each.busy:.2%}"), "0.1 %", "0.05 %"),
        ("the same: first answer after", _rest(kept, lambda each: f"{each.start_s:.2f} s"), "0.35 s", "0.25 s"),
        ("64 feeds that change each second, of a core", _feeds(kept), "6 %", "4 %"),
    ):
        lines.append(f"| {label} | {found} | {must} | {goal} |")
    return "\n".join(lines)


def _ratio(kept: Kept, goal: Goal) -> str:
    by_name = kept.rows.get(goal.title, {})
    ours, theirs = by_name.get(goal.ours), by_name.get(goal.theirs)
    if ours is None or theirs is None:
        return ABSENT
    if goal.is_memory:
        sizes = f"{ours.memory_bytes / 1024:.1f} KB, {theirs.memory_bytes / 1024:.1f} KB"
        return f"{ours.memory_bytes / theirs.memory_bytes:.2f} ({sizes})"
    return f"{theirs.ratio:.2f}" if theirs.ratio else ABSENT


def _rest(kept: Kept, figure: Callable[[Rest], str]) -> str:
    if OURS not in kept.rest:
        return ABSENT
    nginx = kept.rest.get("nginx")
    return figure(kept.rest[OURS]) + (f" (nginx: {figure(nginx)})" if nginx else "")


def _feeds(kept: Kept) -> str:
    return f"{kept.rest[MANY_FEEDS].busy:.1%}" if MANY_FEEDS in kept.rest else ABSENT


def _poll(kept: Kept) -> str:
    by_name = kept.rows.get(FAN_OUT, {})
    if OURS not in by_name:
        return ABSENT
    nchan = by_name.get("nginx + nchan")
    return f"{by_name[OURS].p99_ms:.1f} ms" + (f" (nchan: {nchan.p99_ms:.1f} ms)" if nchan else "")


def _pause(kept: Kept) -> str:
    if not kept.crowd:
        return ABSENT
    staying, arriving, leaving = (
        max(times)
        for times in zip(*((each.staying_ms, each.arriving_ms, each.leaving_ms) for each in kept.crowd), strict=True)
    )
    return f"{staying:.1f} ms; {arriving:.1f} ms while they came, {leaving:.1f} ms when they had gone"


def _growth(kept: Kept) -> str:
    grown = [f"{(each.left_bytes / each.before_bytes - 1) * 100:+.0f} %" for each in kept.crowd]
    return ", the second time ".join(grown) or ABSENT
