"""The method of Sainte-Laguë."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.sources.demo.seats import sainte_lague


class SainteLagueTests(SynchronousTestCase):
    """sainte_lague."""

    def test_seats(self) -> None:
        """Examples that can be followed on paper."""
        for votes, seats, expected in (
            ([53_000, 24_000, 23_000], 7, [3, 2, 2]),
            ([100, 80, 30, 20], 8, [3, 3, 1, 1]),
            ([10, 0], 3, [3, 0]),
            ([0, 0], 3, [0, 0]),
            ([], 3, []),
            ([5, 5], 1, [1, 0]),
            # The third quotient of the first party is that of the second party: the one with more votes gets the seat.
            ([30, 10], 2, [2, 0]),
            ([10, 30], 2, [0, 2]),
        ):
            self.assertEqual(sainte_lague(votes, seats), expected, votes)

    @given(st.lists(st.integers(0, 10**12), min_size=1, max_size=8), st.integers(0, 300))
    def test_no_seat_would_be_better_elsewhere(self, votes: list[int], seats: int) -> None:
        """All seats are given, and no party's last seat has a lower quotient than another party's next one."""
        given_seats = sainte_lague(votes, seats)
        if not any(votes):
            self.assertEqual(sum(given_seats), 0)
            return
        self.assertEqual(sum(given_seats), seats)
        taken = [Fraction(count, 2 * got - 1) for count, got in zip(votes, given_seats, strict=True) if got]
        following = [Fraction(count, 2 * got + 1) for count, got in zip(votes, given_seats, strict=True)]
        if taken:
            self.assertGreaterEqual(min(taken), max(following))
