"""The scripts for pages, driven in memory."""

from __future__ import annotations

import gzip
import re

import brotli
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.scripts import NAMES, lasting_name
from livefeed.document.snapshot import version_of
from livefeed.testing import make_site, request

CORE_BYTES = 4_096
"""The largest size of the core, compressed, in bytes."""

ALL_BYTES = 8_192
"""The largest size of the core and the modules that it loads later, compressed, in bytes."""

VERIFY_BYTES = 2_816
"""The largest size of the module that verifies signatures, which pages load in place of the core and with it."""


TOKEN_BYTES = 640
"""The largest size of the module for protected feeds, compressed, in bytes. Pages of public ones do not load it."""


class ScriptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.site = make_site("results", clock=Clock()).site

    def body(self, name: str) -> bytes:
        return request(self.site, f"GET /-/{name} HTTP/1.1".encode()).body

    def test_every_page_may_load_it(self) -> None:
        """A module of another origin needs the permission, and a page that is isolated needs the policy."""
        for name in NAMES:
            response = request(self.site, f"GET /-/{name} HTTP/1.1\nOrigin: https://a.example".encode())
            self.assertEqual(response.status, 200)
            self.assertEqual(response.headers["content-type"], "text/javascript; charset=utf-8")
            self.assertEqual(response.headers["access-control-allow-origin"], "*")
            self.assertEqual(response.headers["cross-origin-resource-policy"], "cross-origin")
            self.assertEqual(response.headers["cache-control"], "no-cache")
            self.assertEqual(response.headers["content-location"], f"/-/{lasting_name(name)}")

    def test_there_is_an_address_that_never_changes(self) -> None:
        """Its name has the hash of the content, so caches may keep it for ever."""
        for name in NAMES:
            response = request(self.site, f"GET /-/{lasting_name(name)} HTTP/1.1".encode())
            self.assertEqual((response.status, response.body), (200, self.body(name)))
            self.assertEqual(response.headers["cache-control"], "public, max-age=31536000, immutable")
            self.assertIn(version_of(response.body)[:8], lasting_name(name))

    def test_it_is_compressed(self) -> None:
        """In each coding it has another tag, and a client that has it is answered 304."""
        plain = self.body("livefeed.js")
        for coding, decode in (("gzip", gzip.decompress), ("br", brotli.decompress)):
            ask = f"GET /-/livefeed.js HTTP/1.1\nAccept-Encoding: {coding}".encode()
            response = request(self.site, ask)
            self.assertEqual((response.headers["content-encoding"], decode(response.body)), (coding, plain))
            self.assertIn("Accept-Encoding", response.headers["vary"])
            tag = response.headers["etag"].encode()
            again = request(self.site, ask + b"\nIf-None-Match: " + tag)
            self.assertEqual((again.status, again.body), (304, b""))
            other = request(self.site, b"GET /-/livefeed.js HTTP/1.1\nIf-None-Match: " + tag)
            self.assertEqual((other.status, other.body), (200, plain))

    def test_it_loads_modules_that_exist(self) -> None:
        """The names of the modules that are loaded later are those that never change."""
        for name in ("livefeed.js", "livefeed.classic.js"):
            later = re.findall(rb'import\("\./([^"]+)"\)', self.body(name))
            self.assertGreater(len(later), 0)
            self.assertLessEqual({each.decode() for each in later}, {lasting_name(each) for each in NAMES})

    def test_the_module_that_verifies_loads_the_core(self) -> None:
        """It is the same core, under the name that never changes."""
        (core,) = re.findall(rb'from"\./([^"]+)"', self.body("livefeed.verify.js"))
        self.assertEqual(core.decode(), lasting_name("livefeed.js"))

    def test_sizes(self) -> None:
        """The core is small, and so is everything together."""
        others = ("livefeed.classic.js", "livefeed.token.js")
        sizes = {name: len(gzip.compress(self.body(name), 9)) for name in NAMES if name not in others}
        self.assertLessEqual(len(gzip.compress(self.body("livefeed.token.js"), 9)), TOKEN_BYTES)
        self.assertLessEqual(sizes["livefeed.js"], CORE_BYTES)
        self.assertLessEqual(sizes.pop("livefeed.verify.js"), VERIFY_BYTES)
        self.assertLessEqual(sum(sizes.values()), ALL_BYTES)

    def test_no_policy_forbids_it(self) -> None:
        """It needs neither eval nor a worker."""
        for name in NAMES:
            for forbidden in (b"eval(", b"new Function", b"Worker(", b"blob:"):
                self.assertNotIn(forbidden, self.body(name))
