"""The workers during a drain, without processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.drain import DrainReport
from livefeed.workers.releasing import WorkersRelease

if TYPE_CHECKING:
    from livefeed.workers.messages import Message


@dataclass
class Workers:
    """Three workers, and everything that they are sent."""

    running: list[int] = field(default_factory=lambda: [0, 1, 2])
    sent: list[Message] = field(default_factory=list)
    is_releasing: bool = False

    def release(self) -> None:
        self.is_releasing = True

    def alive(self) -> list[int]:
        return self.running


class ReleaseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.workers = Workers()
        self.releasing = WorkersRelease(self.workers, self.workers.sent.append)

    def test_all_are_waited_for(self) -> None:
        """The release ends when all workers have sent everybody away; those that died are not waited for."""
        self.releasing.take(2, DrainReport(left=9))
        self.assertIsNone(self.releasing.order)
        released = self.releasing.release(successor=True)
        self.assertTrue(self.workers.is_releasing)
        (order,) = self.workers.sent
        self.assertEqual((order.type, order.facts), ("let_go", {"successor": True}))
        self.assertIs(self.releasing.order, order)
        self.releasing.take(0, DrainReport("released", 3, 2, 1, 4))
        self.releasing.take(1, DrainReport("releasing", 1, 1, 1, 5))
        self.releasing.take(2, DrainReport("releasing", 10, 0, 0, 9))
        self.assertNoResult(released)
        self.assertEqual(self.releasing.report(), DrainReport("serving", 14, 3, 2, 18))
        self.workers.running.remove(2)
        self.releasing.end(2)
        self.assertNoResult(released)
        self.releasing.take(1, DrainReport("released", 2, 2, 2, 0))
        self.successResultOf(released)
        self.assertEqual(self.releasing.report(), DrainReport("serving", 15, 4, 3, 4))

    def test_worker_that_dies_before(self) -> None:
        """The next process of the worker counts anew."""
        self.releasing.take(0, DrainReport(left=4))
        self.releasing.end(0)
        self.assertEqual(self.releasing.report().left, 0)

    def test_no_workers(self) -> None:
        """There is nobody to wait for."""
        self.workers.running.clear()
        self.successResultOf(self.releasing.release(successor=False))

    def test_hurry(self) -> None:
        """Nobody is waited for any more, once or twice."""
        self.releasing.hurry()
        released = self.releasing.release(successor=False)
        self.releasing.hurry()
        self.releasing.hurry()
        self.successResultOf(released)
