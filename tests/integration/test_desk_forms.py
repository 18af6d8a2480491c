"""The forms of the page of the desk in a real browser: values over the source, and what is to happen at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.integration.browsing import faults
from tests.integration.desk_pages import NIGHT, TOKEN, Desk, check_barriers, counted, night, picture, screens
from tests.integration.harness import TEXT, free_port, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

    from tests.integration.conftest import Start

pytestmark = pytest.mark.peers

NORTH = "/districts/{name=A}/votes"
SECRET = b'{"turnout":70.4,"secret":"nobody may see this"}'


def votes(desk: Desk) -> Any:
    """Gives the votes of the first district that watchers are shown."""
    return desk.livefeed.http.get("/feed").json()["districts"][0]["votes"]


def fill(desk: Desk, selector: str, text: str) -> None:
    """Types a text in the place of another one."""
    desk.find(selector).clear()
    desk.find(selector).send_keys(text)


def choose(desk: Desk, action: str) -> None:
    """Chooses what is done with a value."""
    desk.click(f"#edit-action option[value={action}]")


@pytest.fixture
def timed(browser: Chrome, start: Start, tmp_path: Path) -> Iterator[Desk]:
    """The page, of a livefeed that shows a document from a file, and has a store for another feed."""
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    replace_file(tmp_path / "results.json", night(58))
    port = free_port()
    text = NIGHT.format(port=port, source="file:results.json")
    (tmp_path / "a.toml").write_text(text.replace("file:turnout.json", "store:"))
    livefeed = start("--config", "a.toml", live=False)
    livefeed.wait_for_log('feed "results" is live')
    desk = Desk(browser, livefeed, f"http://127.0.0.1:{port}", tmp_path / "results.json")
    with livefeed.operator() as client:
        assert client.put("/feeds/turnout", content=b'{"turnout":61.2}').status_code == 201
        at = (datetime.now(UTC) + timedelta(minutes=25)).isoformat()
        set_aside = client.put("/feeds/turnout", content=SECRET, headers={"Livefeed-Publish-At": at})
        assert set_aside.status_code == 202
    desk.open()
    desk.enter()
    desk.wait_for("#state", "Live")
    yield desk
    assert TOKEN not in livefeed.log()


def test_a_value_over_the_source(desk: Desk) -> None:
    """A value is chosen in the document, changed, put over the source, and taken back; watchers see each step."""
    desk.open()
    desk.enter()
    desk.wait_for("#state", "Live")
    desk.click("#correct")
    desk.click(".picker summary")
    desk.wait.until(lambda _: desk.browser.find_elements(By.CSS_SELECTOR, ".leaves button"))
    desk.find("#find-value").send_keys("votes 1200")
    desk.wait_for(".picker [role=status]", "1 value")
    desk.click(".leaves button")
    assert desk.find("#edit-pointer").get_property("value") == NORTH
    assert desk.find("#edit-value").get_property("value") == "1200"
    desk.wait_for(".preview", "That is what watchers are shown now.")
    fill(desk, "#edit-value", "many")
    desk.wait_for("#edit-value-error", "This is no JSON.")
    desk.find("#edit-value").send_keys(Keys.ENTER)
    assert desk.browser.execute_script("return document.activeElement.id") == "edit-value"
    assert faults(desk.browser) == []
    desk.click_on('Take it as the text "many"')
    desk.wait_for(".preview", 'the source has 1200; it becomes "many"')
    fill(desk, "#edit-value", "1300")
    desk.wait_for(".preview", "the source has 1200; it becomes 1300")
    assert votes(desk) == 1200
    desk.click_on("Take its value of now: 1200")
    desk.find("#edit-reason").send_keys("as phoned in")
    with desk.livefeed.subscriber_wire() as wire:
        assert wire.frame_of(TEXT) == counted(1200)
        desk.find("#edit-reason").send_keys(Keys.ENTER)
        desk.wait_for(".result", "Put over the source.")
        # A tick may have sent the document of before once more.
        while (sent := wire.frame_of(TEXT)) == counted(1200):
            pass
        assert json.loads(sent)["districts"][0]["votes"] == 1300
    desk.wait_for(".lists", f"{NORTH}\nOnly while the source has 1200. By token@127.0.0.1, ")
    desk.wait_for(".lists", ": as phoned in")
    with desk.livefeed.operator() as client:
        (entry,) = client.get("/-/desk/feed").json()["overlay"]
    assert (entry["expected"], entry["reason"], entry["by"]) == ("1200", "as phoned in", "token@127.0.0.1")
    desk.wait.until(lambda _: desk.find(".result button").is_displayed())
    assert desk.text(".result button") == "Drop"
    desk.click(".result button")
    desk.wait_for(".result", "Dropped from the overlay.")
    assert votes(desk) == 1200
    desk.wait.until(lambda _: desk.text(".result button") == "Put over the source")
    desk.click(".result button")
    desk.wait_for(".result", "Put over the source.")
    assert votes(desk) == 1300


def test_an_entry_is_changed(desk: Desk) -> None:
    """The form has the texts of the entry. The undo brings back the value that an editor had before."""
    with desk.livefeed.operator() as client:
        edit = {"action": "set", "pointer": NORTH, "value": "1300", "expect": "1200", "reason": "by phone"}
        assert client.post("/-/overlay", json=edit).status_code == 200
        by = client.get("/-/desk/feed").json()["overlay"][0]["by"]
    desk.open()
    desk.enter()
    desk.wait_for("#state", "Live")
    desk.browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    desk.wait_for(".lists", f"Only while the source has 1200. By {by}, ")
    desk.click(f"button[aria-label='Change the entry of {NORTH}']")
    texts = {
        name: desk.find(f"#edit-{name}").get_property("value") for name in ("pointer", "value", "expect", "reason")
    }
    assert texts == {"pointer": NORTH, "value": "1300", "expect": "1200", "reason": "by phone"}
    assert desk.browser.execute_script("return document.activeElement.id") == "edit-value"
    desk.browser.switch_to.active_element.send_keys("1400")
    desk.wait_for(".preview", f"It takes the place of the entry of {by}, 1300.")
    desk.browser.switch_to.active_element.send_keys(Keys.ENTER)
    desk.wait.until(lambda _: votes(desk) == 1400)
    desk.wait.until(lambda _: desk.find(".result button").is_displayed())
    desk.click(".result button")
    desk.wait.until(lambda _: votes(desk) == 1300)


def test_add_remove_and_clear(desk: Desk) -> None:
    """A value is taken out, another one is added, and all of that is taken back; a wrong pointer says what is wrong."""
    desk.open()
    desk.enter()
    desk.wait_for("#state", "Live")
    desk.click("#correct")
    desk.find("#edit-pointer").send_keys("votes")
    desk.wait_for("#edit-pointer-error", "begins with a slash")
    fill(desk, "#edit-pointer", "/districts/{name=A")
    desk.find("#edit-value").send_keys("1")
    desk.wait_for(".preview", "the { begins no {member=value}")
    fill(desk, "#edit-pointer", "/districts/{name=C}/votes")
    desk.wait_for(".preview", "It changes nothing: the source's document has no /districts/{name=C} now.")
    desk.find("#edit-value").send_keys(Keys.ENTER)
    desk.wait_for(".result", "It changes nothing")
    assert desk.find(".result").get_attribute("data-tone") == "bad"
    choose(desk, "remove")
    assert not desk.find("#edit-value").is_displayed()
    desk.find("#edit-pointer").send_keys("/districts/{name=B}")
    desk.wait_for(".preview", "it is taken out")
    desk.find("#edit-pointer").send_keys(Keys.ENTER)
    desk.wait_for(".result", "Taken out.")
    assert len(desk.livefeed.http.get("/feed").json()["districts"]) == 1
    choose(desk, "add")
    desk.find("#edit-pointer").send_keys("/notice")
    desk.find("#edit-value").send_keys('"Recount"' + Keys.ENTER)
    desk.wait_for(".result", "Added.")
    assert desk.livefeed.http.get("/feed").json()["notice"] == "Recount"
    desk.click_on("Clear the overlay …")
    desk.wait_for("#confirm-text", "3 values")
    assert faults(desk.browser) == []
    desk.click("dialog .danger")
    desk.wait_for(".result", "The overlay is empty")
    assert desk.livefeed.http.get("/feed").json() == json.loads(counted(1200))


def test_a_difference_is_corrected(timed: Desk) -> None:
    """A rule holds one wrong value back: a click on it fills in the form; with the right one, the document is shown."""
    desk = timed
    wrong = json.loads(night(61))
    wrong["districts"][2]["votes"] = 61
    replace_file(desk.document, json.dumps(wrong).encode())
    desk.wait_for("#state", "Held")
    desk.wait.until(lambda _: desk.browser.find_elements(By.CSS_SELECTOR, ".differences tbody tr"))
    desk.click(".differences tbody tr button")
    assert desk.find("#edit-pointer").get_property("value") == "/districts/{name=Castle Hill}/votes"
    fill(desk, "#edit-value", "12")
    desk.wait_for(".preview", "The rule votes would hold the document back")
    fill(desk, "#edit-value", "24644")
    desk.wait_for(".preview", "Watchers are shown it at once.")
    desk.click_on("Take its value of now: 61")
    desk.find("#edit-reason").send_keys("as phoned in by Castle Hill")
    desk.wait_for(".preview", "Watchers are shown it at once.")
    picture(desk.browser, "desk-form", ".edit")
    desk.find("#edit-value").send_keys(Keys.ENTER)
    desk.wait_for("#state", "Live")
    assert desk.livefeed.http.get("/results").json() == json.loads(night(61))


def test_at_a_time(timed: Desk) -> None:
    """The end of a hold is set, cancelled, and set again. Before its time, a document is published after a question."""
    desk = timed
    desk.press("hold", "Held.")
    desk.click("#at-a-time")
    desk.wait_for(".timed", "of turnout")
    text = desk.browser.execute_script("return document.body.textContent")
    assert "nobody may see this" not in text
    assert "70.4" not in text
    desk.find("#release-at").send_keys("at nine" + Keys.ENTER)
    desk.wait_for("#release-at-hint", "This is no time.")
    fill(desk, "#release-at", "+10m")
    desk.wait_for("#release-at-hint", "in 10 min 0 s")
    desk.find("#release-reason").send_keys("as agreed" + Keys.ENTER)
    desk.wait_for(".result", "The hold of results ends at")
    desk.wait_for(".next", "The end of the hold is due at")
    first = desk.find(".timed li")
    assert "End of the hold of results" in first.text
    assert "Reason: as agreed" in first.text
    desk.click(".result button")
    desk.wait_for(".result", "Cancelled")
    desk.wait.until(lambda _: "End of the hold" not in desk.text(".timed"))
    desk.wait.until(lambda _: desk.find(".result button").is_displayed())
    desk.click(".result button")
    desk.wait_for(".result", "The hold of results ends at")
    desk.wait_for(".timed", "End of the hold")
    picture(desk.browser, "desk-timed", ".timed")
    desk.click_on("End the hold now …")
    desk.click("dialog .danger")
    desk.wait_for("#state", "Live")
    assert desk.livefeed.http.get("/turnout").json() == {"turnout": 61.2}
    desk.click_on("Publish now …")
    desk.wait_for("#confirm-title", "to all watchers of turnout?")
    desk.find("dialog button").click()
    assert desk.livefeed.http.get("/turnout").json() == {"turnout": 61.2}
    desk.click_on("Publish now …")
    desk.click("dialog .danger")
    desk.wait_for(".result", "The document is stored.")
    desk.wait.until(lambda _: desk.livefeed.http.get("/turnout").content == SECRET)
    desk.wait.until(lambda _: not desk.browser.find_elements(By.CSS_SELECTOR, ".timed li"))


def test_a_document_is_cancelled(timed: Desk) -> None:
    """Only after a question, since its only copy is deleted."""
    desk = timed
    desk.click("#at-a-time")
    desk.wait_for(".timed", "of turnout")
    desk.click_on("Cancel it …")
    desk.wait_for("#confirm-text", "deleted")
    assert desk.text("dialog button") == "Keep it"
    desk.click("dialog .danger")
    desk.wait_for(".result", "Cancelled: the document that was set aside for turnout is gone.")
    desk.wait_for(".lists", "Nothing is to happen at a time.")
    with desk.livefeed.operator() as client:
        assert client.get("/-/embargoes").json() == []


def test_a_document_that_could_not_be_published(timed: Desk) -> None:
    """Its condition did not hold at its time: it is kept, says why, and is published by hand."""
    desk = timed
    with desk.livefeed.operator() as client:
        at = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        fields = {"Livefeed-Publish-At": at, "If-Match": '"%s"' % ("0" * 32)}
        assert client.put("/feeds/turnout", content=b"71", headers=fields).status_code == 202
    desk.click("#at-a-time")
    desk.wait_for(".timed", "It has not happened: ")
    desk.wait_for(".feeds", "an embargo has failed")
    desk.wait_for(".timed", "Only if version 00000000 is stored then.")
    assert faults(desk.browser) == []
    failed = desk.find(".timed li:last-child")
    assert "was due at" in failed.text
    desk.click(".timed li:last-child button")
    desk.click("dialog .danger")
    desk.wait_for(".result", "Do it now had no effect: ")
    desk.click_on("Do it whatever is stored or waits")
    desk.wait_for(".result", "The document is stored.")
    desk.wait.until(lambda _: desk.livefeed.http.get("/turnout").content == b"71")


def test_forms_by_keyboard(desk: Desk) -> None:
    """A value is found, changed and put over the source without a mouse; the focus is always visible."""
    desk.open()
    desk.browser.switch_to.active_element.send_keys(TOKEN + Keys.ENTER)
    desk.wait_for("#state", "Live")
    desk.tab_to("one.id === 'correct'")
    desk.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert desk.browser.execute_script("return document.activeElement.id") == "edit-pointer"
    desk.tab_to("one.tagName === 'SUMMARY'")
    desk.browser.switch_to.active_element.send_keys(Keys.ENTER)
    desk.wait.until(lambda _: desk.browser.find_elements(By.CSS_SELECTOR, ".leaves button"))
    desk.tab_to("one.id === 'find-value'")
    desk.browser.switch_to.active_element.send_keys("votes 1200")
    desk.tab_to("one.className === 'leaf'")
    desk.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert desk.browser.execute_script("return document.activeElement.id") == "edit-value"
    # The value that is there is selected, so it is typed over.
    desk.browser.switch_to.active_element.send_keys("1300")
    desk.wait_for(".preview", "it becomes 1300")
    desk.tab_to("one.className === 'main'")
    desk.browser.switch_to.active_element.send_keys(Keys.ENTER)
    desk.wait_for(".result", "Put over the source.")
    assert votes(desk) == 1300
    assert desk.browser.execute_script("return document.activeElement !== document.body")


def test_no_barriers_in_forms(timed: Desk) -> None:
    """No rule of accessibility is broken, in both themes and on each screen, with everything open and filled in."""
    desk = timed
    desk.press("hold", "Held.")
    desk.browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    desk.wait.until(lambda _: desk.browser.find_elements(By.CSS_SELECTOR, ".leaves button"))
    fill(desk, "#edit-pointer", "/districts/{name=Fenwick}/votes")
    fill(desk, "#edit-value", "1")
    desk.wait_for(".preview", "The rule votes would hold")
    fill(desk, "#release-at", "yesterday")
    with screens(desk.browser):
        check_barriers(desk.browser)
