"""The events that a plain event stream is sent: the state where it has changed, and each document.

Each event is made once for all streams, and written straight to the transport: with thousands of streams, the memory of
their protocols is in no cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.delivery.framing import chunked_document_event, document_event

if TYPE_CHECKING:
    from livefeed.delivery.transports import MakeGroup
    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.feed import Feed
    from livefeed.feed.notice import Told


class StateEvents(Protocol):
    """The requirements on the source of the state events.

    :ivar feed: the feed whose state they say.
    """

    feed: Feed

    def state_event(self, *, chunked: bool) -> bytes:
        """Gives the event that says the state, made once for all."""

    def state_and_document(self, snapshot: Snapshot, *, chunked: bool) -> bytes:
        """Gives that event and the document, in one piece that is made once for all."""


@dataclass(slots=True, eq=False)
class EventOutlet:
    """A subscriber that is sent whole documents, each as one event, and the state.

    :param _chunked: whether the answer is sent in chunks, as in HTTP/1.1.
    :ivar have: the version that the client has; ``None`` for none.
    :ivar told: all that the last state event said; ``None`` if there was none. The first event is always a state: the
        client may come back from another process with any state, and without a document that may be shown it has no
        version, like a new client.
    """

    transport: Any
    _states: StateEvents
    _chunked: bool
    have: str | None = None
    told: Told | None = None

    def send(self, snapshot: Snapshot | None) -> None:
        """Subscriber and Multicast API. It is called at each tick and change of state, and sends only changes.

        :param snapshot: the newest snapshot; ``None`` to send only the state.
        """
        feed = self._states.feed
        before = told, have = self.told, self.have
        is_told = feed.told is told
        if not is_told:
            told = feed.told
            if feed.is_gone():
                have = None  # the document is sent again when it may be shown again
        # Not is_gone: a call takes 50 ns more.
        if snapshot is not None and snapshot.version != have and not feed.fanout.is_withheld:
            have = snapshot.version
            if is_told:
                data = snapshot.form(chunked_document_event if self._chunked else document_event)
            else:
                # The state comes first, so that no client has a document while its state still hides it. Both are one
                # write: a stream that leaves a group meanwhile has been sent all that the group was, or nothing.
                data = self._states.state_and_document(snapshot, chunked=self._chunked)
        elif is_told:
            return
        else:
            data = self._states.state_event(chunked=self._chunked)
        # Set before the write: an outlet that leaves a group meanwhile takes the version along.
        self.told, self.have = told, have
        try:
            self.transport.write(data)
        except Exception:
            self.told, self.have = before
            raise

    def drop(self) -> None:
        """Subscriber API. The stream is cut: its state after an error is unknown."""
        self.transport.abortConnection()


class _EventMulticast(EventOutlet):
    """Several streams that were sent the same events last. Its transport is a group of their transports."""

    __slots__ = ()

    def add(self, outlet: EventOutlet) -> None:
        """Multicast API."""
        self.told, self.have = outlet.told, outlet.have
        self.transport.add(outlet.transport)

    def discard(self, outlet: EventOutlet) -> None:
        """Multicast API."""
        outlet.told, outlet.have = self.told, self.have
        self.transport.discard(outlet.transport)


@dataclass(frozen=True, slots=True)  # each subscriber makes its own; equal audiences count as one
class EventAudience:
    """The streams on one kind of transport that are sent the same events."""

    _make_group: MakeGroup
    _states: StateEvents
    _chunked: bool

    def make_multicast(self) -> _EventMulticast:
        """Audience API."""
        return _EventMulticast(self._make_group(), self._states, self._chunked)
