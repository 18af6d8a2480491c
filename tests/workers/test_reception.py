"""The messages that workers of all generations send alike."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.logger import LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import LinkError
from livefeed.workers.accounts import Accounts
from livefeed.workers.allowance import RATES, Allowance
from livefeed.workers.messages import Heartbeat, Message
from livefeed.workers.reception import Reception
from livefeed.workers.worker_log import MAX_CHARACTERS, MAX_NAMESPACE
from tests.helpers.parents import BEAT, FakeFeeds, FakeFigures, FakeLink, ParentTestCase


class ReceptionTests(ParentTestCase):
    def test_readiness(self) -> None:
        """Each worker is told with its heartbeat when the readiness has changed, and after a new link."""
        links = self.bring_up()
        links[0].receive("heartbeat", BEAT)
        for ready in (False, True):
            self.parent.reception.is_livefeed_ready = partial(bool, ready)
            for link in links * 2:
                link.receive("heartbeat", BEAT)
        again = self.hello(0, self.pid_of(0), sockets=[1])
        again.receive("heartbeat", BEAT)
        told = [[each.facts["ready"] for each in link.sent if each.type == "readiness"] for link in (*links, again)]
        self.assertEqual(told, [[False, True], [False, True], [True]])

    def test_log(self) -> None:
        """A line of a worker is one of the parent, of the same level."""
        link, _ = self.bring_up()
        link.receive("log", {"level": "warn", "namespace": "livefeed.transport.pool", "text": "full {x}"})
        (event,) = [each for each in self.logged if each["log_namespace"] == "livefeed.transport.pool"]
        self.assertEqual((formatEvent(event), event["log_level"]), ("worker 0: full {x}", LogLevel.warn))

    def test_floods(self) -> None:
        """Too many heartbeats end the link. Of too many lines of a log some are written, cut off, and a count."""
        link, other = self.bring_up()
        line = {"level": "info", "namespace": "n" * 1000, "text": "x" * 100_000}
        for _ in range(2000):
            link.receive("log", line)
        written = [each for each in self.logged if each["log_namespace"].startswith("nn")]
        self.assertEqual(len(written), RATES["log"][0])
        self.assertLess(len(formatEvent(written[0])), MAX_CHARACTERS + 20)
        self.assertEqual(len(written[0]["log_namespace"]), MAX_NAMESPACE)
        self.reactor.advance(1.0)
        link.receive("log", line)
        self.assertIn("worker 0: 1000 lines of its log are left out: there were too many", self.lines())
        with self.assertRaisesRegex(LinkError, "too many messages"):
            for _ in range(2000):
                link.receive("heartbeat", BEAT)
        other.receive("heartbeat", BEAT)

    def test_unknown_message(self) -> None:
        """It is ignored: a newer worker may say more."""
        link, _ = self.bring_up()
        link.receive("song", {})
        link.receive("seen")


class Sender:
    """A worker that sends messages."""

    def __init__(self) -> None:
        self.link: Any = FakeLink(1)
        self.told: bool | None = None
        self.allowance = Allowance(lambda: 0.0)


class SenderTests(SynchronousTestCase):
    """Messages without a parent."""

    def setUp(self) -> None:
        self.figures, self.feeds = FakeFigures(), FakeFeeds()
        self.reception = Reception(self.feeds, Accounts(self.figures, dict, lambda *_: None))
        self.worker = Sender()

    def take(self, kind: str, facts: dict[str, Any] | None = None) -> Heartbeat | None:
        return self.reception.take(self.worker, 3, "worker", Message(kind, facts or {}))

    def test_heartbeat(self) -> None:
        """The caller gets it, after its figures were counted."""
        beat = self.take("heartbeat", BEAT)
        assert beat is not None
        self.assertEqual((beat.connections, self.figures.calls), (4, [("report", 3, 0)]))
        self.assertIsNone(self.take("seen"))

    def test_keys(self) -> None:
        """A worker has keys of tokens fetched, if anything fetches them."""
        self.take("keys", {"url": "https://a"})
        wanted: list[str] = []
        self.reception.want_keys = wanted.append
        self.take("keys", {"url": "https://b"})
        self.assertEqual(wanted, ["https://b"])

    def test_worker_without_a_link(self) -> None:
        """It is told nothing, and gets it told after its next link."""
        self.reception.is_livefeed_ready = lambda: True
        link, self.worker.link = self.worker.link, None
        self.take("heartbeat", BEAT)
        self.take("seen")
        self.assertIsNone(self.worker.told)
        self.worker.link = link
        self.take("heartbeat", BEAT)
        self.take("heartbeat", BEAT)
        self.assertEqual((self.worker.told, link.kinds()), (True, ["readiness"]))
