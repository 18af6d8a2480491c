"""The messages of the link between the parent and its workers, as bytes. No I/O.

A message is one line of JSON, the head, and then its payloads. The head has the type of the message, its facts, and
these two members if they are not empty:

- ``sizes``: the length of each payload in bytes;
- ``fds``: the number of descriptors that belong to the message. They travel beside the bytes, in the order of the
  messages, and each of them arrives before the last byte of its message.

Rule: bytes that this module does not understand end the link. Both sides belong to one installation, so such bytes are
an error of the program or of another program, and not of a client.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from livefeed.exceptions import LinkError
from livefeed.process.drain import DrainReport

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable

PROTOCOL = "livefeed.link.v1"
"""The name of the protocol, in ``hello`` and ``welcome``. A side that speaks another one is refused."""

MAX_HEAD_BYTES = 1024 * 1024
"""The largest size in bytes of a head. Settings of 64 feeds have some 40 KB."""

MAX_PAYLOADS = 4096
"""The largest number of payloads of a message: two files for each certificate of a folder."""

MAX_PAYLOAD_BYTES = 1024 * 1024 * 1024
"""The largest size in bytes of all payloads of a message: a document of 256 MiB, twice compressed, and a patch."""

MAX_FDS = 1024
"""The largest number of descriptors of a message, and of those that wait for their message."""

MAX_TEXT = 1024
"""The largest number of characters of a name or a text in a report of a worker: labels, versions, names of feeds."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""A number that a worker counts, or of a sequence, as JSON has it for everybody."""

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
"""A name or a short text."""

_RESERVED = frozenset(("type", "sizes", "fds"))
_NEWLINE = b"\n"

_Facts = TypeVar("_Facts", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the link.

    :ivar type: the type of the message, such as ``hello``.
    :ivar facts: values that JSON has. The names ``type``, ``sizes`` and ``fds`` are reserved.
    :ivar payloads: bytes that are not JSON, or are large.
    :ivar fds: descriptors. The sender closes its own. The receiver of a message owns its descriptors: it takes those
        that it keeps, by :meth:`take_fds` or :meth:`take_sockets`, and closes the others.
    """

    type: str
    facts: dict[str, Any] = field(default_factory=dict)
    payloads: tuple[bytes, ...] = ()
    fds: tuple[int, ...] = ()
    _untaken: list[int] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._untaken.extend(self.fds)

    def read(self, kind: builtins.type[_Facts]) -> _Facts:
        """Gives the facts as an object of their type.

        :param kind: a struct, whose fields are the facts.
        :raises LinkError: if a fact is missing, or has another type.
        """
        try:
            return msgspec.convert(self.facts, kind)
        except msgspec.ValidationError as error:
            raise LinkError(f"a message {self.type} cannot be read: {error}") from None

    def payload(self, index: int) -> bytes:
        """Gives a payload.

        :raises LinkError: if the message does not have so many.
        """
        if not 0 <= index < len(self.payloads):
            raise LinkError(f"a message {self.type} has {len(self.payloads)} payloads, and not one number {index}")
        return self.payloads[index]

    def take_fds(self) -> list[int]:
        """Gives the descriptors of a received message to the caller, who closes them."""
        taken = self._untaken[:]
        self._untaken.clear()
        return taken

    def take_sockets(self) -> list[socket.socket]:
        """Gives the descriptors of a received message to the caller as sockets.

        :raises LinkError: if one is no socket. All of them are closed then.
        """
        sockets: list[socket.socket] = []
        fds = self.take_fds()
        try:
            for fd in fds:
                sockets.append(socket.socket(fileno=fd))  # noqa: PERF401 - those before an error are closed
        except OSError as error:
            for sock in sockets:
                sock.close()
            close_all(fds[len(sockets) :])
            raise LinkError(f"a message {self.type} has a descriptor that is no socket: {error.strerror}") from None
        return sockets

    def close_fds(self) -> None:
        """Closes the descriptors of a received message that were not taken."""
        close_all(self.take_fds())


def close_all(fds: Iterable[int]) -> None:
    """Closes descriptors that are open."""
    for fd in fds:
        os.close(fd)


def message_of(kind: str, facts: msgspec.Struct, payloads: Iterable[bytes] = (), fds: Iterable[int] = ()) -> Message:
    """Makes a message of an object with the facts.

    :param kind: the type of the message.
    """
    return Message(kind, msgspec.to_builtins(facts), tuple(payloads), tuple(fds))


def pieces_of(message: Message) -> list[bytes]:
    """Gives the bytes of a message in pieces: payloads are not copied.

    :raises LinkError: if the message is larger than the receiver allows.
    """
    if _RESERVED & message.facts.keys():
        raise LinkError(f"a message {message.type} has a fact by a reserved name")
    head: dict[str, Any] = {"type": message.type, **message.facts}
    if message.payloads:
        head["sizes"] = [len(payload) for payload in message.payloads]
    if message.fds:
        head["fds"] = len(message.fds)
    line = msgspec.json.encode(head)
    if len(line) > MAX_HEAD_BYTES or len(message.payloads) > MAX_PAYLOADS or len(message.fds) > MAX_FDS:
        raise LinkError(f"a message {message.type} is too large for the link")
    # Each descriptor travels with a byte of its own, so the message needs as many bytes. JSON may end with spaces.
    return [line.ljust(len(message.fds)) + _NEWLINE, *message.payloads]


def encode(message: Message) -> bytes:
    """Gives the bytes of a message, without its descriptors.

    :raises LinkError: if the message is larger than the receiver allows.
    """
    return b"".join(pieces_of(message))


class _Frame(msgspec.Struct, frozen=True):
    """The members of a head that this module uses."""

    type: str
    sizes: list[int] = []
    fds: int = 0


@dataclass(slots=True, eq=False)
class Decoder:
    """Takes the bytes of the link in any pieces, and gives the messages in them.

    :param max_payload_bytes: the largest size in bytes of all payloads of one message.
    """

    # required parameters
    max_payload_bytes: int = MAX_PAYLOAD_BYTES

    # internal state
    _buffer: bytearray = field(default_factory=bytearray)
    _searched: int = 0  # the number of bytes at the beginning of the buffer that have no end of a line
    _head: tuple[_Frame, dict[str, Any]] | None = None  # the head whose payloads are not complete
    _fds: deque[int] = field(default_factory=deque)

    def take(self, fd: int) -> None:
        """Takes a descriptor that has arrived. It belongs to the message that is received next, or to a later one.

        :raises LinkError: if too many wait for their message; this one is closed then.
        """
        if len(self._fds) >= MAX_FDS:
            os.close(fd)
            raise LinkError(f"{MAX_FDS} descriptors have arrived without their message")
        self._fds.append(fd)

    def feed(self, data: bytes) -> list[Message]:
        """Takes bytes, and gives the messages that are complete now.

        :raises LinkError: if the bytes are no messages, or a message is too large. Nothing more may be fed then.
        """
        self._buffer += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def close(self) -> None:
        """Closes the descriptors whose message has not arrived."""
        close_all(self._fds)
        self._fds.clear()

    def _next(self) -> Message | None:
        if self._head is None and not self._read_head():
            return None
        assert self._head is not None
        frame, facts = self._head
        if len(self._buffer) < sum(frame.sizes):
            return None
        if frame.fds > len(self._fds):
            raise LinkError(f"a message {frame.type} has arrived without its descriptors")
        self._head = None
        payloads, start = [], 0
        with memoryview(self._buffer) as view:
            for size in frame.sizes:
                payloads.append(bytes(view[start : start + size]))
                start += size
        del self._buffer[:start]
        fds = tuple(self._fds.popleft() for _ in range(frame.fds))
        return Message(frame.type, facts, tuple(payloads), fds)

    def _read_head(self) -> bool:
        """Reads the next head, if it is complete."""
        end = self._buffer.find(_NEWLINE, self._searched)
        if end < 0:
            self._searched = len(self._buffer)
        # A head may also have spaces behind it, one for each descriptor.
        if max(end, self._searched) > MAX_HEAD_BYTES + MAX_FDS:
            raise LinkError(f"a head is larger than {MAX_HEAD_BYTES} bytes")
        if end < 0:
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        try:
            frame = msgspec.json.decode(line, type=_Frame)
            facts = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LinkError(f"a head cannot be read: {error}") from None
        for name in _RESERVED:
            facts.pop(name, None)
        if len(frame.sizes) > MAX_PAYLOADS or min(frame.sizes, default=0) < 0 or not 0 <= frame.fds <= MAX_FDS:
            raise LinkError(f"a message {frame.type} has impossible payloads or descriptors")
        if sum(frame.sizes) > self.max_payload_bytes:
            raise LinkError(f"a message {frame.type} has more than {self.max_payload_bytes} bytes")
        self._head = frame, facts
        return True


class Held(msgspec.Struct, frozen=True):
    """The version of a feed that a worker has.

    :ivar version: the version.
    :ivar sequence: its epoch and number.
    :ivar codings: the names of the content codings that the worker has it in.
    """

    version: Text
    sequence: tuple[Count, Count]
    codings: list[Text] = []


class Hello(msgspec.Struct, frozen=True):
    """``hello``: the first message of a worker.

    :ivar protocol: :data:`PROTOCOL`.
    :ivar livefeed: the version of the program.
    :ivar pid: the process.
    :ivar index: the place of the worker among the others, from 0.
    :ivar feeds: the versions that the worker has, by the names of the feeds.
    :ivar places: the number of subscribers of each feed that the worker may have, by its last lease.
    :ivar sockets: for each description of ``--listen`` the number of sockets that the worker accepts on; empty before
        it accepts.
    :ivar listen: these descriptions; empty before it accepts.
    :ivar numbers: for each of them the numbers of these sockets among those of the description.
    :ivar generation: the generation of the worker.
    :ivar is_draining: whether it sends its watchers away.
    """

    protocol: str
    livefeed: str
    pid: int
    index: int
    feeds: dict[Text, Held] = {}
    places: dict[Text, Count] = {}
    sockets: list[Count] = []
    listen: list[str] = []
    numbers: list[list[int]] = []
    generation: int = 0
    is_draining: bool = False


class Welcome(msgspec.Struct, frozen=True):
    """``welcome``: the first message of the parent. ``configuration``: the same without sockets, after a reload.

    :ivar protocol: :data:`PROTOCOL`.
    :ivar livefeed: the version of the program.
    :ivar pid: the process.
    :ivar settings: the settings, as :func:`.configuration.settings_for_workers` gives them.
    :ivar certificates: for each PEM file the index of the payload that has its bytes: workers need no right to read it.
    :ivar ticket_key: the index of the payload that has the key of TLS tickets; ``None`` for none.
    :ivar access: the indexes of the payloads with hashes of tokens, and with the keys of signed ones, by their names.
    :ivar listen: the index of a description of ``--listen`` for each descriptor of the message.
    :ivar numbers: the number of the socket among those of its description, for each descriptor of the message; without
        them, each is that of the index of the worker.
    :ivar limits: the part of a limit that this worker has, by the name of the setting; and the number of ``workers``.
    :ivar orphan_after_s: seconds without a parent after which a worker drains and ends; 0 for never.
    :ivar key_set: the set of keys at ``/-/keys``; empty for none.
    """

    protocol: str
    livefeed: str
    pid: int
    settings: dict[str, Any]
    certificates: dict[str, int] = {}
    ticket_key: int | None = None
    listen: list[int] = []
    numbers: list[int] = []
    access: dict[str, int] = {}
    limits: dict[str, int] = {}
    orphan_after_s: float = 300.0
    key_set: str = ""


class Heartbeat(msgspec.Struct, frozen=True):
    """``heartbeat``: the figures of a worker, twice a second.

    :ivar samples: the metrics of the worker, as ``livefeed.admin.totals`` sends and receives them.
    :ivar connections: the number of open connections.
    :ivar capacity: the largest number of connections.
    :ivar watchers: for each feed the number of its subscribers, by transport.
    :ivar lag_s: seconds by which this heartbeat came later than it was due.
    :ivar deliveries: the versions whose delivery has changed since the last heartbeat, as ``livefeed.admin.tracing``
        sends and receives them.
    :ivar drain: how far the worker has sent its watchers away.
    """

    samples: list[tuple[Text, list[tuple[Text, Text]], float]]
    connections: Count
    capacity: Count
    watchers: dict[Text, dict[Text, Count]]
    lag_s: float = 0.0
    deliveries: list[tuple[Text, Text, float | None, float | None, Count]] = []
    drain: DrainReport = DrainReport()


class LeftWorker(msgspec.Struct, frozen=True):
    """A worker that a parent leaves to the next one.

    :ivar generation: the generation of the worker.
    :ivar index: its place in that.
    :ivar pid: its process.
    :ivar places: the number of subscribers of each limited feed that it may have.
    :ivar samples: its last metrics, as in ``heartbeat``.
    """

    generation: int
    index: int
    pid: int
    places: dict[str, int] = {}
    samples: list[Any] = []


class Line(msgspec.Struct, frozen=True):
    """``log``: a line of a worker's log."""

    level: str
    namespace: str
    text: str


class DrainOrder(msgspec.Struct, frozen=True):
    """``drain``: end the connections, and then the process. ``let_go``: send the watchers away, and run on.

    :ivar successor: whether another process listens on the addresses.
    """

    successor: bool = False


class Readiness(msgspec.Struct, frozen=True):
    """``readiness``: whether livefeed is ready, for the public ``/-/ready``. It is sent when that changes."""

    ready: bool


class Lease(msgspec.Struct, frozen=True):
    """``lease``: the number of subscribers of a feed that a worker may have.

    :ivar places: the number; ``None`` for no limit.
    """

    feed: str
    places: int | None
