"""The page of the desk in a browser, for tests: its livefeed, documents of a night, and what all of its tests do."""

from __future__ import annotations

import base64
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.integration.browsing import faults
from tests.integration.harness import WAIT_S, Livefeed, free_port, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome

    from tests.integration.conftest import Start

TOKEN = "0123456789abcdefghijklmnop"
MOST_TABS = 60
ONE = "const one = document.activeElement;"
SCREENS = ((1440, 900), (390, 844), (3840, 2160))

NIGHT = """
state_dir = "state"
interval = 0.2
admin = ["tcp:{port}:interface=127.0.0.1"]
admin_token = "token"

[feeds.results]
source = "{source}"
[feeds.results.rules.votes]
never_falls = ["/districts/{{name=*}}/votes", "/counted"]
[feeds.results.rules.leader]
required = ["/districts/{{name=*}}/leader"]
action = "alarm"

[feeds.turnout]
source = "file:turnout.json"
"""
"""Settings with a rule that holds zeros back, one that raises an alarm, and a second feed."""

DISTRICTS = ("Ashford", "Brook End", "Castle Hill", "Dunmore", "Eastleigh", "Fenwick", "Grange")


def night(share: int) -> bytes:
    """Gives the document of an election night of which a share is counted, in percent."""
    districts = [
        {"name": name, "votes": share * (310 + 47 * place), "leader": "Greens" if share else None}
        for place, name in enumerate(DISTRICTS)
    ]
    return json.dumps({"title": "Results", "counted": share, "districts": districts}).encode()


def counted(votes: int) -> bytes:
    """Gives a document with the votes of two districts."""
    return json.dumps(
        {"counted": votes // 20, "districts": [{"name": "A", "votes": votes}, {"name": "B", "votes": 7}]}
    ).encode()


class Desk:
    """The page of the desk in a browser, and the livefeed that it belongs to."""

    def __init__(self, browser: Chrome, livefeed: Livefeed, origin: str, document: Path) -> None:
        self.browser = browser
        self.livefeed = livefeed
        self.origin = origin
        self.document = document
        self.wait = WebDriverWait(browser, WAIT_S, poll_frequency=0.05)

    def open(self) -> None:
        """Opens the page, as somebody who has never been there."""
        self.browser.get(f"{self.origin}/-/desk/")
        self.browser.execute_script("sessionStorage.clear()")
        self.browser.refresh()
        self.wait.until(lambda _: self.browser.find_elements(By.ID, "token"))

    def enter(self, token: str = TOKEN) -> None:
        """Logs in."""
        self.find("#token").clear()
        self.find("#token").send_keys(token + Keys.ENTER)

    def find(self, selector: str) -> Any:
        """Gives the first element of a selector."""
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """Gives the text of an element."""
        text: str = self.find(selector).text
        return text

    def wait_for(self, selector: str, text: str) -> None:
        """Returns once a text is in an element."""
        self.wait.until(lambda _: text in self.text(selector), f"{text!r} is never in {selector}")

    def press(self, kind: str, result: str) -> None:
        """Gives a command, and waits for its result."""
        self.click(f"[data-command={kind}]")
        self.wait_for(".result", result)

    def click(self, selector: str) -> None:
        """Clicks on an element, which the answer to the command before may lie above."""
        self._click(self.find(selector))

    def click_on(self, name: str) -> None:
        """Clicks on the button with a name."""
        self._click(self.browser.find_element(By.XPATH, f"//button[text()='{name}']"))

    def _click(self, found: Any) -> None:
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def tab_to(self, condition: str) -> None:
        """Moves the focus by the keyboard, until a condition holds for the element that has it; each shows it."""
        for _ in range(MOST_TABS):
            self.browser.switch_to.active_element.send_keys(Keys.TAB)
            outline = self.browser.execute_script(
                f"{ONE} return one === document.body || getComputedStyle(one).outlineStyle"
            )
            assert outline != "none", self.browser.execute_script(f"{ONE} return one.outerHTML")
            if self.browser.execute_script(f"{ONE} return {condition}"):
                return
        raise AssertionError(f"the keyboard does not reach {condition}")


@pytest.fixture
def desk(browser: Chrome, start: Start, tmp_path: Path) -> Iterator[Desk]:
    """The page, of a livefeed that shows a document from a file."""
    token, document = tmp_path / "token", tmp_path / "document.json"
    token.write_text(TOKEN)
    token.chmod(0o600)
    replace_file(document, counted(1200))
    port = free_port()
    admin = ("--admin", f"tcp:{port}:interface=127.0.0.1", "--admin-token", str(token))
    livefeed = start("--source", "file:document.json", "--state-dir", "state", *admin)
    browser.get_log("browser")
    yield Desk(browser, livefeed, f"http://127.0.0.1:{port}", document)
    assert TOKEN not in livefeed.log()


def picture(browser: Chrome, name: str, place: str = "body") -> None:
    """Takes a picture for the docs, if they are made.

    :param place: the selector of the element at the top of it.
    """
    folder = os.environ.get("LIVEFEED_PICTURES")
    if folder is None:
        return
    screen = {"width": 1440, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_script("document.querySelector(arguments[0]).scrollIntoView()", place)
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 80})["data"]
    Path(folder, f"{name}.webp").write_bytes(base64.b64decode(taken))
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@contextmanager
def screens(browser: Chrome) -> Iterator[None]:
    """Resets the screen and the theme at the end."""
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def check_barriers(browser: Chrome) -> None:
    """Checks that no rule of accessibility is broken, in both themes and on each screen, and that nothing is wider."""
    for theme in ("light", "dark"):
        scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        assert faults(browser) == [], theme
    for width, height in SCREENS:
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < height}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        over = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
        assert (width, browser.execute_script(over)) == (width, 0)
        assert faults(browser) == [], width
