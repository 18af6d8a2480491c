"""Content in several codings."""

from __future__ import annotations

import gzip

import brotli
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.snapshot import IDENTITY, version_of
from livefeed.testing import request
from livefeed.web.coded import Coded, CodedContent, lasting
from livefeed.web.cors import Origins
from livefeed.web.site import Site

ONE, OTHER = b"one " * 100, b"other " * 100


class Changing(CodedContent):
    """Content that a test changes."""

    isLeaf = True
    now = Coded.of(ONE)

    def present(self) -> Coded:
        return self.now

    def fields(self, request: object) -> list[tuple[bytes, bytes]]:
        return [(b"Vary", b"Accept-Encoding")]


class CodedTests(SynchronousTestCase):
    def test_codings(self) -> None:
        """Each has the same content, and a tag of its own."""
        coded = Coded.of(ONE)
        self.assertEqual(coded.bodies[IDENTITY], ONE)
        self.assertEqual(gzip.decompress(coded.bodies["gzip"]), ONE)
        self.assertEqual(brotli.decompress(coded.bodies["br"]), ONE)
        self.assertEqual(coded.tags, {each: b'"%s"' % version_of(coded.bodies[each]).encode() for each in coded.bodies})

    def test_files_are_kept(self) -> None:
        """The resources of 64 feeds are made anew whenever one is added."""
        self.assertIs(lasting(ONE), lasting(bytes(bytearray(ONE))))

    def test_answers(self) -> None:
        """A client has the coding that it prefers, and a tag of any coding but its own is another one."""
        content = Changing(Origins.parse(["*"]))
        site = Site(content, reactor=Clock())
        tags = {}
        for accepted, coding in (("br, gzip", "br"), ("gzip", "gzip"), ("identity", None)):
            for _ in range(2):
                answer = request(site, f"GET / HTTP/1.1\nAccept-Encoding: {accepted}".encode())
                self.assertEqual((answer.status, answer.headers.get("content-encoding")), (200, coding))
                tags[accepted] = answer.headers["etag"]
        for tag in tags.values():
            again = request(site, f"GET / HTTP/1.1\nAccept-Encoding: gzip\nIf-None-Match: {tag}".encode())
            self.assertEqual(again.status, 304 if tag == tags["gzip"] else 200)
        content.now = Coded.of(OTHER)
        site.forget_answers()
        again = request(site, f"GET / HTTP/1.1\nAccept-Encoding: gzip\nIf-None-Match: {tags['gzip']}".encode())
        self.assertEqual((again.status, gzip.decompress(again.body)), (200, OTHER))
