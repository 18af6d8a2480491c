"""Crowds that follow a document that does not change: what a server does for them all the same."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.bench import load
from tests.bench.clients import Clients, ClientsError, following
from tests.bench.following import DELTA_2
from tests.bench.peers.livefeed import Livefeed
from tests.bench.results import idle_title
from tests.bench.servers import KINDS
from tests.bench.turns import progress

if TYPE_CHECKING:
    from tests.bench.parts.part import Bench
    from tests.bench.peers.server import Server

SETTLED_S = 3
WINDOW_S = 12
"""The length of each measurement in seconds. Two of them have one ping of Centrifugo's for each subscriber, which come
every 25 s; livefeed's come every 100 s, and the first of them afterwards."""

WINDOWS = 2


class LivefeedOnChange(Livefeed):
    """livefeed that pushes a document only when it has changed."""

    def more_arguments(self) -> list[str]:
        return [*super().more_arguments(), "--push", "change"]


WAYS: dict[str, tuple[type[Server], str]] = {
    "livefeed, push = tick": (Livefeed, ""),
    "livefeed, push = tick, by v2": (Livefeed, DELTA_2),
    "livefeed, push = change": (LivefeedOnChange, ""),
    "livefeed, push = change, by v2": (LivefeedOnChange, DELTA_2),
}
"""The server of each way to follow livefeed, and the fields of the subscribers' handshakes."""


def measure(bench: Bench) -> None:
    """Measures each server alone, since a paused one would send its pings when it goes on."""
    count = max(bench.plan.subscribers)
    if not bench.plan.has(idle_title(count)):
        return
    others = {name: (KINDS[name].kind, "") for name in bench.names if _is_peer(name)}
    for name, (kind, fields) in (WAYS | others).items():
        measure_one(bench, name, kind, fields, count)


def _is_peer(name: str) -> bool:
    kind = KINDS[name].kind
    return KINDS[name].compared and "websocket" in kind.followed_by and not issubclass(kind, Livefeed)


def measure_one(bench: Bench, name: str, kind: type[Server], fields: str, count: int) -> None:
    """Measures a server with `count` subscribers in one way."""
    title = idle_title(count)
    with ExitStack() as stack:
        server = stack.enter_context(kind(name, bench.setting))
        if server.publish is not None:
            server.publish(bench.setting.document.read_bytes())
        time.sleep(1)
        free = server.memory_bytes()
        try:
            clients = stack.enter_context(
                Clients(server, following(server, "websocket", count, whole=1, fields=fields))
            )
        except ClientsError as error:
            print(f"left out: {title}: {error}", flush=True)
            return
        clients.run(SETTLED_S)
        memory = (server.memory_bytes() - free) / count
        for window in range(WINDOWS):
            before = server.cpu_seconds()
            ran = clients.run(WINDOW_S)
            got = load.Measured(
                core_percent=(server.cpu_seconds() - before) / ran.seconds * 100,
                mbit_s=ran.bytes * 8 / ran.seconds / 1e6,
                rate=ran.count / ran.seconds,
                memory_bytes=memory,
                errors=ran.errors,
            )
            bench.found.note(title, name, got, seconds=WINDOW_S)
            progress(f"window {window + 1}", title, name, got)
