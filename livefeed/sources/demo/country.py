"""The invented country of the demonstration: its parties, its regions, and its districts on a map of hexagons."""

from __future__ import annotations

import random
from dataclasses import dataclass

MAP = (
    "...nn.......",
    "..nnnn......",
    ".nnnnnn.....",
    ".wnnnnne....",
    ".wwnnneee...",
    "wwwwcceeee..",
    "wwwcccceeee.",
    ".wwcccceeeee",
    ".wwwccceeeee",
    "..sssccssee.",
    "...ssssssss.",
    "....sssssss.",
    "......ssss..",
    ".......ss...",
)
"""The districts of each row from north to south. A letter is a district and names its region.

Each second row lies half a hexagon further to the east.
"""

BEGINNINGS = (
    *(
        "Alder",
        "Amber",
        "Ash",
        "Barley",
        "Birch",
        "Black",
        "Bram",
        "Brook",
        "Castle",
        "Clay",
        "Cold",
        "Copper",
        "Crane",
    ),
    *("Dun", "Elder", "Fair", "Falcon", "Fern", "Flint", "Fox", "Glen", "Gold", "Green", "Hart", "Hazel", "Heron"),
    *("High", "Holly", "Iron", "Kestrel", "King", "Lark", "Linden", "Long", "Maple", "Marl", "Mill", "Moss", "North"),
    *("Oak", "Otter", "Quarry", "Raven", "Red", "Rowan", "Salt", "Silver", "Stone", "Thorn", "Willow"),
)
ENDINGS = ("bridge", "by", "dale", "field", "ford", "gate", "ham", "haven", "hill", "mere", "stead", "well", "wick")


@dataclass(frozen=True, slots=True)
class Party:
    """A party of the demonstration. All parties stand from left to right in parliament.

    :ivar key: the short name, of three letters.
    :ivar color: its colour, ``#rrggbb``, with enough contrast on white and on black.
    :ivar strength: its mean share of the votes, relative to that of the others.
    :ivar by_region: factors of its strength, by the letter of the region.
    :ivar late: the exponent of its growth in the course of a count; negative if its voters are counted first.
    """

    key: str
    name: str
    color: str
    strength: float
    by_region: dict[str, float]
    late: float


@dataclass(frozen=True, slots=True)
class District:
    """A district.

    :ivar region: the letter of its region.
    :ivar x: its column on the map, from west to east.
    :ivar y: its row on the map, from north to south.
    :ivar electorate: the number of people that may vote.
    """

    name: str
    region: str
    x: int
    y: int
    electorate: int


PARTIES = (
    Party("LEF", "Left Alliance", "#b0489b", 9, {"n": 0.9, "w": 0.8, "c": 1.7, "e": 0.8, "s": 0.8}, 0.2),
    Party("SOC", "Social Democrats", "#d8454f", 27, {"n": 1.5, "w": 0.9, "c": 1.1, "e": 0.8, "s": 0.7}, 0.15),
    Party("GRN", "Greens", "#2f9a5a", 14, {"n": 0.7, "w": 1.0, "c": 1.9, "e": 0.7, "s": 0.9}, 0.45),
    Party("LIB", "Liberals", "#bd8400", 13, {"n": 0.8, "w": 1.6, "c": 0.9, "e": 0.7, "s": 1.1}, 0.0),
    Party("CON", "Conservatives", "#3b7cc4", 27, {"n": 0.7, "w": 0.9, "c": 0.6, "e": 1.1, "s": 1.6}, -0.25),
    Party("RUR", "Rural League", "#8b6f52", 10, {"n": 0.8, "w": 0.7, "c": 0.3, "e": 2.4, "s": 0.8}, -0.5),
)


def _draw_country() -> tuple[District, ...]:
    """Gives the districts, which are the same in every election."""
    draw = random.Random(2)  # noqa: S311 - a country, but not a real one
    beginnings = [*BEGINNINGS, *draw.sample(BEGINNINGS, len(BEGINNINGS))]
    draw.shuffle(beginnings)
    names: list[str] = []
    for beginning in beginnings:
        names.append(draw.choice([beginning + ending for ending in ENDINGS if beginning + ending not in names]))
    places = [(region, x, y) for y, row in enumerate(MAP) for x, region in enumerate(row) if region != "."]
    return tuple(
        District(name, region, x, y, draw.randrange(38_000, 90_000))
        for name, (region, x, y) in zip(names, places, strict=True)
    )


DISTRICTS = _draw_country()
