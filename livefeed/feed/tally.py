"""Counts of what happened to the watchers of a feed and its parts, by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from livefeed.auth.grants import DenialReason

DropReason = Literal["silent", "flood"]
"""Why a subscriber was disconnected: it gave no sign of life, or it sent too much. The fan-out counts errors itself."""

RefusalReason = Literal["origin", "limit", "expired", "withdrawn", "stopping"]
"""Why a request to follow a feed was refused: a page of another origin, as many subscribers as there may be, a document
that is too old to be shown, one that is withdrawn, or the end of the process or of the feed."""


@dataclass(slots=True)
class Tally:
    """Counts since the start, which a feed shares with its parts.

    :ivar delivered: the number of deliveries: the subscribers of each push, added up.
    :ivar dropped: the subscribers that were disconnected.
    :ivar refused: the requests to follow the feed that were refused.
    :ivar denied: the requests for the feed, and for items of it, that were denied since their tokens are not good.
    """

    delivered: int = 0
    dropped: Counter[DropReason] = field(default_factory=Counter)
    refused: Counter[RefusalReason] = field(default_factory=Counter)
    denied: Counter[DenialReason] = field(default_factory=Counter)
