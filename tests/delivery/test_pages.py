"""The page, driven in memory."""

from __future__ import annotations

import gzip
import json
import re
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.pages import FILES, MAX_REASON, MODULES, VENDORED, PageOptions
from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.root import Root
from livefeed.document.snapshot import version_of
from livefeed.feed.feed import Feed
from livefeed.testing import make_site, publish, request
from livefeed.web.cors import Origins
from livefeed.web.site import Site
from tests.helpers.guarded import protect
from tests.helpers.page_texts import NAMES, TextFinder, texts_of_module

NOW = 1_795_000_000.25


class PageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.site = make_site("results", clock=self.clock).site

    def test_page_names_its_feed(self) -> None:
        """The page is made for the feed that the operator has named."""
        response = request(self.site, b"GET / HTTP/1.1")
        self.assertEqual((response.status, response.headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b'data-feed="results"', response.body)
        self.assertNotIn(b"{{", response.body)

    def test_policy_allows_nothing_from_elsewhere(self) -> None:
        """A strict policy, and nothing in the page that it would forbid."""
        for path in (b"/", b"/results.html", b"/-/page/main.js", b"/-/page/page.css"):
            response = request(self.site, b"GET " + path + b" HTTP/1.1")
            self.assertEqual(response.status, 200)
            policy = response.headers["content-security-policy"]
            self.assertTrue(policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'"))
            self.assertNotIn("unsafe", policy)

    def test_files_comply_with_the_policy(self) -> None:
        """No file has a style or script that the policy forbids, or loads anything from elsewhere."""
        for path in (b"/", *(b"/-/page/" + name.encode() for name in FILES)):
            body = request(self.site, b"GET " + path + b" HTTP/1.1").body
            # Neither the namespace of SVG nor the origin in the comment of uPlot is an address that is loaded.
            for name in (b'"http://www.w3.org/2000/svg"', b"/*! https://github.com/leeoniya/uPlot (v1.6.32) */"):
                body = body.replace(name, b"")
            for forbidden in (b"http:", b"https://", b"<style", b" style=", b" onclick=", b"eval(", b"innerHTML"):
                self.assertNotIn(forbidden, body, path)

    def test_all_files_are_served(self) -> None:
        """Each file in the folder is in the list, and each module of the page is loaded at once."""
        folder = files("livefeed").joinpath("static", "page")
        self.assertEqual(
            sorted(FILES), sorted([*VENDORED, *(file.name for file in folder.iterdir() if file.is_file())])
        )
        page = request(self.site, b"GET / HTTP/1.1").body.decode()
        loaded = re.findall('<link rel="modulepreload" href="-/page/(.*).js">', page)
        self.assertEqual(loaded, list(MODULES))
        imported = {
            name
            for module in MODULES
            for name in re.findall(r'from "\./(.*)\.js"', folder.joinpath(f"{module}.js").read_text("utf-8"))
        }
        self.assertEqual({"main", *imported}, set(MODULES))

    def test_paths_are_relative(self) -> None:
        """Pages work below any prefix that a proxy takes away, so nothing on them begins at the root."""
        for path in (b"/", *(b"/-/page/" + name.encode() for name in FILES)):
            body = request(self.site, b"GET " + path + b" HTTP/1.1").body.decode()
            self.assertNotRegex(body, r"""(?:href|src)=["']/|(?:fetch|import)\(?\s*["'`]/""", path)

    def test_page_is_sent_once(self) -> None:
        """Caches may keep the page but must revalidate it: an unchanged page is 304 (RFC 9110, 13.1.2 and 15.4.5)."""
        for path in (b"/", b"/-/page/main.js", b"/-/page/page.css"):
            full = request(self.site, b"GET " + path + b" HTTP/1.1")
            for tags in (full.headers["etag"], f"W/{full.headers['etag']}", '"other", ' + full.headers["etag"], "*"):
                response = request(self.site, b"GET " + path + b" HTTP/1.1\nIf-None-Match: " + tags.encode())
                self.assertEqual((response.status, response.body), (304, b""))
                for name in ("etag", "cache-control", "content-security-policy"):
                    self.assertEqual(response.headers[name], full.headers[name])
                self.assertNotIn("content-length", response.headers)
            response = request(self.site, b"GET " + path + b' HTTP/1.1\nIf-None-Match: "other"')
            self.assertEqual((response.status, response.body), (200, full.body))

    def test_other_page_is_not_sent(self) -> None:
        """A failed If-Match is 412, even if If-None-Match matches (RFC 9110, 13.1.1 and 13.2.2)."""
        etag = request(self.site, b"GET / HTTP/1.1").headers["etag"].encode()
        for fields, status in (
            (b'If-Match: "other"', 412),
            (b"If-Match: W/" + etag, 412),
            (b'If-Match: "other"\nIf-None-Match: ' + etag, 412),
            (b"If-Match: " + etag, 200),
            (b"If-Match: *", 200),
            (b"If-Match: " + etag + b"\nIf-None-Match: " + etag, 304),
        ):
            self.assertEqual((fields, request(self.site, b"GET / HTTP/1.1\n" + fields).status), (fields, status))

    def test_page_is_only_read(self) -> None:
        """Other methods are 405, content is 413."""
        response = request(self.site, b"POST / HTTP/1.1")
        self.assertEqual((response.status, response.headers["allow"]), (405, "GET, HEAD, OPTIONS"))
        self.assertEqual(request(self.site, b"GET / HTTP/1.1\nContent-Length: 3").status, 413)
        head = request(self.site, b"HEAD / HTTP/1.1")
        self.assertEqual((head.status, head.body), (200, b""))

    def test_probes(self) -> None:
        """OPTIONS is how balancers ask whether a server is there: of every path, it is answered with the methods."""
        for path in (b"/", b"/results.html", b"/-/page/main.js", b"/-/page/page.css", b"/-/feeds.json", b"/results"):
            response = request(self.site, b"OPTIONS " + path + b" HTTP/1.1")
            seen = (path, response.status, response.headers.get("allow"), response.body)
            self.assertEqual(seen, (path, 204, "GET, HEAD, OPTIONS", b""))
        self.assertEqual(request(self.site, b"OPTIONS /none HTTP/1.1").status, 404)

    def test_page_has_a_path_of_its_own(self) -> None:
        """Which it would also have beside others."""
        whole, own = (request(self.site, b"GET %s HTTP/1.1" % path) for path in (b"/", b"/results.html"))
        self.assertEqual(whole, own)

    def test_page_that_did_not_change_is_304(self) -> None:
        """It is asked about at each visit, and sent once."""
        etag = request(self.site, b"GET / HTTP/1.1").headers["etag"].encode()
        response = request(self.site, b"GET / HTTP/1.1\nIf-None-Match: " + etag)
        self.assertEqual((response.status, response.body), (304, b""))
        self.assertEqual(response.headers["etag"], etag.decode())

    def test_files_are_compressed(self) -> None:
        """Once, in the coding that the browser prefers; each has a tag of its own."""
        for path in ("/", "/-/page/main.js", "/-/page/vendor/uPlot.iife.min.js"):
            plain = request(self.site, f"GET {path} HTTP/1.1".encode())
            coded = request(self.site, f"GET {path} HTTP/1.1\nAccept-Encoding: gzip".encode())
            self.assertEqual((coded.headers["content-encoding"], coded.headers["vary"]), ("gzip", "Accept-Encoding"))
            self.assertEqual(gzip.decompress(coded.body), plain.body)
            self.assertLess(2 * len(coded.body), len(plain.body) + 500, path)
            self.assertNotEqual(coded.headers["etag"], plain.headers["etag"])


class VendoredTests(SynchronousTestCase):
    """The files of uPlot."""

    folder = Path(str(files("livefeed"))) / "static" / "page" / "vendor"

    def test_checksums(self) -> None:
        """Nobody has changed them, and their licence is with them."""
        lines = (self.folder / "SHA256SUMS").read_text("utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split() for line in lines)}
        names = {each.name for each in self.folder.iterdir()} - {"SHA256SUMS"}
        self.assertEqual({f"vendor/{name}" for name in names}, {*VENDORED, "vendor/uPlot.LICENSE"})
        self.assertEqual({name: sha256((self.folder / name).read_bytes()).hexdigest() for name in names}, sums)
        self.assertIn("MIT", (self.folder / "uPlot.LICENSE").read_text("utf-8"))


class TranslationTests(SynchronousTestCase):
    """All texts of the pages are in ``strings.js``, so that another language is another file."""

    static = Path(str(files("livefeed"))) / "static"

    def test_texts_that_no_script_can_write(self) -> None:
        """The server puts them into the pages, from the same file."""
        page = request(make_site("results", clock=Clock()).site, b"GET / HTTP/1.1").body.decode()
        strings = (self.static / "page" / "strings.js").read_text("utf-8")
        (language,) = re.findall(r'const LANGUAGE = "(.*)";', strings)
        (noscript,) = re.findall(r'  noscript: "(.*)",', strings)
        self.assertIn(f'<html lang="{language}">', page)
        self.assertIn(f'<noscript><p class="notice">{noscript} <a href="results.json">', page)

    def test_no_text_is_left_over(self) -> None:
        """Translators are asked for nothing that no page shows."""
        strings = (self.static / "page" / "strings.js").read_text("utf-8")
        names = re.findall(r"(?m)^ {2,4}(\w+): ", strings.partition("export const strings")[2])
        users = [
            *(self.static / "page").glob("*.js"),
            *self.static.glob("*.html"),
            Path(str(files("livefeed.delivery"))) / "pages.py",
        ]
        used = "".join(each.read_text("utf-8") for each in users if each.name != "strings.js")
        self.assertGreater(len(names), 50)
        self.assertEqual([name for name in sorted(names) if not re.search(rf"""[."'\[ ]{name}\b""", used)], [])

    def test_html_has_no_texts(self) -> None:
        """Neither between its tags nor in attributes that readers see or hear."""
        for name in ("page.html", "list.html"):
            found = TextFinder.texts_of((self.static / name).read_text("utf-8"))
            self.assertEqual([text for text in found if text not in NAMES], [], name)

    def test_modules_have_no_texts(self) -> None:
        """No literal of a module is a sentence, or one capitalised word, and none is the text of an attribute."""
        for path in sorted((self.static / "page").glob("*.js")):
            if path.name != "strings.js":
                self.assertEqual([text for text in texts_of_module(path.read_text("utf-8")) if text not in NAMES], [])

    def test_texts_are_found(self) -> None:
        """The instrument finds what it is to find, and no code."""
        html = '<title>{{feed}}</title><p title="Tip" class="Big one">Some words</p><style>p { color: Red }</style>'
        self.assertEqual(TextFinder.texts_of(html), ["Tip", "Some words"])
        for code, found in (
            ('write(a, "No document");', ["No document"]),
            ("element('p', {}, `Next in ${time} s`)", ["Next in ${time} s"]),
            ('element("p", {}, "Document")', ["Document"]),
            ('element("p", { "aria-label": "tools" })', ["tools"]),
            ('// "No document"\nimport { a } from "./a.js";\nx("button.link", `${a}px system-ui`, "no-store")', []),
        ):
            self.assertEqual(texts_of_module(code), found, code)


class ListTests(SynchronousTestCase):
    """Several feeds."""

    def setUp(self) -> None:
        self.serve("*", "*")

    def serve(self, *origins: str) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.feeds = [Feed(f"feed{number}", clock=self.clock, interval_s=0.5) for number in range(len(origins))]
        served = [
            PublishedFeed(feed, Origins.parse(allowed.split()), lambda request, delivery: 1)
            for feed, allowed in zip(self.feeds, origins, strict=True)
        ]
        self.root = Root(served)
        self.site = Site(self.root, reactor=self.clock)

    def test_json(self) -> None:
        """The list holds the description and the current state of each feed."""
        publish(self.feeds[0], b"[1]")
        response = request(self.site, b"GET /-/feeds.json HTTP/1.1")
        self.assertEqual((response.status, response.headers["content-type"]), (200, "application/json"))
        self.assertEqual(response.headers["cache-control"], "public, max-age=1")
        expected = {
            "name": "feed0",
            "path": "/feed0",
            "state": "live",
            "version": version_of(b"[1]"),
            "sequence": f"{int(NOW * 1000)}.1",
            "at": "2026-11-18T11:06:40.250Z",
            "interval_s": 0.5,
        }
        nothing = {"state": "stale", "version": None, "sequence": None, "at": None}
        second = {**expected, "name": "feed1", "path": "/feed1", **nothing}
        self.assertEqual(json.loads(response.body), {"feeds": [expected, second]})

    def test_json_of_one_feed(self) -> None:
        """It is there as well, so that a program need not know how many there are."""
        self.serve("*")
        (only,) = json.loads(request(self.site, b"GET /-/feeds.json HTTP/1.1").body)["feeds"]
        self.assertEqual(only["name"], "feed0")

    def test_json_of_a_protected_feed(self) -> None:
        """Everybody knows that there is one, and nothing else about it."""
        made = make_site()
        publish(made.feed, b"1")
        made.feed.mark_stale("redis: away")
        protect(made.published[0], made.site)
        (only,) = json.loads(request(made.site, b"GET /-/feeds.json HTTP/1.1").body)["feeds"]
        self.assertTrue(only["protected"])
        self.assertEqual({only[name] for name in ("state", "version", "sequence", "at")}, {None})
        self.assertNotIn("reason", only)

    def test_reasons(self) -> None:
        """The list has them only if the operator shows them; a long one is cut."""
        for feed, why in zip(self.feeds, ("redis://host/0: cannot connect", "long " * 1000), strict=True):
            feed.mark_stale(why)
        self.assertNotIn(b"cannot connect", request(self.site, b"GET /-/feeds.json HTTP/1.1").body)
        self.root.show(PageOptions(reasons=True))
        self.site.forget_answers()

        def reasons() -> list[str | None]:
            listed = json.loads(request(self.site, b"GET /-/feeds.json HTTP/1.1").body)["feeds"]
            return [each["reason"] for each in listed]

        short, cut = reasons()
        assert cut is not None
        self.assertEqual((short, len(cut), cut[-1]), ("redis://host/0: cannot connect", MAX_REASON, "…"))
        publish(self.feeds[0], b"[1]")
        self.site.forget_answers()
        self.assertIsNone(reasons()[0])

    def test_pages_know_the_options(self) -> None:
        """A page asks for nothing that it would not be told."""
        for options, shows in (
            (PageOptions(), b""),
            (PageOptions(figures=True), b"figures"),
            (PageOptions(figures=True, reasons=True), b"figures reasons"),
        ):
            self.root.show(options)
            self.site.forget_answers()
            for path in (b"/", b"/feed0.html"):
                page = request(self.site, b"GET " + path + b" HTTP/1.1").body
                self.assertIn(b'data-shows="%s"' % shows, page)

    def test_json_is_polled_like_a_document(self) -> None:
        """With a tag, HEAD, and 304 until something changes; other methods are 405, content is 413."""
        first = request(self.site, b"GET /-/feeds.json HTTP/1.1")
        head = request(self.site, b"HEAD /-/feeds.json HTTP/1.1")
        self.assertEqual((head.status, head.headers, head.body), (200, first.headers, b""))
        ask = b"GET /-/feeds.json HTTP/1.1\nIf-None-Match: " + first.headers["etag"].encode()
        self.assertEqual(request(self.site, ask).status, 304)
        publish(self.feeds[1], b"[1]")
        self.assertEqual(request(self.site, ask).status, 200)
        response = request(self.site, b"POST /-/feeds.json HTTP/1.1")
        self.assertEqual((response.status, response.headers["allow"]), (405, "GET, HEAD, OPTIONS"))
        self.assertEqual(response.headers["access-control-allow-origin"], "*")
        self.assertEqual(request(self.site, b"GET /-/feeds.json HTTP/1.1\nContent-Length: 1").status, 413)

    def test_json_is_for_those_who_may_read_every_feed(self) -> None:
        """Only origins that may read every feed may read the list, as it names all feeds."""
        both = "https://a.example https://b.example"
        for origins, allowed in (
            (("*", "*"), "*"),
            (("*", both), "https://b.example"),
            (("https://b.example", both), "https://b.example"),
            (("https://a.example", both), None),
            (("https://a.example", "https://b.example"), None),
        ):
            self.serve(*origins)
            for path in (b"/-/feeds.json", b"/nothing", b"/-/"):
                response = request(self.site, b"GET %s HTTP/1.1\nOrigin: https://b.example" % path)
                self.assertEqual(response.headers.get("access-control-allow-origin"), allowed, origins)
                self.assertEqual(response.headers.get("vary"), None if allowed == "*" else "Origin")

    def test_page(self) -> None:
        """It leads to each feed's page, which leads back, and says how the feeds are."""
        publish(self.feeds[0], b"[1]")
        response = request(self.site, b"GET / HTTP/1.1")
        self.assertEqual((response.status, response.headers["content-type"]), (200, "text/html; charset=utf-8"))
        for name, state in ((b"feed0", b"live"), (b"feed1", b"stale")):
            row = b'<a href="%s.html">%s</a></th><td><span class="badge" data-state="%s">%s<' % (
                name,
                name,
                state,
                state,
            )
            self.assertIn(row, response.body)
        self.assertNotIn(b"{", response.body)
        policy = response.headers["content-security-policy"]
        self.assertTrue(policy.startswith("default-src 'none'; "))
        for forbidden in (b"http", b"<style", b" style=", b"<script>"):
            self.assertNotIn(forbidden, response.body)
        for feed in self.feeds:
            page = request(self.site, b"GET /%s.html HTTP/1.1" % feed.name.encode())
            self.assertIn(b'data-feed="%s"' % feed.name.encode(), page.body)
            self.assertIn(b'<a id="all" href=".">', page.body)
            self.assertNotIn(b"{{", page.body)

    def test_page_is_only_read(self) -> None:
        """Like the other."""
        self.assertEqual(request(self.site, b"DELETE / HTTP/1.1").status, 405)
        head = request(self.site, b"HEAD / HTTP/1.1")
        self.assertEqual((head.status, head.body), (200, b""))

    def test_each_feed_has_its_origins(self) -> None:
        """The origins of one feed are not allowed to read another."""
        self.serve("https://a.example", "https://b.example")
        for path, allowed in (
            (b"/feed0", "https://a.example"),
            (b"/feed1", None),
            (b"/feed0.sse", "https://a.example"),
        ):
            response = request(self.site, b"GET %s HTTP/1.1\nOrigin: https://a.example" % path)
            self.assertEqual(response.headers.get("access-control-allow-origin"), allowed, path)
