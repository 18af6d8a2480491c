"""A WebSocket (RFC 6455) on the client's side, without input and output: bytes in, events and bytes out.

The library ``websockets`` knows the protocol; this module has the limits, and the reasons why a handshake failed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed import __version__
from livefeed.client.actions import Failed
from livefeed.client.answers import Answer
from livefeed.client.messages import SUBPROTOCOL
from livefeed.exceptions import first_line
from livefeed.extras import needed_extra

with needed_extra("client", "livefeed.client"):
    from websockets.client import ClientProtocol
    from websockets.exceptions import InvalidStatus
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
    from websockets.frames import Frame, Opcode
    from websockets.http11 import Response
    from websockets.typing import Subprotocol
    from websockets.uri import parse_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

_MESSAGE_FACTOR, _MESSAGE_BYTES = 3, 65_536
"""A document as a JSON string has up to three times its bytes, if it has escapes for all letters; and other members."""

_SWITCHING = 101
_NORMAL = 1000


@dataclass(frozen=True, slots=True)
class Opened:
    """The handshake has succeeded."""

    subprotocol: str | None


@dataclass(frozen=True, slots=True)
class Text:
    """A message has arrived."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The WebSocket has ended."""

    code: int | None
    reason: str


Event = Opened | Text | Closed | Failed


@dataclass(slots=True, eq=False)
class WebSocket:
    """One WebSocket.

    :param url: its URL.
    :param max_bytes: the largest document.
    :param fields: further fields of the handshake.
    """

    # required parameters
    url: str
    max_bytes: int
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)

    # internal state
    _protocol: ClientProtocol = field(init=False)
    _is_begun: bool = False
    _is_open: bool = False
    _is_over: bool = False
    _pieces: bytearray = field(default_factory=bytearray)  # a list would take 50 bytes for each frame of one byte

    def __post_init__(self) -> None:
        self._protocol = ClientProtocol(
            parse_uri(self.url),
            extensions=[ClientPerMessageDeflateFactory()],
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            max_size=_MESSAGE_FACTOR * self.max_bytes + _MESSAGE_BYTES,
        )

    @property
    def is_begun(self) -> bool:
        """Whether the handshake has been sent."""
        return self._is_begun

    def handshake(self) -> bytes:
        """Gives the request that opens the WebSocket."""
        self._is_begun = True
        request = self._protocol.connect()
        request.headers["User-Agent"] = f"livefeed/{__version__}"
        for name, value in self.fields.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        return self.to_send()

    def receive(self, data: bytes) -> list[Event]:
        """Takes bytes of the server. Afterwards there may be bytes to send.

        :param data: the bytes; empty at the end of the stream.
        """
        if self._is_over:
            return []
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        events: list[Event] = []
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                events.append(self._response(event))
            elif isinstance(event, Frame):
                events += self._frame(event)
        if not self._is_over and (self._protocol.close_expected() or not data):
            events.append(self._end())
        return events

    def send(self, text: str) -> bytes:
        """Gives the bytes of a message."""
        if self._is_open and not self._is_over:
            self._protocol.send_text(text.encode())
        return self.to_send()

    def close(self) -> bytes:
        """Gives the bytes that tell the server that the client goes."""
        if self._is_open and not self._is_over:
            self._is_over = True
            self._protocol.send_close(_NORMAL)
        return self.to_send()

    def to_send(self) -> bytes:
        """Gives the bytes that are to be sent now."""
        return b"".join(self._protocol.data_to_send())

    def _response(self, response: Response) -> Event:
        error = self._protocol.handshake_exc
        if response.status_code == _SWITCHING and error is None:
            self._is_open = True
            return Opened(self._protocol.subprotocol)
        self._is_over = True
        fields = {name.lower(): value for name, value in response.headers.raw_items()}
        answer = Answer(response.status_code, fields, bytes(response.body or b""))
        why = answer.detail or f"a WebSocket is answered with status {answer.status}"
        if not isinstance(error, InvalidStatus):
            why = f"the answer to a handshake is wrong: {first_line(error)}"
        return Failed(why, answer.status, answer.retry_after_s, was_reached=True, page=answer.page)

    def _frame(self, frame: Frame) -> list[Event]:
        if frame.opcode not in (Opcode.TEXT, Opcode.CONT):
            return []
        if frame.fin and not self._pieces:
            return [Text(bytes(frame.data))]
        self._pieces += frame.data
        if not frame.fin:
            return []
        data, self._pieces = bytes(self._pieces), bytearray()
        return [Text(data)]

    def _end(self) -> Event:
        self._is_over = True
        protocol = self._protocol
        if not self._is_open:
            error = protocol.handshake_exc
            said = f": {first_line(error)}" if error is not None else ""
            return Failed(f"the server has closed the connection during the handshake{said}", was_reached=True)
        received = protocol.close_rcvd
        return Closed(None, "") if received is None else Closed(received.code, received.reason)
