"""The wiring: which services the settings make, in which order they start and stop, and what is refused before."""

from __future__ import annotations

import gc
import json
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import HealthCheck, given, reject
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from msgspec import structs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed import parent_service, serving
from livefeed.admin.curves import Curves
from livefeed.admin.socket import OperatorSocket
from livefeed.auth.fetching import KeyFetching
from livefeed.config.setting_texts import TEXTS
from livefeed.config.settings import FeedSettings, Layers, Settings
from livefeed.exceptions import CommandError, ConfigurationError
from livefeed.feed.feed import Feed
from livefeed.feed.persistence import JournalService
from livefeed.feed_service import PulledFeedService
from livefeed.feed_set import MAX_SPREAD_S, FeedsService
from livefeed.intake.puller import Puller
from livefeed.process.capacity import MemoryWatch
from livefeed.process.certificates import CertificateWatch
from livefeed.process.drain import Drain, DrainTimes
from livefeed.process.instance import Instance
from livefeed.process.limits import FileLimit
from livefeed.process.listener import Announcement, Listener
from livefeed.process.log_level import LogLevels
from livefeed.process.loop_lag import LoopLag
from livefeed.process.memory import Collector
from livefeed.process.notify import Notify
from livefeed.process.renewal import CertificateRenewal
from livefeed.process.signals import SignalHandlers
from livefeed.process.tickets import TicketRotation
from livefeed.service import make_service, refuse_upgrade
from livefeed.testing import Response, request
from livefeed.tls.development import development_certificate
from livefeed.transport.endpoint import PoolPort
from livefeed.transport.limits import NO_LIMIT, RESERVED_FILES, Limits
from livefeed.transport.pool import Pool
from livefeed.web.cors import Origins
from livefeed.workers.left_over import LeftOverWorkers

if TYPE_CHECKING:
    from twisted.application.service import MultiService

    from livefeed.process.reload import ReloadReport

ServiceT = TypeVar("ServiceT")

LOCAL = "tcp:0:interface=127.0.0.1"
TCP: dict[str, Any] = {"listen": [LOCAL]}


class ServiceTestCase(SynchronousTestCase):
    """Services of real settings, with a reactor in memory."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.token = self.scratch() / "token"
        self.token.write_text("0123456789abcdef")
        self.token.chmod(0o600)

    def admin(self, *endpoints: str) -> dict[str, Any]:
        """Gives the options of the operator's port on endpoints of TCP."""
        return {"admin": [*endpoints], "admin_token": str(self.token)}

    def make(self, settings: Settings | None = None, /, **options: Any) -> MultiService:
        """Makes the services of settings, or of options of the command line."""
        return make_service(settings or Settings.read(TCP | options, {}), self.reactor)

    def one(self, kind: type[ServiceT], services: MultiService) -> ServiceT:
        """Gives the only service of a kind."""
        (found,) = self.all(kind, services)
        return found

    def all(self, kind: type[ServiceT], services: MultiService) -> list[ServiceT]:
        """Gives the services of a kind, in order."""
        return [service for service in services if isinstance(service, kind)]

    def scratch(self) -> Path:
        """Gives a folder that is gone after the test."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return Path(directory.name)

    def start_feeds(self, services: MultiService) -> FeedsService[Any]:
        """Starts the feeds alone: the other services change the process in which the tests run."""
        feeds = self.one(FeedsService, services)
        feeds.privilegedStartService()
        feeds.startService()
        self.addCleanup(feeds.stopService)
        return feeds

    def get(self, listener: Listener, path: str, *fields: str) -> Response:
        """Sends a request to the site behind a listener."""
        site: Any = listener.factory
        return request(site, "\n".join([f"GET {path} HTTP/1.1", *fields]).encode())


class OrderTests(ServiceTestCase):
    """The order of the services."""

    def test_order(self) -> None:
        """Signals come before anything that waits, the limit of files before the listeners, the announcement last."""
        services = self.make(listen=[LOCAL, LOCAL], **self.admin(LOCAL))
        self.assertEqual(
            [type(service) for service in services],
            [
                LogLevels,
                SignalHandlers,
                Instance,
                LeftOverWorkers,
                OperatorSocket,
                FeedsService,
                FileLimit,
                Drain,
                Collector,
                LoopLag,
                Curves,
                Listener,
                Listener,
                Listener,
                MemoryWatch,
                Announcement,
                CertificateWatch,
                CertificateRenewal,
                TicketRotation,
                KeyFetching,
                Notify,
            ],
        )

    def test_order_of_the_stop(self) -> None:
        """No new connections are accepted when the connections end, and the feeds tick until then."""
        services = self.make(**self.admin(LOCAL))
        stopped: list[type] = []
        for service in services:
            self.patch(service, "stopService", lambda service=service: stopped.append(type(service)))
        self.successResultOf(services.stopService())
        self.assertEqual(
            [kind for kind in stopped if kind in (Listener, Drain, FeedsService)],
            [Listener, Listener, Drain, FeedsService],
        )

    def test_drain_has_its_settings(self) -> None:
        """Its times, and the listeners of the feeds, but not those of the operator's port."""
        services = self.make(drain_delay="2", drain="60", return_after="9", **self.admin(LOCAL))
        drain = self.one(Drain, services)
        self.assertEqual(drain.times, DrainTimes(2.0, 60.0, 9.0))
        feeds, operators = self.all(Listener, services)
        stopped: list[Listener] = []
        for listener in (feeds, operators):
            self.patch(listener, "stopService", lambda listener=listener: stopped.append(listener))
        self.successResultOf(drain.stop_listening())
        self.assertEqual(stopped, [feeds])
        self.assertEqual(self.one(SignalHandlers, services).hurry, drain.hurry)

    def test_nothing_is_started(self) -> None:
        """The reactor has no ports, connections, calls and hooks yet, and no service runs."""
        for transport in ("fast", "twisted"):
            services = self.make(transport=transport, state_dir=str(self.scratch() / "state"), **self.admin("tcp:0"))
            self.assertEqual([service for service in services if service.running], [])
            self.assertFalse(services.running)
            used = (self.reactor.tcpServers, self.reactor.getReaders(), self.reactor.getDelayedCalls())
            self.assertEqual((*map(list, used), self.reactor.whenRunningHooks), ([], [], [], []))


class FeedTests(ServiceTestCase):
    """The feeds of the service."""

    def test_each_feed_is_served(self) -> None:
        """By its source, at the paths of its name, through the site that all listeners of feeds share."""
        feeds = (FeedSettings(feed="a", source="demo:?seed=1"), FeedSettings(feed="b", source="demo:?seed=2"))
        services = self.make(Settings(feeds=feeds, listen=(LOCAL, LOCAL)))
        one, other = self.all(Listener, services)
        self.assertIs(one.factory, other.factory)
        self.start_feeds(services)
        self.assertEqual((self.get(one, "/a").status, self.get(one, "/b").status), (200, 503))
        self.reactor.advance(MAX_SPREAD_S / len(feeds))
        self.assertEqual(self.get(one, "/b").status, 200)
        self.assertNotEqual(self.get(one, "/a").body, self.get(one, "/b").body)
        self.assertIn(b'"name":"b"', self.get(one, "/-/feeds.json").body)

    def test_first_pulls_are_spread(self) -> None:
        """Over one interval, or a second if the interval is longer."""
        for interval, delays in ((0.5, [0.0, 0.125, 0.25, 0.375]), (60.0, [0.0, 0.25, 0.5, 0.75])):
            feeds = tuple(FeedSettings(feed=name, interval=interval) for name in "abcd")
            made = self.one(FeedsService, self.make(Settings(feeds=feeds, listen=(LOCAL,)))).feeds.values()
            self.assertEqual([each.puller.delay_s for each in made], delays)

    def test_state_dir(self) -> None:
        """The versions of each feed are kept there; without it, none are."""
        folder = self.scratch() / "state"
        for options, count in (({"state_dir": str(folder)}, 1), ({}, 0)):
            (feed,) = self.one(FeedsService, self.make(**options)).feeds.values()
            self.assertEqual(len(self.all(JournalService, feed)), count)
        self.assertFalse(folder.exists())

    def test_limits_of_heads(self) -> None:
        """The site has the limits of the settings."""
        services = self.make(head_timeout="3", max_head_bytes="20000", idle_timeout="7")
        site: Any = self.one(Listener, services).factory
        self.assertEqual((site.head_timeout_s, site.max_head_bytes, site.timeOut), (3.0, 20000, 7.0))
        self.assertEqual(self.one(Drain, services).site, site)


class ListenerTests(ServiceTestCase):
    """The listeners of the service."""

    def test_listeners_of_the_feeds(self) -> None:
        """One for each endpoint, in order, with the place where it was set and the URLs of the feeds."""
        one, other = self.all(Listener, self.make(listen=[LOCAL, "tcp:8080"], feed="scores"))
        self.assertEqual([each.description for each in (one, other)], [LOCAL, "tcp:8080"])
        self.assertEqual([each.place for each in (one, other)], ["--listen", "--listen"])
        self.assertIn("ws://h:1/scores.ws", one.describe("http://h:1"))

    def test_place_of_a_variable(self) -> None:
        """A listener has the name of the variable that has set it."""
        settings = Settings.read(
            {}, {"LIVEFEED_LISTEN": LOCAL, "LIVEFEED_ADMIN": "tcp:0", "LIVEFEED_ADMIN_TOKEN": str(self.token)}
        )
        places = [each.place for each in self.all(Listener, self.make(settings))]
        self.assertEqual(places, ["LIVEFEED_LISTEN", "LIVEFEED_ADMIN"])

    def test_operators_port_is_apart(self) -> None:
        """It has a listener and a site of its own, which shows the figures of the feeds and not the feeds."""
        services = self.make(**self.admin("tcp:9090"))
        feeds, admin = self.all(Listener, services)
        self.assertEqual((admin.description, admin.place), ("tcp:9090", "--admin"))
        self.assertEqual(admin.describe("http://h:1"), "the operator's port http://h:1/status")
        self.start_feeds(services)
        token = "Authorization: Bearer 0123456789abcdef"
        self.assertIn(b'livefeed_good_pulls_total{feed="feed"} 1.0', self.get(admin, "/metrics", token).body)
        self.assertEqual((self.get(admin, "/feed", token).status, self.get(feeds, "/metrics").status), (404, 404))
        self.assertEqual(self.get(admin, "/metrics").status, 401)

    def test_operators_socket_needs_no_token(self) -> None:
        """The system protects it."""
        services = self.make(**self.admin("tcp:9090"))
        socket: Any = self.one(OperatorSocket, services)
        self.assertEqual(self.get(socket, "/status").status, 200)

    def test_public_readiness(self) -> None:
        """The endpoints of the feeds answer whether livefeed is ready if the operator wants it."""
        for options, statuses in (({}, (404, 404)), ({"ready_public": "true"}, (200, 503))):
            services = self.make(**options)
            (listener,) = self.all(Listener, services)
            found = tuple(self.get(listener, f"/-/{name}").status for name in ("live", "ready"))
            self.assertEqual(found, statuses)
        self.start_feeds(services)
        self.assertEqual(self.get(listener, "/-/ready").body, b'{\n  "ready": true\n}\n')

    def test_all_listeners_are_announced(self) -> None:
        """Those of the operator's port, too."""
        services = self.make(**self.admin(LOCAL))
        announced = [self.one(OperatorSocket, services), *self.all(Listener, services)]
        self.assertEqual(self.one(Announcement, services).listeners, announced)

    def test_certificate_of_the_settings(self) -> None:
        """TLS endpoints use it, and it is watched, also where only the operator's port has TLS."""
        made = development_certificate(self.scratch())
        files = {"cert": str(made.cert), "key": str(made.key)}
        for options in ({"listen": ["tls:0"]}, self.admin("tls:0")):
            with capturedLogs() as events:
                services = self.make(**files, **options)
            self.assertEqual([formatEvent(event) for event in events], [])
            self.assertEqual(len(list(self.one(CertificateWatch, services).certificates)), 1)

    def test_certificate_without_use(self) -> None:
        """The log says so."""
        made = development_certificate(self.scratch())
        with capturedLogs() as events:
            services = self.make(cert=str(made.cert), key=str(made.key))
        (line,) = [formatEvent(event) for event in events]
        self.assertTrue(line.startswith("--cert has no effect: "), line)
        self.assertEqual(list(self.one(CertificateWatch, services).certificates), [])


class TransportTests(ServiceTestCase):
    """The transport of the service."""

    def assert_is_twisted(self, services: MultiService) -> None:
        """Checks that the feeds are served by the reactor itself."""
        self.assertIsNone(self.one(Drain, services).pool)
        self.assertIsNone(self.one(FileLimit, services).reserved)
        self.assertEqual(self.all(MemoryWatch, services), [])
        listener = self.all(Listener, services)[0]
        self.successResultOf(listener.endpoint.listen(listener.factory))
        self.assertEqual([factory for _, factory, *_ in self.reactor.tcpServers], [listener.factory])

    def test_fast(self) -> None:
        """The endpoints of the feeds listen in the pool, which sets files aside; that of the operator does not."""
        services = self.make(**self.admin("tcp:0"))
        feeds, admin = self.all(Listener, services)
        port = self.successResultOf(feeds.endpoint.listen(feeds.factory))
        self.addCleanup(port.stopListening)
        self.assertIsInstance(port, PoolPort)
        self.assertEqual(self.reactor.tcpServers, [])
        self.assertEqual(self.one(FileLimit, services).reserved, RESERVED_FILES)
        self.assertIsInstance(admin.endpoint, TCP4ServerEndpoint)
        self.successResultOf(admin.endpoint.listen(admin.factory))
        self.assertEqual(len(self.reactor.tcpServers), 1)

    def test_limits_of_the_pool(self) -> None:
        """Those of the settings."""
        for rate, limit in (("0", 0), ("none", NO_LIMIT)):
            self.assertEqual(self.one(Drain, self.make(accept_rate=rate)).pool.limits.accept_rate, limit)  # type: ignore[union-attr]
        services = self.make(max_connections="9", accept_rate="8", handshake_timeout="7", idle_timeout="6")
        pool: Any = self.one(Drain, services).pool
        self.assertIsInstance(pool, Pool)
        self.assertEqual(pool.limits, Limits(connections=9, accept_rate=8, handshake_s=7.0, idle_s=6.0))

    def test_twisted(self) -> None:
        """Without a pool, and without a warning."""
        with capturedLogs() as events:
            services = self.make(transport="twisted")
        self.assertEqual(events, [])
        self.assert_is_twisted(services)

    def test_limits_without_effect(self) -> None:
        """The log names each limit that only the fast transport has, unless it has its default."""
        with capturedLogs() as events:
            self.make(transport="twisted", max_connections="5", accept_rate="0", handshake_timeout="5")
        end = "has no effect: only the fast transport has this limit"
        lines = [formatEvent(event) for event in events]
        self.assertEqual(lines, [f"--max-connections {end}", f"--handshake-timeout {end}"])

    def test_without_epoll(self) -> None:
        """Twisted's transport takes the place of the fast one, and the log says so."""
        self.patch(serving, "select", SimpleNamespace())
        with capturedLogs() as events:
            services = self.make()
        (line,) = [formatEvent(event) for event in events]
        self.assertTrue(line.startswith("there is no epoll on this system"), line)
        self.assert_is_twisted(services)


_TIMES = st.sampled_from(["1", "2.5", "0"])
_FEED_KEYS = st.fixed_dictionaries(
    {"source": st.sampled_from(["'demo:'", "'demo:?seed=7'", "'file:a.json'", "'redis://u:p@h/0/k'", "'bogus:'"])},
    optional={
        "interval": _TIMES,
        "push": st.sampled_from(["'tick'", "'change'", "'never'"]),
        "allow_origin": st.sampled_from(["['*']", "['https://a.example']", "['x']"]),
        "max_bytes": st.sampled_from(["1000", "2000"]),
        "max_delta_bytes": st.sampled_from(["0", "1000"]),
        "max_subscribers": st.sampled_from(["0", "5"]),
        "stale_after": st.sampled_from(["0", "9"]),
        "gone_after": st.sampled_from(["0", "10"]),
    },
)
_FILES = st.builds(
    lambda top, feeds: "\n".join(
        [
            *(f"{key} = {value}" for key, value in top.items()),
            *(
                f"[feeds.{name}]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items())
                for name, keys in feeds.items()
            ),
        ]
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "interval": st.sampled_from(["2", "3"]),
            "max_connections": st.sampled_from(["10", "20"]),
            "accept_rate": st.sampled_from(["10", "20", "30", "-1"]),
            "handshake_timeout": _TIMES,
            "head_timeout": st.sampled_from(["3", "4"]),
            "idle_timeout": st.sampled_from(["30", "40"]),
            "drain": st.sampled_from(["3", "4"]),
            "address_rate": st.sampled_from(["3", "4"]),
            "max_head_bytes": st.sampled_from(["16384", "20000"]),
            "log_level": st.sampled_from(["'debug'", "'warn'"]),
            "instance": st.sampled_from(["'green'", "'blue'"]),
        },
    ),
    st.dictionaries(st.sampled_from("abcd"), _FEED_KEYS, min_size=1, max_size=3),
)


class ReloadTests(ServiceTestCase):
    """The reload of a whole process."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(serving, "defer_to_new_thread", lambda _reactor, work, *arguments: maybeDeferred(work, *arguments))
        self.folder = self.scratch()
        self.path = self.folder / "livefeed.toml"
        self.layers = Layers({"config": str(self.path), "listen": [LOCAL]}, {}, self.folder)

    def process(self, text: str) -> MultiService:
        """Makes the services of a file."""
        self.path.write_text(text)
        return make_service(self.layers.read(), self.reactor, self.layers.read)

    def reload(self, services: MultiService, text: str) -> Deferred[ReloadReport]:
        """Reloads another file."""
        self.path.write_text(text)
        reloading: Any = self.one(SignalHandlers, services).hang_up
        outcome: Deferred[ReloadReport] = reloading.__self__.reload()
        return outcome

    def state(self, services: MultiService) -> list[object]:
        """Gives everything that depends on settings which can be reloaded."""
        feeds, drain = self.one(FeedsService, services), self.one(Drain, services)
        site: Any = drain.site
        pool: Any = drain.pool
        listing = request(site, b"GET /-/feeds.json HTTP/1.1").body
        state: list[object] = [pool.limits, site.head_timeout_s, site.max_head_bytes, site.timeOut, drain.times]
        state += [self.one(LogLevels, services).name, [each["name"] for each in json.loads(listing)["feeds"]]]
        endpoint: Any = self.all(Listener, services)[0].endpoint
        rates = endpoint._reactor.admits.__self__
        by = rates._by_address, rates._by_network
        state += [None if each is None else each._interval_s for each in by]
        for name, service in feeds.feeds.items():
            feed, published, puller = service.feed, service.published, service.puller
            state += [
                (name, str(puller.source), puller.max_bytes, puller.timeout_s, feed.interval_s, feed.push),
                (feed.stale_after_s, feed.gone_after_s, feed.history.max_document_bytes),
                (published.origins, service._handshakes.origins, published.max_subscribers),
                structs.replace(service.settings, places={}),
            ]
        return state

    @given(_FILES, _FILES)
    @settings_of_hypothesis(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
    def test_state_is_that_of_a_start(self, before: str, after: str) -> None:
        """With the new settings if they are possible, except for those that need a restart; otherwise the old ones."""
        try:
            services = self.process(before)
        except ConfigurationError:
            reject()
        old = self.state(services)
        outcome = self.reload(services, after)
        try:
            fresh = self.process(after)
        except ConfigurationError as error:
            failure = self.failureResultOf(outcome, ConfigurationError)
            self.assertEqual(str(failure.value), str(error))
            self.assertRegex(str(error), r"livefeed\.toml:[0-9]+: [a-z_.]+: ")
            self.assertEqual(self.state(services), old)
        else:
            report = self.successResultOf(outcome)
            self.assertEqual(self.state(services), self.state(fresh))
            self.assertEqual(old != self.state(services), bool(report.changed) or old[6] != self.state(services)[6])
            self.assertNotIn("u:p@", json.dumps(report.to_json()))

    def test_texts_tell_them_from_the_others(self) -> None:
        """The reference says of each setting whether a reload changes it."""
        services = self.process("[feeds.a]\nsource = 'demo:'\n[feeds.b]\nsource = 'demo:'")
        reloading: Any = self.one(SignalHandlers, services).hang_up
        of_feeds = FeedSettings.__struct_fields__
        for name, text in TEXTS.items():
            is_reloaded = name in of_feeds or name in reloading.__self__.reload_parts.names
            self.assertEqual(text.is_reloaded, is_reloaded, name)

    def test_settings_that_need_a_restart_are_checked(self) -> None:
        """So that the restart will work; those that are possible keep their old value, and are told."""
        services = self.process("[feeds.a]\nsource = 'demo:'")
        for wrong, place in (
            ("admin = ['tls:1:cert=/no/such:key=/no/such']\nadmin_token = 'x'", ":1: admin: /no/such: "),
            ("admin = ['bogus:1']\nadmin_token = 'x'", ":1: admin: bogus:1: "),
            ("admin_token = 'x'", ":1: admin_token: "),
            ("admin_group = 'no-such-group'", ":1: admin_group: "),
            ("state_dir = 'livefeed.toml'", ":1: state_dir: "),
            ("trusted_proxy = ['x']", ":1: trusted_proxy: "),
        ):
            outcome = self.reload(services, f"{wrong}\n[feeds.b]\nsource = 'demo:'")
            message = str(self.failureResultOf(outcome, ConfigurationError).value)
            self.assertTrue(message.startswith(f"{self.path}{place}"), message)
            self.assertEqual([*self.one(FeedsService, services).feeds], ["a"])
        report = self.successResultOf(self.reload(services, "instance = 'blue'\n[feeds.a]\nsource = 'demo:'"))
        self.assertEqual([each.setting for each in report.needs_restart], ["instance"])

    def test_two_hundred_reloads(self) -> None:
        """Nothing is left of them: descriptors, timers and objects are no more than after half of them."""
        text = "state_dir = 'state'\n" + "[feeds.{}]\nsource = 'demo:?seed={}'\n" * 3
        files = [
            text.format("a", 1, "b", 1, "c", 1),
            text.format("c", 2, "b", 2, "a", 1),
            text.format("a", 1, "d", 1, "e", 1) + "interval = 0",
            text.format("d", 1, "b", 1, "a", 1),
        ]
        self.patch(PulledFeedService, "restore", lambda _: None)  # a version of the demo takes milliseconds
        services = self.process(files[0])

        def figures() -> list[int]:
            gc.collect()
            kinds = (PulledFeedService, Puller, JournalService, Origins, Feed)
            alive = gc.get_objects()
            return [
                len([*Path("/proc/self/fd").iterdir()]),
                threading.active_count(),
                len(self.reactor.getDelayedCalls()),
                *(sum(type(each) is kind for each in alive) for kind in kinds),
            ]

        counts = []
        for number in range(200):
            outcome = self.reload(services, files[number % 4])
            (self.failureResultOf if number % 4 == 2 else self.successResultOf)(outcome)
            if number in (103, 199):
                counts.append(figures())
        self.assertTrue(all(late <= early for early, late in zip(*counts, strict=True)), counts)


class NotifyTests(ServiceTestCase):
    """The messages to the service manager, and commands that need workers."""

    def test_status(self) -> None:
        """livefeed is ready once each feed was tried; the line has states and watchers."""
        services = self.make()
        notify = self.one(Notify, services)
        self.assertFalse(notify.is_ready())
        self.start_feeds(services)
        self.assertTrue(notify.is_ready())
        self.assertEqual(notify.status(), "feeds: 1 live; 0 subscribers; 0 connections")

    def test_command_upgrade(self) -> None:
        """Without workers it is refused, with the way out."""
        outcome = Deferred.fromCoroutine(refuse_upgrade({}))
        self.assertIn("run it with --workers 1", str(self.failureResultOf(outcome, CommandError).value))

    def test_upgrade_without_workers(self) -> None:
        """The new program cannot take over what it is offered."""
        offered: Any = object()
        settings = Settings.read(TCP, {})
        with self.assertRaisesRegex(ConfigurationError, "an upgrade needs workers: 1 at least"):
            make_service(settings, self.reactor, inheritance=offered)

    def test_workers(self) -> None:
        """With them, the process is their parent."""
        made: list[Any] = []
        self.patch(parent_service, "make_parent", lambda *arguments: made.append(arguments))
        settings = Settings.read(TCP | {"workers": "2"}, {})
        make_service(settings, self.reactor)
        ((given, reactor, read, program, inheritance),) = made
        self.assertEqual((given, reactor, read(), program, inheritance), (settings, self.reactor, settings, None, None))


class RefusalTests(ServiceTestCase):
    """Settings that cannot work."""

    def refusal(self, settings: Settings | None = None, /, **options: Any) -> str:
        """Gives the message of the refusal, after which nothing has been started."""
        message = str(self.assertRaises(ConfigurationError, self.make, settings, **options))
        self.assertEqual((self.reactor.tcpServers, self.reactor.getDelayedCalls()), ([], []))
        return message

    def test_state_dir_that_is_a_file(self) -> None:
        """Its place is named, and the reason."""
        path = self.scratch() / "state"
        path.touch()
        why = f"{path}: there is a file where a folder should be"
        self.assertEqual(self.refusal(state_dir=str(path)), f"--state-dir: {why}")
        settings = Settings.read(TCP, {"LIVEFEED_STATE_DIR": str(path)})
        self.assertEqual(self.refusal(settings), f"LIVEFEED_STATE_DIR: {why}")

    def test_source(self) -> None:
        """A source that cannot be, with its place."""
        self.assertTrue(self.refusal(source="bogus:").startswith("--source: "))
        settings = Settings.read(TCP, {"LIVEFEED_SOURCE": "bogus:"})
        self.assertTrue(self.refusal(settings).startswith("LIVEFEED_SOURCE: "))

    def test_endpoints(self) -> None:
        """Those of the feeds and of the operator's port, each with its place and its description."""
        self.assertTrue(self.refusal(listen=[LOCAL, "bogus:1"]).startswith("--listen: bogus:1: "))
        self.assertTrue(self.refusal(**self.admin("bogus:1")).startswith("--admin: bogus:1: "))
        settings = Settings.read(TCP, {"LIVEFEED_ADMIN": "bogus:1", "LIVEFEED_ADMIN_TOKEN": str(self.token)})
        self.assertTrue(self.refusal(settings).startswith("LIVEFEED_ADMIN: bogus:1: "))

    def test_token_and_group(self) -> None:
        """A token that everybody may read, and a group that there is not, are refused with their places."""
        self.token.chmod(0o644)
        self.assertTrue(self.refusal(**self.admin(LOCAL)).startswith("--admin-token: "))
        self.assertTrue(self.refusal(admin_group="no-such-group").startswith("--admin-group: "))

    def test_certificate_that_is_not_there(self) -> None:
        """Whether an endpoint uses it or not."""
        missing = self.scratch() / "missing.pem"
        files = {"cert": str(missing), "key": str(missing)}
        for listen in ("tls:0", LOCAL):
            refusal = self.refusal(listen=[listen], **files)
            self.assertTrue(refusal.startswith(f"--cert: {missing}: "), refusal)
