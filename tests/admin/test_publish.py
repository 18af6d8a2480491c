"""Stored documents on the operator's port: methods, conditions, patches, limits, and the answers to all failures."""

from __future__ import annotations

import errno
import json
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.access import Access
from livefeed.admin.contents import MAX_CONTENTS_BYTES, Contents
from livefeed.admin.publish import LIVE_S, FeedsResource, limit_of
from livefeed.admin.site import CONTENT_TIMEOUT_S, OperatorRoot, OperatorSite
from livefeed.document.requirements import Required
from livefeed.document.rules import Rules, RuleSpec, Violation
from livefeed.document.selectors import parse_selector
from livefeed.document.snapshot import version_of
from livefeed.exceptions import StoreError
from livefeed.feed.embargo_effects import EmbargoEffects
from livefeed.feed.embargo_keeping import EmbargoKeeping
from livefeed.feed.embargoes import Embargoes
from livefeed.feed.feed import Feed
from livefeed.feed.state import State
from livefeed.intake.puller import PullOutcome
from livefeed.intake.timed_release import Foresight
from livefeed.storage.embargo_file import EmbargoFile
from livefeed.storage.shared_writes import SPACING_S, SharedWrites
from livefeed.storage.store import Store
from livefeed.testing import Response, publish
from tests.helpers.crashing_files import RefusingFiles
from tests.helpers.desks import desk_of

MERGE = b"Content-Type: application/merge-patch+json"
PATCH = b"Content-Type: application/json-patch+json"
MAX_BYTES = 2000
TOKEN = b"0123456789abcdefghij"
NOON_S = 1_800_000_000.0
LATER = b"Livefeed-Publish-At: 2027-01-15T10:00:00+01:00"


class PublishedFeed:
    """A feed with a store, which is pulled when it is asked to, or when the test says so."""

    source_name = "store:"
    max_bytes = MAX_BYTES

    def __init__(self, clock: Clock, folder: Path) -> None:
        self.feed = Feed("results", clock=clock)
        self.files = RefusingFiles()
        self.store: SharedWrites | None = SharedWrites(
            Store(folder / "results.store", lambda: 1.0, self.files), "results", clock, maybeDeferred
        )
        self.store.open()
        self.outcome: Deferred[PullOutcome] | None = None
        self.desk = desk_of(self.feed)
        file = EmbargoFile(folder / "results.embargoes", self.files)
        keeping = EmbargoKeeping("results", maybeDeferred, lambda: NOON_S, file)
        self.embargoes = Embargoes(self.feed, keeping, clock, EmbargoEffects(self.feed, clock, self))
        self.embargoes.open()

    async def end_hold(self, _: object) -> None:
        raise AssertionError

    async def foresee(self, _: bytes | None) -> Foresight:
        return Foresight()

    def pull_soon(self) -> Deferred[PullOutcome]:
        assert self.store is not None
        if self.outcome is not None:
            return self.outcome
        if self.store.document is not None:
            publish(self.feed, self.store.document)
        return succeed(PullOutcome(is_shown=True))


class PublishTestCase(SynchronousTestCase):
    """An operator's port with a feed that has a store, and one that has none."""

    token: bytes | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.published = PublishedFeed(self.clock, self.new_folder())
        assert self.published.store is not None
        self.store = self.published.store
        self.addCleanup(self.store.store.close)
        other = PublishedFeed(self.clock, self.new_folder())
        assert other.store is not None
        other.store.close()
        other.store, other.source_name = None, "redis://localhost/0/key"
        self.feeds = {"results": self.published, "other": other}
        self.contents = Contents(lambda path: limit_of(self.feeds, path))
        resource = FeedsResource(self.feeds, self.clock)
        root = OperatorRoot(Access(self.clock, token=self.token), {"feeds": resource})
        self.site = OperatorSite(root, reactor=self.clock, contents=self.contents)

    def new_folder(self) -> Path:
        """Gives a folder that does not exist, and is removed at the end."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return Path(directory.name) / "state"

    def open(self) -> tuple[Any, StringTransport]:
        """Opens a connection."""
        channel: Any = self.site.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        return channel, transport

    def ask(self, method: str, *fields: bytes, content: bytes | None = None, path: str = "/feeds/results") -> Response:
        """Sends a request, and gives the answer."""
        channel, transport = self.open()
        length = [] if content is None else [b"Content-Length: %d" % len(content)]
        head = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", *fields, *length, b"", b""]
        channel.dataReceived(b"\r\n".join(head) + (content or b""))
        self.clock.advance(SPACING_S)
        return Response.parse(transport.value())

    def put(self, data: bytes, *fields: bytes) -> Response:
        """Stores a document."""
        return self.ask("PUT", *fields, content=data)


class AsideTests(PublishTestCase):
    """Documents that are set aside for a time (Livefeed-Publish-At)."""

    def test_set_aside(self) -> None:
        """202 with the id and the time, and not a trace of it in what the port says about the feed."""
        self.put(b"[1]")
        before = self.said()
        answered = self.put(b'{"a": "secret"}', LATER)
        report = json.loads(answered.body)
        self.assertEqual((answered.status, report["live"], report["at"]), (202, False, "2027-01-15T09:00:00.000Z"))
        self.assertEqual(answered.headers["livefeed-version"], version_of(b"[1]"))
        self.assertNotIn("etag", answered.headers)
        self.assertEqual(self.said(), before)
        self.assertEqual([each.id for each in self.published.embargoes.entries], [report["id"]])

    def said(self) -> list[tuple[dict[str, str], list[dict[str, Any]]]]:
        """Gives all that the port says about the feed, without the number of syncs, which reading increases."""
        answers = [self.ask("GET", path=path) for path in ("/feeds", "/feeds/results", "/feeds/results/versions")]
        found = []
        for each in answers:
            listed = [row for row in json.loads(each.body) if isinstance(row, dict)]
            fields = {name: value for name, value in each.headers.items() if name not in ("date", "content-length")}
            found.append((fields, [{name: row[name] for name in row if name != "commits"} for row in listed]))
        return found

    def test_refused(self) -> None:
        """A time that is none, an invalid document, and a full disk: nothing is set aside, and nothing is stored."""
        self.assertEqual(self.put(b"[1]", b"Livefeed-Publish-At: 21:30").status, 400)
        self.assertEqual(self.put(b"[1]", LATER, LATER).status, 400)
        self.assertEqual(self.put(b"[1]", b"Livefeed-Publish-At: 2020-01-15T09:00:00Z").status, 422)
        self.assertEqual(self.put(b"[1", LATER).status, 422)
        self.assertEqual(self.put(b"[1]", LATER, b"If-Match: x").status, 400)
        self.published.files.refusals["write"] = errno.ENOSPC
        self.assertEqual(self.put(b"[1]", LATER).status, 507)
        self.assertEqual((self.published.embargoes.entries, self.store.document), ((), None))

    def test_handed_over(self) -> None:
        """The publisher comes back: a successor takes over in less than a second."""
        self.published.embargoes.close()
        refused = self.put(b"[1]", LATER)
        self.assertEqual((refused.status, refused.headers["retry-after"]), (503, "1"))

    def test_other_methods(self) -> None:
        """They are refused with the field: to pass over it would show the result now."""
        self.put(b"[1]")
        for method, fields, content in (("PATCH", (MERGE,), b"{}"), ("DELETE", (), None)):
            self.assertEqual(self.ask(method, LATER, *fields, content=content).status, 400)
        path = f"/feeds/results/versions/{version_of(b'[1]')}/restore"
        self.assertEqual(self.ask("POST", LATER, path=path).status, 400)
        self.assertEqual(self.store.document, b"[1]")

    def test_ended(self) -> None:
        """No document is set aside for a feed that has ended."""
        self.published.feed.decide(State.ENDED)
        self.assertEqual(self.put(b"[1]", LATER).status, 409)


class DocumentTests(PublishTestCase):
    """PUT, GET and DELETE."""

    def test_put_and_get(self) -> None:
        """201 for the first document and 200 for the next ones, which are shown to watchers then."""
        self.assertEqual(self.ask("GET").status, 404)
        first = self.put(b'{"a": 1}', b"Content-Type: application/json; charset=utf-8")
        version = version_of(b'{"a": 1}')
        self.assertEqual((first.status, first.headers["etag"]), (201, f'"{version}"'))
        self.assertEqual(first.headers["livefeed-version"], version)
        report = json.loads(first.body)
        self.assertEqual((report["version"], report["shown"], report["live"]), (version, version, True))
        self.assertEqual(report["sequence"], first.headers["livefeed-sequence"])
        self.assertEqual((self.put(b"[2]").status, self.store.document), (200, b"[2]"))
        got = self.ask("GET")
        self.assertEqual((got.status, got.body, got.headers["cache-control"]), (200, b"[2]", "no-store"))
        self.assertEqual(got.headers["content-type"], "application/json")
        head = self.ask("HEAD")
        self.assertEqual((head.status, head.body, head.headers["content-length"]), (200, b"", "3"))

    def test_same_document(self) -> None:
        """It is not written again, and the answer says so."""
        self.put(b"[1]")
        again = self.put(b"[1]")
        self.assertEqual((again.status, json.loads(again.body)["changed"], len(self.store.store.kept)), (200, False, 1))

    def test_delete(self) -> None:
        """There is no document any more; another one is a new one. Watchers keep the document that they are shown."""
        self.put(b"[1]")
        self.assertEqual(self.ask("DELETE").status, 204)
        self.assertEqual((self.ask("GET").status, self.ask("DELETE").status), (404, 404))
        assert self.published.feed.snapshot is not None
        self.assertEqual(self.published.feed.snapshot.data, b"[1]")
        self.assertEqual(self.put(b"[1]").status, 201)

    def test_documents_that_no_feed_may_have(self) -> None:
        """They are not stored, and the answer has the reason."""
        for data, why in ((b"", "empty"), (b"{", "line 1, column 2"), (b'{"a":1,"a":2}', "twice"), (b"\xff", "UTF-8")):
            refused = self.put(data)
            self.assertEqual(refused.status, 422, data)
            self.assertIn(why, json.loads(refused.body)["detail"])
        self.assertIsNone(self.store.newest)

    def test_ended_feed(self) -> None:
        """Nothing is stored for a feed of which no more versions will come."""
        self.put(b"[1]")
        self.published.feed.decide(State.ENDED)
        self.assertEqual([self.put(b"[2]").status, self.ask("DELETE").status, self.ask("GET").status], [409, 409, 200])

    def test_media_types(self) -> None:
        """A document is JSON, without a content coding. Without a type it is taken for one."""
        for field, status in (
            (b"Content-Type: text/plain", 415),
            (b"Content-Type: application/geo+json", 201),
            (b"Content-Encoding: gzip", 415),
        ):
            self.assertEqual(self.put(b"[1]", field).status, status, field)

    def test_paths_and_methods(self) -> None:
        """Only feeds with a store have a document here, and the reason is told for the others."""
        listed = json.loads(self.ask("GET", path="/feeds").body)
        self.assertEqual(listed, [{"feed": "results", "version": None, "write": None, "commits": 0}])
        other = self.ask("PUT", content=b"1", path="/feeds/other")
        self.assertEqual(other.status, 404)
        bogus = self.ask("GET", path="/feeds/bogus")
        self.assertEqual(bogus.status, 404)
        self.assertIn(b"no feed by this name; those with the source store: are results", bogus.body)
        self.assertIn("redis://localhost/0/key", json.loads(self.ask("GET", path="/feeds/other").body)["detail"])
        for path in ("/feeds/results/bogus", "/feeds/results/versions/a/b", "/feeds/results%2F", "/feeds/%ff"):
            self.assertEqual(self.ask("GET", path=path).status, 404, path)
        post = self.ask("POST", content=b"")
        self.assertEqual((post.status, post.headers["allow"]), (405, "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"))
        options = self.ask("OPTIONS")
        self.assertEqual(options.headers["accept-patch"], "application/merge-patch+json, application/json-patch+json")
        self.assertEqual(self.ask("PUT", content=b"1", path="/feeds/results/versions").status, 405)
        self.assertEqual(self.ask("PUT", content=b"1", path="/feeds").status, 405)


class ConditionTests(PublishTestCase):
    """If-Match and If-None-Match."""

    def test_writes(self) -> None:
        """They hold for the stored document; 412 changes nothing, and names the stored version."""
        tag = b'"%b"' % version_of(b"[1]").encode()
        for field, data, status in (
            (b"If-Match: *", b"[1]", 412),
            (b"If-Match: " + tag, b"[1]", 412),
            (b"If-None-Match: *", b"[1]", 201),
            (b"If-None-Match: *", b"[2]", 412),
            (b"If-None-Match: W/" + tag, b"[2]", 412),
            (b'If-Match: "other"', b"[2]", 412),
            (b"If-Match: W/" + tag, b"[2]", 412),
            (b'If-Match: "other", ' + tag, b"[2]", 200),
            (b"If-Match: " + tag, b"[3]", 412),
            (b'If-None-Match: "other"', b"[3]", 200),
            (b"If-Match: *", b"[4]", 200),
            (b"If-Match: nonsense", b"[5]", 400),
            (b"If-None-Match: nonsense", b"[5]", 400),
            (b"If-None-Match: " + b", ".join(b'"%d"' % number for number in range(65)), b"[5]", 400),
        ):
            before = self.store.document
            answer = self.put(data, field)
            self.assertEqual(answer.status, status, field)
            self.assertEqual(self.store.document, data if status < 300 else before, field)
            if status == 412 and before is not None:
                self.assertEqual(answer.headers["etag"], f'"{version_of(before)}"')
        self.assertEqual(self.ask("DELETE", b'If-Match: "other"').status, 412)
        self.assertEqual(self.ask("PATCH", MERGE, b"If-Match: " + tag, content=b"{}").status, 412)

    def test_reads(self) -> None:
        """A reader that has the stored document gets 304, and one that wants another 412."""
        self.put(b"[1]")
        tag = b'"%b"' % version_of(b"[1]").encode()
        self.assertEqual(self.ask("GET", b"If-None-Match: " + tag).status, 304)
        self.assertEqual(self.ask("GET", b"If-None-Match: *").status, 304)
        self.assertEqual(self.ask("GET", b'If-None-Match: "other"').status, 200)
        self.assertEqual(self.ask("GET", b'If-Match: "other"').status, 412)


class PatchTests(PublishTestCase):
    """PATCH."""

    def test_both_kinds(self) -> None:
        """A patch changes the stored document, and numbers keep their text."""
        self.put(b'{"a": 1.50, "b": [1]}')
        merged = self.ask("PATCH", MERGE, content=b'{"c": 12345678901234567890, "b": null}')
        self.assertEqual((merged.status, self.store.document), (200, b'{"a":1.50,"c":12345678901234567890}'))
        patched = self.ask("PATCH", PATCH, content=b'[{"op": "replace", "path": "/a", "value": -0}]')
        self.assertEqual((patched.status, self.store.document), (200, b'{"a":-0,"c":12345678901234567890}'))

    def test_refusals(self) -> None:
        """400 for what is no patch, 415 for other types, 422 for one that does not fit, 404 without a document."""
        self.assertEqual(self.ask("PATCH", MERGE, content=b"{}").status, 404)
        self.put(b'{"a": 1}')
        large = b'{"b": "%b"}' % (b"x" * (MAX_BYTES - 12))
        for field, content, status in (
            (MERGE, b"{", 400),
            (PATCH, b"{}", 400),
            (PATCH, b'[{"op": "test", "path": "/a", "value": 2}]', 422),
            (PATCH, b'[{"op": "remove", "path": "/b"}]', 422),
            (MERGE, large, 422),
            (b"Content-Type: application/json", b"{}", 415),
            (b"X-Nothing: 1", b"{}", 415),
        ):
            refused = self.ask("PATCH", field, content=content)
            self.assertEqual(refused.status, status, content[:60])
            self.assertEqual("accept-patch" in refused.headers, status == 415)
        self.assertEqual(self.store.document, b'{"a": 1}')


class VersionTests(PublishTestCase):
    """Past versions."""

    def setUp(self) -> None:
        super().setUp()
        for data in (b"[1]", b"[2]", b"[3]"):
            self.put(data)
        self.ask("DELETE")

    def test_listed_and_read(self) -> None:
        """The newest comes first. A version is named by its beginning."""
        listed = json.loads(self.ask("GET", path="/feeds/results/versions").body)
        self.assertEqual([each["write"] for each in listed], [4, 3, 2, 1])
        self.assertEqual([each["deleted"] for each in listed], [True, False, False, False])
        version = version_of(b"[2]")
        for name in (version, version[:6]):
            got = self.ask("GET", path=f"/feeds/results/versions/{name}")
            self.assertEqual((got.status, got.body, got.headers["etag"]), (200, b"[2]", f'"{version}"'))
        for name in (version[:5], "0" * 32, "", "%22"):
            self.assertEqual(self.ask("GET", path=f"/feeds/results/versions/{name}").status, 404, name)

    def test_restored(self) -> None:
        """A restored version is a new write, with the conditions of one."""
        path = f"/feeds/results/versions/{version_of(b'[2]')}/restore"
        self.assertEqual(self.ask("POST", b"If-Match: *", content=b"", path=path).status, 412)
        self.assertEqual((self.ask("POST", content=b"", path=path).status, self.store.document), (201, b"[2]"))
        again = self.ask("POST", content=b"", path=path)
        self.assertEqual((again.status, json.loads(again.body)["changed"]), (200, False))
        self.assertEqual(self.ask("GET", path=path).status, 405)
        self.assertEqual(self.ask("POST", content=b"", path="/feeds/results/versions/000000/restore").status, 404)


class OutcomeTests(PublishTestCase):
    """Writes that are durable and not shown, and writes that fail."""

    def test_not_shown(self) -> None:
        """202 says that the document is stored and watchers are not shown it, with the reason."""
        self.put(b"[1]")
        self.published.outcome = succeed(PullOutcome(is_shown=False, why="a rule"))
        held = self.put(b"[2]")
        report = json.loads(held.body)
        self.assertEqual((held.status, report["live"], report["why"]), (202, False, "a rule"))
        self.assertEqual(held.headers["etag"], f'"{version_of(b"[2]")}"')
        self.assertEqual(held.headers["livefeed-version"], version_of(b"[1]"))

    def test_pull_that_takes_long(self) -> None:
        """The answer comes in any case: the document is durable."""
        self.published.outcome = Deferred()
        channel, transport = self.open()
        channel.dataReceived(b"PUT /feeds/results HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1")
        self.assertEqual((transport.value(), self.store.document), (b"", b"1"))
        self.clock.advance(LIVE_S)
        self.assertEqual(Response.parse(transport.value()).status, 202)

    def test_client_that_leaves(self) -> None:
        """Its document is stored all the same."""
        self.published.outcome = Deferred()
        channel, transport = self.open()
        channel.dataReceived(b"PUT /feeds/results HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1")
        channel.connectionLost(Failure(ConnectionLost()))
        self.published.outcome.callback(PullOutcome(is_shown=True))
        self.assertEqual((transport.value(), self.store.document), (b"", b"1"))

    def test_disk_that_refuses(self) -> None:
        """507 for a full disk and 500 for other reasons: nothing has changed."""
        self.put(b"[1]")
        for error, status in ((errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EROFS, 500)):
            self.published.files.refusals = {"write": error}
            refused = self.put(b"[2]")
            self.assertEqual(refused.status, status)
            self.assertIn("results.store", json.loads(refused.body)["detail"])
            self.assertEqual(self.ask("GET").body, b"[1]")

    def test_hand_over(self) -> None:
        """A store that another process takes over is not written to, and the client is told to come back."""
        self.put(b"[1]")
        self.store.close()
        for method, content in (("PUT", b"[2]"), ("DELETE", None)):
            refused = self.ask(method, content=content)
            self.assertEqual((refused.status, refused.headers["retry-after"]), (503, "1"))
        self.assertEqual(self.ask("GET").body, b"[1]")
        self.store.open()
        self.assertEqual(self.store.document, b"[1]")

    def test_before_the_store_is_open(self) -> None:
        """A process that takes over does not say that there is no document."""
        self.store.close()
        self.assertEqual(self.ask("GET").status, 503)
        self.store.open()
        self.assertEqual(self.ask("GET").status, 404)

    def test_defect(self) -> None:
        """A defect is in the log, and its text in no answer."""
        self.patch(self.store.store, "commit", lambda _: 1 // 0)
        broken = self.put(b"[1]")
        self.assertEqual((broken.status, b"division" in broken.body), (500, False))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class ContentTests(PublishTestCase):
    """The bounds of contents."""

    def test_sizes(self) -> None:
        """The largest document is read, and a larger one is refused before a byte of it is."""
        largest = b'"%b"' % (b"x" * (MAX_BYTES - 2))
        self.assertEqual(self.put(largest).status, 201)
        self.assertEqual(self.put(largest + b" ").status, 413)
        self.assertEqual(self.ask("PUT", b"Transfer-Encoding: chunked").status, 411)
        self.assertEqual(self.ask("GET", content=b"1").status, 413)
        self.assertEqual(self.ask("DELETE", content=b"1").status, 413)

    def test_memory(self) -> None:
        """All documents that arrive share a bound, which each gives back at its end."""
        self.published.max_bytes = 2 * MAX_CONTENTS_BYTES
        head = b"PUT /feeds/results HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        first, _ = self.open()
        first.dataReceived(head % (MAX_CONTENTS_BYTES + 1))  # a large one is taken if it is the only one
        refused = self.put(b"[1]")
        self.assertEqual((refused.status, refused.headers["retry-after"]), (503, "1"))
        first.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.put(b"[1]").status, 201)
        self.assertEqual(self.contents._reserved, 0)

    def test_client_that_leaves_its_document(self) -> None:
        """Its memory is in use until the disk has the document: other clients do not get it before."""
        waiting: Deferred[list[object]] = Deferred()
        self.store.in_thread = lambda *_: waiting
        channel, _ = self.open()
        channel.dataReceived(b"PUT /feeds/results HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n[1]")
        channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.contents._reserved, 3)
        waiting.callback([StoreError("no")])
        self.assertEqual(self.contents._reserved, 0)

    def test_time(self) -> None:
        """A client that stops in the middle of a document is disconnected; a larger one has more time."""
        for length, late_s in ((100, 1.0), (64 * 1024 * 5, 6.0)):
            self.published.max_bytes = length
            channel, transport = self.open()
            channel.dataReceived(
                b"PUT /feeds/results HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % length
            )
            channel.dataReceived(b"[")
            self.clock.advance(CONTENT_TIMEOUT_S - 0.1)
            self.assertEqual(transport.value(), b"")
            self.clock.advance(late_s)
            self.assertEqual(Response.parse(transport.value()).status, 408, length)

    def test_expect(self) -> None:
        """A client that asks is permitted to send its document, or refused before it does."""
        channel, transport = self.open()
        head = b"PUT /feeds/results HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        channel.dataReceived(head % 3)
        self.assertEqual(transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        transport.clear()
        channel.dataReceived(b"[1]")
        self.assertEqual(Response.parse(transport.value()).status, 201)
        channel, transport = self.open()
        channel.dataReceived(head % (MAX_BYTES + 1))
        self.assertEqual(Response.parse(transport.value()).status, 413)


class TokenTests(PublishTestCase):
    """A port with a token."""

    token = TOKEN

    def test_content_without_access(self) -> None:
        """Not a byte of a document is read before the token is right, and a wrong one counts once."""
        for number in range(6):
            refused = self.put(b"[1]", b"Authorization: Bearer wrong")
            self.assertEqual(refused.status, 401 if number < 5 else 429)
        self.assertEqual(self.put(b"[1]", b"Authorization: Bearer " + TOKEN).status, 201)
        self.assertEqual(
            self.put(b"[2]", b"Authorization: Bearer " + TOKEN, b"Origin: https://evil.example").status, 403
        )
        self.assertEqual(self.store.document, b"[1]")


class RuleTests(PublishTestCase):
    """Documents that a rule refuses."""

    def setUp(self) -> None:
        super().setUp()
        self.published.desk.rules = Rules.compile((RuleSpec("votes", Required((parse_selector("/votes"),))),))

    def test_strict(self) -> None:
        """Nothing is stored, and the answer names rule and place."""
        refused = self.put(b"{}", b"Prefer: handling=strict")
        problem = json.loads(refused.body)
        self.assertEqual((refused.status, problem["rule"], problem["pointer"]), (422, "votes", "/votes"))
        self.assertEqual(problem["detail"], "The rule votes refuses the document: /votes is missing.")
        self.assertEqual(refused.headers["preference-applied"], "handling=strict")
        self.assertIsNone(self.store.newest)
        stored = self.put(b'{"votes": 1}', b"Prefer: handling=strict")
        self.assertEqual((stored.status, stored.headers["preference-applied"]), (201, "handling=strict"))

    def test_held(self) -> None:
        """Otherwise it is stored, and the answer says by which rule it waits."""
        violation = Violation("votes", "hold", "/votes", "/votes is missing", b"")
        self.published.outcome = succeed(PullOutcome(is_shown=False, why=violation.why, violation=violation))
        stored = self.put(b"{}")
        report = json.loads(stored.body)
        self.assertEqual((stored.status, report["live"], report["why"]), (202, False, "/votes is missing"))
        self.assertEqual((report["rule"], report["pointer"]), ("votes", "/votes"))
        self.assertNotIn("preference-applied", stored.headers)
