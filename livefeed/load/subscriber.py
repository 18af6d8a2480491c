"""Watchers that are sent the document: by WebSocket, and by server-sent events."""

from __future__ import annotations

import ssl
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.client.items import version_of
from livefeed.client.messages import is_version
from livefeed.load.answers import AnswerError, read_head
from livefeed.load.bodies import Body
from livefeed.load.event_stream import EventReader
from livefeed.load.frames import FrameReader, Inflater, Opcode, client_frame
from livefeed.load.handshake import SUBPROTOCOLS, agreed
from livefeed.load.messages import WRONG
from livefeed.load.watcher import RETRY_NS, Watcher

if TYPE_CHECKING:
    from livefeed.load.answers import Head
    from livefeed.load.documents import Version

MESSAGE_FACTOR, MESSAGE_BYTES = 3, 65_536
"""A message has up to three times the bytes of the document that it carries as a JSON string, and other members."""

_SWITCHING, _OK = 101, 200
_NO_STATUS = 1005


@dataclass(slots=True, eq=False)
class Subscriber(Watcher):
    """A watcher that asks once, and is sent documents until the connection ends."""

    # internal state
    version: Version | None = None
    _pending: bytearray = field(default_factory=bytearray)
    _is_accepted: bool = False

    def opened(self) -> None:
        """Watcher API."""
        self._pending, self._is_accepted, self.version = bytearray(), False, None
        self.write(self.shared.requests.of(self.kind))

    def on_readable(self, events: int) -> None:
        """Watcher API."""
        size = self.read()
        if size is None:
            return
        if size == 0:
            self.lost("closed by the server" if self._is_accepted else "closed before the answer")
            return
        self.figures.received += size
        data = bytes(memoryview(self.shared.buffer)[:size])
        try:
            if not self._is_accepted:
                self._pending += data
                head = read_head(self._pending)
                if head is None:
                    return
                self.figures.statuses[head.status] = self.figures.statuses.get(head.status, 0) + 1
                if not self.accept(head):
                    # The status is counted as an error already.
                    self._refused()
                    return
                self._is_accepted = True
                data, self._pending = bytes(self._pending), bytearray()
                self.awaited_ns = 0
                self.established()
                self.arrive()
                if isinstance(self.sock, ssl.SSLSocket) and self.shared.tls is not None:
                    self.shared.tls.remember(self.sock)
            self.take(data)
        except AnswerError as error:
            self.lost(str(error))

    @abstractmethod
    def accept(self, head: Head) -> bool:
        """Reads the answer to the request, and tells whether it is an acceptance.

        :raises AnswerError: if it is one that the watcher cannot use.
        """

    @abstractmethod
    def take(self, data: bytes) -> None:
        """Takes bytes behind the answer.

        :raises AnswerError: if they are malformed.
        """

    def have(self, version: Version) -> None:
        """Is told of a document."""
        if version is self.version:
            return
        if self.version is not None:
            self.shared.documents.delivered(version, self.figures)
            self.counted()
        self.version = version

    def _refused(self) -> None:
        self.close()
        self.arrive()
        self.counted()
        self.pause(RETRY_NS)


@dataclass(slots=True, eq=False)
class WebSocketWatcher(Subscriber):
    """A watcher by WebSocket."""

    # internal state
    _frames: FrameReader = field(init=False)
    _inflater: Inflater = field(init=False)

    def accept(self, head: Head) -> bool:
        """Subscriber API."""
        if head.status != _SWITCHING:
            return False
        result = agreed(head, self.kind)
        max_bytes = self.shared.plan.max_bytes * MESSAGE_FACTOR + MESSAGE_BYTES
        self._frames = FrameReader(max_bytes, result.is_deflated)
        if not result.is_stateless:
            self._inflater = Inflater(max_bytes, is_stateless=False)
        else:
            if self.shared.inflater is None:
                self.shared.inflater = Inflater(max_bytes, is_stateless=True)
            self._inflater = self.shared.inflater
        return True

    def take(self, data: bytes) -> None:
        """Subscriber API."""
        for message in self._frames.take(data):
            if message.opcode == Opcode.PING:
                self.write(client_frame(Opcode.PONG, message.content))
            elif message.opcode == Opcode.CLOSE:
                code = int.from_bytes(message.content[:2]) if message.content else _NO_STATUS
                self.lost(f"closed with {code}")
            elif message.opcode in (Opcode.TEXT, Opcode.BINARY):
                content = self._inflater.inflate(message.content) if message.is_compressed else message.content
                self._message(content)
            if self.sock is None:
                return

    def _message(self, content: bytes) -> None:
        shared = self.shared
        if self.kind not in SUBPROTOCOLS:
            version = shared.documents.of(content)
            if shared.plan.verifies and version is not self.version:
                shared.documents.verify(version, self.figures)
            self.have(version)
            return
        step = shared.messages.read(content)
        if step.version is None:
            return
        if step.base is not None and (self.version is None or self.version.name != step.base):
            raise AnswerError("a delta of another version")
        if shared.plan.verifies:
            self.figures.verified += step.is_verified is True
            self.figures.unverified += step.is_verified is None
        self.have(step.version)


@dataclass(slots=True, eq=False)
class EventWatcher(Subscriber):
    """A watcher by server-sent events."""

    # internal state
    _body: Body = field(init=False)
    _events: EventReader = field(init=False)

    def accept(self, head: Head) -> bool:
        """Subscriber API."""
        if head.status != _OK:
            return False
        if not (head.text(b"content-type") or "").lower().startswith("text/event-stream"):
            raise AnswerError("no event stream")
        self._body = Body(head, None)
        self._events = EventReader(self.shared.plan.max_bytes * MESSAGE_FACTOR + MESSAGE_BYTES)
        return True

    def take(self, data: bytes) -> None:
        """Subscriber API."""
        documents = self.shared.documents
        for event in self._events.take(self._body.take(data)):
            if event.kind:
                continue
            name = event.id.decode("latin-1")
            version = (
                documents.keep(documents.named(name), event.data) if is_version(name) else documents.of(event.data)
            )
            if self.shared.plan.verifies and version is not self.version:
                # A document with carriage returns comes with other line ends, and has another hash.
                if not is_version(name) or b"\r" in event.data:
                    self.figures.unverified += 1
                elif version.content == event.data and (version.is_checked or version_of(event.data) == name):
                    version.is_checked = True
                    self.figures.verified += 1
                else:
                    raise AnswerError(WRONG)
            self.have(version)
        if self._body.is_done:
            self.lost("closed by the server")
