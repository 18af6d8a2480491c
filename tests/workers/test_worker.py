"""The services of a worker, with a reactor in memory and without a parent."""

from __future__ import annotations

import io
import os
import signal
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogPublisher, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.settings import FeedSettings, Settings
from livefeed.delivery.figures import NO_FIGURES
from livefeed.exceptions import ConfigurationError
from livefeed.process.log_level import LogLevels
from livefeed.testing import Response, request
from livefeed.workers import served as served_module
from livefeed.workers.configuration import settings_for_workers
from livefeed.workers.feed_events import FeedEvent
from livefeed.workers.locks import Activity
from livefeed.workers.messages import PROTOCOL, Heartbeat, Message, Welcome, message_of
from livefeed.workers.worker import ALONE_S, HEARTBEAT_S, UNWELCOME_S, Worker
from livefeed.workers.worker_log import WorkerLog

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from livefeed.workers.served import Served

LOST = "the link to the parent is lost; connections stay, and feeds become stale without news"


class FakeLink:
    """A link to a parent that reads or does not."""

    is_paused = False

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.receiver: Any = None

    def kinds(self) -> list[str]:
        return [each.type for each in self.sent]

    def send(self, message: Message) -> None:
        self.sent.append(message)


class FakeServed:
    """Everything that clients use, as far as the tests need it."""

    def __init__(self) -> None:
        self.serving, self.figures, self.drain, self.feeds = self, self, self, self
        self.certificates, self.reload, self.access = self, self, self
        self.given: object = None
        self.pool, self.reopened, self.applied, self.asked = None, 0, 0, 0
        self.files: object = None
        self.error: Exception | None = None
        self.keys = b""

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

    def publish_keys(self, content: bytes) -> None:
        self.keys = content


class FakeLock:
    """A lock that notes what the worker does."""

    def __init__(self) -> None:
        self.told: list[Activity] = []

    def tell(self, activity: Activity) -> None:
        self.told.append(activity)


class Reactor(MemoryReactorClock):
    """A reactor in memory. The calls of other threads and of signals are made at once."""

    def callFromThread(self, callable: Any, *args: Any) -> None:  # noqa: A002
        callable(*args)


class WorkerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = Reactor()
        self.file = io.StringIO()
        self.lock = FakeLock()
        self.logged: Any = self.enterContext(capturedLogs())
        log = WorkerLog(0, self.file)
        reactor: Any = self.reactor
        lock: Any = self.lock
        self.worker = Worker((Path("/nowhere/link.sock"),), 0, reactor, log, lock)
        # The handlers of the test process stay.
        self.handlers: dict[int, Any] = {}
        self.patch(signal, "signal", self.handlers.__setitem__)

    def lines(self) -> list[str]:
        return [str(formatEvent(event)) for event in self.logged]


class WorkerTests(WorkerTestCase):
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


class ServingTestCase(WorkerTestCase):
    """A worker that a parent welcomes. Everything that clients use is real, except for the reactor."""

    def setUp(self) -> None:
        super().setUp()
        # The service that applies the level changes the observers for as long as the process lives.
        self.patch(served_module, "LogLevels", partial(LogLevels, publisher=LogPublisher()))
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.sock.close)
        self.worker.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """Ends the services, as the reactor does when it stops."""
        if self.worker.running:
            stopped: Deferred[Any] = self.worker.stopService()
            while not stopped.called:
                self.reactor.advance(1.0)
            self.successResultOf(stopped)

    def welcome(self, listen: tuple[int, ...] = (0,), **more: Any) -> FakeLink:
        """Has a parent welcome the worker.

        :param listen: the endpoints that it gives sockets of.
        """
        link, (message, settings) = FakeLink(), self.message("welcome", listen, **more)
        self.settings = settings
        client: Any = self.worker._client
        client.link = link
        client.on_welcome(link, message)
        return link

    def message(
        self,
        kind: str,
        listen: tuple[int, ...] = (),
        orphan_after_s: float = 30.0,
        key: bytes = b"",
        key_set: str = "",
        **settings: Any,
    ) -> tuple[Message, Settings]:
        """Gives a message with settings, and these."""
        given = Settings(
            feeds=settings.pop("feeds", (FeedSettings(),)), listen=("tcp:0:interface=127.0.0.1",), **settings
        )
        facts = Welcome(
            PROTOCOL,
            "1",
            1,
            settings_for_workers(given),
            ticket_key=0 if key else None,
            listen=[*listen],
            orphan_after_s=orphan_after_s,
            key_set=key_set,
        )
        fds = tuple(os.dup(self.sock.fileno()) for _ in listen)
        return message_of(kind, facts, (key,) if key else (), fds), given

    def served(self) -> Served:
        assert self.worker.served is not None
        return self.worker.served

    def lose(self, link: FakeLink) -> None:
        client: Any = self.worker._client
        client.link = None
        self.worker.lost(link)  # type: ignore[arg-type]

    def receive(self, link: FakeLink, kind: str, **facts: Any) -> None:
        self.worker.receive(link, Message(kind, facts))  # type: ignore[arg-type]


class WelcomeTests(ServingTestCase):
    def test_first_welcome(self) -> None:
        """The worker accepts on the socket, tells its figures, and is ready."""
        link = self.welcome()
        self.assertIs(link.receiver, self.worker)
        self.assertEqual(link.kinds(), ["heartbeat", "ready"])
        self.assertEqual(self.lock.told, [Activity.ACCEPTING])
        (port,) = self.served().accepting.ports
        self.assertEqual([*port.ports], [0])
        self.assertEqual([*self.served().feeds.feeds], ["feed"])
        self.reactor.advance(HEARTBEAT_S)
        self.assertEqual(link.kinds()[2:], ["heartbeat"])
        beat = link.sent[-1].read(Heartbeat)
        self.assertEqual((beat.connections, sum(beat.watchers["feed"].values())), (0, 0))
        self.assertGreater(beat.capacity, 0)
        self.assertFalse(self.reactor.hasStopped)

    def test_keys(self) -> None:
        """The public keys come with the welcome, and again after a reload."""
        link = self.welcome(key_set='{"keys":[1]}')

        def ask() -> Response:
            return request(self.served().serving.site, b"GET /-/keys HTTP/1.1")

        self.assertEqual(ask().body, b'{"keys":[1]}')
        message, _ = self.message("configuration", key_set='{"keys":[2]}')
        self.worker.receive(link, message)  # type: ignore[arg-type]
        self.assertEqual(ask().body, b'{"keys":[2]}')
        message, _ = self.message("configuration")
        self.worker.receive(link, message)  # type: ignore[arg-type]
        self.assertEqual(ask().status, 404)

    def test_hello(self) -> None:
        """The first one tells who it is, and later ones its feeds and sockets, too."""
        hello = self.worker._hello()
        self.assertEqual((hello.index, hello.pid, hello.sockets, hello.listen), (0, os.getpid(), [], []))
        link = self.welcome()
        self.receive(link, "lease", feed="feed", places=4)
        hello = self.worker._hello()
        self.assertEqual((hello.sockets, hello.numbers, hello.places), ([1], [[0]], {"feed": 4}))
        self.assertEqual((hello.listen, hello.is_draining), ([*self.settings.listen], False))

    def test_second_welcome(self) -> None:
        """It changes settings, and connections and sockets stay."""
        first = self.welcome()
        served = self.served()
        self.lose(first)
        second = self.welcome(listen=(), feeds=(FeedSettings(), FeedSettings(feed="other")))
        self.assertIs(self.served(), served)
        self.assertEqual([*served.feeds.feeds], ["feed", "other"])
        self.assertEqual(second.kinds(), ["ready"])
        self.assertEqual(len(served.accepting.ports[0].ports), 1)

    def test_cannot_serve(self) -> None:
        """The process ends, and its exit code tells the parent."""
        for why, error in (("no", ConfigurationError("no")), ("cannot serve", ZeroDivisionError())):
            with self.subTest(why):
                self.reactor.hasStopped = False
                self.worker._is_ending = self.worker.failed = False
                self.patch(served_module, "Serving", self.fail_with(error))
                link = self.welcome(listen=())
                self.assertEqual((self.worker.failed, self.reactor.hasStopped), (True, True))
                self.assertEqual(link.kinds(), [])
                self.assertIn(why, " ".join(self.lines()))
                # Messages that are on their way change nothing.
                self.receive(link, "reopen")
        self.flushLoggedErrors(ZeroDivisionError)

    def fail_with(self, error: Exception) -> Any:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        return fail

    def test_public_readiness(self) -> None:
        """Clients are told as the parent says, and by the feeds of this process while there is none."""
        link = self.welcome(ready_public=True)
        health = self.served().health
        by_itself = health.why_not_ready()
        self.assertTrue(by_itself)
        for ready, why in ((True, []), (False, ["the parent is not ready"])):
            self.receive(link, "readiness", ready=ready)
            self.assertEqual(health.why_not_ready(), why)
        self.lose(link)
        self.assertEqual(health.why_not_ready(), by_itself)

    def test_figures(self) -> None:
        """Clients read those of all workers, as the parent sends them, and none while there is no parent."""
        link = self.welcome(page_figures=True)
        site = self.served().serving.site

        def figures() -> bytes:
            site.forget_answers()
            return request(site, b"GET /-/figures.json HTTP/1.1").body

        self.worker.receive(link, Message("figures", payloads=(b"[5]",)))  # type: ignore[arg-type]
        self.assertEqual(figures(), b"[5]")
        self.lose(link)
        self.assertEqual(figures(), NO_FIGURES)

    def test_ticket_key(self) -> None:
        """The key of TLS tickets is that of the parent, from the first welcome on."""
        keys = [bytes([number]) * 80 for number in (1, 2)]
        link = self.welcome(key=keys[0])
        tickets = self.served().certificates.tickets
        self.assertEqual(tickets.keys.data, keys[0])
        self.worker.receive(link, self.message("configuration", key=keys[1])[0])  # type: ignore[arg-type]
        self.assertEqual(tickets.keys.data, keys[1])


class LinkTests(ServingTestCase):
    def test_next_parent_comes_soon(self) -> None:
        """At an upgrade nothing is lost: the log has no line about it, neither here nor at the next parent."""
        self.lose(self.welcome())
        self.reactor.advance(ALONE_S - 0.1)
        link = self.welcome(listen=())
        self.reactor.advance(ALONE_S + 1.0)
        self.assertNotIn(LOST, self.lines())
        self.lose(link)
        self.reactor.advance(ALONE_S)
        self.assertEqual(self.lines().count(LOST), 1)
        self.reactor.advance(10.0)
        self.assertEqual(self.lines().count(LOST), 1)

    def test_orphan(self) -> None:
        """Without a parent, the worker ends after the time that the last one has told."""
        self.lose(self.welcome(orphan_after_s=5.0))
        self.reactor.advance(4.9)
        self.assertFalse(self.reactor.hasStopped)
        self.reactor.advance(0.1)
        self.assertTrue(self.reactor.hasStopped)
        self.assertIn("ends: there was no parent for 5 s", self.lines())
        self.assertEqual(self.lock.told[-1], Activity.DRAINING)

    def test_no_time_for_orphans(self) -> None:
        """With 0 the worker never ends by itself."""
        self.lose(self.welcome(orphan_after_s=0.0))
        self.reactor.advance(100_000.0)
        self.assertFalse(self.reactor.hasStopped)

    def test_end_while_there_is_no_parent(self) -> None:
        """The log of a worker that ends does not say that connections stay."""
        self.lose(self.welcome())
        self.worker.end("it received SIGTERM")
        self.reactor.advance(ALONE_S)
        self.assertNotIn(LOST, self.lines())

    def test_failed_upgrade(self) -> None:
        """A worker without sockets ends with its parent, or when another one refuses it: it has no clients."""
        link = self.welcome(listen=())
        self.assertEqual(self.lock.told, [])
        self.lose(link)
        self.assertIn("ends: the parent has ended before it gave sockets", self.lines())
        self.worker._is_ending = False
        self.worker._note_refused()
        self.assertIn("ends: the parent refuses it, and it has no clients", self.lines())

    def test_refused_with_clients(self) -> None:
        """It goes on serving, and looks for another parent."""
        self.welcome()
        self.worker._note_refused()
        self.assertFalse(self.reactor.hasStopped)

    def test_death_of_the_parent_during_a_drain(self) -> None:
        """The worker accepts no more, and ends."""
        link = self.welcome()
        self.receive(link, "let_go", successor=False)
        self.assertEqual(self.lock.told, [Activity.ACCEPTING, Activity.DRAINING])
        self.assertFalse(self.reactor.hasStopped)
        self.lose(link)
        self.assertIn("ends: the parent has ended during a drain", self.lines())

    def test_second_order_to_let_go(self) -> None:
        """It changes nothing: the drain has begun."""
        link = self.welcome()
        for _ in range(2):
            self.receive(link, "let_go", successor=False)
        self.assertEqual(self.lock.told.count(Activity.DRAINING), 1)


class EndTests(ServingTestCase):
    def test_drain(self) -> None:
        """The order of an upgrade ends the worker, which remembers that there is a successor."""
        link = self.welcome()
        for _ in range(2):
            self.receive(link, "drain", successor=True)
        self.assertTrue(self.served().drain.successor)
        self.assertEqual(self.lines().count("ends: the parent says so"), 1)
        self.assertTrue(self.worker._hello().is_draining)

    def test_sigterm(self) -> None:
        """The first one ends the worker in order, and the second one at once."""
        self.welcome()
        hurried: list[bool] = []
        self.patch(self.served().drain, "hurry", lambda: hurried.append(True))
        self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual((self.reactor.hasStopped, hurried), (True, []))
        self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual(hurried, [True])

    def test_end_before_the_welcome(self) -> None:
        """A second signal finds nothing to hurry."""
        for _ in range(2):
            self.worker.end("it received SIGTERM")
        self.assertEqual(self.lines().count("ends: it received SIGTERM"), 1)

    def test_last_heartbeat(self) -> None:
        """The parent gets the final counts, and no timer is left."""
        link = self.welcome()
        self.stop()
        self.assertEqual(link.kinds()[-1], "heartbeat")
        self.assertEqual(link.sent[-1].read(Heartbeat).drain.phase, "stopped")
        self.assertEqual([*self.served().accepting.ports[0].ports], [])
        self.assertFalse(self.worker._heart.running)


class MessageTests(ServingTestCase):
    def test_events(self) -> None:
        """They go to their feed; one that was removed only confirms them, since the parent counts."""
        link = self.welcome()
        events: list[FeedEvent] = []
        self.patch(self.served().feeds.feeds["feed"], "receive", lambda _, event: events.append(event))
        for name in ("feed", "gone"):
            self.worker.receive(link, message_of("feed", FeedEvent(name, "begin_tick", 1.0)))  # type: ignore[arg-type]
        self.assertEqual([each.feed for each in events], ["feed"])
        self.assertEqual([(each.type, each.facts) for each in link.sent[2:]], [("seen", {"feed": "gone"})])

    def test_answers(self) -> None:
        """Each goes to its feed, and one for a feed that was removed is ignored."""
        link = self.welcome()
        service = self.served().feeds.feeds["feed"]
        calls: list[str] = []
        self.patch(service, "tell", lambda _: calls.append("tell"))
        self.patch(service, "receive_patch", lambda *_: calls.append("patch"))
        for name in ("feed", "gone"):
            self.receive(link, "snapshot", feed=name, max_bytes=1)
            self.receive(link, "patch", feed=name, base="a", to="b")
            self.receive(link, "lease", feed=name, places=3)
        self.assertEqual((calls, service.published.places), (["tell", "patch"], 3))

    def test_sockets(self) -> None:
        """A worker of an upgrade begins to accept when it is given sockets; those of unknown messages are closed."""
        link = self.welcome(listen=())
        self.assertEqual(self.lock.told, [])
        fd = os.dup(self.sock.fileno())
        adopt = Message("adopt", {"owner": 0, "listen": [0]}, (), (fd,))
        self.worker.receive(link, adopt)  # type: ignore[arg-type]
        self.assertEqual(self.lock.told, [Activity.ACCEPTING])
        unknown = os.dup(self.sock.fileno())
        self.worker.receive(link, Message("song", {}, (), (unknown,)))  # type: ignore[arg-type]
        self.assertRaises(OSError, os.fstat, unknown)
        self.receive(link, "sockets")
        self.assertEqual(link.sent[-1].facts, {"listen": [("tcp:0:interface=127.0.0.1", 0)]})
        self.receive(link, "release", owner=0)
        self.assertEqual([*self.served().accepting.ports[0].ports], [])

    def test_before_the_welcome(self) -> None:
        """A message closes its descriptors, and changes nothing."""
        fd = os.dup(self.sock.fileno())
        self.worker.receive(FakeLink(), Message("reopen", {}, (), (fd,)))  # type: ignore[arg-type]
        self.assertRaises(OSError, os.fstat, fd)

    def test_flushed(self) -> None:
        """Lines of the log that wait are sent when the parent reads again."""
        link = self.welcome()
        link.is_paused = True
        self.worker.log({"log_format": "late", "log_time": 0.0})
        self.assertNotIn("log", link.kinds())
        link.is_paused = False
        self.worker.flushed(link)  # type: ignore[arg-type]
        self.assertEqual((link.sent[-1].type, link.sent[-1].facts["text"]), ("log", "late"))
