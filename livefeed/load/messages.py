"""The messages of watchers that follow by deltas. Each distinct message is read and verified once per process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livefeed.client.items import version_of
from livefeed.client.messages import MessageError, is_version, read_message
from livefeed.document.exact_json import DeltaError
from livefeed.document.patch import patched
from livefeed.document.splices import apply_splices
from livefeed.load.answers import AnswerError
from livefeed.load.documents import nanoseconds_of

if TYPE_CHECKING:
    from livefeed.load.documents import Documents, Version

MAX_REMEMBERED = 8
"""The number of the last messages that are recognised: watchers come with a few different versions at a time."""

WRONG = "a document that is not its version"


@dataclass(frozen=True, slots=True)
class Step:
    """What a message does to a watcher.

    :ivar version: the version that the watcher has afterwards; ``None`` if the message brings none.
    :ivar base: the version that it must have before; ``None`` for any.
    :ivar is_verified: whether the content of the version was found to be right; ``None`` if that cannot be told.
    """

    version: Version | None = None
    base: str | None = None
    is_verified: bool | None = None


@dataclass(slots=True, eq=False)
class MessageReader:
    """Reads messages of either protocol.

    :param documents: the versions, which learn from the messages.
    :param verifies: whether deltas are applied, and the results compared with their versions.
    :param max_bytes: the largest document in bytes.
    """

    # required parameters
    documents: Documents
    verifies: bool
    max_bytes: int

    # internal state
    _last: list[tuple[bytes, Step]] = field(default_factory=list)

    def read(self, data: bytes) -> Step:
        """Reads a message.

        :raises AnswerError: if it is malformed, or makes a document that is not its version.
        """
        for known, step in self._last:
            if known == data:
                return step
        step = self._step(data)
        self._last.insert(0, (data, step))
        del self._last[MAX_REMEMBERED:]
        return step

    def _step(self, data: bytes) -> Step:
        try:
            value = json.loads(data)
            if isinstance(value, dict) and "path" not in value:
                return self._first_version(value)
            return self._second_version(data)
        except (MessageError, ValueError, RecursionError):
            raise AnswerError("a malformed message") from None

    def _second_version(self, data: bytes) -> Step:
        message = read_message(data)
        if message is None or message.version is None or message.kind not in ("document", "splices"):
            return Step()
        version = self.documents.named(message.version)
        self.documents.learn(version, nanoseconds_of(message.at))
        if message.kind == "document":
            content = message.text.encode()
            self._check(content, message.version)
            self.documents.keep(version, content)
            return Step(version, is_verified=self.verifies or None)
        before = None if message.base is None else self.documents.named(message.base).content
        if not self.verifies or before is None:
            return Step(version, message.base)
        try:
            content = apply_splices(before, message.splices, self.max_bytes)
        except DeltaError:
            raise AnswerError("splices that do not fit") from None
        self._check(content, message.version)
        self.documents.keep(version, content)
        return Step(version, message.base, is_verified=True)

    def _first_version(self, value: dict[str, Any]) -> Step:
        kind, name, base = value.get("type"), value.get("version"), value.get("from")
        if kind not in ("snapshot", "patch"):
            return Step()
        if not is_version(name) or (kind == "patch" and not is_version(base)):
            raise MessageError("no version")
        version = self.documents.named(name)
        self.documents.learn(version, nanoseconds_of(value.get("at")))
        if not self.verifies or version.content is None:
            return Step(version, base)
        # A patch restores values, not bytes: the bytes are those that another watcher was sent.
        try:
            shown: object = value.get("data")
            if kind == "patch":
                before = self.documents.named(str(base)).content
                if before is None:
                    return Step(version, base)
                # json.loads has read the numbers of the patch inexactly, so both sides are read in the same way.
                shown = patched(json.loads(before), value.get("patch"))
            if shown != json.loads(version.content):
                raise AnswerError(WRONG)
        except DeltaError:
            raise AnswerError("a patch that does not fit") from None
        return Step(version, base, is_verified=True)

    def _check(self, content: bytes, name: str) -> None:
        if self.verifies and version_of(content) != name:
            raise AnswerError(WRONG)
