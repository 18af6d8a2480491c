"""The kinds of watchers, and mixes of them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from livefeed.exceptions import LivefeedError, closest, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_WEIGHT = 1_000_000
"""The largest weight of a kind in a mix."""


class Kind(StrEnum):
    """A kind of watcher."""

    POLL = "poll"
    CONDITIONAL = "conditional"
    BROWSER = "browser"
    WAIT = "wait"
    EVENTS = "events"
    WS = "ws"
    WS_DEFLATE = "ws-deflate"
    WS_DELTA1 = "ws-delta1"
    WS_DELTA2 = "ws-delta2"


POLLERS = frozenset({Kind.POLL, Kind.CONDITIONAL, Kind.BROWSER})
"""The kinds that ask at their own pace. All others are answered or sent a document when there is a new one."""

CONDITIONAL = frozenset({Kind.CONDITIONAL, Kind.BROWSER, Kind.WAIT})
"""The kinds that name the version that they have."""

WEBSOCKETS = frozenset({Kind.WS, Kind.WS_DEFLATE, Kind.WS_DELTA1, Kind.WS_DELTA2})

EXPLAINED = {
    Kind.POLL: "asks for the document, always with the same request",
    Kind.CONDITIONAL: "asks with If-None-Match",
    Kind.BROWSER: "asks with If-None-Match, and a browser's fields that differ in each request",
    Kind.WAIT: "asks with If-None-Match and Prefer: wait (long polls)",
    Kind.EVENTS: "follows server-sent events",
    Kind.WS: "follows by a WebSocket",
    Kind.WS_DEFLATE: "follows by a WebSocket with permessage-deflate",
    Kind.WS_DELTA1: "follows by a WebSocket with livefeed.delta.v1",
    Kind.WS_DELTA2: "follows by a WebSocket with livefeed.delta.v2",
}
"""Each kind in a few words."""


class MixError(LivefeedError):
    """A mix cannot be read. The message says why."""


def mix_of(text: str) -> dict[Kind, int]:
    """Reads a mix such as ``poll=80,ws=20``, and gives the weight of each kind.

    A kind alone, such as ``poll``, has the weight 1.

    :raises MixError: if it is no mix.
    """
    weights: dict[Kind, int] = {}
    for part in text.split(","):
        name, equals, number = part.strip().partition("=")
        try:
            kind = Kind(name)
        except ValueError:
            raise MixError(
                f"{shown(name)} is no kind of watcher{closest(name, list(Kind))}; there are {', '.join(Kind)}"
            ) from None
        if kind in weights:
            raise MixError(f"{kind} is there twice")
        # str.isdecimal alone would allow digits of other scripts.
        if equals and not (number.isascii() and number.isdecimal() and 0 < int(number) <= MAX_WEIGHT):
            raise MixError(f"{kind}={number}: a weight is a whole number from 1 to {MAX_WEIGHT}")
        weights[kind] = int(number) if equals else 1
    return weights


def shares(weights: Mapping[Kind, int], count: int) -> dict[Kind, int]:
    """Divides a number of watchers among kinds by their weights: the largest remainders get what is left.

    :returns: the numbers, of which the sum is *count*. Kinds that get nothing are left out.
    """
    total = sum(weights.values())
    exact = {kind: divmod(weight * count, total) for kind, weight in weights.items()}
    left = count - sum(whole for whole, _ in exact.values())
    favoured = sorted(exact, key=lambda kind: -exact[kind][1])[:left]
    found = {kind: whole + (kind in favoured) for kind, (whole, _) in exact.items()}
    return {kind: number for kind, number in found.items() if number}
