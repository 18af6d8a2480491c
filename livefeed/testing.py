"""Test doubles for programs that use livefeed, and for its own tests, without sockets and sleeping.

``request`` drives a whole site in memory, through twisted.web's own parser.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport

from livefeed.document.snapshot import Snapshot
from livefeed.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.feed.feed import Feed
    from livefeed.web.site import Site


@dataclass(slots=True)
class MemorySource:
    """A source that gives prepared answers.

    :ivar answers: for each of the next pulls a document, an error to raise, or a ``Deferred`` of the document. Once
        they are used up, pulls fail.
    :ivar closed: whether livefeed has closed it.
    """

    answers: deque[bytes | BaseException | Deferred[bytes]] = field(default_factory=deque)
    closed: bool = False

    def __str__(self) -> str:
        return "memory:"

    def watch(self, changed: Callable[[], None]) -> None:
        """Source API."""

    async def fetch(self) -> bytes:
        """Source API."""
        answer = self.answers.popleft() if self.answers else SourceError("there is nothing more in it")
        if isinstance(answer, BaseException):
            raise answer
        return await answer if isinstance(answer, Deferred) else answer

    def close(self) -> None:
        """Source API."""
        self.closed = True


def publish(feed: Feed, data: bytes, *, is_tick: bool = True) -> None:
    """Publishes a document, like a good pull of it.

    :param is_tick: whether the pull is that of a tick, and not one between ticks after the source told of a change.
    """
    snapshot = feed.snapshot
    if snapshot is None or snapshot.data != data:
        snapshot = Snapshot.of(data, feed.next_sequence())
    feed.publish(snapshot, is_tick=is_tick)


@dataclass(slots=True)
class RecordingSubscriber:
    """A subscriber that records the snapshots that it is sent.

    :ivar snapshots: the snapshots, in order.
    :ivar dropped: whether its connection was ended after an error.
    """

    snapshots: list[Snapshot] = field(default_factory=list)
    dropped: bool = False

    def send(self, snapshot: Snapshot) -> None:
        """Subscriber API."""
        self.snapshots.append(snapshot)

    def drop(self) -> None:
        """Subscriber API."""
        self.dropped = True


@dataclass(frozen=True, slots=True)
class Response:
    """A parsed response.

    :ivar status: the status code.
    :ivar headers: the fields, by lower-case name; lines of the same name are joined with commas.
    :ivar body: the bytes after the head.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def parse(cls, data: bytes) -> Response:
        """Parses the bytes of one response."""
        head, _, body = data.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        return cls(int(status_line.split(" ")[1]), headers, body)


def request(site: Site, head: bytes) -> Response:
    """Sends a request to a site over a connection in memory, and gives the response.

    :param head: the request line and the fields, lines ended by LF or CRLF; ``Host`` is added.
    """
    lines = head.strip().replace(b"\r\n", b"\n").split(b"\n")
    transport = StringTransport()
    channel = site.buildProtocol(None)
    assert channel is not None
    channel.makeConnection(transport)
    channel.dataReceived(b"\r\n".join([*(line.strip() for line in lines), b"Host: localhost", b"", b""]))
    return Response.parse(transport.value())
