"""A watcher as docs/reference/protocol.md describes it: its copy, its requests and the messages that it may receive. It
has no socket.

Rule: this module does not trust livefeed. It hashes versions itself, applies patches with the tests' own code, and
learns the true documents from another place.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import zlib
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import brotli
import httpx
import zstandard

from tests.helpers.exact_patches import patched, read, same
from tests.integration.harness import CLOSE, PING, PONG, TEXT, client_frame, handshake

if TYPE_CHECKING:
    from collections.abc import Callable

DELTA = "livefeed.delta.v1"
DEFLATE = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"

DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body),
}


@dataclass(frozen=True)
class Entry:
    """One version of the document, or of a part.

    :ivar number: the number in the sequence of the whole document with which it came.
    :ivar data: the document, or the part of it; ``None`` while the document has no such part.
    """

    number: int
    data: bytes | None

    @cached_property
    def version(self) -> str | None:
        return None if self.data is None else hashlib.sha256(self.data).hexdigest()[:32]

    @cached_property
    def value(self) -> Any:
        assert self.data is not None
        return read(self.data)


@dataclass
class Ledger:
    """All versions of a feed, or of a part of one, in order.

    :ivar path: the rest of a path after the feed's name.
    :ivar entries: the versions.
    :ivar confirmed: the index of the newest version that the server surely has; it may have later ones.
    :ivar state: ``live`` if the last pull was good, ``stale`` if not.
    """

    path: str = ""
    entries: list[Entry] = field(default_factory=list)
    confirmed: int = -1
    state: str = "stale"

    @property
    def newest(self) -> Entry:
        return self.entries[-1] if self.entries else Entry(0, None)

    @property
    def possible(self) -> list[Entry]:
        """The versions that the server may regard as the newest."""
        return self.entries[max(self.confirmed, 0) :]

    def add(self, number: int, data: bytes | None) -> bool:
        """Adds the result of a pull, and tells whether it differs from the last one."""
        if self.entries and self.newest.data == data:
            return False
        self.entries.append(Entry(number, data))
        return True

    def confirm(self) -> None:
        """Notes that the server has the last version that was added."""
        self.confirmed = len(self.entries) - 1


@dataclass(frozen=True)
class Tick:
    """The effect of a pull on watchers.

    :ivar good: whether it gave a document.
    :ivar changed: whether the watched value changed.
    :ivar there: whether the watched value exists.
    :ivar turned: whether the state changed.
    :ivar beats: whether it is a sign of life where only changes are pushed.
    """

    good: bool
    changed: bool
    there: bool
    turned: bool
    beats: bool = False


@dataclass
class Watcher:
    """The copy of one watcher, from any transport.

    :ivar position: the index of the copy in the ledger; the earliest one if several entries are the same document.
    :ivar value: the value of the copy, each number as its text.
    :ivar tag: the entity tag of the copy.
    :ivar sequence: the last sequence that it received.
    :ivar got: the number of messages that it received, by kind.
    """

    ledger: Ledger
    position: int = 0
    version: str | None = None
    value: Any = None
    tag: str | None = None
    sequence: tuple[int, int] = (0, 0)
    got: Counter[str] = field(default_factory=Counter)

    def take_document(self, version: str, data: bytes, sequence: str | None = None) -> None:
        """Takes a document that is sent byte for byte."""
        entry = self._move(version, sequence)
        assert data == entry.data, "not the document's bytes"
        self.value = entry.value

    def take_value(self, version: str, value: Any, sequence: str | None = None) -> None:
        """Takes a document whose white space may have changed on its way."""
        assert same(value, self._move(version, sequence).value), "not the document's value"
        self.value = value

    def take_patch(self, version: str, patch: Any, sequence: str) -> None:
        """Applies a patch to the copy."""
        value = patched(deepcopy(self.value), patch)
        assert same(value, self._move(version, sequence).value), "the patch makes something else of it"
        self.value = value

    def take_word(self, version: str, sequence: str) -> None:
        """Takes the message that the copy is the newest version."""
        assert version == self.version, "the newest is something else"
        self._move(version, sequence)

    def _move(self, version: str, sequence: str | None) -> Entry:
        """Moves to a version, which must not be older than the copy."""
        number = None
        if sequence is not None:
            epoch, number = (int(part) for part in sequence.split("."))
            assert (epoch, number) >= self.sequence, "the sequence goes backwards"
            self.sequence = epoch, number
        entries = self.ledger.entries
        for position in range(self.position, len(entries)):
            end = entries[position + 1].number if position + 1 < len(entries) else float("inf")
            # A part has the number with which it changed, or, if that is later, with which it was first asked for.
            if entries[position].version == version and (number is None or entries[position].number <= number < end):
                self.position, self.version, self.tag = position, version, f'"{version}"'
                return entries[position]
        raise AssertionError(f"{version} {sequence} is older than the watcher's copy, or never existed")


class Session:
    """One connection of a watcher. It fails at the first message that the protocol does not allow.

    :param watcher: the watcher.
    :ivar answered: whether the head of the answer has come.
    :ivar ended: whether nothing more will come.
    :ivar outgoing: the bytes that it has to send.
    :ivar sizes: the sizes in bytes of the messages that it received.
    """

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.ledger = watcher.ledger
        self.answered = False
        self.ended = False
        self.outgoing: list[bytes] = []
        self.sizes: list[int] = []
        self._buffer = b""

    def opening(self) -> bytes:
        """Gives the first bytes to send."""
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """Takes received bytes, in pieces of any size."""
        self._buffer += data
        if not self.answered:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self.answered, self._buffer = True, rest
            line, *lines = head.decode("latin-1").split("\r\n")
            fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
            self._take_head(int(line.split(" ")[1]), httpx.Headers(fields))
        if not self.ended:
            self._take_content()

    @property
    def up_to_date(self) -> bool:
        """Whether it has received everything that a watcher that keeps up receives."""
        raise NotImplementedError

    def due_at_once(self) -> int:
        """Gives the number of messages that it receives at the beginning."""
        return 0

    def due(self, tick: Tick) -> int:
        """Gives the number of messages that it receives for a tick, while it keeps up."""
        return 0

    def say(self, word: str) -> bool:
        """Tells the server its version, where the protocol allows that, and returns whether it did."""
        return False

    def _take_head(self, status: int, headers: httpx.Headers) -> None:
        raise NotImplementedError

    def _take_content(self) -> None:
        raise NotImplementedError

    def _take_refusal(self, status: int) -> None:
        if status == 404:
            assert any(entry.data is None for entry in self.ledger.possible), "it is there"
        else:
            assert (status, self.ledger.confirmed) == (503, -1), "it is known whether it is there"
        self.watcher.got[str(status)] += 1
        self.ended = True


class Polling(Session):
    """One request, and its answer.

    :param coding: the content coding that the request accepts besides identity.
    :param names: how ``If-None-Match`` names the watcher's version: ``tag``, ``weak``, ``among`` others, or not at all.
    :param patch: whether it asks for a patch.
    :param wait_s: how long it prefers to wait.
    :ivar time_is_over: whether its time to wait has passed.
    """

    def __init__(self, watcher: Watcher, *, coding: str, names: str, patch: bool, wait_s: int) -> None:
        super().__init__(watcher)
        self.tag = watcher.tag if names else None
        self.holds = watcher.version if self.tag else None
        self.wait_s = wait_s
        self.time_is_over = False
        self._coding = coding
        self._names = names
        self._patch = patch
        self._waits = False
        self._was_gone = False

    def opening(self) -> bytes:
        listed = {"tag": f"{self.tag}", "weak": f"W/{self.tag}", "among": f'"other", {self.tag}, "more-gzip"'}
        lines = [
            f"GET /feed{self.ledger.path} HTTP/1.1",
            "Host: localhost",
            *([f"Accept-Encoding: {self._coding}"] if self._coding else []),
            *([f"If-None-Match: {listed[self._names]}"] if self.tag else []),
            *(["A-IM: json-patch"] if self._patch else []),
            *([f"Prefer: wait={self.wait_s}"] if self.wait_s else []),
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    @property
    def up_to_date(self) -> bool:
        waits = self._waits and not self.time_is_over
        return self.ended or (waits and self.ledger.newest.version in (self.holds, None))

    def due_at_once(self) -> int:
        # A version that had gone before the request is not waited for.
        self._waits = bool(self.wait_s and self.holds) and self.ledger.newest.version == self.holds
        return 0

    def due(self, tick: Tick) -> int:
        self._was_gone |= not tick.there
        return 0

    def _take_head(self, status: int, headers: httpx.Headers) -> None:
        self._status, self._headers = status, headers

    def _take_content(self) -> None:
        headers = self._headers
        size = 0 if self._status == 304 else int(headers["Content-Length"])
        if len(self._buffer) < size:
            return
        assert len(self._buffer) == size, "more than the answer"
        body, self._buffer, self.ended = self._buffer, b"", True
        if self._status in (404, 503):
            self._take_refusal(self._status)
            return
        version, sequence, tag = (headers[name] for name in ("Livefeed-Version", "Livefeed-Sequence", "ETag"))
        newest = {entry.version for entry in self.ledger.possible}
        assert version in newest, "not the newest"
        assert headers["Livefeed-State"] == self.ledger.state
        assert (headers.get("Preference-Applied") == f"wait={self.wait_s}") == bool(self.wait_s)
        if self._status == 304:
            assert self.holds == version
            assert tag == self.tag, "another tag than the one that matched"
            assert self.time_is_over or not self.wait_s or self._was_gone, "answered too early"
            self.watcher.take_word(version, sequence)
        elif self._status == 226:
            assert self._patch
            assert headers["Delta-Base"] == self.tag, "a patch of something else"
            assert newest != {self.holds}, "a patch to the version that the watcher has"
            coding = headers.get("Content-Encoding", "identity")
            self.watcher.take_patch(version, read(DECODERS[coding](body)), sequence)
        else:
            assert self._status == 200
            assert newest != {self.holds}, "sent again"
            self.watcher.take_document(version, DECODERS[headers.get("Content-Encoding", "identity")](body), sequence)
        self.watcher.tag = tag
        waited = "waited " if self.wait_s and newest != {self.holds} else ""
        self.watcher.got[f"{waited}{self._status}"] += 1


class Following(Session):
    """A connection on which versions are pushed.

    :param delta: whether as messages of ``livefeed.delta.v1``.
    :param says: how the watcher tells its version: by ``field``, by ``query``, or not at all.
    :param repeats: whether the document is sent at each good tick.
    :ivar has: the newest version that was sent here, or that the watcher has said it has.
    :ivar tells_state: whether it is told the state.
    :ivar state: the last state that it received.
    """

    def __init__(self, watcher: Watcher, *, delta: bool, says: str, repeats: bool) -> None:
        super().__init__(watcher)
        self.delta = delta
        self.says = says if watcher.version is not None else ""
        self.has = watcher.version if self.says else None
        self.tells_state = delta
        self.state = ""
        self._repeats = repeats
        self._was_gone = False
        self._said: list[str | None] = []
        self._wants_all = False

    @property
    def up_to_date(self) -> bool:
        if self.ended or not self.answered:
            return self.ended
        if self.ledger.newest.version is None:
            return True
        told = not self.tells_state or (self.state == self.ledger.state and not self._wants_all)
        return self.has == self.ledger.newest.version and told

    def due_at_once(self) -> int:
        newest = self.ledger.newest.version
        return int(newest is not None and (self.delta or self.has != newest))

    def due(self, tick: Tick) -> int:
        if not tick.there:
            # A part that comes back is always sent. While it is away, deltas have the state alone, first when it goes.
            self._was_gone = True
            return int(self.delta and (tick.turned or tick.changed))
        if self.delta:
            is_sign = self._repeats or (tick.beats and not self.ledger.path)
            return int(is_sign or tick.changed or tick.turned)
        return int(tick.changed or (self._repeats and tick.good))

    @property
    def _may_repeat(self) -> bool:
        """Whether the document may be sent that was sent last."""
        return self._repeats or self._was_gone

    def forget(self) -> None:
        """Whether every request is answered, and a value that went and came back was sent again."""
        self._said.clear()
        self._was_gone &= self.ledger.newest.data is None

    def _take_plain(self, version: str, take: Callable[[], None]) -> None:
        assert version != self.has or self._may_repeat, "sent again"
        take()
        self._note(version, "document")

    def _take_message(self, text: bytes) -> None:
        message = read(text)
        kind, version, sequence = message["type"], message["version"], message["sequence"]
        base = version if kind == "heartbeat" else message.get("from")
        self.state = message["state"]
        if kind == "snapshot":
            assert version != self.has or self._said or self._was_gone, "sent again"
            self.watcher.take_value(version, message["data"], sequence)
            self._wants_all = False
        elif base != self.watcher.version:
            # It told its version while later messages were on their way.
            assert base in self._said, f"a {kind} for {base}, but it has {self.watcher.version}"
            kind = "misfit"
            if version != self.watcher.version:
                self.say("nothing")
                self.state = ""
        elif kind == "heartbeat":
            self.watcher.take_word(version, sequence)
        else:
            assert version != self.has, "a patch to the version that the watcher has"
            self.watcher.take_patch(version, message["patch"], sequence)
        self._note(version, kind)

    def _note(self, version: str, kind: str) -> None:
        self.has = version
        self.watcher.got[f"{type(self).__name__} {kind}"] += 1


class Events(Following):
    """Server-sent events.

    :param named: whether they are asked for by ``Accept``, and not by the path.
    :param pushes: the value of the server's ``--push``.
    """

    def __init__(self, watcher: Watcher, *, delta: bool, says: str, named: bool, pushes: str) -> None:
        super().__init__(
            watcher, delta=delta, says=says, repeats=delta and pushes == "tick" and not watcher.ledger.path
        )
        self.tells_state = True
        self.alone = True
        self.state = "live"  # unless it is told otherwise
        self._named = named
        self._text = b""

    @property
    def _may_repeat(self) -> bool:
        return False

    def due(self, tick: Tick) -> int:
        due = super().due(tick)
        # A part that came back unchanged is not new; after several ticks, the test cannot know which brought it.
        if self.delta or not self._was_gone or not self.alone:
            return due
        return int(due and self.ledger.newest.version != self.has)

    def opening(self) -> bytes:
        query = [*(["delta=1"] if self.delta else []), *([f"last-event-id={self.has}"] if self.says == "query" else [])]
        lines = [
            f"GET /feed{'' if self._named else '.sse'}{self.ledger.path}?{'&'.join(query)} HTTP/1.1",
            "Host: localhost",
            *(["Accept: text/event-stream"] if self._named else []),
            *([f"Last-Event-ID: {self.has}"] if self.says == "field" else []),
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def _take_head(self, status: int, headers: httpx.Headers) -> None:
        if status == 200:
            assert headers["Content-Type"] == "text/event-stream"
        else:
            self._take_refusal(status)

    def _take_content(self) -> None:
        while not self.ended:
            size, found, rest = self._buffer.partition(b"\r\n")
            end = int(size, 16) if found else 0
            if not found or len(rest) < end + 2:
                break
            self._text += rest[:end]
            self._buffer = rest[end + 2 :]
            self.ended = end == 0
        *events, self._text = self._text.split(b"\n\n")
        for event in events:
            self._take_event(event)

    def _take_event(self, event: bytes) -> None:
        lines = [line.partition(b": ") for line in event.split(b"\n")]
        data = b"\n".join(value for name, _, value in lines if name == b"data")
        ids = [value.decode() for name, _, value in lines if name == b"id"]
        if not data or (b"event", b": ", b"state") in lines:
            assert not ids
            if data:
                self.state = json.loads(data)["state"]
            return
        self.sizes.append(len(event))
        if self.delta:
            self._take_message(data)
            assert ids == [self.has]
        else:
            self._take_plain(ids[0], lambda: self.watcher.take_value(ids[0], read(data)))


class WebSocket(Following):
    """A subscriber on a WebSocket.

    :param deflate: whether it offers permessage-deflate.
    :param pushes: the value of the server's ``--push``.
    """

    def __init__(self, watcher: Watcher, *, delta: bool, says: str, deflate: bool, pushes: str) -> None:
        repeats = pushes == "tick" and not watcher.ledger.path
        super().__init__(watcher, delta=delta, says=says if delta else "", repeats=repeats)
        self._deflate = deflate

    def opening(self) -> bytes:
        path = f"/feed{self.ledger.path or '.ws'}{f'?have={self.has}' if self.says else ''}"
        extensions = DEFLATE if self._deflate else ""
        return handshake(path, Sec_WebSocket_Extensions=extensions, Sec_WebSocket_Protocol=DELTA if self.delta else "")

    def say(self, word: str) -> bool:
        if not self.delta or not self.answered or self.ended:
            return False
        have = self.watcher.version if word == "version" else None
        self._wants_all = have is None
        self._said.append(have)
        self.outgoing.append(client_frame(TEXT, json.dumps({"have": have}).encode()))
        return True

    def _take_head(self, status: int, headers: httpx.Headers) -> None:
        if status == 101:
            assert ("Sec-WebSocket-Extensions" in headers) == self._deflate
            assert headers.get("Sec-WebSocket-Protocol") == (DELTA if self.delta else None)
        else:
            self._take_refusal(status)

    def _take_content(self) -> None:
        while not self.ended and len(self._buffer) >= 2:
            first, size = self._buffer[:2]
            end = {126: 4, 127: 10}.get(size, 2)
            if size >= 126:
                size = int.from_bytes(self._buffer[2:end], "big")
            if len(self._buffer) < end + size:
                break
            payload, self._buffer = self._buffer[end : end + size], self._buffer[end + size :]
            self._take_frame(first, payload)

    def _take_frame(self, first: int, payload: bytes) -> None:
        match first & 0x0F:
            case opcode if opcode == TEXT:
                assert first == (0xC1 if self._deflate else 0x81)
                self.sizes.append(len(payload))
                self._take_text(zlib.decompressobj(-15).decompress(payload) if self._deflate else payload)
            case opcode if opcode == PING:
                self.outgoing.append(client_frame(PONG, payload))
            case opcode:
                assert opcode == CLOSE, opcode
                assert struct.unpack_from("!H", payload)[0] == 1001
                self.ended = True

    def _take_text(self, text: bytes) -> None:
        if self.delta:
            self._take_message(text)
        else:
            version = hashlib.sha256(text).hexdigest()[:32]
            self._take_plain(version, lambda: self.watcher.take_document(version, text))
