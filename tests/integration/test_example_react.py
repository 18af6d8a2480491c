"""The example for React: built as its package says, and drawn only where the document changes.

It is one of ``examples/README.md``.
"""

from __future__ import annotations

import copy
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.helpers.peers import missing_peer, peer
from tests.integration.example_sites import CHECKOUT, Sight, election
from tests.integration.harness import WAIT_S

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.integration.example_sites import Site, StartExample

pytestmark = pytest.mark.peers

INSTALLED = CHECKOUT / "tests" / "clients" / "node_modules"

DRAWN = """return Object.fromEntries([...document.querySelectorAll("[data-drawn]")]
  .map((one) => [one.dataset.drawn, Number.parseInt(one.textContent.slice(6))]))"""


def build(site: Site) -> None:
    """Runs the build of the example, with the packages of the tests in place of those that npm would install."""
    modules = site.folder / "node_modules"
    (modules / ".bin").mkdir(parents=True)
    for name in ("react", "react-dom", "esbuild", ".bin/esbuild"):
        if not (INSTALLED / name).exists():
            missing_peer(f"no {name} in tests/clients/node_modules: run make")
        (modules / name).symlink_to(INSTALLED / name)
    shutil.copytree(CHECKOUT / "clients" / "js", modules / "livefeed")
    command = [peer("npm", "npm"), "run", "--silent", "build"]
    done = subprocess.run(command, cwd=site.folder, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_what_changes_is_drawn(browser: Chrome, example: StartExample) -> None:
    """A district that reports draws its row, and not the other hundred; nor the parties, if they stay as they are."""
    document = election()
    site = example("react", document)
    build(site)
    sight = Sight(browser, site.page)
    sight.wait_for("Live", "Left Alliance", "s ago", *(each["name"] for each in document["districts"]))
    sight.assert_sound()
    before: dict[str, int] = browser.execute_script(DRAWN)
    assert len(before) == 1 + len(document["parties"]) + len(document["districts"])

    def drawn() -> set[str]:
        """Gives the rows that were drawn since the last call."""
        now: dict[str, int] = browser.execute_script(DRAWN)
        found = {name for name, count in now.items() if count != before[name]}
        before.update(now)
        return found

    changed = copy.deepcopy(document)
    changed["districts"][40]["counted"] = 12.5
    changed["updated"] = "2026-11-30T21:00:00Z"
    site.write("document.json", changed)
    sight.wait_for("12.5 %")
    assert drawn() == {document["districts"][40]["name"]}
    changed["parties"][2]["votes"] = 123_456
    site.write("document.json", changed)
    sight.wait_for("123,456")
    assert drawn() == {document["parties"][2]["key"]}
    site.write("document.json", {**changed, "districts": changed["districts"][:2]})
    sight.wait_for(gone=changed["districts"][2]["name"])
    assert {*browser.execute_script(DRAWN)} & {each["name"] for each in changed["districts"][2:]} == set()


def test_states(browser: Chrome, example: StartExample) -> None:
    """Numbers that are withdrawn are not shown; those of a server that is away are, and are said to be old."""
    site = example("react", election())
    build(site)
    sight = Sight(browser, site.page)
    sight.wait_for("Live", "Left Alliance")
    site.ctl("withdraw")
    sight.wait_for("Withdrawn", gone="Left Alliance")
    site.ctl("resume")
    sight.wait_for("Live", "Left Alliance")
    site.kill()
    sight.wait_for("No connection", "Left Alliance")
    sight.leave()
