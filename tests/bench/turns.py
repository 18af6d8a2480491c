"""Servers with subscribers that take turns: while the pushes of one are measured, all others are paused.

Turns are short, so that the compared servers run in the same conditions.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from bisect import bisect_left
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import itemgetter
from statistics import median
from typing import TYPE_CHECKING, TypeVar

from tests.bench import load
from tests.bench.clients import Clients

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from tests.bench.clients import Demand
    from tests.bench.peers.server import Server

T = TypeVar("T")
Pair = TypeVar("Pair", bound="tuple[object, ...]")

SETTLED = 2.7
"""The number of times between two versions before the memory of subscribers is measured, and their server is paused for
the first time."""

RESUMED = 0.7
"""The part of the time between two versions from the first version of a server's turn until deliveries count: all
subscribers should have it by then."""

MORE_PERIODS = 2
"""The number of versions that are waited for at most, if not all subscribers have the first one in that time, as on a
machine with other work."""

DRAINED_S = 0.2
"""The seconds for which subscribers read the data that their server has sent when its turn ends."""


@dataclass
class Holder:
    """A server with its subscribers.

    :ivar demand: the subscribers.
    :ivar deliveries: of one version to all subscribers.
    :ivar clients: the process of the subscribers, from :meth:`settle` on.
    :ivar memory_bytes: the server's memory for each subscriber.
    :ivar rounds: the measurements, one for each turn.
    """

    server: Server
    demand: Demand
    deliveries: int
    clients: Clients = field(init=False)
    memory_bytes: float = 0
    rounds: list[load.Measured] = field(default_factory=list)

    def settle(self, stack: ExitStack, publish: Callable[[int], None], *, idle: int, period_s: float = 1) -> None:
        """Gives the server its subscribers, measures their memory, and pauses the server.

        :param stack: ends the subscribers.
        :param idle: the memory of the server without subscribers.
        """
        self.clients = stack.enter_context(Clients(self.server, self.demand))
        with publishing(publish, period_s):
            self.clients.run(SETTLED * period_s)
        self.memory_bytes = (self.server.memory_bytes() - idle) / self.demand.count
        self.server.pause()

    def take_turn(self, publish: Callable[[int], None], *, seconds: float, period_s: float = 1) -> load.Measured:
        """Gives the cost of one version every `period_s` seconds for `seconds` seconds."""
        server, clients = self.server, self.clients
        server.resume()
        with publishing(publish, period_s) as published:
            received = clients.run(RESUMED * period_s).count
            for _ in range(MORE_PERIODS):
                if received < self.deliveries:
                    received = clients.run(period_s).count
            before, first, started = server.cpu_seconds(), server.first_cpu_seconds(), time.monotonic()
            ran = clients.run(seconds)
            server.pause()
            elapsed, cpu = time.monotonic() - started, server.cpu_seconds() - before
            first = server.first_cpu_seconds() - first
            # Deliveries that are under way count, since their processor time does.
            drained = clients.run(DRAINED_S)
            # A server that is paused would not answer the publisher.
            server.resume()
        server.pause()
        done = ran.done() + drained.done()
        got = load.Measured(
            rate=len(done) / elapsed,
            cpu_us=cpu / max(len(done), 1) * 1e6,
            p50_ms=last_delivery(done, published, self.deliveries),
            first_ms=first / seconds * 1e3,
            wire_bytes=(ran.bytes + drained.bytes) / max(len(done), 1),
        )
        self.rounds.append(got)
        return got


@contextmanager
def publishing(publish: Callable[[int], None], period_s: float = 1) -> Iterator[list[float]]:
    """Publishes a new version now and every `period_s` seconds, and gives when."""
    stop, published = threading.Event(), list[float]()
    publisher = threading.Thread(target=_publish, args=(publish, period_s, stop, published), daemon=True)
    publisher.start()
    try:
        yield published
    finally:
        stop.set()
        publisher.join()


def _publish(publish: Callable[[int], None], period_s: float, stop: threading.Event, published: list[float]) -> None:
    number, start = 0, time.monotonic()
    # By the clock, since some servers answer the publisher only when all subscribers have been served.
    while not stop.wait(max(start + number * period_s - time.monotonic(), 0)):
        published.append(time.monotonic())
        publish(number)
        number += 1


def put(server: Server, path: Path, document: bytes) -> None:
    """Gives a server a new version, by its publisher's location, or as the file that it reads.

    livefeed is told by inotify that there is a new file, so that it, too, starts at once.
    """
    if server.publish is not None:
        server.publish(document)
        return
    scratch = path.with_suffix(".new")
    scratch.write_bytes(document)
    scratch.replace(path)


def alternating(server: Server) -> Callable[[int], None]:
    """Gives the publisher of the setting's document in two versions of the same length, by turns."""
    path = server.setting.document
    document = path.read_bytes()
    body, is_odd = document.strip(b" "), document.startswith(b" ")

    def publish(number: int) -> None:
        is_shifted = is_odd != (number % 2 == 0)
        put(server, path, (b" " * is_shifted + body).ljust(len(document)))

    return publish


def last_delivery(done: list[float], published: list[float], count: int) -> float:
    """Gives the median of the milliseconds from when a version was published to when the last subscriber had it."""
    spreads = []
    for start, end in pairwise([*published, math.inf]):
        first, behind = bisect_left(done, start), bisect_left(done, end)
        # Not those that were under way when the counting began or ended.
        if behind - first >= count * 0.98:
            spreads.append((done[behind - 1] - start) * 1000)
    return median(spreads) if spreads else 0.0


def rotated(those: Sequence[T], turn: int) -> list[T]:
    """Gives the servers of a row in the order of a turn: A B C, B C A, C A B.

    So no server is always the first of its row, or always after the same other one.
    """
    first = turn % max(len(those), 1)
    return [*those[first:], *those[:first]]


def rows_in_turn(able: Iterable[Pair], turn: int) -> list[Pair]:
    """Gives rows one after the other, and the servers of each in the order of a turn.

    :param able: rows with servers, in the order of the rows.
    """
    return [pair for _, group in groupby(able, key=itemgetter(0)) for pair in rotated(list(group), turn)]


def progress(*parts: object) -> None:
    """Prints a measurement."""
    *words, got = parts
    assert isinstance(got, load.Measured)
    print(
        f"{': '.join(map(str, words))}: {got.rate:,.0f}/s"
        + (f", {got.cpu_us:.1f} µs" if got.cpu_us else "")
        + (f", {got.core_percent:.2f} % of a core, {got.mbit_s:.1f} Mbit/s" if got.core_percent else "")
        + (f", p99 {got.p99_ms:.1f} ms" if got.p99_ms else "")
        + (f", {got.wire_bytes:,.0f} bytes each" if got.wire_bytes else "")
        + (f", {got.memory_bytes / 1024:.1f} KB each" if got.memory_bytes else "")
        + (f", {got.errors} errors" if got.errors else ""),
        file=sys.stderr,
        flush=True,
    )
