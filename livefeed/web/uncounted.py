"""A site for the requests with which livefeed checks itself: they are answered as all others, and count nowhere.

The answers that may be repeated are those of the other site. So a check sees what clients get.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from livefeed.web.replay import Replay
from livefeed.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Collection

    from twisted.internet.interfaces import IAddress

    from livefeed.transport.answer import Answer, Repeatable
    from livefeed.transport.interfaces import RoomMember, WaitingRoom
    from livefeed.web.prepared import PreparedAnswers


class UncountedReplay:
    """The answers of another store. Nothing is added to them, and their use is neither counted nor logged.

    :param replay: the other store.
    :ivar missed: the key of the request that had no stored answer; ``None`` if replay must not answer it at all.
    :ivar peer: the peer that asks, which nobody wants to know.
    """

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self.missed: bytes | None = None
        self.peer: int | IAddress = 0

    @property
    def generation(self) -> int:
        """AnswerStore API."""
        return self._replay.generation

    def find(self, head: bytes, /) -> Answer | None:
        """AnswerStore API."""
        # That of the base: the store of an access log would add a line.
        answer = Replay.find(self._replay, head)
        if answer is not None:
            answer.times -= 1
        self.missed = self._replay.missed
        return answer

    def store(
        self, key: bytes, data: bytes, repeatable: Repeatable, /, *, body: bytes = b"", last: bool = False
    ) -> None:
        """AnswerStore API. Keeps nothing."""

    def join(self, key: bytes, connection: RoomMember, /) -> bool:
        """AnswerStore API. A request that waits does so alone."""
        return False

    def open_room(self, room: WaitingRoom, /) -> None:
        """AnswerStore API. Lets nobody else in."""

    def close_room(self, room: WaitingRoom, /) -> None:
        """AnswerStore API."""

    def answered(self, answer: Answer, head: bytes, connections: Collection[RoomMember], /) -> None:
        """AnswerStore API. Counts nothing."""


class UncountedSite(Site):
    """A site with the resources and the answers of another one, whose counts nobody reads.

    :param site: the other site.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(site.resource, reactor=site.reactor)
        stores: dict[bool, Any] = {secure: UncountedReplay(replay) for secure, replay in site.replays.items()}
        self.replays = stores
        self.upgrades = None  # nothing would forget the paths
        self._site = site

    @property
    def prepared(self) -> PreparedAnswers:
        """Site API."""
        return self._site.prepared

    @prepared.setter
    def prepared(self, _: PreparedAnswers) -> None:
        """Site API. It has none of its own."""
