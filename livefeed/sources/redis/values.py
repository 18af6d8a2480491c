"""The types of values that a key may hold: the command that reads each, and the document in its reply."""

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
    """The reply is impossible for this command, so the connection cannot be trusted."""


class Value(Protocol):
    """A type of value.

    :ivar allowance: largest size of the reply in bytes.
    :ivar event_class: the letter of ``notify-keyspace-events`` without which its changes are not announced.
    """

    event_class: ClassVar[str]

    @property
    def allowance(self) -> int: ...

    def command(self, key: bytes) -> tuple[bytes | str | int, ...]:
        """Gives the command that reads the key."""

    def document(self, reply: Reply) -> bytes:
        """Gives the document in a reply.

        :raises SourceError: if there is none.
        """


@dataclass(frozen=True, slots=True)
class StringValue:
    """A string, read with ``GETRANGE``, which limits the size of the reply."""

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
    """A hash, which becomes a JSON object. Its members are sorted by name, so that equal hashes give equal documents.

    :ivar is_json: whether each value is JSON and is taken unchanged; otherwise it becomes a JSON string.
    """

    event_class: ClassVar[str] = "h"
    max_bytes: int
    is_json: bool = False

    @property
    def allowance(self) -> int:
        """Value API. A member of 6 bytes in the document, ``"a":1,``, has up to 14 bytes in the reply."""
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
            # Checked alone: `1,"b":2` would be valid within the object.
            msgspec.json.decode(value, type=msgspec.Raw)
        except msgspec.DecodeError as error:
            raise SourceError(f"the field {_shown(name)} is not JSON: {error}") from None
        return value


@dataclass(frozen=True, slots=True)
class JsonValue:
    """A value of RedisJSON, or the values at a path in it.

    :ivar path: a path that begins with ``$`` finds any number of values: a single one is the document, several are an
        array. Any other path has RedisJSON's older syntax, and finds one value.
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
