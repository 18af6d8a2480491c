"""``make soak``: many watchers on one process for a minute. It counts errors, and watches the server's memory.

Exits with 1 if there was an error, or if the memory grew by more than 5 % from ten seconds after everybody had come.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from livefeed.certificates import DevelopmentCertificate, development_certificate
from tests.integration.harness import HOST, Livefeed

if TYPE_CHECKING:
    import ssl

SETTLED_S = 10
GROWTH_LIMIT = 0.05
AT_A_TIME = 100


@dataclass
class Counts:
    """What happened to the watchers."""

    messages: int = 0
    answers: int = 0
    errors: int = 0
    first_error: str = ""

    def note(self, error: BaseException | str) -> None:
        """Counts an error, and keeps the first."""
        self.errors += 1
        self.first_error = self.first_error or repr(error)


async def subscribe(url: str, context: ssl.SSLContext, counts: Counts, opening: asyncio.Semaphore, end: float) -> None:
    """Follows the feed on a WebSocket; a pause of more than 5 s between documents is an error."""
    try:
        async with opening:
            socket = await connect(url, ssl=context, proxy=None, compression=None, open_timeout=30)
        async with socket:
            while time.monotonic() < end:
                document = await asyncio.wait_for(socket.recv(decode=False), 5)
                assert document.startswith(b'{"title"')
                counts.messages += 1
    except (OSError, TimeoutError, AssertionError, WebSocketException) as error:
        counts.note(error)


async def poll(port: int, context: ssl.SSLContext, counts: Counts, opening: asyncio.Semaphore, end: float) -> None:
    """Polls once a second on one connection, with the last version's tag, as a browser does."""
    etag = '""'
    try:
        async with opening:
            reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname=HOST)
        while time.monotonic() < end:
            head = f"GET /feed HTTP/1.1\r\nHost: {HOST}\r\nAccept-Encoding: gzip\r\nIf-None-Match: {etag}\r\n\r\n"
            writer.write(head.encode())
            status_line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
            if status_line != "HTTP/1.1 304 Not Modified":
                assert status_line == "HTTP/1.1 200 OK", status_line
                await reader.readexactly(int(headers["content-length"]))
            assert headers["livefeed-state"] == "live", headers
            etag = headers["etag"]
            counts.answers += 1
            await asyncio.sleep(random.uniform(0.9, 1.1))
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    except (OSError, EOFError, AssertionError) as error:
        counts.note(error)


async def run(livefeed: Livefeed, subscribers: int, pollers: int, seconds: float) -> bool:
    """Puts the load on, tells what happened, and gives whether that is good enough."""
    context = livefeed.tls_context()
    counts, opening = Counts(), asyncio.Semaphore(AT_A_TIME)
    start = time.monotonic()
    # Everybody stays for as long as it takes all to come, and then for the time asked for.
    end = start + seconds + (subscribers + pollers) / 250
    url = f"wss://{livefeed.authority}/feed.ws"
    watchers = [asyncio.create_task(subscribe(url, context, counts, opening, end)) for _ in range(subscribers)]
    watchers += [asyncio.create_task(poll(livefeed.port, context, counts, opening, end)) for _ in range(pollers)]
    await asyncio.sleep(end - seconds - start)
    cpu_start, cpu_at = cpu_seconds(livefeed.pid), time.monotonic()
    before, watching = (counts.messages, counts.answers), len([task for task in watchers if not task.done()])
    await asyncio.sleep(SETTLED_S)
    settled = livefeed.resident_bytes()
    print(f"{watching} watchers; memory after {SETTLED_S} s: {settled / 2**20:.1f} MiB", flush=True)
    await asyncio.sleep(seconds - SETTLED_S - 1)
    final, cpu = livefeed.resident_bytes(), cpu_seconds(livefeed.pid) - cpu_start
    elapsed = time.monotonic() - cpu_at
    messages, answers = counts.messages - before[0], counts.answers - before[1]
    await asyncio.gather(*watchers)
    growth = final / settled - 1
    print(f"memory at the end: {final / 2**20:.1f} MiB, {growth:+.1%}")
    print(f"{messages / elapsed:.0f} messages/s, {answers / elapsed:.0f} answers/s, {cpu / elapsed:.0%} of a core")
    print(f"errors: {counts.errors} {counts.first_error}")
    return counts.errors == 0 and growth <= GROWTH_LIMIT and watching == subscribers + pollers


def cpu_seconds(pid: int) -> float:
    """Gives the processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=2000)
    parser.add_argument("--pollers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        certificate: DevelopmentCertificate = development_certificate(directory / "certs")
        with Livefeed(directory=directory, certificate=certificate) as livefeed:
            good = asyncio.run(run(livefeed, options.subscribers, options.pollers, options.seconds))
            code = livefeed.terminate()
    print(f"exit code {code}")
    return 0 if good and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
