"""``make soak``: every kind of watcher on one process for an hour, with a source that hangs and recovers.

It prints how memory, objects, open files and threads of the server changed after a warm-up, each as a slope with its
95 % confidence interval. It exits with 1 if a watcher that reads saw an error, if all watchers of a kind were given
nothing, or if the server may grow: the upper bound of the slope of memory must be below 0.5 MB an hour, and neither
open files nor threads nor objects may rise.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from livefeed.tls.development import DevelopmentCertificate, development_certificate
from tests.integration.harness import HOST, Livefeed, Redis

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

SAMPLE_S = 5.0
"""The time in seconds between two samples of the server."""

AT_A_TIME = 50
"""The number of watchers that connect at the same time."""

SILENCE_S = 60.0
"""The longest time in seconds without a byte for a watcher: streams have heartbeats, and long polls end."""

HANG_EVERY_S, HANG_S = 120.0, 15.0
"""The time in seconds between two hangs of the source, and the length of each."""

STAY_S = (60.0, 300.0)
"""The shortest and the longest stay of a watcher, in seconds. Another watcher takes its place."""

MEMORY_LIMIT_BYTES = 500_000
"""The growth of memory in bytes that is allowed in an hour."""

LEAST_INDEPENDENT = 5.0
"""The smallest number of independent samples that is assumed: fewer leave no degrees of freedom for an interval."""

ANSWER_S = 30.0
"""The time in seconds that the server may take to count its objects, on a busy machine."""

OBJECTS_SIGNAL = signal.SIGRTMIN

# Python imports this module at its start. The count takes some milliseconds, so the server itself does not offer it.
_SITECUSTOMIZE = """
import gc, os, signal
def _count(*_):
    path = os.environ["SOAK_OBJECTS"]
    with open(path + ".new", "w") as file:
        file.write(str(len(gc.get_objects())))
    os.replace(path + ".new", path)
signal.signal(signal.SIGRTMIN, _count)
"""


@dataclass
class Load:
    """The state that all watchers share.

    :ivar seen: the number of messages for each kind of watcher.
    :ivar errors: the first error of each kind of watcher.
    """

    livefeed: Livefeed
    context: ssl.SSLContext
    end: float
    opening: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_A_TIME))
    seen: Counter[str] = field(default_factory=Counter)
    errors: dict[str, str] = field(default_factory=dict)

    def leaves_at(self) -> float:
        """Gives the time at which a watcher that comes now leaves."""
        return min(self.end, time.monotonic() + random.uniform(*STAY_S))


class Http:
    """An HTTP connection of a watcher."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, load: Load) -> Self:
        """Connects when fewer than :data:`AT_A_TIME` others do."""
        async with load.opening:
            return cls(*await asyncio.open_connection(HOST, load.livefeed.port, ssl=load.context, server_hostname=HOST))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def send(self, path: str, *fields: str) -> None:
        """Sends a request."""
        lines = (f"GET {path} HTTP/1.1", f"Host: {HOST}", *fields, "", "")
        self._writer.write("\r\n".join(lines).encode())

    async def head(self) -> tuple[int, dict[str, str]]:
        """Reads the head of an answer: its status, and its fields by their names in lower case."""
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), SILENCE_S)
        status_line, *lines = head.decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(status_line.split()[1]), fields

    async def answer(self) -> tuple[int, dict[str, str]]:
        """Reads an answer, and leaves its content out."""
        status, fields = await self.head()
        if status != 304:
            await self._reader.readexactly(int(fields["content-length"]))
        return status, fields

    def turn_deaf(self) -> None:
        """Reads no more, and has the kernel keep as little as it can."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        cast("asyncio.ReadTransport", self._writer.transport).pause_reading()

    async def chunk(self) -> bytes:
        """Reads a chunk of a stream; empty at its end."""
        size = int(await asyncio.wait_for(self._reader.readuntil(b"\r\n"), SILENCE_S), 16)
        data = await self._reader.readexactly(size + 2)
        return data[:-2]


async def poll(load: Load, kind: str, path: str, *fields: str) -> None:
    """Polls once a second with the last version's tag, on one connection."""
    leaves_at, tag = load.leaves_at(), '""'
    async with await Http.open(load) as http:
        while time.monotonic() < leaves_at:
            http.send(path, f"If-None-Match: {tag}", "Accept-Encoding: gzip", *fields)
            status, answered = await http.answer()
            assert status in (200, 226, 304), (status, answered)
            tag = answered["etag"]
            load.seen[kind] += 1
            await asyncio.sleep(random.uniform(0.9, 1.1))


async def wait(load: Load, kind: str, path: str, wait_s: int) -> None:
    """Polls for a version that is not there yet; at times leaves while it waits."""
    leaves_at, tag = load.leaves_at(), '""'
    async with await Http.open(load) as http:
        while time.monotonic() < leaves_at:
            http.send(path, f"If-None-Match: {tag}", f"Prefer: wait={wait_s}")
            if random.random() < 0.01:
                return
            status, answered = await http.answer()
            assert status in (200, 304), (status, answered)
            tag = answered["etag"]
            load.seen[kind] += 1


async def follow_events(load: Load, kind: str, path: str) -> None:
    """Follows by server-sent events."""
    leaves_at = load.leaves_at()
    async with await Http.open(load) as http:
        http.send(path, "Accept: text/event-stream")
        status, answered = await http.head()
        assert (status, answered["content-type"]) == (200, "text/event-stream"), (status, answered)
        while time.monotonic() < leaves_at:
            assert await http.chunk(), "the stream has ended"
            load.seen[kind] += 1


async def follow_socket(load: Load, kind: str, path: str, *, delta: bool = False, deflate: bool = False) -> None:
    """Follows on a WebSocket."""
    leaves_at = load.leaves_at()
    async with load.opening:
        socket = await connect(
            f"wss://{load.livefeed.authority}{path}",
            ssl=load.context,
            proxy=None,
            compression="deflate" if deflate else None,
            open_timeout=30,
            subprotocols=["livefeed.delta.v1"] if delta else None,  # type: ignore[list-item]
        )
    async with socket:
        while time.monotonic() < leaves_at:
            # A source that hangs leaves a subscriber without documents; pings are answered below this.
            json.loads(await asyncio.wait_for(socket.recv(), HANG_S + SILENCE_S))
            load.seen[kind] += 1


async def never_read(load: Load, kind: str, path: str, *fields: str, times: int = 1) -> None:
    """Asks, reads the head of the first answer, and nothing else for a while.

    :param times: how often it asks; once where the connection is not one of requests afterwards.
    """
    async with await Http.open(load) as http:
        for _ in range(times):
            http.send(path, *fields)
        status, answered = await http.head()
        assert status in (101, 200), (status, answered)
        load.seen[kind] += 1
        http.turn_deaf()
        await asyncio.sleep(load.leaves_at() - time.monotonic())


HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)

KINDS: dict[str, tuple[float, Callable[[Load, str], Awaitable[None]]]] = {
    "polls": (0.15, lambda load, kind: poll(load, kind, "/feed")),
    "polls with a query": (0.05, lambda load, kind: poll(load, kind, f"/feed?_={random.random()}")),
    "polls for patches": (0.05, lambda load, kind: poll(load, kind, "/feed", "A-IM: json-patch")),
    "polls of a part": (0.05, lambda load, kind: poll(load, kind, f"/feed/districts/{random.randrange(8)}")),
    "long polls": (0.15, lambda load, kind: wait(load, kind, "/feed", 20)),
    "short long polls": (0.05, lambda load, kind: wait(load, kind, "/feed", 1)),
    "long polls of a part": (0.05, lambda load, kind: wait(load, kind, "/feed/districts/3", 20)),
    "events": (0.1, lambda load, kind: follow_events(load, kind, "/feed.sse")),
    "events by delta": (0.05, lambda load, kind: follow_events(load, kind, "/feed.sse?delta=1")),
    "sockets": (0.1, lambda load, kind: follow_socket(load, kind, "/feed.ws")),
    "sockets, compressed": (0.05, lambda load, kind: follow_socket(load, kind, "/feed.ws", deflate=True)),
    "sockets by delta": (0.1, lambda load, kind: follow_socket(load, kind, "/feed.ws", delta=True, deflate=True)),
    "deaf pollers": (0.02, lambda load, kind: never_read(load, kind, "/feed", times=200)),
    "deaf sockets": (0.02, lambda load, kind: never_read(load, kind, "/feed.ws", *HANDSHAKE)),
    "deaf streams": (0.01, lambda load, kind: never_read(load, kind, "/feed.sse")),
}
"""The kinds of watchers, and the share that each kind has."""


async def keep_coming(load: Load, kind: str) -> None:
    """Has one watcher of a kind at a time, from now to the end."""
    while time.monotonic() < load.end:
        try:
            await KINDS[kind][1](load, kind)
        except (OSError, EOFError, AssertionError, ValueError, WebSocketException) as error:
            if time.monotonic() < load.end:
                load.errors.setdefault(kind, repr(error)[:300])
            await asyncio.sleep(1)


async def publish(redis: Redis, end: float) -> None:
    """Writes a version each second, into a source that hangs from time to time."""
    number, hangs_at = 0, time.monotonic() + HANG_EVERY_S
    while time.monotonic() < end:
        number += 1
        districts = [{"name": f"District {k}", "votes": number * (k + 1) // (1 + k % 3)} for k in range(60)]
        document = json.dumps({"n": number, "districts": districts}).encode()
        await asyncio.to_thread(redis.command, "SET", "feed", document)
        await asyncio.sleep(1)
        if time.monotonic() >= hangs_at:
            redis.pause()
            await asyncio.sleep(HANG_S)
            redis.resume()
            hangs_at = time.monotonic() + HANG_EVERY_S


@dataclass(frozen=True, slots=True)
class Sample:
    """The resources of the server at one point in time."""

    at: float
    memory: float
    objects: float
    files: float
    threads: float

    @classmethod
    async def take(cls, pid: int, objects: Path) -> Self:
        """Asks the system, and the server itself for its objects."""
        return await asyncio.to_thread(cls._take, pid, objects)

    @classmethod
    def _take(cls, pid: int, objects: Path) -> Self:
        objects.unlink(missing_ok=True)
        os.kill(pid, OBJECTS_SIGNAL)
        late = time.monotonic() + ANSWER_S
        while not objects.exists():
            assert time.monotonic() < late, "the server does not count its objects"
            time.sleep(0.01)
        process = Path(f"/proc/{pid}")
        pages = int((process / "statm").read_text().split()[1])
        files, threads = (len([*(process / kind).iterdir()]) for kind in ("fd", "task"))
        memory = pages * os.sysconf("SC_PAGE_SIZE")
        return cls(time.monotonic(), memory, int(objects.read_text()), files, threads)


@dataclass(frozen=True, slots=True)
class Slope:
    """How much a value changes in an hour, with the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float


def slope(times: Sequence[float], values: Sequence[float]) -> Slope:
    """Fits a line by least squares.

    Successive samples are alike, so that they count for less than the same number of independent ones: their number is
    reduced by the autocorrelation of the residuals (an AR(1) process).

    :param times: in seconds; three at least.
    """
    line = statistics.linear_regression(times, values)
    left = [value - line.slope * at - line.intercept for at, value in zip(times, values, strict=True)]
    squares = sum(each * each for each in left)
    count = len(times)
    correlation = sum(a * b for a, b in pairwise(left)) / squares if squares else 0.0
    correlation = min(max(correlation, 0.0), 0.98)
    independent = max(count * (1 - correlation) / (1 + correlation), LEAST_INDEPENDENT)
    mean = statistics.fmean(times)
    spread = sum((at - mean) ** 2 for at in times)
    # Both the squares and the spread are sums over all samples, and are scaled to the independent ones.
    variance = squares / count * independent / (independent - 2)
    error = math.sqrt(variance / (spread / count * independent))
    margin = student_975(independent - 2) * error
    return Slope(*(3600 * (line.slope + sign * margin) for sign in (0, -1, 1)))


def student_975(freedom: float) -> float:
    """Gives the 97.5 % quantile of Student's t distribution (Abramowitz and Stegun, 26.7.5), within 1 % of it.

    :param freedom: the degrees of freedom, three at least.
    """
    z = statistics.NormalDist().inv_cdf(0.975)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


async def run(load: Load, redis: Redis, objects: Path, watchers: int, warm_up_s: float) -> list[Sample]:
    """Runs the load, and gives the resources of the server after the warm-up."""
    tasks = [
        asyncio.create_task(keep_coming(load, kind))
        for kind, (share, _) in KINDS.items()
        for _ in range(max(1, round(share * watchers)))
    ]
    tasks.append(asyncio.create_task(publish(redis, load.end)))
    samples = []
    begin = time.monotonic() + warm_up_s
    while time.monotonic() < load.end:
        sample = await Sample.take(load.livefeed.pid, objects)
        if sample.at >= begin:
            samples.append(sample)
        tell = f"{load.end - sample.at:6.0f} s left: {sample.memory / 1e6:.1f} MB, {sample.objects:.0f} objects"
        print(f"{tell}, {sample.files:.0f} files, {sample.threads:.0f} threads", flush=True)
        await asyncio.sleep(SAMPLE_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return samples


def report(samples: Sequence[Sample], load: Load) -> bool:
    """Prints the results, and gives whether they are good enough."""
    times = [sample.at for sample in samples]
    slopes = {name: slope(times, [getattr(each, name) for each in samples]) for name in Sample.__slots__[1:]}
    for name, found in slopes.items():
        unit, scale = ("MB", 1e6) if name == "memory" else ("", 1.0)
        low, value, high = (each / scale for each in (found.low, found.value, found.high))
        print(f"{name}: {value:+.2f} {unit}/h, 95 % between {low:+.2f} and {high:+.2f}")
    for kind in KINDS:
        print(f"{kind}: {load.seen[kind]} {load.errors.get(kind, '')}")
    rising = [name for name in ("files", "threads", "objects") if slopes[name].low > 0]
    print(f"rising: {', '.join(rising) or 'nothing'}")
    silent = [kind for kind in KINDS if not load.seen[kind]]
    return not (load.errors or rising or silent) and slopes["memory"].high < MEMORY_LIMIT_BYTES


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--warm-up", type=float, default=900)
    parser.add_argument("--transport", choices=("fast", "twisted"), default="fast")
    options = parser.parse_args()
    os.environ["LIVEFEED_TEST_TRANSPORT"] = options.transport
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificate: DevelopmentCertificate = development_certificate(directory / "certs")
        redis = stack.enter_context(Redis(directory))
        redis.command("SET", "feed", b'{"n": 0, "districts": [0, 1, 2, 3, 4, 5, 6, 7]}')
        objects = directory / "objects"
        (directory / "sitecustomize.py").write_text(_SITECUSTOMIZE)
        environment = {"PYTHONPATH": f"{directory}:{Path.cwd()}", "SOAK_OBJECTS": str(objects)}
        os.environ.update(environment)
        livefeed = stack.enter_context(
            Livefeed(
                *("--transport", options.transport, "--source", redis.url("feed"), "--stale-after", "5"),
                directory=directory,
                certificate=certificate,
            )
        )
        load = Load(livefeed, livefeed.tls_context(), time.monotonic() + options.seconds)
        samples = asyncio.run(run(load, redis, objects, options.watchers, options.warm_up))
        good = report(samples, load)
        code = livefeed.terminate()
    print(f"exit code {code}")
    return 0 if good and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
