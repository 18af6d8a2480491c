"""The new parent of an upgrade: it tells its steps, takes over at the commit, and ends if it cannot."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import LinkError, StartError
from livefeed.workers import succeeding
from livefeed.workers.messages import Message
from livefeed.workers.succeeding import LOOK_S, Succession, text_of_lacking


class Reactor(MemoryReactorClock):
    """A reactor that runs from the start."""

    stopped = False

    def callWhenRunning(self, callable: Any, *args: Any, **kwargs: Any) -> None:  # noqa: A002
        callable(*args, **kwargs)

    def stop(self) -> None:
        self.stopped = True


@dataclass
class FakeEstate:
    """The parts of the process."""

    calls: list[str] = field(default_factory=list)
    lack: str = "the workers 0"
    error: BaseException | None = None

    def receive(self, link: Any, message: Message) -> bool:
        return message.type == "feed"

    def lacking(self) -> str:
        return self.lack

    def take(self, message: Message) -> None:
        os.fstat(message.fds[0])  # it must be open
        if self.error is not None:
            raise self.error
        self.calls.append("take")

    def begin(self) -> None:
        self.calls.append("begin")


class FakeLink:
    """The channel."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.is_closed = False

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def close(self) -> None:
        self.is_closed = True

    def kinds(self) -> list[str]:
        return [message.type for message in self.sent]


class SuccessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.link: Any = FakeLink()
        self.patch(succeeding, "open_channel", lambda *_: self.link)
        self.reactor: Any = Reactor()
        self.estate = FakeEstate()
        inheritance: Any = SimpleNamespace(sock=None)
        self.succession = Succession(inheritance, self.estate, self.any_reactor())
        self.succession.startService()

    def any_reactor(self) -> Any:
        return self.reactor

    def be_ready(self) -> None:
        self.estate.lack = ""
        self.reactor.advance(LOOK_S)
        self.link.sent.clear()

    def commit(self) -> int:
        """Sends the commit, and gives the descriptor in it."""
        one, other = socket.socketpair()
        self.addCleanup(other.close)
        fd = one.detach()
        self.succession.receive(self.link, Message("commit", {}, (), (fd,)))
        return fd

    def test_steps(self) -> None:
        """Each lacking worker is reported once, and readiness as soon as no worker is lacking."""
        self.assertEqual(self.link.kinds(), ["step"])
        self.reactor.advance(LOOK_S)
        self.reactor.advance(LOOK_S)
        self.assertEqual([each.facts["text"] for each in self.link.sent[1:]], ["waiting for the workers 0"])
        self.estate.lack = ""
        self.reactor.advance(LOOK_S)
        self.assertEqual(self.link.kinds()[2:], ["step", "ready"])
        self.reactor.advance(10 * LOOK_S)
        self.assertEqual(len(self.link.sent), 4)

    def test_commit(self) -> None:
        """The old parent is told when everything is taken over, and before anything else begins."""
        self.be_ready()
        fd = self.commit()
        self.assertEqual((self.estate.calls, self.link.kinds()), (["take", "begin"], ["committed"]))
        self.assertTrue(self.link.is_closed)
        self.assertRaises(OSError, os.fstat, fd)
        self.succession.lost(self.link)
        self.assertFalse(self.reactor.stopped)
        self.assertTrue(self.succession.has_taken_over)

    def test_failed_commit(self) -> None:
        """The old parent is told the reason, nothing begins, and the process ends."""
        for error in (LinkError("the disk is gone"), StartError("livefeed: the disk is gone")):
            self.setUp()
            self.be_ready()
            self.estate.error = error
            fd = self.commit()
            self.assertEqual(
                [(each.type, each.facts) for each in self.link.sent], [("failed", {"why": "the disk is gone"})]
            )
            self.assertEqual((self.estate.calls, self.reactor.stopped), ([], True))
            self.assertRaises(OSError, os.fstat, fd)

    def test_broken_commit(self) -> None:
        """An error inside livefeed is logged."""
        self.be_ready()
        self.estate.error = ValueError("unexpected")
        self.commit()
        self.assertEqual(self.link.kinds(), ["failed"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertTrue(self.reactor.stopped)

    def test_commit_without_lock(self) -> None:
        """It ends the channel."""
        self.assertRaises(LinkError, self.succession.receive, self.link, Message("commit"))
        self.assertEqual(self.estate.calls, [])

    def test_old_parent_that_dies(self) -> None:
        """Before the commit, this process ends as well."""
        self.be_ready()
        self.succession.lost(self.link)
        self.assertTrue(self.reactor.stopped)
        self.commit()
        self.assertEqual(self.estate.calls, [])

    def test_end(self) -> None:
        """A process that ends tells nothing more."""
        self.succession.stopService()
        self.assertTrue(self.link.is_closed)
        self.estate.lack = ""
        self.reactor.advance(LOOK_S)
        self.assertEqual(self.link.kinds(), ["step"])

    def test_end_before_the_reactor_runs(self) -> None:
        """Nothing is opened then."""
        calls: list[Any] = []
        reactor: Any = Reactor()
        reactor.callWhenRunning = calls.append
        link, self.link = self.link, None
        succession = Succession(self.succession.inheritance, self.estate, reactor)
        succession.startService()
        succession.stopService()
        for call in calls:
            call()
        self.assertEqual(link.kinds(), ["step"])

    def test_other_messages(self) -> None:
        """Events of feeds are passed on, and others end the channel."""
        self.succession.receive(self.link, Message("feed"))
        self.assertRaises(LinkError, self.succession.receive, self.link, Message("welcome"))


class LackingTests(SynchronousTestCase):
    def test_text(self) -> None:
        """Feeds come before workers, which need them."""
        workers = [{"index": 0, "state": "ready"}, {"index": 1, "state": "starting"}]
        self.assertEqual(text_of_lacking(workers, {"b", "a"}), "the feeds a, b")
        self.assertEqual(text_of_lacking(workers, set()), "the workers 1")
        self.assertEqual(text_of_lacking(workers[:1], set()), "")
