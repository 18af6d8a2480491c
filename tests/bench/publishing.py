"""How long it takes from a ``PUT`` to all subscribers, and how many writes and syncs the store does in a time.

``python -m tests.bench.publishing [--subscribers N] [--changes N] [--tcp]`` starts a livefeed with the source
``store:`` whose tick is an hour, and prints the time from just before the request to when each subscriber had the
whole document.
``--puts N --for SECONDS [--publishers N]`` then sends so many documents, evenly, and prints the times of the answers,
and the number of commits. One process of Python reads for all, and its own work is in the figures.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from livefeed.tls.development import development_certificate
from tests.bench.announced import deliveries, document
from tests.integration.harness import TCP, TLS, Livefeed

if TYPE_CHECKING:
    import httpx

PARTS = (0.5, 0.9, 0.99, 1.0)


def put(client: httpx.Client, number: int) -> None:
    """Stores the document with a number."""
    answer = client.put("/feeds/feed", content=document(number))
    assert answer.status_code in (200, 201), answer.text


def measure_puts(livefeed: Livefeed, *, puts: int, for_s: float, publishers: int) -> list[float]:
    """Stores documents evenly, and gives the times of the answers in seconds, in order of their size."""
    times: list[float] = []
    begin = time.perf_counter() + 0.5

    def publish(first: int) -> None:
        with livefeed.operator() as client:
            for number in range(first, puts, publishers):
                time.sleep(max(0.0, begin + number * for_s / puts - time.perf_counter()))
                began = time.perf_counter()
                put(client, number + 1000)
                times.append(time.perf_counter() - began)

    threads = [threading.Thread(target=publish, args=(first,)) for first in range(publishers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{puts} documents by {publishers} publishers in {time.perf_counter() - begin:.1f} s:")
    return sorted(times)


def show(times: list[float]) -> None:
    """Prints the parts of sorted times."""
    for part in PARTS:
        print(f"  {100 * part:g} %: {1000 * times[int(part * (len(times) - 1))]:.1f} ms")


def main() -> None:
    """Measures as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--puts", type=int, default=0)
    parser.add_argument("--for", type=float, default=60.0, dest="for_s")
    parser.add_argument("--publishers", type=int, default=8)
    parser.add_argument("--tcp", action="store_true", help="without TLS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        livefeed = Livefeed(
            *("--source", "store:", "--state-dir", f"{name}/state", "--interval", "3600"),
            directory=Path(name),
            certificate=development_certificate(Path(name) / "certs"),
            listen=(TCP if options.tcp else TLS,),
            live=False,
        )
        with livefeed, livefeed.operator() as client:
            put(client, 0)
            wires = [livefeed.subscriber_wire() for _ in range(options.subscribers)]
            for wire in wires:
                wire.frame()
            if wires:
                times = deliveries(lambda number: put(client, number), wires, options.changes)
                print(f"{len(wires)} subscribers, {options.changes} documents by PUT:")
                show(sorted(times))
            for wire in wires:
                wire.close()
            if options.puts:
                show(measure_puts(livefeed, puts=options.puts, for_s=options.for_s, publishers=options.publishers))
                (stored,) = client.get("/feeds").json()
                print(f"  {stored['write']} writes with {stored['commits']} commits since the start")


if __name__ == "__main__":
    main()
