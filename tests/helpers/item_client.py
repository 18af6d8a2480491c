"""A client of ``livefeed.delta.v2``, as docs/reference/protocol.md describes it: it verifies all that it shows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from livefeed.document.snapshot import version_of
from livefeed.document.splices import apply_splices

MAX_BYTES = 1 << 24


@dataclass
class ShownItem:
    """One item as the client shows it.

    :ivar document: the document that it shows; ``None`` for none.
    :ivar version: the version of which it has the bytes; ``None`` for none.
    :ivar kinds: the types of the messages about it.
    """

    document: bytes | None = None
    version: str | None = None
    state: str = ""
    sequence: tuple[int, int] = (0, 0)
    kinds: list[str] = field(default_factory=list)


@dataclass
class ItemClient:
    """The items of one connection.

    :ivar items: the items by their paths.
    :ivar refused: the refusals: paths, statuses and the times in milliseconds after which they may be asked for again.
    :ivar pulses: the states of feeds that the client does not follow, by their paths.
    """

    items: dict[str, ShownItem] = field(default_factory=dict)
    refused: list[tuple[str, int, int | None]] = field(default_factory=list)
    pulses: dict[str, list[str]] = field(default_factory=dict)
    # Bytes that the client had before it was connected, by paths.
    had: dict[str, bytes] = field(default_factory=dict)

    def take(self, text: str | bytes) -> dict[str, Any]:
        """Takes a message, and gives it."""
        message: dict[str, Any] = json.loads(text)
        kind, path = message["type"], message["path"]
        if kind == "refused":
            self.refused.append((path, message["status"], message["retry"]))
            return message
        assert {"sequence", "state", "at", "age", "next"} <= message.keys(), message
        if kind == "heartbeat" and path not in self.items and path not in self.had:
            self.pulses.setdefault(path, []).append(message["state"])
            return message
        item = self.items.setdefault(path, ShownItem())
        item.kinds.append(kind)
        item.state = message["state"]
        sequence = tuple(map(int, message["sequence"].split(".")))
        assert sequence >= item.sequence, (item, message)
        item.sequence = (sequence[0], sequence[1])
        if kind == "document":
            item.document, item.version = message["text"].encode(), message["version"]
        elif kind == "splices" and message["version"] == item.version:
            pass  # it was on its way when the client asked for it again
        elif kind == "splices":
            old = self.had[path] if item.version is None else item.document
            assert old is not None
            assert version_of(old) == message["from"], (item, message)
            item.document = apply_splices(old, message["splices"], MAX_BYTES)
            item.version = message["version"]
        elif kind == "missing":
            item.document = item.version = None
        elif message["state"] in ("expired", "withdrawn"):
            item.document = item.version = None
            self.had.pop(path, None)
        else:
            if item.version is None:
                item.document, item.version = self.had[path], version_of(self.had[path])
            assert item.version == message["version"], (item, message)
        if item.document is not None:
            assert item.version == version_of(item.document), message
        return message
