"""The demonstration: an election night that is a function of seed and second."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.gate import check_document
from livefeed.sources.demo.country import DISTRICTS, PARTIES
from livefeed.sources.demo.election import COUNT_S, MOST_STILL_S, NIGHT_S, SEATS, Election
from livefeed.sources.demo.seats import sainte_lague

NIGHT_BEGINS = 1_790_000_000 // NIGHT_S * NIGHT_S
KEYS = [party.key for party in PARTIES]


class ElectionTests(SynchronousTestCase):
    """The content of the document."""

    def setUp(self) -> None:
        self.election = Election(1)

    def night(self, second: int) -> Any:
        return json.loads(self.election.document(NIGHT_BEGINS + second))

    def test_every_process_has_the_same(self) -> None:
        """Two elections of one seed agree at every second, in any order; another seed is another election."""
        other, another = Election(1), Election(2)
        for second in (3 * NIGHT_S, 500, 0, NIGHT_S + 7, 499):
            document = self.election.document(NIGHT_BEGINS + second)
            self.assertEqual(document, other.document(NIGHT_BEGINS + second))
            self.assertNotEqual(document, another.document(NIGHT_BEGINS + second))

    def test_few_nights_are_kept(self) -> None:
        """However long it runs, three nights at most are in memory."""
        for night in range(6):
            self.election.document(NIGHT_BEGINS + night * NIGHT_S)
        self.assertLessEqual(len(self.election._counts), 3)

    @settings(deadline=None, max_examples=10)
    @given(st.integers(1, 4_000_000_000), st.integers(0, 10**18 - 1))
    def test_document_passes_the_gate(self, second: int, seed: int) -> None:
        """The document of any time and seed passes the gate, is small, and is consistent."""
        data = Election(seed).document(second)
        check_document(data, max_bytes=16_384)
        self.assert_consistent(json.loads(data))

    def assert_consistent(self, document: Any) -> None:
        """Asserts that all totals follow from the districts."""
        parties, districts = document["parties"], document["districts"]
        totals = [sum(district["votes"][place] for district in districts) for place in range(len(PARTIES))]
        self.assertEqual([party["votes"] for party in parties], totals)
        self.assertEqual([party["seats"] for party in parties], sainte_lague(totals, SEATS))
        self.assertEqual(document["turnout"]["votes"], sum(totals))
        self.assertApproximates(sum(party["percent"] for party in parties), 100, 0.1)
        leaders = [district["leader"] for district in districts]
        self.assertEqual([party["leads"] for party in parties], [leaders.count(key) for key in KEYS])
        for district in districts:
            votes = district["votes"]
            self.assertEqual(district["leader"], KEYS[votes.index(max(votes))] if any(votes) else None)
            self.assertLessEqual(sum(votes), district["electorate"])
            self.assertEqual(district["counted"] == 0, not any(votes))
        self.assertEqual(document["counted"]["districts"], sum(each["counted"] == 100 for each in districts))

    def test_count_only_rises(self) -> None:
        """In the course of a night, no vote is taken back; all are counted at the end, and not before."""
        before = self.night(0)
        self.assertGreater(before["turnout"]["votes"], 0)
        for second in range(1, NIGHT_S, 29):
            after = self.night(second)
            self.assert_consistent(after)
            self.assertLessEqual(before["counted"]["percent"], after["counted"]["percent"])
            for old, new in zip(before["districts"], after["districts"], strict=True):
                self.assertLessEqual(old["counted"], new["counted"])
                self.assertTrue(all(a <= b for a, b in zip(old["votes"], new["votes"], strict=True)))
            before = after
        last, first = self.night(COUNT_S), self.night(COUNT_S - 1)
        self.assertEqual((last["phase"], last["counted"]), ("final", {"percent": 100.0, "districts": 100, "of": 100}))
        self.assertEqual(first["phase"], "counting")
        self.assertLess(first["counted"]["percent"], 100)

    def test_something_always_happens(self) -> None:
        """No time is long in which no vote is counted, also not at the end of a night."""
        for night in range(0, 30 * NIGHT_S, NIGHT_S):
            counts = self.election._night((NIGHT_BEGINS + night) // NIGHT_S)
            seconds = sorted({second for count in counts for second in count.seconds} | {NIGHT_S})
            self.assertEqual((seconds[0], seconds[-2]), (0, COUNT_S))
            self.assertLessEqual(max(after - before for before, after in pairwise(seconds)), MOST_STILL_S)

    def test_night_begins_anew(self) -> None:
        """The next night is another election, and compares itself with this one."""
        end, begin = self.night(NIGHT_S - 1), self.night(NIGHT_S)
        self.assertLess(begin["counted"]["percent"], 1)
        for old, new in zip(end["parties"], begin["parties"], strict=True):
            self.assertEqual(new["before"], {"percent": old["percent"], "seats": old["seats"]})
        leaders = [district["leader"] for district in end["districts"]]
        self.assertEqual([district["before"] for district in begin["districts"]], leaders)
        self.assertNotEqual(self.night(2 * NIGHT_S - 1)["parties"], end["parties"])

    def test_districts_have_their_places(self) -> None:
        """Names and tiles are those of the country."""
        for row, district in zip(self.night(300)["districts"], DISTRICTS, strict=True):
            self.assertEqual((row["name"], row["x"], row["y"]), (district.name, district.x, district.y))

    def test_each_second_is_another_version(self) -> None:
        """The time in the document is RFC 3339 in UTC, and differs in each second."""
        self.assertEqual(json.loads(self.election.document(1_700_000_000))["updated"], "2023-11-14T22:13:20Z")
        self.assertNotEqual(self.election.document(NIGHT_BEGINS + 700), self.election.document(NIGHT_BEGINS + 701))
