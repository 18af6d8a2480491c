"""The requirements of a feed on the signer of its statements, and a statement beside its version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from livefeed.document.signature import Signed
    from livefeed.document.snapshot import Sequence, Snapshot


class Signer(Protocol):
    """Signs statements about the newest versions of feeds."""

    def sign(self, feed: str, snapshot: Snapshot, state: str, confirmed_at: float, interval_s: float) -> Signed | None:
        """Signs that a version is the newest one now; ``None`` if nothing is signed.

        :param feed: the name of the feed.
        :param confirmed_at: when a pull last gave the document, in seconds since 1970.
        :param interval_s: seconds from one tick to the next.
        """


@dataclass(frozen=True, slots=True)
class Stated:
    """A signed statement, and the version that it is about.

    A worker may have another version than its parent for a moment: the statement is then not shown.
    """

    version: str
    sequence: Sequence
    signed: Signed

    def is_about(self, snapshot: Snapshot) -> bool:
        """Tells whether the statement is about a version."""
        return self.sequence == snapshot.sequence and self.version == snapshot.version
