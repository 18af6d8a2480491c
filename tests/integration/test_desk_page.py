"""The page of the desk in a real browser, and a real livefeed whose watchers see what it decides."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.integration.browsing import call, faults
from tests.integration.desk_pages import DISTRICTS, NIGHT, TOKEN, Desk, check_barriers, counted, night, picture, screens
from tests.integration.harness import TEXT, WAIT_S, Redis, free_port, handshake, replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver import Chrome

    from tests.integration.conftest import Start

pytestmark = pytest.mark.peers

FRAME = """new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.src = %s;
  frame.onload = () => done(frame.contentDocument === null);
  document.body.append(frame);
})"""
"""Shows a page in a frame, and tells whether nothing of it is there for the page around it."""


ROWS = "[...document.querySelectorAll('.differences tbody tr')].map((row) => row.textContent)"


def test_an_operator_decides(desk: Desk) -> None:
    """A wrong token says so. A held version is compared, released, and taken back; watchers see each decision."""
    desk.open()
    desk.enter("wrong" * 5)
    desk.wait_for("#token-error", "not the token")
    desk.enter()
    desk.wait_for("#state", "Live")
    assert TOKEN not in desk.browser.current_url
    with desk.livefeed.subscriber_wire() as wire:
        assert wire.frame_of(TEXT) == counted(1200)
        desk.find("#reason").send_keys("we call district A")
        desk.press("hold", "Held.")
        desk.wait_for(".decision", "we call district A")
        replace_file(desk.document, counted(0))
        desk.wait.until(lambda _: "districts/{name=A}/votes" in desk.text(".differences"))
        rows = [row.text for row in desk.browser.find_elements(By.CSS_SELECTOR, ".differences tbody tr")]
        assert rows == ["/counted 60 0", "/districts/{name=A}/votes 1200 0"]
        assert "1 min" not in desk.text(".side.waits")
        assert desk.livefeed.http.get("/feed").json()["counted"] == 60
        desk.press("release", "Released.")
        while wire.frame_of(TEXT) != counted(0):
            pass
        desk.wait.until(lambda _: desk.find(".result button").is_displayed())
        desk.find(".result button").click()
        desk.wait_for(".result", "Rolled back.")
        while wire.frame_of(TEXT) != counted(1200):
            pass
    desk.wait_for("#state", "Held")
    desk.press("unpin", "Unpinned.")
    desk.find("[data-command=end]").click()
    desk.find("dialog .danger").click()
    desk.wait_for("#state", "Ended")
    assert desk.livefeed.http.get("/feed").headers["Livefeed-State"] == "ended"
    desk.press("resume", "Resumed.")
    desk.browser.find_element(By.XPATH, "//button[text()='Log out']").click()
    assert desk.find("#token").is_displayed()
    assert desk.browser.execute_script("return sessionStorage.length") == 0


def test_zeros_from_a_store(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """A rule holds the zeros of a real Redis back: the operator sees both versions, and watchers what is released."""
    with Redis(tmp_path) as redis:
        redis.command("SET", "results", night(58))
        port = free_port()
        (tmp_path / "turnout.json").write_text('{"turnout": 61.2}')
        (tmp_path / "token").write_text(TOKEN)
        (tmp_path / "token").chmod(0o600)
        (tmp_path / "a.toml").write_text(NIGHT.format(port=port, source=redis.url("results")))
        livefeed = start("--config", "a.toml", "--public-reasons", "true")
        desk = Desk(browser, livefeed, f"http://127.0.0.1:{port}", tmp_path)
        desk.open()
        desk.enter()
        desk.wait_for("#state", "Live")
        with livefeed.wire() as wire:
            wire.send(handshake("/results.ws"))
            assert wire.response().status == 101
            assert wire.frame_of(TEXT) == night(58)
            redis.command("SET", "results", night(0))
            desk.wait_for("#state", "Held")
            desk.wait_for(
                ".why-held",
                "The rule votes holds a newer version back. /districts/{name=Ashford}/votes falls from 17980 to 0",
            )
            desk.wait_for(".alarms", "Alarm of the rule leader")
            desk.wait.until(lambda _: len(browser.execute_script(f"return {ROWS}")) == 1 + 2 * len(DISTRICTS))
            rows = browser.execute_script(f"return {ROWS}")
            assert rows[0] == "/districts/{name=Ashford}/votes refused by votes179800"
            assert rows[1] == "/counted580"
            polled = livefeed.http.get("/results")
            assert (polled.json()["counted"], polled.headers["Livefeed-State"]) == (58, "held")
            desk.wait_for(".feeds [aria-current]", "1 alarm")
            picture(browser, "desk-light")
            redis.command("SET", "results", night(61))
            desk.wait_for("#state", "Live")
            while wire.frame_of(TEXT) != night(61):
                pass
            redis.command("SET", "results", night(3))
            desk.wait_for("#state", "Held")
            desk.wait.until(lambda _: browser.find_elements(By.CSS_SELECTOR, ".differences tbody tr"))
            desk.press("release", "Released.")
            while wire.frame_of(TEXT) != night(3):
                pass
            desk.browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
            desk.find("button[aria-label='Let everything pass the rule votes for 10\u00a0min 0\u00a0s']").click()
            desk.wait_for(".result", "The rule lets everything pass")
            redis.command("SET", "results", night(2))
            while wire.frame_of(TEXT) != night(2):
                pass
            desk.wait_for(".lists", "lets everything pass until")


def test_by_keyboard(desk: Desk) -> None:
    """Everything is reached and done without a mouse: the focus is visible, and stays when the page changes."""
    desk.open()
    desk.browser.switch_to.active_element.send_keys(TOKEN + Keys.ENTER)
    desk.wait_for("#state", "Live")
    desk.tab_to("one.dataset.command === 'hold'")
    desk.browser.switch_to.active_element.send_keys(Keys.ENTER)
    desk.wait_for(".result", "Held.")
    assert desk.browser.execute_script("return document.activeElement.dataset.command") == "hold"
    desk.browser.switch_to.active_element.send_keys(Keys.ENTER)
    desk.tab_to("one.dataset.command === 'withdraw'")
    desk.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert desk.browser.switch_to.active_element.text == "Cancel"
    desk.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert desk.browser.execute_script("return document.activeElement.dataset.command") == "withdraw"
    desk.browser.switch_to.active_element.send_keys(Keys.ENTER)
    desk.tab_to("one.className === 'danger'")
    desk.browser.switch_to.active_element.send_keys(Keys.ENTER)
    desk.wait_for("#state", "Withdrawn")
    assert desk.livefeed.http.get("/feed").status_code == 410
    desk.tab_to("one.tagName === 'SUMMARY' && one.textContent.includes('Earlier')")
    desk.browser.switch_to.active_element.send_keys(Keys.ENTER)
    # Behind the last element the browser itself is next: nothing keeps the focus.
    desk.tab_to("one === document.body")


def test_no_barriers(desk: Desk) -> None:
    """No rule of accessibility is broken, in both themes and on each screen, and nothing is wider than the screen."""
    desk.open()
    assert faults(desk.browser) == []
    desk.enter()
    desk.wait_for("#state", "Live")
    desk.press("hold", "Held.")
    replace_file(desk.document, counted(0))
    desk.wait.until(lambda _: desk.browser.find_elements(By.CSS_SELECTOR, ".differences tbody tr"))
    desk.browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    with screens(desk.browser):
        check_barriers(desk.browser)
        desk.find("[data-command=withdraw]").click()
        assert faults(desk.browser) == []


def test_other_pages_and_names(desk: Desk, other_origin: str) -> None:
    """A page of another site cannot use the port, although it knows the token, nor show the page in a frame."""
    desk.browser.get(other_origin)
    options = {
        "method": "POST",
        "headers": {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        "body": "{}",
    }
    for ask in (
        f"fetch('{desk.origin}/status', {{headers: {{Authorization: 'Bearer {TOKEN}'}}}})",
        f"fetch('{desk.origin}/-/hold', {json.dumps(options)})",
        f"fetch('{desk.origin}/-/hold', {{method: 'POST', mode: 'no-cors', body: '{{}}'}})",
    ):
        assert "TypeError" in call(
            desk.browser, f"{ask}.then((answer) => answer.type === 'opaque' ? 'TypeError' : answer.status)"
        )
    assert call(desk.browser, FRAME % json.dumps(f"{desk.origin}/-/desk/")) is True
    refused = [entry["message"] for entry in desk.browser.get_log("browser") if "frame-ancestors" in entry["message"]]
    assert refused
    fields = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    for more in (
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ):
        for path in ("/-/hold", "/-/withdraw"):
            answer = httpx.post(f"{desk.origin}{path}", content=b"{}", headers={**fields, **more}, timeout=WAIT_S)
            assert answer.status_code == 403, more
    assert httpx.get(f"{desk.origin}/-/desk/", headers={"Host": "evil.example"}, timeout=WAIT_S).status_code == 403
    assert desk.livefeed.http.get("/feed").headers["Livefeed-State"] == "live"


def test_values_of_an_editor(desk: Desk) -> None:
    """The overlay is listed with the values that it hides. An entry that changes nothing says why. Each is dropped."""
    with desk.livefeed.operator() as client:
        for pointer, value in (("/districts/{name=A}/votes", "1300"), ("/nothing/there", '"x"')):
            edit = {"action": "set", "pointer": pointer, "value": value}
            assert client.post("/-/overlay", json=edit).status_code == 200
    desk.open()
    desk.enter()
    desk.wait_for("#seen ~ .note", "The overlay has 2 entries")
    desk.browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    desk.wait_for(".lists", "/districts/{name=A}/votes\nBy ")
    desk.wait_for(".lists", "1300 1200")
    desk.wait_for(".lists", "changes nothing: the source's document has no /nothing now")
    assert desk.livefeed.http.get("/feed").json()["districts"][0]["votes"] == 1300
    drop = "button[aria-label='Drop /districts/{name=A}/votes from the overlay']"
    desk.click(drop)
    desk.wait_for(".result", "Dropped from the overlay.")
    desk.wait.until(lambda _: not desk.browser.find_elements(By.CSS_SELECTOR, drop))
    assert desk.livefeed.http.get("/feed").json()["districts"][0]["votes"] == 1200


def test_a_token_that_was_replaced(desk: Desk) -> None:
    """The page locks itself, says why, and forgets the old token. A right one is kept while the tab is open."""
    desk.open()
    desk.browser.execute_script(f"sessionStorage.setItem('livefeed.desk.token', '{TOKEN[::-1]}')")
    desk.browser.refresh()
    desk.wait_for("#token-error", "not valid any more")
    assert desk.browser.execute_script("return sessionStorage.length") == 0
    desk.enter()
    desk.wait_for("#state", "Live")
    desk.browser.refresh()
    desk.wait_for("#state", "Live")


def test_a_livefeed_that_is_silent(desk: Desk) -> None:
    """The page says that it may be old, and goes on by itself."""
    desk.open()
    desk.enter()
    desk.wait_for("#state", "Live")
    desk.livefeed.process.signal(signal.SIGSTOP)
    try:
        desk.wait_for("#trouble", "may be old")
        assert desk.browser.execute_script("return document.body.classList.contains('silent')")
    finally:
        desk.livefeed.process.signal(signal.SIGCONT)
    desk.wait.until(lambda _: not desk.find("#trouble").is_displayed())
