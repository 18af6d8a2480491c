"""A document's bytes as a snapshot, made in a thread if they are large. Small ones are made at once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import TimeoutError  # noqa: A004

from livefeed.document.codings import CODINGS, SLOW_CODINGS, compress_well, is_large
from livefeed.document.history import NO_DELTAS
from livefeed.document.snapshot import Snapshot, make_large
from livefeed.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from livefeed.document.history import Deltas
    from livefeed.feed.feed import Feed

MAX_S = 10.0
"""The largest number of seconds that work in a thread may take."""


@dataclass(frozen=True, slots=True)
class Made:
    """A document as a snapshot.

    :ivar snapshot: the snapshot.
    :ivar deltas: the deltas from the newest version that were made already.
    :ivar lacks: the slow codings that are still to be made.
    """

    snapshot: Snapshot
    deltas: Deltas = field(default_factory=lambda: NO_DELTAS)
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the snapshots of a feed.

    :param in_thread: calls a function in a thread.
    """

    feed: Feed
    clock: IReactorTime
    in_thread: Callable[..., Deferred[Any]]

    async def make(self, data: bytes) -> Made:
        """Makes a snapshot with the next sequence. Nothing may be published until it is.

        :raises SourceError: if that takes too long.
        """
        feed, sequence = self.feed, self.feed.next_sequence()
        codings = CODINGS if feed.demand is None else feed.demand.wanted(feed.snapshot, feed.clock.seconds())
        if not is_large(data):
            return Made(Snapshot.of(data, sequence, codings=codings))
        # 1 MB would take 30 ms of the reactor's thread.
        try:
            snapshot: Snapshot = await self.thread(make_large, data, sequence, codings)
        except OSError:
            # There is no thread, and the reactor's thread does it.
            return Made(Snapshot.of(data, sequence, codings=codings))
        except TimeoutError:
            raise SourceError(f"to compress the document takes longer than {MAX_S:g} s") from None
        deltas = NO_DELTAS
        preparation = self.feed.history.preparation(data)
        if preparation is not None:
            # Before the push, in which all subscribers that follow by delta would otherwise be sent the whole document.
            with suppress(OSError, TimeoutError):
                deltas = await self.thread(preparation)
        return Made(snapshot, deltas, tuple(coding for coding in SLOW_CODINGS if coding in codings))

    async def complete(self, made: Made) -> None:
        """Adds the slow codings that are wanted to a snapshot that was published.

        It is served without a coding, and in gzip, until they are there, if they come.
        """
        if made.lacks:
            with suppress(OSError, TimeoutError):
                self.feed.add_codings(made.snapshot, await self.thread(compress_well, made.snapshot.data, made.lacks))

    def thread(self, work: Callable[..., object], *arguments: object) -> Deferred[Any]:
        """Calls a function in a thread, for :data:`MAX_S` at most.

        :raises OSError: if there is no thread.
        """
        return self.in_thread(work, *arguments).addTimeout(MAX_S, self.clock)
