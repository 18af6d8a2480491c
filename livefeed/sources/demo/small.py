"""An election night of three hours with a small document, of which each second a little changes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

DISTRICTS = 32
PARTIES = ("Greens", "Labour", "Liberals", "Conservatives", "Others")
NIGHT_S = 3 * 3600


@dataclass(frozen=True, slots=True)
class _District:
    """A district. It reports every ``DISTRICTS`` seconds, so that one district reports in each second.

    :ivar turn_s: the second of its first report, from 0 to ``DISTRICTS - 1``.
    :ivar haste: from -0.6 to 0.6; positive if counting is faster at first, negative if it is faster at the end.
    """

    name: str
    electorate: int
    turn_s: int
    haste: float
    shares: tuple[float, ...]

    def counted(self, night_s: int) -> float:
        """Gives the share of the votes that is reported, from 0 to 1; it is 1 at the last report of the night.

        The slope never falls below 0.4, so each report has at least 20 votes and the leading party gains at least one.
        """
        reports = (night_s - self.turn_s) // DISTRICTS + 1
        done = reports / ((NIGHT_S - 1 - self.turn_s) // DISTRICTS + 1)
        return done + self.haste * done * (1 - done)


@dataclass(slots=True)
class SmallElection:
    """An election night of three hours, which then starts again.

    One district reports in each second, including the first and the last second of a night.
    The document is a function of the seed and the second, so that all processes serve the same document.

    :ivar seed: another seed is another election.
    """

    seed: int = 1
    _districts: tuple[_District, ...] = field(init=False)

    def __post_init__(self) -> None:
        draw = random.Random(self.seed)  # noqa: S311 - an election, but not a real one
        self._districts = tuple(_draw_district(draw, number) for number in range(1, DISTRICTS + 1))

    def document(self, second: int) -> bytes:
        """Gives the document of a second, counted from 1970."""
        night_s = second % NIGHT_S
        votes_of = {
            district.name: [int(district.electorate * district.counted(night_s) * share) for share in district.shares]
            for district in self._districts
        }
        totals = [sum(votes[party] for votes in votes_of.values()) for party in range(len(PARTIES))]
        return msgspec.json.encode(
            {
                "title": "Election night (a demonstration)",
                "updated": datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z"),
                "totals": dict(zip(PARTIES, totals, strict=True)),
                "districts": [
                    {
                        "name": district.name,
                        "counted": round(100 * district.counted(night_s), 2),
                        "votes": dict(zip(PARTIES, votes_of[district.name], strict=True)),
                    }
                    for district in self._districts
                ],
            }
        )


def _draw_district(draw: random.Random, number: int) -> _District:
    weights = [draw.gammavariate(4, 1) for _ in PARTIES]
    return _District(
        name=f"District {number}",
        electorate=draw.randrange(20_000, 90_000),
        turn_s=number - 1,
        haste=draw.uniform(-0.6, 0.6),
        shares=tuple(weight / sum(weights) for weight in weights),
    )
