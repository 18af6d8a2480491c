"""The wiring of a parent: which services there are, and what its workers are told."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from msgspec import structs
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed import parent_service, serving
from livefeed.admin import totals as totals_module
from livefeed.admin.commands import Commands
from livefeed.admin.curves import Curves
from livefeed.admin.samples import Sample
from livefeed.admin.totals import Totals
from livefeed.config.settings import FeedSettings, Settings
from livefeed.exceptions import ConfigurationError
from livefeed.feed_set import FeedsService
from livefeed.process import certificates
from livefeed.process.drain import DrainReport
from livefeed.process.instance import Instance
from livefeed.process.limits import FileLimit
from livefeed.process.listener import Announcement, Listener
from livefeed.process.reload import Reload, Reloading
from livefeed.process.tickets import TicketRotation
from livefeed.service import make_service
from livefeed.testing import publish
from livefeed.tls.development import development_certificate
from livefeed.workers.broadcast import BroadcastFeed
from livefeed.workers.messages import Welcome
from livefeed.workers.parent import Parent
from livefeed.workers.recall import Recall
from tests.helpers.links import MemoryLink

if TYPE_CHECKING:
    from twisted.application.service import MultiService

    from livefeed.workers.messages import Message

LOCAL = "tcp:0:interface=127.0.0.1"


class ParentServiceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def make(self, **options: Any) -> MultiService:
        """Makes the services of options of the command line."""
        given = {"listen": [LOCAL], "workers": "2", "runtime_dir": str(self.folder / "run")}
        return make_service(Settings.read(given | options, {}), MemoryReactorClock())  # type: ignore[arg-type]

    def parent_of(self, services: MultiService) -> Parent:
        (parent,) = (each for each in services if isinstance(each, Parent))
        return parent

    def welcome(self, **options: Any) -> tuple[Welcome, Message]:
        """Gives the welcome of the workers, and its message."""
        message = self.parent_of(self.make(**options)).welcome(0)
        return message.read(Welcome), message


class ServiceTests(ParentServiceTestCase):
    def test_order(self) -> None:
        """The parent looks for workers before the sockets are bound, and begins the feeds by itself."""
        services = self.make()
        kinds = [type(each) for each in services]
        for earlier, later in ((Instance, Parent), (FileLimit, Parent), (Parent, Listener)):
            self.assertLess(kinds.index(earlier), kinds.index(later))
        self.assertEqual([type(each) for each in self.parent_of(services)], [Recall, Curves, Announcement])
        self.assertEqual([each for each in services if each.running], [])

    def test_auto(self) -> None:
        """The number of workers is that of the processors, and so is the number of sockets."""
        self.patch(parent_service, "usable_processors", lambda: 5)
        parent = self.parent_of(self.make(workers="auto"))
        self.assertEqual((parent.count, [each.group.count for each in parent.endpoints]), (5, [5]))

    def test_feeds_are_sent_to_workers(self) -> None:
        """Each feed tells of its changes."""
        (recall, *_) = self.parent_of(self.make())
        feeds = recall.feeds
        self.assertIsInstance(feeds, FeedsService)
        self.assertEqual([type(each.feed) for each in feeds.feeds.values()], [BroadcastFeed])

    def test_question_of_canaries(self) -> None:
        """It is for the first feed that has a document, and for any if none has."""
        parent = self.parent_of(self.make())
        self.assertEqual((parent.question().feed, parent.question().version), ("feed", ""))
        feeds = next(iter(parent)).feeds
        feed = feeds.feeds["feed"].feed
        publish(feed, b"[1]")
        self.assertEqual(parent.question().version, feed.snapshot.version)
        # A canary has no token.
        feeds.feeds["feed"].published.guard = object()
        self.assertEqual((parent.question().feed, parent.question().version), ("-/feeds.json", ""))

    def test_command(self) -> None:
        """The operator is given the report of the workers."""
        parent = self.parent_of(self.make())
        report = parent.report()
        self.assertEqual([(each["index"], each["state"]) for each in report], [(0, "dead"), (1, "dead")])

    def test_public_readiness(self) -> None:
        """Workers are told the readiness only if they answer questions about it."""
        self.assertIsNone(self.parent_of(self.make()).reception.is_livefeed_ready)
        is_ready = self.parent_of(self.make(ready_public="true")).reception.is_livefeed_ready
        assert is_ready is not None
        self.assertFalse(is_ready())

    def test_deliveries_are_traced(self) -> None:
        """The trace takes what the workers tell of their deliveries."""
        parent = self.parent_of(self.make())
        trace: Any = parent.accounts.deliveries
        trace(1, "worker 1", [["feed", "some version", 1.0, 2.0, 3]])
        self.assertEqual([*trace.__self__._of_workers["feed"]], ["some version"])

    def test_figures_are_sent_to_workers(self) -> None:
        """Once a second, if the operator shows them: the watchers of all workers, in one document."""
        services = self.make(page_figures="true")
        parent = self.parent_of(services)
        (curves,) = (each for each in parent if isinstance(each, Curves))
        link = MemoryLink()
        broadcast: Any = parent.feeds
        broadcast.add(link, {})
        parent.accounts.figures.report(0, 1, [["subscribers", [["feed", "feed"], ["by", "websocket"]], 7.0]])
        curves.startService()
        message = link.sent[-1]
        self.assertEqual((message.type, json.loads(message.payload(0))["watchers"]), ("figures", [7]))
        curves.stopService()

    def test_figures_of_a_worker_that_ends(self) -> None:
        """Its counts stay in the sums, and its last figures are those that it sent."""
        totals = Totals()
        figures = parent_service._Figures(totals)
        figures.report(0, 1, totals_module.sent([Sample("answers_total", (("code", "200"),), 5.0)]))
        self.assertEqual(totals_module.received(figures.last(0)), [Sample("answers_total", (("code", "200"),), 5.0)])
        figures.end(0, 1)
        self.assertEqual((figures.last(0), totals.of_workers("answers_total")), ([], 5.0))

    def test_system_without_epoll(self) -> None:
        """Workers need the fast transport."""
        self.patch(serving, "select", SimpleNamespace())
        error = self.assertRaises(ConfigurationError, self.make)
        self.assertIn("--workers: requires the fast transport", str(error))

    def test_arguments(self) -> None:
        """A worker is told its parent's socket, its generation and its index."""
        processes = self.parent_of(self.make()).processes
        link = self.folder / "run" / "link.sock"
        self.assertEqual(
            processes.arguments(2, 3),
            ["-m", "livefeed.workers", "--link", str(link), "--generation", "2", "--index", "3"],
        )


class DrainTests(ParentServiceTestCase):
    """The first phase is the parent's; then its sockets are closed, and the workers send everybody away."""

    def run_command(self, **arguments: Any) -> dict[str, Any]:
        return self.successResultOf(Deferred.fromCoroutine(self.commands.run("drain", arguments)))

    def setUp(self) -> None:
        super().setUp()
        made: list[Any] = []
        register = Commands.register

        def note(commands: Commands, name: str, command: Any) -> None:
            made.append(commands)
            register(commands, name, command)

        self.patch(Commands, "register", note)
        self.services: Any = self.make(drain_delay="5")
        self.commands = made[0]
        self.parent = self.parent_of(self.services)
        self.addCleanup(lambda: [each.group.stopListening() for each in self.parent.endpoints])
        self.listener = next(each for each in self.services if isinstance(each, Listener))
        self.listener.privilegedStartService()
        self.group = self.parent.endpoints[0].group

    def test_drain(self) -> None:
        """Watchers are sent away once the sockets are closed."""
        self.assertEqual(self.run_command()["phase"], "not ready")
        self.assertEqual(len(self.group.sockets), 2)
        self.assertFalse(self.parent.supervisor.is_releasing)
        self.parent.supervisor.workers[0].pid = 7
        self.services.drain.clock.advance(5)
        self.assertEqual((self.run_command()["phase"], self.group.sockets), ("releasing", {}))
        assert self.parent.releasing.order is not None
        self.assertEqual(self.parent.releasing.order.facts, {"successor": True})
        self.parent.releasing.take(0, DrainReport("released", 3, 2, 1, 4))
        report = {"phase": "released", "sockets": 3, "streams": 2, "pollers": 1, "left": 4}
        self.assertEqual(self.run_command(), report)

    def test_undo(self) -> None:
        """Nothing has changed for the workers then."""
        self.run_command()
        self.assertEqual(self.run_command(undo=True)["phase"], "serving")
        self.services.drain.clock.advance(60)
        self.assertEqual(len(self.group.sockets), 2)
        self.assertIsNone(self.parent.releasing.order)

    def test_hurry(self) -> None:
        """A second signal waits for no worker."""
        self.parent.supervisor.workers[0].pid = 7
        self.run_command()
        self.services.drain.clock.advance(5)
        self.services.drain.hurry()
        self.assertEqual(self.run_command()["phase"], "released")


class WelcomeTests(ParentServiceTestCase):
    def test_limits_are_divided(self) -> None:
        """The parts of the workers add up to the limits; none is 0, and limits that are 0 or none stay."""
        parent = self.parent_of(
            self.make(workers="3", max_connections="10", accept_rate="2", address_rate="0", network_rate="30")
        )
        parts = [parent.welcome(index).read(Welcome).limits for index in range(3)]
        self.assertEqual(
            {name: [each[name] for each in parts] for name in parts[0]},
            {"max_connections": [4, 3, 3], "accept_rate": [1, 1, 1], "network_rate": [10] * 3, "drain_delay": [0] * 3},
        )
        welcome, _ = self.welcome(accept_rate="none", address_rate="0", network_rate="0")
        self.assertEqual(welcome.limits, {"drain_delay": 0})

    def test_secrets_stay_in_the_parent(self) -> None:
        """A worker pulls nothing, and is not told the passwords of sources."""
        feeds = (FeedSettings(source="redis://user:secret@localhost/0/a"),)
        settings = Settings(feeds=feeds, listen=(LOCAL,), workers=2, orphan_after=7.0)
        message = self.parent_of(make_service(settings, MemoryReactorClock())).welcome(0)  # type: ignore[arg-type]
        self.assertNotIn("secret", repr(message))
        self.assertEqual(message.read(Welcome).orphan_after_s, 7.0)

    def test_certificates(self) -> None:
        """The files of all endpoints are sent as bytes, each once; so is the key of session tickets."""
        made = development_certificate(self.folder / "certs")
        own = f"tls:0:interface=127.0.0.1:cert={made.cert}:key={made.key}"
        welcome, message = self.welcome(
            listen=["tls:0:interface=127.0.0.1", own], cert=[str(made.cert)], key=[str(made.key)]
        )
        self.assertEqual(sorted(welcome.certificates), sorted([str(made.cert), str(made.key)]))
        self.assertEqual(message.payload(welcome.certificates[str(made.cert)]), made.cert.read_bytes())
        self.assertEqual(len(message.payloads), 3)
        self.assertEqual(welcome.ticket_key, 2)

    def test_development_certificate(self) -> None:
        """The parent makes one, and the workers use it."""
        self.patch(certificates, "default_directory", lambda: self.folder / "certs")
        welcome, _ = self.welcome(listen=["tls:0:interface=127.0.0.1", "tls:0:interface=127.0.0.1"])
        made = development_certificate(self.folder / "certs")
        self.assertEqual(sorted(welcome.certificates), sorted([str(made.cert), str(made.key)]))
        self.assertEqual((welcome.settings["cert"], welcome.settings["key"]), ((str(made.cert),), (str(made.key),)))

    def test_folder_of_certificates(self) -> None:
        """Its path becomes absolute, since workers may have another working directory. They read it by themselves."""
        folder = self.folder / "a b"
        folder.mkdir()
        for description, sent in (
            ("tls:a b:443", f"tls:{folder}:443"),
            (f"tls:{folder}:443", f"tls:{folder}:443"),
            ("haproxy:tls:a b:443", f"haproxy:tls:{folder}:443"),
            ("tls:8443", "tls:8443"),
            ("tcp:80", "tcp:80"),
        ):
            self.assertEqual(parent_service.with_absolute_folder(description, self.folder), sent)

    def test_folder_of_certificates_in_a_reload(self) -> None:
        """It is the same folder, also after twistd has changed the working directory: nothing needs a restart."""
        (self.folder / "certs").mkdir()
        made: list[Any] = []

        def note(*arguments: Any) -> Any:
            made.append(Reloading(*arguments))
            return made[-1]

        self.patch(parent_service, "Reloading", note)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.folder)
        self.make(listen=["tls:certs:0"], runtime_dir=str(self.folder / "run"))
        os.chdir("/")
        listen = (f"tls:{self.folder}/certs:0",)
        self.assertEqual((made[0].reload_parts.settings.listen, made[0].read().listen), (listen, listen))

    def test_configuration_of_each_worker(self) -> None:
        """After a change each worker is sent its own part of the limits."""
        services = self.make(max_connections="3")
        parent = self.parent_of(services)
        links: Any = [MemoryLink(), MemoryLink()]
        for index, link in enumerate(links):
            parent._connected.add(SimpleNamespace(index=index, link=link))  # type: ignore[arg-type]
            parent.feeds.add(link, {})
        (rotation,) = (each for each in services if isinstance(each, TicketRotation))
        rotation._rotate()
        parts = [link.sent[-1].read(Welcome).limits["max_connections"] for link in links]
        self.assertEqual(parts, [2, 1])

    def test_counts_of_a_removed_feed(self) -> None:
        """They are forgotten once no worker reports them any more, unless the feed is there again."""
        made: list[Any] = []

        def note(*arguments: Any) -> Any:
            made.append(Reload(*arguments))
            return made[-1]

        self.patch(parent_service, "Reload", note)
        settings = Settings(
            feeds=tuple(FeedSettings(feed=name) for name in ("a", "b", "c")),
            listen=(LOCAL,),
            workers=2,
            runtime_dir=self.folder / "run",
        )
        clock: Any = MemoryReactorClock()
        parent = self.parent_of(make_service(settings, clock))
        totals = parent.figures.totals  # type: ignore[attr-defined]
        forgotten: list[str] = []
        self.patch(type(totals), "forget_feed", lambda _, name: forgotten.append(name))
        one, *_ = settings.feeds
        made[0].apply(structs.replace(settings, feeds=(one,)))
        made[0].apply(structs.replace(settings, feeds=(one, FeedSettings(feed="c"))))
        self.assertEqual(forgotten, [])
        clock.advance(parent_service.FORGET_S)
        self.assertEqual(forgotten, ["b"])

    def test_reload_checks_what_needs_a_restart(self) -> None:
        """A file that is wrong is found now, and not at the restart."""
        reloading: list[Any] = []

        def note(*arguments: Any) -> Any:
            reloading.append(arguments)
            return Reloading(*arguments)

        self.patch(parent_service, "Reloading", note)
        self.make()
        checks = reloading[0][2]
        for options, place in (
            ({"listen": ["nonsense:1"]}, "--listen"),
            ({"admin_token": str(self.folder / "none")}, "--admin-token"),
            ({"trusted_proxy": ["nonsense"]}, "--trusted-proxy"),
        ):
            given = {"listen": [LOCAL], "workers": "2", "runtime_dir": str(self.folder / "run")} | options
            error = self.assertRaises(
                ConfigurationError, lambda read: [check(read) for check in checks], Settings.read(given, {})
            )
            self.assertIn(place, str(error))

    def test_key_of_tickets_is_sent_after_its_rotation(self) -> None:
        """All workers take the next key."""
        services = self.make()
        parent = self.parent_of(services)
        link: Any = MemoryLink()
        parent.feeds.add(link, {})
        link.sent.clear()
        (rotation,) = (each for each in services if isinstance(each, TicketRotation))
        before = parent.welcome(0).payloads[-1]
        rotation._rotate()
        self.assertEqual([each.type for each in link.sent], ["configuration"])
        self.assertNotEqual(link.sent[0].payloads[-1], before)
