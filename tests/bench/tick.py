"""The time of a tick on the reactor's thread: ``python -m tests.bench.tick [BYTES]`` prints it for one document.

The parts are those of the puller: the gate, and publishing, without the compression in a thread. A statement is
signed only with a signing key, and the patch is made only if a subscriber follows by delta. The last figure is the
whole tick, in a livefeed that pulls from a Redis with a delay.
"""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.task import Clock

from livefeed.document.codings import is_large
from livefeed.document.gate import check_document
from livefeed.document.history import DeltaForm
from livefeed.document.snapshot import Snapshot, make_large
from livefeed.feed.feed import Feed
from livefeed.process.signing import Signing
from livefeed.process.signing_keys import make_keys
from livefeed.tls.development import development_certificate
from tests.integration.harness import Livefeed, Redis
from tests.integration.store import Middle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROW_BYTES = 95
CHANGED = 50
"""One of `CHANGED` rows changes from tick to tick."""

TICKS = 30
REDIS_DELAY_S = 0.005
"""The delay in seconds of each command to the Redis."""


def main() -> None:
    """Runs the command."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    feed = Feed("feed", clock=Clock())
    signing = Signing(make_keys())
    taken: dict[str, list[float]] = {"gate": [], "publish": [], "sign": [], "patch": []}
    document = b""
    for document in documents(size):
        before = None if feed.snapshot is None else feed.snapshot.version
        taken["gate"].append(_time(lambda data=document: check_document(data, max_bytes=size * 2)))  # type: ignore[misc]
        # Which is done in a thread.
        made = make_large(document, feed.next_sequence()) if is_large(document) else None
        taken["publish"].append(_time(lambda data=document, made=made: _publish(feed, data, made)))  # type: ignore[misc]
        taken["sign"].append(_time(partial(_sign, signing, feed)))
        taken["patch"].append(_time(lambda version=before: feed.history.delta(DeltaForm.PATCH, version)))  # type: ignore[misc]
    print(
        f"a document of {len(document):,} bytes, of which 1 in {CHANGED} rows changes; milliseconds, median and best:"
    )
    for name, times in taken.items():
        print(f"  {name:8} {median(times[1:]) * 1000:6.2f} {min(times[1:]) * 1000:6.2f}")
    print("the reactor's thread each second, with a Redis that answers after 5 ms; milliseconds, median and best:")
    for name, interval, is_changing, subprotocols in (
        ("no tick", "3600", False, None),
        ("unchanged", "1", False, None),
        ("changed", "1", True, None),
        ("changed, with a subscriber", "1", True, []),
        ("changed, with one by delta", "1", True, ["livefeed.delta.v1"]),
    ):
        times = seconds(size, interval, subprotocols, is_changing=is_changing)
        print(f"  {name:26} {median(times) * 1000:6.2f} {min(times) * 1000:6.2f}")


def _publish(feed: Feed, data: bytes, made: Snapshot | None) -> None:
    feed.publish(made or Snapshot.of(data, feed.next_sequence()))


def _sign(signing: Signing, feed: Feed) -> None:
    assert feed.snapshot is not None
    signing.sign(feed.name, feed.snapshot, feed.state.value, feed.confirmed_at, feed.interval_s)


def documents(size: int) -> Iterator[bytes]:
    """Gives a document that changes a little each time."""
    draw = random.Random(1)
    rows: list[Any] = [
        {"name": f"District {number}", "counted": round(draw.random() * 100, 2), "votes": _votes(draw)}
        for number in range(size // ROW_BYTES)
    ]
    for _ in range(TICKS):
        for row in draw.sample(rows, max(len(rows) // CHANGED, 1)):
            row["votes"] = _votes(draw)
        yield msgspec.json.encode(rows)


def seconds(size: int, interval: str, subprotocols: list[str] | None, *, is_changing: bool) -> list[float]:
    """Gives the processor time, in seconds, that the thread of a livefeed's reactor took in each second.

    :param interval: from tick to tick.
    :param subprotocols: the subprotocols that a subscriber offers; ``None`` for no subscriber.
    """
    times = []
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(Redis(directory))
        middle = stack.enter_context(Middle(redis.port))
        middle.delay(REDIS_DELAY_S)
        given = documents(size)
        redis.command("SET", "results", next(given))
        livefeed = stack.enter_context(
            Livefeed(
                *("--source", f"redis://127.0.0.1:{middle.port}/0/results", "--interval", interval),
                directory=directory,
                certificate=development_certificate(directory / "certs"),
            )
        )
        subscriber = None
        if subprotocols is not None:
            subscriber = stack.enter_context(livefeed.websocket(compression=None, subprotocols=subprotocols or None))
        time.sleep(1.5)
        before = _thread_seconds(livefeed.pid)
        for document in given:
            if is_changing:
                redis.command("SET", "results", document)
            time.sleep(1)
            if subscriber is not None:
                subscriber.recv(timeout=5)
            now = _thread_seconds(livefeed.pid)
            times.append(now - before)
            before = now
    return times


def _thread_seconds(pid: int) -> float:
    """Gives the processor time of a process's first thread, which is the reactor's."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def _votes(draw: random.Random) -> dict[str, int]:
    return {party: draw.randrange(100_000) for party in "ABCDE"}


def _time(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
