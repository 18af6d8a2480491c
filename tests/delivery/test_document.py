"""Polling: the answers that twisted.web renders for a feed, driven in memory."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import random
import re
from typing import TYPE_CHECKING, Any

import brotli
import zstandard
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed.clocks import Moment
from livefeed.delivery.document import DocumentResource
from livefeed.delivery.feed_resource import Access
from livefeed.document.codings import MAX_MEMBERS, compress_well
from livefeed.document.patch import apply_patch
from livefeed.document.snapshot import Snapshot, version_of
from livefeed.document.splices import apply_splices
from livefeed.feed.demand import Demand
from livefeed.feed.feed import Feed
from livefeed.feed.notice import Notice
from livefeed.feed.state import State
from livefeed.testing import Response, make_site, publish, request
from livefeed.web.cors import Origins
from livefeed.web.negotiation import KeyedFields
from tests.helpers.guarded import AUTHORIZATION, TOKEN, FakeVerifier, protect
from tests.helpers.signers import make_signer, of_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.delivery.delivery import Delivery
    from livefeed.web.request import Request

DOCUMENT = b'{"votes": [' + b", ".join(b"%d.50" % number for number in range(200)) + b"]}\n"
NOW = 1_795_000_000.25


class DocumentTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.serve("*")

    def serve(self, *origins: str, interval_s: float = 1.0) -> None:
        """Makes a site of a feed that has no snapshot yet."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.upgraded: list[Request] = []
        self.feed = Feed("feed", clock=self.clock, interval_s=interval_s)
        made = make_site(self.feed, origins=origins, upgrade=self.upgrade)
        self.site, self.delivery = made.site, made.published[0].delivery

    def upgrade(self, upgrading: Request, delivery: Delivery) -> int:
        """Takes the place of the WebSocket's handshake."""
        self.upgraded.append(upgrading)
        upgrading.setResponseCode(101)
        upgrading.finish()
        return 1

    def get(self, *fields: bytes, method: bytes = b"GET", path: bytes = b"/feed") -> Response:
        return request(self.site, b"\n".join([method + b" " + path + b" HTTP/1.1", *fields]))


class DocumentTests(DocumentTestCase):
    """The answers that a client gets."""

    def test_document_is_served_byte_for_byte(self) -> None:
        """The body holds the pulled bytes, and the header fields describe them."""
        publish(self.feed, DOCUMENT)
        response = self.get()
        self.assertEqual((response.status, response.body), (200, DOCUMENT))
        assert self.feed.snapshot is not None
        version = self.feed.snapshot.version
        expected = {
            "content-type": "application/json",
            "content-length": str(len(DOCUMENT)),
            "etag": f'"{version}"',
            "vary": "Accept-Encoding, Accept",
            "x-content-type-options": "nosniff",
            "access-control-allow-origin": "*",
            "livefeed-version": version,
            "livefeed-sequence": f"{int(NOW * 1000)}.1",
            "livefeed-state": "live",
            "livefeed-at": "2026-11-18T11:06:40.250Z",
            "livefeed-age": "0",
            "server": "livefeed",
        }
        self.assertEqual({name: response.headers.get(name) for name in expected}, expected)
        self.assertNotIn("content-encoding", response.headers)

    def test_alias_is_the_same_resource(self) -> None:
        """/feed.json answers as /feed does, but that it is never events, and a query changes nothing."""
        publish(self.feed, DOCUMENT)
        alias, document = self.get(path=b"/feed.json"), self.get()
        self.assertEqual(alias.headers.pop("vary"), "Accept-Encoding")
        self.assertEqual(document.headers.pop("vary"), "Accept-Encoding, Accept")
        self.assertEqual(alias, document)
        self.assertEqual(self.get(path=b"/feed?t=123").headers, self.get().headers)

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

    def test_variants_on_demand(self) -> None:
        """Replay answers no request whose coding is still to be made, and takes note of the others."""
        self.feed.demand = Demand(self.clock.seconds())
        snapshot = Snapshot.of(DOCUMENT, self.feed.next_sequence(), codings=("gzip",))
        self.feed.publish(snapshot)
        resource = DocumentResource(self.delivery, Access(Origins.parse("*")), "document")
        fields = KeyedFields(None, b"br", *[None] * (len(KeyedFields._fields) - 2))
        self.assertIsNone(resource._variant(snapshot, [*fields]))
        self.assertIsNotNone(resource._variant(snapshot, [*fields._replace(accept_encoding=b"gzip")]))
        self.assertEqual({*self.feed.demand.wanted(snapshot, 2 * NOW)}, {"gzip", "br"})

    def test_document_is_given_where_no_coding_is_accepted(self) -> None:
        """A client that does not accept the identity coding either gets the plain document instead of a 406."""
        publish(self.feed, DOCUMENT)
        for accepted in (b"identity;q=0", b"*;q=0", b"deflate, identity;q=0", b"gzip;q=0, *;q=0"):
            response = self.get(b"Accept-Encoding: " + accepted)
            self.assertEqual((accepted, response.status, response.body), (accepted, 200, DOCUMENT))
            self.assertNotIn("content-encoding", response.headers)

    def test_age_is_left_to_caches(self) -> None:
        """An origin server sends no Age (RFC 9111, 5.1), however old the document is."""
        publish(self.feed, DOCUMENT)
        self.feed.mark_stale()
        self.clock.advance(100)
        for fields in ([], [b"If-None-Match: *"]):
            self.assertNotIn("age", self.get(*fields).headers)

    def test_request_cannot_ask_for_another_cache_control(self) -> None:
        """Cache-Control in a request has no effect: the server is no cache itself (RFC 9111, 5.2.1)."""
        publish(self.feed, DOCUMENT)
        plain = self.get()
        for directive in (b"no-cache", b"no-store", b"max-age=0", b"only-if-cached", b"nonsense"):
            response = self.get(b"Cache-Control: " + directive)
            self.assertEqual(
                (response.status, response.headers), (200, {**plain.headers, "date": response.headers["date"]})
            )

    def test_next_version_is_announced(self) -> None:
        """In milliseconds until the next tick, so that a client can ask just after it; a tick if that is overdue."""
        publish(self.feed, DOCUMENT)
        for since_s, expected in ((0.0, "1000"), (0.25, "750"), (0.9995, "1"), (1.0, "1000"), (3.0, "1000")):
            self.feed.tick_at = self.clock.seconds() - since_s
            self.assertEqual(self.get().headers["livefeed-next"], expected)

    def test_stale_document_is_marked_and_ages(self) -> None:
        """A failed pull takes nothing away, and nothing stale is passed off as fresh."""
        publish(self.feed, DOCUMENT)
        self.feed.mark_stale()
        self.clock.advance(61.5)
        for response in (self.get(), self.get(b"If-None-Match: *")):
            self.assertEqual(response.headers["livefeed-state"], "stale")
            self.assertEqual(response.headers["livefeed-age"], "61")
            self.assertEqual(response.headers["livefeed-at"], "2026-11-18T11:06:40.250Z")
        self.assertEqual(self.get().body, DOCUMENT)

    def test_unchanged_document_is_confirmed(self) -> None:
        """Each good pull makes the data young again; the version stays."""
        publish(self.feed, DOCUMENT)
        before = self.get()
        self.clock.advance(10)
        publish(self.feed, DOCUMENT)
        after = self.get()
        self.assertEqual(after.headers["livefeed-age"], "0")
        self.assertEqual(after.headers["livefeed-at"], "2026-11-18T11:06:50.250Z")
        self.assertEqual(after.headers["etag"], before.headers["etag"])
        self.assertEqual(after.headers["livefeed-sequence"], before.headers["livefeed-sequence"])

    def test_nothing_pulled_yet_is_503(self) -> None:
        """Before the first good pull there is nothing to serve; the client is told when to come back."""
        self.serve("*", interval_s=30)
        self.feed.tick_at = self.clock.seconds() - 8.5
        response = self.get()
        self.assertEqual(response.status, 503)
        self.assertEqual(response.headers["retry-after"], "22")
        self.assertEqual(response.headers["livefeed-state"], "stale")
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        self.assertEqual(json.loads(response.body)["status"], 503)
        self.assertNotIn("etag", response.headers)
        self.assertNotIn("livefeed-at", response.headers)

    def test_answer_is_fresh_until_the_next_tick(self) -> None:
        """Cache-Control is tuned to the tick, in whole seconds and at least one."""
        self.serve("*", interval_s=30)
        self.feed.tick_at = self.clock.seconds()
        publish(self.feed, DOCUMENT)
        for advance_s, fresh_s in ((0, 30), (10.5, 20), (19, 1), (5, 10)):
            self.clock.advance(advance_s)
            expected = f"public, max-age={fresh_s}, stale-while-revalidate=30, stale-if-error=300"
            self.assertEqual(self.get().headers["cache-control"], expected)


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


class ConditionTests(DocumentTestCase):
    """Conditional requests, and fields that set no condition here."""

    def test_tag_of_another_coding_is_known(self) -> None:
        """A client that changes its mind about codings still has the version, and is told which tag is confirmed."""
        publish(self.feed, DOCUMENT)
        etag = self.get(b"Accept-Encoding: gzip").headers["etag"]
        for field in (etag, f"W/{etag}"):
            response = self.get(b"Accept-Encoding: br", b"If-None-Match: " + field.encode())
            self.assertEqual((response.status, response.headers["etag"]), (304, etag))

    def test_if_match_is_for_what_there_is(self) -> None:
        """A client that requires another version gets 412; tags are compared strongly (RFC 9110, 13.1.1)."""
        publish(self.feed, DOCUMENT)
        etag = self.get().headers["etag"].encode()
        gzipped = self.get(b"Accept-Encoding: gzip").headers["etag"].encode()
        for fields, status in (
            ([b"If-Match: " + etag], 200),
            ([b'If-Match: "other"', b"If-Match: " + etag], 200),
            ([b"If-Match: *"], 200),
            ([b'If-Match: "other"'], 412),
            ([b"If-Match: W/" + etag], 412),
            ([b"If-Match: nonsense"], 412),
            ([b"If-Match: " + gzipped], 412),
            ([b"If-Match: " + gzipped, b"Accept-Encoding: gzip"], 200),
        ):
            for method in (b"GET", b"HEAD"):
                response = self.get(*fields, method=method)
                self.assertEqual((fields, response.status), (fields, status))
        response = self.get(b'If-Match: "other"')
        self.assertEqual(json.loads(response.body)["status"], 412)
        self.assertEqual(response.headers["access-control-allow-origin"], "*")

    def test_if_match_goes_before_if_none_match(self) -> None:
        """RFC 9110, 13.2.2."""
        publish(self.feed, DOCUMENT)
        known = b"If-None-Match: " + self.get().headers["etag"].encode()
        self.assertEqual(self.get(b'If-Match: "other"', known).status, 412)
        self.assertEqual(self.get(b"If-Match: *", known).status, 304)

    def test_conditions_are_ignored_where_nothing_would_be_sent(self) -> None:
        """Conditions change no answer but a 2xx, and OPTIONS selects no representation (RFC 9110, 13.2.1)."""
        never, always = b'If-Match: "other"', b"If-None-Match: *"
        for condition in (never, always):
            self.assertEqual(self.get(condition).status, 503)
        publish(self.feed, DOCUMENT)
        for condition in (never, always):
            self.assertEqual(self.get(condition, path=b"/nope").status, 404)
            self.assertEqual(self.get(condition, path=b"/feed/nope").status, 404)
            self.assertEqual(self.get(condition, method=b"POST").status, 405)
            self.assertEqual(self.get(condition, method=b"OPTIONS").status, 204)

    def test_conditions_on_a_date_are_ignored(self) -> None:
        """There is no date of a modification to compare with (RFC 9110, 13.1.3 and 13.1.4)."""
        publish(self.feed, DOCUMENT)
        for date in (b"Sat, 29 Oct 1994 19:43:31 GMT", b"Fri, 01 Jan 2100 00:00:00 GMT", b"nonsense"):
            for name in (b"If-Modified-Since", b"If-Unmodified-Since"):
                response = self.get(name + b": " + date)
                self.assertEqual((response.status, response.body), (200, DOCUMENT))
                self.assertNotIn("last-modified", response.headers)
            other = self.get(b"If-Modified-Since: " + date, b'If-None-Match: "other"')
            self.assertEqual(other.status, 200)
            self.assertEqual(self.get(b"If-Modified-Since: " + date, b"If-None-Match: *").status, 304)

    def test_ranges_are_ignored(self) -> None:
        """A range is ignored with any unit and any condition (RFC 9110, 14.2 and 13.1.5)."""
        publish(self.feed, DOCUMENT)
        etag = self.get().headers["etag"].encode()
        for fields in (
            [b"Range: bytes=0-1"],
            [b"Range: bytes=999999-"],
            [b"Range: lines=1-2"],
            [b"Range: bytes=0-1", b"If-Range: " + etag],
            [b"Range: bytes=0-1", b'If-Range: "other"'],
            [b"If-Range: " + etag],
            [b"Content-Range: bytes 0-1/2"],
        ):
            response = self.get(*fields)
            self.assertEqual((fields, response.status, response.body), (fields, 200, DOCUMENT))
            self.assertNotIn("content-range", response.headers)

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


class MethodTests(DocumentTestCase):
    """Methods, origins and targets."""

    def test_head_is_get_without_the_body(self) -> None:
        """HEAD has all the fields of GET (RFC 9110, 9.3.2)."""
        for is_there in (False, True):
            if is_there:
                publish(self.feed, DOCUMENT)
            head, get = self.get(method=b"HEAD"), self.get()
            # A second may begin between the two.
            self.assertTrue(head.headers.pop("date"))
            self.assertTrue(get.headers.pop("date"))
            self.assertEqual((head.status, head.headers, head.body), (get.status, get.headers, b""))

    def test_options_tells_the_methods(self) -> None:
        """OPTIONS without preflight fields is about the resource."""
        response = self.get(method=b"OPTIONS")
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertEqual(response.headers["allow"], "GET, HEAD, OPTIONS")
        self.assertNotIn("access-control-allow-methods", response.headers)

    def test_preflight_allows_conditional_requests(self) -> None:
        """A page of another origin may poll with If-None-Match (Fetch standard, 3.2.3)."""
        response = self.get(
            b"Origin: https://example.org",
            b"Access-Control-Request-Method: GET",
            b"Access-Control-Request-Headers: if-none-match",
            method=b"OPTIONS",
        )
        self.assertEqual(response.status, 204)
        self.assertEqual(response.headers["access-control-allow-origin"], "*")
        self.assertIn("If-None-Match", response.headers["access-control-allow-headers"])
        self.assertEqual(response.headers["access-control-allow-methods"], "GET, HEAD, OPTIONS")
        self.assertEqual(response.headers["access-control-max-age"], "86400")

    def test_own_fields_are_exposed_to_pages(self) -> None:
        """Every field that a page may want to read is listed, on each kind of answer."""
        publish(self.feed, DOCUMENT)
        # Of two alike, the second is given again.
        documents = [self.get(*fields) for fields in ([], [], [b"If-None-Match: *"], [b"If-None-Match: *"])]
        events = self.get(b"Accept: text/event-stream")
        for response in (*documents, events):
            exposed = response.headers["access-control-expose-headers"].split(", ")
            own = [name for name in response.headers if name.startswith("livefeed-")]
            self.assertEqual(len(own), 4 if response is events else 6)
            # A cache on the way adds its Age.
            self.assertEqual({*own, "age", "date", "etag"} - {name.lower() for name in exposed}, set())

    def test_origins_that_are_not_allowed_get_no_permission(self) -> None:
        """The answers depend on the request's origin if there is a list of origins."""
        self.serve("https://a.example", "https://b.example:8443")
        publish(self.feed, DOCUMENT)
        for origin, allowed in (
            (b"https://a.example", True),
            (b"https://b.example:8443", True),
            (b"https://b.example", False),
            (b"http://a.example", False),
            (b"null", False),
            (b"https://a.example.evil.example", False),
        ):
            response = self.get(b"Origin: " + origin)
            self.assertEqual(response.status, 200)
            self.assertEqual(response.headers["vary"], "Accept-Encoding, Accept, Origin")
            expected = origin.decode() if allowed else None
            self.assertEqual(response.headers.get("access-control-allow-origin"), expected)

    def test_unknown_path_is_404(self) -> None:
        """Every unknown path is answered with a 404 in JSON that pages of any origin may read."""
        publish(self.feed, b"{}")
        for path in (
            b"/nope",
            b"/feed/",
            b"/feed/a",
            b"/feed.xml",
            b"/-/",
            b"/-/nope.js",
            b"//feed",
            b"/%00",
            b"/..",
        ):
            response = self.get(path=path)
            self.assertEqual((path, response.status), (path, 404))
            self.assertEqual(response.headers["content-type"], "application/problem+json")
            self.assertEqual(response.headers["access-control-allow-origin"], "*")
            self.assertEqual(json.loads(response.body)["title"], "Not Found")

    def test_wrong_method_is_405(self) -> None:
        """The answer names the methods that there are (RFC 9110, 15.5.6)."""
        publish(self.feed, DOCUMENT)
        for method in (b"POST", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"get", b"BREW"):
            response = self.get(method=method)
            self.assertEqual((method, response.status), (method, 405))
            self.assertEqual(response.headers["allow"], "GET, HEAD, OPTIONS")
            self.assertEqual(json.loads(response.body)["status"], 405)

    def test_absolute_form_is_understood(self) -> None:
        """A server must accept it, with any host and scheme (RFC 9112, 3.2.2)."""
        publish(self.feed, DOCUMENT)
        for target in (b"http://example.org/feed", b"https://example.org:8443/feed?x=y", b"HTTP://h/feed"):
            response = self.get(path=target)
            self.assertEqual((target, response.status, response.body), (target, 200, DOCUMENT))
        self.assertEqual(self.get(path=b"http://example.org").status, 200)
        self.assertEqual(self.get(path=b"http://example.org/nope").status, 404)

    def test_request_that_asks_to_upgrade_is_passed_on(self) -> None:
        """The WebSocket is also served on the document's own path."""
        publish(self.feed, DOCUMENT)
        for value in (b"websocket", b"WebSocket", b"h2c, websocket"):
            self.get(b"Connection: Upgrade", b"Upgrade: " + value)
        self.assertEqual(len(self.upgraded), 3)
        self.assertEqual(self.get(b"Connection: Upgrade", b"Upgrade: h2c").status, 200)


class HeldTests(DocumentTestCase):
    """The fields while the desk holds a document back."""

    def test_waiting_and_reason(self) -> None:
        """The reason is public only if the operator says so, and is a string of RFC 8941 whatever it contains."""
        publish(self.feed, b"1")
        now_s = self.clock.seconds()
        waiting = Moment(now_s - 61.9, now_s - 61.9)
        self.feed.heed(Notice(State.HELD, 'We check 5 % of "é" \\\n', waiting, "hold"))
        fields = self.get().headers
        self.assertEqual((fields["livefeed-waiting"], fields.get("livefeed-reason")), ("61", None))
        self.feed.tell_reasons(are_public=True)
        self.assertEqual(self.get().headers["livefeed-reason"], '"We check 5 %25 of %22%C3%A9%22 %5C%0A"')
        self.assertIn("Livefeed-Waiting, Livefeed-Reason", fields["access-control-expose-headers"])
        self.feed.decide(None)
        fields = self.get().headers
        self.assertEqual((fields["livefeed-waiting"], fields["livefeed-reason"]), ("", ""))

    def test_caches_forget_what_has_ended(self) -> None:
        """A cache keeps each field that a 304 lacks (RFC 9111, 3.2), so the 304 says that there is nothing."""
        names = ("livefeed-waiting", "livefeed-reason", "livefeed-overlay", "livefeed-lifetime")

        def confirmed(tag: str, path: bytes = b"/feed") -> list[str | None]:
            fields = self.get(b"If-None-Match: " + tag.encode(), path=path).headers
            return [fields.get(name) for name in names]

        publish(self.feed, b'{"a":1}')
        self.feed.tell_reasons(are_public=True)
        tag = self.get().headers["etag"]
        self.assertEqual(confirmed(tag), [None] * 4)
        self.feed.gone_after_s = 60.0
        now_s = self.clock.seconds()
        self.feed.heed(Notice(State.HELD, "why", Moment(now_s, now_s), "hold", overlay=("/a",)))
        *held, lifetime = confirmed(tag)
        self.assertEqual(held, ["0", '"why"', '"/a"'])
        self.assertTrue(lifetime)
        self.feed.heed(Notice())
        self.assertEqual(confirmed(tag)[:3], [""] * 3)
        part = self.get(path=b"/feed/a").headers
        self.assertEqual(confirmed(part["etag"], b"/feed/a")[:3], [""] * 3)
        self.feed.heed(Notice(State.ENDED, "", None, "end"))
        self.assertEqual(confirmed(tag), [""] * 4)
        # nginx makes the 304 for a browser from the 200 that it has stored.
        self.assertEqual([self.get().headers.get(name) for name in names], [""] * 4)

    def test_withdrawn(self) -> None:
        """The refusal has the reason, too, and nothing of the documents behind it."""
        publish(self.feed, b"1")
        self.feed.tell_reasons(are_public=True)
        self.feed.heed(Notice(State.WITHDRAWN, "wrong", None, "withdraw"))
        answer = self.get()
        self.assertEqual((answer.status, answer.headers["livefeed-reason"]), (410, '"wrong"'))
        self.assertEqual(answer.headers["cache-control"], "no-store")


class OverlayTests(DocumentTestCase):
    """The field about an editor's values."""

    def test_whole_and_parts(self) -> None:
        """It lists their pointers, and of a part those in it."""
        publish(self.feed, b'{"a":{"\xc3\xa9":1},"b":2}')
        self.assertNotIn("livefeed-overlay", self.get().headers)
        self.feed.heed(Notice(overlay=("/a/é", "/c")))
        fields = self.get().headers
        self.assertEqual(fields["livefeed-overlay"], '"/a/%C3%A9", "/c"')
        self.assertIn("Livefeed-Overlay", fields["access-control-expose-headers"])
        known = self.get(b"If-None-Match: " + fields["etag"].encode())
        self.assertEqual((known.status, known.headers["livefeed-overlay"]), (304, '"/a/%C3%A9", "/c"'))
        self.assertEqual(self.get(path=b"/feed/a").headers["livefeed-overlay"], '"/%C3%A9"')
        self.assertEqual(self.get(path=b"/feed/a/%C3%A9").headers["livefeed-overlay"], '""')
        self.assertEqual(self.get(path=b"/feed/b").headers["livefeed-overlay"], "")
        self.feed.heed(Notice())
        for path in (b"/feed", b"/feed/a"):
            self.assertEqual(self.get(path=path).headers["livefeed-overlay"], "")

    def test_document_that_is_not_shown(self) -> None:
        """The refusal says nothing about it."""
        publish(self.feed, b"{}")
        self.feed.heed(Notice(State.WITHDRAWN, kind="withdraw", overlay=("/a",)))
        answer = self.get()
        self.assertEqual((answer.status, answer.headers.get("livefeed-overlay")), (410, None))


class GoneTests(DocumentTestCase):
    """A document that is too old to be shown."""

    def test_nothing_is_shown(self) -> None:
        """No request gets the expired document or a part of it; a new pull brings it back at once."""
        self.feed.gone_after_s = 10
        publish(self.feed, b'{"part": 1}')
        etag = self.get().headers["etag"].encode()
        delivery = (
            (b"/feed",),
            (b"/feed", b"If-None-Match: " + etag),
            (b"/feed", b"If-None-Match: " + etag, b"Prefer: wait=10"),
            (b"/feed", b'If-Match: "other"'),
            (b"/feed.json", b"A-IM: json-patch", b"If-None-Match: " + etag),
            (b"/feed/part",),
        )
        self.clock.advance(9)
        self.assertEqual(self.get().status, 200)
        self.clock.advance(1)
        for path, *fields in delivery:
            response = self.get(*fields, path=path)
            self.assertEqual((response.status, response.headers["livefeed-state"]), (410, "expired"), path)
            self.assertIn("too old", response.body.decode())
            self.assertEqual((response.headers["retry-after"], response.headers["cache-control"]), ("1", "no-store"))
            self.assertNotIn("etag", response.headers)
            self.assertEqual(response.headers["livefeed-age"], "10")
        events = self.get(path=b"/feed.sse", method=b"HEAD")
        self.assertEqual((events.status, events.headers["livefeed-state"]), (200, "expired"))
        publish(self.feed, b'{"part": 1}')
        self.assertEqual([self.get(*fields, path=path).status for path, *fields in delivery[:2]], [200, 304])
        self.assertEqual(self.get(path=b"/feed/part").status, 200)

    def test_withdrawn_document_is_shown_to_nobody(self) -> None:
        """Requests are answered 410 as for an expired one, but not told to come back soon; pulls change nothing."""
        publish(self.feed, b'{"part": 1}')
        etag = self.get().headers["etag"].encode()
        self.get(path=b"/feed/part")
        self.feed.decide(State.WITHDRAWN)
        for version in (b'{"part": 1}', b'{"part": 2}'):
            publish(self.feed, version)
            for path, field in (
                (b"/feed", b"Accept: */*"),
                (b"/feed", b"If-None-Match: " + etag),
                (b"/feed", b"If-None-Match: *\r\nPrefer: wait=10"),
                (b"/feed.json", b"A-IM: json-patch\r\nIf-None-Match: " + etag),
                (b"/feed/part", b"Accept: */*"),
            ):
                response = self.get(*field.split(b"\r\n"), path=path)
                self.assertEqual((response.status, response.headers["livefeed-state"]), (410, "withdrawn"), path)
                self.assertEqual(response.headers["cache-control"], "no-store")
                self.assertIn("withdrawn", response.body.decode())
                self.assertFalse({"etag", "retry-after", "livefeed-version"} & {*response.headers})
        events = self.get(path=b"/feed.sse", method=b"HEAD")
        self.assertEqual((events.status, events.headers["livefeed-state"]), (200, "withdrawn"))
        self.feed.decide(None)
        self.assertEqual((self.get().status, self.get().body), (200, b'{"part": 2}'))
        self.assertEqual(self.get(path=b"/feed/part").body, b"2")

    def test_held_and_ended_documents_are_served(self) -> None:
        """The document and its parts are served with their state; one that has ended may be kept as long as any."""
        publish(self.feed, b'{"part": 1}')
        self.feed.gone_after_s = 10
        for decision in (State.HELD, State.ENDED):
            self.feed.decide(decision)
            for path in (b"/feed", b"/feed/part"):
                response = self.get(path=path)
                self.assertEqual((response.status, response.headers["livefeed-state"]), (200, decision.value))
                ends = response.headers["cache-control"].endswith("stale-if-error=300")
                self.assertEqual(ends, decision is State.ENDED)
        self.clock.advance(20)
        self.assertEqual((self.get().status, self.get(path=b"/feed/part").status), (200, 200))
        self.feed.decide(State.HELD)
        self.assertEqual(self.get().headers["livefeed-state"], "expired")

    def test_lifetime(self) -> None:
        """The field says for how long the document or a part may be shown; it is missing where there is no limit."""
        publish(self.feed, b'{"part": 1}')
        etag = self.get().headers["etag"].encode()
        self.assertNotIn("livefeed-lifetime", self.get().headers)
        self.feed.gone_after_s = 600
        publish(self.feed, b'{"part": 1}')
        self.clock.advance(100)
        self.feed.mark_stale()
        told = (self.get(), self.get(b"If-None-Match: " + etag), self.get(path=b"/feed/part"))
        self.assertEqual(
            [(each.status, each.headers["livefeed-lifetime"]) for each in told],
            [(200, "499750"), (304, "499750"), (200, "499750")],
        )
        self.feed.decide(State.ENDED)
        self.assertEqual(self.get().headers["livefeed-lifetime"], "")
        self.feed.decide(None)
        self.clock.advance(500)
        self.feed.mark_stale()
        gone = self.get()
        self.assertEqual((gone.status, "livefeed-lifetime" in gone.headers), (410, False))

    def test_nothing_is_kept_for_longer(self) -> None:
        """No directive lets a cache keep the document or a part beyond its expiry, fresh or stale."""
        self.feed.gone_after_s = 10
        publish(self.feed, b'{"part": 1}')
        told = []
        for _ in range(10):
            for path in (b"/feed", b"/feed/part"):
                found = re.findall(r"[a-z-]+=(\d+)", self.get(path=path).headers["cache-control"])
                fresh, meanwhile, if_error = map(int, found)
                told.append((fresh, meanwhile, if_error))
                self.assertLessEqual(fresh + max(meanwhile, if_error), self.feed.expires_in_s())
            self.clock.advance(1)
            self.feed.mark_stale()
        self.assertEqual((told[0], told[-1]), ((1, 1, 8), (0, 0, 0)))
        self.feed.gone_after_s = math.inf
        publish(self.feed, b"2")
        self.assertTrue(
            self.get().headers["cache-control"].endswith("max-age=1, stale-while-revalidate=1, stale-if-error=300")
        )


class StatementTests(DocumentTestCase):
    """The signed statement about the newest version."""

    def test_answers(self) -> None:
        """The document in each coding, 304 and a delta have the same statement, about the document without a coding."""
        unsigned = self.get()
        publish(self.feed, DOCUMENT)
        self.assertNotIn("livefeed-statement", self.get().headers)
        self.feed.signer = make_signer(self.clock.seconds)
        newest = DOCUMENT.replace(b"7.50", b"8.50")
        before = version_of(DOCUMENT)
        publish(self.feed, newest)
        answers = [
            self.get(),
            self.get(b"Accept-Encoding: gzip"),
            self.get(b'If-None-Match: "%s"' % version_of(newest).encode()),
            self.get(b"A-IM: livefeed-splices", b'If-None-Match: "%s"' % before.encode()),
        ]
        self.assertEqual([each.status for each in answers], [200, 200, 304, 226])
        found = {of_fields(each.headers) for each in answers}
        self.assertEqual(len(found), 1)
        statement = found.pop().statement
        self.assertEqual((statement.feed, statement.state), ("feed", "live"))
        self.assertEqual(statement.digest, hashlib.sha256(newest).digest())
        self.assertEqual(statement.sequence_text, answers[0].headers["livefeed-sequence"])
        self.assertEqual(statement.at, answers[0].headers["livefeed-at"])
        exposed = answers[0].headers["access-control-expose-headers"]
        self.assertTrue(exposed.endswith(", Livefeed-Statement, Signature-Input, Signature"))
        self.assertTrue(exposed.startswith(unsigned.headers["access-control-expose-headers"]))

    def test_each_tick(self) -> None:
        """A replayed answer has the statement of its tick."""
        self.feed.signer = make_signer(self.clock.seconds)
        publish(self.feed, DOCUMENT)
        first = of_fields(self.get().headers)
        self.clock.advance(1)
        publish(self.feed, DOCUMENT)
        second = of_fields(self.get().headers)
        self.assertEqual(second.created, first.created + 1)
        self.assertEqual(of_fields(self.get().headers), second)

    def test_withdrawn(self) -> None:
        """Nothing is said about a document that is withdrawn."""
        self.feed.signer = make_signer(self.clock.seconds)
        publish(self.feed, DOCUMENT)
        self.feed.decide(State.WITHDRAWN)
        found = self.get()
        self.assertEqual((found.status, found.headers.get("livefeed-statement")), (410, None))

    def test_parts(self) -> None:
        """A part has no statement: it is about the whole document."""
        self.feed.signer = make_signer(self.clock.seconds)
        publish(self.feed, DOCUMENT)
        found = self.get(path=b"/feed/votes/0")
        self.assertEqual((found.status, found.headers.get("livefeed-statement")), (200, None))


class ProtectedTests(DocumentTestCase):
    """Documents that need a token."""

    def test_answers_belong_to_one_client(self) -> None:
        """None may be stored, and a request that has waited is judged again."""
        clock = Clock()
        made = make_site(clock=clock)
        guard = protect(made.published[0], made.site)
        publish(made.feed, DOCUMENT)

        def get(*fields: bytes) -> Response:
            return request(made.site, b"\n".join([b"GET /feed HTTP/1.1", AUTHORIZATION, *fields]))

        response = get()
        self.assertEqual((response.status, response.headers["cache-control"]), (200, "private, no-store"))
        self.assertEqual(response.headers["vary"], "Accept-Encoding, Accept, Authorization")
        self.assertEqual(request(made.site, b"GET /feed HTTP/1.1").status, 401)
        transport = StringTransport()
        channel: Any = made.site.buildProtocol(None)
        channel.makeConnection(transport)
        wait = b"Prefer: wait=9\r\nIf-None-Match: " + response.headers["etag"].encode()
        head = b"GET /feed HTTP/1.1\r\nHost: a\r\n%s\r\n%s\r\n\r\n" % (AUTHORIZATION, wait)
        channel.dataReceived(head)
        publish(made.feed, DOCUMENT + b" ")
        self.assertIn(b"HTTP/1.1 200 ", transport.value())
        transport.clear()
        channel.dataReceived(head.replace(b"If-None-Match", b"If-None-Match: *\r\nX"))
        assert isinstance(guard.verifier, FakeVerifier)
        guard.verifier.revoked.add(TOKEN)
        guard.check()
        clock.advance(0)
        self.assertIn(b"HTTP/1.1 401 ", transport.value())
        preflight = b"OPTIONS /feed HTTP/1.1\nAccess-Control-Request-Method: GET"
        allowed = request(made.site, preflight).headers["access-control-allow-headers"]
        self.assertTrue(allowed.endswith(", Authorization"), allowed)
