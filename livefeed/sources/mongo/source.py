"""The source of ``mongodb://``: one query a tick, by pymongo, in a thread."""

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
from livefeed.sources.mongo.client import AWAIT_MS, SELECTION_S, fit_for_log, make_client, told
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
"""The documents of one answer; of a larger result the server sends the rest when it is asked."""

SPACING_S = 0.1
"""A collection in which much is written is pulled so often, at most."""

# BSON is at most 13 times as large as JSON: a Decimal128 in an array takes up to 26 bytes, and two are its JSON.
_BSON_FACTOR = 16


@dataclass(slots=True)
class MongoSource:
    """Asks the same query each time, in a thread that ends with the answer.

    The client is made by the first pull, after a daemon has forked, and kept. An answer is hashed as it is, so
    that one without a change costs no more than its transport.

    :ivar address: where MongoDB is.
    :ivar query: what is asked for.
    :ivar max_bytes: how large the JSON may be.
    :ivar make_client: what connects.
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
    _given: bytes | None = None  # the hash of what was given last
    _refused: tuple[bytes, str] = (b"", "")  # the hash of what was refused last, and why
    _changed: Callable[[], None] | None = None
    _tell_call: IDelayedCall | None = None
    _told_at: float = float("-inf")

    @classmethod
    def from_url(cls, parts: SplitResult, *, reactor: IReactorTime, max_bytes: int) -> MongoSource:
        """Makes the source of a URL.

        :raises ConfigurationError: if a part of it cannot be; the message repeats no value.
        """
        address, query = parse_url(parts)
        try:
            # Nothing connects, but files are read, and what does not go together is found out.
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
                said=self._said,
                source=self,
            )
            start_thread(changes.run, name="livefeed changes")

    async def fetch(self) -> bytes | None:
        """Source API."""
        if self._asking:
            raise SourceError("an earlier query still hangs")
        self._asking = True
        given = self._given
        try:
            data, digest = await defer_to_new_thread(self._in_reactor, self._pull, given)
        except OSError as error:
            # There is no thread, which would have taken this back.
            self._asking = False
            raise SourceError(f"cannot ask: {error.strerror}") from None
        # Only now is it certain that the poller has it.
        self._given = digest
        return data

    def close(self) -> None:
        """Source API."""
        self._closing.set()
        if self._tell_call is not None:
            self._tell_call.cancel()
            self._tell_call = None
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            # It says good-bye to the server, which may hang.
            start_thread(client.close, name="livefeed close")

    @property
    def _in_reactor(self) -> IReactorFromThreads:
        return cast("IReactorFromThreads", self.reactor)

    # What follows, up to the next comment like this, runs in threads.

    def _connected(self) -> pymongo.MongoClient[Any]:
        with self._lock:
            if self._closing.is_set():
                raise SourceError("the source is closed")
            if self._client is None:
                self._client = self.make_client(self.address)
            return self._client

    def _pull(self, given: bytes | None) -> tuple[bytes | None, bytes]:
        """Gives the JSON, or ``None`` if *given* is the hash of what has come, and that hash."""
        try:
            batches = self._read()
            hashed = hashlib.sha256()
            for batch in batches:
                hashed.update(batch)
            digest = hashed.digest()
            if digest == given:
                return None, digest
            refused, why = self._refused
            if digest == refused:
                raise SourceError(why)
            try:
                return self._json(batches), digest
            except SourceError as error:
                # To find out again each second would take its time from everybody.
                self._refused = digest, str(error)
                raise
        finally:
            self._asking = False

    def _read(self) -> list[bytes]:
        try:
            # Everything in the block together: choosing a server, connecting, all batches.
            with pymongo.timeout(self.address.timeout_s):
                return self._receive()
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(self._said(error)) from None

    def _receive(self) -> list[bytes]:
        batches, size = [], 0
        client = self._connected()
        database = client[self.query.database]
        if not client.topology_description.has_readable_server(client.read_preference):
            # pymongo looks for it in steps of half a second, and a query may not wait for two of them.
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

    def _said(self, error: Exception) -> str:
        """Gives what an error says, without the password."""
        return fit_for_log(told(error, self.address.timeout_s), self.address.password)

    def _open_stream(self) -> AbstractContextManager[Stream]:
        collection = self._connected()[self.query.database][self.query.collection]
        # The change itself is not asked for: that there is one is enough.
        return collection.watch([{"$project": {"_id": 1}}], max_await_time_ms=AWAIT_MS)

    # What follows runs in the reactor's thread.

    def _note_change(self) -> None:
        if self._tell_call is None and not self._closing.is_set():
            wait_s = max(0.0, self._told_at + SPACING_S - self.reactor.seconds())
            self._tell_call = self.reactor.callLater(wait_s, self._tell)

    def _tell(self) -> None:
        self._tell_call = None
        self._told_at = self.reactor.seconds()
        assert self._changed is not None
        self._changed()
