"""Leases: the limit of subscribers holds for all workers together, whatever arrives when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.workers.leases import Leases


class LeasesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.limits = {"feed": 10}
        self.places: dict[int, int | None] = {}
        self.sent = 0
        self.leases = Leases(lambda: self.limits, self.send)

    def send(self, index: int, name: str, places: int | None) -> None:
        self.assertEqual(name, "feed")
        self.places[index] = places
        self.sent += 1

    def beat(self, index: int, followers: int) -> None:
        """Has a worker report."""
        self.leases.report(index, {"feed": followers})


class DivisionTests(LeasesTestCase):
    def test_equal_parts(self) -> None:
        """What is free is divided equally, and nothing is sent again while nothing changes."""
        for index in range(2):
            self.leases.connect(index, {})
        for index in (0, 1, 0, 1):
            self.beat(index, 0)
        self.assertEqual(self.places, {0: 5, 1: 5})
        before = self.sent
        self.beat(0, 0)
        self.assertEqual(self.sent, before)

    def test_places_follow_the_subscribers(self) -> None:
        """A worker with more subscribers gets the places that another one does not use, after that one has said so."""
        self.test_equal_parts()
        self.beat(0, 5)
        self.assertEqual(self.places, {0: 5, 1: 2})
        self.beat(1, 0)
        self.assertEqual(self.places, {0: 5, 1: 2})
        self.beat(1, 0)
        self.assertEqual(self.places, {0: 8, 1: 2})

    def test_dead_worker(self) -> None:
        """Its places are free for the others."""
        self.test_equal_parts()
        self.leases.disconnect(1)
        self.beat(0, 5)
        self.assertEqual(self.places[0], 10)

    def test_worker_that_drains(self) -> None:
        """It is given no free places, and those of subscribers that it has sent away are for the others."""
        self.leases.connect(2, {"feed": 6}, is_leaving=True)
        for index in range(2):
            self.leases.connect(index, {})
        for _ in range(4):
            for index, followers in ((0, 0), (1, 0), (2, 6)):
                self.beat(index, followers)
        self.assertEqual(self.leases.places_of(2), {"feed": 6})
        self.assertEqual((self.places[0], self.places[1]), (2, 2))
        for _ in range(3):
            for index, followers in ((2, 1), (0, 2), (1, 0)):
                self.beat(index, followers)
        self.assertEqual(self.leases.places_of(2), {"feed": 1})
        self.assertEqual(self.places[2], 0)
        self.assertGreaterEqual(self.places[0] or 0, 5)

    def test_worker_of_an_earlier_parent(self) -> None:
        """The places that it has are not granted to others before it has given them back."""
        self.leases.connect(0, {"feed": 8})
        self.leases.connect(1, {})
        self.assertLessEqual(self.places[1] or 0, 2)
        for _ in range(3):
            self.beat(0, 1)
            self.beat(1, 0)
        # A single place is not moved back and forth.
        self.assertIn((self.places[0] or 0) + (self.places[1] or 0), (9, 10))

    def test_limit_that_is_removed(self) -> None:
        """Afterwards there is none; a feed that is gone is forgotten."""
        self.test_equal_parts()
        self.limits["feed"] = 0
        self.beat(0, 5)
        self.assertEqual(self.places, {0: None, 1: None})
        self.limits.clear()
        self.beat(0, 5)
        self.limits["feed"] = 4
        self.beat(0, 4)
        self.assertEqual(self.places[0], 4)


class PropertyTests(SynchronousTestCase):
    @given(st.data())
    def test_no_place_is_granted_twice(self, data: st.DataObject) -> None:
        """In whatever order workers take subscribers, read leases, report and die, there are never too many places."""
        limit, leaving = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 3))
        granted: dict[int, list[int]] = {}
        leases = Leases(lambda: {"feed": limit}, lambda index, _, places: granted[index].append(places or 0))
        places: dict[int, int] = {}
        followers: dict[int, int] = {}
        unread: dict[int, int] = {}  # the leases that were sent before the last heartbeat
        for _ in range(data.draw(st.integers(1, 40))):
            index = data.draw(st.integers(0, 2))
            step = data.draw(st.sampled_from(["beat", "read", "follow", "leave", "die"]))
            if index not in places:
                granted[index], places[index], followers[index], unread[index] = [], 0, 0, 0
                leases.connect(index, {}, is_leaving=index == leaving)
            elif step == "beat":
                # What was sent before the last heartbeat has been read.
                while unread[index]:
                    unread[index] -= 1
                    places[index] = granted[index].pop(0)
                unread[index] = len(granted[index])
                leases.report(index, {"feed": followers[index]})
            elif step == "read" and granted[index]:
                unread[index] = max(0, unread[index] - 1)
                places[index] = granted[index].pop(0)
            elif step == "follow" and followers[index] < places[index]:
                followers[index] += 1
            elif step == "leave" and followers[index]:
                followers[index] -= 1
            elif step == "die":
                for each in (granted, places, followers, unread):
                    del each[index]
                leases.disconnect(index)
            assert sum(followers.values()) <= limit
