"""The page, and pages of other origins, in a real browser."""

from __future__ import annotations

import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.integration.harness import HOST, TLS, WAIT_S, peer, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed

FIRST = b'{"count": 1.50, "big": 12345678901234567890, "name": "a { b, c: \\" d", "empty": []}'
SECOND = b'{"count": 2.25}'

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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A headless Chromium that accepts the development certificate."""
    chromium, driver = peer("chromium", "chromium"), peer("chromedriver", "chromium-driver")
    options = ChromeOptions()
    options.binary_location = chromium
    options.accept_insecure_certs = True
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(options=options, service=Service(driver)) as chrome:
        chrome.set_script_timeout(WAIT_S)
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


def text_of(browser: Chrome, identifier: str) -> str:
    text: str = browser.find_element(By.ID, identifier).text
    return text


def call(browser: Chrome, expression: str) -> Any:
    """Gives what a promise of the page comes to."""
    return browser.execute_async_script(
        f"const done = arguments[0]; ({expression}).then(done, (error) => done(String(error)))"
    )


def test_page_follows_the_document(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """It shows each version as it is written, the state, and that the data ages while the source is away."""
    document = tmp_path / "document.json"
    replace_file(document, FIRST)
    livefeed = start("--source", "file:document.json", "--feed", "results")
    browser.get(f"https://{livefeed.authority}/")
    wait = WebDriverWait(browser, WAIT_S)
    wait.until(lambda _: "12345678901234567890" in text_of(browser, "document"))
    assert text_of(browser, "document").split("\n") == [
        "{",
        '  "count": 1.50,',
        '  "big": 12345678901234567890,',
        '  "name": "a { b, c: \\" d",',
        '  "empty": []',
        "}",
    ]
    wait.until(lambda _: text_of(browser, "state") == "live")
    replace_file(document, SECOND)
    wait.until(lambda _: "2.25" in text_of(browser, "document"))
    document.unlink()
    wait.until(lambda _: text_of(browser, "state") == "stale")
    wait.until(lambda _: text_of(browser, "age").endswith("s old"))
    assert "2.25" in text_of(browser, "document")
    replace_file(document, FIRST)
    wait.until(lambda _: text_of(browser, "state") == "live")
    complaints = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert complaints == []


@pytest.mark.parametrize("death", ["this.onclose = null", "setTimeout(() => this.onclose?.(), 50)"])
def test_page_without_a_websocket(browser: Chrome, start: Start, tmp_path: Path, death: str) -> None:
    """One that says nothing, and one that no proxy lets through: the page polls, and is right all the same."""
    document = tmp_path / "document.json"
    replace_file(document, FIRST)
    livefeed = start("--source", "file:document.json", "--gone-after", "3", "--feed", "results")
    broken = "window.WebSocket = class { static OPEN = 1; readyState = 1; close() {} constructor() { " + death + " } };"
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": broken})
    try:
        browser.get(f"https://{livefeed.authority}/")
        wait = WebDriverWait(browser, WAIT_S)
        wait.until(lambda _: "12345678901234567890" in text_of(browser, "document"))
        wait.until(lambda _: text_of(browser, "state") == "live")
        replace_file(document, SECOND)
        wait.until(lambda _: "2.25" in text_of(browser, "document"))
        document.unlink()
        wait.until(lambda _: text_of(browser, "state") == "expired")
        assert (text_of(browser, "document"), text_of(browser, "version")) == ("", "\N{EN DASH}")
        replace_file(document, SECOND)
        wait.until(lambda _: (text_of(browser, "state"), "2.25" in text_of(browser, "document")) == ("live", True))
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})
        browser.get_log("browser")


def test_page_shows_no_document_for_too_long(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """Neither while livefeed does not answer, nor after it has come back without one; and then the next one at once."""
    document = tmp_path / "document.json"
    replace_file(document, FIRST)
    options = ("--source", "file:document.json", "--gone-after", "2", "--feed", "results")
    livefeed = start(*options)
    browser.get(f"https://{livefeed.authority}/")
    wait = WebDriverWait(browser, WAIT_S)

    def shown() -> tuple[str, str, bool]:
        return (
            text_of(browser, "state"),
            text_of(browser, "version"),
            "12345678901234567890" in text_of(browser, "document"),
        )

    wait.until(lambda _: (shown()[0], shown()[2]) == ("live", True))
    livefeed.process.signal(signal.SIGSTOP)
    try:
        wait.until(lambda _: shown() == ("expired", "\N{EN DASH}", False))
    finally:
        livefeed.process.signal(signal.SIGCONT)
    wait.until(lambda _: (shown()[0], shown()[2]) == ("live", True))
    livefeed.process.signal(signal.SIGKILL)
    livefeed.process.wait()
    document.unlink()
    start(*options, listen=(TLS.replace(":0:", f":{livefeed.port}:"),), live=False)
    wait.until(lambda _: shown() == ("expired", "\N{EN DASH}", False))
    replace_file(document, FIRST)
    wait.until(lambda _: (shown()[0], shown()[2]) == ("live", True))
    # What it had to say of requests without an answer.
    browser.get_log("browser")


def test_the_list_leads_to_the_pages(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """And they lead back; nothing of it is against its own policy."""
    replace_file(tmp_path / "document.json", FIRST)
    (tmp_path / "a.toml").write_text("[feeds.night]\nsource = 'demo:'\n[feeds.results]\nsource = 'file:document.json'")
    livefeed = start("--config", "a.toml", live=False)
    livefeed.wait_for_log('feed "results" is live')
    browser.get(f"https://{livefeed.authority}/")
    # What the page of the test before had to say when its server ended.
    browser.get_log("browser")
    items = browser.find_elements(By.TAG_NAME, "li")
    assert [item.text for item in items] == ["night live /night", "results live /results"]
    browser.find_element(By.LINK_TEXT, "results").click()
    WebDriverWait(browser, WAIT_S).until(lambda _: "12345678901234567890" in text_of(browser, "document"))
    browser.find_element(By.LINK_TEXT, "all feeds").click()
    assert [item.text for item in browser.find_elements(By.TAG_NAME, "li")][1].startswith("results ")
    complaints = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert complaints == []


def test_page_of_another_origin_polls_and_follows(browser: Chrome, demo: Livefeed, other_origin: str) -> None:
    """CORS lets it read the document, livefeed's own fields and a 304, after a preflight."""
    browser.get(other_origin)
    status, text, state, etag, again = call(browser, f"poll('https://{demo.authority}/feed')")
    assert (status, state) == (200, "live")
    assert text.startswith('{"title"')
    assert etag.startswith('"')
    # The demo's document changes each second: both answers are right.
    assert again in (200, 304)
    kind, message = call(browser, f"follow('wss://{demo.authority}/feed.ws')")
    assert kind == "message"
    assert message.startswith('{"title"')


def test_page_of_an_origin_that_is_not_allowed_reads_nothing(browser: Chrome, start: Start, other_origin: str) -> None:
    """Neither by request nor by WebSocket, while a page of the allowed origin does."""
    livefeed = start("--allow-origin", "https://example.org")
    browser.get(other_origin)
    assert "TypeError" in call(browser, f"poll('https://{livefeed.authority}/feed')")
    assert call(browser, f"follow('wss://{livefeed.authority}/feed.ws')") == ["error", ""]
    allowed = start("--allow-origin", other_origin)
    browser.get(other_origin)
    assert call(browser, f"poll('https://{allowed.authority}/feed')")[0] == 200
    assert call(browser, f"follow('wss://{allowed.authority}/feed.ws')")[0] == "message"
