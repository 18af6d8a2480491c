"""The small demonstration: an election night that is a function of seed and second."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.gate import check_document
from livefeed.sources.demo.small import DISTRICTS, NIGHT_S, PARTIES, SmallElection

NIGHT_BEGINS = 1_700_000_000 // NIGHT_S * NIGHT_S


class DocumentTests(SynchronousTestCase):
    """The content of the document."""

    def setUp(self) -> None:
        self.source = SmallElection()

    def night(self, second: int) -> Any:
        return json.loads(self.source.document(NIGHT_BEGINS + second))

    def test_every_process_has_the_same(self) -> None:
        """Two sources of one seed agree at every second; another seed is another election."""
        other, another = SmallElection(), SmallElection(seed=2)
        for second in range(0, NIGHT_S, 997):
            document = self.source.document(NIGHT_BEGINS + second)
            self.assertEqual(document, other.document(NIGHT_BEGINS + second))
        self.assertNotEqual(self.source.document(NIGHT_BEGINS + 5000), another.document(NIGHT_BEGINS + 5000))

    def totals(self, source: SmallElection, second: int) -> Any:
        return msgspec.json.decode(source.document(second))["totals"]

    def test_each_second_has_its_counts(self) -> None:
        """Over a whole night and into the next one, the totals change each second, and are never all zero."""
        before = self.totals(self.source, NIGHT_BEGINS - 1)
        for second in range(NIGHT_BEGINS, NIGHT_BEGINS + NIGHT_S + 2):
            totals = self.totals(self.source, second)
            self.assertNotEqual(totals, before)
            self.assertTrue(any(totals.values()))
            before = totals

    @settings(deadline=None, max_examples=200)
    @given(st.integers(1, 4_000_000_000), st.integers(0, 10**18 - 1))
    @example(NIGHT_BEGINS, 1)
    def test_any_seed_moves(self, second: int, seed: int) -> None:
        """The totals of any second and seed differ from those of the second before, and are not all zero."""
        source = SmallElection(seed=seed)
        totals = self.totals(source, second)
        self.assertNotEqual(totals, self.totals(source, second - 1))
        self.assertTrue(any(totals.values()))

    def test_one_district_reports_in_a_second(self) -> None:
        """A change is small: one district has new counts, but for the beginning of a night."""
        for second in (1, 2, DISTRICTS, 5000, NIGHT_S - 1):
            before, after = self.night(second - 1)["districts"], self.night(second)["districts"]
            self.assertEqual(sum(old != new for old, new in zip(before, after, strict=True)), 1)

    @settings(deadline=None, max_examples=50)
    @given(st.integers(0, 4_000_000_000), st.integers(0, 10**18 - 1))
    def test_document_passes_the_gate(self, second: int, seed: int) -> None:
        """The document of any time and seed passes the gate, and has every party and district."""
        data = SmallElection(seed=seed).document(second)
        check_document(data, max_bytes=16_384)
        document = json.loads(data)
        self.assertEqual(tuple(document["totals"]), PARTIES)
        self.assertEqual(len(document["districts"]), DISTRICTS)

    def test_totals_are_sums(self) -> None:
        """The totals are those of the districts."""
        document = self.night(7000)
        for party in PARTIES:
            self.assertEqual(document["totals"][party], sum(row["votes"][party] for row in document["districts"]))

    def test_votes_are_never_taken_back(self) -> None:
        """A count only grows in the course of a night, from almost nothing to all."""
        before = self.night(0)
        for second in range(300, NIGHT_S, 300):
            after = self.night(second)
            for old, new in zip(before["districts"], after["districts"], strict=True):
                self.assertLessEqual(old["counted"], new["counted"])
                for party in PARTIES:
                    self.assertLessEqual(old["votes"][party], new["votes"][party])
            before = after
        self.assertEqual({row["counted"] for row in self.night(NIGHT_S - 1)["districts"]}, {100.0})

    def test_night_begins_anew(self) -> None:
        """After its last second there is nothing but the first report of one district."""
        self.assertGreater(sum(self.night(NIGHT_S - 1)["totals"].values()), 100_000)
        first = self.night(NIGHT_S)["districts"]
        self.assertEqual([row["name"] for row in first if row["counted"]], ["District 1"])
        self.assertLess(first[0]["counted"], 1)

    def test_time_is_utc(self) -> None:
        """The time in the document is RFC 3339 in UTC."""
        self.assertEqual(json.loads(self.source.document(1_700_000_000))["updated"], "2023-11-14T22:13:20Z")
