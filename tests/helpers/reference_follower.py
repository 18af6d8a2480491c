"""A client of ``livefeed.delta.v2`` that does what the protocol says and nothing else: no connection, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livefeed.document.exact_json import DeltaError
from livefeed.document.snapshot import version_of
from livefeed.document.splices import apply_splices

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 1 << 20
NOT_FOUND = 404
HIDDEN = ("expired", "withdrawn")


@dataclass(slots=True)
class Item:
    """An item that is followed.

    :ivar data: the bytes that splices begin from; ``None`` for none.
    :ivar state: the state that is shown; ``None`` before the first message.
    :ivar is_shown: whether the bytes are shown.
    :ivar is_refused: whether the server has refused it, so that it is not on the connection.
    """

    data: bytes | None
    state: str | None
    is_shown: bool
    is_refused: bool = False

    def facts(self, path: str) -> dict[str, object]:
        """Gives the item as in ``vectors.json``."""
        data = self.data if self.is_shown else None
        return {
            "path": path,
            "text": None if data is None else data.decode(),
            "state": self.state,
            "version": None if data is None else version_of(data),
        }


@dataclass(slots=True)
class ReferenceFollower:
    """The items of one connection.

    :ivar items: the items by path.
    """

    items: dict[str, Item] = field(default_factory=dict)

    @classmethod
    def of(cls, have: Mapping[str, str | None], documents: Mapping[str, bytes]) -> ReferenceFollower:
        """Makes a client that shows versions as live.

        :param documents: the documents by version.
        """
        items = {
            path: Item(None, None, False) if version is None else Item(documents[version], "live", True)
            for path, version in have.items()
        }
        return cls(items)

    def receive(self, message: Mapping[str, Any]) -> list[dict[str, object]]:
        """Takes a message.

        :returns: the messages that the client sends.
        """
        path, kind = message["path"], message["type"]
        item = self.items.get(path)
        if kind == "heartbeat" and "/" not in path[1:]:
            self._spread(f"{path}/", message["state"])
        if item is None:
            return []
        if kind == "refused":
            item.is_refused = True
            if message["status"] == NOT_FOUND:
                item.data, item.is_shown = None, False
        elif kind in ("document", "splices"):
            data = self._data(item, message)
            if data is None or version_of(data) != message["version"]:
                return [{"follow": path, "have": None}]
            item.data, item.state, item.is_shown, item.is_refused = data, message["state"], True, False
        elif kind == "heartbeat":
            item.is_shown, item.is_refused = item.data is not None, False
            self._take_state(item, message["state"])
        elif kind == "missing":
            item.data, item.state, item.is_shown, item.is_refused = None, message["state"], False, False
        return []

    def _spread(self, below: str, state: str) -> None:
        for path, item in self.items.items():
            if path.startswith(below) and item.is_shown and (state in HIDDEN or not item.is_refused):
                self._take_state(item, state)

    @staticmethod
    def _data(item: Item, message: Mapping[str, Any]) -> bytes | None:
        """Gives the bytes that a message brings; ``None`` if it does not fit."""
        if message["type"] == "document":
            return str(message["text"]).encode()
        if item.data is None or version_of(item.data) != message["from"]:
            return None
        try:
            return apply_splices(item.data, message["splices"], MAX_BYTES)
        except DeltaError:
            return None

    @staticmethod
    def _take_state(item: Item, state: str) -> None:
        item.state = state
        if state in HIDDEN:
            item.data, item.is_shown = None, False

    def shown(self) -> list[dict[str, object]]:
        """Gives all items as in ``vectors.json``."""
        return [item.facts(path) for path, item in self.items.items()]
