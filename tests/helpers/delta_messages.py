"""The messages of ``livefeed.delta.v2``, as a server sends them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from livefeed.document.splices import make_splices


def version_of(text: str) -> str:
    """Gives the version of a document."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def message(kind: str, path: str = "/feed", /, **members: Any) -> str:
    """Gives a message with the usual members, and others in addition to them or in their place."""
    usual = {"sequence": "7.1", "state": "live", "at": "2026-11-23T20:15:07.004Z", "age": 40, "next": 1000}
    return json.dumps({"type": kind, "path": path, **usual, **members})


def document(text: str, path: str = "/feed", /, **members: Any) -> str:
    """Gives a message with a whole document."""
    return message("document", path, **{"version": version_of(text), "text": text, **members})


def splices(old: str, new: str, path: str = "/feed", /, **members: Any) -> str:
    """Gives a message that turns a document into another."""
    made = json.loads(make_splices(old.encode(), new.encode()))
    return message("splices", path, **{"version": version_of(new), "from": version_of(old), "splices": made, **members})


def heartbeat(text: str | None, path: str = "/feed", /, **members: Any) -> str:
    """Gives the heartbeat of a client that has a document."""
    return message("heartbeat", path, **{"version": None if text is None else version_of(text), **members})
