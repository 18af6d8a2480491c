"""The documents that publishers have stored in livefeed, as earlier versions that can be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.clocks import Moment
from livefeed.exceptions import StoreError
from livefeed.intake.archive import Found

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from livefeed.storage.shared_writes import SharedWrites
    from livefeed.storage.store import Kept

MAX_FOUND = 2
"""The number of versions with the same beginning that are read: the name of more than one is refused."""


@dataclass(slots=True)
class StoredPast:
    """The last writes of a feed's store.

    :ivar now: gives the present time by both clocks.
    :ivar store: the store; ``None`` if the document comes from another source. The owner sets it.
    """

    now: Callable[[], Moment]
    store: SharedWrites | None = None

    async def find(self, name: str) -> Sequence[Found]:
        """Past API. A damaged record is passed over."""
        store = self.store
        if store is None:
            return []
        found: dict[str, Found] = {}
        try:
            for write in reversed(await store.versions()):
                if write.version.startswith(name) and write.version not in found and len(found) < MAX_FOUND:
                    found[write.version] = await self._read(store, write)
        except StoreError:
            pass
        return [*found.values()]

    async def _read(self, store: SharedWrites, write: Kept) -> Found:
        _, data = await store.read(lambda _: write)
        now = self.now()
        at = Moment(now.measured_s - max(0.0, now.wall_s - write.at), write.at, by_wall=True)
        return Found(write.version, data, at)
