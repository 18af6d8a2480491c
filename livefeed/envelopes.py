"""``livefeed.delta.v1``: messages that say which version they bring, and bring no more than is needed.

Rule: a message is made once for all who have the same version, whatever carries it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.history import WORTH_IT
from livefeed.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.feed import Feed
    from livefeed.snapshot import Snapshot

    Wrap = Callable[[bytes, str], bytes]
    MakeGroup = Callable[[], "TransportGroup"]


class Transport(Protocol):
    """Where messages go."""

    def write(self, data: bytes, /) -> None:
        """ITransport API."""


class TransportGroup(Protocol):
    """Many of them that are written the same; as :class:`livefeed.transport.connection.Group` is."""

    def add(self, transport: Any, /) -> None:
        """Lets one join."""

    def discard(self, transport: Any, /) -> None:
        """Lets one go that has joined."""

    def write(self, data: bytes, /) -> None:
        """Writes to each."""


@dataclass(slots=True, eq=False)
class EnvelopeOutlet:
    """A subscriber that is sent messages: which, depends on what it has.

    :ivar have: the version that it has; ``None`` if none.
    """

    transport: Transport
    _envelopes: Envelopes
    _wrap: Wrap
    have: str | None

    def send(self, snapshot: Snapshot) -> None:
        """Subscriber API."""
        message = self._envelopes.get(self.have, self._wrap)
        self.have = snapshot.version
        self.transport.write(message)


@dataclass(slots=True, eq=False)
class _EnvelopeGroup:
    """Some of those who follow one feed by delta, on one kind of transport. All in it have the same version."""

    _transports: TransportGroup
    _envelopes: Envelopes
    _wrap: Wrap
    _have: str | None = None

    def add(self, outlet: EnvelopeOutlet) -> None:
        """Group API."""
        self._have = outlet.have
        self._transports.add(outlet.transport)

    def discard(self, outlet: EnvelopeOutlet) -> None:
        """Group API."""
        outlet.have = self._have
        self._transports.discard(outlet.transport)

    def send(self, snapshot: Snapshot) -> None:
        """Group API."""
        message = self._envelopes.get(self._have, self._wrap)
        self._have = snapshot.version
        self._transports.write(message)


@dataclass(frozen=True, slots=True)
class EnvelopeCrowd:
    """Those who follow one feed by delta, on one kind of transport."""

    _make_group: MakeGroup
    _envelopes: Envelopes
    _wrap: Wrap

    def group(self) -> _EnvelopeGroup:
        """Crowd API."""
        return _EnvelopeGroup(self._make_group(), self._envelopes, self._wrap)


@dataclass(eq=False)
class Envelopes:
    """The messages of a feed, as of its last tick.

    :ivar made: how many messages were put together since the start.
    """

    # required parameters
    feed: Feed

    # internal state
    made: int = 0
    _ready: dict[tuple[str | None, Wrap], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # What a message says of state and time holds until the next tick.
        self.feed.changed.append(self._ready.clear)

    def get(self, have: str | None, wrap: Wrap) -> bytes:
        """Gives the message that brings somebody up to the newest version, ready to be sent.

        :param have: the version that they have; ``None`` if none.
        :param wrap: makes of a message and its version what goes over the wire: a module's function, since what it gave
            is remembered by it.
        """
        snapshot = self.feed.snapshot
        assert snapshot is not None
        if have != snapshot.version and self.feed.history.patch(have) is None:
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
        if have == snapshot.version:
            return wrap(self._message("heartbeat"), snapshot.version)
        if have is None:
            return wrap(self._message("snapshot", b',"data":%s' % snapshot.data), snapshot.version)
        whole, patch = self.get(None, wrap), self.feed.history.patch(have)
        if patch is None:
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
