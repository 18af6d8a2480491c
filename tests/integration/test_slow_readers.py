"""The phone on a bad line: it reads 1 KB a second, of a document that is larger and changes each second.

It gets the newest version when it can take one, never a backlog, and costs the server next to nothing. The server keeps
for it

- one record of TLS, 16 KiB at most, which OpenSSL has encrypted and the socket has not taken;
- the message that it has begun to take, whose bytes all clients share. Those of a large document stay, once for all
  clients, for as long as any client is still taking that version;
- in the kernel, the bytes that TCP_NOTSENT_LOWAT allows, and those on their way.

Time goes four times as fast here: 100 bytes in 25 ms, a version each 250 ms.
"""

from __future__ import annotations

import contextlib
import random
import select
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.integration.harness import HOST, TRANSPORT, WAIT_S, Livefeed, replace_file
from tests.integration.watching import Events, Following, Ledger, Watcher, WebSocket

if TYPE_CHECKING:
    from tests.integration.conftest import Start

KIB = 1024
CLIENTS = 120
RECEIVE_BUFFER_BYTES = 4 * KIB
PIECE_BYTES, PIECE_S = 100, 0.025
VERSION_S = 0.25
WAYS = ("websocket", "delta", "events")

MOST_BYTES = 64 * KIB
"""How much more a slow client may cost than one that reads all."""

RETURNED_BYTES = 32 * KIB
"""Larger blocks go back to the system as soon as they are freed. By default the C library keeps a varying amount, up to
10 MB, of old versions of a document. The test would count that as 80 KB for each client."""

IN_FLIGHT_BYTES = 48 * KIB
"""The bytes that a client may get when it reads everything at last, besides the message that it had begun to take and
the newest one: the kernel on both sides and OpenSSL hold them."""


@dataclass
class Source:
    """A file that livefeed follows, and its versions."""

    path: Path
    size: int
    ledger: Ledger = field(default_factory=lambda: Ledger(state="live"))

    def write(self, size: int | None = None) -> None:
        """Puts the next version there, of which 64 bytes are new."""
        number = len(self.ledger.entries) + 1
        noise = random.Random(0).randbytes((size or self.size) // 2).hex()
        fresh = random.Random(number).randbytes(32).hex()
        document = b'{"n": %d, "fresh": "%s", "rest": "%s"}' % (number, fresh.encode(), noise.encode())
        self.ledger.add(number, document)
        replace_file(self.path, document)


class Phone:
    """A watcher whose line is as slow as it reads: TLS takes no bytes from the socket but those that it is given.

    :param livefeed: the server.
    :param ledger: the versions that it serves.
    :param way: how it follows.
    :ivar behind: by how many versions each message was not the newest when it was whole.
    """

    def __init__(self, livefeed: Livefeed, ledger: Ledger, way: str, *, receive_buffer: int | None) -> None:
        watcher = Watcher(ledger)
        self.session: Following = (
            Events(watcher, delta=False, says="", named=False, pushes="change")
            if way == "events"
            else WebSocket(watcher, delta=way == "delta", says="", deflate=False, pushes="change")
        )
        self.way = way
        self.behind: list[int] = []
        self._position = -1
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = livefeed.tls_context().wrap_bio(self._in, self._out, server_hostname=HOST)
        self.sock = livefeed.tcp_socket(receive_buffer=receive_buffer)
        self._shake_hands()
        self._tls.write(self.session.opening())
        self.sock.sendall(self._out.read())
        self.sock.setblocking(False)

    def close(self) -> None:
        self.sock.close()

    def read(self, most: int) -> int:
        """Reads up to *most* bytes, and gives their number."""
        try:
            data = self.sock.recv(most)
        except BlockingIOError:
            return 0
        assert data, "the connection has ended"
        self._in.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            while True:
                self.session.receive(self._tls.read(64 * KIB))
        if self.session.watcher.position != self._position:
            self._position = self.session.watcher.position
            self.behind.append(len(self.session.ledger.entries) - 1 - self._position)
        return len(data)

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.sock.sendall(self._out.read())
                self._in.write(self.sock.recv(64 * KIB))
            else:
                self.sock.sendall(self._out.read())
                return


class Audience:
    """Many watchers of one livefeed, all with the same pace, equally many of each way.

    :param livefeed: which has no other clients.
    :param slow: whether they read 100 bytes at a time, or all there is.
    """

    def __init__(self, livefeed: Livefeed, ledger: Ledger, *, slow: bool) -> None:
        self.livefeed = livefeed
        self.phones: list[Phone] = []
        self._most = PIECE_BYTES if slow else 1024 * KIB
        buffer = RECEIVE_BUFFER_BYTES if slow else None
        try:
            for number in range(CLIENTS):
                self.phones.append(Phone(livefeed, ledger, WAYS[number % len(WAYS)], receive_buffer=buffer))
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        for phone in self.phones:
            phone.close()

    def read(self) -> None:
        """Lets each of them read once."""
        for phone in self.phones:
            phone.read(self._most)

    def read_all(self) -> None:
        """Lets them read as fast as they can, until all have the newest version."""
        deadline = time.monotonic() + WAIT_S
        while not all(phone.session.up_to_date for phone in self.phones):
            assert time.monotonic() < deadline, "some never get the newest version"
            if not sum(phone.read(1024 * KIB) for phone in self.phones):
                select.select([phone.sock for phone in self.phones], [], [], WAIT_S)

    def queued_bytes(self) -> int:
        """Gives how much the kernel keeps for these clients that they have not taken."""
        queued = 0
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, _, queues, *_ = line.split()
            if int(local.partition(":")[2], 16) == self.livefeed.port:
                queued += int(queues.partition(":")[0], 16)
        return queued


@pytest.mark.memory
@pytest.mark.parametrize(("size", "versions"), [(4 * KIB, 24), (200 * KIB, 12)], ids=["4 KB", "200 KB"])
def test_phone_on_a_bad_line(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, versions: int
) -> None:
    """It skips versions, is at most a few behind, and costs at most 64 KB more than a fast client."""
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.setenv(name, str(RETURNED_BYTES))
    source = Source(tmp_path / "document.json", size)
    source.write(size=100)
    options = ("--source", f"file:{source.path}", "--interval", "0.1", "--push=change")
    servers = [start(*options), start(*options)]
    with contextlib.ExitStack() as stack:
        fast = stack.enter_context(Audience(servers[0], source.ledger, slow=False))
        # They connect while the document is small, so that the measured memory is that of a long-lived connection.
        fast.read_all()
        first = source.ledger.newest.version
        source.write()
        wait = {"If-None-Match": f'"{first}"', "Prefer": f"wait={WAIT_S:.0f}"}
        assert servers[1].http.get("/feed", headers=wait).status_code == 200
        slow = stack.enter_context(Audience(servers[1], source.ledger, slow=True))
        for _ in range(versions):
            source.write()
            end = time.monotonic() + VERSION_S
            while (left := end - time.monotonic()) > 0:
                time.sleep(min(PIECE_S, left))
                fast.read()
                slow.read()
        costs = (slow.livefeed.resident_bytes() - fast.livefeed.resident_bytes()) // CLIENTS
        queued = [crowd.queued_bytes() // CLIENTS for crowd in (fast, slow)]
        behind = {way: max(max(phone.behind, default=0) for phone in slow.phones if phone.way == way) for way in WAYS}
        print(
            f"\n{size // KIB} KB: a slow client costs {costs / KIB:.1f} KB more than a fast one, of "
            f"{fast.livefeed.resident_bytes() // KIB // KIB} MB for {CLIENTS}; in the kernel {queued[1] / KIB:.1f} KB "
            f"and {queued[0] / KIB:.1f} KB; it was as many versions behind: {behind}"
        )
        # Twisted's own transport encrypts a document for each of its readers at once.
        assert costs < MOST_BYTES or (TRANSPORT, size) == ("twisted", 200 * KIB)
        assert queued[1] < MOST_BYTES
        for phone in slow.phones:
            # It read as fast as it could, and no more was sent.
            assert len(phone.behind) < versions // 2 or phone.way == "delta"
            assert len(phone.behind) >= (3 if size < 10 * KIB else 0)
            phone.session.sizes.clear()
        fast.read_all()
        slow.read_all()
        for phone in slow.phones:
            older = phone.session.sizes[:-1]
            assert sum(older) - max(older, default=0) < IN_FLIGHT_BYTES, "a backlog"
            assert len(older) < versions // 2


DEAF = 8
ASKED_BYTES = 16 * 1024 * KIB
SENT_BYTES = 4 * 1024 * KIB
"""The bytes of a client's requests that the kernel takes on both sides after the server has stopped reading."""

GROWTH_BYTES = 12 * 1024 * KIB
QUIET_S = 0.5


def ask_until_unread(sock: ssl.SSLSocket, requests: bytes, most: int) -> int:
    """Sends requests until the server reads no more, and gives how many bytes it has taken."""
    sock.settimeout(QUIET_S)
    taken = 0
    with contextlib.suppress(TimeoutError):
        while taken < most:
            taken += sock.send(requests)
    return taken


def test_client_that_only_asks_is_read_no_more(start: Start, tmp_path: Path) -> None:
    """Neither its requests nor their answers pile up in the server, and others are still answered."""
    file = tmp_path / "feed.json"
    file.write_bytes(b'{"rest": "%s"}' % (b"x" * 4 * KIB))
    livefeed = start("--source", f"file:{file}")
    context = livefeed.tls_context()
    # Heads of a kind that is replayed, and of one that twisted.web answers.
    heads = [b"GET /feed HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % more for more in (b"", b"Content-Length: 0\r\n")]
    with contextlib.ExitStack() as clients:
        socks = [
            clients.enter_context(
                context.wrap_socket(livefeed.tcp_socket(receive_buffer=RECEIVE_BUFFER_BYTES), server_hostname=HOST)
            )
            for _ in range(DEAF)
        ]
        assert livefeed.http.get("/feed").status_code == 200
        before = livefeed.resident_bytes()
        for number, sock in enumerate(socks):
            assert ask_until_unread(sock, heads[number % 2] * 200, ASKED_BYTES) < SENT_BYTES
        assert livefeed.resident_bytes() - before < GROWTH_BYTES
        assert livefeed.http.get("/feed").status_code == 200
