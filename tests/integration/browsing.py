"""Real browsers, and a page of another origin than livefeed's. All tests know the fixtures by ``conftest.py``."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.service import Service

from tests.helpers.chromium import chromium_options
from tests.helpers.peers import missing_peer, peer
from tests.integration.harness import HOST, WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

AXE = Path(__file__).resolve().parent.parent / "clients" / "node_modules" / "axe-core" / "axe.min.js"
_FAULTS = "axe.run().then((found) => found.violations.map((one) => [one.id, ...one.nodes.map((node) => node.html)]))"

OTHER_PAGE = b"""<!doctype html><title>another origin</title><script>
async function poll(url) {
  const first = await fetch(url);
  const etag = first.headers.get("ETag");
  const again = await fetch(url, { headers: { "If-None-Match": etag }, cache: "no-store" });
  return [first.status, await first.text(), first.headers.get("Livefeed-State"), etag, again.status];
}
function follow(url) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url);
    socket.onmessage = (event) => resolve(["message", event.data]);
    socket.onerror = () => resolve(["error", ""]);
  });
}
</script>"""


class Browser(Protocol):
    """The requirements of a page on a browser, with the names of Selenium."""

    def get(self, url: str) -> None:
        """Opens a page, and returns once it has loaded."""

    def execute_script(self, script: str, *args: Any) -> Any:
        """Gives the result of the body of a function."""

    def execute_async_script(self, script: str, *args: Any) -> Any:
        """Gives the value with which a script calls its last argument."""

    def get_log(self, log_type: str) -> list[dict[str, Any]]:
        """Gives the complaints since the last call."""


@contextmanager
def chromium(directory: Path) -> Iterator[Chrome]:
    """Starts a headless Chromium that accepts the development certificate.

    :param directory: an empty folder of its own.
    """
    program, driver = peer("chromium", "chromium"), peer("chromedriver", "chromium-driver")
    options = chromium_options(program, directory)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(options=options, service=Service(driver)) as chrome:
        chrome.set_script_timeout(WAIT_S)
        yield chrome


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A Chromium for all tests of a module."""
    with chromium(tmp_path_factory.mktemp("chromium")) as chrome:
        yield chrome


@pytest.fixture(scope="module")
def other_origin() -> Iterator[str]:
    """The URL of a page on another origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(OTHER_PAGE)))
            self.end_headers()
            self.wfile.write(OTHER_PAGE)

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://{HOST}:{server.server_port}"
        server.shutdown()
        thread.join(WAIT_S)


def call(browser: Browser, expression: str) -> Any:
    """Gives the result of a promise of the page."""
    return browser.execute_async_script(
        f"const done = arguments[0]; ({expression}).then(done, (error) => done(String(error)))"
    )


def faults(browser: Browser) -> list[Any]:
    """Gives the rules of accessibility that a page breaks, with the elements, as axe finds them."""
    if not AXE.exists():
        missing_peer("axe-core is not installed: make test installs it with npm")
    browser.execute_script(AXE.read_text())
    found: list[Any] = call(browser, _FAULTS)
    return found


def close_tabs(browser: Chrome, first: str) -> None:
    """Closes all tabs but one, which becomes the one that is seen, and drops their complaints."""
    for handle in browser.window_handles:
        if handle != first:
            browser.switch_to.window(handle)
            browser.close()
    browser.switch_to.window(first)
    # A page that is hidden draws no frames.
    browser.execute_cdp_cmd("Page.bringToFront", {})
    browser.get_log("browser")
