"""The method of Sainte-Laguë, which divides seats among parties in proportion to their votes."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def sainte_lague(votes: Sequence[int], seats: int) -> list[int]:
    """Gives the seats of each party.

    Each seat goes to the party with the highest quotient of its votes by 1, 3, 5 and so on.
    Quotients are compared exactly.
    Of equal quotients, the one with more votes comes first, and then the party that stands first.

    :param votes: the votes of each party, 0 or more.
    :param seats: the number of all seats.
    :returns: the seats in the order of *votes*. Without any votes no seat is given.
    """
    given = [0] * len(votes)
    if not any(votes):
        return given
    heap = [_Quotient(count, 1, place) for place, count in enumerate(votes) if count]
    heapq.heapify(heap)
    for _ in range(seats):
        highest = heap[0]
        given[highest.place] += 1
        heapq.heapreplace(heap, _Quotient(highest.votes, highest.divisor + 2, highest.place))
    return given


class _Quotient:
    """The quotient of a party's votes and a divisor. The highest one is the least in the order of a heap."""

    __slots__ = ("divisor", "place", "votes")

    def __init__(self, votes: int, divisor: int, place: int) -> None:
        self.votes = votes
        self.divisor = divisor
        self.place = place

    def __lt__(self, other: _Quotient) -> bool:
        ours, theirs = self.votes * other.divisor, other.votes * self.divisor
        if ours != theirs:
            return ours > theirs
        return (-self.votes, self.place) < (-other.votes, other.place)
