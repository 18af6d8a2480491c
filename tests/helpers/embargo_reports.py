"""Reports about embargoes, as commands are given them."""

from __future__ import annotations

from typing import Any


def embargo(**more: Any) -> dict[str, Any]:
    """Gives the report about a document that was set aside."""
    return {
        "feed": "results",
        "id": "0a1b2c3d",
        "kind": "publish",
        "at": "2026-11-30T20:30:00.000Z",
        "in_s": 1541.0,
        "by": "anna",
        "asked_at": "2026-11-30T20:04:19.000Z",
        "reason": "",
        "version": "9a8b77665544332211009a8b77665544",
        "bytes": 4210,
        "if_match": None,
        "if_none_match": None,
        "failed": None,
        **more,
    }


def release(**more: Any) -> dict[str, Any]:
    """Gives the report about the end of a hold."""
    return embargo(kind="release", version=None, bytes=None, **more)
