"""The page at all sizes and in both themes: nothing is wider than the screen. `make pictures` keeps the pictures."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import WebDriverWait

from livefeed.document.snapshot import version_of
from livefeed.sources.demo.election import NIGHT_S, Election
from tests.helpers.moving_picture import moving
from tests.integration.harness import WAIT_S, replace_file

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.integration.conftest import Start

pytestmark = pytest.mark.peers

NIGHT = 1_790_000_000 // NIGHT_S * NIGHT_S
SECOND = 478
"""The second of the night whose document is shown."""
MOST_BYTES = 250_000
FRAMES = range(112, NIGHT_S, 40)
"""The seconds of the night that the moving picture shows."""
FRAME_MS = 900
MOST_MOVING_BYTES = 900_000
MOVING = {"width": 1200, "height": 760, "deviceScaleFactor": 1, "mobile": False}
RESET: dict[str, dict[str, object]] = {
    "Emulation.clearDeviceMetricsOverride": {},
    "Emulation.setEmulatedMedia": {},
    "Emulation.setScrollbarsHidden": {"hidden": False},
}
CURVES = ("watchers", "deliveries", "delay")
PHONE = 500
"""The width in pixels up to which tables may be wider than the screen."""

CUT = """return [...document.querySelectorAll(".scroll")].filter((one) => one.scrollWidth > one.clientWidth)
  .map((one) => one.getAttribute("aria-label"))"""
"""A script that gives the names of the tables of which columns are cut off."""

FIGURES = """{
const wave = (at, most) => Math.round(most * (0.6 + 0.3 * Math.sin(at / 23) + 0.02 * Math.sin(at * 1.7)));
const times = Array.from({ length: 180 }, (_, at) => at);
const figures = {
  interval_s: 1,
  at: "2026-11-30T20:00:00.000Z",
  watchers: times.map((at) => 9000 + 35 * at + wave(at, 90)),
  deliveries: times.map((at) => 9000 + 35 * at + wave(at, 600)),
  delay_ms: times.map((at) => (at % 3 ? null : wave(at, 160))),
};
const ask = window.fetch;
window.fetch = (url, options) =>
  String(url).endsWith("figures.json") ? Promise.resolve(new Response(JSON.stringify(figures))) : ask(url, options);
}"""
"""A script of a page that has the same figures in each picture, of three minutes that a test cannot wait for."""

SHOW_FIGURES = """const panel = document.querySelector(".plots").closest("details");
panel.open = true;
panel.scrollIntoView({ block: "end" })"""
"""A script that shows the curves, at the end of the screen."""

SHOW_PICTURE = """const [url, done] = arguments;
const picture = new Image();
picture.onload = () => done([picture.naturalWidth, picture.naturalHeight]);
picture.onerror = () => done("it cannot be shown");
picture.src = url"""
"""A script that gives the size of a picture that the browser has shown."""

LEVEL = "//span[@class='key'][text()='water_level_m']/following-sibling::span"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a page.

    :ivar scale: the size of the picture, in parts of the screen.
    """

    name: str
    path: str
    width: int
    height: int
    theme: str
    scale: float = 1


PICTURES = (
    Picture("election-light", "election.html", 1440, 1300, "light"),
    Picture("election-dark", "election.html", 1440, 1300, "dark"),
    Picture("election-phone", "election.html", 390, 844, "light"),
    Picture("election-phone-dark", "election.html", 390, 844, "dark"),
    Picture("election-wall", "election.html", 3840, 2160, "dark", 0.5),
    Picture("document-light", "harbour.html", 1440, 900, "light"),
    Picture("document-dark", "harbour.html", 1440, 900, "dark"),
    Picture("document-phone", "harbour.html", 390, 844, "light"),
    Picture("figures-light", "harbour.html?figures", 1440, 900, "light"),
    Picture("figures-dark", "harbour.html?figures", 1440, 900, "dark"),
    Picture("figures-phone", "harbour.html?figures", 390, 844, "light"),
    Picture("figures-wall", "harbour.html?figures", 3840, 2160, "dark", 0.5),
    Picture("list-light", "", 1440, 400, "light"),
    Picture("list-phone", "", 390, 844, "dark"),
)


def harbour(step: int) -> bytes:
    """Gives a document with numbers, a table and a tree, another one for each step."""
    ships = ("Aurora", "Borealis", "Cormorant", "Dunlin", "Eider", "Fulmar", "Gannet", "Heron")
    return json.dumps(
        {
            "title": "Harbour",
            "water_level_m": round(1.5 + 0.07 * (step * 5 % 7), 2),
            "wind_ms": round(7 + 0.9 * (step * 3 % 5), 1),
            "open": True,
            "berths": [
                {
                    "ship": ship,
                    "berth": f"B{place + 1}",
                    "cargo_t": 1200 + 310 * place + (40 * step if (place + step) % 3 else 0),
                    "speed_kn": round(4 + 1.1 * place + (step * (place + 3) % 5) / 4, 1),
                    "pilot": place % 3 == 0,
                }
                for place, ship in enumerate(ships)
            ],
            "tide": {"next_high": "04:12", "gauges": {"north": {"level_m": 1.5}, "south": {"level_m": 1.25}}},
        }
    ).encode()


def test_pictures(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """Each page fits its screen, from phone to wall. The documents are always the same ones."""
    kept = os.environ.get("LIVEFEED_PICTURES")
    folder = tmp_path if kept is None else Path(kept)
    folder.mkdir(exist_ok=True)
    election = Election(1)
    files = {"election": election.document, "harbour": harbour}
    for name, document in files.items():
        replace_file(tmp_path / f"{name}.json", document(NIGHT + SECOND))
    feeds = "".join(f"[feeds.{name}]\nsource = 'file:{name}.json'\n" for name in files)
    (tmp_path / "a.toml").write_text("interval = 0.2\n" + feeds)
    livefeed = start("--config", "a.toml", "--page-figures", "true", live=False)
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": FIGURES})
    for name in files:
        livefeed.wait_for_log(f'feed "{name}" is live')
    for picture in PICTURES:
        take(browser, picture, f"https://{livefeed.authority}/{picture.path}", folder, tmp_path)
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})
    for command, values in RESET.items():
        browser.execute_cdp_cmd(command, values)
    browser.get_log("browser")


def take(browser: Chrome, picture: Picture, address: str, folder: Path, documents: Path) -> None:
    """Opens a page on its screen, shows it some versions, and takes the picture."""
    screen = {"width": picture.width, "height": picture.height, "deviceScaleFactor": 1}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**screen, "mobile": picture.width < PHONE})
    scheme = {"features": [{"name": "prefers-color-scheme", "value": picture.theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    browser.get(address)
    wait = WebDriverWait(browser, WAIT_S, poll_frequency=0.1)
    wait.until(lambda _: browser.find_elements(By.XPATH, "//*[@data-state='live']"))
    if picture.path.startswith("harbour"):
        for step in range(8):
            replace_file(documents / "harbour.json", harbour(step))
            level = json.loads(harbour(step))["water_level_m"]
            wait.until(expected_conditions.text_to_be_present_in_element((By.XPATH, LEVEL), str(level)))
    top = 0
    if picture.path.endswith("?figures"):
        browser.execute_script(SHOW_FIGURES)
        wait.until(lambda _: len(browser.find_elements(By.CSS_SELECTOR, ".plots canvas")) == len(CURVES))
        browser.execute_script(SHOW_FIGURES)
        top = browser.execute_script("return scrollY")
    over = browser.execute_script("const page = document.documentElement; return page.scrollWidth - page.clientWidth")
    assert (picture.name, over) == (picture.name, 0)
    if picture.width > PHONE:
        assert (picture.name, browser.execute_script(CUT)) == (picture.name, [])
    clip = {"x": 0, "y": top, "width": picture.width, "height": picture.height, "scale": picture.scale}
    # The light of changes goes out.
    browser.execute_async_script("setTimeout(arguments[0], 1700)")
    data = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 80, "clip": clip})["data"]
    content = base64.b64decode(data)
    assert len(content) < MOST_BYTES
    (folder / f"{picture.name}.webp").write_bytes(content)


def test_moving_picture(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """The page of the election shows each version of a night by itself. README has the picture."""
    kept = os.environ.get("LIVEFEED_PICTURES")
    election, document = Election(1), tmp_path / "election.json"
    replace_file(document, election.document(NIGHT + FRAMES[0]))
    (tmp_path / "a.toml").write_text("interval = 0.2\n[feeds.election]\nsource = 'file:election.json'\n")
    livefeed = start("--config", "a.toml", live=False)
    livefeed.wait_for_log('feed "election" is live')
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", MOVING)
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    browser.get(f"https://{livefeed.authority}/election.html")
    wait, frames = WebDriverWait(browser, WAIT_S, poll_frequency=0.1), []
    for second in FRAMES if kept else FRAMES[:3]:
        data = election.document(NIGHT + second)
        replace_file(document, data)
        version = version_of(data)[:8]
        wait.until(expected_conditions.text_to_be_present_in_element((By.ID, "version"), version))
        browser.execute_async_script("setTimeout(arguments[0], 400)")
        picture = {
            "format": "webp",
            "quality": 60,
            "clip": {"x": 0, "y": 0, "width": 1200, "height": 760, "scale": 0.75},
        }
        frames.append(base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", picture)["data"]))
    for command, values in RESET.items():
        browser.execute_cdp_cmd(command, values)
    assert len(set(frames)) == len(frames)
    content = moving(frames, FRAME_MS)
    assert len(content) < MOST_MOVING_BYTES
    (tmp_path if kept is None else Path(kept)).joinpath("night.webp").write_bytes(content)
    # The browser shows it.
    url = "data:image/webp;base64," + base64.b64encode(content).decode()
    assert browser.execute_async_script(SHOW_PICTURE, url) == [900, 570]
