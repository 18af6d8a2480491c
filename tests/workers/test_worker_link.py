"""The link to one worker, with its canaries."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.workers.canary import CanaryError
from livefeed.workers.supervisor import State
from livefeed.workers.worker_link import CANARY_S, RETRY_S, WorkerLink
from tests.helpers.parents import FakeLink, ParentTestCase

if TYPE_CHECKING:
    from livefeed.workers.messages import Message


class CanariesTests(ParentTestCase):
    def test_canary_of_a_ready_worker(self) -> None:
        """It is repeated every two seconds; a report tells when it is not served."""
        links = self.bring_up()
        before = self.canaries
        self.run_for(6.0, *links)
        self.assertIn(self.canaries - before, range(4, 9))
        self.why_not = "it is slow"
        self.run_for(2.5, *links)
        self.assertEqual(self.parent.supervisor.obstacle(), "workers do not serve their canaries: 0, 1")
        self.assertTrue(self.parent.is_ready())

    def test_ready(self) -> None:
        """A worker is ready when it accepts and has served its canary; that is tried often until then."""
        self.start()
        self.why_not = "it is slow"
        link = self.hello(0, self.pid_of(0))
        self.assertEqual(self.canaries, 0)
        link.receive("ready")
        self.assertEqual((self.canaries, self.parent.supervisor.workers[0].state), (1, State.STARTING))
        self.assertEqual(self.parent.supervisor.obstacle(), "workers do not serve their canaries: 0, 1")
        self.why_not = ""
        self.run_for(0.3, link)
        self.assertEqual(self.parent.supervisor.workers[0].state, State.READY)
        self.assertEqual(self.parent.supervisor.obstacle(), "workers do not serve their canaries: 1")
        self.assertFalse(self.parent.is_ready())


class Owner:
    """The owner of the link, and the supervisor of the workers. A canary is served when the test says so."""

    def __init__(self) -> None:
        self.count, self.has_begun, self.is_releasing, self.ready = 2, True, False, False
        self.asked: list[int | str] = []
        self.received: list[str] = []
        self.told: list[float | str] = []
        self.lost = 0
        self.why_not = ""

    def canary_of(self, worker: WorkerLink) -> Owner:
        return self

    async def check(self, endpoint: int) -> float:
        self.asked.append(endpoint)
        return 0.01

    async def check_all(self) -> float:
        self.asked.append("all")
        if self.why_not:
            raise CanaryError(self.why_not)
        return 0.02

    def is_ready(self, index: int) -> bool:
        return self.ready

    def served(self, index: int, delay_s: float) -> None:
        self.told.append(delay_s)

    def unserved(self, index: int, why: str) -> None:
        self.told.append(why)

    def receive(self, worker: WorkerLink, message: Message) -> None:
        self.received.append(message.type)

    def note_lost(self, worker: WorkerLink) -> None:
        self.lost += 1


class WorkerLinkTests(SynchronousTestCase):
    """A link without a parent."""

    def setUp(self) -> None:
        self.owner, self.clock, self.link = Owner(), Clock(), FakeLink(7)
        link: Any = self.link
        self.worker = WorkerLink(self.owner, self.owner, self.clock, 1, link, {}, 3)
        self.link.receiver = self.worker

    def watch(self) -> None:
        self.worker.is_accepting = True
        self.worker.watch()

    def test_not_before_the_worker_accepts(self) -> None:
        """No canary is sent before it does, nor before the feeds have begun; then one at a time."""
        self.worker.watch()
        self.owner.has_begun = False
        self.watch()
        self.assertEqual(self.owner.asked, [])
        self.owner.has_begun = True
        self.worker.watch()
        self.worker.watch()
        self.assertEqual(self.owner.asked, ["all"])

    def test_turns(self) -> None:
        """All endpoints are asked until the worker is ready, and then one after the other."""
        self.owner.why_not = "it is slow"
        self.watch()
        self.owner.why_not = ""
        self.clock.advance(RETRY_S)
        self.assertEqual(self.owner.told, ["it is slow", 0.02])
        self.owner.ready = True
        self.clock.advance(RETRY_S)
        for _ in range(3):
            self.clock.advance(CANARY_S)
        self.assertEqual(self.owner.asked, ["all", "all", 1, 2, 0, 1])

    def test_many_workers(self) -> None:
        """Their canaries have longer pauses, so that all together take a small part of a processor."""
        self.owner.count, self.owner.ready = 40, True
        self.watch()
        self.clock.advance(19.9)
        self.assertEqual(self.owner.asked, [1])
        self.clock.advance(0.1)
        self.assertEqual(self.owner.asked, [1, 2])

    def test_drain(self) -> None:
        """No canary is sent any more, since nothing new is accepted."""
        self.watch()
        self.owner.is_releasing = True
        self.clock.advance(1.0)
        self.assertEqual((self.owner.asked, self.clock.getDelayedCalls()), (["all"], []))

    def test_end(self) -> None:
        """The owner is told once, however often it ends, and no canary is sent any more."""
        self.watch()
        self.worker.lost(self.link)  # type: ignore[arg-type]
        self.worker.lose()
        self.watch()
        self.assertEqual((self.owner.lost, self.link.is_closed, self.clock.getDelayedCalls()), (1, True, []))
        self.assertEqual(self.owner.asked, ["all"])

    def test_messages(self) -> None:
        """They go to the owner, and a canary's socket to the worker."""
        self.link.receive("ready")
        self.assertEqual(self.owner.received, ["ready"])
        with socket.socket() as sock:
            self.worker.give_canary(2, sock.fileno())
            (sent,) = self.link.sent
            self.assertEqual((sent.type, sent.facts, sent.fds), ("canary", {"listener": 2}, (sock.fileno(),)))
