"""The recipes of ``docs/howto/page.md``, word for word, in a real browser: plain DOM, React, Svelte and Vue."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.documentation import code_block
from tests.helpers.peers import missing_peer, peer
from tests.helpers.waiting import wait_until
from tests.integration.harness import TCP, WAIT_S, replace_file
from tests.integration.visiting import OPTIONS, TEXT_PAGE

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.integration.conftest import Start

pytestmark = pytest.mark.peers

CLIENTS = Path(__file__).resolve().parent.parent / "clients"
PAGE = "howto/page.md"
PLAIN, SVELTE, VUE = 1, 2, 3
"""The places of the recipes among the blocks of HTML."""

PLACES = ("plain", "react", "svelte", "vue")

ADD_PLAIN = """
const script = Object.assign(document.createElement("script"), { type: "module", textContent: arguments[1] });
document.body.innerHTML = arguments[2].map((name) => `<div id="${name}"></div>`).join("");
document.getElementById("plain").innerHTML = arguments[0];
document.body.append(script);
"""
"""Shows HTML and runs its script: a script in ``innerHTML`` does not run."""

SHOWN = """return Object.fromEntries(arguments[0].map((name) =>
  [name, document.getElementById(name).textContent.trim().replaceAll(/\\s+/g, " ")]))"""


def bundle(directory: Path) -> str:
    """Gives the script that shows the recipes for React, Svelte and Vue."""
    for package in ("esbuild", "react-dom", "svelte", "vue"):
        if not (CLIENTS / "node_modules" / package).is_dir():
            missing_peer(f"no {package} in tests/clients/node_modules: run make")
    (directory / "Title.jsx").write_text(code_block(PAGE, "jsx"))
    for index, (name, component) in enumerate((("svelte", SVELTE), ("vue", VUE))):
        (directory / name).mkdir()
        (directory / name / "feed.js").write_text(code_block(PAGE, "js", index))
        (directory / name / f"Title.{name}").write_text(code_block(PAGE, "html", component))
    done = subprocess.run(
        [peer("node", "nodejs"), "recipes.mjs", str(directory)],
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (directory / "recipes.js").read_text()


def test_each_recipe_shows_title_and_state(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """Each shows the title of the newest version and its state, and says so when the server is away."""

    def write(title: str) -> None:
        replace_file(tmp_path / "document.json", json.dumps({"title": title}).encode())

    def shown() -> dict[str, str]:
        texts: dict[str, str] = browser.execute_script(SHOWN, PLACES)
        return texts

    def wait_for(text: str) -> None:
        wait_until(lambda: set(shown().values()) == {text}, shown)

    recipes = tmp_path / "recipes"
    recipes.mkdir()
    script = bundle(recipes)
    write("First")
    livefeed = start(*OPTIONS, listen=(TCP,))
    browser.get(f"http://{livefeed.authority}{TEXT_PAGE}")
    plain = re.fullmatch(r"(.*)<script type=\"module\">(.*)</script>\n", code_block(PAGE, "html", PLAIN), re.DOTALL)
    assert plain is not None
    browser.execute_script(ADD_PLAIN, *plain.groups(), PLACES)
    browser.execute_script(script)
    wait_for("First live")
    write("Second")
    wait_for("Second live")
    livefeed.process.signal(signal.SIGKILL)
    livefeed.process.wait()
    wait_for("Second offline")
    browser.get("about:blank")
    browser.get_log("browser")
