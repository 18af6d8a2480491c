"""``livefeed.delta.v1``: messages that say which version they bring, and bring no more than is needed.

Rule: a message is made once for all who have the same version, whatever carries it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.document.codings import is_large
from livefeed.document.history import WORTH_IT
from livefeed.document.timestamps import timestamp
from livefeed.feed.feed import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.feed import Feed

    Wrap = Callable[[bytes, str], bytes]
    MakeGroup = Callable[[], "TransportGroup"]


class Transport(Protocol):
    """Where messages go."""

    def write(self, data: bytes, /) -> None:
        """ITransport API."""


class Abortable(Transport, Protocol):
    """One connection."""

    def abortConnection(self) -> None:
        """ITCPTransport API."""


class TransportGroup(Transport, Protocol):
    """Transports that are written the same, as :class:`livefeed.transport.groups.ConnectionGroup` is."""

    def add(self, transport: Any, /) -> None:
        """Lets one join."""

    def discard(self, transport: Any, /) -> None:
        """Lets one go that has joined."""


@dataclass(slots=True, eq=False)
class _Outlet:
    """Where messages go: which, depends on what is there already.

    :ivar have: the version that is; ``None`` if none.
    """

    transport: Any
    _envelopes: Messages
    _wrap: Wrap
    have: str | None = None

    def send(self, snapshot: Snapshot) -> None:
        """Subscriber and Multicast API."""
        message = self._envelopes.get(self.have, self._wrap)
        # Before it is written: an outlet that leaves a group takes this along. An expired version is forgotten.
        before, self.have = self.have, None if self._envelopes.feed.state is State.EXPIRED else snapshot.version
        try:
            self.transport.write(message)
        except Exception:
            self.have = before
            raise


class MessageOutlet(_Outlet):
    """A subscriber that is sent messages."""

    __slots__ = ()

    transport: Abortable

    def drop(self) -> None:
        """Subscriber API."""
        self.transport.abortConnection()


class _EnvelopeGroup(_Outlet):
    """Subscribers who all have the same version: its transport is a group of theirs."""

    __slots__ = ()

    transport: TransportGroup

    def add(self, outlet: MessageOutlet) -> None:
        """Multicast API."""
        self.have = outlet.have
        self.transport.add(outlet.transport)

    def discard(self, outlet: MessageOutlet) -> None:
        """Multicast API."""
        outlet.have = self.have
        self.transport.discard(outlet.transport)


@dataclass(frozen=True, slots=True)  # two that are equal are one, and are made for each subscriber
class MessageAudience:
    """The subscribers on one kind of transport that follow one feed by delta."""

    _make_transports: MakeGroup
    _envelopes: Messages
    _wrap: Wrap

    def make_multicast(self) -> _EnvelopeGroup:
        """Audience API."""
        return _EnvelopeGroup(self._make_transports(), self._envelopes, self._wrap)


class SnapshotMessage(bytes):
    """A message that has the whole document in it, for what can make use of the document's own forms.

    :ivar snapshot: the document.
    :ivar start: where in the message it begins.
    """

    snapshot: Snapshot
    start: int


@dataclass(eq=False)
class Messages:
    """The messages of a feed, as of its last tick.

    :ivar made: how many messages were put together since the start.
    """

    # required parameters
    feed: Feed

    # internal state
    made: int = 0
    _ready: dict[tuple[str | None, Wrap], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The state and the time in a message hold until the next tick.
        self.feed.changed.append(self._ready.clear)

    def get(self, have: str | None, wrap: Wrap) -> bytes:
        """Gives the message that brings somebody up to the newest version, ready to be sent.

        :param have: the version that they have; ``None`` if none.
        :param wrap: makes of a message and its version what goes over the wire: a module's function, since what it gave
            is remembered by it.
        """
        snapshot = self.feed.snapshot
        assert snapshot is not None
        if self.feed.state is State.EXPIRED or (have != snapshot.version and self.feed.history.patch(have) is None):
            have = None
        key = have, wrap
        ready = self._ready.get(key)
        if ready is None:
            self.made += 1
            ready = self._ready[key] = self._make(have, wrap)
        return ready

    def _make(self, have: str | None, wrap: Wrap) -> bytes:
        snapshot = self.feed.snapshot
        assert snapshot is not None
        if self.feed.state is State.EXPIRED:
            # Without a version on events: who comes back has none.
            return wrap(self._message("state"), "")
        if have == snapshot.version:
            return wrap(self._message("heartbeat"), snapshot.version)
        if have is None:
            message = SnapshotMessage(self._message("snapshot", b',"data":%s' % snapshot.data))
            message.snapshot, message.start = snapshot, len(message) - len(snapshot.data) - 1
            return wrap(message, snapshot.version)
        whole, patch = self.get(None, wrap), self.feed.history.patch(have)
        if patch is None or (is_large(patch) and len(patch) > WORTH_IT * len(snapshot.data)):
            # To compress what is large and not worth it would take milliseconds; the document is compressed already.
            return whole
        start = b',"from":%s' % json.dumps(have).encode()
        steps = wrap(self._message("patch", b'%s,"patch":%s' % (start, patch)), snapshot.version)
        return steps if len(steps) < WORTH_IT * len(whole) else whole

    def _message(self, kind: str, rest: bytes = b"") -> bytes:
        snapshot = self.feed.snapshot
        assert snapshot is not None
        facts = {
            "type": kind,
            "version": snapshot.version,
            "sequence": str(snapshot.sequence),
            "state": self.feed.state.value,
            "at": timestamp(self.feed.confirmed_at),
        }
        return json.dumps(facts, separators=(",", ":")).encode()[:-1] + rest + b"}"
