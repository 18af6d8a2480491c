"""A client of server-sent events in memory, which reads a stream as the HTML standard says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from livefeed.document.snapshot import version_of
from livefeed.testing import Response
from livefeed.web.channel import Channel
from tests.helpers.transports import PausingClient, Transport

if TYPE_CHECKING:
    from livefeed.web.site import Site

LAST_CHUNK = b"0\r\n\r\n"
HEARTBEAT = ":"


@dataclass
class EventSource:
    """Reads a stream of events, as the HTML standard says (9.2.5 and 9.2.6).

    :ivar events: the dispatched events: the type, the data and the last event ID then.
    :ivar comments: the lines that began with a colon.
    :ivar retry_ms: the time to wait before coming back; ``None`` if it was not said.
    """

    events: list[tuple[str, str, str]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    retry_ms: int | None = None
    _text: str = ""
    _begun: bool = False
    _type: str = ""
    _data: str = ""
    _id: str = ""

    def feed(self, data: bytes) -> None:
        """Parses received bytes; lines end with CR, LF or both, and an incomplete line waits."""
        self._text += data.decode("utf-8")
        if self._text and not self._begun:
            self._begun = True
            self._text = self._text.removeprefix("\ufeff")
        while True:
            ends = [position for position in (self._text.find("\r"), self._text.find("\n")) if position >= 0]
            if not ends:
                return
            end = min(ends)
            if self._text[end:] == "\r":
                return  # the LF that may belong to it is still to come
            width = 2 if self._text[end : end + 2] == "\r\n" else 1
            line, self._text = self._text[:end], self._text[end + width :]
            self._line(line)

    def _line(self, line: str) -> None:
        if not line:
            self._dispatch()
        elif line.startswith(":"):
            self.comments.append(line)
        else:
            name, _, value = line.partition(":")
            self._field(name, value.removeprefix(" "))

    def _field(self, name: str, value: str) -> None:
        if name == "event":
            self._type = value
        elif name == "data":
            self._data += value + "\n"
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self) -> None:
        if self._data:
            self.events.append((self._type or "message", self._data.removesuffix("\n"), self._id))
        self._data = self._type = ""


def dechunk(data: bytes) -> tuple[bytes, bytes]:
    """Gives the content of whole chunks (RFC 9112, 7.1), and all bytes from the last chunk on, or ``b""``."""
    content = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        assert len(rest) >= length + 2, data
        assert rest[length : length + 2] == b"\r\n", data
        if not length:
            return content, LAST_CHUNK + rest[2:]
        content, data = content + rest[:length], rest[length + 2 :]
    return content, b""


class Client(PausingClient):
    """A client that follows the feed in memory.

    :ivar head: the head of the answer.
    :ivar source: the parser of its stream.
    :ivar states: the feed's states from the events.
    :ivar ending: the bytes behind the content: the last chunk, if that was sent, and all after it.
    """

    def __init__(
        self,
        site: Site,
        *fields: bytes,
        path: bytes = b"/feed.sse",
        version: bytes = b"HTTP/1.1",
        transport: Transport | None = None,
    ) -> None:
        self.transport = transport or Transport()
        channel = site.buildProtocol(None)
        assert isinstance(channel, Channel)
        self.transport.protocol = channel
        channel.makeConnection(self.transport)
        self.source = EventSource()
        self.states: list[dict[str, Any]] = []
        self.ending = b""
        self.send(b"\r\n".join([b"GET " + path + b" " + version, b"Host: localhost", *fields, b"", b""]))
        head, _, rest = self.transport.value().partition(b"\r\n\r\n")
        self.head = Response.parse(head)
        self.transport.clear()
        self._take(rest)

    def send(self, data: bytes) -> None:
        # The transport's protocol changes with the upgrade, as it does on a real transport.
        self.transport.protocol.dataReceived(data)

    def received(self) -> bytes:
        """Gives the bytes that have come in since the last time, as they came, and understands them."""
        data: bytes = self.transport.value()
        self.transport.clear()
        self._take(data)
        return data

    def _take(self, data: bytes) -> None:
        if self.head.headers.get("transfer-encoding") == "chunked":
            assert not (self.ending and data), data
            data, self.ending = dechunk(data)
        self.source.feed(data)

    def events(self) -> list[bytes]:
        """Gives the documents of the events since the last time, each of which has its version for its id."""
        self.received()
        events, self.source.events = self.source.events, []
        assert {kind for kind, _, _ in events} <= {"message", "state"}
        self.states += [json.loads(data) for kind, data, _ in events if kind == "state"]
        events = [event for event in events if event[0] == "message"]
        for _, data, identifier in events:
            assert version_of(data.encode()) == identifier
        return [data.encode() for _, data, _ in events]

    def heartbeats(self) -> int:
        """Gives how many there were since the last time."""
        self.received()
        comments, self.source.comments = self.source.comments, []
        assert set(comments) <= {HEARTBEAT}
        return len(comments)

    def leave(self, reason: Exception | None = None) -> None:
        self.transport.protocol.connectionLost(Failure(reason or ConnectionDone()))
