"""The rotation of the key of session tickets."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.tickets import TicketRotation
from livefeed.tls.tickets import ROTATION_S, TicketKeys


class RotationTests(SynchronousTestCase):
    def test_rotation(self) -> None:
        """Each interval has its own key, and none is made after the stop."""
        clock, keys = Clock(), list[TicketKeys]()
        service = TicketRotation(keys.append, clock)
        service.startService()
        self.assertEqual(keys, [])
        for _ in range(3):
            clock.advance(ROTATION_S)
        self.assertEqual(len({each.data for each in keys}), 3)
        service.stopService()
        clock.advance(ROTATION_S)
        self.assertEqual(len(keys), 3)
        self.assertEqual(clock.getDelayedCalls(), [])
