"""``livefeed.delta.v2``: messages that name their item, so that one connection can follow several.

An item is a feed's whole document or a part of it. Documents and splices are JSON strings, so that every byte of a
document survives a JSON parser.

Rule: nothing in a message belongs to one connection. A message is made once for all clients that have the same version.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from livefeed.delivery.framing import deflated_text, document_text
from livefeed.delivery.messages import PreparedMessages, desk_facts, heartbeat_facts
from livefeed.document.codings import is_large
from livefeed.document.history import DeltaForm
from livefeed.document.timestamps import timestamp
from livefeed.feed.state import State

if TYPE_CHECKING:
    from livefeed.delivery.messages import Wrap
    from livefeed.delivery.transports import AbortableTransport, MakeGroup, TransportGroup
    from livefeed.document.snapshot import Snapshot

FRESH_S = 0.25
"""Seconds for which a message is used again: its age and the times in it are never off by more."""

_PULSE, _MISSING = "pulse", "missing"
"""Take the place of a client's version where the message is the same for all. No version is such a word."""


class TextMessage(bytes):
    """A message that contains the whole document, for wrappers that reuse the document's compressed form.

    :ivar start: the offset of the document's text in the message, in bytes.
    :ivar size: the size of that text in bytes.
    :ivar deflated: the text as :attr:`livefeed.document.codings.Compressed.message`; ``None`` while a thread makes it.
    """

    start: int
    size: int
    deflated: bytes | None


@dataclass(eq=False)
class ItemMessages(PreparedMessages):
    """The messages of one item."""

    form = DeltaForm.SPLICES

    # internal state
    _made_at: float = -math.inf  # when the oldest of the kept messages was made, by the clock
    _deflating: Snapshot | None = None  # the snapshot whose text a thread compresses

    def get(self, have: str | None, wrap: Wrap) -> bytes:
        """PreparedMessages API. While the document lacks the part, the message says so."""
        self._forget_old()
        if self.feed.is_missing and not self.feed.is_gone():
            return self._kept(_MISSING, "missing", wrap)
        return super().get(have, wrap)

    def pulse(self, wrap: Wrap) -> bytes:
        """Gives the heartbeat of the newest version, for clients that follow only parts of the feed."""
        self._forget_old()
        return self._kept(_PULSE, "heartbeat", wrap)

    def has_after(self, snapshot: Snapshot) -> str | None:
        """PreparedMessages API. After ``missing`` comes the whole part, whatever each client has kept of it."""
        return None if self.feed.is_missing else super().has_after(snapshot)

    def _kept(self, key: str, kind: str, wrap: Wrap) -> bytes:
        """Gives a message without a document, which is made once."""
        ready = self._ready.get((key, wrap))
        if ready is None:
            self.made += 1
            # An id belongs to a version that the client has.
            ready = self._ready[key, wrap] = wrap(self._message(kind), None)
        return ready

    def _forget_old(self) -> None:
        now = self.feed.clock.seconds()
        if now - self._made_at > FRESH_S:
            self._ready.clear()
        if not self._ready:
            self._made_at = now

    def _withheld(self) -> bytes:
        return self._message("heartbeat")

    def _whole(self, snapshot: Snapshot) -> bytes:
        text = snapshot.form(document_text)
        message = TextMessage(self._message("document", b',"text":' + text))
        message.start, message.size = len(message) - len(text) - 1, len(text)
        message.deflated = snapshot.forms.get(deflated_text)
        if message.deflated is None:
            message.deflated = self._deflate(snapshot, text)
        return message

    def _deflate(self, snapshot: Snapshot, text: bytes) -> bytes | None:
        """Gives the compressed text of the document; ``None`` for a large one, which a thread compresses first.

        1 MB would take 23 ms here. Clients that compress are sent it uncompressed meanwhile.
        """
        in_thread = self.feed.history.in_thread
        if in_thread is None or not is_large(text):
            return snapshot.form(deflated_text)
        if self._deflating is not None:
            return None

        def done(result: object) -> object:
            self._deflating = None
            self._ready.clear()
            # An error stays in the Deferred, which logs it.
            return result

        self._deflating = snapshot
        try:
            in_thread(snapshot.form, deflated_text).addBoth(done)
        except OSError:  # There is no thread.
            self._deflating = None
        return None

    def _message(self, kind: str, rest: bytes = b"") -> bytes:
        feed = self.feed
        snapshot = feed.snapshot
        assert snapshot is not None
        facts: dict[str, Any] = {"type": kind, "path": feed.path, "version": snapshot.version}
        if kind == "missing" or feed.state is State.WITHDRAWN:
            # By the hash of a short value, everybody could find a value that is withdrawn.
            del facts["version"]
        facts |= {
            "sequence": str(snapshot.sequence),
            "state": feed.state.value,
            "at": timestamp(feed.confirmed_at),
            "age": None if feed.confirmed is None else int(1000 * feed.age_s()),
            "next": math.ceil(1000 * feed.next_tick_s()),
        }
        left_s = feed.expires_in_s()
        if left_s < math.inf and kind != "missing" and not feed.is_gone():
            # The message may be used again for FRESH_S.
            facts["lifetime"] = math.floor(1000 * max(0.0, left_s - FRESH_S))
        facts |= heartbeat_facts(feed) | desk_facts(feed)
        return json.dumps(facts, separators=(",", ":")).encode()[:-1] + self._signed() + rest + b"}"


@dataclass(slots=True, eq=False)
class _Pulse:
    """Where the heartbeats of a feed go to clients that follow only parts of it."""

    transport: Any
    _messages: ItemMessages
    _wrap: Wrap

    def send(self, _: Snapshot) -> None:
        """Subscriber and Multicast API."""
        self.transport.write(self._messages.pulse(self._wrap))


class PulseOutlet(_Pulse):
    """A subscriber that is sent the heartbeats of a feed, and no document."""

    __slots__ = ()

    transport: AbortableTransport

    def drop(self) -> None:
        """Subscriber API."""
        self.transport.abortConnection()


class _PulseMulticast(_Pulse):
    """Several subscribers. Its transport is a group of their transports."""

    __slots__ = ()

    transport: TransportGroup

    def add(self, outlet: PulseOutlet) -> None:
        """Multicast API."""
        self.transport.add(outlet.transport)

    def discard(self, outlet: PulseOutlet) -> None:
        """Multicast API."""
        self.transport.discard(outlet.transport)


@dataclass(frozen=True, slots=True)  # each subscriber makes its own; equal audiences count as one
class PulseAudience:
    """The subscribers on one kind of transport that are sent the heartbeats of one feed."""

    _make_group: MakeGroup
    _messages: ItemMessages
    _wrap: Wrap

    def make_multicast(self) -> _PulseMulticast:
        """Audience API."""
        return _PulseMulticast(self._make_group(), self._messages, self._wrap)
