"""Test doubles for programs that use livefeed, and for its own tests, without sockets and sleeping.

``make_site`` makes a complete site, and ``request`` sends a request to it in memory, through twisted.web's own parser.
The test of a source can therefore look at the answers that watchers receive:

.. tested: tests/test_testing.py

::

    clock = Clock()
    made = make_site("scores", sources={"scores": MySource()}, clock=clock)
    made.start()  # the first pull
    assert request(made.site, b"GET /scores HTTP/1.1").body == b'{"home": 1}'
    clock.advance(1)  # the next one
    made.stop()
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.root import Root
from livefeed.delivery.websocket.handshake import Handshakes
from livefeed.delivery.websocket.protocol import SubscriberFactory
from livefeed.document.history import History
from livefeed.document.snapshot import Snapshot
from livefeed.exceptions import SourceError
from livefeed.feed.feed import Feed
from livefeed.intake.desk import Desk
from livefeed.intake.puller import Puller
from livefeed.web.cors import Origins
from livefeed.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from livefeed.delivery.delivery import AnswerHandshake
    from livefeed.sources import Source

    InThread = Callable[..., Deferred[Any]]

MAX_BYTES = 1024 * 1024
"""The size in bytes of the largest document that the sources of :func:`make_site` may give: that of ``--max-bytes``."""


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

    :param is_tick: whether the pull is that of a tick, or stands for one.
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


@dataclass(frozen=True, slots=True)
class MemorySite:
    """A complete site in memory, made by :func:`make_site`.

    :ivar site: the factory of HTTP connections. :func:`request` sends a request to it. It can also listen on a port.
    :ivar published: the feeds with all ways to follow them, in the order in which the caller named them. Without a
        limit of subscribers; ``published[0].max_subscribers = 2`` sets one.
    :ivar subscribers: the factory of the WebSocket protocols of all feeds.
    :ivar pullers: the pullers of the feeds that have a source, by the names of these feeds.
    """

    site: Site
    published: tuple[PublishedFeed, ...]
    subscribers: SubscriberFactory
    pullers: dict[str, Puller]

    @property
    def feed(self) -> Feed:
        """The first feed, which is the only one of most tests."""
        return self.published[0].feed

    def start(self) -> None:
        """Starts the pullers: each pulls for the first time at once, and then at each tick of the clock."""
        for puller in self.pullers.values():
            puller.startService()

    def stop(self) -> None:
        """Stops the pullers and closes their sources. The last versions stay on the site."""
        for puller in self.pullers.values():
            puller.stopService()


def make_site(
    *feeds: Feed | str,
    clock: Any = None,
    sources: Mapping[str, Source] | None = None,
    origins: Iterable[str] = ("*",),
    in_thread: InThread | None = None,
    upgrade: AnswerHandshake | None = None,
) -> MemorySite:
    """Makes a complete site in memory, wired as ``livefeed.service`` wires the one that it serves.

    Two things differ. The clock also gives the time that is displayed, so that answers are the same in each run. All
    feeds are pulled at the same time, where the service spreads the first pulls.

    :param feeds: the names of the feeds, or feeds that were made before, with the same clock; without any, one feed by
        the name of ``feed``.
    :param clock: the reactor or clock that measures and schedules everything. Without one, it is the clock of the first
        feed that was made before, and otherwise a new ``twisted.internet.task.Clock``.
    :param sources: for each feed that is to be pulled, by its name, the source. :meth:`MemorySite.start` starts that.
    :param origins: the origins whose pages may read the feeds, as ``--allow-origin`` takes them.
    :param in_thread: calls a function in a thread and gives a ``Deferred`` of the result; ``None`` to call it at once.
    :param upgrade: takes the place of the WebSocket handshake: it is given the request and the delivery that the client
        wants to follow.
    :raises ValueError: if a source is for a feed that there is not.
    """
    made = [feed for feed in feeds if isinstance(feed, Feed)]
    if clock is None:
        clock = made[0].clock if made else Clock()
    allowed = Origins.parse(origins)
    subscribers = SubscriberFactory(reactor=clock)
    followed = [
        feed if isinstance(feed, Feed) else Feed(feed, clock=clock, history=History(in_thread=in_thread))
        for feed in feeds or ("feed",)
    ]
    in_thread = in_thread or maybeDeferred
    by_name = {feed.name: feed for feed in followed}
    unknown = sorted(set(sources or {}) - set(by_name))
    if unknown:
        raise ValueError(f"sources name feeds that the site does not have: {', '.join(unknown)}")
    pullers = {
        name: Puller(
            by_name[name],
            source,
            clock=clock,
            max_bytes=MAX_BYTES,
            desk=Desk.of(by_name[name], clock, in_thread, clock.seconds),
        )
        for name, source in (sources or {}).items()
    }
    handshake = upgrade or Handshakes(subscribers, allowed).answer
    published = tuple(PublishedFeed(feed, allowed, handshake, in_thread=in_thread) for feed in followed)
    site = Site(Root(published), reactor=clock)
    for one in published:
        # Behind the parts, which observe the whole as well: by the time that answers are forgotten, all are up to date.
        one.feed.observe(site.forget_answers)
    return MemorySite(site, published, subscribers, pullers)
