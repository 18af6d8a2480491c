"""A position moves with the clock, its speed, and pauses."""

from __future__ import annotations

from math import inf

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.sources.recording.playing import MAX_BEHIND_S, Playing


class PlayingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.playing = Playing(self.clock.seconds, 10.0)
        self.playing.move_to(100.0)

    def test_speed(self) -> None:
        """A change of it counts from then on."""
        self.clock.advance(2)
        self.assertEqual(self.playing.position_s(), 120)
        self.playing.change_speed(1.0)
        self.clock.advance(2)
        self.assertEqual(self.playing.position_s(), 122)

    def test_pause(self) -> None:
        """The position stands still, and moves on from there."""
        self.clock.advance(1)
        self.playing.pause()
        self.clock.advance(50)
        self.assertEqual((self.playing.position_s(), self.playing.due_in_s(111)), (110, inf))
        self.assertEqual(self.playing.due_in_s(110), 0)
        self.playing.move_to(50)
        self.clock.advance(1)
        self.assertEqual(self.playing.position_s(), 50)
        self.playing.resume()
        self.clock.advance(1)
        self.assertEqual(self.playing.position_s(), 60)

    def test_due(self) -> None:
        """The time until a position follows from the speed."""
        self.assertEqual(
            (self.playing.due_in_s(90), self.playing.due_in_s(100), self.playing.due_in_s(125)), (0, 0, 2.5)
        )

    def test_behind(self) -> None:
        """The position waits for a version that is shown too late, and not for one that is nearly in time."""
        self.clock.advance(MAX_BEHIND_S)
        self.playing.wait_for(100)
        self.assertEqual(self.playing.position_s(), 105)
        self.clock.advance(0.01)
        self.playing.wait_for(100)
        self.assertEqual(self.playing.position_s(), 100)
        self.playing.pause()
        self.playing.wait_for(10)
        self.assertEqual(self.playing.position_s(), 100)
