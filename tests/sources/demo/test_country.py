"""The country of the demonstration."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from livefeed.sources.demo.country import DISTRICTS, MAP, PARTIES


def luminance(color: str) -> float:
    """Gives the relative luminance of a colour (WCAG 2.2), from 0 to 1."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class CountryTests(SynchronousTestCase):
    """DISTRICTS and PARTIES."""

    def test_districts(self) -> None:
        """There are a hundred, each with a name and a place of its own, and an electorate."""
        self.assertEqual(len(DISTRICTS), 100)
        self.assertEqual(len({district.name for district in DISTRICTS}), 100)
        self.assertEqual(len({(district.x, district.y) for district in DISTRICTS}), 100)
        for district in DISTRICTS:
            self.assertEqual(MAP[district.y][district.x], district.region)
            self.assertGreater(district.electorate, 0)

    def test_parties(self) -> None:
        """Each has a key and a colour of its own, votes in each region, and enough contrast in both themes."""
        self.assertEqual(len({party.key for party in PARTIES}), len(PARTIES))
        self.assertEqual(len({party.color for party in PARTIES}), len(PARTIES))
        for party in PARTIES:
            self.assertRegex(party.color, re.compile("^#[0-9a-f]{6}$"))
            self.assertLessEqual({district.region for district in DISTRICTS}, set(party.by_region))
            # WCAG 2.2, 1.4.11: graphics have a contrast of 3 to 1 with what is beside them.
            light = luminance(party.color) + 0.05
            self.assertGreaterEqual(1.05 / light, 3, party.name)
            self.assertGreaterEqual(light / (luminance("#121417") + 0.05), 3, party.name)
