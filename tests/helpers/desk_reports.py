"""Reports of the desk, as ``livefeed ctl`` is given them."""

from __future__ import annotations

from typing import Any

WAITING: dict[str, Any] = {
    "version": "9a8b7766554433221100",
    "bytes": 4210,
    "since": "2026-11-30T20:01:00.000Z",
    "for_s": 185.0,
    "rule": "votes",
    "pointer": "/districts/0/votes",
    "why": "/districts/0/votes falls from 1200 to 0",
    "pulls": 14,
    "releases_in_s": None,
    "releases_after_pulls": None,
}
"""A document that a rule has held back."""

DECISION: dict[str, Any] = {
    "kind": "hold",
    "reason": "zeros from the exporter",
    "by": "anna",
    "at": "2026-11-30T20:04:19.000Z",
    "version": None,
}


def answer(state: str = "live", **more: Any) -> dict[str, Any]:
    """Gives the answer to a command."""
    return {
        "feed": "results",
        "state": state,
        "decision": None,
        "version": "3f2a01b2c3d4e5f60718",
        "sequence": "1764464400000.7",
        "waiting": None,
        **more,
    }


def desk_report(state: str = "live", **more: Any) -> dict[str, Any]:
    """Gives the report of a feed."""
    return {
        **answer(state),
        "shown": {
            "version": "3f2a01b2c3d4e5f60718",
            "sequence": "1764464400000.7",
            "bytes": 4100,
            "age_s": 12.0,
            "confirmed_at": "2026-11-30T20:04:07.000Z",
        },
        "rules": [],
        "alarms": [],
        "overlay": [],
        "versions": [],
        **more,
    }


def entry(**more: Any) -> dict[str, Any]:
    """Gives an entry of an overlay."""
    return {
        "pointer": "/districts/{name=North}/winner",
        "action": "set",
        "value": '"C"',
        "expected": None,
        "reason": "",
        "by": "ada",
        "at": "2026-11-30T20:00:00.000Z",
        "changes": 1,
        "places": [{"pointer": "/districts/3/winner", "hidden": '"A"'}],
        "conflicts": [],
        **more,
    }
