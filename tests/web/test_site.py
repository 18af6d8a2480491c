"""Stored answers are discarded when the times in their fields are out of date."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from livefeed.transport.answer import Repeatable
from livefeed.web.site import FORGET_S, Site
from tests.helpers.handshake_heads import head

if TYPE_CHECKING:
    from livefeed.transport.interfaces import WaitingRoom

NOW = 1_700_000_000.875


class ForgettingTests(SynchronousTestCase):
    """startFactory and stopFactory."""

    def setUp(self) -> None:
        self.clock, self.wall = Clock(), Clock()
        self.clock.advance(77.7)
        self.wall.advance(NOW)
        self.site = Site(Resource(), reactor=self.clock)
        self.site.wall = self.wall.seconds
        self.site.startFactory()

    def advance(self, seconds: float) -> bool:
        """Remembers an answer, lets time pass, and tells whether it was forgotten."""
        replay = self.site.replays[True]
        replay.store(b"GET /\r", b"data", Repeatable("label"))
        self.wall.advance(seconds)
        self.clock.advance(seconds)
        return bool(replay.is_empty)

    def test_with_each_full_second(self) -> None:
        """Answers go at full seconds of the wall clock, since Date changes then, and in between for Livefeed-Next."""
        self.assertFalse(self.advance(0.120))
        self.assertTrue(self.advance(0.010))
        for _ in range(9):
            self.assertTrue(self.advance(FORGET_S))

    def test_wall_clock_is_set(self) -> None:
        """A step of the clock, forwards or backwards, is noticed at the next time, and full seconds count again."""
        for step_s in (-3600.1, -0.1, 0.1, 86400.1):
            self.wall.rightNow += step_s
            self.assertTrue(self.advance(FORGET_S))
            self.assertTrue(self.advance(FORGET_S - self.wall.seconds() % FORGET_S + 0.01))
            left_s = FORGET_S - self.wall.seconds() % FORGET_S
            self.assertFalse(self.advance(left_s - 0.01))
            self.assertTrue(self.advance(0.02))

    def test_nothing_to_forget(self) -> None:
        """A site without an answer, and without requests that wait for one, schedules nothing."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.advance(FORGET_S))
        self.clock.advance(FORGET_S)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.site.replays[False].used()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_room(self) -> None:
        """An answer to requests that wait tells the time, too, so the generations go on while any wait."""
        replay = self.site.replays[False]
        replay.rooms[b"key"] = cast("WaitingRoom", object())
        replay.used()
        for generation in (1, 2, 3):
            self.clock.advance(FORGET_S)
            self.assertEqual(replay.generation, generation)
        del replay.rooms[b"key"]
        self.clock.advance(FORGET_S)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_last_answers(self) -> None:
        """They are forgotten in time as well."""
        self.site.announce_returns(lambda: 1)
        self.assertTrue(self.advance(FORGET_S))
        self.assertTrue(self.site.replays[True].is_empty)

    def test_it_ends(self) -> None:
        """A stopped site schedules nothing; to stop it twice is no error."""
        self.advance(0)
        self.site.stopFactory()
        self.site.stopFactory()
        self.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class UpgradeTests(SynchronousTestCase):
    """Handshakes that are accepted without a channel."""

    def test_accepted_handshakes_are_counted_until_a_stop(self) -> None:
        """Each as an answer with status 101; what is left to a channel is not counted here."""
        site = Site(Resource(), reactor=Clock())
        assert site.upgrades is not None
        begun: Any = (object(), object())
        site.upgrades.learn(b"/feed.ws", SimpleNamespace(accept=lambda handshake: begun))
        self.assertIs(site.upgrade(head(), True), begun)
        self.assertIs(site.upgrade(head(), False), begun)
        self.assertIsNone(site.upgrade(b"", False))
        counts = {(101, "https", "identity"): 1, (101, "http", "identity"): 1}
        self.assertEqual(site.counts(), counts)
        site.forget_answers()
        self.assertIsNone(site.upgrade(head(), False))
        site.announce_returns(lambda: 1)
        site.forget_answers()
        self.assertIsNone(site.upgrade(head(), False))
        self.assertEqual(site.counts(), counts)
