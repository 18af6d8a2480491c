"""What the key may hold, what is asked of the server for it, and how the answer becomes a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import msgspec

from livefeed.exceptions import SourceError
from livefeed.sources.redis.connection import SMALL_REPLY

if TYPE_CHECKING:
    from livefeed.sources.redis.replies import Reply

_SHOWN = 40  # characters of a field's name


class OddReplyError(SourceError):
    """The reply is none that this question can have: whatever answers is not to be believed."""


class Value(Protocol):
    """A kind of value.

    :ivar allowance: the bytes that the answer may have.
    :ivar event_class: the letter of ``notify-keyspace-events`` without which changes of it are not told of.
    """

    event_class: ClassVar[str]

    @property
    def allowance(self) -> int: ...

    def command(self, key: bytes) -> tuple[bytes | str | int, ...]:
        """Gives the question."""

    def document(self, reply: Reply) -> bytes:
        """Gives the document, as the answer has it.

        :raises SourceError: if there is none in the answer.
        """


@dataclass(frozen=True, slots=True)
class StringValue:
    """A string, read with ``GETRANGE``, which lets no more come than may be served."""

    event_class: ClassVar[str] = "$"
    max_bytes: int

    @property
    def allowance(self) -> int:
        """Value API."""
        return self.max_bytes + SMALL_REPLY

    def command(self, key: bytes) -> tuple[bytes | str | int, ...]:
        """Value API."""
        return "GETRANGE", key, 0, self.max_bytes

    def document(self, reply: Reply) -> bytes:
        """Value API."""
        if not isinstance(reply, bytes):
            raise OddReplyError("the answer is not a string")
        if not reply:
            raise SourceError("the key is missing, or holds an empty string")
        return reply


@dataclass(frozen=True, slots=True)
class HashValue:
    """A hash, of which an object is made, its members sorted by name: the same content is the same document.

    :ivar is_json: whether each value is JSON, and kept as it is; if not, it becomes a string of JSON.
    """

    event_class: ClassVar[str] = "h"
    max_bytes: int
    is_json: bool = False

    @property
    def allowance(self) -> int:
        """Value API. What takes 6 bytes in the document, a member ``"a":1,``, takes up to 14 in the answer."""
        return 3 * self.max_bytes + SMALL_REPLY

    def command(self, key: bytes) -> tuple[bytes | str | int, ...]:
        """Value API."""
        return "HGETALL", key

    def document(self, reply: Reply) -> bytes:
        """Value API."""
        if not isinstance(reply, list) or len(reply) % 2 or not all(isinstance(item, bytes) for item in reply):
            raise OddReplyError("the answer is not a hash")
        if not reply:
            raise SourceError("the key is missing")
        fields: list[bytes] = reply  # type: ignore[assignment]
        members = sorted(zip(fields[::2], fields[1::2], strict=True))
        return b"{%b}" % b",".join(
            b"%b:%b" % (msgspec.json.encode(_text_of(name, name)), self._value(name, it)) for name, it in members
        )

    def _value(self, name: bytes, value: bytes) -> bytes:
        text = _text_of(value, name)
        if not self.is_json:
            return msgspec.json.encode(text)
        try:
            # By itself: `1,"b":2` would fit into the object.
            msgspec.json.decode(value, type=msgspec.Raw)
        except msgspec.DecodeError as error:
            raise SourceError(f"the field {_shown(name)} is not JSON: {error}") from None
        return value


@dataclass(frozen=True, slots=True)
class JsonValue:
    """A value of RedisJSON, or what a path finds in it.

    :ivar path: a path that begins with ``$`` finds any number of values: one is given by itself, several as an array.
        Any other is a path as RedisJSON had them first, and finds one.
    """

    event_class: ClassVar[str] = "d"
    max_bytes: int
    path: bytes = b"$"

    @property
    def allowance(self) -> int:
        """Value API."""
        return self.max_bytes + SMALL_REPLY

    def command(self, key: bytes) -> tuple[bytes | str | int, ...]:
        """Value API."""
        return "JSON.GET", key, self.path

    def document(self, reply: Reply) -> bytes:
        """Value API."""
        if reply is None:
            raise SourceError("the key is missing")
        if not isinstance(reply, bytes):
            raise OddReplyError("the answer is not a string")
        if not self.path.startswith(b"$"):
            return reply
        try:
            found = msgspec.json.decode(reply, type=list[msgspec.Raw])
        except msgspec.DecodeError:
            raise OddReplyError("the answer is not an array, as it is for a path with $") from None
        if not found:
            raise SourceError("nothing is found by the path")
        return bytes(found[0]) if len(found) == 1 else reply


def _text_of(data: bytes, name: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SourceError(f"the field {_shown(name)} is not UTF-8") from None


def _shown(name: bytes) -> str:
    return repr(name.decode("utf-8", "backslashreplace")[:_SHOWN])
