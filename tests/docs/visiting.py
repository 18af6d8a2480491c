"""``visit``: opens a page in Chromium, in the machine of a page of the documentation, and waits for what it shows.

It exits with 0 as soon as the text is there and the browser has not complained, and otherwise with 1.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.service import Service

from tests.helpers.chromium import chromium_options
from tests.helpers.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WAIT_S = 30.0
"""The longest time in seconds until a page shows what it should."""

_TEXT = "return document.documentElement.innerText"

_WRITE = """
const parsed = new DOMParser().parseFromString(arguments[0], "text/html");
document.body.replaceChildren(...parsed.head.childNodes, ...parsed.body.childNodes);
for (const old of document.body.querySelectorAll("script")) {
  const script = document.createElement("script");
  for (const { name, value } of old.attributes) script.setAttribute(name, value);
  script.textContent = old.textContent;
  old.replaceWith(script);
}
"""
"""Shows HTML in the page that is open, and runs its scripts: those of parsed HTML do not run."""


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a page, and the files of a folder beside it."""

    def __init__(self, *arguments: Any, page: Path, folder: Path) -> None:
        self._page = page
        super().__init__(*arguments, directory=str(folder))

    def translate_path(self, path: str) -> str:
        return str(self._page) if path == f"/{self._page.name}" else super().translate_path(path)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@contextmanager
def served(page: Path, folder: Path) -> Iterator[str]:
    """Serves a page and the files of a folder, and gives the address."""
    handler = functools.partial(_Handler, page=page, folder=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(WAIT_S)


@contextmanager
def chromium() -> Iterator[Chrome]:
    """Starts a Chromium with an empty profile."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        raise FileNotFoundError("no chromium, or no chromedriver, on the PATH (Debian: chromium, chromium-driver)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = chromium_options(program, Path(profile))
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        with Chrome(options=options, service=Service(driver)) as browser:
            yield browser


def complaints(browser: Chrome) -> list[str]:
    """Gives the errors in the browser's console. That a page has no icon is none."""
    entries: list[dict[str, Any]] = browser.get_log("browser")
    return [each["message"] for each in entries if each["level"] == "SEVERE" and "/favicon.ico" not in each["message"]]


def visit(browser: Chrome, options: argparse.Namespace) -> str:
    """Opens what the options say, and gives what is wrong with it, or an empty text."""
    if options.script:
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": options.script})
    if options.on:
        # The page of livefeed allows no script of others.
        browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
        browser.get(options.on)
        browser.execute_script(_WRITE, Path(options.page).read_text("utf-8"))
    else:
        browser.get(options.page)

    def text() -> str:
        return str(browser.execute_script(_TEXT))

    try:
        wait_until(lambda: options.shows in text(), "", WAIT_S, look_s=0.05)
    except AssertionError:
        return f"the page never shows {options.shows!r}, but:\n{text()}\n" + "\n".join(complaints(browser))
    return "\n".join(complaints(browser))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="visit", description=__doc__)
    parser.add_argument("page", help="URL, or path of a file, which is then served from another origin than livefeed")
    parser.add_argument("--shows", default="", help="text that the page shows")
    parser.add_argument("--on", default="", help="URL of a page into which the file is put")
    parser.add_argument("--script", default="", help="JavaScript that runs before that of the page")
    options = parser.parse_args(arguments)
    with chromium() as browser:
        if "://" in options.page or options.on:
            problem = visit(browser, options)
        else:
            file = Path(options.page)
            with served(file, Path.cwd()) as address:
                options.page = f"{address}/{file.name}"
                problem = visit(browser, options)
    if problem:
        print(problem)
    return bool(problem)


if __name__ == "__main__":
    sys.exit(main())
