"""The parser of source URLs."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.sources import Source, make_source
from livefeed.sources.demo import DemoSource
from livefeed.sources.file import FileSource
from livefeed.sources.http import HttpSource
from livefeed.sources.recording import RecordingSource
from livefeed.sources.redis import RedisSource
from livefeed.sources.registry import is_recording, is_store, needs_state_dir, split_url
from livefeed.sources.store import StoreSource
from tests.helpers.missing import missing

SECRET = "correct-horse"


def source_of(url: str) -> Source:
    return make_source(url, reactor=MemoryReactorClock(), max_bytes=100)


class MakeSourceTests(SynchronousTestCase):
    """make_source."""

    def refusal(self, url: str) -> str:
        return str(self.assertRaises(ConfigurationError, source_of, url))

    def test_each_scheme_has_its_source(self) -> None:
        """The scheme decides, in lower or upper case."""
        for url, kind in (
            ("demo:", DemoSource),
            ("file:x.json", FileSource),
            ("redis://localhost/0/key", RedisSource),
            ("rediss://localhost/0/key", RedisSource),
            ("redis+unix:///run/redis.sock?key=key", RedisSource),
            ("redis+sentinel://localhost/main/0/key", RedisSource),
            ("rediss+sentinel://localhost/main/0/key", RedisSource),
            ("redis+cluster://localhost/key", RedisSource),
            ("rediss+cluster://localhost/key", RedisSource),
            ("http://localhost/x.json", HttpSource),
            ("https://localhost/x.json", HttpSource),
            ("DEMO:", DemoSource),
        ):
            self.assertIsInstance(source_of(url), kind)

    def test_collaborators_are_handed_on(self) -> None:
        """Each source gets the reactor and the limit that were given."""
        demo = make_source("demo:?seed=7", reactor=MemoryReactorClock(), max_bytes=1)
        assert isinstance(demo, DemoSource)
        self.assertEqual(demo.seed, 7)
        reactor = MemoryReactorClock()
        for url in ("file:x.json", "redis://localhost/0/key", "http://localhost/"):
            source = make_source(url, reactor=reactor, max_bytes=77)
            assert isinstance(source, FileSource | RedisSource | HttpSource)
            self.assertIs(source.reactor, reactor)
            self.assertEqual(source.max_bytes, 77)

    def test_store(self) -> None:
        """It stands alone, and is given the store of its feed; whether a state directory is needed is known before."""
        store: Any = object()
        source = make_source("store:", reactor=MemoryReactorClock(), max_bytes=1, store=store)
        assert isinstance(source, StoreSource)
        self.assertIs(source.store, store)
        self.assertIn("stands alone", self.refusal("store:name"))
        self.assertEqual(
            [is_store(url) for url in ("store:", "STORE:", "file:store:", "stored:")], [True, True, *[False] * 2]
        )
        self.assertIn("store: needs --state-dir", str(needs_state_dir()))

    def test_recording(self) -> None:
        """It is known by its scheme before it is made."""
        source = source_of("recording:/srv/night?speed=2")
        self.assertIsInstance(source, RecordingSource)
        urls = ("recording:x", "Recording:x", "file:recording:x", "recordings:x")
        self.assertEqual([is_recording(url) for url in urls], [True, True, False, False])

    def test_several_hosts(self) -> None:
        """They stay together, also where an IPv6 address follows another host."""
        for hosts in ("a,b", "a:1,[::1]:2", "user:word@a,b"):
            parts = split_url(f"redis+cluster://{hosts}/key?x=1#y")
            self.assertEqual((parts.scheme, parts.netloc, parts.path), ("redis+cluster", hosts, "/key"))
            self.assertEqual((parts.query, parts.fragment), ("x=1", "y"))
        self.assertRaises(ValueError, split_url, "http://[::1")

    def test_unknown_scheme(self) -> None:
        """The refusal names the schemes that there are."""
        for url, begin in (
            ("", "there is no scheme in front; a file is file:PATH; there are "),
            ("results.json", "there is no scheme in front; a file is file:results.json; "),
            ("demo", "there is no scheme in front; a file is file:demo; did you mean demo:?; there are "),
            ("/srv/a b.json", "there is no scheme in front; a file is file:/srv/a%20b.json; "),
            (f"//user:{SECRET}@host/key", "there is no scheme in front; a file is file:PATH; "),
            (f"//{SECRET}@host/key", "there is no scheme in front; a file is file:PATH; "),
            ("mysql://localhost/x", "unknown scheme 'mysql'; there are "),
            ("redi://localhost/0/x", "unknown scheme 'redi'; did you mean redis:?; there are "),
            ("mongodb+srv://h/d/c", "unknown scheme 'mongodb+srv'; write the hosts out"),
        ):
            refusal = self.refusal(url)
            self.assertTrue(refusal.startswith(f"--source: {begin}"), refusal)
            self.assertNotIn(SECRET, refusal)
            for scheme in ("demo:", "file:", "redis:"):
                self.assertIn(scheme, refusal)

    def test_missing_package(self) -> None:
        """The message has the command that installs it, and not the password."""
        importers = [f"livefeed.sources.mongo.{name}" for name in ("source", "client", "changes")]
        with missing("pymongo", *importers):
            refusal = self.refusal(f"mongodb://user:{SECRET}@host/db/collection")
        self.assertRegex(refusal, r"^--source: mongodb:// needs .*livefeed\[mongo\]")
        self.assertNotIn(SECRET, refusal)

    def test_password_that_ends_the_host(self) -> None:
        """It is told how to write such a character, and no part of the password."""
        for scheme in ("redis", "rediss", "redis+sentinel", "redis+cluster", "http", "https", "mongodb"):
            for character, written in (("#", "%23"), ("/", "%2F"), ("?", "%3F")):
                refusal = self.refusal(f"{scheme}://user:{SECRET}{character}{SECRET}@host/0/key")
                self.assertIn("; in a user and a password, write ", refusal)
                self.assertIn(f"{character} as {written}", refusal)
                self.assertNotIn(SECRET, refusal)
        self.assertNotIn("in a user and a password", self.refusal(f"redis://user:{SECRET}@host/0/key#x"))

    def test_refusals_hold_no_credentials(self) -> None:
        """No refusal repeats the password, for any error and any place of the password in the URL."""
        for url in (
            f"bogus://user:{SECRET}@host/0/key",
            f"redis://user:{SECRET}@host:99999/0/key",
            f"redis://user:{SECRET}@host:port/0/key",
            f"redis://user:{SECRET}@/0/key",
            f"redis://user:{SECRET}@host",
            f"redis://user:{SECRET}@host/key",
            f"redis://user:{SECRET}@host/0/",
            f"redis://user:{SECRET}@host/0/key?x=1",
            f"redis://user:{SECRET}@host/0/key#x",
            f"redis://user:{SECRET}/@host/0/key",
            f"redis://user:{SECRET}#@host/0/key",
            f"redis://user:{SECRET}?@host/0/key",
            f"redis://user:{SECRET}]@host/0/key",
            f"redis://user:[{SECRET}]@host/0/key",
            f"redis://user:{SECRET}\u2100@host/0/key",
            f"redis+unix://user:{SECRET}@host/path?key=x",
            f"redis+unix://user:{SECRET}@/path?{SECRET}=x",
            f"redis+sentinel://user:{SECRET}@a,b/0/key",
            f"redis+sentinel://user:{SECRET}@a/main/0/key?sentinel-user={SECRET}",
            f"redis+sentinel://user:{SECRET},a@b:c/main/0/key",
            f"redis+cluster://user:{SECRET}/@a,b/key",
            f"rediss+cluster://user:x@a,b/key?ca={SECRET}",
            f"rediss://host/0/key?client-cert=/dev/null&client-key={SECRET}",
            f"https://user:{SECRET}@/x",
            f"https://user:{SECRET}@host:99999/x",
            f"https://user:{SECRET}#@host/x",
            f"https://user:{SECRET}/@host/x",
        ):
            self.assertNotIn(SECRET, self.refusal(url), url)

    @settings(deadline=None)
    @given(st.text(alphabet="abz09:/@?#[]%. \u2100\n", max_size=25))
    def test_any_text_is_a_source_or_refused(self, rest: str) -> None:
        """A URL raises nothing but ConfigurationError, and no error shows the text before its @."""
        for scheme in ("redis", "rediss", "redis+unix", "redis+sentinel", "redis+cluster", "file", "demo", "https"):
            try:
                str(source_of(f"{scheme}://:{SECRET}{rest}@host/0/key"))
                str(source_of(f"{scheme}:{rest}"))
            except ConfigurationError as error:
                self.assertNotIn(SECRET, str(error))


class FileUrlTests(SynchronousTestCase):
    """file: URLs."""

    def path(self, url: str) -> str:
        source = source_of(url)
        assert isinstance(source, FileSource)
        return source.path

    def test_forms(self) -> None:
        """A path may be relative, absolute, behind an empty authority or localhost, and percent-encoded."""
        self.assertEqual(self.path("file:/srv/results.json"), "/srv/results.json")
        self.assertEqual(self.path("file:///srv/results.json"), "/srv/results.json")
        self.assertEqual(self.path("file://localhost/srv/results.json"), "/srv/results.json")
        self.assertEqual(self.path("file:/srv/a%20b%3Fc%23d"), "/srv/a b?c#d")

    def test_relative_path_is_made_absolute_at_once(self) -> None:
        """A daemon changes its directory; the file stays the one that the operator meant."""
        with tempfile.TemporaryDirectory() as directory:
            self.addCleanup(os.chdir, os.getcwd())  # noqa: PTH109
            os.chdir(directory)
            source = source_of("file:results.json")
            os.chdir("/")
            assert isinstance(source, FileSource)
            self.assertEqual(os.path.realpath(source.path), os.path.realpath(f"{directory}/results.json"))

    def test_bytes_that_are_not_utf8(self) -> None:
        """A name of a file is bytes: those that are not UTF-8 arrive as they are."""
        self.assertEqual(os.fsencode(self.path("file:/srv/%FF.json")), b"/srv/\xff.json")

    def test_names_with_characters_of_urls(self) -> None:
        """The refusal names the one that is there, and how it is written."""
        for url, written in (
            ("file:my results#1.json", "# as %23"),
            ("file:a?b.json", "? as %3F"),
            ("file:?#", "there is no such hint"),
            ("file:/a?b#c", "? as %3F and # as %23"),
            ("file:#1.json", "# as %23"),
        ):
            error = self.assertRaises(ConfigurationError, source_of, url)
            hint = "" if "hint" in written else f"; in the name of a file, write {written}"
            self.assertEqual(str(error), f"--source: file: takes a path, as in file:/srv/results.json{hint}")

    def test_impossible_paths(self) -> None:
        """No path, another host, a query, a fragment, or a NUL is refused when it is set and not at each pull."""
        for url in ("file:", "file://", "file://host/srv/x", "file:x?y=1", "file:x#y", "file:x%00y"):
            self.assertRaises(ConfigurationError, source_of, url)

    def test_name(self) -> None:
        """Log lines name a file by its path."""
        self.assertEqual(str(source_of("file:/srv/results.json")), "file:/srv/results.json")
