"""``livefeed.delta.v1``: messages that name the version that they bring, and carry only what has changed.

Rule: a message is made once for all clients that have the same version, on every transport.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from livefeed.document.codings import is_large
from livefeed.document.history import WORTH_IT, DeltaForm
from livefeed.document.timestamps import timestamp
from livefeed.feed.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.delivery.transports import AbortableTransport, MakeGroup, TransportGroup
    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.feed import Feed

    Wrap = Callable[[bytes, str | None], bytes]
    """Makes the bytes on the wire of a message: a function of a module, since results are kept by it.

    The second argument is the version that the client has after the message: ``""`` for none, and ``None`` if the
    message does not say.
    """


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The errors of msgspec for a client's message: it checks the UTF-8 of texts by itself, since Autobahn leaves that of
binary frames unchecked, and follows members that it does not know to any depth."""


def desk_facts(feed: Feed) -> dict[str, Any]:
    """Gives the members of messages that say why there is no new document, and for how long one has been held back.

    Each is there only if there is something to say.
    """
    facts: dict[str, Any] = {}
    if feed.told.reason:
        facts["reason"] = feed.told.reason
    waiting_s = feed.waiting_s()
    if waiting_s is not None:
        facts["waiting"] = int(1000 * waiting_s)
    if feed.told.overlay and not feed.is_gone():
        facts["overlay"] = feed.told.overlay
    return facts


def heartbeat_facts(feed: Feed) -> dict[str, Any]:
    """Gives the member of messages that says within which time another one comes, unless that is one tick."""
    heartbeat_s = feed.heartbeat_s()
    pulled = feed if feed.whole is None else feed.whole
    return {"heartbeat": ceil(1000 * heartbeat_s)} if heartbeat_s > pulled.interval_s else {}


@dataclass(slots=True, eq=False)
class _Outlet:
    """Where messages go. The message depends on the version that the client has, or all clients of a group have.

    :ivar have: that version; ``None`` for none.
    """

    transport: Any
    _messages: PreparedMessages
    _wrap: Wrap
    have: str | None = None

    def send(self, snapshot: Snapshot) -> None:
        """Subscriber and Multicast API."""
        message = self._messages.get(self.have, self._wrap)
        # Set before the write: an outlet that leaves a group meanwhile takes the version along.
        before, self.have = self.have, self._messages.has_after(snapshot)
        try:
            self.transport.write(message)
        except Exception:
            self.have = before
            raise


class MessageOutlet(_Outlet):
    """A subscriber that is sent messages."""

    __slots__ = ()

    transport: AbortableTransport

    def drop(self) -> None:
        """Subscriber API."""
        self.transport.abortConnection()


class _MessageMulticast(_Outlet):
    """Several subscribers that all have the same version. Its transport is a group of their transports."""

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


@dataclass(frozen=True, slots=True)  # each subscriber makes its own; equal audiences count as one
class MessageAudience:
    """The subscribers on one kind of transport that are sent the messages of one feed."""

    _make_group: MakeGroup
    _messages: PreparedMessages
    _wrap: Wrap

    def make_multicast(self) -> _MessageMulticast:
        """Audience API."""
        return _MessageMulticast(self._make_group(), self._messages, self._wrap)


class SnapshotMessage(bytes):
    """A message that contains the whole document, for wrappers that reuse the document's compressed form.

    :ivar snapshot: the document.
    :ivar start: the offset of the document in the message, in bytes.
    """

    snapshot: Snapshot
    start: int


@dataclass(eq=False)
class PreparedMessages(ABC):
    """The messages of a feed in one protocol, as of its last tick: each is made once for all clients.

    :cvar form: the form of the changes in them.
    :ivar made: the number of messages that were made since the start.
    """

    # required parameters
    feed: Feed

    # internal state
    form: ClassVar[DeltaForm]
    made: int = 0
    _ready: dict[tuple[str | None, Wrap], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A message names a state and a time, which hold until the next tick.
        self.feed.observe(self._ready.clear)

    def get(self, have: str | None, wrap: Wrap) -> bytes:
        """Gives the message that brings a client to the newest version, wrapped for its transport.

        :param have: the version that the client has; ``None`` for none.
        :param wrap: makes the bytes on the wire of a message and its version. A function of a module, since its results
            are kept by it.
        """
        feed = self.feed
        snapshot = feed.snapshot
        assert snapshot is not None
        if feed.is_gone() or (have != snapshot.version and feed.history.delta(self.form, have) is None):
            have = None
        key = have, wrap
        ready = self._ready.get(key)
        if ready is None:
            self.made += 1
            ready = self._ready[key] = self._make(snapshot, have, wrap)
        return ready

    def has_after(self, snapshot: Snapshot) -> str | None:
        """Gives the version that a client has after the message about a snapshot; ``None`` for none.

        After an expiry or a withdrawal a client has no version.
        """
        return None if self.feed.is_gone() else snapshot.version

    def _make(self, snapshot: Snapshot, have: str | None, wrap: Wrap) -> bytes:
        if self.feed.is_gone():
            # The event has no id, so a client that comes back has no version.
            return wrap(self._withheld(), "")
        if have is None or have == snapshot.version:
            # A client has this version now, or is about to have it, so the delta to the next one will be used.
            self.feed.history.want(self.form)
        if have == snapshot.version:
            return wrap(self._message("heartbeat"), snapshot.version)
        if have is None:
            return wrap(self._whole(snapshot), snapshot.version)
        whole, delta = self.get(None, wrap), self.feed.history.delta(self.form, have)
        if delta is None or (is_large(delta) and len(delta) > WORTH_IT * len(snapshot.data)):
            # A large delta that saves little would take milliseconds to compress. The document is compressed already.
            return whole
        name = self.form.value
        start = b',"from":%s,"%s":%s' % (json.dumps(have).encode(), name.encode(), delta)
        changes = wrap(self._message(name, start), snapshot.version)
        return changes if len(changes) < WORTH_IT * len(whole) else whole

    def _signed(self) -> bytes:
        """Gives the member with the signed statement about the newest version, after a comma; nothing without one."""
        signed = self.feed.signed()
        return b"" if signed is None else signed.member()

    @abstractmethod
    def _withheld(self) -> bytes:
        """Makes the message that says that the document must not be shown any more."""

    @abstractmethod
    def _whole(self, snapshot: Snapshot) -> bytes:
        """Makes the message with the whole document."""

    @abstractmethod
    def _message(self, kind: str, rest: bytes = b"") -> bytes:
        """Makes a message.

        :param kind: its type.
        :param rest: its last members, each after a comma.
        """


@dataclass(eq=False)
class Messages(PreparedMessages):
    """The messages of ``livefeed.delta.v1``."""

    form = DeltaForm.PATCH

    def _withheld(self) -> bytes:
        return self._message("state")

    def _whole(self, snapshot: Snapshot) -> bytes:
        message = SnapshotMessage(self._message("snapshot", b',"data":%s' % snapshot.data))
        message.snapshot, message.start = snapshot, len(message) - len(snapshot.data) - 1
        return message

    def _message(self, kind: str, rest: bytes = b"") -> bytes:
        snapshot = self.feed.snapshot
        assert snapshot is not None
        facts = {
            "type": kind,
            "version": snapshot.version,
            "sequence": str(snapshot.sequence),
            "state": self.feed.state.value,
            "at": timestamp(self.feed.confirmed_at),
            # Clients of a part hear nothing of the whole here.
            **(heartbeat_facts(self.feed) if self.feed.whole is None else {}),
            **desk_facts(self.feed),
        }
        if self.feed.state is State.WITHDRAWN:
            # By the hash of a short value, everybody could find a value that is withdrawn.
            del facts["version"]
        return json.dumps(facts, separators=(",", ":")).encode()[:-1] + self._signed() + rest + b"}"
