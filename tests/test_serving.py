"""The connections of a process: the site, the transport, and the services that end them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.settings import Settings
from livefeed.exceptions import ConfigurationError
from livefeed.process.drain import DrainTimes
from livefeed.process.limits import FileLimit
from livefeed.process.line_writer import LineWriter
from livefeed.serving import Serving
from livefeed.testing import request
from livefeed.transport.address_limits import BURST_S
from livefeed.transport.answer import Repeatable
from livefeed.transport.endpoint import KINDS, PoolReactor
from livefeed.transport.limits import RESERVED_FILES
from livefeed.transport.logged import LOGGED
from livefeed.transport.pool import Pool
from livefeed.web.access_log import ForwardedReplay, LoggedSite
from livefeed.web.forwarded import Forwarded
from livefeed.web.request import Request


class ServingTests(SynchronousTestCase):
    """What a process gets for its connections."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()

    def test_fast(self) -> None:
        """The endpoints listen in the pool, and its files are set aside."""
        serving = Serving(Settings(), self.reactor)
        self.assertIsInstance(serving.listening, PoolReactor)
        drain = serving.drain([])
        self.assertIsInstance(serving.pool, Pool)
        self.assertIs(drain.pool, serving.pool)
        limit, _ = serving.process_services(drain)
        assert isinstance(limit, FileLimit)
        self.assertEqual(limit.reserved, RESERVED_FILES)

    def test_twisted(self) -> None:
        """The endpoints listen by the reactor itself."""
        serving = Serving(Settings(transport="twisted"), self.reactor)
        self.assertIs(serving.listening, self.reactor)
        self.assertIsNone(serving.pool)
        self.assertIsNone(serving.reserved_files)

    def test_page(self) -> None:
        """A reload changes the facts that pages show, and has the figures sampled or not."""
        serving = Serving(Settings(public_reasons=True), self.reactor)

        def status() -> int:
            return request(serving.site, b"GET /-/figures.json HTTP/1.1").status

        self.assertEqual(status(), 404)
        turned: list[bool] = []
        curves: Any = SimpleNamespace(turn=lambda *, is_on: turned.append(is_on))
        settings = Settings(page_figures=True)
        change = serving.reloaded_page(curves).prepare(serving.settings, settings)
        self.assertEqual([each.setting for each in change.changes()], ["page_figures", "public_reasons"])
        change.commit()
        self.assertEqual((status(), turned), (200, [True]))
        serving.reloaded_page().prepare(settings, Settings()).commit()
        self.assertEqual(status(), 404)

    def test_proxied(self) -> None:
        """Only endpoints with haproxy: read the PROXY header, and only on the fast transport."""
        settings = Settings(listen=("haproxy:tcp:1",), trusted_proxy=("10.0.0.0/8",))
        serving = Serving(settings, self.reactor)
        self.assertEqual(serving.listens_on("haproxy:tcp:1"), (serving.proxied, "tcp:1"))
        self.assertEqual(serving.listens_on("tcp:1"), (serving.listening, "tcp:1"))
        assert isinstance(serving.proxied, PoolReactor)
        assert isinstance(serving.listening, PoolReactor)
        self.assertIsNotNone(serving.proxied.before)
        self.assertIsNone(serving.listening.before)
        assert serving.proxied.admits is not None
        self.assertTrue(serving.proxied.admits(("10.1.2.3", 1)))
        self.assertFalse(serving.proxied.admits(("192.0.2.1", 1)))
        self.assertEqual(serving.refusals.counts.total(), 1)

    def test_proxied_by_twisted(self) -> None:
        """Twisted checks no peer, which the log says."""
        with capturedLogs() as logs:
            serving = Serving(Settings(transport="twisted", listen=("haproxy:tcp:1",), address_rate=5), self.reactor)
        self.assertEqual(serving.listens_on("haproxy:tcp:1"), (self.reactor, "haproxy:tcp:1"))
        about_rate, about_header = (str(formatEvent(event)) for event in logs)
        self.assertTrue(about_rate.startswith("--address-rate has no effect"), about_rate)
        self.assertTrue(about_header.startswith("haproxy: takes the PROXY header of every peer"), about_header)

    def test_rates(self) -> None:
        """The endpoints have the limits of the settings."""
        serving = Serving(Settings(address_rate=1, network_rate=0), self.reactor)
        assert isinstance(serving.listening, PoolReactor)
        admits = serving.listening.admits
        assert admits is not None
        self.assertEqual(sum(admits(("192.0.2.1", port)) for port in range(100)), BURST_S)

    def test_networks(self) -> None:
        """An error about a network has the place of the setting."""
        settings = Settings(trusted_proxy=("10.0.0.1/8",), places={"trusted_proxy": "livefeed.toml: trusted_proxy"})
        error = self.assertRaises(ConfigurationError, Serving, settings, self.reactor)
        self.assertTrue(str(error).startswith("livefeed.toml: trusted_proxy: 10.0.0.1/8 has bits set"), str(error))

    def test_forwarded_header(self) -> None:
        """Requests find their clients by the field that is set."""
        self.assertIs(Serving(Settings(), self.reactor).site.requestFactory, Request)
        settings = Settings(forwarded_header="forwarded", trusted_proxy=("10.0.0.0/8",), access_log="-")
        serving = Serving(settings, self.reactor)
        kind: Any = serving.site.requestFactory
        self.assertEqual(kind.forwarded, Forwarded("forwarded", serving.trusted))
        self.assertIsInstance(serving.site.replays[True], ForwardedReplay)

    def test_access_log(self) -> None:
        """With an access log, site and connections are those that write it; without, nothing is of it."""
        serving = Serving(Settings(), self.reactor)
        assert isinstance(serving.listening, PoolReactor)
        self.assertEqual((serving.lines, serving.listening.kinds), (None, KINDS))
        self.assertNotIsInstance(serving.site, LoggedSite)
        serving.reopen_logs()
        serving = Serving(Settings(access_log="/nowhere/access.log", trusted_proxy=("unix",)), self.reactor)
        assert isinstance(serving.listening, PoolReactor)
        assert isinstance(serving.proxied, PoolReactor)
        self.assertEqual((serving.listening.kinds, serving.proxied.kinds), (LOGGED, LOGGED))
        self.assertIsInstance(serving.site, LoggedSite)
        files, _ = serving.process_services(serving.drain([]))
        self.assertEqual([type(service) for service in cast("Any", files)], [FileLimit, LineWriter])
        assert serving.lines is not None
        self.assertTrue(serving.lines.tells_reopening)
        of_worker = Serving(Settings(access_log="/nowhere/access.log"), self.reactor, is_worker=True)
        assert of_worker.lines is not None
        self.assertFalse(of_worker.lines.tells_reopening)
        self.patch(serving.lines, "reopen", lambda: self.reopened.append(1))
        self.reopened: list[int] = []
        serving.reopen_logs()
        self.assertEqual(self.reopened, [1])

    def test_settings_of_the_site(self) -> None:
        """The site has the limits of the settings."""
        site = Serving(Settings(head_timeout=3.0, max_head_bytes=20_000, idle_timeout=9.0), self.reactor).site
        self.assertEqual((site.head_timeout_s, site.max_head_bytes, site.timeOut), (3.0, 20_000, 9.0))

    def test_limits_are_reloaded(self) -> None:
        """Those of the site, of the pool and of each address; Twisted's transport has those of the site alone."""
        after = Settings(head_timeout=3.0, max_connections=7, address_rate=2, idle_timeout=9.0)
        for transport in ("fast", "twisted"):
            serving = Serving(Settings(transport=transport), self.reactor)
            prepared = serving.reloaded().prepare(serving.settings, after)
            self.assertEqual(len(prepared.changes()), 4)
            with capturedLogs() as logs:
                prepared.commit()
            self.assertEqual((serving.site.head_timeout_s, serving.site.timeOut), (3.0, 9.0))
            told = [formatEvent(each).partition(" ")[0] for each in logs]
            if serving.pool is None:
                self.assertEqual(sorted(told), ["--address-rate", "--max-connections"])
            else:
                assert serving.address_limits is not None
                self.assertEqual((serving.pool.limits.connections, serving.pool.limits.idle_s, told), (7, 9.0, []))
                admits = serving.address_limits.admits
                self.assertEqual(sum(admits(("192.0.2.1", port)) for port in range(100)), round(2 * BURST_S))

    def test_keys_of_statements(self) -> None:
        """They are served once they are published, and no older answer is repeated; without any there are none."""
        serving = Serving(Settings(), self.reactor)

        def keys() -> bytes:
            found = request(serving.site, b"GET /-/keys HTTP/1.1")
            return found.body if found.status == 200 else b""

        for content in (b'{"keys":[1]}', b'{"keys":[2]}', b""):
            serving.site.replays[False].store(b"key", b"older", Repeatable((200, "http", "")))
            serving.publish_keys(content)
            self.assertTrue(serving.site.replays[False].is_empty)
            self.assertEqual(keys(), content)

    def test_times_of_a_drain_are_reloaded(self) -> None:
        """Each of its settings."""
        serving = Serving(Settings(), self.reactor)
        drain = serving.drain([])
        before, after = Settings(), Settings(drain_delay=5.0, drain=90.0, return_after=20.0)
        prepared = serving.reloaded_drain(drain).prepare(before, after)
        self.assertEqual(len(prepared.changes()), 3)
        prepared.commit()
        self.assertEqual(drain.times, DrainTimes(5.0, 90.0, 20.0))

    def test_memory_limits_the_pool_alone(self) -> None:
        """Twisted's transport has no such limit."""
        serving = Serving(Settings(), self.reactor)
        watch = serving.memory_watch(workers=3)
        assert watch is not None
        self.assertIs(watch.pool, serving.pool)
        self.assertEqual(watch.workers, 3)
        self.assertIsNone(Serving(Settings(transport="twisted"), self.reactor).memory_watch())
