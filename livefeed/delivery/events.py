"""``/feed.sse``: server-sent events (the HTML standard, 9.2). Each event is made once for all subscribers.

twisted.web renders the head of the answer; from there on the connection is the stream's.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.protocol import Protocol
from twisted.web.server import NOT_DONE_YET

from livefeed.delivery.flow_control import PausableSubscriber
from livefeed.delivery.heartbeats import Heartbeats
from livefeed.delivery.messages import MessageOutlet
from livefeed.document.codings import http_chunk, server_sent_event
from livefeed.document.timestamps import timestamp
from livefeed.feed.feed import State
from livefeed.web.answers import EVENT_STREAM, EVERY_ANSWER
from livefeed.web.reconnect_slots import RECONNECT_DELAYS_S
from livefeed.web.refusals import refuse_events

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from livefeed.delivery.messages import Messages
    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.feed import Feed
    from livefeed.web.reconnect_slots import ReconnectSlots
    from livefeed.web.request import Request

HEARTBEAT_S = 15
"""As often as the HTML standard advises, for proxies that drop silent connections."""

MISSED_HEARTBEATS = 4
"""A subscriber that has taken nothing for so many heartbeats is dropped."""

MAX_RECEIVED_BYTES = 16_384
"""A client has nothing more to say; what it says anyway is thrown away up to here."""

_LAST_CHUNK = b"0\r\n\r\n"


def _chunked_event(message: bytes, version: str) -> bytes:
    return http_chunk(server_sent_event(message, version))


class EventStream(PausableSubscriber, Protocol):
    """A connection on which events are sent, as far as its reader keeps up.

    :param streams: those that it belongs to.
    :param chunked: whether its answer is sent in chunks, as it is in HTTP/1.1.
    :param delta: whether the events are the messages of :mod:`livefeed.delivery.messages`.
    :param have: the version that the client has already.
    """

    def __init__(self, streams: EventStreams, *, chunked: bool, delta: bool, have: str | None) -> None:
        self._streams = streams
        self._chunked = chunked
        self._delta = delta
        self._shown = have  # the version that the client has
        # What the client was told. At the beginning always: it may come back from another process with any state, and
        # after an expiry it has no version, and cannot be told from a new one.
        self._state: State | None = None
        self._closed = False
        self._received = 0

    # IProtocol API

    def connectionMade(self) -> None:
        """IProtocol API."""
        self._streams.open.add(self)
        self.transport.registerProducer(self, True)
        # A line and not a block, as heartbeats are: six of 18 libraries make a message of each empty line.
        self._write(b"retry: %d\n" % (1000 * random.uniform(*RECONNECT_DELAYS_S)))  # noqa: S311
        feed = self._streams.feed
        if self._delta:
            wrap = _chunked_event if self._chunked else server_sent_event
            outlet = MessageOutlet(self.transport, self._streams.messages, wrap, self._shown)
            self._subscription = feed.subscribe(outlet, informed=True)
        else:
            self._tell_state()
            self._subscription = feed.subscribe(self, repeats=False, informed=True, have=self._shown)
        # The first document may have been more than the transport takes.
        if self._paused:
            self._subscription.pause()

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        self._received += len(data)
        if self._received > MAX_RECEIVED_BYTES:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """IProtocol API."""
        self._streams.open.discard(self)
        self._unsubscribe()
        if not self._closed:
            self._leave_transport()

    # Subscriber API

    def send(self, snapshot: Snapshot) -> None:
        """Subscriber API. It is called at each tick, and when the state changes: what is known is not sent again."""
        # The state goes first, so that nobody has a document to show while it still says expired.
        self._tell_state()
        if snapshot.version != self._shown and self._streams.feed.state is not State.EXPIRED:
            self._shown = snapshot.version
            self.transport.write(self._streams.event(snapshot, chunked=self._chunked))

    def _tell_state(self) -> None:
        state = self._streams.feed.state
        if state is not self._state:
            self._state = state
            if state is State.EXPIRED:
                self._shown = None  # it is sent whole when it may be shown again
            self.transport.write(self._streams.state_event(chunked=self._chunked))

    # Member API

    def beat(self) -> None:
        """Member API. Sends a comment, or ends the connection if nothing was taken for long."""
        if self._closed:
            return
        if not self._paused:
            self._write(b":\n")
            return
        # This heartbeat counts, too, unless something was taken since the one before.
        self._silent += 1
        self._note_progress()
        if self._silent >= MISSED_HEARTBEATS:
            self.transport.abortConnection()

    def close(self, ends: dict[bool, bytes]) -> None:
        """Ends the stream. The client will come back by itself.

        :param ends: the last bytes of a stream, with chunks (``True``) and without.
        """
        self._closed = True
        self._unsubscribe()
        self.transport.unregisterProducer()
        self.transport.write(ends[self._chunked])
        self.transport.loseConnection()

    def _write(self, data: bytes) -> None:
        self.transport.write(http_chunk(data) if self._chunked else data)


@dataclass(eq=False)
class EventStreams:
    """All streams of a feed.

    :ivar messages: the feed's messages, for those who follow by delta.
    :ivar open: those that there are.
    :ivar going_away: whether no more are begun: livefeed is being stopped, or this part of a document makes room for
        another.
    """

    # required parameters
    feed: Feed
    messages: Messages

    # internal state
    open: Heartbeats[EventStream] = field(init=False)
    going_away: bool = False
    _snapshot: Snapshot | None = None
    _events: dict[bool, bytes] = field(default_factory=dict)
    _told: tuple[State, float | None] | None = None
    _state_events: dict[bool, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.open = Heartbeats(self.feed.clock, HEARTBEAT_S)

    def event(self, snapshot: Snapshot, *, chunked: bool) -> bytes:
        """Gives a snapshot as an event, which is made when it is first asked for."""
        if snapshot is not self._snapshot:
            event = server_sent_event(snapshot.data, snapshot.version)
            self._snapshot, self._events = snapshot, {False: event, True: http_chunk(event)}
        return self._events[chunked]

    def state_event(self, *, chunked: bool) -> bytes:
        """Gives the state as an event, and the time to which it holds for what clients were sent, made once for all."""
        told = self.feed.state, None if self.feed.snapshot is None else self.feed.confirmed_at
        if told != self._told:
            state, at = told
            facts = {"state": state.value, "at": None if at is None else timestamp(at)}
            # A client that comes back after the expiry has no version: the last id is taken back.
            no_id = b"id: \n" if state is State.EXPIRED else b""
            event = b"event: state\n%sdata: %s\n\n" % (no_id, json.dumps(facts).encode())
            self._told, self._state_events = told, {False: event, True: http_chunk(event)}
        return self._state_events[chunked]

    def close(self, slots: ReconnectSlots) -> None:
        """Ends all streams, and begins no more. The last that a client is sent is the time after which it comes back.

        :param slots: gives these times.
        """
        self.going_away = True
        told, ends = None, dict[bool, bytes]()
        for stream in tuple(self.open):
            retry_ms = slots.retry_ms()
            if retry_ms != told:
                # A line alone, as at the beginning. A client takes it as soon as the line has ended.
                told, line = retry_ms, b"retry: %d\n" % retry_ms
                ends = {False: line, True: http_chunk(line) + _LAST_CHUNK}
            stream.close(ends)
            slots.add()

    def begin(
        self, request: Request, headers: list[tuple[bytes, bytes]], *, delta: bool = False, have: str | None = None
    ) -> int:
        """Answers a request with a stream, or with its head alone if the method is ``HEAD``.

        :param headers: the fields, besides those that make it a stream.
        :param delta: whether the client wants messages in place of documents.
        :param have: the version that the client has already.
        :returns: what ``render`` returns.
        """
        if self.going_away:
            return refuse_events(request, headers)
        for name, value in (*EVERY_ANSWER, *headers, (b"Connection", b"close"), *EVENT_STREAM):
            request.responseHeaders.setRawHeaders(name, [value])
        if request.method == b"HEAD":
            request.channel.persistent = False
            request.finish()
            return NOT_DONE_YET
        request.write(b"")
        request.channel.hand_over(EventStream(self, chunked=bool(request.chunked), delta=delta, have=have))
        return NOT_DONE_YET
