"""Counts of what happened to watchers."""

from __future__ import annotations

from livefeed.feed.feed import Feed
from livefeed.feed.tally import Tally
from tests.helpers.feeds import FeedTestCase


class TallyTests(FeedTestCase):
    def test_parts_count_with_their_whole(self) -> None:
        """One tally has the watchers of both; other feeds have their own."""
        whole = self.feed()
        part = Feed("feed/a", clock=self.clock, whole=whole)
        part.tally.dropped["silent"] += 1
        whole.tally.refused["limit"] += 1
        self.assertEqual((whole.tally.dropped, part.tally.refused), ({"silent": 1}, {"limit": 1}))
        self.assertEqual(self.feed().tally, Tally())
