"""The newest link to each worker."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.workers.connected import ConnectedWorkers
from livefeed.workers.messages import Message
from tests.helpers.parents import FakeLink, ParentTestCase


class LinksTests(ParentTestCase):
    def test_link_that_ends(self) -> None:
        """The canaries end with it, and the worker may connect again."""
        link, other = self.bring_up()
        link.receiver.lost(link)
        self.assertNotIn(link, self.feeds.links)
        again = self.hello(0, self.pid_of(0), sockets=[1])
        self.assertEqual((again.sent[0].facts["listen"], again.sent[0].fds), ([], ()))
        again.receive("ready")
        self.run_for(1.0, again, other)
        self.assertTrue(self.parent.is_ready())

    def test_second_link_of_a_worker(self) -> None:
        """It takes the place of the first, which may only look alive."""
        link, _ = self.bring_up()
        again = self.hello(0, self.pid_of(0), sockets=[1])
        self.assertTrue(link.is_closed)
        self.assertEqual([each in self.feeds.links for each in (link, again)], [False, True])
        link.receiver.lost(link)
        self.assertIn(again, self.feeds.links)


class Worker:
    """A link to a worker."""

    def __init__(self, index: int) -> None:
        self.index, self.link, self.was_lost = index, FakeLink(1), False

    def lose(self) -> None:
        self.was_lost = True


class ConnectedTests(SynchronousTestCase):
    """The links without a parent."""

    def setUp(self) -> None:
        self.may_share, self.shared = True, []  # type: ignore[var-annotated]
        self.workers = ConnectedWorkers(self, lambda: self.may_share)  # type: ignore[arg-type]

    def share_out(self, worker: Worker) -> None:
        """Plays the sharing of the sockets."""
        self.shared.append(worker.index)

    def add(self, index: int) -> Any:
        worker: Any = Worker(index)
        self.workers.add(worker)
        return worker

    def test_one_link_for_each(self) -> None:
        """A second link of a worker takes the place of the first, whose end changes nothing."""
        first, second, other = self.add(0), self.add(0), self.add(1)
        self.assertEqual((first.was_lost, second.was_lost), (True, False))
        self.workers.remove(first)
        self.assertEqual([*self.workers], [second, other])
        self.workers.remove(second)
        self.assertEqual((len(self.workers), second.was_lost), (1, False))
        self.workers.lose(1)
        self.workers.lose(1)
        self.assertEqual((len(self.workers), other.was_lost), (0, True))

    def test_messages(self) -> None:
        """All get those for all, and one a lease; a worker without a link gets none."""
        workers = [self.add(index) for index in (0, 2)]
        self.workers.send_all(Message("reopen"))
        self.workers.send_lease(2, "feed", 5)
        self.workers.send_lease(1, "feed", 5)
        self.assertEqual([each.link.kinds() for each in workers], [["reopen"], ["reopen", "lease"]])
        self.assertEqual([self.workers.index_of(each.link) for each in workers], [0, 2])
        self.assertIsNone(self.workers.index_of(FakeLink(1)))
        self.workers.close()
        self.assertEqual([each.link.is_closed for each in workers], [True, True])

    def test_sockets(self) -> None:
        """They are shared out for a loan, and with all, unless nobody may."""
        for index in (0, 2):
            self.add(index)
        self.assertEqual([self.workers.lend(1, to=index) for index in (0, 1)], [True, False])
        self.workers.take_back(1, borrower=2)
        self.workers.take_back(0, borrower=1)
        self.workers.share_out_all()
        self.assertEqual(self.shared, [0, 2, 0, 2])
        self.may_share = False
        self.workers.share_out_all()
        self.assertEqual(self.shared, [0, 2, 0, 2])
