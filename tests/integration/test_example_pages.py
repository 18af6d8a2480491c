"""The news page and the use cases of ``examples/``, as their readers see them."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from tests.helpers.documentation import EXAMPLES
from tests.integration.example_sites import Sight, rows, screen

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.integration.example_sites import StartExample

pytestmark = pytest.mark.peers

USE_CASES = ("election", "scoreboard", "departures", "queue", "status-page", "now-playing")
MOST_LINES, MOST_COLUMNS = 20, 130


class TestNewsPage:
    """The article with a live table."""

    def test_each_state_is_shown(self, browser: Chrome, example: StartExample) -> None:
        """Numbers, state and age; numbers that must not be shown are not seen, also not those of the editors."""
        site = example("news-page")
        sight = Sight(browser, site.page)
        sight.wait_for("Live", "181,204", "s ago", gone="As of 21:30")
        sight.assert_sound()
        document = site.read("results.json")
        document["answers"][0]["votes"] = 200_000
        site.write("results.json", document)
        sight.wait_for("Live", "200,000", "169,287")
        site.ctl("hold", "--reason", "two stations are counted again")
        document["answers"][0]["votes"] = 200_001
        site.write("results.json", document)
        sight.wait_for("New numbers are being checked", "200,000")
        site.ctl("release")
        sight.wait_for("Live", "200,001")
        site.ctl("withdraw", "--reason", "wrong file")
        sight.wait_for("Withdrawn", gone="169,287")
        again = Sight(browser, site.page)
        again.wait_for("Withdrawn", gone="93,732")
        again.assert_readable()
        site.ctl("release")
        again.wait_for("Live", "200,001")
        site.remove("results.json")
        again.wait_for("No new numbers", "200,001", "confirmed")
        site.kill()
        again.wait_for("No connection", "200,001")
        again.leave()

    def test_without_a_script(self, browser: Chrome, example: StartExample) -> None:
        """Readers without JavaScript, and those of a livefeed that is away, see the numbers of the editors."""
        site = example("news-page")
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        Sight(browser, site.page).wait_for("As of 21:30", "98,341", gone="Live")
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        site.kill()
        sight = Sight(browser, site.page)
        sight.wait_for("As of 21:30", "98,341", gone="Live")
        sight.leave()

    def test_script_has_five_lines(self) -> None:
        """As its description says."""
        text = (EXAMPLES / "news-page" / "index.html").read_text()
        _, _, script = text.partition('<script type="module">')
        assert len(script.partition("</script>")[0].strip().splitlines()) == 5

    def test_themes_and_widths(self, browser: Chrome, example: StartExample) -> None:
        """It fits phones and desks, and can be read in both themes."""
        site = example("news-page")
        for theme, width in product(("light", "dark"), (360, 1280)):
            with screen(browser, width, 800, theme):
                sight = Sight(browser, site.page)
                sight.wait_for("Live", "181,204")
                sight.assert_sound()
                site.ctl("withdraw")
                sight.wait_for("Withdrawn")
                sight.assert_readable()
                site.ctl("release")
        sight.leave()


class TestUseCases:
    """The six use cases, each with its settings, a document, and a page."""

    def test_pages_are_short(self) -> None:
        """They are read before they are believed."""
        for name in USE_CASES:
            lines = (EXAMPLES / "use-cases" / name / "page.html").read_text().splitlines()
            assert len(lines) <= MOST_LINES, name
            assert max(map(len, lines)) <= MOST_COLUMNS, name

    def test_none_is_forgotten(self) -> None:
        """The README has each folder, and each is tested here."""
        folders = {path.name for path in (EXAMPLES / "use-cases").iterdir() if path.is_dir()}
        assert folders == {*USE_CASES}
        assert folders == {name.partition("/")[2] for name in rows() if name.startswith("use-cases/")}

    def test_election(self, browser: Chrome, example: StartExample) -> None:
        """Seats are shown; a count full of zeros is not."""
        site = example("use-cases/election")
        sight = Sight(browser, site.page)
        sight.wait_for("live", "38 % are counted", "Labour 17 28,870")
        sight.assert_sound()
        document = site.read("results.json")
        document["counted"] = 40
        document["parties"][1] |= {"seats": 18, "votes": 30_000}
        site.write("results.json", document)
        sight.wait_for("40 % are counted", "Labour 18 30,000")
        site.write("results.json", {**document, "parties": [{**each, "votes": 0} for each in document["parties"]]})
        sight.wait_for("held", "Labour 18 30,000")
        sight.leave()

    def test_scoreboard(self, browser: Chrome, example: StartExample) -> None:
        """A goal is shown; a finger on the wrong key is not."""
        site = example("use-cases/scoreboard")
        sight = Sight(browser, site.page)
        sight.wait_for("live", "Harbour Town \N{EN DASH} North End", "1 : 1", "63\N{PRIME}", "61' 1:1 Okafor")
        sight.assert_sound()
        match = site.read("match.json")
        match["home"]["goals"], match["last"] = 2, "64' 2:1 Lindqvist"
        site.write("match.json", match)
        sight.wait_for("2 : 1", "Lindqvist")
        match["home"]["goals"] = 22
        site.write("match.json", match)
        sight.wait_for("held", "2 : 1")
        site.kill()
        sight.wait_for("offline", "2 : 1")
        sight.leave()

    def test_departures(self, browser: Chrome, example: StartExample) -> None:
        """A new note is shown, and no board at all once it must not be shown."""
        site = example("use-cases/departures")
        sight = Sight(browser, site.page)
        sight.wait_for("live", "12:09 Airport 1 5 min late")
        sight.assert_sound()
        board = site.read("departures.json")
        board["departures"][1]["note"] = "12 min late"
        site.write("departures.json", board)
        sight.wait_for("12:09 Airport 1 12 min late")
        site.ctl("withdraw")
        sight.wait_for("Please ask the staff", gone="Airport")
        sight.leave()

    def test_queue(self, browser: Chrome, example: StartExample) -> None:
        """The number that is called, and the place of one's own; the rest of the document does not come."""
        site = example("use-cases/queue")
        sight = Sight(browser, site.page)
        sight.wait_for("live", "117", "B2")
        sight.assert_sound()
        for own, says in (("119", "2 before you"), ("117", "your turn"), ("90", "please ask at the desk"), ("x", "")):
            browser.execute_script(
                "const mine = document.getElementById('mine'); mine.value = arguments[0];"
                "mine.dispatchEvent(new Event('input'))",
                own,
            )
            assert sight.get("document.getElementById('turn').textContent") == says
        queue = site.read("queue.json")
        site.write("queue.json", {**queue, "now": {"number": 118, "room": "A1"}})
        sight.wait_for("118", "A1")
        site.write("queue.json", queue)
        sight.wait_for("held", "118")
        sight.leave()

    def test_status_page(self, browser: Chrome, example: StartExample) -> None:
        """The services are shown, and that nobody knows whether they still are so."""
        site = example("use-cases/status-page")
        sight = Sight(browser, site.page)
        sight.wait_for("Checked just now", "Payments is slow since 2026-11-30 11:42")
        sight.assert_sound()
        services = site.read("services.json")
        services["services"][1]["state"] = "up"
        site.write("services.json", services)
        sight.wait_for("Payments is up")
        site.kill()
        sight.wait_for("This page has no connection", "Payments is up")
        sight.leave()

    def test_now_playing(self, browser: Chrome, example: StartExample) -> None:
        """The next piece is shown; a jingle is not."""
        site = example("use-cases/now-playing")
        sight = Sight(browser, site.page)
        sight.wait_for("live", "Slow Tide", "The Lighthouse Keepers", "Then: Pier Seven, Fog Horns at Five")
        sight.assert_sound()
        studio = site.read("studio.json")
        site.write("studio.json", {**studio, "kind": "jingle", "title": "You are listening to us"})
        sight.wait_for("held", "Slow Tide")
        site.write("studio.json", {**studio, "title": "Pier Seven", "next": ["Fog Horns at Five"]})
        sight.wait_for("live", "Pier Seven", "Then: Fog Horns at Five")
        sight.leave()
