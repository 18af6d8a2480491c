"""An event loop for a client, that a test moves by hand, and the server's side of its WebSockets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from livefeed.client.messages import SUBPROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.client.actions import Failed
    from livefeed.client.answers import Answer
    from livefeed.client.driver import Receiver


class RecordingReceiver:
    """Takes note of the events of a connection.

    :ivar events: ``"connected"``, the bytes that came, and the class of the error at the end.
    """

    def __init__(self) -> None:
        self.events: list[object] = []

    def connected(self) -> None:
        """Receiver API."""
        self.events.append("connected")

    def data_received(self, data: bytes) -> None:
        """Receiver API."""
        self.events.append(data)

    def ended(self, error: BaseException | None) -> None:
        """Receiver API."""
        self.events.append(type(error))


@dataclass(eq=False)
class FakeTimer:
    """A call that is due later."""

    delay_s: float
    call: Callable[[], object]
    is_cancelled: bool = False

    def cancel(self) -> None:
        """Timer API."""
        self.is_cancelled = True


@dataclass(eq=False)
class FakeWire:
    """A connection, of which the test is the server."""

    receiver: Receiver
    sent: bytes = b""
    is_dropped: bool = False
    server: ServerProtocol = field(default_factory=lambda: ServerProtocol(subprotocols=[Subprotocol(SUBPROTOCOL)]))

    def write(self, data: bytes) -> None:
        """Wire API."""
        self.sent += data
        self.server.receive_data(data)

    def drop(self) -> None:
        """Wire API."""
        self.is_dropped = True

    def accept(self) -> None:
        """Answers the handshake."""
        self.receiver.connected()
        (request,) = self.server.events_received()
        assert isinstance(request, Request)
        self.server.send_response(self.server.accept(request))
        self.flush()

    def send(self, text: str) -> None:
        """Sends a message."""
        self.server.send_text(text.encode())
        self.flush()

    def close(self, code: int, reason: str = "") -> None:
        """Closes the WebSocket."""
        self.server.send_close(code, reason)
        self.flush()

    def flush(self) -> None:
        """Gives the client the bytes of the server."""
        self.receiver.data_received(b"".join(self.server.data_to_send()))


@dataclass(eq=False)
class FakeLoop:
    """An event loop that does nothing by itself."""

    wires: list[FakeWire] = field(default_factory=list)
    timers: list[FakeTimer] = field(default_factory=list)
    requests: list[tuple[Callable[[], Answer | Failed], Callable[[Answer | Failed], object]]] = field(
        default_factory=list
    )

    def connect(self, receiver: Receiver) -> FakeWire:
        """Loop API."""
        self.wires.append(FakeWire(receiver))
        return self.wires[-1]

    def call_later(self, delay_s: float, call: Callable[[], object]) -> FakeTimer:
        """Loop API."""
        self.timers.append(FakeTimer(delay_s, call))
        return self.timers[-1]

    def in_thread(self, work: Callable[[], Answer | Failed], done: Callable[[Answer | Failed], object]) -> None:
        """Loop API."""
        self.requests.append((work, done))

    @property
    def waiting(self) -> list[FakeTimer]:
        """The timers that are neither due nor cancelled."""
        return [each for each in self.timers if not each.is_cancelled]
