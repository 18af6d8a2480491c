"""The fields of a document's answers."""

from __future__ import annotations

import hashlib
import math
import re

from livefeed.clocks import Moment
from livefeed.document.snapshot import version_of
from livefeed.feed.notice import Notice
from livefeed.feed.state import State
from livefeed.testing import publish
from tests.helpers.documents import DOCUMENT, DocumentTestCase
from tests.helpers.signers import make_signer, of_fields


class FreshnessTests(DocumentTestCase):
    """The age of the data, and the time for which caches may keep an answer."""

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

    def test_answer_is_fresh_until_the_next_tick(self) -> None:
        """Cache-Control is tuned to the tick, in whole seconds and at least one."""
        self.serve("*", interval_s=30)
        self.feed.tick_at = self.clock.seconds()
        publish(self.feed, DOCUMENT)
        for advance_s, fresh_s in ((0, 30), (10.5, 20), (19, 1), (5, 10)):
            self.clock.advance(advance_s)
            expected = f"public, max-age={fresh_s}, stale-while-revalidate=30, stale-if-error=300"
            self.assertEqual(self.get().headers["cache-control"], expected)


class PermissionTests(DocumentTestCase):
    """The pages that may read an answer."""

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


class LifetimeTests(DocumentTestCase):
    """The time for which a document may be shown."""

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
