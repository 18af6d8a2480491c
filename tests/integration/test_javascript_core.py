"""livefeed.js in two browsers, Chromium and Firefox: the tests that tell whether it works in a browser at all."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.integration.browsing import chromium
from tests.integration.firefox import firefox
from tests.integration.harness import HOST, TCP, replace_file
from tests.integration.visiting import OPEN, OPTIONS, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.integration.browsing import Browser
    from tests.integration.conftest import Start
    from tests.integration.proxies import Place
    from tests.integration.visiting import Server

pytestmark = pytest.mark.peers

BROWSERS: dict[str, Callable[[Path], AbstractContextManager[Browser]]] = {"chromium": chromium, "firefox": firefox}

LISTEN = """window.violations = [];
document.addEventListener('securitypolicyviolation', ({ violatedDirective }) => violations.push(violatedDirective))"""


@pytest.fixture(scope="module", params=BROWSERS)
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Each of the browsers, for all tests here."""
    with BROWSERS[request.param](tmp_path_factory.mktemp(request.param)) as browser:
        yield browser


def test_each_version_comes_by_the_websocket(browser: Browser, server: Server) -> None:
    """The first version comes by GET, the others by the WebSocket; each is verified, and its age is known."""
    server.write(1)
    page = Page(browser, server.origin)
    page.wait_for(OPEN)
    server.write(2)
    page.wait_for("shown.data.n === 2")
    assert page.numbers() == [1, 2]
    assert page.get("[shown.verified, shown.state, shown.error]") == [True, "live", None]
    assert 0 <= page.get("shown.age()") < 60_000
    assert page.get("shown.next()") is not None
    page.close()


def test_a_proxy_without_websockets(browser: Browser, server: Server, place: Place) -> None:
    """Nginx that does not forward the handshake: the page goes on by events, without a moment without data."""
    proxy = place.nginx(server.livefeed.port, {"    proxy_set_header Upgrade $http_upgrade;\n": ""})
    server.write(1)
    page = Page(browser, f"http://{HOST}:{proxy.port}")
    page.wait_for("shown.transport === 'events'")
    server.write(2)
    page.wait_for("shown.data.n === 2")
    assert page.numbers() == [1, 2]
    assert "offline" not in page.lines()
    page.close()


def test_a_server_that_is_killed_and_restarted(browser: Browser, start: Start, tmp_path: Path) -> None:
    """The page says that the line is down, then that the data is stale, and goes on when the server is back."""
    file = tmp_path / "document.json"
    replace_file(file, b'{"n": 1}')
    livefeed = start(*OPTIONS, listen=(TCP,))
    page = Page(browser, f"http://{livefeed.authority}")
    page.wait_for(OPEN)
    livefeed.process.signal(signal.SIGKILL)
    livefeed.process.wait()
    page.wait_for("shown.line === 'offline'")
    page.wait_for("shown.state === 'stale'")
    assert page.get("shown.data.n") == 1
    replace_file(file, b'{"n": 2}')
    start(*OPTIONS, listen=(TCP.replace(":0:", f":{livefeed.port}:"),))
    page.wait_for(f"shown.data.n === 2 && {OPEN}")
    assert page.numbers() == [1, 2]
    page.close()


def test_a_page_of_another_origin(browser: Browser, server: Server, other_origin: str) -> None:
    """It loads the script from livefeed and follows, with and without streams."""
    server.write(1)
    for options, transport in (
        ("{}", "websocket"),
        ("{transports: ['events']}", "events"),
        ("{transports: ['poll']}", "poll"),
    ):
        page = Page(browser, server.origin, other_origin, options)
        page.wait_for(f"shown.transport === '{transport}' && shown.data?.n === 1 && shown.verified")
        page.close()
    server.write(2)
    page = Page(browser, server.origin, other_origin, "{transports: ['poll']}")
    page.wait_for("shown.data?.n === 2")
    server.write(3)
    page.wait_for("shown.data.n === 3")
    page.close()


def test_a_strict_policy(browser: Browser, server: Server) -> None:
    """The policy of livefeed's own page allows neither eval nor workers, and no other origin: nothing is missing."""
    server.write(1)
    page = Page(browser, server.origin, f"{server.origin}/feed.html", "{changes: true, exact: true}", LISTEN)
    page.wait_for(OPEN)
    page.get("shown.use('events')")
    page.wait_for("shown.transport === 'events'")
    server.write(2)
    page.wait_for("shown.data.n === 2")
    assert page.get("shown.changed") == ["/n"]
    assert page.get("violations") == []
    page.close()
