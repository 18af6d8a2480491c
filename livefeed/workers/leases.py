"""Leases: the number of subscribers of a limited feed that each worker may have. The limit holds for all together.

Rule: a place is never granted twice. A worker that is to give places back has them until its second heartbeat after
that: the first one may have been on its way. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_BEATS = 2
"""The number of heartbeats after which a worker has read what it was told before them."""


@dataclass(slots=True)
class _Held:
    """The places of one worker for one feed.

    :ivar granted: the places that it was told last; ``None`` before that.
    :ivar before: the places that it may still use although it was told to give some back.
    :ivar beats: number of heartbeats since it was told so.
    :ivar followers: its subscribers.
    """

    granted: int | None = None
    before: int = 0
    beats: int = 0
    followers: int = 0

    def taken(self) -> int:
        """Gives the number of places that nobody else can have."""
        return max(self.granted or 0, self.before, self.followers)

    def beat(self, followers: int) -> None:
        """Takes a heartbeat."""
        self.followers = followers
        self.beats += 1
        if self.beats >= _BEATS:
            self.before = 0

    def grant(self, places: int | None) -> None:
        """Takes note of the places that it is told."""
        if self.granted is not None and (places is None or places < self.granted):
            self.before, self.beats = max(self.before, self.granted), 0
        self.granted = places


@dataclass(eq=False)
class Leases:
    """Divides the places of the feeds among the workers that are connected.

    Each has as many as it has subscribers, and an equal part of those that are free, unless it drains. A heartbeat
    comes twice a second: for that long, a worker may refuse a subscriber although another one has a free place.

    :param limits: gives the limit of each feed, by name; 0 for none.
    :param send: tells a worker, by its index, the places of a feed; ``None`` for no limit.
    """

    # required parameters
    limits: Callable[[], Mapping[str, int]]
    send: Callable[[int, str, int | None], object]

    # internal state
    _held: dict[str, dict[int, _Held]] = field(default_factory=dict)
    _leaving: set[int] = field(default_factory=set)  # workers that are given no free places

    def connect(self, index: int, places: Mapping[str, int], *, is_leaving: bool = False) -> None:
        """Adds a worker that has said hello.

        :param places: the places that it has by an earlier lease, by the names of the feeds.
        :param is_leaving: whether it sends its subscribers away.
        """
        self.disconnect(index)
        if is_leaving:
            self._leaving.add(index)
        for name in self.limits():
            self._held.setdefault(name, {})[index] = _Held(before=places.get(name, 0))
        self._divide_all()

    def disconnect(self, index: int) -> None:
        """Takes note that a worker has ended: its places are free. One that only lost its link keeps them."""
        self._leaving.discard(index)
        for workers in self._held.values():
            workers.pop(index, None)

    def places_of(self, index: int) -> dict[str, int]:
        """Gives the places that a worker may use, by the names of the feeds."""
        return {
            name: workers[index].taken()
            for name, workers in self._held.items()
            if index in workers and workers[index].granted is not None
        }

    def report(self, index: int, followers: Mapping[str, int]) -> None:
        """Takes the heartbeat of a worker.

        :param followers: its subscribers, by the names of the feeds.
        """
        limits = self.limits()
        for name in [each for each in self._held if each not in limits]:
            del self._held[name]
        for name in limits:
            self._held.setdefault(name, {}).setdefault(index, _Held()).beat(followers.get(name, 0))
        self._divide_all()

    def _divide_all(self) -> None:
        for name, limit in self.limits().items():
            workers = self._held.get(name, {})
            if not limit:
                for index, held in workers.items():
                    if held.granted is not None:
                        held.grant(None)
                        self.send(index, name, None)
                continue
            if workers:
                self._divide(name, limit, workers)

    def _divide(self, name: str, limit: int, workers: Mapping[int, _Held]) -> None:
        spare = max(0, limit - sum(held.followers for held in workers.values()))
        staying = [index for index in sorted(workers) if index not in self._leaving]
        part, rest = divmod(spare, len(staying)) if staying else (0, 0)
        wanted = {index: held.followers for index, held in workers.items()}
        for number, index in enumerate(staying):
            wanted[index] += part + (number < rest)
        # First those that give places back; what they have is not free before they say so.
        for index, held in workers.items():
            if held.granted is None or wanted[index] < held.granted:
                self._grant(index, name, held, min(wanted[index], held.taken()))
        free = limit - sum(held.taken() for held in workers.values())
        for index, held in sorted(workers.items()):
            more = min(wanted[index], held.taken() + free) - (held.granted or 0)
            # Not for a single place, unless the worker has none left: each heartbeat would move some.
            if more > 0 and index not in self._leaving and (more > 1 or held.followers >= (held.granted or 0)):
                free -= max(0, (held.granted or 0) + more - held.taken())
                self._grant(index, name, held, (held.granted or 0) + more)

    def _grant(self, index: int, name: str, held: _Held, places: int) -> None:
        if places != held.granted:
            held.grant(places)
            self.send(index, name, places)
