"""The page, and pages of other origins, in a real browser."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.integration.browsing import call
from tests.integration.harness import TLS, WAIT_S, replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver import Chrome

    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed

pytestmark = pytest.mark.peers

FIRST = b'{"count": 1.50, "big": 12345678901234567890, "name": "a { b, c: \\" d", "empty": []}'
SECOND = b'{"count": 2.25}'


def text_of(browser: Chrome, identifier: str) -> str:
    text: str = browser.find_element(By.ID, identifier).text
    return text


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
    """The document disappears if livefeed hangs, or has none after a restart; the next one is shown at once."""
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
    # Its complaints about requests without an answer.
    browser.get_log("browser")


def test_the_list_leads_to_the_pages(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """Pages and list link to each other, and comply with their own policy."""
    replace_file(tmp_path / "document.json", FIRST)
    (tmp_path / "a.toml").write_text("[feeds.night]\nsource = 'demo:'\n[feeds.results]\nsource = 'file:document.json'")
    livefeed = start("--config", "a.toml", live=False)
    livefeed.wait_for_log('feed "results" is live')
    browser.get(f"https://{livefeed.authority}/")
    # The complaints of the page of the test before, when its server ended.
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
    """Such a page can neither poll nor open a WebSocket, while a page of the allowed origin can."""
    livefeed = start("--allow-origin", "https://example.org")
    browser.get(other_origin)
    assert "TypeError" in call(browser, f"poll('https://{livefeed.authority}/feed')")
    assert call(browser, f"follow('wss://{livefeed.authority}/feed.ws')") == ["error", ""]
    allowed = start("--allow-origin", other_origin)
    browser.get(other_origin)
    assert call(browser, f"poll('https://{allowed.authority}/feed')")[0] == 200
    assert call(browser, f"follow('wss://{allowed.authority}/feed.ws')")[0] == "message"
