"""How long it takes from a ``SET`` in Redis to all subscribers, where changes are announced.

``python -m tests.bench.announced [--subscribers N] [--changes N] [--channel] [--tcp]`` starts a Redis, and a livefeed
whose tick is an hour, and prints the time from just before the ``SET`` to when each subscriber had the whole document.
It is read by one process of Python, whose own work is in the figures.
"""

from __future__ import annotations

import argparse
import selectors
import ssl
import tempfile
import time
from pathlib import Path

from livefeed.certificates import development_certificate
from tests.integration.harness import TCP, TLS, Livefeed, Redis, Wire

DOCUMENT_BYTES = 4096
PAUSE_S = 0.1
GIVE_UP_S = 5.0
READ_BYTES = 1 << 16


def measure(subscribers: int, changes: int, *, by_channel: bool, tcp: bool) -> list[float]:
    """Gives the times of all deliveries, in seconds, in order of their size."""
    with tempfile.TemporaryDirectory() as name, Redis(Path(name)) as redis:
        redis.command("CONFIG", "SET", "notify-keyspace-events", "K$")
        redis.command("SET", "results", document(0))
        livefeed = Livefeed(
            *("--source", f"{redis.url('results')}?announce={'news' if by_channel else 'keyspace'}"),
            *("--interval", "3600"),
            directory=Path(name),
            certificate=development_certificate(Path(name) / "certs"),
            listen=(TCP if tcp else TLS,),
        )
        with livefeed:
            livefeed.wait_for_log("changes are announced by")
            wires = [livefeed.subscriber_wire() for _ in range(subscribers)]
            for wire in wires:
                wire.frame()
            times = deliveries(redis, wires, changes, by_channel=by_channel)
            for wire in wires:
                wire.close()
    return sorted(times)


def deliveries(redis: Redis, wires: list[Wire], changes: int, *, by_channel: bool) -> list[float]:
    times: list[float] = []
    firsts: list[float] = []
    with selectors.EpollSelector() as selector:
        for wire in wires:
            wire.sock.setblocking(False)
            selector.register(wire.sock, selectors.EVENT_READ)
        for number in range(1, changes + 1):
            time.sleep(PAUSE_S)
            began = time.perf_counter()
            redis.command("SET", "results", document(number))
            if by_channel:
                redis.command("PUBLISH", "news", "")
            missing: dict[object, int] = {wire.sock: DOCUMENT_BYTES + 4 for wire in wires}
            while missing:
                assert time.perf_counter() - began < GIVE_UP_S, f"{len(missing)} have got nothing"
                for key, _ in selector.select(GIVE_UP_S):
                    sock = key.fileobj
                    missing[sock] -= taken(sock)
                    if missing[sock] <= 0:
                        del missing[sock]
                        times.append(time.perf_counter() - began)
            firsts.append(times[-len(wires)])
    print(f"the first subscriber: {1000 * sorted(firsts)[len(firsts) // 2]:.1f} ms as a rule")
    return times


def taken(sock) -> int:  # type: ignore[no-untyped-def]
    """Takes what there is, and gives its size. What is left, the next turn takes: each call is in the figures."""
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
    parser.add_argument("--channel", action="store_true", help="announce by PUBLISH instead of keyspace events")
    parser.add_argument("--tcp", action="store_true", help="without TLS")
    options = parser.parse_args()
    times = measure(options.subscribers, options.changes, by_channel=options.channel, tcp=options.tcp)
    by = "PUBLISH" if options.channel else "keyspace events"
    over = "TCP" if options.tcp else "TLS"
    print(f"{options.subscribers} subscribers over {over}, {options.changes} changes announced by {by}:")
    for part in (0.5, 0.9, 0.99, 0.999):
        print(f"  {100 * part:g} %: {1000 * times[int(part * (len(times) - 1))]:.1f} ms")
    print(f"  all: {1000 * times[-1]:.1f} ms")


if __name__ == "__main__":
    main()
