"""How long it takes from a write to all subscribers, where the store announces its changes.

``python -m tests.bench.announced [--subscribers N] [--changes N] [--by WAY] [--tcp]`` starts a store, and a livefeed
whose tick is an hour. It prints the time from just before the write to when each subscriber had the whole document. One
process of Python reads for all of them, and its own work is in the figures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import selectors
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from livefeed.tls.development import development_certificate
from tests.integration.harness import TCP, TLS, Livefeed, Redis, Wire, replace_file
from tests.integration.mongo_replica_set import ReplicaSet

DOCUMENT_BYTES = 4096
PAUSE_S = 0.1
GIVE_UP_S = 5.0
READ_BYTES = 1 << 16


Write = Callable[[int], object]


@contextlib.contextmanager
def keyspace(directory: Path) -> Iterator[tuple[str, Write]]:
    """Gives the source, and a function that writes the document with a number."""
    with Redis(directory) as redis:
        redis.command("CONFIG", "SET", "notify-keyspace-events", "K$")
        yield (
            f"{redis.url('results')}?announce=keyspace",
            lambda number: redis.command("SET", "results", document(number)),
        )


@contextlib.contextmanager
def publish(directory: Path) -> Iterator[tuple[str, Write]]:
    """As :func:`keyspace`."""
    with Redis(directory) as redis:

        def write(number: int) -> None:
            redis.command("SET", "results", document(number))
            redis.command("PUBLISH", "news", "")

        yield f"{redis.url('results')}?announce=news", write


@contextlib.contextmanager
def stream(_: Path) -> Iterator[tuple[str, Write]]:
    """As :func:`keyspace`. The double of MongoDB runs in this process, and its work is in the figures, too."""
    with ReplicaSet({}) as replica_set:
        yield replica_set.url(), lambda number: replica_set.change(json.loads(document(number)))


def file(directory: Path, *, write: Callable[[Path, bytes], object]) -> Iterator[tuple[str, Write]]:
    """As :func:`keyspace`."""
    path = directory / "data" / "document.json"
    path.parent.mkdir()
    yield f"file:{path}", lambda number: write(path, document(number))


BY = {
    "keyspace": keyspace,
    "publish": publish,
    "stream": stream,
    "rename": contextlib.contextmanager(partial(file, write=replace_file)),
    "rewrite": contextlib.contextmanager(partial(file, write=Path.write_bytes)),
}


def measure(subscribers: int, changes: int, *, by: str, tcp: bool) -> list[float]:
    """Gives the times of all deliveries, in seconds, in order of their size."""
    with tempfile.TemporaryDirectory() as name, BY[by](Path(name)) as (source, write):
        write(0)
        livefeed = Livefeed(
            *("--source", source, "--interval", "3600"),
            directory=Path(name),
            certificate=development_certificate(Path(name) / "certs"),
            listen=(TCP if tcp else TLS,),
        )
        with livefeed:
            if by in ("keyspace", "publish", "stream"):
                livefeed.wait_for_log("changes are announced by|reports changes")
            wires = [livefeed.subscriber_wire() for _ in range(subscribers)]
            for wire in wires:
                wire.frame()
            times = deliveries(write, wires, changes)
            for wire in wires:
                wire.close()
    return sorted(times)


def deliveries(write: Write, wires: list[Wire], changes: int) -> list[float]:
    times: list[float] = []
    firsts: list[float] = []
    with selectors.EpollSelector() as selector:
        for wire in wires:
            wire.sock.setblocking(False)
            selector.register(wire.sock, selectors.EVENT_READ)
        for number in range(1, changes + 1):
            time.sleep(PAUSE_S)
            began = time.perf_counter()
            write(number)
            missing: dict[object, int] = {wire.sock: DOCUMENT_BYTES + 4 for wire in wires}
            while missing:
                assert time.perf_counter() - began < GIVE_UP_S, f"{len(missing)} have got nothing"
                for key, _ in selector.select(GIVE_UP_S):
                    sock, size = key.fileobj, taken(key.fileobj)
                    # A subscriber that has the whole version may be sent a ping.
                    if sock in missing:
                        missing[sock] -= size
                        if missing[sock] <= 0:
                            del missing[sock]
                            times.append(time.perf_counter() - began)
            firsts.append(times[-len(wires)])
    print(f"the first subscriber: {1000 * sorted(firsts)[len(firsts) // 2]:.1f} ms as a rule")
    return times


def taken(sock) -> int:  # type: ignore[no-untyped-def]
    """Reads the available data, and gives its size. The next turn reads the rest: each call is in the figures."""
    try:
        return len(sock.recv(READ_BYTES))
    except (BlockingIOError, ssl.SSLWantReadError):
        return 0


def document(number: int) -> bytes:
    return (b'{"n":%d,"pad":"' % number).ljust(DOCUMENT_BYTES - 2, b"x") + b'"}'


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--by", choices=BY, default="keyspace", help="how the changes are announced")
    parser.add_argument("--tcp", action="store_true", help="without TLS")
    options = parser.parse_args()
    times = measure(options.subscribers, options.changes, by=options.by, tcp=options.tcp)
    over = "TCP" if options.tcp else "TLS"
    print(f"{options.subscribers} subscribers over {over}, {options.changes} changes announced by {options.by}:")
    for part in (0.5, 0.9, 0.99, 0.999):
        print(f"  {100 * part:g} %: {1000 * times[int(part * (len(times) - 1))]:.1f} ms")
    print(f"  all: {1000 * times[-1]:.1f} ms")


if __name__ == "__main__":
    main()
