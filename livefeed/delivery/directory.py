"""The items that one connection may follow: every feed of the site, and every part of it.

Rule: an item is refused for the same reasons as a connection of its own would be. Nothing here writes to a connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.delivery.guard import Denial
from livefeed.feed.parts import UNUSED_S, TooManyPartsError
from livefeed.feed.state import State
from livefeed.web.answers import FULL_RETRY_S
from livefeed.web.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.delivery.guard import Guard, Permit
    from livefeed.delivery.item_messages import ItemMessages
    from livefeed.feed.feed import Feed
    from livefeed.feed.parts import Parts
    from livefeed.web.cors import Origins
    from livefeed.web.reconnect_slots import ReconnectSlots

NO_PART = "The document has no such part."
"""The reason of a 404, of a request and of an item."""

MISSING_RETRY_S = 60
"""Seconds after which a client may ask again for a part that the document does not have: it may come back."""

WITHDRAWN_RETRY_MS = 10_000
"""Milliseconds after which a client may ask again for a part of a document that is withdrawn. It polls meanwhile."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """The facts about a client that decide what it may follow.

    :ivar origin: the field ``Origin`` of its request; ``None`` if it was not sent.
    :ivar host: the field ``Host``.
    :ivar peer: the text under which its address is counted, by ``transport/addresses.py``.
    :ivar credentials: the tokens of its request; ``None`` if all feeds were public then.
    """

    origin: bytes | None
    host: bytes
    peer: str
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why an item is not followed.

    :ivar status: the status with which a connection of its own would be refused.
    :ivar detail: one sentence for a human reader, without anything that the client sent.
    :ivar retry_ms: milliseconds after which the client may ask again; ``None`` for never.
    """

    status: int
    detail: str
    retry_ms: int | None


class Followed(Protocol):
    """The requirements on the delivery of an item.

    :ivar pulses: the number of subscriptions that only receive heartbeats.
    """

    pulses: int

    @property
    def feed(self) -> Feed:
        """The feed or part."""

    @property
    def item_messages(self) -> ItemMessages:
        """The messages of the item."""

    @property
    def whole(self) -> Followed | None:
        """The whole document if the item is a part."""

    @property
    def sockets(self) -> dict[Any, None]:
        """All that is ended with the item."""

    @property
    def slots(self) -> ReconnectSlots | None:
        """The reconnect slots since the subscribers were let go; ``None`` before."""

    @property
    def full(self) -> Callable[[], bool]:
        """Tells whether the limit of subscribers is reached."""

    @property
    def directory(self) -> Callable[[], Directory]:
        """Gives the items of the site."""


class Listed(Protocol):
    """The requirements on a feed that is served."""

    @property
    def origins(self) -> Origins:
        """The origins whose pages may follow the feed."""

    @property
    def guard(self) -> Guard | None:
        """Decides which clients may have the feed; ``None`` for a public one."""

    @property
    def delivery(self) -> Followed:
        """The ways in which the whole document is followed."""

    @property
    def parts(self) -> Parts[Any]:
        """The parts of the document that are followed."""


@dataclass(slots=True, eq=False)
class Directory:
    """The feeds of a site by their names.

    :ivar feeds: the feeds.
    """

    feeds: dict[str, Listed] = field(default_factory=dict)

    def cookie_names(self) -> list[bytes] | None:
        """Gives the names of the cookies that may have a token; ``None`` if all feeds are public."""
        guards = [listed.guard for listed in self.feeds.values() if listed.guard is not None]
        return [guard.cookie for guard in guards if guard.cookie is not None] if guards else None

    def permit(self, path: str, visitor: Visitor) -> Permit | Refusal | None:
        """Judges whether a client may follow an item, before anything else is said about the item.

        :returns: ``None`` for an item that is public, or that there is not.
        """
        listed = self.feeds.get(path[1:].partition("/")[0])
        if listed is None or listed.guard is None:
            return None
        judged = listed.guard.judge(visitor.credentials or Credentials(), visitor.peer)
        return Refusal(judged.kind.status, judged.why, judged.retry_ms) if isinstance(judged, Denial) else judged

    def find(self, path: str, visitor: Visitor) -> Followed | Refusal:
        """Gives the ways in which an item is followed, for a client that is going to follow it.

        :param path: ``/NAME`` and the JSON Pointer of the part, without percent-encoding.
        """
        slash, (name, is_part, pointer) = path[:1], path[1:].partition("/")
        listed = self.feeds.get(name) if slash == "/" else None
        if listed is None:
            return Refusal(404, "There is no such feed.", None)
        whole = listed.delivery
        tally = whole.feed.tally
        if not listed.origins.allows_handshake(visitor.origin, visitor.host):
            tally.refused["origin"] += 1
            return Refusal(403, "Pages of this origin may not subscribe.", None)
        if whole.slots is not None:
            tally.refused["stopping"] += 1
            return Refusal(503, "The server is being stopped.", whole.slots.take_ms())
        if whole.full():
            tally.refused["limit"] += 1
            return Refusal(503, "As many follow this already as may.", 1000 * FULL_RETRY_S)
        return self._part(listed, pointer, visitor) if is_part else whole

    @staticmethod
    def _part(listed: Listed, pointer: str, visitor: Visitor) -> Followed | Refusal:
        feed = listed.delivery.feed
        if feed.snapshot is None:
            return Refusal(503, "There is no document yet.", max(1000, round(1000 * feed.next_tick_s())))
        if feed.state is State.WITHDRAWN:
            # Whether the document has such a part is withdrawn, too. By a 404, the client forgets the value.
            return Refusal(404, "The document is withdrawn, and must not be shown.", WITHDRAWN_RETRY_MS)
        try:
            segments = [segment.encode() for segment in pointer.split("/")]
            part: Followed | None = listed.parts.find(segments, visitor.peer)
        except TooManyPartsError:
            return Refusal(503, "Too many parts of the document are followed already.", 1000 * UNUSED_S)
        if part is None:
            return Refusal(404, NO_PART, 1000 * MISSING_RETRY_S)
        return part
