"""The work that both front ends share: actions of the protocol become calls of an event loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from typing import Protocol as Requirement

from livefeed.client.actions import Connect, Disconnect, Failed, Get, Send, Show, Stop
from livefeed.client.failures import reason_of
from livefeed.client.http import Requests
from livefeed.client.websocket import Closed, Opened, Text, WebSocket
from livefeed.clocks import monotonic
from livefeed.exceptions import FollowError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from livefeed.client.actions import Action
    from livefeed.client.answers import Answer
    from livefeed.client.protocol import Protocol
    from livefeed.client.token import Token
    from livefeed.client.update import Shown
    from livefeed.client.websocket import Event


MAX_SENT_BYTES, SENT_BYTES_PER_S = 65_536, 128
"""Limit of the bytes that a client sends on one WebSocket, and of those for each second since it began.

A ping and a message in a while take a few. A server that sends pings and does not read the answers would fill the
memory with them.
"""


class Timer(Requirement):
    """A call that is due later."""

    def cancel(self) -> object:
        """Forgets the call, which is still due."""


class Wire(Requirement):
    """A connection, with TLS if the address wants that."""

    def write(self, data: bytes) -> object:
        """Sends bytes."""

    def drop(self) -> object:
        """Ends the connection, or the attempt, at once. No call follows."""


class Receiver(Requirement):
    """The receiver of the events of a connection."""

    def connected(self) -> None:
        """The connection is there."""

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""

    def ended(self, error: BaseException | None) -> None:
        """The connection has ended, or there will be none."""


class Loop(Requirement):
    """An event loop."""

    def connect(self, receiver: Receiver) -> Wire:
        """Begins a connection to the address."""

    def call_later(self, delay_s: float, call: Callable[[], object]) -> Timer:
        """Calls a function later."""

    def in_thread(self, work: Callable[[], Answer | Failed], done: Callable[[Answer | Failed], object]) -> None:
        """Calls a function in a thread of its own, and then another one in the loop."""


@dataclass(slots=True, eq=False)
class Driver:
    """One client on an event loop.

    :param protocol: the decisions.
    :param loop: the event loop.
    :param tls: the settings of TLS for requests; ``None`` for plain HTTP.
    :param on_shown: is given everything that may be shown, at each change.
    :param on_stop: is given the reason why the client has stopped by itself.
    :param token: the token of the client; ``None`` without one.
    """

    # required parameters
    protocol: Protocol
    loop: Loop
    tls: ssl.SSLContext | None
    on_shown: Callable[[Shown], object]
    on_stop: Callable[[FollowError], object]
    token: Token | None = None

    # internal state
    _session: _Session | None = None
    _requests: Requests | None = None
    _timer: Timer | None = None
    _is_stopped: bool = False

    def start(self) -> None:
        """Begins to follow."""
        self.perform(self.protocol.start(monotonic()))

    def stop(self) -> None:
        """Ends all connections, and makes no more calls."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._disconnect()
        if self._requests is not None:
            self._requests.close()
            self._requests = None

    def age_s(self) -> float | None:
        """Gives the seconds since the server last confirmed the document; ``None`` if that is not known."""
        return self.protocol.age_s(monotonic())

    def waiting_s(self) -> float | None:
        """Gives the seconds for which a newer document has been held back; ``None`` if none waits."""
        return self.protocol.waiting_s(monotonic())

    def refresh(self) -> None:
        """Ends the present wait, such as that of a document that has ended, unless the client was stopped."""
        if not self._is_stopped:
            self.perform(self.protocol.refresh(monotonic()))

    def perform(self, actions: list[Action]) -> None:
        """Performs actions, and arranges the next call."""
        for action in actions:
            if self._is_stopped:
                return
            match action:
                case Show(shown):
                    self.on_shown(shown)
                case Connect(url):
                    self._connect(url)
                case Send(text):
                    if self._session is not None:
                        self._session.send(text)
                case Disconnect():
                    self._disconnect()
                case Get(fields):
                    self._get(fields)
                case Stop(error):
                    self.stop()
                    self.on_stop(error)
        self._arrange()

    def _connect(self, url: str) -> None:
        try:
            fields = {} if self.token is None else self.token.fields()
        except FollowError as error:
            session = self._session = _Session(self, WebSocket(url, self.protocol.max_bytes))
            # In another turn, as if the server could not be reached.
            self.loop.call_later(0, partial(self.take, session, Failed(str(error))))
            return
        self._session = _Session(self, WebSocket(url, self.protocol.max_bytes, fields))
        self._session.wire = self.loop.connect(self._session)

    def take(self, session: _Session, event: Event) -> None:
        """Takes an event of a WebSocket, unless there is another one meanwhile."""
        if session is not self._session or self._is_stopped:
            return
        now = monotonic()
        match event:
            case Opened(subprotocol):
                self.perform(self.protocol.opened(subprotocol, now))
            case Text(data):
                self.perform(self.protocol.received(data, now))
            case Closed(code, reason):
                self._disconnect()
                self.perform(self.protocol.closed(code, reason, now))
            case Failed():
                self._disconnect()
                self.perform(self.protocol.failed(event, now))

    def _disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None and session.wire is not None:
            farewell = session.socket.close()
            if farewell:
                session.wire.write(farewell)
            session.wire.drop()

    def _get(self, fields: dict[str, str]) -> None:
        # An object that a request is using in its thread is left to that thread.
        try:
            fields = fields if self.token is None else {**fields, **self.token.fields()}
        except FollowError as error:
            self.loop.call_later(0, partial(self._note_failed, Failed(str(error))))
            return
        requests, self._requests = self._requests, None
        if requests is None:
            requests = Requests(self.protocol.address, self.tls, self.protocol.max_bytes)

        def done(result: Answer | Failed) -> None:
            if self._is_stopped:
                requests.close()
                return
            self._requests = requests
            now = monotonic()
            if isinstance(result, Failed):
                self.perform(self.protocol.failed(result, now))
            else:
                self.perform(self.protocol.answered(result, now))

        def work() -> Answer | Failed:
            result = requests.get(fields)
            if self._is_stopped:
                # The loop may have ended meanwhile, and then nobody takes the result.
                requests.close()
            return result

        self.loop.in_thread(work, done)

    def _note_failed(self, failed: Failed) -> None:
        if not self._is_stopped:
            self.perform(self.protocol.failed(failed, monotonic()))

    def _arrange(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wakes_at = self.protocol.wakes_at
        if wakes_at is not None and not self._is_stopped:
            self._timer = self.loop.call_later(max(0.0, wakes_at - monotonic()), self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.perform(self.protocol.wake(monotonic()))


@dataclass(slots=True, eq=False)
class _Session:
    """One connection with a WebSocket."""

    # required parameters
    driver: Driver
    socket: WebSocket

    # internal state
    wire: Wire | None = None
    _sent: int = 0
    _began: float = field(default_factory=lambda: monotonic())  # noqa: PLW0108 - tests replace it

    def connected(self) -> None:
        """Receiver API."""
        if self.wire is not None:
            self.wire.write(self.socket.handshake())

    def data_received(self, data: bytes) -> None:
        """Receiver API."""
        self._take(self.socket.receive(data))

    def ended(self, error: BaseException | None) -> None:
        """Receiver API."""
        if error is not None and not self.socket.is_begun:
            self.driver.take(self, Failed(reason_of(error, self.driver.protocol.address)))
        else:
            self._take(self.socket.receive(b""))

    def send(self, text: str) -> None:
        """Sends a message."""
        self._write(self.socket.send(text))

    def _write(self, data: bytes) -> None:
        if not data or self.wire is None:
            return
        self._sent += len(data)
        if self._sent > MAX_SENT_BYTES + SENT_BYTES_PER_S * (monotonic() - self._began):
            self.driver.take(self, Closed(None, ""))
        else:
            self.wire.write(data)

    def _take(self, events: list[Event]) -> None:
        self._write(self.socket.to_send())
        for event in events:
            self.driver.take(self, event)
