"""Several feeds in one process: each is served as if it were alone, and none is hurt by another."""

from __future__ import annotations

import json
import re
import signal
import time
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.helpers.item_client import ItemClient
from tests.helpers.waiting import wait_until
from tests.integration.harness import (
    HOST,
    TCP,
    WAIT_S,
    WORKERS,
    Livefeed,
    assert_soon,
    close_code,
    dead_port,
    handshake,
    replace_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from websockets.sync.client import ClientConnection

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

pytestmark = pytest.mark.processes

A, B = "https://a.example", "https://b.example"
RESULTS, BOARD = b'{"count": 1.50, "parts": [10, 20]}', b'{"trains": ["08:15"]}'
FILE = """
interval = 0.2

[feeds.night]
source = "demo:"
interval = 1

[feeds.results]
source = "file:results.json"
allow_origin = ["https://a.example"]
push = "change"

[feeds.board]
source = "file:data/board.json"
allow_origin = ["https://b.example"]
max_subscribers = 2
"""


def serve(start: Callable[..., Livefeed], directory: Path) -> Livefeed:
    """Starts a server of the demo and of two files, that is told so by a file in another folder than it runs in."""
    folder = directory / "etc"
    (folder / "data").mkdir(parents=True)
    replace_file(folder / "results.json", RESULTS)
    replace_file(folder / "data" / "board.json", BOARD)
    (folder / "livefeed.toml").write_text(FILE)
    livefeed = start("--config", "etc/livefeed.toml", live=False)
    for name in ("night", "results", "board"):
        livefeed.wait_for_log(f'feed "{name}" is live')
        livefeed.answer_in_state("live", f"/{name}")
    return livefeed


@pytest.fixture
def livefeed(start: Start, tmp_path: Path) -> Livefeed:
    """A server of the test's own, whose files it may change."""
    return serve(start, tmp_path)


@pytest.fixture(scope="module")
def untouched(certificate: DevelopmentCertificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Livefeed]:
    """A server for the tests that only read."""
    directory = tmp_path_factory.mktemp("feeds")
    with ExitStack() as stack:

        def start(*options: str, live: bool) -> Livefeed:
            one = Livefeed(*options, directory=directory, certificate=certificate, live=live)
            return stack.enter_context(one)

        yield serve(start, directory)


def listed(livefeed: Livefeed) -> dict[str, dict[str, Any]]:
    """Gives the list's entries by their names."""
    return {feed["name"]: feed for feed in livefeed.http.get("/-/feeds.json").json()["feeds"]}


def first_event(livefeed: Livefeed, path: str) -> tuple[str, bytes]:
    """Gives the content type of a stream, and the data of its first event behind the state.

    A worker refuses streams of a limited feed until it has places.
    """
    found: list[tuple[str, bytes]] = []

    def is_accepted() -> bool:
        with livefeed.new_client() as client, client.stream("GET", path) as response:
            for line in response.iter_lines():
                if line.startswith("data: ") and '"state"' not in line:
                    found.append((response.headers["Content-Type"], line.removeprefix("data: ").encode()))
                    break
        return bool(found) or not WORKERS

    wait_until(is_accepted, "the streams end without an event")
    assert found, "the stream ended without an event"
    return found[0]


def admitted(livefeed: Livefeed, path: str, **options: Any) -> ClientConnection:
    """Gives a subscriber, also of a feed with a limit: a worker refuses those until the parent has given it places."""
    admitted: list[ClientConnection] = []

    def is_admitted() -> bool:
        try:
            admitted.append(livefeed.websocket(path, **options))
        except InvalidStatus as refusal:
            if not WORKERS or refusal.response.status_code != 503:
                raise
        return bool(admitted)

    wait_until(is_admitted, livefeed.log)
    return admitted[0]


def test_each_is_polled(untouched: Livefeed) -> None:
    """Each feed has its own path, in all forms, with the fields that it would have alone."""
    for path, document in (("/results", RESULTS), ("/results.json", RESULTS), ("/board", BOARD)):
        response = untouched.http.get(path)
        assert (response.status_code, response.content) == (200, document)
        assert response.headers["Livefeed-State"] == "live"
        again = untouched.http.get(path, headers={"If-None-Match": response.headers["ETag"]})
        assert again.status_code == 304
    assert untouched.http.get("/night").json()["title"]
    assert untouched.http.get("/feed").status_code == 404


def test_each_has_parts(untouched: Livefeed) -> None:
    """Each feed has its own parts, on every transport."""
    assert untouched.http.get("/results/parts/1").content == b"20"
    assert untouched.http.get("/board/trains/0").content == b'"08:15"'
    assert untouched.http.get("/board/parts/1").status_code == 404
    assert first_event(untouched, "/results.sse/parts") == ("text/event-stream", b"[10, 20]")
    with untouched.websocket("/results/parts/0") as subscriber:
        assert subscriber.recv(timeout=WAIT_S) == "10"


def test_each_is_pushed(livefeed: Livefeed, tmp_path: Path) -> None:
    """Each feed pushes on WebSockets with and without deltas, events and long polls, at its own ticks only."""
    assert first_event(livefeed, "/board.sse") == ("text/event-stream", BOARD)
    etag = livefeed.http.get("/results").headers["ETag"]
    with ExitStack() as stack:
        path = "/results.ws?follow=/board/trains/0"
        items = stack.enter_context(livefeed.websocket(path, subprotocols=["livefeed.delta.v2"]))
        other = stack.enter_context(admitted(livefeed, "/board"))
        followed = ItemClient()
        while len(followed.items) < 2 or not followed.pulses:
            if followed.take(items.recv(timeout=WAIT_S))["type"] == "refused":
                # A worker refuses followers of a feed with a limit until the parent has given it places, which may take
                # two minutes. One message in a second is never too many.
                assert WORKERS
                time.sleep(1)
                items.send('{"follow":"/board/trains/0"}')
        # Not before: each of them would be sent heartbeats and versions meanwhile.
        plain = stack.enter_context(livefeed.websocket("/results.ws"))
        delta = stack.enter_context(livefeed.websocket("/results.ws", subprotocols=["livefeed.delta.v1"]))
        night = stack.enter_context(livefeed.websocket("/night.ws"))
        waiting = stack.enter_context(livefeed.wire())
        assert plain.recv(timeout=WAIT_S) == RESULTS.decode()
        assert json.loads(delta.recv(timeout=WAIT_S))["data"] == json.loads(RESULTS)
        items.send('{"follow":"/night"}')
        while len(followed.items) < 3:
            followed.take(items.recv(timeout=WAIT_S))
        assert followed.items["/results"].document == RESULTS
        assert followed.items["/board/trains/0"].document == b'"08:15"'
        assert other.recv(timeout=WAIT_S) == BOARD.decode()
        assert json.loads(night.recv(timeout=WAIT_S))["title"]
        waiting.send(f"GET /results HTTP/1.1\r\nHost: a\r\nPrefer: wait=30\r\nIf-None-Match: {etag}\r\n\r\n".encode())
        replace_file(tmp_path / "etc" / "results.json", b'{"count": 2.50}')
        assert plain.recv(timeout=WAIT_S) == '{"count": 2.50}'
        while "data" not in (message := json.loads(delta.recv(timeout=WAIT_S))):
            assert message["type"] == "heartbeat"
        assert message["data"] == {"count": 2.5}
        while followed.items["/results"].document != b'{"count": 2.50}':
            followed.take(items.recv(timeout=WAIT_S))
        response = waiting.response()
        assert (response.status, response.body) == (200, b'{"count": 2.50}')
        # Each tick, as a sign of life, and never another feed's document.
        for _ in range(3):
            assert other.recv(timeout=WAIT_S) == BOARD.decode()


def test_origins_differ(untouched: Livefeed) -> None:
    """A page may read and follow the feeds that its origin is allowed, and those alone."""
    for path, origin, allowed in (
        ("/night", A, "*"),
        ("/results", A, A),
        ("/results", B, None),
        ("/board", B, B),
        ("/board", A, None),
        ("/-/feeds.json", A, None),
    ):
        response = untouched.http.get(path, headers={"Origin": origin})
        assert response.status_code == 200
        assert response.headers.get("Access-Control-Allow-Origin") == allowed, (path, origin)
    for path, origin in (("/night.ws", A), ("/results.ws", A), ("/results/parts", A), ("/board.ws", B)):
        with admitted(untouched, path, origin=origin) as subscriber:
            assert subscriber.recv(timeout=WAIT_S)
    for path, origin in (("/results.ws", B), ("/results/parts", B), ("/board.ws", A)):
        with pytest.raises(InvalidStatus) as refusal:
            untouched.websocket(path, origin=origin)
        assert refusal.value.response.status_code == 403


def test_one_that_fails_hurts_no_other(livefeed: Livefeed, tmp_path: Path) -> None:
    """It alone is stale, and comes back by itself."""
    document = tmp_path / "etc" / "results.json"
    start = livefeed.mark()
    document.unlink()
    livefeed.wait_for_log('feed "results" is stale: .*No such file', start=start)
    livefeed.answer_in_state("stale", "/results")
    assert {name: feed["state"] for name, feed in listed(livefeed).items()} == {
        "night": "live",
        "results": "stale",
        "board": "live",
    }
    for path, state in (("/results", "stale"), ("/results/parts", "stale"), ("/board", "live"), ("/night", "live")):
        response = livefeed.http.get(path)
        assert (response.status_code, response.headers["Livefeed-State"]) == (200, state)
    assert livefeed.http.get("/results").content == RESULTS
    with admitted(livefeed, "/board.ws") as other:
        for _ in range(3):
            assert other.recv(timeout=WAIT_S) == BOARD.decode()
    replace_file(document, b"[3]")
    assert livefeed.answer_in_state("live", "/results").content == b"[3]"
    assert len(re.findall('feed "(board|night)" is ', livefeed.log(start))) == 0


def test_one_whose_source_is_away_from_the_start(start: Start, tmp_path: Path) -> None:
    """It is answered 503, the other is served, and nothing shows its password."""
    with dead_port() as port:
        away = f"redis://u:hush@{HOST}:{port}/0/k"
        (tmp_path / "a.toml").write_text(f"[feeds.away]\nsource = '{away}'\n[feeds.night]\nsource = 'demo:'")
        livefeed = start("--config", "a.toml", live=False, listen=(TCP,))
        livefeed.wait_for_log('feed "away" is (?:still )?stale: .* cannot connect: ')
        livefeed.wait_for_log('feed "night" is live')
        livefeed.answer_in_state("live", "/night")
        response = livefeed.http.get("/away")
    assert (response.status_code, response.headers["Livefeed-State"]) == (503, "stale")
    assert response.headers["Retry-After"] == "1"
    assert livefeed.http.get("/night").status_code == 200
    feeds = listed(livefeed)
    assert (feeds["away"]["version"], feeds["away"]["at"]) == (None, None)
    assert livefeed.terminate() == 0
    assert "hush" not in livefeed.log()


def test_the_list(untouched: Livefeed) -> None:
    """The list is a page with links to the others, and JSON that agrees with the feeds' own answers."""
    page = untouched.http.get("/")
    assert page.headers["Content-Type"].startswith("text/html")
    links = re.findall(r'href="([a-z]+\.html)"', page.text)
    assert links == ["night.html", "results.html", "board.html"]
    for link in links:
        assert f'data-feed="{link.removesuffix(".html")}"' in untouched.http.get(f"/{link}").text
    feeds = listed(untouched)
    assert list(feeds) == ["night", "results", "board"]
    for feed in feeds.values():
        assert feed["state"] == "live"
        assert untouched.http.get(feed["path"]).status_code == 200
    assert (feeds["night"]["interval_s"], feeds["results"]["interval_s"]) == (1.0, 0.2)
    results = untouched.http.get("/results")
    assert results.headers["Livefeed-Version"] == feeds["results"]["version"]
    assert results.headers["Livefeed-Sequence"] == feeds["results"]["sequence"]
    assert "the list of the 3 feeds https://localhost:" in untouched.log()


def test_the_list_follows_the_feeds(livefeed: Livefeed, tmp_path: Path) -> None:
    """A change of state is in it at once, though answers are given again for a while."""
    with livefeed.wire() as wire:

        def ask(method: str = "GET", *fields: str) -> Any:
            wire.send("\r\n".join([f"{method} /-/feeds.json HTTP/1.1", "Host: a", *fields, "", ""]).encode())
            return wire.response(method)

        for _ in range(3):
            assert [feed["state"] for feed in json.loads(ask().body)["feeds"]] == ["live"] * 3
        assert ask("HEAD").headers["Content-Length"]
        start = livefeed.mark()
        (tmp_path / "etc" / "data" / "board.json").unlink()
        livefeed.wait_for_log('feed "board" is stale', start=start)

        def states() -> list[str]:
            return [feed["state"] for feed in json.loads(ask().body)["feeds"]]

        assert_soon(lambda: states() == ["live", "live", "stale"], states)
        assert ask("POST").status == 405


def test_subscribers_of_one_are_limited(livefeed: Livefeed) -> None:
    """One too many is told when to come back, whichever way; the other feeds have room."""
    with admitted(livefeed, "/board.ws"), admitted(livefeed, "/board/trains") as second:
        assert second.recv(timeout=WAIT_S) == '["08:15"]'
        for path in ("/board.sse", "/board.sse/trains"):
            response = livefeed.http.get(path, headers={"Origin": B})
            assert (response.status_code, response.headers["Content-Type"]) == (200, "text/event-stream")
            assert response.text.startswith("retry: ")
            assert response.headers["Access-Control-Allow-Origin"] == B
        with livefeed.wire() as wire:
            wire.send(handshake("/board.ws"))
            refusal = wire.response()
            assert (refusal.status, refusal.headers["Retry-After"]) == (503, "10")
        assert livefeed.http.get("/board").status_code == 200
        with livefeed.websocket("/results.ws"):
            pass
        second.close()
        with admitted(livefeed, "/board.ws") as third:
            assert third.recv(timeout=WAIT_S) == BOARD.decode()


def test_all_are_let_go_of(livefeed: Livefeed) -> None:
    """SIGTERM ends the subscribers and streams of every feed, and livefeed with exit code 0."""
    with (
        livefeed.websocket("/night.ws") as night,
        livefeed.websocket("/results/parts") as part,
        livefeed.new_client() as client,
        ExitStack() as stack,
    ):
        lines: Iterator[str] = iter(())

        def is_admitted() -> bool:
            # With workers, the places of a feed come to the worker that needs them after a while.
            nonlocal lines
            lines = stack.enter_context(client.stream("GET", "/board.sse")).iter_lines()
            assert next(lines).startswith("retry: ")
            return not next(lines).startswith(":")

        wait_until(is_admitted, "each stream is refused", 3 * WAIT_S)
        livefeed.process.signal(signal.SIGTERM)
        assert [close_code(subscriber) for subscriber in (night, part)] == [1001, 1001]
        # The stream ends in an orderly way, or this would raise.
        assert not [line for line in lines if not re.match("(id|data|event|retry): |$", line)]
    assert livefeed.process.wait() == 0


def test_many_feeds(start: Start, tmp_path: Path) -> None:
    """The highest number that is allowed; their first pulls are spread over a second."""
    tables = []
    for number in range(64):
        (tmp_path / f"{number}.json").write_text(f"[{number}]")
        tables.append(f"[feeds.f{number}]\nsource = 'file:{number}.json'\n")
    (tmp_path / "livefeed.toml").write_text("\n".join(["interval = 3600", *tables]))
    livefeed = start("--config", "livefeed.toml", live=False, listen=(TCP,))
    livefeed.process.wait_for(r'feed "f\d+" is live', count=64)
    livefeed.answer_in_state("live", "/f63")
    documents = [livefeed.http.get(f"/f{number}").json() for number in range(64)]
    assert documents == [[number] for number in range(64)]
    # No timer fires early, however busy the machine is. The first may be late: a parent starts its workers then.
    first, last = (datetime.fromisoformat(listed(livefeed)[name]["at"]) for name in ("f0", "f63"))
    assert (last - first).total_seconds() > (0.1 if WORKERS else 0.5)
    assert livefeed.terminate() == 0


def test_one_feed_has_the_same_paths(start: Start) -> None:
    """Its page is at / and at its own path, and the list has it alone."""
    livefeed = start("--feed", "results", listen=(TCP,))
    assert livefeed.http.get("/").content == livefeed.http.get("/results.html").content
    assert list(listed(livefeed)) == ["results"]
    assert livefeed.http.get("/feed.html").status_code == 404
