"""The cost of each transport: bytes on the wire for each update, and processor time of a mix of transports."""

from __future__ import annotations

import re
import select
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.bench import load
from tests.bench.clients import Clients, following, run_together
from tests.bench.load import UPGRADE
from tests.bench.peers.livefeed import LivefeedDemo
from tests.bench.peers.server import HOST, Setting

UPDATES = 30
WAIT_S = 10
MIXED_S = 12
READ_BYTES = 1 << 20

DEFLATED = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
DELTA = "Sec-WebSocket-Protocol: livefeed.delta.v1\r\n"
DELTA_2 = "Sec-WebSocket-Protocol: livefeed.delta.v2\r\n"

POLLS = {
    "polling": "",
    "polling, gzip": "Accept-Encoding: gzip\r\n",
    "polling, br": "Accept-Encoding: br\r\n",
    "polling, zstd": "Accept-Encoding: zstd\r\n",
    "polling, patches": "A-IM: json-patch\r\n",
    "polling, splices": "A-IM: livefeed-splices\r\n",
}
STREAMS = {
    "events": ("/feed.sse", ""),
    "events, delta": ("/feed.sse?delta=1", ""),
    "events, delta v2": ("/feed.sse?delta=2", ""),
    "WebSocket": ("/feed.ws", UPGRADE),
    "WebSocket, deflated": ("/feed.ws", UPGRADE + DEFLATED),
    "WebSocket, delta": ("/feed.ws", UPGRADE + DELTA),
    "WebSocket, delta, deflated": ("/feed.ws", UPGRADE + DEFLATED + DELTA),
    "WebSocket, delta v2": ("/feed.ws", UPGRADE + DELTA_2),
    "WebSocket, delta v2, deflated": ("/feed.ws", UPGRADE + DEFLATED + DELTA_2),
}
THIRDS = {"plain": "", "deflated": DEFLATED, "delta": DELTA}


@dataclass
class Wire:
    """A connection that counts the bytes that it is sent.

    :ivar received: bytes since the last update that does not count.
    """

    port: int
    sock: socket.socket = field(init=False)
    received: int = 0

    def __post_init__(self) -> None:
        self.sock = socket.create_connection((HOST, self.port), timeout=WAIT_S)

    def ask(self, path: str, fields: str) -> None:
        """Sends a request."""
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n".encode())

    def take(self) -> bytes:
        """Reads the available data, or waits for some."""
        data = self.sock.recv(READ_BYTES)
        if not data:
            raise ConnectionError("livefeed has hung up")
        self.received += len(data)
        return data

    def answer(self) -> tuple[bytes, bytes]:
        """Takes one answer, whole: its head and its content."""
        data = self.take()
        while b"\r\n\r\n" not in data:
            data += self.take()
        head, _, content = data.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head, re.IGNORECASE)
        while length is not None and len(content) < int(length[1]):
            content += self.take()
        return head, content


def bytes_on_the_wire(setting: Setting) -> dict[str, tuple[float, float]]:
    """Gives the bytes for each update of the demonstration on each transport, and their share of the document.

    All bytes of the server count, including heads, frames and heartbeats, without TLS and TCP.
    """
    with LivefeedDemo("demo", setting) as server:
        time.sleep(1)
        polls = {name: Wire(server.plain_port) for name in POLLS}
        streams = {name: Wire(server.plain_port) for name in STREAMS}
        tags = dict.fromkeys(polls, b"")
        epoll = select.epoll()
        by_number = {wire.sock.fileno(): wire for wire in streams.values()}
        for name, wire in streams.items():
            wire.ask(*STREAMS[name])
            wire.answer()
            epoll.register(wire.sock.fileno(), select.EPOLLIN)
        sizes: list[int] = []
        clock = streams["WebSocket"]
        # The first update, of which all get the whole document, does not count.
        for update in range(UPDATES + 1):
            before = clock.received
            while clock.received == before:
                for number, _ in epoll.poll(WAIT_S):
                    by_number[number].take()
            for name, wire in polls.items():
                known = f"If-None-Match: {tags[name].decode()}\r\n" if tags[name] else ""
                wire.ask("/feed", POLLS[name] + known)
                head, content = wire.answer()
                found = re.search(rb"\r\nETag: ([^\r]+)", head)
                assert found is not None
                tags[name] = found[1]
                if name == "polling":
                    sizes.append(len(content))
            if update == 0:
                for wire in (*polls.values(), *streams.values()):
                    wire.received = 0
                sizes.clear()
        document = sum(sizes) / UPDATES
        return {
            name: (wire.received / UPDATES, wire.received / UPDATES / document)
            for name, wire in (polls | streams).items()
        }


def wire_table(found: dict[str, tuple[float, float]]) -> str:
    """Gives the bytes as Markdown."""
    lines = ["", "| followed by | bytes for each update | of the document |", "|---|---|---|"]
    lines += [f"| {name} | {size:,.0f} | {part:.1%} |" for name, (size, part) in found.items()]
    return "\n".join(lines)


def mixed(setting: Setting, count: int) -> dict[str, load.Measured]:
    """Gives the cost of a delivery if all subscribers are plain, and if a third each is plain, deflated, delta."""
    results = {}
    for title, kinds in {"plain": [""], "a third each": list(THIRDS.values())}.items():
        with LivefeedDemo("demo", setting) as server, ExitStack() as stack:
            time.sleep(1)
            idle = server.memory_bytes()
            groups = [
                stack.enter_context(
                    Clients(server, following(server, "websocket", count // len(kinds), whole=1, fields=fields))
                )
                for fields in kinds
            ]
            run_together(groups, 3)
            memory = (server.memory_bytes() - idle) / count
            before = server.cpu_seconds()
            ran = run_together(groups, MIXED_S)
            cpu = server.cpu_seconds() - before
        deliveries = sum(each.count for each in ran)
        results[title] = load.Measured(
            rate=deliveries / max(each.seconds for each in ran),
            cpu_us=cpu / max(deliveries, 1) * 1e6,
            memory_bytes=memory,
            errors=sum(group.errors for group in groups),
        )
    return results
