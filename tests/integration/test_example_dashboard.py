"""The election dashboard of ``examples/``, as people see it on phones, desks and walls."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.example_sites import Sight, election, screen

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.integration.example_sites import Site, StartExample

pytestmark = pytest.mark.peers

SCREENS = ((360, 740), (820, 1180), (1440, 1000), (3840, 2160))
WALL_PX = 1920
"""The width in pixels from which nobody scrolls the page."""

ROW = """return [...document.getElementById(arguments[0]).rows]
  .map((row) => [...row.cells].map((cell) => cell.innerText.replaceAll(/\\s+/g, " ").trim()))"""
COLORS = """return [...document.querySelectorAll("#parliament circle")].map((seat) => seat.style.fill)"""


def rows(browser: Chrome, name: str) -> dict[str, list[str]]:
    """Gives the rows of a table by the texts of their heads, which stand in the first cell with a text."""
    found: list[list[str]] = browser.execute_script(ROW, name)
    return {next(text for text in row if text): row for row in found}


def signed(difference: int) -> str:
    """Gives a difference as the page writes it."""
    return f"{difference:+d}".replace("-", "\N{MINUS SIGN}") if difference else "\N{PLUS-MINUS SIGN}0"


def names_in(browser: Chrome) -> list[str]:
    """Gives the names of the districts in their order on the page."""
    return [*rows(browser, "districts")]


def lead_of(district: dict[str, Any]) -> float:
    """Gives how far the first party is ahead of the second, as a share of the votes."""
    first, second, *_ = sorted(district["votes"], reverse=True)
    total = sum(district["votes"])
    return (first - second) / total if total else float("inf")


def open_at(browser: Chrome, site: Site, *texts: str) -> Sight:
    """Opens the dashboard, and waits for texts."""
    sight = Sight(browser, site.page)
    sight.wait_for("Live", *texts)
    return sight


def test_document(browser: Chrome, example: StartExample) -> None:
    """Seats, votes and districts are those of the document, with the differences to the last election."""
    document = election()
    site = example("election-dashboard", document)
    sight = open_at(browser, site, "89.2 %", "69 of 100 districts are complete", "101 of 200 seats are a majority")
    colors = browser.execute_script(COLORS)
    assert len(colors) == document["seats"]["total"]
    assert [colors.count(color) for color in dict.fromkeys(colors)] == [each["seats"] for each in document["parties"]]
    shown = rows(browser, "parties")
    for party in document["parties"]:
        _, _, seats, percent, votes, _ = shown[party["name"]]
        assert seats == f"{party['seats']} ({signed(party['seats'] - party['before']['seats'])})", party
        # Halves are rounded in two ways.
        assert abs(float(percent.partition(" ")[0]) - party["percent"]) < 0.051, party
        assert votes == f"{party['votes']:,}"
    # The closest race is the first one.
    leads = {each["name"]: lead_of(each) for each in document["districts"]}
    assert names_in(browser) == sorted(leads, key=lambda name: leads[name])
    sight.wait_for("s ago", "Comes by websocket", "each version is verified")
    sight.assert_sound()
    sight.leave()


def test_changes(browser: Chrome, example: StartExample) -> None:
    """What has changed since the version before is told, and forgotten when another night begins."""
    document = election()
    site = example("election-dashboard", document)
    sight = open_at(browser, site, "Nothing has been reported since this page was opened.")
    changed = copy.deepcopy(document)
    first, second = changed["parties"][1], changed["parties"][4]
    first["seats"] += 2
    first["votes"] += 1204
    second["seats"] -= 2
    changed["turnout"]["votes"] += 1204
    counting = next(each for each in changed["districts"] if 0 < each["counted"] < 100)
    names = {party["key"]: party["name"] for party in changed["parties"]}
    old, counting["leader"] = counting["leader"], next(key for key in names if key != counting["leader"])
    counting["counted"] = 99.9
    site.write("document.json", changed)
    sight.wait_for(
        "+1,204",
        "gain 2 seats",
        "lose 2 seats",
        f"{counting['name']}: {names[counting['leader']]} overtake {names[old]}",
    )
    assert rows(browser, "parties")[first["name"]][4] == f"+1,204 {first['votes']:,}"
    counting["counted"], counting["before"] = 100.0, old
    site.write("document.json", changed)
    sight.wait_for(f"{counting['name']}: {names[counting['leader']]} win it from {names[old]}", gone="+1,204")
    site.write("document.json", election(10))
    sight.wait_for("Nothing has been reported since this page was opened.")
    sight.leave()


def test_majorities(browser: Chrome, example: StartExample) -> None:
    """Parties that are ticked are added up; the seats of the others are pale."""
    document = election()
    site = example("election-dashboard", document)
    sight = open_at(browser, site)
    for name in ("Social Democrats", "Greens"):
        browser.execute_script("document.querySelector(`[aria-label='${arguments[0]}']`).click()", name)
    sight.wait_for("Social Democrats + Greens: 84 seats, 17 short of a majority")
    assert sight.get("document.querySelectorAll('circle.out').length") == 200 - 84
    browser.execute_script("document.querySelector(`[aria-label='Left Alliance']`).click()")
    changed = copy.deepcopy(document)
    changed["parties"][1]["seats"] += 1
    changed["parties"][5]["seats"] -= 1
    site.write("document.json", changed)
    sight.wait_for("Left Alliance + Social Democrats + Greens: 101 seats, a majority")
    sight.leave()


def test_districts(browser: Chrome, example: StartExample) -> None:
    """They are sorted by any column, and found by a part of their names, also when the next version comes."""
    document = election()
    site = example("election-dashboard", document)
    sight = open_at(browser, site)
    head = "document.querySelector('[data-sort=name]')"
    for direction, is_down in (("ascending", False), ("descending", True)):
        browser.execute_script(f"{head}.querySelector('button').click()")
        assert sight.get(f"{head}.getAttribute('aria-sort')") == direction
        assert names_in(browser) == sorted((each["name"] for each in document["districts"]), reverse=is_down)
    assert sight.get("document.querySelectorAll('[aria-sort]').length") == 1
    browser.execute_script(
        "const find = document.getElementById('find'); find.value = 'HAM'; find.dispatchEvent(new Event('input'))"
    )
    wanted = sorted((each["name"] for each in document["districts"] if "ham" in each["name"].lower()), reverse=True)
    assert names_in(browser) == wanted
    sight.wait_for(f"{len(wanted)} of 100")
    changed = copy.deepcopy(document)
    district = next(each for each in changed["districts"] if each["name"] == wanted[0])
    district["counted"] = 33.3
    site.write("document.json", changed)
    sight.wait_for("33.3 %")
    assert names_in(browser) == wanted
    sight.leave()


def test_states(browser: Chrome, example: StartExample) -> None:
    """No number is seen that must not be shown, and old ones are said to be old."""
    site = example("election-dashboard", election())
    sight = open_at(browser, site, "Left Alliance")
    site.ctl("hold")
    site.write("document.json", election(480))
    sight.wait_for("Being checked", "Left Alliance")
    site.ctl("release")
    sight.wait_for("Live")
    site.ctl("withdraw")
    sight.wait_for("Withdrawn", "Please come back later", gone="Left Alliance")
    sight.assert_readable()
    site.ctl("resume")
    sight.wait_for("Live", "Left Alliance")
    site.remove("document.json")
    sight.wait_for("Not updated", "Left Alliance")
    site.kill()
    sight.wait_for("No connection", "Left Alliance")
    sight.leave()


def test_hostile_document(browser: Chrome, example: StartExample) -> None:
    """Texts of the document become text, and a colour that is none becomes grey."""
    document = election()
    bad = '<img src="x" onerror="document.title = 1">'
    document["title"] = document["parties"][0]["name"] = document["districts"][0]["name"] = bad
    document["parties"][0]["color"] = "red; background: url(https://example.org/)"
    site = example("election-dashboard", document)
    sight = open_at(browser, site, bad)
    assert sight.get("document.querySelectorAll('img').length") == 0
    assert browser.execute_script(COLORS)[0] == "rgb(136, 136, 136)"
    sight.assert_sound()
    sight.leave()


def test_screens(browser: Chrome, example: StartExample) -> None:
    """It fits phones, tablets, desks and walls, and can be read in both themes."""
    site = example("election-dashboard", election())
    for width, height in SCREENS:
        for theme in ("light", "dark"):
            with screen(browser, width, height, theme):
                sight = open_at(browser, site, "Left Alliance")
                sight.assert_sound()
                if width >= WALL_PX:
                    assert sight.get("document.documentElement.scrollHeight <= innerHeight"), (width, height)
    browser.get("about:blank")
