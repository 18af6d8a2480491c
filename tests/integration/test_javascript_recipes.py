"""The recipes of ``docs/howto/page.md``, word for word, in a real browser: plain DOM, React, Svelte and Vue."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.helpers.documentation import DOCS, code_block
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


class Lines(NamedTuple):
    """The lines that people copy first."""

    page: str
    html: str
    address: str
    """That of livefeed in them."""

    document: object
    shown: str
    """The text that they show of the document, with the place of the state."""


def shell_page(page: str) -> str:
    """Gives the page that a block of the shell writes into a file."""
    found = re.search(r"^cat > page\.html <<'END'\n(.*?)^END$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


README = "../README.md"
FIRST_LINES = (
    Lines(
        README, code_block(README, "html"), "http://localhost:8080", {"counted": {"percent": 1.5}}, "1.5 % counted ({})"
    ),
    Lines(README, shell_page(README), "http://localhost:8080", {"votes": 7}, "7 votes ({})"),
    Lines(PAGE, code_block(PAGE, "html"), "https://example.org", {"votes": 7}, '{{"votes":7}} {}'),
)

ADD_PLAIN = """
const script = Object.assign(document.createElement("script"), { type: "module", textContent: arguments[1] });
document.body.innerHTML = arguments[2].map((name) => `<div id="${name}"></div>`).join("");
document.getElementById("plain").innerHTML = arguments[0];
document.body.append(script);
"""
"""Shows HTML and runs its script: a script in ``innerHTML`` does not run."""

BODY = "return document.body.textContent"

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


@pytest.mark.parametrize("lines", FIRST_LINES)
def test_first_lines_never_show_an_old_document_as_live(
    browser: Chrome, start: Start, tmp_path: Path, lines: Lines
) -> None:
    """They say so when pulls fail, and when the server is away."""
    path = tmp_path / "document.json"
    replace_file(path, json.dumps(lines.document).encode())
    livefeed = start(*OPTIONS, listen=(TCP,))

    def wait_for(state: str) -> None:
        shown = lines.shown.format(state)
        wait_until(lambda: shown in browser.execute_script(BODY), lambda: browser.execute_script(BODY))

    here = lines.html.replace(lines.address, f"http://{livefeed.authority}")
    before, _, script = here.partition('<script type="module">')
    browser.get(f"http://{livefeed.authority}{TEXT_PAGE}")
    browser.execute_script(ADD_PLAIN, before, script.partition("</script>")[0], ["plain"])
    wait_for("live")
    path.write_bytes(b"{")
    wait_for("stale")
    replace_file(path, json.dumps(lines.document).encode())
    wait_for("live")
    livefeed.process.signal(signal.SIGKILL)
    livefeed.process.wait()
    wait_for("offline")
    browser.get("about:blank")
    browser.get_log("browser")
