"""The content codings in which clients ask for the document of a feed.

Rules: a new version is made in the codings that were asked for lately. Another one is made when a client asks for it,
once for each snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.logger import Logger

from livefeed.document.codings import CODINGS, compress_better, is_large

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from livefeed.document.snapshot import Snapshot

_log = Logger()

ASKED_S = 60.0
"""Seconds for which new versions are made in a coding after a client asked for it. A long poll waits for less."""


class Threaded(Protocol):
    """The history of a feed, which knows whether there are threads."""

    @property
    def in_thread(self) -> Callable[..., Any] | None:
        """Calls a function in a thread, and gives a Deferred; ``None`` if there are no threads."""


class CodedFeed(Protocol):
    """A feed to whose snapshots codings are added."""

    name: str

    @property
    def history(self) -> Threaded:
        """The history."""

    def add_codings(self, snapshot: Snapshot, codings: dict[str, bytes]) -> None:
        """Adds codings to a snapshot, and has answers forgotten that lack them."""


@dataclass(slots=True, eq=False)
class Demand:
    """The codings that clients ask for.

    Where a client accepts several, its choice is the one that it would be sent if all were made: of equal weights the
    smallest, by the sizes of the last versions that had it.

    :ivar order: all codings, the one that is presumably the smallest first.
    """

    # required parameters
    _since_s: float  # by the clock: all codings count as asked for then

    # internal state
    order: tuple[str, ...] = ("br", "zstd", "gzip")
    _asked: set[str] = field(default_factory=set)  # since the last version
    _asked_s: dict[str, float] = field(init=False)
    _ratios: dict[str, float] = field(default_factory=dict)  # of the coded size to that of the document

    def __post_init__(self) -> None:
        self._asked_s = dict.fromkeys(CODINGS, self._since_s)

    def note(self, snapshot: Snapshot, coding: str) -> bool:
        """Takes note that a client asks for a snapshot in a coding.

        It costs no look at the clock: what was asked for since the last version counts as asked for at the next one.

        :param coding: the choice of the client among :attr:`order`; ``identity`` counts for nothing.
        :returns: whether the snapshot was not made in it, so that :meth:`make` is to be called.
        """
        self._asked.add(coding)
        return coding in snapshot.work.left_out

    def make(self, feed: CodedFeed, snapshot: Snapshot, coding: str) -> None:
        """Has a coding made that was left out: a small document now, a large one in a thread.

        :param feed: the feed, which adds it to the snapshot and has its answers forgotten.
        """
        # Before all else, so that it is made once. If that fails, clients are sent the other codings.
        snapshot.work.left_out.discard(coding)
        in_thread = feed.history.in_thread
        if in_thread is None or not is_large(snapshot.data):
            feed.add_codings(snapshot, compress_better(snapshot.data, (coding,)))
            return

        def log(failure: Failure) -> None:
            _log.failure('feed "{feed}": {coding} was not made', failure, feed=feed.name, coding=coding)

        try:
            making = in_thread(compress_better, snapshot.data, (coding,))
        except OSError:
            return  # There is no thread, and 1 MB would take 24 ms of this one.
        making.addCallback(lambda codings: feed.add_codings(snapshot, codings)).addErrback(log)

    def wanted(self, newest: Snapshot | None, now_s: float) -> tuple[str, ...]:
        """Gives the codings in which the next version is made.

        :param newest: the version before.
        """
        if newest is not None:
            self._learn(newest)
        self._asked_s |= dict.fromkeys(self._asked, now_s)
        self._asked.clear()
        return tuple(coding for coding in CODINGS if now_s - self._asked_s[coding] <= ASKED_S)

    def _learn(self, newest: Snapshot) -> None:
        if newest.work.wants_message:
            self._asked.add("gzip")  # Both are made at once.
        size = len(newest.data)
        self._ratios |= dict.fromkeys(newest.work.vain, 1.0)
        self._ratios |= {each.coding: len(each.data) / size for each in newest.representations.values()}
        # The sort is stable, so an order that was learned stays among equals.
        self.order = tuple(sorted(self.order, key=lambda coding: self._ratios.get(coding, 1.0)))
