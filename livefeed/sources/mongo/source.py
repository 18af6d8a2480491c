"""The source of ``mongodb://``: one query in each tick, by pymongo, in a thread."""

from __future__ import annotations

import hashlib
import threading
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pymongo
from pymongo.errors import PyMongoError

from livefeed.exceptions import ConfigurationError, SourceError, first_line
from livefeed.sources.mongo.changes import Changes
from livefeed.sources.mongo.client import AWAIT_MS, SELECTION_S, describe_error, fit_for_log, make_client
from livefeed.sources.mongo.documents import split_batch, to_json
from livefeed.sources.mongo.url import parse_url
from livefeed.threads import defer_to_new_thread, start_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from urllib.parse import SplitResult

    from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime

    from livefeed.sources.mongo.changes import Stream
    from livefeed.sources.mongo.url import Address, Query

BATCH = 1000
"""Number of documents in one reply. The rest of a larger result is requested in further batches."""

SPACING_S = 0.1
"""Shortest time in seconds between two reported changes of a collection."""

# BSON is at most 13 times as large as JSON: a Decimal128 in an array takes up to 26 bytes, and two are its JSON.
_BSON_FACTOR = 16


@dataclass(slots=True)
class MongoSource:
    """Sends the same query at each pull, in a thread that ends with the reply.

    The first pull makes the client, after a daemon has forked, and the client is kept. The reply is hashed before it is
    converted, so that an unchanged one costs no more than its transfer.

    :ivar address: the servers and the user.
    :ivar query: the query.
    :ivar max_bytes: size of the largest JSON document.
    :ivar make_client: makes the client.
    """

    # required parameters
    reactor: IReactorTime
    address: Address
    query: Query
    max_bytes: int
    make_client: Callable[[Address], pymongo.MongoClient[Any]] = make_client

    # internal state
    _client: pymongo.MongoClient[Any] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)
    _asking: bool = False
    _last_digest: bytes | None = None  # the hash of the last reply that was given
    _refused: tuple[bytes, str] = (b"", "")  # the hash of the last reply that was refused, and the reason
    _changed: Callable[[], None] | None = None
    _report_call: IDelayedCall | None = None
    _reported_at: float = float("-inf")

    @classmethod
    def from_url(cls, parts: SplitResult, *, reactor: IReactorTime, max_bytes: int) -> MongoSource:
        """Makes the source of a URL.

        :raises ConfigurationError: if a part of it is wrong. The message repeats no value.
        """
        address, query = parse_url(parts)
        try:
            # It does not connect, but reads files, and finds options that contradict each other.
            make_client(address).close()
        except (PyMongoError, ValueError, OSError) as error:
            why = fit_for_log(first_line(error), address.password)
            raise ConfigurationError(f"mongodb:// with these options cannot work: {why}", "source") from None
        return cls(reactor, address, query, max_bytes)

    def __str__(self) -> str:
        return f"mongodb://{','.join(self.address.hosts)}/{self.query.database}/{self.query.collection}"

    def watch(self, changed: Callable[[], None]) -> None:
        """Source API."""
        self._changed = changed
        if self.address.watch:
            changes = Changes(
                open_stream=self._open_stream,
                changed=self._note_change,
                in_reactor=self._in_reactor.callFromThread,
                closing=self._closing,
                describe=self._describe,
                source=self,
            )
            start_thread(changes.run, name="livefeed changes")

    async def fetch(self) -> bytes | None:
        """Source API."""
        if self._asking:
            raise SourceError("an earlier query still hangs")
        self._asking = True
        last = self._last_digest
        try:
            data, digest = await defer_to_new_thread(self._in_reactor, self._pull, last)
        except OSError as error:
            # No thread was started, which would have reset this.
            self._asking = False
            raise SourceError(f"cannot ask: {error.strerror}") from None
        # Only now is it certain that the puller has received it.
        self._last_digest = digest
        return data

    def close(self) -> None:
        """Source API."""
        self._closing.set()
        if self._report_call is not None:
            self._report_call.cancel()
            self._report_call = None
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            # It ends the sessions on the server, which may hang.
            start_thread(client.close, name="livefeed close")

    @property
    def _in_reactor(self) -> IReactorFromThreads:
        return cast("IReactorFromThreads", self.reactor)

    # The following methods, up to the next such comment, run in threads.

    def _connected(self) -> pymongo.MongoClient[Any]:
        with self._lock:
            if self._closing.is_set():
                raise SourceError("the source is closed")
            if self._client is None:
                self._client = self.make_client(self.address)
            return self._client

    def _pull(self, last: bytes | None) -> tuple[bytes | None, bytes]:
        """Gives the JSON, or ``None`` if *last* is the hash of the reply; and the hash."""
        try:
            batches = self._read()
            hashed = hashlib.sha256()
            for batch in batches:
                hashed.update(batch)
            digest = hashed.digest()
            if digest == last:
                return None, digest
            refused, why = self._refused
            if digest == refused:
                raise SourceError(why)
            try:
                return self._json(batches), digest
            except SourceError as error:
                # Converting it again each second would delay all other feeds.
                self._refused = digest, str(error)
                raise
        finally:
            self._asking = False

    def _read(self) -> list[bytes]:
        try:
            # One timeout for the whole block: selecting a server, connecting, and all batches.
            with pymongo.timeout(self.address.timeout_s):
                return self._receive()
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(self._describe(error)) from None

    def _receive(self) -> list[bytes]:
        batches, size = [], 0
        client = self._connected()
        database = client[self.query.database]
        if not client.topology_description.has_readable_server(client.read_preference):
            # pymongo selects a server in steps of half a second, and a query must not wait for two steps.
            with pymongo.timeout(SELECTION_S):
                database.command("ping", read_preference=client.read_preference)
        collection = database[self.query.collection]
        cursor = collection.find_raw_batches(
            self.query.filter,
            self.query.projection,
            sort=list(self.query.sort),
            limit=self.query.limit,
            batch_size=BATCH,
        )
        with closing(cursor):
            for batch in cursor:
                size += len(batch)
                if size > _BSON_FACTOR * self.max_bytes:
                    raise self._too_large()
                batches.append(bytes(batch))
        return batches

    def _json(self, batches: list[bytes]) -> bytes:
        found: list[bytes] = []
        size = 2
        for batch in batches:
            for document in split_batch(batch):
                found.append(to_json(document, relaxed=self.query.relaxed))
                size += len(found[-1]) + 1
                if size > self.max_bytes + 3:  # brackets, and a comma too many
                    raise self._too_large()
        if not self.query.one:
            data = b"[" + b",".join(found) + b"]"
        elif found:
            data = found[0]
        else:
            raise SourceError("no document matches the filter")
        if len(data) > self.max_bytes:
            raise self._too_large()
        return data

    def _too_large(self) -> SourceError:
        return SourceError(f"what was found is larger than --max-bytes, {self.max_bytes} bytes")

    def _describe(self, error: Exception) -> str:
        """Gives the text of an error, without the password."""
        return fit_for_log(describe_error(error, self.address.timeout_s), self.address.password)

    def _open_stream(self) -> AbstractContextManager[Stream]:
        collection = self._connected()[self.query.database][self.query.collection]
        # Without the changed fields: the event itself is enough.
        return collection.watch([{"$project": {"_id": 1}}], max_await_time_ms=AWAIT_MS)

    # The following methods run in the reactor's thread.

    def _note_change(self) -> None:
        if self._report_call is None and not self._closing.is_set():
            wait_s = max(0.0, self._reported_at + SPACING_S - self.reactor.seconds())
            self._report_call = self.reactor.callLater(wait_s, self._report)

    def _report(self) -> None:
        self._report_call = None
        self._reported_at = self.reactor.seconds()
        assert self._changed is not None
        self._changed()
