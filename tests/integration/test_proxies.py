"""Events through nginx, Varnish, HAProxy and Caddy while livefeed is away.

Their configurations are those of ``docs/howto/proxies/index.md`` and ``docs/howto/proxies/caddy.md``.
"""

from __future__ import annotations

import re
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import websockets.sync.client
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.support.ui import WebDriverWait

from tests.helpers.threaded_server import ThreadedServer
from tests.integration.harness import HOST, TCP, WAIT_S, free_port, replace_file

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

    from tests.integration.conftest import Start
    from tests.integration.proxies import Cache, Place

pytestmark = pytest.mark.peers

EVENTS = {"Accept": "text/event-stream"}
STREAMS: tuple[tuple[str, dict[str, str]], ...] = (
    ("/feed.sse", {}),
    ("/feed.sse/a/b.json?last-event-id=x", {}),
    ("/other.sse?delta=1", EVENTS),
    ("/feed", EVENTS),
    ("/feed/a.json", EVENTS),
)
POLLS: tuple[tuple[str, dict[str, str]], ...] = (
    ("/feed", {}),
    ("/feed/a.sse", {}),
    ("/feed?feed.sse", {}),
    ("/feed.json", EVENTS),
    ("/feed.json/a.sse", EVENTS),
    ("/feed", {"Prefer": "wait=5", "If-None-Match": '"x"'}),
)

SOON = {
    "nginx": {"proxy_connect_timeout 1s;": "proxy_connect_timeout 1s; proxy_read_timeout 1s;"},
    "varnish": {".connect_timeout = 1s;": ".connect_timeout = 1s; .first_byte_timeout = 1s;"},
    "haproxy": {"timeout server 60s": "timeout server 1s"},
    "caddy": {"response_header_timeout 60s": "response_header_timeout 1s"},
}
"""Has each give up sooner on a livefeed that hangs; it would take a minute, for which a stream may be silent."""


def hang_up(sock: socket.socket) -> None:
    """Ends a connection when something is said."""
    sock.recv(65536)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file that livefeed follows."""
    path = tmp_path / "document.json"
    replace_file(path, b'{"n": 0}')
    return path


@pytest.fixture(params=["not there", "hangs", "hangs up"])
def away(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a livefeed that does not answer, in one of the ways in which a process does not."""
    server = ThreadedServer(hang_up)
    try:
        if request.param == "not there":
            server.close()
        elif request.param == "hangs up":
            server.start()
        yield server.port
    finally:
        server.close()


def assert_refused(proxy: Cache, path: str, fields: dict[str, str]) -> int:
    """Fails unless a stream is refused so that an EventSource comes back; gives after how many milliseconds."""
    response = proxy.http.get(path, headers=fields)
    assert response.status_code == 200, (proxy.kind, path)
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-store, no-transform"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    match = re.fullmatch(r"retry: (\d+)\n(?:: see /-/problems/[a-z-]+\n)?", response.text)
    assert match is not None, response.text
    return int(match[1])


class TestRefusing:
    """An EventSource gives up for good after an error, and is told when to come back in its place."""

    @pytest.mark.parametrize("kind", ["nginx", "varnish", "haproxy", "caddy"])
    def test_streams_and_nothing_else(self, place: Place, away: int, kind: str) -> None:
        """While livefeed is away, streams are told a delay and polls get an error. Clients do not return together."""
        proxy = getattr(place, kind)(away, SOON[kind])
        # Each takes a second, where livefeed hangs.
        with ThreadPoolExecutor(len(POLLS)) as pool:
            polls = [pool.submit(proxy.http.get, path, headers=fields) for path, fields in POLLS]
            times = [*pool.map(lambda stream: assert_refused(proxy, *stream), STREAMS)]
        for poll in polls:
            assert poll.result().status_code in (502, 503, 504), poll.result().url
            assert "retry:" not in poll.result().text
        # Longer than a restart.
        assert 6000 <= min(times) < max(times) <= 9000

    def test_document_is_still_served(self, place: Place, start: Start, path: Path) -> None:
        """A cache serves pollers, and refuses streams without a request for any document."""
        livefeed = start("--source", f"file:{path}", "--interval", "0.2", listen=(TCP,))
        caches = place.each(livefeed.port)
        for cache in caches:
            assert cache.http.get("/feed").status_code == 200
        livefeed.process.signal(signal.SIGKILL)
        livefeed.process.wait()
        for cache in caches:
            assert_refused(cache, "/feed", EVENTS)
            assert cache.http.get("/feed").content == path.read_bytes()


def test_probe_of_haproxy_finds_livefeed(place: Place, start: Start, path: Path) -> None:
    """HAProxy's default probe, ``OPTIONS /``, succeeds even if there is no document."""
    port = free_port()
    proxy = place.haproxy(port)
    proxy.process.wait_for("Server livefeed/livefeed is DOWN")
    path.unlink()
    start("--source", f"file:{path}", listen=(f"tcp:{port}:interface={HOST}",), live=False)
    proxy.process.wait_for("Server livefeed/livefeed is UP, reason: Layer7 check passed")
    assert proxy.http.get("/feed").json()["status"] == 503


def test_caddy_passes_everything_on(place: Place, start: Start, path: Path) -> None:
    """Polls, waiting requests, event streams and WebSockets, each as soon as livefeed sends it."""
    livefeed = start("--source", f"file:{path}", "--interval", "0.05", "--push=change", listen=(TCP,))
    proxy = place.caddy(livefeed.port)
    answer = proxy.http.get("/feed")
    assert (answer.status_code, answer.content) == (200, path.read_bytes())
    tag = {"If-None-Match": answer.headers["ETag"]}
    assert proxy.http.get("/feed", headers=tag).status_code == 304
    with (
        proxy.http.stream("GET", "/feed.sse") as response,
        websockets.sync.client.connect(f"ws://{HOST}:{proxy.port}/feed.ws", proxy=None) as subscriber,
        ThreadPoolExecutor() as pool,
    ):
        data = (line.removeprefix("data: ") for line in response.iter_lines() if line.startswith('data: {"n"'))
        assert next(data) == subscriber.recv(timeout=WAIT_S) == '{"n": 0}'
        waiting = pool.submit(proxy.http.get, "/feed", headers={**tag, "Prefer": "wait=30"})
        replace_file(path, b'{"n": 1}')
        assert next(data) == subscriber.recv(timeout=WAIT_S) == '{"n": 1}'
        assert waiting.result(WAIT_S).json() == {"n": 1}


class TestChromium:
    """A browser's own ``EventSource``, on three origins at once: nginx, HAProxy, and livefeed itself."""

    FOLLOW = """
        window.streams ??= [];
        for (const url of arguments[0]) {
          const stream = { source: new EventSource(url), errors: 0, text: "" };
          stream.source.onmessage = ({ data }) => { stream.text += data; };
          stream.source.onerror = () => { stream.errors += 1; };
          streams.push(stream);
        }
    """
    READ = "return streams.map(({ source, errors, text }) => [source.readyState, errors, text]);"
    CLOSED = 2
    BACK_S = 45
    """Twice the longest wait after a refusal, on a machine with other things to do."""

    def wait_until(self, browser: Chrome, right: Callable[[int, str], bool]) -> None:
        """Returns when all streams are as they should be; fails if the browser has given one up."""

        def are_right(_: Any) -> bool:
            found = browser.execute_script(self.READ)
            assert self.CLOSED not in [state for state, _, _ in found], found
            return all(right(errors, text) for _, errors, text in found)

        try:
            WebDriverWait(browser, self.BACK_S).until(are_right)
        except TimeoutException:
            pytest.fail(f"{browser.execute_script(self.READ)}")

    def test_every_stream_comes_back(self, browser: Chrome, place: Place, start: Start, path: Path) -> None:
        """With the newest version, after ``kill -9`` and after a drain, even if it began while livefeed was down.

        A browser opens six streams at most on one origin.
        """
        port = free_port()
        start_one = partial(
            start, "--source", f"file:{path}", "--interval", "0.2", listen=(f"tcp:{port}:interface={HOST}",)
        )
        livefeed = start_one()
        ports = [place.nginx(port).port, place.haproxy(port).port, port]
        urls = [f"http://{HOST}:{each}/feed.sse{part}" for each in ports for part in ("", "/n", "?delta=1")]
        # Any page of an origin without a policy for connections would do.
        browser.get(f"http://{HOST}:{ports[0]}/feed")
        browser.execute_script(self.FOLLOW, urls)
        self.wait_until(browser, lambda _, text: bool(text))
        livefeed.process.signal(signal.SIGKILL)
        livefeed.process.wait()
        replace_file(path, b'{"n": "after kill"}')
        browser.execute_script(self.FOLLOW, urls)
        self.wait_until(browser, lambda errors, _: errors > 0)
        livefeed = start_one()
        self.wait_until(browser, lambda _, text: "after kill" in text)
        replace_file(path, b'{"n": "while stopping"}')
        assert livefeed.terminate() == 0
        livefeed = start_one()
        self.wait_until(browser, lambda _, text: "while stopping" in text)
