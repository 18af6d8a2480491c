"""Reports of /status, as ``livefeed ctl`` is given them."""

from __future__ import annotations

from typing import Any


def feed(**more: Any) -> dict[str, Any]:
    """Gives the report about a feed."""
    return {
        "name": "results",
        "state": "live",
        "reason": None,
        "version": "0123456789abcdef",
        "age_s": 0.41,
        "source": "redis://h/0/results",
        "last_error": None,
        "watchers": {"websocket": 10_000, "events": 5, "waiting": 1},
        **more,
    }


def report(*feeds: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Gives a report about a process."""
    return {
        "livefeed": "1.0",
        "instance": "default",
        "pid": 7,
        "uptime_s": 3700,
        "ready": True,
        "not_ready_because": [],
        "draining": False,
        "listen": ["tls:8443", "tcp:8080"],
        "feeds": [*feeds],
        "connections": {"open": 10_006, "most": 19_744, "refused": 0},
        "answers": 123_456,
        "workers": [],
        "certificates": [],
        **more,
    }
