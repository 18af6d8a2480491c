"""The pages about problems, asked for in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.problem_pages import (
    SEGMENT,
    ProblemPage,
    ProblemPages,
    form_of,
    is_problem_page,
)
from livefeed.delivery.root import Root
from livefeed.testing import Response, request
from livefeed.web.cors import Origins
from livefeed.web.operator_problems import ALL
from livefeed.web.problem_type import FOLDER
from livefeed.web.problems import EXPIRED
from livefeed.web.resources import Node
from livefeed.web.site import Site

BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Text(HTMLParser):
    """Collects the text, the links and the tags of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.text: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


class PageTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.site = Site(Root(), reactor=Clock())
        self.site.startFactory()
        self.addCleanup(self.site.stopFactory)

    def ask(self, path: str, *fields: str, method: str = "GET") -> Response:
        return request(self.site, "\n".join((f"{method} {path} HTTP/1.1", *fields)).encode())


class PageTests(PageTestCase):
    """The page of a type."""

    def test_each_type_has_a_page(self) -> None:
        """Its text is whole in both forms, and the same."""
        for kind in ALL:
            for fields in ((), (BROWSER,)):
                found = self.ask(kind.path, *fields)
                self.assertEqual(found.status, 200, kind)
                text = "".join(Text(found.body).text) if fields else found.body.decode()
                for word in (kind.title, kind.path, f"Status {kind.status}", kind.where):
                    self.assertIn(word, text)
                for title, said in kind.sections():
                    self.assertIn(title, text)
                    self.assertIn(said.replace("`", "") if fields else said, text)

    def test_forms(self) -> None:
        """HTML for those that name it, first, and plain text for all others."""
        for accept, media_type in (
            (BROWSER, "text/html; charset=utf-8"),
            ("Accept: */*", "text/plain; charset=utf-8"),
            ("Accept: text/plain, text/html", "text/plain; charset=utf-8"),
            ("Accept: text/html;q=0", "text/plain; charset=utf-8"),
            ("Accept: application/problem+json", "text/plain; charset=utf-8"),
        ):
            found = self.ask(EXPIRED.path, accept)
            self.assertEqual(found.headers["content-type"], media_type, accept)
            self.assertEqual(found.body.startswith(b"<!doctype html>"), "html" in media_type)
            self.assertEqual(found.headers["vary"], "Accept, Accept-Encoding")

    def test_answers_that_may_be_repeated(self) -> None:
        """Requests are answered the same if form, coding and the known version are the same."""
        page = ProblemPage(Origins.parse(["*"]), EXPIRED, [])
        accepts: tuple[bytes | None, ...] = (None, b"*/*", b"text/html", b"text/html, */*")
        plain, other, html, browser = (page._variant(b"", [each, *[None] * 6]) for each in accepts)
        self.assertEqual((plain, html), (other, browser))
        self.assertNotEqual(plain, html)
        self.assertNotEqual(plain, page._variant(b"", [None, b"gzip", *[None] * 5]))

    def test_caches_and_other_origins(self) -> None:
        """Every page may read it, a cache keeps it, and its tag is that of its form and coding."""
        tags = set()
        for fields in ((), (BROWSER,), ("Accept-Encoding: gzip",), (BROWSER, "Accept-Encoding: gzip")):
            found = self.ask(EXPIRED.path, *fields, "Origin: https://a.example")
            self.assertEqual(found.headers["access-control-allow-origin"], "*")
            self.assertEqual(found.headers["cache-control"], "public, max-age=86400")
            self.assertEqual(
                found.headers.get("content-encoding"), "gzip" if "Accept-Encoding: gzip" in fields else None
            )
            tags.add(found.headers["etag"])
            self.assertEqual(self.ask(EXPIRED.path, *fields, f"If-None-Match: {found.headers['etag']}").status, 304)
        self.assertEqual(len(tags), 4)

    def test_policy_allows_the_style_and_nothing_else(self) -> None:
        """There is one style, whose hash the policy names; no script, no picture, no form."""
        found = self.ask(EXPIRED.path, BROWSER)
        (style,) = re.findall(rb"<style>(.*?)</style>", found.body, re.DOTALL)
        allowed = base64.b64encode(hashlib.sha256(style).digest()).decode()
        policy = found.headers["content-security-policy"]
        self.assertIn(f"style-src 'sha256-{allowed}'", policy)
        self.assertIn("default-src 'none'", policy)
        self.assertEqual({*Text(found.body).tags} & {"script", "img", "form", "link", "iframe"}, set())

    def test_pages_are_only_read(self) -> None:
        """As all other pages, and with a problem of its own."""
        refused = self.ask(EXPIRED.path, method="POST")
        self.assertEqual((refused.status, json.loads(refused.body)["type"]), (405, "/-/problems/method-not-allowed"))
        self.assertEqual(self.ask(EXPIRED.path, method="HEAD").body, b"")

    def test_no_query_is_reflected(self) -> None:
        """Nothing of the request is in the page."""
        found = self.ask(f"{EXPIRED.path}?<script>alert(1)</script>", BROWSER)
        self.assertEqual(found.body, self.ask(EXPIRED.path, BROWSER).body)


class FolderTests(PageTestCase):
    """The list, and all paths that lead nowhere."""

    def test_list(self) -> None:
        """It leads to each page, in both forms, by relative addresses in HTML."""
        html, text = self.ask(FOLDER, BROWSER), self.ask(FOLDER)
        self.assertEqual(Text(html.body).links, [each.name for each in ALL])
        lines = text.body.decode().splitlines()
        self.assertEqual([line.split()[:2] for line in lines], [[str(each.status), each.path] for each in ALL])

    def test_without_the_slash(self) -> None:
        """It leads to the list."""
        found = self.ask(FOLDER.rstrip("/"))
        self.assertEqual((found.status, found.headers["location"]), (308, "problems/"))

    def test_unknown_names(self) -> None:
        """They are 404, with a problem whose page is there; what was asked for is not in it."""
        for name in ("secret-word", "Expired", "expired/", "expired/x", "/", "%2e%2e", "x" * 300):
            found = self.ask(FOLDER + name, BROWSER)
            self.assertEqual((found.status, found.headers["content-type"]), (404, "application/problem+json"), name)
            self.assertEqual(json.loads(found.body)["type"], "/-/problems/not-found")
            self.assertNotIn(b"secret-word", found.body)
            self.assertEqual(found.headers["access-control-allow-origin"], "*")
        self.assertIn("/-/problems/ lists all", json.loads(self.ask(f"{FOLDER}x").body)["detail"])

    def test_pages_that_are_not_shared(self) -> None:
        """On the operator's port no page of another origin reads them."""
        origins = Origins(frozenset())
        root, below = Node(origins), Node(origins)
        root.putChild(b"-", below)
        below.putChild(SEGMENT, ProblemPages(origins, is_shared=False))
        self.site.resource = root
        found = self.ask(EXPIRED.path, "Origin: https://a.example")
        self.assertEqual((found.status, found.headers.get("access-control-allow-origin")), (200, None))

    def test_paths(self) -> None:
        """Only the folder and everything below it."""
        for segments, expected in (
            ([SEGMENT], True),
            ([SEGMENT, b""], True),
            ([SEGMENT, b"expired"], True),
            ([b"desk"], False),
            ([], False),
            (None, False),
        ):
            self.assertEqual(is_problem_page(segments), expected, segments)


class FormTests(SynchronousTestCase):
    """form_of."""

    @given(st.one_of(st.none(), st.binary(max_size=100)))
    def test_any_field_has_a_form(self, accept: bytes | None) -> None:
        """HTML only where it is named."""
        form = form_of(accept)
        self.assertTrue(form == "text" or b"text/html" in (accept or b"").lower())
