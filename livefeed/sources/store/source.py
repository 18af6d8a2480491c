"""The source of ``store:``: the newest document in the embedded store of the feed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from livefeed.exceptions import ConfigurationError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult


class StoredDocument(Protocol):
    """The store, as far as the source uses it."""

    @property
    def document(self) -> bytes | None:
        """The newest durable document; ``None`` if there is none."""

    def observe(self, changed: Callable[[], None], /) -> None:
        """Has a function called after each change, in the place of the one before."""


@dataclass(slots=True)
class StoreSource:
    """Gives the newest document of a store. Nothing is read from the disk: the store has it in memory.

    :ivar store: the store; ``None`` only for a check of settings, which has none.
    """

    store: StoredDocument | None

    @classmethod
    def from_url(cls, parts: SplitResult, store: StoredDocument | None) -> StoreSource:
        """Makes the source of ``store:``.

        :raises ConfigurationError: if the URL has anything behind the scheme.
        """
        if parts.netloc or parts.path or parts.query or parts.fragment:
            why = "store: stands alone: each feed with this source has a store of its own, by the name of the feed"
            raise ConfigurationError(why, "source")
        return cls(store)

    def __str__(self) -> str:
        return "store:"

    def watch(self, changed: Callable[[], None]) -> None:
        """Source API. A write is reported at once, so that it need not wait for a tick."""
        if self.store is not None:
            self.store.observe(changed)

    async def fetch(self) -> bytes:
        """Source API."""
        document = None if self.store is None else self.store.document
        if document is None:
            raise SourceError("there is no document yet, or it was deleted; `livefeed publish` stores one")
        return document

    def close(self) -> None:
        """Source API. The store stays open: another source of the same feed may follow it."""
        if self.store is not None:
            self.store.observe(_nothing)


def _nothing() -> None:
    pass
