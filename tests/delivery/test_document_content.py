"""The content of a document's answers: its codings, deltas, and none."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
from typing import TYPE_CHECKING

import brotli
import zstandard

from livefeed.document.codings import MAX_MEMBERS, compress_well
from livefeed.document.patch import apply_patch
from livefeed.document.snapshot import Snapshot, version_of
from livefeed.document.splices import apply_splices
from livefeed.feed.demand import Demand
from livefeed.testing import Response, publish
from tests.helpers.documents import DOCUMENT, NOW, DocumentTestCase

if TYPE_CHECKING:
    from collections.abc import Callable


class CodingTests(DocumentTestCase):
    """The representations of a document."""

    def test_codings_are_the_same_document_under_other_tags(self) -> None:
        """A strong tag names bytes, so that each coding has its own, and its own digest."""
        publish(self.feed, DOCUMENT)
        decoders: dict[str, Callable[[bytes], bytes]] = {
            "gzip": gzip.decompress,
            "br": brotli.decompress,
            "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body),
        }
        assert self.feed.snapshot is not None
        for coding, decode in decoders.items():
            response = self.get(b"Accept-Encoding: " + coding.encode())
            self.assertEqual(decode(response.body), DOCUMENT)
            self.assertEqual(response.headers["content-encoding"], coding)
            self.assertEqual(response.headers["content-length"], str(len(response.body)))
            self.assertEqual(response.headers["etag"], f'"{self.feed.snapshot.version}-{coding}"')
            digest = base64.b64encode(hashlib.sha256(response.body).digest()).decode()
            self.assertEqual(response.headers["repr-digest"], f"sha-256=:{digest}:")

    def test_codings_on_demand(self) -> None:
        """A coding that was left out is made for the client that asks for it, and by nobody else."""
        self.feed.demand = Demand(self.clock.seconds())
        snapshot = Snapshot.of(DOCUMENT, self.feed.next_sequence(), codings=("gzip",))
        self.feed.publish(snapshot)
        self.assertEqual(self.get().body, DOCUMENT)
        self.assertEqual(self.get(b"Accept-Encoding: gzip").headers["content-encoding"], "gzip")
        self.assertEqual(snapshot.work.left_out, {"zstd", "br"})
        tag = b'If-None-Match: "%b-gzip"' % snapshot.version.encode()
        self.assertEqual(self.get(b"Accept-Encoding: br, gzip;q=0.5", tag).status, 304)
        self.assertEqual(snapshot.work.left_out, {"zstd"})
        response = self.get(b"Accept-Encoding: br")
        self.assertEqual(brotli.decompress(response.body), DOCUMENT)
        self.assertEqual(response.headers["etag"], f'"{snapshot.version}-br"')
        self.assertEqual({*self.feed.demand.wanted(snapshot, 2 * NOW)}, {"gzip", "br"})

    def test_smallest_coding_wins_among_equals(self) -> None:
        """Browsers name all codings without weights, so the smallest body is sent; a client's weights come first."""
        publish(self.feed, DOCUMENT)
        every = [self.get(b"Accept-Encoding: " + coding) for coding in (b"gzip", b"br", b"zstd")]
        chosen = self.get(b"Accept-Encoding: gzip, deflate, br, zstd")
        self.assertEqual(len(chosen.body), min(len(response.body) for response in every))
        weighted = self.get(b"Accept-Encoding: gzip, br;q=0.5, zstd;q=0.1")
        self.assertEqual(weighted.headers["content-encoding"], "gzip")

    def test_slow_codings_come_later(self) -> None:
        """A large document is served as it is, and in gzip, at once; the others when they are there."""
        document = b"[" + b", ".join(b"%d.50" % number for number in range(20_000)) + b"]"
        publish(self.feed, document)
        accept = b"Accept-Encoding: br"
        self.assertEqual(self.get(accept).body, document)
        self.assertEqual(gzip.decompress(self.get(b"Accept-Encoding: gzip").body), document)
        told: list[bool] = []
        self.feed.observe(lambda: told.append(True))
        assert self.feed.snapshot is not None
        self.feed.add_codings(self.feed.snapshot, compress_well(document))
        self.assertEqual(told, [True])
        self.assertEqual(brotli.decompress(self.get(accept).body), document)

    def test_document_is_given_where_no_coding_is_accepted(self) -> None:
        """A client that does not accept the identity coding either gets the plain document instead of a 406."""
        publish(self.feed, DOCUMENT)
        for accepted in (b"identity;q=0", b"*;q=0", b"deflate, identity;q=0", b"gzip;q=0, *;q=0"):
            response = self.get(b"Accept-Encoding: " + accepted)
            self.assertEqual((accepted, response.status, response.body), (accepted, 200, DOCUMENT))
            self.assertNotIn("content-encoding", response.headers)


class PatchTests(DocumentTestCase):
    """Deltas in HTTP (RFC 3229): a client that has an older version may ask for a patch."""

    def test_patch_is_sent_to_who_asks(self) -> None:
        """RFC 3229: the patch starts at the first known version that the client names, in any coding."""
        publish(self.feed, DOCUMENT)
        tags = [self.get(b"Accept-Encoding: " + coding).headers["etag"] for coding in (b"identity", b"gzip")]
        publish(self.feed, DOCUMENT.replace(b"199.50", b"200.50"))
        newest = self.get().headers["etag"]
        for listed, base in (
            (tags[0], tags[0]),
            (f'"unknown", W/{tags[1]}', tags[1]),
        ):
            response = self.get(b"A-IM: vcdiff, JSON-Patch", b"If-None-Match: " + listed.encode())
            self.assertEqual(response.status, 226)
            self.assertEqual(json.loads(apply_patch(DOCUMENT, response.body)), json.loads(self.get().body))
            expected = {
                "im": "json-patch",
                "delta-base": base,
                "etag": newest,
                "content-type": "application/json-patch+json",
                "cache-control": "no-store, im",
            }
            self.assertEqual({name: response.headers[name] for name in expected}, expected)

    def test_one_patch_is_made_for_a_request(self) -> None:
        """The only patch is from the latest version that the client names, in any order of the tags."""
        tags = []
        for number in range(20):
            publish(self.feed, DOCUMENT.replace(b"199.50", b"%d.50" % number))
            tags.append(self.get().headers["etag"])
        every = ", ".join(tags).encode()
        publish(self.feed, DOCUMENT.replace(b"199.50", b"20.50"))
        response = self.get(b"A-IM: json-patch", b"If-None-Match: " + every)
        self.assertEqual((response.status, response.headers["delta-base"]), (226, tags[-1]))
        self.assertEqual(self.feed.history.made, 1)
        publish(self.feed, json.dumps(list(range(1000, 1200))).encode())
        response = self.get(b"A-IM: json-patch", b"If-None-Match: " + every)
        self.assertEqual((response.status, self.feed.history.made), (200, 2))

    def test_no_patch_where_none_is_due(self) -> None:
        """No patch is sent without A-IM, from an unknown or the newest version, or if it is hardly smaller."""
        publish(self.feed, DOCUMENT)
        old = self.get().headers["etag"].encode()
        publish(self.feed, DOCUMENT.replace(b".50", b".75"))
        newest = self.get().headers["etag"].encode()
        for status, fields in (
            (200, [b"If-None-Match: " + old]),
            (200, [b"A-IM: json-patch"]),
            (200, [b"A-IM: json-patch", b'If-None-Match: "unknown"']),
            (304, [b"A-IM: json-patch", b"If-None-Match: " + newest]),
        ):
            self.assertEqual(self.get(*fields).status, status, fields)

    def test_patch_is_compressed(self) -> None:
        """The coding comes after the manipulation (RFC 3229), and the tag stays the document's, without coding."""
        noise = random.Random(1)
        rows = [b'{"id":%d,"votes":1,"key":"%b"}' % (each, noise.randbytes(12).hex().encode()) for each in range(500)]
        document = b"[%b]" % b",".join(rows)
        publish(self.feed, document)
        old = self.get(b"Accept-Encoding: gzip").headers["etag"]
        new = document.replace(b'"votes":1,', b'"votes":2,', 200)
        publish(self.feed, new)
        plain = self.get(b"A-IM: json-patch", b"If-None-Match: " + old.encode())
        decoders: dict[str, Callable[[bytes], bytes]] = {
            "gzip": gzip.decompress,
            "br": brotli.decompress,
            "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body),
        }
        for coding, decode in decoders.items():
            fields = (b"A-IM: json-patch", b"If-None-Match: " + old.encode(), b"Accept-Encoding: " + coding.encode())
            response = self.get(*fields)
            self.assertEqual((response.status, response.headers["content-encoding"]), (226, coding))
            self.assertEqual((response.headers["im"], response.headers["delta-base"]), ("json-patch", old))
            self.assertEqual(response.headers["etag"], self.get().headers["etag"])
            self.assertIn("Accept-Encoding", response.headers["vary"])
            self.assertEqual(json.loads(apply_patch(document, decode(response.body))), json.loads(new))
            self.assertIs(self.feed.history.made, 1)
        self.assertEqual((plain.status, "content-encoding" in plain.headers), (226, False))
        assert self.feed.snapshot is not None
        self.assertGreater(len(plain.body), 0.6 * len(self.feed.snapshot.representations["gzip"].data))

    def test_small_patch_is_not_compressed(self) -> None:
        """A patch is sent without coding if the coding makes it no smaller."""
        publish(self.feed, DOCUMENT)
        old = self.get().headers["etag"].encode()
        publish(self.feed, DOCUMENT.replace(b"199.50", b"200.50"))
        response = self.get(b"A-IM: json-patch", b"If-None-Match: " + old, b"Accept-Encoding: gzip")
        self.assertEqual((response.status, "content-encoding" in response.headers), (226, False))

    def test_weight_of_zero_asks_for_no_patch(self) -> None:
        """Any other weight asks for one (RFC 3229, 10.5.3)."""
        publish(self.feed, DOCUMENT)
        old = self.get().headers["etag"].encode()
        publish(self.feed, DOCUMENT.replace(b"199.50", b"200.50"))
        for listed, status in (
            (b"json-patch;q=0.5", 226),
            (b"vcdiff, json-patch ; q=1.0", 226),
            (b",, json-patch,", 226),
            (b"json-patch;q=0", 200),
            (b"json-patch;q=0.000, vcdiff", 200),
            (b"json-patch;q=2", 200),
            (b"json-patches", 200),
            (b"vcdiff, gzip", 200),
            (b"*", 200),
            (b"", 200),
            (b"," * (MAX_MEMBERS - 1) + b"json-patch", 226),
            (b"," * MAX_MEMBERS + b"json-patch", 200),
            (b"json-patch;q=0, json-patch", 200),
        ):
            response = self.get(b"A-IM: " + listed, b"If-None-Match: " + old)
            self.assertEqual((listed, response.status), (listed, status))
            self.assertEqual("im" in response.headers, status == 226)
            self.assertEqual("delta-base" in response.headers, status == 226)


class SpliceTests(DocumentTestCase):
    """Byte-exact deltas in HTTP: a client may ask for splices in place of a patch."""

    def setUp(self) -> None:
        super().setUp()
        publish(self.feed, DOCUMENT)
        self.old = self.get(b"Accept-Encoding: gzip").headers["etag"]
        self.asks = b"If-None-Match: " + self.old.encode()

    def applied(self, response: Response) -> bytes:
        return apply_splices(DOCUMENT, json.loads(response.body), 1 << 20)

    def test_splices_are_sent_to_those_who_ask(self) -> None:
        """They begin at the version that the client names in any coding, and give the newest one, byte for byte."""
        new = b" " + DOCUMENT.replace(b"199.50", b"200.5000")
        publish(self.feed, new)
        response = self.get(b"A-IM: livefeed-splices", self.asks)
        expected = {
            "im": "livefeed-splices",
            "delta-base": self.old,
            "etag": self.get().headers["etag"],
            "livefeed-version": version_of(new),
            "content-type": "application/vnd.livefeed.splices+json",
            "cache-control": "no-store, im",
        }
        self.assertEqual((response.status, {name: response.headers[name] for name in expected}), (226, expected))
        self.assertEqual(self.applied(response), new)
        self.assertEqual(self.get(b"A-IM: livefeed-splices", self.asks, path=b"/feed.json").status, 226)
        self.assertEqual(self.get(b"A-IM: livefeed-splices", b'If-None-Match: "unknown"').status, 200)

    def test_splices_of_a_part(self) -> None:
        """A part has its own versions, and so its own splices."""
        old = self.get(path=b"/feed/votes").headers["etag"].encode()
        publish(self.feed, DOCUMENT.replace(b"199.50", b"200.50"))
        response = self.get(b"A-IM: livefeed-splices", b"If-None-Match: " + old, path=b"/feed/votes")
        self.assertEqual((response.status, response.headers["im"]), (226, "livefeed-splices"))
        self.assertLess(len(response.body), 30)

    def test_first_form_that_is_known_wins(self) -> None:
        """The order of the list decides between patch and splices, and not the weights."""
        publish(self.feed, DOCUMENT.replace(b"199.50", b"200.50"))
        for listed, form in (
            (b"livefeed-splices, json-patch", "livefeed-splices"),
            (b"json-patch, livefeed-splices", "json-patch"),
            (b"vcdiff, json-patch;q=0.1, livefeed-splices", "json-patch"),
            (b"json-patch;q=0, Livefeed-Splices", "livefeed-splices"),
            (b"livefeed-splices;q=0, json-patch", "json-patch"),
            (b"livefeed-splices;q=0", None),
            (b"livefeed-splice", None),
        ):
            response = self.get(b"A-IM: " + listed, self.asks)
            self.assertEqual((listed, response.headers.get("im")), (listed, form))

    def test_splices_are_compressed(self) -> None:
        """A coding is applied where it makes them smaller, and they are sent where they are worth it."""
        publish(self.feed, DOCUMENT + b" " * 400 + json.dumps({"a": ["x" * 90] * 3}).encode())
        response = self.get(b"A-IM: livefeed-splices", self.asks, b"Accept-Encoding: gzip")
        whole = self.get(b"Accept-Encoding: gzip")
        self.assertEqual((response.status, response.headers["content-encoding"]), (226, "gzip"))
        self.assertLess(len(response.body), 0.6 * len(whole.body))
        publish(self.feed, b"[2]")
        self.assertEqual(self.get(b"A-IM: livefeed-splices", self.asks).status, 200)


class KnownTests(DocumentTestCase):
    """Clients that have the version."""

    def test_tag_of_another_coding_is_known(self) -> None:
        """A client that changes its mind about codings still has the version, and is told which tag is confirmed."""
        publish(self.feed, DOCUMENT)
        etag = self.get(b"Accept-Encoding: gzip").headers["etag"]
        for field in (etag, f"W/{etag}"):
            response = self.get(b"Accept-Encoding: br", b"If-None-Match: " + field.encode())
            self.assertEqual((response.status, response.headers["etag"]), (304, etag))

    def test_known_version_is_304(self) -> None:
        """A 304 says as much about the feed as a 200 does, and has no body and no length."""
        publish(self.feed, DOCUMENT)
        for encoding in (b"identity", b"gzip"):
            full = self.get(b"Accept-Encoding: " + encoding)
            response = self.get(b"Accept-Encoding: " + encoding, b"If-None-Match: " + full.headers["etag"].encode())
            self.assertEqual((response.status, response.body), (304, b""))
            self.assertNotIn("content-length", response.headers)
            self.assertNotIn("content-type", response.headers)
            kept = [name for name in full.headers if not name.startswith(("content-", "repr-"))]
            self.assertEqual(response.headers, {name: full.headers[name] for name in kept})

    def test_tag_of_an_older_version_is_answered_in_full(self) -> None:
        """The tag changes with the document."""
        publish(self.feed, DOCUMENT)
        etag = self.get().headers["etag"]
        publish(self.feed, b"[]")
        response = self.get(b"If-None-Match: " + etag.encode())
        self.assertEqual((response.status, response.body), (200, b"[]"))

    def test_several_lines_of_if_none_match_are_one_list(self) -> None:
        """RFC 9110, 5.3."""
        publish(self.feed, DOCUMENT)
        etag = self.get().headers["etag"].encode()
        self.assertEqual(self.get(b'If-None-Match: "other"', b"If-None-Match: W/" + etag).status, 304)
