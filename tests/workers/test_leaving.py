"""The workers of earlier generations, beside those of a parent that starts after a crash."""

from __future__ import annotations

import os
import signal
import socket

from livefeed.workers.adoption import ADOPT_S
from livefeed.workers.locks import lock_path
from livefeed.workers.messages import LeftWorker
from livefeed.workers.supervisor import HEARTBEAT_S, LATE_S
from tests.helpers.parents import BEAT, LOCAL, FakeLink, ParentTestCase


class LeavingTests(ParentTestCase):
    """A parent that starts after a crash, while workers of two generations run."""

    def setUp(self) -> None:
        super().setUp()
        self.before = socket.create_server(("127.0.0.1", 0), reuse_port=True)
        self.addCleanup(self.before.close)

    def orphans(self) -> None:
        """Has a worker of generation 4 run that accepts, and one of generation 3 that drains."""
        self.orphan(0, 77, 4)
        self.orphan(0, 66, 3, "draining")

    def adopt(self) -> FakeLink:
        """Has the worker that accepts say hello, and pass on its socket."""
        link = self.hello(0, 77, sockets=[1], numbers=[[0]], generation=4)
        link.receive("sockets", {"listen": [[LOCAL, 0]]}, (os.dup(self.before.fileno()),))
        return link

    def test_end_of_an_earlier_worker(self) -> None:
        """None takes its place, its counts stay, and its lock is removed."""
        self.orphans()
        parent = self.start()
        self.adopt()
        earlier = self.hello(0, 66, sockets=[0], generation=3, is_draining=True)
        earlier.receive("heartbeat", BEAT)
        self.processes.end(66)
        self.assertEqual((earlier.is_closed, earlier in self.feeds.links), (True, False))
        self.assertEqual(sorted(self.processes.alive), [77, 1001])
        self.assertEqual([call[0] for call in self.figures.calls if call[1] < 0], ["report", "end"])
        self.assertEqual(len(parent.report()), 2)
        self.assertFalse(lock_path(self.directory.path, 3, 0).exists())
        self.assertTrue(lock_path(self.directory.path, 4, 0).exists())

    def test_crash_before_the_order_to_drain(self) -> None:
        """Workers of two generations accept: the earlier ones are sent away."""
        self.orphan(0, 77, 4)
        self.orphan(1, 66, 3)
        self.start()
        self.adopt()
        earlier = self.hello(1, 66, sockets=[1], generation=3)
        self.assertEqual([(each.type, each.facts.get("successor")) for each in earlier.sent[1:]], [("drain", True)])

    def test_all_drain(self) -> None:
        """The new workers have another generation, since the locks are taken, and start at once."""
        self.orphan(0, 66, 3, "draining")
        parent = self.start()
        self.assertEqual(parent.generation, 4)
        self.hello(0, 66, sockets=[0], generation=3, is_draining=True)
        self.assertTrue(self.pulling.running)
        self.assertEqual(sorted(self.processes.alive.values()), [0, 0, 1])

    def test_earlier_worker_that_hangs(self) -> None:
        """It is killed when its heartbeat is late."""
        self.orphans()
        self.start()
        own = self.adopt()
        self.hello(0, 66, sockets=[0], generation=3, is_draining=True)
        self.run_for(HEARTBEAT_S + LATE_S + 1.0, own)
        self.assertIn((66, signal.SIGKILL), self.processes.signals)
        self.assertNotIn((77, signal.SIGKILL), self.processes.signals)

    def test_silent_earlier_worker(self) -> None:
        """It is killed after some seconds, and the start goes on."""
        self.orphans()
        self.start()
        own = self.adopt()
        self.run_for(ADOPT_S + 0.2, own)
        self.assertEqual(self.processes.signals, [(66, signal.SIGKILL)])
        self.assertTrue(self.pulling.running)

    def test_parent_before_has_told(self) -> None:
        """Those that wait for a parent have no watchers, and are not sent away; the counts of the others are taken."""
        parent = self.start()
        parent.generation = 5
        for index, activity in enumerate(("accepting", "draining", "waiting")):
            self.orphan(index, 60 + index, 4, activity)
        self.orphan(3, 63, 5)
        left = [LeftWorker(4, 0, 60, {"feed": 2}, [["a", [], 1.0]]), LeftWorker(4, 9, 69, {}, [])]
        parent._leaving.expect_before(5, left)
        self.assertEqual([each.of.pid for each in parent.earlier], [60, 61])
        self.assertEqual(self.figures.samples, {-1: [["a", [], 1.0]]})
        parent._leaving.expect_before(5, left)
        self.assertEqual(len([*parent.earlier]), 2)
