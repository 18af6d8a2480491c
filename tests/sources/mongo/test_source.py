"""The source of mongodb://, with doubles of pymongo's client and of the reactor."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import bson
from pymongo import ReadPreference
from pymongo.errors import (
    AutoReconnect,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import SourceError
from livefeed.sources.mongo import source as source_module
from livefeed.sources.mongo.source import SPACING_S, MongoSource
from livefeed.sources.mongo.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient

    from livefeed.sources.mongo.url import Address

SECRET = "correct-horse"
WAIT_S = 10


class ReactorDouble(Clock):
    """A clock that queues the calls of threads, and runs them when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self._came = threading.Condition()
        self._handed: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[..., object], *arguments: Any, **fields: Any) -> None:
        with self._came:
            self._handed.append(lambda: call(*arguments, **fields))
            self._came.notify_all()

    def run_one(self) -> None:
        """Runs one thing, as soon as there is one."""
        with self._came:
            assert self._came.wait_for(lambda: self._handed, WAIT_S)
            call = self._handed.pop(0)
        call()


class ClientDouble:
    """All parts of pymongo's client, databases, collections and cursors that livefeed uses.

    :ivar answer: the batches that a query gives, or the exception that it raises.
    """

    read_preference = ReadPreference.PRIMARY

    def __init__(self, address: Address) -> None:
        self.address = address
        self.answer: list[list[dict[str, Any]]] | Exception = [[]]
        self.readable = True
        self.asked: list[tuple[Any, ...]] = []
        self.options: dict[str, Any] = {}
        self.pinged = 0
        self.cursors = 0
        self.closed = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.stream: Exception = OperationFailure("no streams here", 238)
        self.streams: list[tuple[Any, ...]] = []

    def __getitem__(self, name: str) -> ClientDouble:
        self.asked.append((name,))
        return self

    @property
    def topology_description(self) -> ClientDouble:
        return self

    def has_readable_server(self, preference: object) -> bool:
        return self.readable

    def command(self, name: str, **options: Any) -> None:
        self.pinged += 1
        if isinstance(self.answer, Exception):
            raise self.answer

    def find_raw_batches(self, *arguments: Any, **options: Any) -> ClientDouble:
        self.asked.append(arguments)
        self.options = options
        return self

    def watch(self, pipeline: list[dict[str, Any]], **options: Any) -> Any:
        self.streams.append((pipeline, options))
        raise self.stream

    def __iter__(self) -> Any:
        assert self.gate.wait(WAIT_S)
        self.cursors += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        for batch in self.answer:
            yield b"".join(bson.encode(document) for document in batch)

    def close(self) -> None:
        # The cursor is closed by this as well.
        if self.cursors:
            self.cursors -= 1
        else:
            self.closed.set()


class SourceTestCase(SynchronousTestCase):
    url = f"mongodb://user:{SECRET}@h/db/c?watch=false"
    max_bytes = 1000

    def setUp(self) -> None:
        self.reactor = ReactorDouble()
        self.clients: list[ClientDouble] = []
        self.source = self.source_of(self.url)

    def source_of(self, url: str) -> MongoSource:
        address, query = parse_url(urlsplit(url))
        return MongoSource(self.reactor, address, query, self.max_bytes, make_client=self.make_client)

    def make_client(self, address: Address) -> MongoClient[Any]:
        self.clients.append(ClientDouble(address))
        double: Any = self.clients[-1]
        return double  # type: ignore[no-any-return]

    @property
    def client(self) -> ClientDouble:
        if not self.clients:
            self.source._connected()
        (client,) = self.clients
        return client

    def fetch(self) -> Deferred[bytes | None]:
        return Deferred.fromCoroutine(self.source.fetch())

    def fetched(self) -> bytes | None:
        fetching = self.fetch()
        self.reactor.run_one()
        return self.successResultOf(fetching)

    def failed(self) -> str:
        fetching = self.fetch()
        self.reactor.run_one()
        return str(self.failureResultOf(fetching, SourceError).value)


class FetchTests(SourceTestCase):
    """fetch."""

    def test_a_list(self) -> None:
        """All batches make one list; the query is the one of the URL."""
        self.client.answer = [[{"_id": 1}, {"_id": 2}], [{"_id": 3}]]
        self.assertEqual(self.fetched(), b'[{"_id":1},{"_id":2},{"_id":3}]')
        self.assertEqual(self.client.asked, [("db",), ("c",), ({}, None)])
        self.assertEqual(self.client.options, {"sort": [("_id", 1)], "limit": 0, "batch_size": 1000})
        self.assertEqual(self.client.cursors, 0)

    def test_empty_list(self) -> None:
        """Nothing found is a list of nothing."""
        self.client.answer = []
        self.assertEqual(self.fetched(), b"[]")

    def test_one_document(self) -> None:
        """One document is itself, and is missed where there is none."""
        self.source = self.source_of(f"{self.url}&one=true&json=relaxed")
        self.client.answer = [[{"at": bson.ObjectId("5f0000000000000000000001")}]]
        self.assertEqual(self.fetched(), b'{"at":{"$oid":"5f0000000000000000000001"}}')
        self.assertEqual(self.client.options["limit"], 1)
        self.client.answer = [[]]
        self.assertEqual(self.failed(), "no document matches the filter")

    def test_nothing_has_changed(self) -> None:
        """An answer equal to the last one is not turned into JSON again; any other is, even one from before."""
        first: list[list[dict[str, Any]]] = [[{"a": 1}]]
        self.client.answer = first
        self.assertEqual(self.fetched(), b'[{"a":1}]')
        self.assertIsNone(self.fetched())
        self.client.answer = [[{"a": 2}]]
        self.assertEqual(self.fetched(), b'[{"a":2}]')
        self.client.answer = first
        self.assertEqual(self.fetched(), b'[{"a":1}]')

    def test_what_the_poller_did_not_get_is_given_again(self) -> None:
        """A pull that was given up has given nothing, also if it was answered in the end."""
        self.client.answer = [[{"a": 1}]]
        self.client.gate.clear()
        fetching = self.fetch()
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.client.gate.set()
        self.reactor.run_one()
        self.assertEqual(self.fetched(), b'[{"a":1}]')

    def test_pulls_never_overlap(self) -> None:
        """No other query starts while one hangs; the error says so, until the query ends."""
        self.client.gate.clear()
        fetching = self.fetch()
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        for _ in range(3):
            self.assertEqual(str(self.failureResultOf(self.fetch(), SourceError).value), "an earlier query still hangs")
        self.client.gate.set()
        self.reactor.run_one()
        self.assertEqual(self.fetched(), b"[]")

    def test_largest(self) -> None:
        """A document of exactly max_bytes is given, one byte more is refused, as one document and as a list."""
        for options, around in (("&one=true", len('{"a":""}')), ("", len('[{"a":""}]'))):
            self.clients.clear()
            self.source = self.source_of(self.url + options)
            self.client.answer = [[{"a": "x" * (self.max_bytes - around)}]]
            self.assertEqual(len(self.fetched() or b""), self.max_bytes)
            self.client.answer = [[{"a": "x" * (self.max_bytes - around + 1)}]]
            self.assertEqual(self.failed(), "what was found is larger than --max-bytes, 1000 bytes")

    def test_larger_than_can_be_is_not_read(self) -> None:
        """The rest of a result that is far too large is not requested."""

        def batches() -> Any:
            for _ in range(20):
                asked.append(1)
                yield [{"a": "x" * 1000}]

        asked: list[int] = []
        answer: Any = batches()
        self.client.answer = answer
        self.assertIn("larger than --max-bytes", self.failed())
        self.assertLess(len(asked), 18)
        self.assertEqual(self.client.cursors, 0)

    def test_refused_once_is_refused_again(self) -> None:
        """A refused document that has not changed is refused again without a conversion; a good one is then served."""
        self.client.answer = [[{"a": bson.MinKey()}]]
        first = self.failed()
        self.assertIn("MinKey", first)
        looks = self.patch(source_module, "to_json", None)
        self.assertEqual(self.failed(), first)
        looks.restore()
        self.client.answer = [[{"a": 1}]]
        self.assertEqual(self.fetched(), b'[{"a":1}]')

    def test_bson_is_not_much_larger_than_json(self) -> None:
        """A document whose BSON is refused by its size alone is too large as JSON, too."""
        values: tuple[Any, ...] = (bson.Decimal128("0"), 0, 0.5, bson.Int64(0), "", None, b"", {}, [])
        for value in values:
            for document in ({"a": [value] * 5000}, {"": value}):
                encoded = len(bson.encode(document))
                self.source = self.source_of(self.url)
                self.source.max_bytes = 100_000
                self.clients.clear()
                self.client.answer = [[document]]
                self.assertLess(encoded, 16 * len(self.fetched() or b""))

    def test_errors(self) -> None:
        """Each kind of error is told plainly, on a line, without the password."""
        for error, said in (
            (OperationFailure("x", 18, {"errmsg": f"Authentication of {SECRET} failed.\nmore"}), "MongoDB says: "),
            (OperationFailure(f"what {SECRET}", 1), "MongoDB says: what ***"),
            (ServerSelectionTimeoutError(f"h:1: refused {SECRET} (configured timeouts: x), Timeout"), "cannot connect"),
            (NetworkTimeout("h:1: timed out"), "no answer within 0.8 s"),
            (ExecutionTimeout("operation exceeded time limit", 50), "no answer within 0.8 s"),
            (AutoReconnect(f"h:1: closed {SECRET}"), "the connection was lost: h:1: closed ***"),
            (ValueError(f"odd {SECRET}"), "the answer is none of MongoDB's: ValueError: odd ***"),
        ):
            self.client.answer = error
            failed = self.failed()
            self.assertTrue(failed.startswith(said), failed)
            self.assertNotIn(SECRET, failed)
            self.assertNotIn("\n", failed)
            self.assertNotIn("configured", failed)

    def test_server_is_looked_for_first(self) -> None:
        """The search for an unknown server takes less time than a pull may take."""
        self.client.readable = False
        self.client.answer = ServerSelectionTimeoutError("h:1: refused")
        self.assertIn("cannot connect: h:1: refused", self.failed())
        self.client.answer = [[]]
        self.fetched()
        self.assertEqual(self.client.pinged, 2)
        self.client.readable = True
        self.fetched()
        self.assertEqual(self.client.pinged, 2)


class CloseTests(SourceTestCase):
    """close."""

    def test_client_is_closed_in_a_thread(self) -> None:
        """The client says good-bye in a thread, so that no caller waits for it."""
        client = self.client
        self.source.close()
        self.assertTrue(client.closed.wait(WAIT_S))
        self.source.close()

    def test_closed_before_it_was_opened(self) -> None:
        """A source that nothing was fetched from has nothing to close, and opens nothing any more."""
        self.source.close()
        self.assertIn("closed", self.failed())
        self.assertEqual(self.clients, [])


class WatchTests(SourceTestCase):
    """watch."""

    def setUp(self) -> None:
        super().setUp()
        self.told = 0

    def note(self) -> None:
        self.told += 1

    def test_streams_are_asked_for_no_more_than_they_must(self) -> None:
        """The thread requests changes without their content, and ends if the server has no change streams."""
        self.source = self.source_of("mongodb://h/db/c")
        self.source.watch(self.note)
        self.reactor.run_one()
        self.assertEqual(self.client.streams, [([{"$project": {"_id": 1}}], {"max_await_time_ms": 1000})])
        self.assertEqual(self.told, 0)

    def test_watch_can_be_left_out(self) -> None:
        """No thread is started with watch=false."""
        before = threading.active_count()
        self.source.watch(self.note)
        self.assertEqual(threading.active_count(), before)
        self.assertEqual(self.clients, [])

    def test_changes_are_told_of_so_often_at_most(self) -> None:
        """The first change is told of at once, those that follow together, after the spacing; none is forgotten."""
        self.source.watch(self.note)
        self.source._note_change()
        self.reactor.advance(0)
        self.assertEqual(self.told, 1)
        for _ in range(1000):
            self.source._note_change()
        self.reactor.advance(SPACING_S / 2)
        self.assertEqual(self.told, 1)
        self.reactor.advance(SPACING_S / 2)
        self.assertEqual(self.told, 2)
        self.reactor.advance(10)
        self.assertEqual(self.told, 2)

    def test_nothing_is_told_after_closing(self) -> None:
        """A change that waits to be told of is forgotten, and so is one that comes late."""
        self.source.watch(self.note)
        self.source._note_change()
        self.source.close()
        self.source._note_change()
        self.reactor.advance(10)
        self.assertEqual(self.told, 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
