"""The wiring of all processes that pull: their feeds, the parts of a reload, the drain, and settings for a restart."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from msgspec import structs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.settings import FeedSettings, Settings
from livefeed.document.codings import CODINGS
from livefeed.exceptions import CommandError, ConfigurationError, LivefeedError
from livefeed.feed.demand import ASKED_S
from livefeed.feed.feed import Feed
from livefeed.feed_set import MAX_SPREAD_S
from livefeed.process.certificates import ReloadedCertificates
from livefeed.process.drain_command import DrainCommand
from livefeed.process.log_level import LogLevels
from livefeed.process.signing_keys import make_keys
from livefeed.pulling import (
    check_fixed,
    check_state_dir,
    feed_on_demand,
    make_feeds,
    make_signing,
    offer_audit,
    offer_drain,
    reloaded_parts,
    stop_all,
)
from livefeed.serving import Serving
from livefeed.testing import request
from livefeed.tls.options import ServedCertificates

if TYPE_CHECKING:
    from livefeed.feed_service import PulledFeedService
    from livefeed.feed_set import FeedsService


class PullingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.reactor: Any = MemoryReactorClock()

    def serving(self, **settings: Any) -> Serving:
        reactor: Any = self.reactor
        return Serving(Settings(**settings), reactor)


class FeedsTests(PullingTestCase):
    def feeds(self, **more: Any) -> FeedsService[PulledFeedService]:
        feeds = tuple(FeedSettings(feed=name, interval=4.0) for name in ("a", "b"))
        return make_feeds(self.serving(feeds=feeds, state_dir=self.folder), **more)

    def test_first_pulls(self) -> None:
        """They are spread over a time, and the feeds keep their versions in the folder."""
        feeds = self.feeds()
        self.assertEqual(
            {name: each.puller.delay_s for name, each in feeds.feeds.items()}, {"a": 0.0, "b": MAX_SPREAD_S / 2}
        )
        self.assertTrue(all(each._storage.journal is not None for each in feeds.feeds.values()))

    def test_kind_of_feed(self) -> None:
        """A parent of workers has feeds of its own kind."""
        made: list[Feed] = []

        def make_feed(*arguments: Any, **options: Any) -> Feed:
            made.append(Feed(*arguments, **options))
            return made[-1]

        self.assertEqual([each.feed for each in self.feeds(make_feed=make_feed).feeds.values()], made)

    def test_codings_on_demand(self) -> None:
        """A process without workers sees what clients ask for. Each of its feeds begins when it is made."""
        self.assertTrue(all(each.feed.demand is None for each in self.feeds().feeds.values()))
        self.reactor.advance(1000)
        for each in self.feeds(make_feed=feed_on_demand).feeds.values():
            assert each.feed.demand is not None
            self.assertEqual({*each.feed.demand.wanted(None, 1000 + ASKED_S)}, {*CODINGS})
            self.assertEqual({*each.feed.demand.wanted(None, 1001 + ASKED_S)}, set())

    def test_impossible_settings(self) -> None:
        """The error has the place of the setting."""
        serving = self.serving(feeds=(FeedSettings(source="bogus:", places={"source": "livefeed.toml: source"}),))
        error = self.assertRaises(ConfigurationError, make_feeds, serving)
        self.assertTrue(str(error).startswith("livefeed.toml: source: "), str(error))


class SigningTests(PullingTestCase):
    def test_keys(self) -> None:
        """Feeds have the signer of the settings, and the keys are published."""
        path = self.folder / "signing.pem"
        keys = make_keys()
        keys.write(path, is_new=True)
        serving = self.serving(signing_key=path)
        part = make_signing(serving)
        self.assertIs(make_feeds(serving, signer=part.signing).feeds["feed"].feed.signer, part.signing)
        answer = request(serving.site, b"GET /-/keys HTTP/1.1")
        self.assertEqual(answer.body, keys.key_set())

    def test_keys_that_are_missing(self) -> None:
        """The start ends with the place of the setting."""
        path = self.folder / "signing.pem"
        serving = self.serving(signing_key=path, places={"signing_key": "x.toml:1: signing_key"})
        error = self.assertRaises(ConfigurationError, make_signing, serving)
        self.assertTrue(str(error).startswith(f"x.toml:1: signing_key: {path}: there is no such file"), str(error))


class ReloadTests(PullingTestCase):
    def test_parts(self) -> None:
        """Each setting that a reload changes belongs to one part, and each part takes its own."""
        serving = self.serving()
        drain, levels = serving.drain([]), LogLevels("info")
        parts = reloaded_parts(serving, drain, ReloadedCertificates(ServedCertificates()), levels, make_feeds(serving))
        names = [name for part in parts for name in part.names]
        self.assertEqual(len(names), len({*names}))
        self.assertLess({"feeds", "log_level", "drain", "max_connections"}, {*names})
        (of_levels,) = (part for part in parts if "log_level" in part.names)
        taken: list[str] = []
        self.patch(levels, "set", taken.append)
        before = serving.settings
        of_levels.prepare(before, structs.replace(before, log_level="warn")).commit()
        self.assertEqual(taken, ["warn"])


class AuditTests(PullingTestCase):
    def test_offer(self) -> None:
        """The operator can read the audit if there is a state directory, and learns otherwise where commands are."""
        for folder, expected in ((self.folder, []), (None, "there is no audit: without --state-dir, ")):
            commands: dict[str, Any] = {}
            operating: Any = SimpleNamespace(commands=SimpleNamespace(register=commands.__setitem__))
            serving = self.serving(state_dir=folder)
            self.patch(serving, "in_thread", maybeDeferred)
            offer_audit(operating, serving)
            outcome = Deferred.fromCoroutine(commands["audit"]({}))
            if folder is None:
                self.assertIn(expected, str(self.failureResultOf(outcome, CommandError).value))
            else:
                self.assertEqual(self.successResultOf(outcome), expected)


class DrainTests(PullingTestCase):
    def test_offer(self) -> None:
        """The operator can begin a drain, and sees it; livefeed is not ready meanwhile."""
        commands: dict[str, Any] = {}
        operating: Any = SimpleNamespace(
            commands=SimpleNamespace(register=commands.__setitem__),
            status=SimpleNamespace(is_draining=None),
            health=SimpleNamespace(obstacles=[]),
        )
        drain = self.serving().drain([])
        offer_drain(operating, drain)
        self.assertEqual(commands, {"drain": DrainCommand(drain)})
        (obstacle,) = operating.health.obstacles
        self.assertEqual((operating.status.is_draining(), obstacle()), (False, None))
        Deferred.fromCoroutine(drain.begin(successor=True))
        self.assertTrue(operating.status.is_draining())
        self.assertIn("being drained", obstacle())

    def test_listeners(self) -> None:
        """All are closed, also if one takes its time."""
        slow: Deferred[None] = Deferred()
        stopped: list[str] = []
        listeners: Any = [
            SimpleNamespace(stopService=lambda: slow),
            SimpleNamespace(stopService=lambda: stopped.append("b")),
        ]
        done = stop_all(listeners)
        self.assertEqual(stopped, ["b"])
        self.assertNoResult(done)
        slow.callback(None)
        self.successResultOf(done)


class FixedTests(PullingTestCase):
    """Settings that need a restart are checked at a reload, so that the restart will work."""

    def refused(self, place: str, text: str, **settings: Any) -> None:
        """Checks that settings are refused with their place, and that an absence of changes is not."""
        serving = self.serving()
        read = Settings(places={place: f"livefeed.toml: {place}"}, **settings)
        error = self.assertRaises(LivefeedError, check_fixed, serving, read)
        self.assertIn(f"{place}: ", str(error))
        self.assertIn(text, str(error))

    def test_state_dir(self) -> None:
        """A file in its place would end the next start."""
        path = self.folder / "file"
        path.write_bytes(b"")
        self.refused("state_dir", "there is a file where a folder should be", state_dir=path)
        check_state_dir(Settings())
        check_state_dir(Settings(state_dir=self.folder / "missing"))

    def test_networks(self) -> None:
        """A network with bits behind its mask is refused."""
        self.refused("trusted_proxy", "has bits set", trusted_proxy=("10.0.0.1/8",))

    def test_endpoints(self) -> None:
        """New ones are parsed, for clients and for operators; those that have not changed were checked at the start."""
        self.refused("listen", "bogus", listen=("bogus:1",))
        self.refused("admin", "bogus", admin=("bogus:1",))
        check_fixed(self.serving(listen=("bogus:1",)), Settings(listen=("bogus:1",)))
        check_fixed(self.serving(), Settings(listen=("tcp:1",), admin=("tcp:2",)))

    def test_group(self) -> None:
        """A group that the system does not have is refused."""
        self.refused("admin_group", "there is no group", admin_group="no-such-group")
        check_fixed(self.serving(), Settings(admin_group="0"))

    def test_token(self) -> None:
        """A token that every user may read is refused."""
        path = self.folder / "token"
        path.write_text("x" * 40)
        path.chmod(0o644)
        self.refused("admin_token", "every user may read it", admin_token=path)
        path.chmod(0o600)
        check_fixed(self.serving(), Settings(admin_token=path))
