"""The source of ``store:``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError, SourceError
from livefeed.sources import is_store, make_source

if TYPE_CHECKING:
    from collections.abc import Callable


class MemoryStore:
    """A store in memory."""

    document: bytes | None = None

    def __init__(self) -> None:
        self.changed: list[str] = []
        self._changed: Callable[[], None] = lambda: None

    def observe(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def put(self, document: bytes | None) -> None:
        self.document = document
        self._changed()


class StoreSourceTests(SynchronousTestCase):
    """A source, and the store behind it."""

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.source = make_source("store:", reactor=Clock(), max_bytes=100, store=self.store)

    def test_newest(self) -> None:
        """It gives the newest document, and says how to store one if there is none."""
        for document in (None, b"1", None):
            self.store.put(document)
            fetched = Deferred.fromCoroutine(self.source.fetch())
            if document is None:
                why = str(self.failureResultOf(fetched, SourceError).value)
                self.assertIn("livefeed publish", why)
            else:
                self.assertEqual(self.successResultOf(fetched), document)

    def test_watch(self) -> None:
        """Each write is reported at once, until the source is closed."""
        changes: list[bytes | None] = []
        self.source.watch(lambda: changes.append(self.store.document))
        self.store.put(b"1")
        self.store.put(b"2")
        self.source.close()
        self.store.put(b"3")
        self.assertEqual(changes, [b"1", b"2"])

    def test_url(self) -> None:
        """It stands alone: there is nothing to name."""
        self.assertEqual(str(self.source), "store:")
        for url in ("store:results", "store://host", "store:?a=1", "store:#a"):
            with self.assertRaisesRegex(ConfigurationError, "store: stands alone"):
                make_source(url, reactor=Clock(), max_bytes=100)
        self.assertTrue(is_store("STORE:"))
        self.assertFalse(is_store("stored:"))
        with self.assertRaisesRegex(ConfigurationError, r"did you mean store:\?"):
            make_source("stor:", reactor=Clock(), max_bytes=100)
