"""``/feed.sse``: server-sent events (the HTML standard, 9.2). Each event is made once for all subscribers.

twisted.web renders the head of the answer. Then the stream takes the connection over.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from twisted.internet.protocol import Protocol
from twisted.web.server import NOT_DONE_YET

from livefeed.delivery.event_outlets import EventAudience, EventOutlet
from livefeed.delivery.flow_control import PausableSubscriber
from livefeed.delivery.framing import chunked_document_event, document_event, http_chunk, server_sent_event
from livefeed.delivery.heartbeats import Heartbeats
from livefeed.delivery.items import Items
from livefeed.delivery.messages import MessageAudience, MessageOutlet, desk_facts
from livefeed.delivery.transports import group_maker
from livefeed.document.timestamps import timestamp
from livefeed.web.answers import EVENT_STREAM, EVERY_ANSWER
from livefeed.web.reconnect_slots import RECONNECT_DELAYS_S

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from livefeed.delivery.directory import Followed
    from livefeed.delivery.items import Visit
    from livefeed.delivery.messages import Messages
    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.fanout import Audience
    from livefeed.feed.feed import Feed
    from livefeed.feed.notice import Told
    from livefeed.web.interfaces import Admission
    from livefeed.web.reconnect_slots import ReconnectSlots
    from livefeed.web.request import Request

HEARTBEAT_S = 15
"""Seconds between two comments. The HTML standard advises this, because some proxies drop silent connections."""

MISSED_HEARTBEATS = 4
"""Number of heartbeats after which a subscriber that has read nothing meanwhile is dropped."""

PUSHED_S = 4
"""Seconds after the last version or message for which comments are skipped: it was a sign of life. So the longest
silence of a stream is 19 s. With a version each second, comments would be a fifteenth of all writes."""

MAX_RECEIVED_BYTES = 16_384
"""Limit of the bytes that a client may send on a stream. They are discarded; a client has no reason to send any."""

_LAST_CHUNK = b"0\r\n\r\n"


def _event(message: bytes, version: str | None) -> bytes:
    return server_sent_event(message, version or "")


def _chunked_event(message: bytes, version: str | None) -> bytes:
    return http_chunk(_event(message, version))


def _item_event(message: bytes, _: str | None) -> bytes:
    """Gives a message of an item that is not that of the stream's URL: it has no id."""
    return b"data: %s\n\n" % message


def _chunked_item_event(message: bytes, version: str | None) -> bytes:
    return http_chunk(_item_event(message, version))


def _own_item_event(message: bytes, version: str | None) -> bytes:
    """Gives a message of the item of the stream's URL. A client that comes back names its last id."""
    return _item_event(message, None) if version is None else server_sent_event(message, version)


def _chunked_own_item_event(message: bytes, version: str | None) -> bytes:
    return http_chunk(_own_item_event(message, version))


def _ends(retry_ms: int) -> dict[bool, bytes]:
    """Gives the last bytes of a stream, with chunks (``True``) and without (``False``)."""
    # A line without an empty line, as at the beginning. A client obeys it as soon as the line has ended.
    line = b"retry: %d\n" % retry_ms
    return {False: line, True: http_chunk(line) + _LAST_CHUNK}


class EventStream(PausableSubscriber, Protocol):
    """A connection on which events are sent at the pace of its reader.

    :param streams: the streams of the same feed.
    :param chunked: whether the answer is sent in chunks, as in HTTP/1.1.
    :param delta: whether the events are the messages of :mod:`livefeed.delivery.messages`.
    :param have: the version that the client has already; ``None`` for none.
    :param visit: a client that may follow several items; ``None`` for others.
    :param delivery: the item of the stream's URL, for such a client.
    :ivar follows_items: whether it is such a client.
    """

    def __init__(  # noqa: PLR0913 - the request decides on all of them
        self,
        streams: EventStreams,
        *,
        chunked: bool,
        delta: bool,
        have: str | None,
        visit: Visit | None = None,
        delivery: Followed | None = None,
    ) -> None:
        self._streams = streams
        self._chunked = chunked
        self._delta = delta
        self._have = have
        self._visit, self._delivery = visit, delivery
        self.follows_items = visit is not None
        self._closed = False
        self._received = 0

    admission: Admission | None = None
    """The subscription that a token has opened, on the stream of a protected feed."""

    # IProtocol API

    def connectionMade(self) -> None:
        """IProtocol API."""
        self._streams.open.add(self)
        self.transport.registerProducer(self, True)
        # A line without an empty line behind it, like heartbeats: six of 18 libraries make a message of empty lines.
        self._write(b"retry: %d\n" % (1000 * random.uniform(*RECONNECT_DELAYS_S)))  # noqa: S311
        feed = self._streams.feed
        if self._visit is not None and self._delivery is not None:
            self._follow_items(self._visit, self._delivery)
            return
        make_group = group_maker(self.transport)
        audience: Audience | None = None
        if self._delta:
            wrap = _chunked_event if self._chunked else _event
            messages = MessageOutlet(self.transport, self._streams.messages, wrap, self._have)
            if make_group is not None:
                audience = MessageAudience(make_group, self._streams.messages, wrap)
            subscription = feed.subscribe(messages, with_state=True, audience=audience)
        else:
            events = EventOutlet(self.transport, self._streams, self._chunked, self._have)
            if make_group is not None:
                audience = EventAudience(make_group, self._streams, self._chunked)
            events.send(None)  # there may be no document, or the client has it
            subscription = feed.subscribe(events, repeats=False, with_state=True, have=self._have, audience=audience)
        self._subscription = subscription
        # The first document may have filled the transport.
        if self._paused:
            subscription.pause()

    def _follow_items(self, visit: Visit, delivery: Followed) -> None:
        wrap, own = (_chunked_item_event, _chunked_own_item_event) if self._chunked else (_item_event, _own_item_event)
        items = Items(self, wrap, visit.visitor, is_event_stream=True)
        self._subscription, self._visit, self._delivery = items, None, None
        if self._paused:
            items.pause()
        items.begin(delivery, self._have, visit.wishes, own, visit.permit)

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        self._received += len(data)
        if self._received > MAX_RECEIVED_BYTES:
            self._streams.feed.tally.dropped["flood"] += 1
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """IProtocol API."""
        self._streams.open.discard(self)
        if self.admission is not None:
            self.admission.leave()
        self._unsubscribe()
        if not self._closed:
            self._leave_transport()

    # Member API

    def beat(self) -> None:
        """Member API. Sends a comment, or aborts the connection if its client has read nothing for too long.

        No comment is sent shortly after a version.
        """
        if self._closed:
            return
        if not self._paused:
            if self._sent_at() < self._streams.feed.clock.seconds() - PUSHED_S:
                self._write(b":\n")
            return
        # This heartbeat counts as well, unless the client has read something since the last one.
        self._silent += 1
        self._note_progress()
        if self._silent >= MISSED_HEARTBEATS:
            self._streams.feed.tally.dropped["silent"] += 1
            self.transport.abortConnection()

    def _sent_at(self) -> float:
        """Gives when a push began that has written something to this stream, by the clock."""
        following = self._subscription
        if isinstance(following, Items):
            return following.sent_at()
        feed = self._streams.feed
        if self._delta:
            return feed.fanout.sent_at
        # A push of the same version, or of one that must not be shown, writes no document.
        return -inf if feed.fanout.is_withheld else feed.fanout.taken_s

    def send_away(self, delay_ms: int) -> None:
        """Ends the stream. A stream that is being ended already is left alone.

        :param delay_ms: the time in milliseconds after which the client comes back.
        """
        if not self._closed:
            self.close(_ends(delay_ms))

    def close(self, ends: dict[bool, bytes]) -> None:
        """Ends the stream. The client comes back by itself.

        :param ends: the last bytes of a stream, with chunks (``True``) and without (``False``).
        """
        self._closed = True
        self._unsubscribe()
        self.transport.unregisterProducer()
        self.transport.write(ends[self._chunked])
        self.transport.loseConnection()

    @property
    def is_closing(self) -> bool:
        """Whether the stream has been ended, and its connection is about to end."""
        return self._closed

    def _write(self, data: bytes) -> None:
        self.transport.write(http_chunk(data) if self._chunked else data)


@dataclass(eq=False)
class EventStreams:
    """All streams of a feed.

    :ivar messages: the feed's messages, for clients that follow by delta.
    :ivar open: the streams that have begun and not ended.
    """

    # required parameters
    feed: Feed
    messages: Messages

    # internal state
    open: Heartbeats[EventStream] = field(init=False)
    _stated: tuple[Told, float | None, int | None] | None = None  # what the state events say
    _state_events: dict[bool, bytes] = field(default_factory=dict)
    _with_document: dict[bool, tuple[str, bytes]] = field(default_factory=dict)  # and the version; both by chunks

    def __post_init__(self) -> None:
        self.open = Heartbeats(self.feed.clock, HEARTBEAT_S)

    def followers(self) -> int:
        """Gives the number of streams that follow this feed alone: those that are being ended do not.

        10,000 take half a ms.
        """
        return sum(not (stream.is_closing or stream.follows_items) for stream in self.open)

    def state_event(self, *, chunked: bool) -> bytes:
        """Gives the event that says the state, and when the document was confirmed last. It is made once for all."""
        desk = desk_facts(self.feed)
        stated = self.feed.told, None if self.feed.snapshot is None else self.feed.confirmed_at, desk.get("waiting")
        if stated != self._stated:
            told, at, _ = stated
            facts = {"state": told.state.value, "at": None if at is None else timestamp(at), **desk}
            # This takes the last id back: a client that comes back after an expiry or a withdrawal has no version.
            no_id = b"id: \n" if self.feed.is_gone() else b""
            event = b"event: state\n%sdata: %s\n\n" % (no_id, json.dumps(facts).encode())
            self._stated, self._state_events = stated, {False: event, True: http_chunk(event)}
            self._with_document.clear()
        return self._state_events[chunked]

    def state_and_document(self, snapshot: Snapshot, *, chunked: bool) -> bytes:
        """Gives that event and the document, in one piece.

        It is made once for all: each client that reads slowly would else keep a copy of the document.
        """
        state = self.state_event(chunked=chunked)
        version, data = self._with_document.get(chunked, (None, b""))
        if version != snapshot.version:
            data = state + snapshot.form(chunked_document_event if chunked else document_event)
            self._with_document[chunked] = snapshot.version, data
        return data

    def close(self, slots: ReconnectSlots) -> None:
        """Ends all open streams. The last line of each says when its client comes back.

        :param slots: gives these times.
        """
        last_ms, ends = None, dict[bool, bytes]()
        for stream in [each for each in self.open if not each.is_closing]:
            retry_ms = slots.retry_ms()
            if retry_ms != last_ms:
                last_ms, ends = retry_ms, _ends(retry_ms)
            stream.close(ends)
            slots.add()

    def begin(  # noqa: PLR0913 - the request decides on all of them
        self,
        request: Request,
        headers: list[tuple[bytes, bytes]],
        *,
        delta: bool = False,
        have: str | None = None,
        visit: Visit | None = None,
        delivery: Followed | None = None,
    ) -> int:
        """Answers a request with a stream, or with its head alone if the method is ``HEAD``.

        :param headers: the fields of the answer, besides those of every stream.
        :param delta: whether the client asks for messages instead of documents.
        :param have: the version that the client has already; ``None`` for none.
        :param visit: a client that may follow several items; ``None`` for others.
        :param delivery: the item of the request, for such a client.
        :returns: what ``render`` returns.
        """
        for name, value in (*EVERY_ANSWER, *headers, (b"Connection", b"close"), *EVENT_STREAM):
            request.responseHeaders.setRawHeaders(name, [value])
        if request.method == b"HEAD":
            request.channel.persistent = False
            request.finish()
            return NOT_DONE_YET
        request.write(b"")
        chunked = bool(request.chunked)
        stream = EventStream(self, chunked=chunked, delta=delta, have=have, visit=visit, delivery=delivery)
        if request.permit is not None and visit is None:
            stream.admission = request.permit.begin(stream.send_away)
        request.channel.hand_over(stream)
        return NOT_DONE_YET
