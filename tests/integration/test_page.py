"""The page, and pages of other origins, in a real browser."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any, cast

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.integration.browsing import call, faults
from tests.integration.harness import TLS, WAIT_S, assert_soon, replace_file

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


def rows(count: int) -> bytes:
    """Gives a document with a table, a tree and a number."""
    return json.dumps(
        {
            "title": "Harbour",
            "level": count,
            "vessels": [{"name": name, "speed": count + place} for place, name in enumerate(("Auk", "Brent", "Coot"))],
            "tide": {"harbours": {"north": {"high": 3}}},
        }
    ).encode()


def wait_for(browser: Chrome, path: str) -> None:
    """Returns once there is an element at an XPath."""
    WebDriverWait(browser, WAIT_S).until(lambda _: browser.find_elements(By.XPATH, path))


def open_panels(browser: Chrome) -> None:
    """Unfolds all parts of the page."""
    browser.execute_script("for (const one of document.querySelectorAll('details.panel')) one.open = true")


def severe(browser: Chrome) -> list[Any]:
    """Gives the complaints of the browser about scripts and the policy of the page, since the last call.

    A transport that is refused is a complaint about the network, and the page goes on with another one.
    """
    entries = browser.get_log("browser")
    return [entry for entry in entries if entry["level"] == "SEVERE" and entry["source"] != "network"]


def test_page_follows_the_document(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """It shows each version as it is written, the state, and that the data ages while the source is away."""
    document = tmp_path / "document.json"
    replace_file(document, FIRST)
    livefeed = start("--source", "file:document.json", "--feed", "results")
    browser.get(f"https://{livefeed.authority}/")
    wait = WebDriverWait(browser, WAIT_S)
    wait.until(lambda _: "12345678901234567890" in text_of(browser, "main"))
    lines = text_of(browser, "main").split("\n")
    for key, value in (("count", "1.50"), ("big", "12345678901234567890"), ("name", 'a { b, c: " d')):
        assert lines[lines.index(key) + 1] == value
    wait.until(lambda _: text_of(browser, "state") == "Live")
    replace_file(document, SECOND)
    wait.until(lambda _: "2.25" in text_of(browser, "main"))
    document.unlink()
    wait.until(lambda _: text_of(browser, "state") == "Stale")
    wait.until(lambda _: text_of(browser, "age").endswith("s ago"))
    assert "2.25" in text_of(browser, "main")
    replace_file(document, FIRST)
    wait.until(lambda _: text_of(browser, "state") == "Live")
    assert severe(browser) == []


def test_tables_search_and_history(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """Tables are sorted, folded parts are searched, selections stay, and earlier versions come back."""
    document = tmp_path / "document.json"
    replace_file(document, rows(1))
    livefeed = start("--source", "file:document.json", "--feed", "results")
    browser.get(f"https://{livefeed.authority}/")
    wait = WebDriverWait(browser, WAIT_S)
    wait.until(lambda _: text_of(browser, "title") == "Harbour")

    def names() -> list[str]:
        return [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "tbody td:first-child")][:3]

    assert names() == ["Auk", "Brent", "Coot"]
    browser.find_element(By.XPATH, "//th/button[text()='speed']").click()
    assert names() == ["Coot", "Brent", "Auk"]
    # A reader folds a part and selects a name; a new version leaves both.
    folded = "return document.querySelector('.tree li.branch details').open"
    assert browser.execute_script(folded) is True
    browser.find_element(By.CSS_SELECTOR, ".tree li.branch summary").click()
    browser.execute_script("getSelection().selectAllChildren(document.querySelector('tbody td'))")
    replace_file(document, rows(7))
    wait.until(lambda _: browser.find_elements(By.CSS_SELECTOR, "[data-changed=up]"))
    assert browser.execute_script("return String(getSelection())") == "Coot"
    assert browser.execute_script(folded) is False
    assert browser.find_elements(By.CSS_SELECTOR, ".spark polyline")
    browser.find_element(By.ID, "search").send_keys("high")
    wait.until(lambda _: "1 of 1: /tide/harbours/north/high" in text_of(browser, "main"))
    assert browser.find_element(By.CSS_SELECTOR, ".found").text.startswith("high")
    open_panels(browser)
    move = "const s = document.getElementById('history-at'); s.value = '0'; s.dispatchEvent(new Event('input'))"
    browser.execute_script(move)
    assert "earlier version" in text_of(browser, "notices")
    assert names() == ["Coot", "Brent", "Auk"]
    level = "//span[@class='key'][text()='level']/following-sibling::span"
    assert browser.find_element(By.XPATH, level).text == "1"
    browser.find_element(By.ID, "history-compare").click()
    assert "4 differences" in text_of(browser, "panels")
    assert "/vessels/{name=Auk}/speed" in text_of(browser, "panels")
    browser.find_element(By.CSS_SELECTOR, ".banner button").click()
    assert browser.find_element(By.XPATH, level).text == "7"
    browser.find_element(By.XPATH, "//button[text()='Polling']").click()
    wait_for(browser, "//dt[text()='Transport']/following-sibling::dd[text()='Polling']")
    assert f'follow("https://{livefeed.authority}/results"' in text_of(browser, "panels")
    assert severe(browser) == []


def test_plots(browser: Chrome, start: Start) -> None:
    """They are drawn from the figures of the server, within the policy, when a reader opens them and not before."""
    livefeed = start("--page-figures", "true", "--interval", "0.2")
    browser.get(f"https://{livefeed.authority}/")
    wait_for(browser, "//article")
    loaded = "return performance.getEntriesByType('resource').filter((one) => one.name.includes('uPlot')).length"
    assert browser.execute_script(loaded) == 0
    open_panels(browser)
    wait = WebDriverWait(browser, WAIT_S)

    def values() -> list[str]:
        return [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".plots strong")]

    # This page is the only watcher.
    wait.until(lambda _: [value[:1].isdigit() for value in values()] == [True] * 3 and values()[0] == "1")
    assert browser.execute_script(loaded) == 2
    drawn = """return [...document.querySelectorAll(".plots canvas")].map((one) =>
      one.getContext("2d").getImageData(0, 0, one.width, one.height).data.some((value) => value > 0))"""
    assert browser.execute_script(drawn) == [True] * 3
    hidden = "return document.querySelectorAll('.plots [aria-hidden=true] canvas').length"
    assert browser.execute_script(hidden) == 3
    first = browser.find_element(By.CSS_SELECTOR, ".plots figcaption")
    assert "in the last" in first.text
    # The value below the pointer, while it is there.
    ActionChains(browser).move_to_element(browser.find_element(By.CSS_SELECTOR, ".plots .u-over")).perform()
    wait.until(lambda _: "in the last" not in first.text)
    ActionChains(browser).move_to_element(first).perform()
    wait.until(lambda _: "in the last" in first.text)
    assert severe(browser) == []


def test_page_says_why_there_is_no_document(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """While it waits for the first document, and while the feed is stale, if the operator shows reasons."""
    options = ("--source", "file:document.json", "--feed", "results", "--public-reasons", "true")
    livefeed = start(*options, live=False)
    browser.get(f"https://{livefeed.authority}/")
    wait = WebDriverWait(browser, WAIT_S)
    wait.until(lambda _: text_of(browser, "state") == "Waiting")
    wait.until(lambda _: "document.json: cannot be read" in text_of(browser, "notices"))
    replace_file(tmp_path / "document.json", FIRST)
    wait.until(lambda _: text_of(browser, "state") == "Live")
    wait.until(lambda _: "cannot be read" not in text_of(browser, "notices"))
    (tmp_path / "document.json").unlink()
    wait.until(lambda _: text_of(browser, "state") == "Stale")
    wait.until(lambda _: "document.json: cannot be read" in text_of(browser, "notices"))
    assert "no document since" in text_of(browser, "notices")
    browser.get_log("browser")


def test_page_shows_decisions(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """A version that is held back, with its reason and the time; then a final one, which is left alone; then none."""
    document = tmp_path / "document.json"
    replace_file(document, FIRST)
    livefeed = start("--source", "file:document.json", "--public-reasons", "true")

    def decide(command: str, reason: str = "") -> None:
        with livefeed.operator() as client:
            answer = client.post(f"/-/{command}", json={"reason": reason} if reason else {})
            assert answer.status_code == 200, answer.text

    browser.get(f"https://{livefeed.authority}/")
    wait = WebDriverWait(browser, WAIT_S, poll_frequency=0.05)
    wait.until(lambda _: text_of(browser, "state") == "Live")
    decide("hold", "We check district 7 (20 %).")
    wait.until(lambda _: text_of(browser, "state") == "Held back")
    wait.until(lambda _: "keeps this version for now" in text_of(browser, "notices"))
    assert "Reason: We check district 7 (20 %)." in text_of(browser, "notices")
    replace_file(document, SECOND)
    wait.until(lambda _: "It has been waiting for 2 s." in text_of(browser, "notices"))
    assert "1.50" in text_of(browser, "main")
    assert "Reason: We check district 7 (20 %)." in text_of(browser, "notices")
    decide("release")
    wait.until(lambda _: text_of(browser, "state") == "Live")
    assert text_of(browser, "notices") == "feed: Live."
    assert "2.25" in text_of(browser, "main")
    decide("end")
    wait.until(lambda _: text_of(browser, "state") == "Final")
    wait.until(lambda _: "final version" in text_of(browser, "notices"))
    assert_soon(lambda: 'by="websocket",feed="feed"} 0' in livefeed.metrics(), livefeed.metrics)
    assert "2.25" in text_of(browser, "main")
    decide("resume")
    replace_file(document, FIRST)
    browser.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
    wait.until(lambda _: text_of(browser, "state") == "Live" and "1.50" in text_of(browser, "main"))
    decide("withdraw", "It was a mistake.")
    wait.until(lambda _: text_of(browser, "state") == "Withdrawn")
    wait.until(lambda _: "Reason: It was a mistake." in text_of(browser, "notices"))
    assert text_of(browser, "main") == ""
    assert severe(browser) == []


def test_page_marks_the_values_of_an_editor(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """A line names them, and each has a mark, which follows it when rows are sorted; axe finds nothing about it."""
    document = tmp_path / "document.json"
    replace_file(document, rows(1))
    livefeed = start("--source", "file:document.json")

    def overlay(**change: str) -> None:
        with livefeed.operator() as client:
            answer = client.post("/-/overlay", json=change)
            assert answer.status_code == 200, answer.text

    def marks() -> list[str]:
        return [each.text for each in browser.find_elements(By.CSS_SELECTOR, "[data-overlaid]")]

    browser.get(f"https://{livefeed.authority}/")
    wait = WebDriverWait(browser, WAIT_S, poll_frequency=0.05)
    wait.until(lambda _: text_of(browser, "state") == "Live")
    assert marks() == []
    overlay(action="set", pointer="/vessels/{name=Brent}/speed", value="99")
    wait.until(lambda _: marks() == ["99"])
    assert "Changed by an editor: /vessels/{name=Brent}/speed." in text_of(browser, "notices")
    assert "An editor has put" in str(browser.find_element(By.CSS_SELECTOR, "[data-overlaid]").get_attribute("title"))
    browser.find_element(By.XPATH, "//th/button[text()='speed']").click()
    assert marks() == ["99"]
    overlay(action="set", pointer="/tide/harbours/north/high", value='"now"')
    wait.until(lambda _: len(marks()) == 2)
    for theme in ("light", "dark"):
        browser.execute_script(f"document.documentElement.dataset.theme = '{theme}'")
        assert (theme, faults(browser)) == (theme, [])
        browser.save_screenshot(str(tmp_path / f"overlaid-{theme}.png"))
    # The mark is on what hides the value while that is folded.
    browser.find_element(By.CSS_SELECTOR, ".tree li.branch summary").click()
    wait.until(lambda _: any("tide" in mark for mark in marks()))
    browser.find_element(By.XPATH, "//button[text()='Expand all']").click()
    wait.until(lambda _: any("now" in mark and "tide" not in mark for mark in marks()))
    overlay(action="clear")
    wait.until(lambda _: marks() == [])
    assert "editor" not in text_of(browser, "notices")
    assert severe(browser) == []


def test_page_has_no_accessibility_faults(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """axe finds nothing on the page of an election, of any document, and on the list, in the light and dark theme."""
    replace_file(tmp_path / "document.json", rows(1))
    (tmp_path / "a.toml").write_text("[feeds.night]\nsource = 'demo:'\n[feeds.results]\nsource = 'file:document.json'")
    livefeed = start("--config", "a.toml", "--page-figures", "true", live=False)
    livefeed.wait_for_log('feed "results" is live')
    for path, ready in (("", "//*[@class='badge']"), ("night.html", "//article"), ("results.html", "//main//table")):
        browser.get(f"https://{livefeed.authority}/{path}")
        wait_for(browser, ready)
        open_panels(browser)
        wait_for(browser, "//figure//canvas")
        for theme in ("light", "dark"):
            browser.execute_script(f"document.documentElement.dataset.theme = '{theme}'")
            found = faults(browser)
            assert (path, theme, found) == (path, theme, [])
    browser.get_log("browser")


@pytest.mark.parametrize("death", ["this.onclose = null", "setTimeout(() => this.onclose?.(), 50)"])
def test_page_without_a_websocket(browser: Chrome, start: Start, tmp_path: Path, death: str) -> None:
    """One that says nothing, and one that no proxy lets through: the page is right all the same."""
    document = tmp_path / "document.json"
    replace_file(document, FIRST)
    livefeed = start("--source", "file:document.json", "--gone-after", "3", "--feed", "results")
    broken = (
        "window.WebSocket = class { static OPEN = 1; readyState = 1; send() {} close() {} constructor() { "
        + death
        + " } };"
    )
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": broken})
    try:
        browser.get(f"https://{livefeed.authority}/")
        wait = WebDriverWait(browser, WAIT_S)
        wait.until(lambda _: "12345678901234567890" in text_of(browser, "main"))
        wait.until(lambda _: text_of(browser, "state") == "Live")
        replace_file(document, SECOND)
        wait.until(lambda _: "2.25" in text_of(browser, "main"))
        document.unlink()
        wait.until(lambda _: text_of(browser, "state") == "Expired")
        assert (text_of(browser, "main"), text_of(browser, "version")) == ("", "")
        replace_file(document, SECOND)
        wait.until(lambda _: (text_of(browser, "state"), "2.25" in text_of(browser, "main")) == ("Live", True))
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

    def has_document() -> bool:
        return "12345678901234567890" in text_of(browser, "main")

    wait.until(lambda _: (text_of(browser, "state"), has_document()) == ("Live", True))
    livefeed.process.signal(signal.SIGSTOP)
    try:
        wait.until(lambda _: not has_document())
        assert text_of(browser, "version") == ""
    finally:
        livefeed.process.signal(signal.SIGCONT)
    wait.until(lambda _: (text_of(browser, "state"), has_document()) == ("Live", True))
    livefeed.process.signal(signal.SIGKILL)
    livefeed.process.wait()
    document.unlink()
    start(*options, listen=(TLS.replace(":0:", f":{livefeed.port}:"),), live=False)
    wait.until(lambda _: (text_of(browser, "version"), has_document()) == ("", False))
    replace_file(document, FIRST)
    wait.until(lambda _: (text_of(browser, "state"), has_document()) == ("Live", True))
    # Its complaints about requests without an answer.
    browser.get_log("browser")


def test_the_list_leads_to_the_pages(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """Pages and list link to each other, follow the feeds, and comply with their own policy."""
    replace_file(tmp_path / "document.json", FIRST)
    (tmp_path / "a.toml").write_text("[feeds.night]\nsource = 'demo:'\n[feeds.results]\nsource = 'file:document.json'")
    livefeed = start("--config", "a.toml", live=False)
    livefeed.wait_for_log('feed "results" is live')
    browser.get(f"https://{livefeed.authority}/")
    # The complaints of the page of the test before, when its server ended.
    browser.get_log("browser")
    wait = WebDriverWait(browser, WAIT_S)

    def states() -> list[list[str]]:
        script = (
            "return [...document.querySelectorAll('tbody tr')].map((row) => row.innerText.split(/\\s+/).slice(0, 2))"
        )
        return cast("list[list[str]]", browser.execute_script(script))

    wait.until(lambda _: states() == [["night", "Live"], ["results", "Live"]])
    (tmp_path / "document.json").unlink()
    wait.until(lambda _: states() == [["night", "Live"], ["results", "Stale"]])
    browser.find_element(By.LINK_TEXT, "results").click()
    wait.until(lambda _: "12345678901234567890" in text_of(browser, "main"))
    browser.find_element(By.LINK_TEXT, "All feeds").click()
    wait.until(lambda _: states()[0] == ["night", "Live"])
    assert severe(browser) == []


def test_an_address_with_http_leads_to_the_page(browser: Chrome, demo: Livefeed) -> None:
    """A port with TLS sends a browser that speaks plain HTTP to the same address with https."""
    browser.get(f"http://{demo.authority}/?from=http")
    assert browser.current_url == f"https://{demo.authority}/?from=http"
    wait_for(browser, "//article[@class='election']")


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
