"""The folder ``examples/`` at work: the command that its README has for an example, and the web server for its pages.

Everything runs in a copy of the folder, so documents and addresses can be changed. The ports of the README are replaced
by free ones, and nothing else is.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from livefeed.sources.demo.election import NIGHT_S, Election
from tests.helpers.documentation import EXAMPLES
from tests.helpers.waiting import wait_until
from tests.integration.browsing import faults
from tests.integration.harness import (
    HOST,
    START_S,
    WAIT_S,
    Process,
    environment,
    free_port,
    replace_file,
    runtime_dir,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome

CHECKOUT = Path(__file__).resolve().parents[2]
LIVEFEED = str(Path(sys.executable).with_name("livefeed"))

LIVEFEED_PORT, PAGES_PORT = "8080", "8000"
"""The ports of livefeed and of the web server in all examples."""

_ROW = re.compile(
    r"^\| \[(?P<name>[^\]]+)\]\([^)]+\) \| [^|]+ \| `(?P<command>livefeed [^`]+)` \| (?:<(?P<page>[^>]+)>)? *\|$",
    re.MULTILINE,
)
_LISTENING = re.compile(r"listening on \S+: the page is http://localhost:(\d+)/")
_TEXTS = {".html", ".js", ".jsx", ".toml"}
"""The kinds of files that have addresses."""


NIGHT = 1_790_000_000 // NIGHT_S * NIGHT_S
"""The first second of a night of the demonstration."""


def election(second: int = 478) -> dict[str, Any]:
    """Gives the demonstration's document of a second of the night."""
    document: dict[str, Any] = json.loads(Election(1).document(NIGHT + second))
    return document


@dataclass(frozen=True, slots=True)
class Row:
    """An example in the table of the README.

    :ivar name: its folder below ``examples``.
    :ivar command: the command that starts livefeed.
    :ivar page: the address of its page; ``None`` if it has none.
    """

    name: str
    command: str
    page: str | None


def rows() -> dict[str, Row]:
    """Gives the examples of the README that start a livefeed, by their names."""
    found = [
        Row(*match.group("name", "command", "page")) for match in _ROW.finditer((EXAMPLES / "README.md").read_text())
    ]
    return {each.name: each for each in found}


class Site:
    """An example that runs.

    :param row: its row in the README.
    :param document: what livefeed serves, in place of the demonstration; ``None`` for the command as it stands.
    :ivar folder: the copy of its folder.
    :ivar origin: the origin of livefeed.
    :ivar page: the address of its page.
    """

    def __init__(
        self, stack: contextlib.ExitStack, directory: Path, row: Row, document: dict[str, Any] | None = None
    ) -> None:
        copy = directory / "examples"
        shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("node_modules", "clients"))
        self.folder = copy / row.name
        pages = free_port()
        self._replace(PAGES_PORT, pages)
        web = Process([sys.executable, "-m", "http.server", "--bind", HOST, str(pages)], directory=copy)
        stack.callback(web.close)
        web.wait_for("Serving HTTP", START_S)
        self._variables = {**environment(directory), "LIVEFEED_RUNTIME_DIR": str(runtime_dir(stack))}
        program, *arguments = shlex.split(row.command.replace(LIVEFEED_PORT, "0"))
        assert program == "livefeed"
        if document is not None:
            self.write("document.json", document)
            arguments += [str(self.folder / "document.json"), "--interval", "0.2"]
        self.livefeed = Process([LIVEFEED, *arguments], directory=directory, environment=self._variables)
        stack.callback(self.livefeed.close)
        self.livefeed.wait_for("is live", START_S)
        self.livefeed.wait_for("listening on ")
        found = _LISTENING.search(self.livefeed.text())
        assert found is not None, self.livefeed.text()
        self._replace(LIVEFEED_PORT, int(found[1]))
        self.origin = f"http://localhost:{found[1]}"
        self.page = (row.page or "").replace(PAGES_PORT, str(pages))

    def _replace(self, port: str, by: int) -> None:
        """Has another port in all addresses of the example and of what lies in the folders around it."""
        for file in self.folder.rglob("*"):
            if file.suffix in _TEXTS:
                replace_file(
                    file, re.sub(rf"(localhost|127\.0\.0\.1):{port}\b", rf"\1:{by}", file.read_text()).encode()
                )

    def read(self, name: str) -> Any:
        """Gives the document in a file of the example."""
        return json.loads((self.folder / name).read_text())

    def write(self, name: str, document: object) -> None:
        """Writes the document."""
        replace_file(self.folder / name, json.dumps(document).encode())

    def remove(self, name: str) -> None:
        """Removes the document, so that pulls fail."""
        (self.folder / name).unlink()

    def ctl(self, *arguments: str) -> str:
        """Runs a command of ``livefeed ctl``, and gives its output."""
        done = subprocess.run(
            [LIVEFEED, "ctl", *arguments],
            env={**os.environ, **self._variables},
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def kill(self) -> None:
        """Ends livefeed without a word to its watchers."""
        self.livefeed.signal(signal.SIGKILL)
        self.livefeed.wait()


class Sight:
    """What somebody sees of a page."""

    def __init__(self, browser: Chrome, address: str) -> None:
        self.browser = browser
        # The page before may have lost its livefeed.
        browser.get_log("browser")
        browser.get(address)

    def text(self) -> str:
        """Gives the text that is seen, with single spaces."""
        return " ".join(str(self.browser.execute_script("return document.body.innerText")).split())

    def wait_for(self, *texts: str, gone: str = "") -> None:
        """Returns as soon as all texts are seen, and another one is not."""
        wait_until(
            lambda: all(each in self.text() for each in texts) and not (gone and gone in self.text()),
            lambda: f"{texts} never come, or {gone!r} stays: {self.text()}",
            look_s=0.05,
        )

    def get(self, expression: str) -> Any:
        """Gives the value of an expression of the page."""
        return self.browser.execute_script(f"return {expression}")

    def wait_until(self, condition: str) -> None:
        """Returns as soon as an expression of the page is true."""
        wait_until(lambda: self.get(condition), lambda: f"{condition} never holds: {self.text()}", look_s=0.05)

    def assert_sound(self) -> None:
        """Fails if the browser complains, or if the page is not readable."""
        log = [each["message"] for each in self.browser.get_log("browser")]
        complaints = [each for each in log if "favicon.ico" not in each]
        assert complaints == [], complaints
        self.assert_readable()

    def assert_readable(self) -> None:
        """Fails if the page is wider than the screen, or if axe finds a fault."""
        over = self.get("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{over} pixels are cut off"
        found = faults(self.browser)
        assert found == [], found

    def leave(self) -> None:
        """Leaves the page, and drops the complaints about what a test has broken."""
        self.browser.get("about:blank")
        self.browser.get_log("browser")


@contextlib.contextmanager
def screen(browser: Chrome, width: int, height: int, theme: str = "light") -> Iterator[None]:
    """Gives the browser another screen and theme."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {})


class StartExample(Protocol):
    """Starts an example of the README by its name."""

    def __call__(self, name: str, document: dict[str, Any] | None = None) -> Site: ...


@pytest.fixture
def example(tmp_path: Path) -> Iterator[StartExample]:
    """Starts examples, which end with the test."""
    with contextlib.ExitStack() as stack:

        def start(name: str, document: dict[str, Any] | None = None) -> Site:
            return Site(stack, tmp_path, rows()[name], document)

        yield start
