"""We published zeros and nobody saw them: the story of ``docs/night/zeros.md``, command by command.

Six watchers look at each step: a poller, a poller behind nginx, an event stream, a WebSocket without a subprotocol, and
WebSockets with ``livefeed.delta.v1`` and ``livefeed.delta.v2``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.helpers.documentation import DOCS, code_block
from tests.helpers.event_client import EventSource
from tests.helpers.exact_patches import patched, read
from tests.helpers.item_client import ItemClient
from tests.integration.harness import HOST, TCP, WAIT_S, Polling, Redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed
    from tests.integration.proxies import Place

pytestmark = pytest.mark.peers

PAGE = "night/zeros.md"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Shown:
    """What one watcher shows at a moment.

    :ivar state: the state of the feed; ``None`` if the way to follow it tells none.
    :ivar document: the document; ``None`` if none is shown.
    :ivar facts: the members or fields that came along.
    """

    state: str | None
    document: Any
    facts: dict[str, Any] = field(default_factory=dict)


class Watcher(ABC):
    """A watcher in a thread of its own, which keeps everything that it was shown.

    :ivar seen: all of it, the oldest first.
    """

    def __init__(self) -> None:
        self.seen: list[Shown] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.has_ended = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.close()
        self._thread.join(WAIT_S)

    @property
    def name(self) -> str:
        return type(self).__name__

    def show(self, shown: Shown) -> None:
        with self._changed:
            self.seen.append(shown)
            self._changed.notify_all()

    def wait_for(self, wanted: Callable[[Shown], object]) -> Shown:
        """Gives the last thing that is shown, once it is as wanted."""
        with self._changed:
            is_so = self._changed.wait_for(lambda: bool(self.seen) and wanted(self.seen[-1]), WAIT_S)
            assert is_so, (self.name, self.seen[-3:])
            return self.seen[-1]

    def _run(self) -> None:
        with suppress(ConnectionClosed, httpx.HTTPError):
            self.follow()
        self.has_ended.set()

    @abstractmethod
    def follow(self) -> None:
        """Shows what comes until the line ends."""

    @abstractmethod
    def close(self) -> None:
        """Ends the line."""


class Poller(Watcher):
    """Polls, directly or through a cache."""

    def __init__(self, polling: Polling, name: str) -> None:
        super().__init__()
        self._polling, self._name, self._over = polling, name, False

    @property
    def name(self) -> str:
        return self._name

    def follow(self) -> None:
        while not self._over:
            answer = self._polling.wait_for(lambda _: True)
            document = json.loads(answer.body) if answer.status == 200 else None
            facts = {"status": answer.status, "cache": answer.headers.get("Cache-Control", "")}
            fields = {name.removeprefix("livefeed-"): value for name, value in answer.headers.items()}
            self.show(Shown(answer.state, document, {**fields, **facts}))

    def close(self) -> None:
        self._over = True


class Events(Watcher):
    """An event stream, read as the HTML standard says."""

    def __init__(self, livefeed: Livefeed) -> None:
        super().__init__()
        self._client = livefeed.new_client()

    def follow(self) -> None:
        source, state, document = EventSource(), None, None
        facts: dict[str, Any] = {}
        with self._client.stream("GET", "/feed.sse", timeout=WAIT_S) as response:
            assert response.status_code == 200
            for data in response.iter_bytes():
                before = len(source.events)
                source.feed(data)
                for kind, text, _ in source.events[before:]:
                    if kind == "state":
                        facts = json.loads(text)
                        state = facts["state"]
                        document = None if state == "withdrawn" else document
                    else:
                        document = json.loads(text)
                    self.show(Shown(state, document, facts))

    def close(self) -> None:
        self._client.close()


class Socket(Watcher):
    """A WebSocket.

    :param subprotocol: ``livefeed.delta.v1``, ``livefeed.delta.v2``, or empty.
    """

    def __init__(self, livefeed: Livefeed, subprotocol: str = "") -> None:
        super().__init__()
        self._subprotocol = subprotocol
        self._stack = ExitStack()
        options: dict[str, Any] = {"subprotocols": [subprotocol]} if subprotocol else {}
        self.socket = self._stack.enter_context(livefeed.websocket(**options))

    @property
    def name(self) -> str:
        return self._subprotocol or "WebSocket"

    def follow(self) -> None:
        document: Any = None
        items = ItemClient()
        for text in self.socket:
            if not self._subprotocol:
                self.show(Shown(None, json.loads(text)))
            elif self._subprotocol.endswith("v1"):
                message = read(text.encode() if isinstance(text, str) else text)
                if message["type"] == "snapshot":
                    document = message["data"]
                elif message["type"] == "patch":
                    document = patched(document, message["patch"])
                elif message["type"] == "state":
                    document = None
                self.show(Shown(message["state"], deepcopy(document), message))
            else:
                message = items.take(text)
                shown = items.items["/feed"].document
                self.show(Shown(message["state"], None if shown is None else json.loads(shown), message))

    def close(self) -> None:
        self._stack.close()


@dataclass
class Night:
    """The commands of the page, in a shell, and the watchers.

    :ivar watchers: those who are told the state.
    :ivar plain: the WebSocket without a subprotocol, which is told documents alone.
    """

    redis: Redis
    livefeed: Livefeed
    stack: ExitStack
    place: Place
    watchers: list[Watcher] = field(init=False)
    plain: Socket = field(init=False)
    blocks: Iterator[str] = field(default_factory=lambda: iter(commands()))

    def __post_init__(self) -> None:
        cache = self.place.nginx(self.livefeed.port)
        polling = self.stack.enter_context(Polling(self.livefeed))
        self.watchers = [
            Poller(polling, "poller"),
            Poller(self.place.polling(cache), "poller behind nginx"),
            Events(self.livefeed),
            Socket(self.livefeed, "livefeed.delta.v1"),
            Socket(self.livefeed, "livefeed.delta.v2"),
        ]
        self.plain = Socket(self.livefeed)
        for each in (*self.watchers, self.plain):
            self.stack.enter_context(each)

    def next(self, beginning: str) -> str:
        """Runs the next commands of the page, and gives their output."""
        block = next(self.blocks)
        assert block.startswith(beginning), block
        return shell(block, self.redis, self.livefeed.runtime_dir)

    def all_see(self, state: str, winners: dict[str, str] | None, votes: int | None = None) -> list[Shown]:
        """Waits until every watcher sees a state and a document, and gives what they see."""

        def is_so(shown: Shown) -> bool:
            if shown.state not in (None, state):
                return False
            if winners is None:
                return shown.document is None
            districts = {} if shown.document is None else {each["name"]: each for each in shown.document["districts"]}
            named = {name: each["winner"] for name, each in districts.items()}
            return named == winners and (votes is None or count_of(districts["North"]["votes"]) == votes)

        seen = [each.wait_for(is_so) for each in self.watchers]
        if winners is not None:
            self.plain.wait_for(is_so)
        return seen


def count_of(number: Any) -> int:
    """Gives a number that may have been read as its text."""
    return int(number[0] if isinstance(number, tuple) else number)


def commands() -> list[str]:
    """Gives the blocks of commands of the page."""
    return re.findall(r"^```sh\n(.*?)^```", (DOCS / PAGE).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def shell(block: str, redis: Redis, runtime_dir: Path) -> str:
    """Runs commands as a shell of an operator does, and gives their output."""
    output = []
    for line in block.splitlines():
        program, *arguments = shlex.split(line)
        if program == "redis-cli":
            output.append(str(redis.command(*arguments)))
            continue
        environment = {**os.environ, "LIVEFEED_RUNTIME_DIR": str(runtime_dir), "COLUMNS": "120"}
        done = subprocess.run(
            [BIN / program, *arguments], env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False
        )
        # The status of a feed that is not live has an exit code of its own.
        assert done.returncode in (0, 4), (line, done.stdout, done.stderr)
        output.append(done.stdout)
    return "\n".join(output)


def test_we_published_zeros_and_nobody_saw_them(start: Start, place: Place, tmp_path: Path) -> None:
    """Each command of the page has the effect that the page says, in the eyes of each kind of watcher."""
    first, good, changed = {"North": "Ada", "South": "Bob"}, 1250, {"North": "Ada", "South": "Cyd"}
    with Redis(tmp_path) as redis, ExitStack() as stack:
        blocks = iter(commands())
        shell(next(blocks), redis, tmp_path)
        settings = tmp_path / "zeros.toml"
        settings.write_text(code_block(PAGE, "toml").replace("127.0.0.1:6379", f"{HOST}:{redis.port}"))
        state_dir = tmp_path / "state"
        options = ("--config", str(settings), "--state-dir", str(state_dir), "--public-reasons", "true")
        livefeed = start(*options, listen=(TCP,))
        night = Night(redis, livefeed, stack, place, blocks=blocks)
        night.all_see("live", first, 1200)

        night.next('redis-cli set results \'{"counted":0')
        for each in night.all_see("held", first, 1200):
            reason = str(each.facts.get("reason", ""))
            assert "/districts/0/winner is null" in reason, each
            assert count_of(each.facts["waiting"]) >= 0, each
        asked = night.next("livefeed ctl status")
        assert "held" in asked, asked
        assert "winners" in asked, asked

        night.next("redis-cli set")
        night.all_see("live", first, good)

        night.next("redis-cli set")
        night.all_see("held", first, good)
        night.next("livefeed ctl release")
        night.all_see("live", first, 1190)

        night.next("livefeed ctl overlay set")
        for each in night.all_see("live", changed, 1190):
            assert "/districts/1/winner" in str(each.facts["overlay"]), each
        night.next("livefeed ctl overlay clear")
        for each in night.all_see("live", first, 1190):
            assert not each.facts.get("overlay"), each

        night.next("livefeed ctl withdraw")
        for each in night.all_see("withdrawn", None):
            if "status" in each.facts:
                assert (each.facts["status"], "no-store" in each.facts["cache"]) == (410, True), each
        assert night.plain.has_ended.wait(WAIT_S)
        night.next("livefeed ctl resume")
        night.plain = stack.enter_context(Socket(livefeed))
        night.all_see("live", first, 1190)

        night.next("livefeed ctl end")
        for each in night.all_see("ended", first, 1190):
            version = each.facts.get("version")
        with livefeed.new_client() as client:
            newest = client.get("/feed").headers["Livefeed-Version"]
            with client.stream("GET", "/feed.sse", headers={"Last-Event-ID": newest}) as again:
                assert (again.status_code, version) == (204, newest)

        # No watcher has seen a zero.
        for watcher in (*night.watchers, night.plain):
            for shown in watcher.seen:
                assert shown.document is None or count_of(shown.document["counted"]) >= 31, (watcher.name, shown)
        audited = [json.loads(line) for line in (state_dir / "audit.log").read_text("utf-8").splitlines()]
        done = [each["command"] for each in audited]
        assert done == ["release", "overlay", "overlay", "withdraw", "resume", "end"], done
        assert next(blocks, None) is None
