"""The frames that a WebSocket subscriber is sent: each frame is made once, and written straight to the transport.

An outlet does not use Autobahn's ``sendPreparedMessage``, which writes the same bytes. With 10,000 subscribers, the
memory of their protocols is in no cache, and touching one takes as long as all other Python code of a push.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from livefeed.delivery.framing import websocket_text_frame
from livefeed.delivery.item_messages import TextMessage
from livefeed.delivery.messages import SnapshotMessage
from livefeed.document.codings import deflate_around, deflate_message, is_large

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.delivery.transports import MakeGroup
    from livefeed.document.snapshot import Snapshot


@dataclass(slots=True, eq=False)
class FrameOutlet:
    """A subscriber that is sent whole documents, each as one text frame.

    :param _frame: makes the frame of a snapshot: a function of :mod:`livefeed.delivery.framing`.
    """

    transport: Any
    _frame: Callable[[Snapshot], bytes]

    def send(self, snapshot: Snapshot) -> None:
        """Subscriber and Multicast API."""
        # Snapshot.form without its call, which takes 40 ns for each subscriber that is in no group. No frame is empty.
        self.transport.write(snapshot.forms.get(self._frame) or snapshot.form(self._frame))

    def drop(self) -> None:
        """Subscriber API. A close frame could fail as well, and clients also come back after an abort (code 1006)."""
        self.transport.abortConnection()


class _FrameMulticast(FrameOutlet):
    """Several subscribers that are sent the same frames. Its transport is a group of their transports."""

    __slots__ = ()

    def add(self, outlet: FrameOutlet) -> None:
        """Multicast API."""
        self.transport.add(outlet.transport)

    def discard(self, outlet: FrameOutlet) -> None:
        """Multicast API."""
        self.transport.discard(outlet.transport)


@dataclass(frozen=True, slots=True)  # each subscriber makes its own; equal audiences count as one
class FrameAudience:
    """The subscribers on one kind of transport that are sent the same frames."""

    _make_group: MakeGroup
    _frame: Callable[[Snapshot], bytes]

    def make_multicast(self) -> _FrameMulticast:
        """Audience API."""
        return _FrameMulticast(self._make_group(), self._frame)


def message_frame(message: bytes, _: str | None) -> bytes:
    """Gives a message as a text frame; see :meth:`livefeed.delivery.messages.PreparedMessages.get`."""
    return websocket_text_frame(message)


def compressed_message_frame(message: bytes, _: str | None) -> bytes:
    """Gives a message of ``livefeed.delta.v1`` as a compressed text frame (RFC 7692, 7.2.1)."""
    deflated = None
    if isinstance(message, SnapshotMessage) and is_large(message):
        deflated = message.snapshot.deflated
        message.snapshot.work.wants_message = True
    if isinstance(message, SnapshotMessage) and deflated is not None:
        # The document was compressed before it was published, and better than there is time for here.
        end = message.start + len(message.snapshot.data)
        payload = deflate_around(message[: message.start], deflated, message[end:])
    else:
        payload = deflate_message(message)
    return websocket_text_frame(payload, compressed=True)


def compressed_item_frame(message: bytes, _: str | None) -> bytes:
    """Gives a message of ``livefeed.delta.v2`` as a compressed text frame.

    A document whose text is still being compressed is sent in a plain frame, which clients accept as well (RFC 7692,
    6).
    """
    if not isinstance(message, TextMessage):
        return websocket_text_frame(deflate_message(message), compressed=True)
    if message.deflated is None:
        return websocket_text_frame(message)
    end = message.start + message.size
    payload = deflate_around(message[: message.start], message.deflated, message[end:])
    return websocket_text_frame(payload, compressed=True)
