"""URLs of the Redis family."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.sources import split_url
from livefeed.sources.redis import RedisSource
from livefeed.sources.redis.connection import Server
from tests.helpers.documentation import code_block
from tests.sources.redis.peer import MAX_BYTES, PASSWORD

if TYPE_CHECKING:
    from livefeed.sources.redis.url import RedisUrl


class UrlTests(SynchronousTestCase):
    """The URLs that an operator writes."""

    def source(self, url: str) -> RedisUrl:
        return RedisSource.from_url(split_url(url), reactor=MemoryReactorClock(), max_bytes=MAX_BYTES).url

    def test_parts(self) -> None:
        """Each part is where it belongs, and has its default."""
        source = self.source("redis://reader:p%40ss@redis.example:7000/3/live/results%3Fx")
        self.assertEqual((source.servers, source.database), ((Server("redis.example", 7000),), 3))
        self.assertEqual((source.username, source.password), ("reader", "p@ss"))
        self.assertEqual(source.key, b"live/results?x")
        source = self.source("redis://localhost/0/k")
        self.assertEqual(source.servers, (Server("localhost", 6379),))
        self.assertEqual((source.username, source.password), (None, None))

    def test_documentation(self) -> None:
        """The URLs of docs/howto/sources/redis.md."""
        for url in code_block("howto/sources/redis.md", "text").splitlines():
            scheme, _, rest = url.partition("://")
            self.assertIn("results", rest)
            shown = str(self.source(url.partition("?ca=")[0]))
            self.assertTrue(shown.startswith(f"{scheme}:"), shown)
            self.assertNotIn("secret", shown)

    def test_ipv6(self) -> None:
        """An IPv6 address stands in brackets, and is named so."""
        source = self.source("redis://[::1]:7000/0/k")
        self.assertEqual(source.servers, (Server("::1", 7000),))
        self.assertEqual(str(source), "redis://[::1]:7000/0/k")

    @settings(deadline=None)
    @given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8), st.binary(min_size=1, max_size=8))
    def test_percent_encoding(self, username: str, password: str, key: bytes) -> None:
        """User, password and key may hold any character, once it is encoded; the key any byte."""
        url = f"redis://{quote(username, safe='')}:{quote(password, safe='')}@host/0/{quote(key, safe='')}"
        source = self.source(url)
        self.assertEqual((source.username, source.password, source.key), (username, password, key))

    @settings(deadline=None)
    @given(st.binary(min_size=1, max_size=8))
    def test_name_is_text_without_credentials(self, key: bytes) -> None:
        """A source has a printable name without credentials, for any bytes in its key."""
        name = str(self.source(f"redis://reader:{PASSWORD}@host/0/{quote(key, safe='')}"))
        self.assertTrue(name.startswith("redis://host:6379/0/"))
        self.assertNotIn(PASSWORD, name)
        name.encode()

    def test_missing_and_impossible_parts(self) -> None:
        """Each refusal says which part it is, and repeats none."""
        for url, what in (
            ("redis://u:secret@/0/k", "host"),
            ("redis:/0/k", "host"),
            ("redis://u:secret@host", "database"),
            ("redis://u:secret@host/", "database"),
            ("redis://u:secret@host/k", "database"),
            ("redis://u:secret@host/0", "key"),
            ("redis://u:secret@host/0/", "key"),
            ("redis://u:secret@host/x/k", "database"),
            ("redis://u:secret@host/-1/k", "database"),
            ("redis://u:secret@host:99999/0/k", "port"),
            ("redis://u:secret@host:x/0/k", "port"),
            ("redis://u:secret@host:0/0/k", "port"),
            ("redis://u:secret@host/0/k?timeout=5", "%3F"),
            ("redis://u:secret@host/0/k?type=list", "string, hash or json"),
            ("redis://u:secret@host/0/k?type=hash&fields=raw", "text or json"),
            ("redis://u:secret@host/0/k?fields=text", "?type=hash"),
            ("redis://u:secret@host/0/k?path=$", "?type=json"),
            ("redis://u:secret@host/0/k?type=hash&type=json", "twice"),
            ("redis://u:secret@host/0/k?type", "option"),
            ("redis://u:secret@host/0/k?ca=x.pem", "announce;"),
            ("redis://u:secret@one,two/0/k", "too many hosts"),
            ("redis://secret@host/0/k", "a user has no password"),
            ("rediss://u:secret@host/0/k?ca=/nowhere/at/all", "ca= cannot be read: No such file"),
            ("rediss://u:secret@host/0/k?ca=/dev/null", "no certificates"),
            ("rediss://u:secret@host/0/k?client-cert=/dev/null", "go together"),
            ("rediss://u:secret@host/0/k?client-cert=/dev/null&client-key=/dev/null", "no certificate and its key"),
            ("rediss://u:secret@host/0/k?verify=no", "client-key"),
            ("redis+unix://u:secret@host/r.sock?key=k", "a host"),
            ("redis+unix:r.sock?key=k", "absolute"),
            ("redis+unix://u:secret@/r%00.sock?key=k", "%00"),
            ("redis+unix://u:secret@/r.sock", "key"),
            ("redis+unix://u:secret@/r.sock?db=x&key=k", "database"),
            ("redis+sentinel://u:secret@a,b", "name of the master"),
            ("redis+sentinel://u:secret@a,b/NAME/k", "database"),
            ("redis+sentinel://u:secret@a,b/NAME/0", "key"),
            ("redis+sentinel://u:secret@a,/NAME/0/k", "host"),
            ("redis+sentinel://u:secret@a:0,b/NAME/0/k", "port"),
            ("redis+sentinel://u:secret@a/NAME/0/k?sentinel-user=x", "sentinel-password"),
            ("redis+cluster://u:secret@a,b", "key"),
            ("redis+cluster://u:secret@a,b:x/k", "port"),
            ("redis+cluster://u:secret@a,b c/k", "host"),
            (f"redis+cluster://u:secret@{'a,' * 40}b/k", "too many hosts"),
            ("redis://u:secret@host/0/k#part", "%23"),
        ):
            error = self.assertRaises(ConfigurationError, self.source, url)
            self.assertTrue(str(error).startswith("--source: "), url)
            self.assertIn(what, str(error))
            self.assertNotIn("secret", str(error))

    def test_others_of_the_family(self) -> None:
        """A socket, sentinels and clusters are named as they were set, without credentials."""
        for url, name, database, key in (
            ("rediss://u:p@Host/1/k?type=hash&announce=c", "rediss://host:6379/1/k", 1, b"k"),
            ("redis+unix://u:p@/run/r%20s.sock?db=2&key=a%2Fb", "redis+unix:///run/r s.sock?db=2&key=a/b", 2, b"a/b"),
            ("redis+unix:///r%FF.sock?key=k", r"redis+unix:///r\xff.sock?db=0&key=k", 0, b"k"),
            ("redis+unix:///r.sock?key=k", "redis+unix:///r.sock?db=0&key=k", 0, b"k"),
            ("redis+sentinel://u:p@a,b:7000/main/3/k/l", "redis+sentinel://a:26379,b:7000/main/3/k/l", 3, b"k/l"),
            ("rediss+cluster://:p@a:1,[::1]:2/k/l", "rediss+cluster://a:1,[::1]:2/k/l", None, b"k/l"),
        ):
            source = self.source(url)
            self.assertEqual((str(source), source.database, source.key), (name, database, key))
            self.assertNotIn("p@", repr(source))

    def test_options_are_percent_decoded(self) -> None:
        """The value of an option may be any bytes; a + is a +."""
        source = self.source("redis://host/0/k?announce=a+b%26c%3D%FF=&type=json&path=$.a[0]")
        self.assertEqual(source.options, {"announce": b"a+b&c=\xff=", "type": b"json", "path": b"$.a[0]"})
