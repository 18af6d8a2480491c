"""An election night of twelve minutes: a hundred districts are counted, and then the next night begins."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec

from livefeed.sources.demo.country import DISTRICTS, PARTIES, District
from livefeed.sources.demo.seats import sainte_lague

NIGHT_S = 720
"""The time in seconds from the beginning of a night to that of the next one."""

COUNT_S = 710
"""The second of a night at which the last votes are reported."""

MOST_STILL_S = 10
"""Seconds without a report, at most. A user who starts livefeed in a longer pause thinks that it hangs."""

_DRAWN_S = 660
"""The second at which the last votes would be reported, before the still times are shortened."""

_GAP_S = 7
"""Seconds without a report, at most, before the night is made as long again as it was: all gaps grow by then."""

SEATS = 200

_ALL = 100.0
_KEYS = tuple(party.key for party in PARTIES)


class _Count(NamedTuple):
    """The count of a district in one night.

    :ivar seconds: the seconds of its reports, in ascending order.
    :ivar votes: the votes of each party after each report.
    :ivar turnout: the share of the electorate that has voted, from 0 to 1.
    """

    seconds: list[int]
    votes: list[list[int]]
    turnout: float

    def reported(self, second: int) -> list[int]:
        """Gives the votes of each party that are reported at a second of the night."""
        reports = bisect_right(self.seconds, second)
        return self.votes[reports - 1] if reports else [0] * len(PARTIES)


@dataclass(frozen=True, slots=True)
class Election:
    """A series of election nights, one every 12 minutes. A night is a function of the seed and of its number.

    The document is a function of the seed and the second, so that all processes serve the same document.

    :ivar seed: another seed is another series of elections.
    """

    seed: int
    _counts: dict[int, list[_Count]] = field(default_factory=dict, init=False)

    def document(self, second: int) -> bytes:
        """Gives the document of a second, counted from 1970."""
        number, at = divmod(second, NIGHT_S)
        counts, earlier = self._night(number), self._night(number - 1)
        votes_of = [count.reported(at) for count in counts]
        earlier_votes = [count.votes[-1] for count in earlier]
        totals = [sum(column) for column in zip(*votes_of, strict=True)]
        counted = [_share(sum(votes), sum(count.votes[-1])) for votes, count in zip(votes_of, counts, strict=True)]
        valid, expected = sum(totals), sum(sum(count.votes[-1]) for count in counts)
        electorate = sum(district.electorate for district in DISTRICTS)
        # The electorate of what is counted: the whole one would give a turnout that seems to grow all night.
        counted_electorate = sum(sum(votes) / count.turnout for votes, count in zip(votes_of, counts, strict=True))
        return msgspec.json.encode(
            {
                "title": "Election night (a demonstration)",
                "kind": "election",
                "updated": datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z"),
                "phase": "final" if at >= COUNT_S else "counting",
                "counted": {
                    "percent": _share(valid, expected),
                    "districts": sum(share == _ALL for share in counted),
                    "of": len(DISTRICTS),
                },
                "turnout": {
                    "electorate": electorate,
                    "votes": valid,
                    "percent": round(100 * valid / counted_electorate, 1) if valid else 0.0,
                },
                "seats": {"total": SEATS, "majority": SEATS // 2 + 1, "method": "Sainte-Laguë"},
                "parties": _parties(totals, votes_of, [sum(column) for column in zip(*earlier_votes, strict=True)]),
                "districts": [
                    {
                        "name": district.name,
                        "x": district.x,
                        "y": district.y,
                        "electorate": district.electorate,
                        "counted": share,
                        "leader": _leader(votes),
                        "before": _leader(before),
                        "votes": votes,
                    }
                    for district, share, votes, before in zip(DISTRICTS, counted, votes_of, earlier_votes, strict=True)
                ],
            }
        )

    def _night(self, number: int) -> list[_Count]:
        """Gives the counts of a night. This night and the one before are kept."""
        counts = self._counts.get(number)
        if counts is None:
            counts = self._counts[number] = _draw_night(self.seed, number)
            for other in [other for other in self._counts if not number - 1 <= other <= number + 1]:
                del self._counts[other]
        return counts


def _share(part: int, whole: int) -> float:
    """Gives a share in percent with one decimal. It is 100 only if nothing is missing, and 0 only if there is none."""
    if part == whole:
        return _ALL
    return min(99.9, max(0.1, round(100 * part / whole, 1))) if part else 0.0


def _leader(votes: list[int]) -> str | None:
    most = max(votes)
    return _KEYS[votes.index(most)] if most else None


def _parties(totals: list[int], votes_of: list[list[int]], before: list[int]) -> list[dict[str, object]]:
    seats, seats_before = sainte_lague(totals, SEATS), sainte_lague(before, SEATS)
    leaders = [_leader(votes) for votes in votes_of]
    return [
        {
            "key": party.key,
            "name": party.name,
            "color": party.color,
            "votes": totals[place],
            "percent": round(100 * totals[place] / (sum(totals) or 1), 2),
            "seats": seats[place],
            "leads": leaders.count(party.key),
            "before": {"percent": round(100 * before[place] / sum(before), 2), "seats": seats_before[place]},
        }
        for place, party in enumerate(PARTIES)
    ]


def _draw_night(seed: int, number: int) -> list[_Count]:
    draw = random.Random(f"{seed}/{number}")  # noqa: S311 - an election, but not a real one
    swings = [draw.lognormvariate(0, 0.13) for _ in PARTIES]
    counts = [_draw_count(draw, district, swings) for district in DISTRICTS]
    # Something is known at the first second, and something is still to come until the last.
    counts[draw.randrange(len(counts))].seconds[0] = 0
    counts[draw.randrange(len(counts))].seconds[-1] = _DRAWN_S
    moved = _shorten_gaps(sorted({second for count in counts for second in count.seconds}))
    return [count._replace(seconds=[moved[second] for second in count.seconds]) for count in counts]


def _shorten_gaps(seconds: list[int]) -> dict[int, int]:
    """Gives new seconds for the reports of a night, with short gaps, and the last one at :data:`COUNT_S`.

    :param seconds: the seconds of all reports, in ascending order, each once.
    """
    gaps = [min(after - before, _GAP_S) for before, after in pairwise(seconds)]
    ends = list(accumulate(gaps, initial=0))
    return {second: round(end * COUNT_S / ends[-1]) for second, end in zip(seconds, ends, strict=True)}


def _draw_count(draw: random.Random, district: District, swings: list[float]) -> _Count:
    turnout = draw.uniform(0.61, 0.84)
    ballots = int(district.electorate * turnout)
    strengths = [
        party.strength * party.by_region[district.region] * swing * draw.lognormvariate(0, 0.22)
        for party, swing in zip(PARTIES, swings, strict=True)
    ]
    # Large districts have more to count: they report more often, and for longer.
    reports = 3 + district.electorate // 9_000
    begins = int(draw.triangular(1, _DRAWN_S // 3, 10))
    ends = int(draw.triangular(begins + 60, _DRAWN_S, begins + (_DRAWN_S - begins) * district.electorate / 90_000))
    seconds = sorted(draw.sample(range(begins, ends), reports))
    weights = [draw.gammavariate(3, 1) for _ in range(reports)]
    votes = [0] * len(PARTIES)
    after: list[list[int]] = []
    for report, weight in enumerate(weights):
        lateness = report / (reports - 1) - 0.5
        shares = [
            strength * math.exp(party.late * lateness) * draw.lognormvariate(0, 0.1)
            for strength, party in zip(strengths, PARTIES, strict=True)
        ]
        size = ballots * weight / sum(weights)
        votes = [count + round(size * share / sum(shares)) for count, share in zip(votes, shares, strict=True)]
        after.append(votes)
    return _Count(seconds, after, turnout)
