"""The wiring: the order of the services, which is that of their start, and the reverse of that of their stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.application.service import IService
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.metrics import MetricsResource
from livefeed.config.settings import FeedSettings, Settings
from livefeed.delivery.root import Root
from livefeed.feed_service import FeedsService
from livefeed.process.certificates import CertificateWatch
from livefeed.process.drain import Drain
from livefeed.process.limits import FileLimit
from livefeed.process.listener import Announcement, Listener
from livefeed.process.memory import Collector
from livefeed.process.signals import SignalHandlers
from livefeed.service import MAX_SPREAD_S, make_service
from livefeed.transport.pool import RESERVED_FILES
from tests.helpers.driven import DrivenReactor

if TYPE_CHECKING:
    from twisted.application.service import MultiService

LISTEN = "tcp:0:interface=127.0.0.1"


class ServiceTests(SynchronousTestCase):
    """make_service."""

    def make(self, **settings: Any) -> MultiService:
        """Makes the services, without a start of them."""
        reactor: Any = DrivenReactor()
        self.addCleanup(reactor.close)
        return make_service(Settings(listen=(LISTEN,), **settings), reactor)

    def one(self, services: MultiService, kind: type) -> Any:
        """Gives the only service of a kind."""
        (found,) = [each for each in services if isinstance(each, kind)]
        return found

    def test_order(self) -> None:
        """Signals, restored versions and pulls, the limit of files, and only then listeners and announcement."""
        services = self.make(metrics=LISTEN, feeds=(FeedSettings(feed="a"),))
        self.assertEqual(
            [type(each) for each in services],
            [
                SignalHandlers,
                FeedsService,
                FileLimit,
                Drain,
                Collector,
                Listener,
                Listener,
                Announcement,
                CertificateWatch,
            ],
        )
        for each in services:
            self.assertTrue(IService.providedBy(each))
        feeds, metrics = [each for each in services if isinstance(each, Listener)]
        site: Any = feeds.factory
        self.assertIsInstance(site.resource, Root)
        site = metrics.factory
        self.assertIsInstance(site.resource.children[b"metrics"], MetricsResource)
        self.assertEqual(self.one(services, Announcement).listeners, [feeds, metrics])

    def test_first_pulls_are_spread(self) -> None:
        """Over one interval, and over one second at most."""
        feeds = tuple(FeedSettings(feed=name, interval=interval) for name, interval in (("a", 9), ("b", 0.5), ("c", 9)))
        made: FeedsService = self.one(self.make(feeds=feeds), FeedsService)
        delays = [feed.puller.delay_s for feed in made.feeds.values()]
        self.assertEqual(delays, [0, 0.5 / 3, 2 * MAX_SPREAD_S / 3])

    def test_files_set_aside(self) -> None:
        """By the fast transport alone."""
        for transport, reserved in (("fast", RESERVED_FILES), ("twisted", None)):
            services = self.make(transport=transport, feeds=(FeedSettings(feed="a"),))
            self.assertEqual(self.one(services, FileLimit).reserved, reserved)
            self.assertEqual(self.one(services, Drain).pool is None, reserved is None)
            self.assertEqual(self.one(services, Drain).count(), 0)
