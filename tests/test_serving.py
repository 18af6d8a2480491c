"""The connections of a process: the site, the transport, and the services that end them."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.settings import Settings
from livefeed.process.limits import FileLimit
from livefeed.serving import Serving
from livefeed.transport.endpoint import PoolReactor
from livefeed.transport.pool import RESERVED_FILES, Pool


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

    def test_settings_of_the_site(self) -> None:
        """The site has the limits of the settings."""
        site = Serving(Settings(head_timeout=3.0, max_head_bytes=20_000, idle_timeout=9.0), self.reactor).site
        self.assertEqual((site.head_timeout_s, site.max_head_bytes, site.timeOut), (3.0, 20_000, 9.0))
