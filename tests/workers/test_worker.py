"""The services of a worker, with a reactor in memory and without a parent."""

from __future__ import annotations

import io
import signal
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.workers.locks import WorkerLock
from livefeed.workers.messages import PROTOCOL, Message, Welcome, message_of
from livefeed.workers.worker import UNWELCOME_S, Worker
from livefeed.workers.worker_log import WorkerLog


class FakeLink:
    """A link to a parent that reads or does not."""

    is_paused = False

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(message)


class FakeServed:
    """Everything that clients use, as far as the tests need it."""

    def __init__(self) -> None:
        self.serving, self.figures, self.drain, self.feeds = self, self, self, self
        self.certificates, self.reload = self, self
        self.pool, self.reopened, self.applied, self.asked = None, 0, 0, 0
        self.files: object = None
        self.error: Exception | None = None

    def apply(self, settings: object) -> None:
        self.applied += 1
        if self.error is not None:
            raise self.error

    def ended(self) -> None:
        self.asked += 1

    def values(self) -> list[Any]:
        return []

    def items(self) -> list[Any]:
        return []

    def samples(self) -> list[Any]:
        return []

    def count(self) -> int:
        return 0

    def report(self) -> None:
        return None

    def reopen_logs(self) -> None:
        self.reopened += 1


class WorkerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.file = io.StringIO()
        reactor: Any = self.reactor
        log = WorkerLog(0, self.file)
        self.worker = Worker((Path("/nowhere/link.sock"),), 0, reactor, log, WorkerLock(-1))
        # The handlers of the test process stay.
        self.patch(signal, "signal", lambda *_: None)

    def test_never_welcome(self) -> None:
        """A worker whose parent was killed before it said welcome ends, and looks for another one until then."""
        self.worker.startService()
        self.assertEqual(len(self.reactor.unixClients), 1)
        self.reactor.advance(UNWELCOME_S - 1)
        self.assertFalse(self.reactor.hasStopped)
        self.reactor.advance(1)
        self.assertTrue(self.reactor.hasStopped)
        self.successResultOf(self.worker.stopService())

    def serve(self) -> tuple[FakeServed, FakeLink]:
        served, link = FakeServed(), FakeLink()
        self.worker.served, self.worker._client.link = served, link  # type: ignore[assignment]
        return served, link

    def test_a_parent_that_does_not_read(self) -> None:
        """No heartbeats queue for it, however long it is suspended."""
        _, link = self.serve()
        self.worker._beat()
        link.is_paused = True
        for _ in range(3):
            self.worker._beat()
        self.assertEqual([each.type for each in link.sent], ["heartbeat"])
        link.is_paused = False
        self.worker._beat()
        self.assertEqual([each.type for each in link.sent], ["heartbeat", "heartbeat"])

    def test_settings_that_break(self) -> None:
        """The old ones stay, with their certificates, and so does the link: they would come again with the next one."""
        served, _ = self.serve()
        served.files = object()
        files = served.files
        for error in (ZeroDivisionError(), ConfigurationError("no")):
            served.error = error
            self.worker._configure(message_of("configuration", Welcome(PROTOCOL, "1", 1, {})))
            self.assertIs(served.files, files)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_feeds_that_have_ended(self) -> None:
        """Nothing is kept of those that reloads have removed."""
        served, _ = self.serve()
        self.worker._configure(message_of("configuration", Welcome(PROTOCOL, "1", 1, {})))
        self.assertEqual((served.applied, served.asked), (1, 1))

    def test_reopen(self) -> None:
        """The logs are opened again as soon as the parent says so: its settings may be wrong, and not be sent."""
        served, link = self.serve()
        self.worker.receive(link, Message("reopen"))  # type: ignore[arg-type]
        self.assertEqual(served.reopened, 1)
