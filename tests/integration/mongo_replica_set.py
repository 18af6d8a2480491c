"""A stand-in for a replica set of MongoDB: one document, and a change stream that tells when it has changed.

It speaks so much of MongoDB's wire protocol as pymongo needs for that: OP_QUERY for the first word on a connection,
OP_MSG for the rest.
"""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING, Any, Self

import bson
from bson.int64 import Int64

from tests.helpers.threaded_server import ThreadedServer
from tests.integration.harness import HOST, WAIT_S

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

_HEADER = struct.Struct("<iiii")
_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_NAMESPACE = "db.c"
_CURSOR = Int64(7)


class ReplicaSet:
    """The primary of a replica set of one.

    :param document: the first document.
    :ivar finds: the number of queries for the document.
    :ivar pipelines: the pipelines of the change streams that were opened.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.finds = 0
        self.pipelines: list[Any] = []
        self._document = dict(document)
        self._changes = 0
        self._questions = 0
        self._changed = threading.Condition()
        self._server = ThreadedServer(self._serve)
        self.port = self._server.port
        self.cut = self._server.cut

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.close()

    def url(self) -> str:
        """Gives the URL of a source that follows the document."""
        return f"mongodb://{HOST}:{self.port}/db/c?one=true&replicaSet=stand-in"

    def change(self, document: Mapping[str, Any]) -> None:
        """Puts another document in the place of the one that there is, and tells of it."""
        with self._changed:
            self._document = dict(document)
            self._changes += 1
            self._changed.notify_all()

    def wait_for_questions(self, count: int) -> bool:
        """Returns after *count* more requests for the next changes of a stream."""
        with self._changed:
            wanted = self._questions + count
            return self._changed.wait_for(lambda: self._questions >= wanted, WAIT_S)

    def _serve(self, sock: socket.socket) -> None:
        # Each connection counts the changes that it has sent.
        told = self._changes
        with sock.makefile("rb") as file:
            while head := file.read(_HEADER.size):
                length, number, _, kind = _HEADER.unpack(head)
                body = file.read(length - _HEADER.size)
                if kind == _OP_QUERY:
                    reply = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(self._hello())
                    answer_kind = _OP_REPLY
                else:
                    answer, told = self._answer(bson.decode(body[5 : 5 + int.from_bytes(body[5:9], "little")]), told)
                    reply = b"\0\0\0\0\0" + bson.encode({**answer, "ok": 1})
                    answer_kind = _OP_MSG
                sock.sendall(_HEADER.pack(_HEADER.size + len(reply), 0, number, answer_kind) + reply)

    def _hello(self) -> dict[str, Any]:
        here = f"{HOST}:{self.port}"
        return {
            "ismaster": True,
            "isWritablePrimary": True,
            "setName": "stand-in",
            "setVersion": 1,
            "hosts": [here],
            "me": here,
            "primary": here,
            "minWireVersion": 0,
            "maxWireVersion": 21,
            "maxBsonObjectSize": 16 * 1024 * 1024,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "logicalSessionTimeoutMinutes": 30,
            "ok": 1,
        }

    def _answer(self, command: dict[str, Any], told: int) -> tuple[dict[str, Any], int]:
        """Gives the answer to a command, and how many changes the connection was told of with it."""
        if "hello" in command or "ismaster" in command:
            return self._hello(), told
        with self._changed:
            if "find" in command:
                self.finds += 1
                return {"cursor": {"id": Int64(0), "ns": _NAMESPACE, "firstBatch": [self._document]}}, told
            if "aggregate" in command:
                self.pipelines.append(command["pipeline"])
                # A stream that broke is taken up where it was.
                resumed = command["pipeline"][0]["$changeStream"].get("resumeAfter")
                told = self._changes if resumed is None else int(resumed["_data"])
                cursor = {"id": _CURSOR, "ns": _NAMESPACE, "firstBatch": [], "postBatchResumeToken": _token(told)}
                return {"cursor": cursor}, told
            if "getMore" in command:
                self._questions += 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._changes > told, command["maxTimeMS"] / 1000)
                batch = [{"_id": _token(number)} for number in range(told + 1, self._changes + 1)]
                token = _token(self._changes)
                cursor = {"id": _CURSOR, "ns": _NAMESPACE, "nextBatch": batch, "postBatchResumeToken": token}
                return {"cursor": cursor}, self._changes
        return {}, told


def _token(changes: int) -> dict[str, str]:
    """Gives the token with which a stream resumes after this number of changes."""
    return {"_data": str(changes)}
