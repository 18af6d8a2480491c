"""The messages of watchers that follow by deltas."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.items import version_of
from livefeed.document.splices import make_splices
from livefeed.load import messages
from livefeed.load.answers import AnswerError
from livefeed.load.documents import Documents
from livefeed.load.messages import MAX_REMEMBERED, MessageReader, Step

FIRST, SECOND = b'{"seats":1,"party":"A"}', b'{"seats":2,"party":"A"}'
V1, V2 = version_of(FIRST), version_of(SECOND)
AT, AT_NS = "2025-11-30T01:00:00.250Z", 1_764_464_400_250_000_000


def message(**members: Any) -> bytes:
    return json.dumps({"sequence": "1.1", "state": "live", "at": AT, **members}).encode()


def document(content: bytes, version: str) -> bytes:
    return message(type="document", path="/feed", version=version, text=content.decode())


def splices(version: str = V2, base: str = V1, made: Any = None) -> bytes:
    made = json.loads(make_splices(FIRST, SECOND)) if made is None else made
    return message(type="splices", path="/feed", version=version, **{"from": base}, splices=made)


def snapshot(content: bytes, version: str) -> bytes:
    return message(type="snapshot", version=version, data=json.loads(content))


def patch(value: int = 2, base: str = V1, path: str = "/seats") -> bytes:
    operations = [{"op": "replace", "path": path, "value": value}]
    return message(type="patch", version=V2, **{"from": base}, patch=operations)


class MessageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.documents = Documents()
        self.reader = MessageReader(self.documents, verifies=True, max_bytes=1000)

    def test_second_version(self) -> None:
        """Documents and splices are verified, and tell the time of a version."""
        step = self.reader.read(document(FIRST, V1))
        self.assertEqual(step, Step(self.documents.named(V1), None, is_verified=True))
        self.assertEqual(self.documents.named(V1).at_ns, AT_NS)
        step = self.reader.read(splices())
        self.assertEqual(step, Step(self.documents.named(V2), V1, is_verified=True))
        self.assertEqual(self.documents.named(V2).content, SECOND)

    def test_wrong_documents(self) -> None:
        """A document or a result that is not its version, and splices that do not fit, are errors."""
        self.assertRaises(AnswerError, self.reader.read, document(SECOND, V1))
        self.reader.read(document(FIRST, V1))
        for data in (splices(version=version_of(b"x")), splices(made=[1000]), splices(made="x")):
            self.assertRaises(AnswerError, self.reader.read, data)

    def test_unknown_base(self) -> None:
        """Splices of a version that no watcher was sent cannot be verified."""
        self.assertEqual(self.reader.read(splices()).is_verified, None)

    def test_without_verification(self) -> None:
        """Nothing is applied, and nothing is compared."""
        reader = MessageReader(self.documents, verifies=False, max_bytes=1000)
        self.assertEqual(reader.read(document(SECOND, V1)).is_verified, None)
        self.assertEqual(reader.read(splices(made=[1000])), Step(self.documents.named(V2), V1))
        self.assertEqual(reader.read(patch(3)), Step(self.documents.named(V2), V1))

    def test_other_messages(self) -> None:
        """Heartbeats, refusals, and types of later times bring no version."""
        for members in (
            {"type": "heartbeat", "path": "/feed", "version": V1},
            {"type": "refused", "path": "/feed", "status": 404},
            {"type": "later", "path": "/feed"},
            {"type": "heartbeat", "version": V1},
            {"type": "state"},
        ):
            self.assertEqual(self.reader.read(message(**members)), Step())

    def test_malformed(self) -> None:
        """Whatever is no message is an error."""
        for data in (
            b"no",
            b"[]",
            b"[" * 100_000,
            message(type="snapshot", version="v"),
            message(type="patch", version=V1),
            message(type="document", path="/feed", version="v"),
        ):
            self.assertRaises(AnswerError, self.reader.read, data)

    def test_first_version(self) -> None:
        """Values are compared with those of the bytes that another watcher was sent."""
        self.assertEqual(self.reader.read(snapshot(FIRST, V1)), Step(self.documents.named(V1)))
        for content in (FIRST, SECOND):
            self.documents.keep(self.documents.named(version_of(content)), content)
        self.assertIs(self.reader.read(snapshot(SECOND, V2)).is_verified, True)
        self.assertEqual(self.reader.read(patch()), Step(self.documents.named(V2), V1, is_verified=True))
        self.assertIs(self.reader.read(patch(base=version_of(b"x"))).is_verified, None)
        for data in (snapshot(FIRST, V2), patch(3), patch(path="/a/b")):
            self.assertRaises(AnswerError, self.reader.read, data)

    def test_read_once(self) -> None:
        """The same message for another watcher is read no more, as long as it is among the last ones."""
        read: list[str] = []

        def counted(content: bytes) -> str:
            read.append(version_of(content))
            return read[-1]

        self.patch(messages, "version_of", counted)
        for _ in range(3):
            self.reader.read(document(FIRST, V1))
        self.assertEqual(read, [V1])
        for number in range(MAX_REMEMBERED):
            self.reader.read(message(type="state", number=number))
        self.reader.read(document(FIRST, V1))
        self.assertEqual(read, [V1, V1])
