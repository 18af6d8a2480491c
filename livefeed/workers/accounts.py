"""The accounts of the workers: the figures that each process has reported, and the places that it has. No I/O.

The indexes of the workers of this parent are their places; workers of earlier generations have numbers below 0.

Rules: figures belong to a process, and not to an index: the next process with the same index begins at 0, and the
counts of the one before stay. No place of a limited feed is granted before all workers have said which ones they have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count as counting
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.workers.leases import Leases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from livefeed.workers.messages import Heartbeat


class Figures(Protocol):
    """Takes the figures of the workers."""

    def report(self, index: int, incarnation: int, samples: list[Any], /) -> None:
        """Takes the samples of a process.

        :param incarnation: the number of the process among those with the same index.
        """

    def end(self, index: int, incarnation: int, /) -> None:
        """Takes note that a process has ended."""

    def last(self, index: int, /) -> list[Any]:
        """Gives the last samples of the process with an index, as :meth:`report` takes them."""


@dataclass(eq=False)
class Accounts:
    """The accounts of all workers.

    :param figures: takes the figures.
    :param limits: gives the number of subscribers that each feed may have, by name; 0 for no limit.
    :param send: tells a worker, by its index, its places of a feed; ``None`` for no limit.
    :ivar deliveries: takes the place, the name and the deliveries of a worker, for the trace.
    :ivar are_places_granted: whether the places of limited feeds are divided among the workers.
    """

    # required parameters
    figures: Figures
    limits: Callable[[], Mapping[str, int]]
    send: Callable[[int, str, int | None], object]

    # internal state
    deliveries: Callable[[int, str, list[Any]], object] = field(default=lambda place, name, deliveries: None)  # noqa: ARG005
    are_places_granted: bool = False
    _leases: Leases = field(init=False)
    _incarnations: dict[int, int] = field(default_factory=dict)  # by place

    def __post_init__(self) -> None:
        self._leases = Leases(self.limits, self.send)
        self._numbers = counting(1)

    def begin(self, place: int) -> None:
        """Takes note that another process has a place."""
        self._incarnations[place] = next(self._numbers)

    def connect(self, place: int, places: Mapping[str, int]) -> None:
        """Takes note of a worker that has said hello, and of the places that it has."""
        if self.are_places_granted:
            self._leases.connect(place, places)

    def connect_leaving(self, place: int, places: Mapping[str, int], samples: list[Any] | None = None) -> None:
        """Takes note of a worker that sends its watchers away: it is granted no more places than it has.

        :param samples: its samples as the parent before has told them; ``None`` if it has not.
        """
        self._leases.connect(place, places, is_leaving=True)
        if samples is not None:
            self.figures.report(place, self._incarnations.get(place, 0), samples)

    def grant(self, workers: Iterable[tuple[int, Mapping[str, int]]]) -> None:
        """Divides the places of limited feeds from now on: all workers have said which ones they have.

        :param workers: the index of each worker that is connected, and the places that it has.
        """
        self.are_places_granted = True
        for place, places in workers:
            self._leases.connect(place, places)

    def take(self, place: int, name: str, beat: Heartbeat) -> None:
        """Takes the heartbeat of a worker.

        :param name: its name in the trace.
        """
        self.figures.report(place, self._incarnations.get(place, 0), beat.samples)
        self.deliveries(place, name, beat.deliveries)
        if self.are_places_granted:
            self._leases.report(place, {name: sum(ways.values()) for name, ways in beat.watchers.items()})

    def end(self, place: int) -> None:
        """Takes note that the process at a place has ended. Its counts stay, and its places are free."""
        self.figures.end(place, self._incarnations.get(place, 0))
        self._leases.disconnect(place)

    def forget(self, place: int) -> None:
        """Does the same for a place that no other process takes."""
        self.end(place)
        self._incarnations.pop(place, None)

    def left(self, place: int) -> tuple[dict[str, int], list[Any]]:
        """Gives the places and the last samples of a worker, for the next parent."""
        return self._leases.places_of(place), self.figures.last(place)
