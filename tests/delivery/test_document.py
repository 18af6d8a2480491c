"""Polling: the answers that twisted.web renders for a feed, driven in memory."""

from __future__ import annotations

import json
import math
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from livefeed.document.snapshot import version_of
from livefeed.feed.parts import UNUSED_S, TooManyPartsError
from livefeed.feed.state import State
from livefeed.testing import Response, make_site, publish, request
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers.documents import DOCUMENT, NOW, DocumentTestCase
from tests.helpers.guarded import AUTHORIZATION, TOKEN, FakeVerifier, protect


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


class ConditionTests(DocumentTestCase):
    """Conditional requests, and fields that set no condition here."""

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


class RoomTests(DocumentTestCase):
    """Requests that there is no room for, or no more time."""

    WAIT = b"If-None-Match: *\nPrefer: wait=5"
    STREAM = b"Accept: text/event-stream"

    def setUp(self) -> None:
        super().setUp()
        publish(self.feed, b'{"a":1}')

    def test_limit_of_subscribers(self) -> None:
        """Streams and waits beyond it are refused and counted; the document is given to everybody."""
        self.published.max_subscribers = 1
        self.assertIn(b"\ndata: ", self.get(self.STREAM).body)
        self.assertNotIn(b"\ndata: ", self.get(self.STREAM).body)
        self.assertEqual(self.get(self.WAIT).status, 503)
        self.assertEqual(self.feed.tally.refused["limit"], 2)
        self.assertEqual(self.get().status, 200)

    def test_stop(self) -> None:
        """Nothing waits for the next version any more, and clients are told when to come back."""
        self.published.let_go(ReconnectSlots())
        answer = self.get(self.WAIT)
        self.assertEqual((answer.status, answer.headers["preference-applied"]), (304, "wait=5"))
        self.assertIn("retry-after", answer.headers)
        self.assertNotIn("retry-after", self.get(b"Prefer: wait=5").headers)
        self.assertNotIn(b"\ndata: ", self.get(self.STREAM).body)
        self.assertEqual(self.feed.tally.refused["stopping"], 1)

    def test_too_many_parts(self) -> None:
        """A stream of one is refused as an EventSource understands it, and the document is 503."""

        def fail(*_arguments: object, **_named: object) -> None:
            raise TooManyPartsError

        self.patch(self.published.parts, "find", fail)
        answers = [self.get(*fields, path=b"/feed/a") for fields in ([], [self.STREAM])]
        self.assertEqual([each.status for each in answers], [503, 200])
        self.assertEqual(answers[0].headers["retry-after"], str(math.ceil(UNUSED_S)))


class EventTests(DocumentTestCase):
    """Documents whose news a client asks for as events."""

    def test_nothing_is_left_to_come(self) -> None:
        """A client that has the last version of a document that has ended is told so; others are sent events."""
        publish(self.feed, DOCUMENT)
        last = b"Last-Event-ID: " + version_of(DOCUMENT).encode()
        self.feed.decide(State.ENDED)
        for fields, status in (([last], 204), ([b"Last-Event-ID: other"], 200), ([], 200)):
            self.assertEqual(self.get(*fields, path=b"/feed.sse").status, status)

    def test_three_kinds_of_events(self) -> None:
        """The query asks for deltas, of one document or of several."""
        publish(self.feed, DOCUMENT)
        begun = [self.get(path=b"/feed.sse" + query).body for query in (b"", b"?delta=1", b"?delta=2")]
        self.assertEqual(len(set(begun)), 3)


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
