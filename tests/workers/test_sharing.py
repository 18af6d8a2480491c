"""The sharing out of sockets, as the workers that are connected are told it."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.workers.bound_sockets import SocketGroup
from livefeed.workers.messages import PROTOCOL, Hello, Message
from livefeed.workers.sharing import Sharing
from livefeed.workers.supervisor import LEND_S
from tests.helpers.parents import LOCAL, FakeLink, ParentTestCase


class SharingTests(ParentTestCase):
    def test_loans_of_a_new_link(self) -> None:
        """A worker is told again for which others it accepts: the messages may have been lost with its last link."""
        _, other = self.bring_up()
        other.receiver.lost(other)
        self.processes.end(self.pid_of(0))
        self.run_for(LEND_S + 0.3)
        self.assertEqual(self.parent.supervisor.lent_to(1), [])
        again = self.hello(1, self.pid_of(1), sockets=[1])
        self.run_for(0.2, again)
        self.assertEqual((again.sent[-1].type, again.sent[-1].facts["owner"]), ("adopt", 0))
        third = self.hello(1, self.pid_of(1), sockets=[1])
        adopt = third.sent[-1]
        self.assertEqual((adopt.type, adopt.facts, len(adopt.fds)), ("adopt", {"owner": 0, "listen": [0]}, 1))
        third.receiver.lost(third)
        self.hello(0, self.pid_of(0)).receive("ready")
        last = self.hello(1, self.pid_of(1), sockets=[2], numbers=[[0, 1]])
        self.assertEqual((last.sent[-1].type, last.sent[-1].facts), ("release", {"owner": 0}))


@dataclass
class Worker:
    """A worker, as far as sockets are shared with it."""

    index: int
    link: FakeLink
    sockets: set[tuple[int, int]] = field(default_factory=set)


class MessageTests(SynchronousTestCase):
    """The messages about sockets, without a parent."""

    def setUp(self) -> None:
        self.groups = [self.group(0, 1, 2), self.group(0)]
        self.groups[1].is_shared = True
        self.lent: dict[int, list[int]] = {}
        self.sharing = Sharing(self.groups, lambda index: self.lent.get(index, []), has_sockets=True)

    def group(self, *numbers: int) -> SocketGroup:
        group = SocketGroup(LOCAL, 3)
        group.sockets.update({number: socket.socket() for number in numbers})
        self.addCleanup(group.stopListening)
        return group

    def worker(self, index: int, **hello: Any) -> Worker:
        """Has a worker say hello."""
        worker = Worker(index, FakeLink(1))
        hello_ = Hello(PROTOCOL, "1", 1, index, **hello)
        self.sharing.welcome(worker, hello_, Message("welcome", {"a": 1}, (b"p",)))
        return worker

    def test_welcome(self) -> None:
        """It has the sockets of the worker as descriptors, and all that the caller has put into it."""
        worker = self.worker(1)
        (welcome,) = worker.link.sent
        self.assertEqual((welcome.facts, welcome.payloads), ({"a": 1, "listen": [0, 1], "numbers": [1, 1]}, (b"p",)))
        self.assertEqual(welcome.fds, (self.groups[0].sockets[1].fileno(), self.groups[1].sockets[0].fileno()))
        self.assertEqual(worker.sockets, {(0, 1), (1, 1)})
        self.sharing.share_out(worker)
        self.assertEqual(worker.link.kinds(), ["welcome"])

    def test_welcome_of_a_worker_that_accepts(self) -> None:
        """It has its sockets already: by their numbers, or by its index if it tells only how many they are."""
        for more, has in (({"numbers": [[1, 2], [1]]}, {(0, 1), (0, 2), (1, 1)}), ({}, {(0, 1), (1, 1)})):
            worker = self.worker(1, sockets=[2, 1], **more)
            self.assertEqual((worker.link.sent[0].fds, worker.sockets), ((), has))

    def test_without_sockets(self) -> None:
        """The workers of a parent that has not taken over are given none, and get them at once afterwards."""
        self.sharing.has_sockets = False
        worker = self.worker(0)
        self.assertEqual((worker.link.sent[0].fds, worker.sockets), ((), set()))
        self.sharing.has_sockets = True
        self.sharing.share_out(worker)
        self.assertEqual(
            (worker.link.sent[-1].type, worker.link.sent[-1].facts), ("adopt", {"owner": 0, "listen": [0, 1]})
        )

    def test_loan(self) -> None:
        """A worker is told the difference once, and never a shared socket."""
        worker = self.worker(0)
        self.lent[0] = [2]
        for _ in range(2):
            self.sharing.share_out(worker)
        self.assertEqual(
            [(each.type, each.facts) for each in worker.link.sent[1:]], [("adopt", {"owner": 2, "listen": [0]})]
        )
        self.lent.clear()
        for _ in range(2):
            self.sharing.share_out(worker)
        self.assertEqual([(each.type, each.facts) for each in worker.link.sent[2:]], [("release", {"owner": 2})])
