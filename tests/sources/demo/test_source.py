"""The source of the demonstration, and its URL."""

from __future__ import annotations

from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.sources.demo import DemoSource
from livefeed.sources.demo.election import Election
from livefeed.sources.demo.small import SmallElection


class SourceTests(SynchronousTestCase):
    """DemoSource."""

    def test_fetch_gives_the_document_of_now(self) -> None:
        """The time of day decides, in whole seconds."""
        clock = Clock()
        clock.advance(1_700_005_000.7)
        document = self.successResultOf(Deferred.fromCoroutine(DemoSource(clock.seconds, seed=3).fetch()))
        self.assertEqual(document, Election(3).document(1_700_005_000))

    def test_name(self) -> None:
        """Log lines name the source by its scheme; closing it releases nothing."""
        source = DemoSource()
        source.close()
        self.assertTrue(str(source).startswith("demo:"))


class UrlTests(SynchronousTestCase):
    """demo: URLs."""

    def source(self, url: str) -> DemoSource:
        return DemoSource.from_url(urlsplit(url))

    def test_seed(self) -> None:
        """The seed is 1 unless the URL has another."""
        for url, seed in (("demo:", 1), ("demo:?seed=42", 42), ("demo:?seed=0", 0), ("demo:?kind=small&seed=7", 7)):
            self.assertEqual(self.source(url).seed, seed)

    def test_kind(self) -> None:
        """The kind decides about the document; without one it is the large night."""
        self.assertEqual(self.source("demo:").document(5000), Election(1).document(5000))
        self.assertEqual(self.source("demo:?kind=election&seed=2").document(5000), Election(2).document(5000))
        self.assertEqual(self.source("demo:?seed=2&kind=small").document(5000), SmallElection(2).document(5000))

    def test_anything_else_is_refused(self) -> None:
        """A path, a host, a fragment, another option, an unknown kind, or a seed that is no whole number."""
        for url in (
            *("demo:x", "demo://host", "demo:#x", "demo:?seed=1#x"),
            *("demo:?sede=1", "demo:?seed", "demo:?seed=", "demo:?seed=-1", "demo:?seed=1.5", "demo:?seed=%C2%B2"),
            *("demo:?kind=", "demo:?kind=large", "demo:?kind"),
        ):
            self.assertRaises(ConfigurationError, self.source, url)
        refusal = str(self.assertRaises(ConfigurationError, self.source, "demo:?kind=large"))
        self.assertIn("there are election, small", refusal)
