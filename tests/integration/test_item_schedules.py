"""A watcher of several feeds and parts on one connection of ``livefeed.delta.v2`` shows the newest bytes of each.

It follows a random schedule with a process as an operator starts it, over TLS: two files change, change back, are
missing, and are there again; items come and go; the watcher goes, and comes back on a WebSocket or an event stream
with the versions that it has.

- Each document that it shows has the SHA-256 that its message names (:class:`tests.helpers.item_client.ItemClient`).
- After each step it shows the newest version of each item, and its state.
- A change brings one message with a document or splices for each item that it changes, and none for the others.
- A watcher that comes back with the newest version of an item receives no document and no splices of it.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from websockets.typing import Subprotocol

from livefeed.delivery.websocket.handshake import DELTA_2
from tests.helpers.event_client import EventSource
from tests.helpers.item_client import ItemClient, ShownItem
from tests.helpers.waiting import wait_until
from tests.integration.harness import WAIT_S, WORKERS, Livefeed, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from livefeed.tls.development import DevelopmentCertificate

PATHS = ("/a", "/b", "/a/rows/0", "/a/rows/1", "/b/rows/1", "/b/c~1d")
ALWAYS = ("/a", "/b", "/b/c~1d")
"""The items that are there in every version: such an item can be that of the URL."""

NOWHERE = "/nowhere"
WAYS = ("websocket", "events")
LARGE = 9
CHANGES = ("document", "splices")


def row(number: int) -> bytes:
    """Gives a part of which little changes, in bytes that no serializer would make."""
    return '{{ "n":{}, "share" : 1.50,"name":"é😀\\u00e9"\t, "rest":"{}"}}'.format(
        number, "x" * (40_000 if number == LARGE else 300)
    ).encode()


def document(numbers: tuple[int, ...]) -> bytes:
    """Gives a document of rows."""
    return b'{"rows":[%s],\r\n "c/d": -0.10}\n' % b",\n".join(map(row, numbers))


def part_of(path: str, numbers: tuple[int, ...]) -> bytes | None:
    """Gives an item of a document; ``None`` if it has no such part."""
    _, _, *segments = path.split("/")
    if not segments:
        return document(numbers)
    if segments == ["c~1d"]:
        return b"-0.10"
    index = int(segments[1])
    return row(numbers[index]) if index < len(numbers) else None


class WebSocketLine:
    """A WebSocket."""

    def __init__(self, livefeed: Livefeed, query: str, name: str, stack: contextlib.ExitStack) -> None:
        self.socket = stack.enter_context(livefeed.websocket(name + query, subprotocols=[Subprotocol(DELTA_2)]))
        assert self.socket.subprotocol == DELTA_2

    def receive(self) -> str:
        """Gives the next message."""
        text = self.socket.recv(WAIT_S)
        assert isinstance(text, str)
        return text


class EventsLine:
    """An event stream."""

    def __init__(self, livefeed: Livefeed, query: str, name: str, stack: contextlib.ExitStack) -> None:
        client = stack.enter_context(livefeed.new_client())
        answer = stack.enter_context(client.stream("GET", f"{name}{query}", headers={"Accept": "text/event-stream"}))
        assert answer.status_code == 200
        self._chunks, self._source = answer.iter_bytes(), EventSource()

    def receive(self) -> str:
        """Gives the next message."""
        while not self._source.events:
            self._source.feed(next(self._chunks))
        return self._source.events.pop(0)[1]


@dataclass
class Play:
    """The watcher, and the files of two feeds."""

    livefeed: Livefeed
    directory: Path
    numbers: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"a": (0, 0), "b": (0, 0)})
    states: dict[str, str] = field(default_factory=lambda: {"a": "live", "b": "live"})
    client: ItemClient = field(default_factory=ItemClient)
    followed: list[str] = field(default_factory=lambda: ["/a"])
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _line: WebSocketLine | EventsLine | None = None
    _has_changed: bool = True  # whether something has happened that no message has told yet

    def __enter__(self) -> Self:
        for name in "ab":
            self.write(name)
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    # Steps

    def change(self, name: str, numbers: tuple[int, ...]) -> None:
        """Gives a feed another document, or the same one."""
        before, self.numbers[name], self.states[name] = self.numbers[name], numbers, "live"
        counts = self.counts()
        self.write(name)
        self._has_changed = True
        if self._line is not None:
            self.catch_up()
            for path in self.followed:
                old, new = (part_of(path, each) if path[1] == name else None for each in (before, numbers))
                due = counts[path] + (new is not None and old != new)
                assert self.counts()[path] == due, (path, self.client.items[path].kinds)

    def fail(self, name: str) -> None:
        """Takes the file of a feed away, once livefeed has its document."""
        if self._line is None and self.states[name] == "live":
            newest = document(self.numbers[name])
            wait_until(lambda: self.livefeed.http.get(f"/{name}").content == newest, f"{name} is not served")
        self.states[name] = "stale"
        (self.directory / f"{name}.json").unlink(missing_ok=True)
        self._has_changed = True
        if self._line is not None:
            self.catch_up()

    def follow(self, path: str) -> None:
        """Follows another item, or asks for one again with the version that the watcher has."""
        is_there = part_of(path, self.numbers[path[1]]) is not None
        is_new = path not in self.followed
        if is_there and is_new:
            self.followed.append(path)
        if not isinstance(self._line, WebSocketLine):
            self.come(1)
            return
        self._line.socket.send(json.dumps({"follow": path, "have": self.version_of(path)}))
        self._wait_for_turn()
        assert self.client.refused == ([(path, 404, 60_000)] if is_new and not is_there else [])
        self.client.refused.clear()
        self.catch_up()

    def unfollow(self, path: str) -> None:
        """Follows an item no more, unless it is the last."""
        if path not in self.followed or len(self.followed) == 1:
            return
        if isinstance(self._line, WebSocketLine):
            self._line.socket.send(json.dumps({"unfollow": path}))
            self._wait_for_turn()
        self.followed.remove(path)
        self.client.items.pop(path, None)
        if not isinstance(self._line, WebSocketLine):
            self.come(1)

    def go(self) -> None:
        """Ends the connection."""
        self._stack.close()
        self._line = None

    def come(self, way: int) -> None:
        """Comes back with the versions that the watcher has, on a connection of its own kind."""
        self.go()
        if self._has_changed:
            # In a document between the last one that was shown and the newest, a part may be missing.
            self._wait_until_served()
        # A part that is missing now would be refused.
        gone = [path for path in self.followed if part_of(path, self.numbers[path[1]]) is None]
        for path in gone:
            self.followed.remove(path)
            self.client.items.pop(path, None)
        own = next((path for path in self.followed if path in ALWAYS), None)
        if own is None:
            own = f"/{self.followed[0][1] if self.followed else 'a'}"
            self.followed.append(own)
        for path in self.followed:
            item = self.client.items.setdefault(path, ShownItem())
            if WORKERS:
                # Each worker cuts parts by itself: two may give the same part two sequences.
                item.sequence = (0, 0)
        self._connect(own, WAYS[way])
        # A worker may be behind, and so may livefeed if the files have changed since the last message.
        known = {path for path in self.followed if self._has_newest(path) and not self._has_changed and not WORKERS}
        counts = self.counts()
        self.catch_up()
        for path in known:
            assert self.counts()[path] == counts[path], (path, self.client.items[path].kinds)

    # Internals

    def _wait_until_served(self) -> None:
        """Waits until livefeed has the newest documents, except those that were taken away."""
        for name, numbers in self.numbers.items():
            if self.states[name] == "live":
                newest = document(numbers)
                wait_until(
                    lambda name=name, newest=newest: self.livefeed.http.get(f"/{name}").content == newest,  # type: ignore[misc]
                    f"{name} is not served",
                )

    def write(self, name: str) -> None:
        replace_file(self.directory / f"{name}.json", document(self.numbers[name]))

    def version_of(self, path: str) -> str | None:
        item = self.client.items.get(path)
        return None if item is None else item.version

    def counts(self) -> dict[str, int]:
        """Gives the number of documents and splices of each item so far."""
        items = self.client.items
        return {path: sum(kind in CHANGES for kind in items[path].kinds) for path in self.followed if path in items}

    def _connect(self, own: str, way: str) -> None:
        _, name, *segments = own.split("/")
        form = {"websocket": "ws", "events": "sse"}[way]
        path = "/".join([f"/{name}.{form}", *(quote(each.replace("~1", "/"), safe="") for each in segments)])
        parameters = ["delta=2"] if way == "events" else []
        if self.version_of(own):
            parameters.append(f"{'have' if way == 'websocket' else 'last-event-id'}={self.version_of(own)}")
        others = [f"{self.version_of(each) or ''}{each}" for each in self.followed if each != own]
        parameters += ["follow=" + quote(each, safe="") for each in others]
        make = WebSocketLine if way == "websocket" else EventsLine
        self._line = make(self.livefeed, "?" + "&".join(parameters), path, self._stack)

    def _receive(self) -> dict[str, Any]:
        assert self._line is not None
        text = self._line.receive()
        message: dict[str, Any] = json.loads(text)
        path, kind = message["path"], message["type"]
        if kind == "heartbeat" and path in self.followed and self.version_of(path) is None:
            # A heartbeat of the feed for its parts, from the time before the feed itself was followed.
            return message
        is_own = path in self.followed or kind in ("refused", "heartbeat")
        return self.client.take(text) if is_own else message

    def _wait_for_turn(self) -> None:
        """Waits until the server has read all messages of the watcher so far."""
        assert isinstance(self._line, WebSocketLine)
        self._line.socket.send(json.dumps({"follow": NOWHERE}))
        while (NOWHERE, 404, None) not in self.client.refused:
            self._receive()
        self.client.refused.remove((NOWHERE, 404, None))

    def _has_newest(self, path: str) -> bool:
        item = self.client.items.get(path)
        return item is not None and item.document == part_of(path, self.numbers[path[1]]) and item.version is not None

    def catch_up(self) -> None:
        """Waits until the newest version and state of each item are shown, and then for another tick of each feed."""
        deadline = time.monotonic() + WAIT_S

        def lags() -> list[str]:
            return [
                path
                for path in self.followed
                if path not in self.client.items
                or self.client.items[path].document != part_of(path, self.numbers[path[1]])
                or self.client.items[path].state != self.states[path[1]]
            ]

        while lags():
            assert time.monotonic() < deadline, lags()
            self._receive()
        waits = {path[1] for path in self.followed}
        while waits:
            assert time.monotonic() < deadline, waits
            message = self._receive()
            if message["type"] == "heartbeat" and message["path"].count("/") == 1:
                waits.discard(message["path"][1])
        self._has_changed = False


NUMBERS = st.lists(st.sampled_from((0, 0, 1, 2, LARGE)), max_size=3).map(tuple)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from("ab"), NUMBERS),
        st.tuples(st.just("change"), st.sampled_from("ab"), NUMBERS),
        st.tuples(st.just("fail"), st.sampled_from("ab")),
        st.tuples(st.just("follow"), st.sampled_from(PATHS)),
        st.tuples(st.just("follow"), st.sampled_from(PATHS)),
        st.tuples(st.just("unfollow"), st.sampled_from(PATHS)),
        st.tuples(st.just("come"), st.sampled_from((0, 1))),
        st.tuples(st.just("go")),
    ),
    min_size=3,
    max_size=10,
)
EVERYTHING: list[Any] = [
    *(("follow", path) for path in PATHS),
    *(("change", "a", (1, 0)), ("change", "b", (1, 2, 3)), ("change", "a", (1,)), ("change", "a", (1, LARGE))),
    *(("fail", "a"), ("change", "a", (1, LARGE)), ("go",), ("change", "b", (1, 1)), ("come", 0)),
    *(("come", 1), ("change", "a", (0, 0)), ("unfollow", "/a"), ("unfollow", "/b"), ("come", 0)),
]


@pytest.fixture(scope="module")
def served(
    certificate: DevelopmentCertificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Livefeed, Path]]:
    """A livefeed with two feeds, and the directory of their files."""
    directory = tmp_path_factory.mktemp("items")
    for name in "ab":
        replace_file(directory / f"{name}.json", document((0, 0)))
    lines = [f"[feeds.{name}]\nsource = 'file:{directory}/{name}.json'\ninterval = 0.05\n" for name in "ab"]
    (directory / "livefeed.toml").write_text("".join(lines))
    with Livefeed("--config", "livefeed.toml", directory=directory, certificate=certificate) as livefeed:
        yield livefeed, directory


class TestItemSchedules:
    """A few schedules; those of ``tests/delivery/test_items.py`` are many, in memory."""

    @given(st.sampled_from((0, 1)), STEPS)
    @example(0, EVERYTHING)
    @example(1, EVERYTHING)
    # A failing schedule takes a minute, so it is not made shorter.
    @settings(
        deadline=None,
        max_examples=8,
        phases=set(Phase) - {Phase.shrink, Phase.explain},
        suppress_health_check=[HealthCheck.too_slow],
    )
    def test_every_item_is_shown_as_it_is(self, served: tuple[Livefeed, Path], way: int, steps: list[Any]) -> None:
        """After each step, and without a byte or a message too many."""
        with Play(*served) as play:
            play.come(way)
            for name, *arguments in steps:
                getattr(play, name)(*arguments)
            play.come(1 - way)
