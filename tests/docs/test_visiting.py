"""``visit``, with a browser that the test writes, and once with Chromium."""

from __future__ import annotations

import shutil
import sys
import tempfile
import urllib.request
from argparse import Namespace
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.docs import visiting
from tests.docs.visiting import chromium, complaints, main, served, visit
from tests.helpers.peers import missing_peer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome


class MemoryBrowser:
    """Shows texts, one after the other, and the last one for ever."""

    def __init__(self, *texts: str, log: tuple[tuple[str, str], ...] = ()) -> None:
        self.texts = [*texts]
        self.log = log
        self.did: list[tuple[Any, ...]] = []

    def get(self, url: str) -> None:
        self.did.append(("get", url))

    def execute_cdp_cmd(self, name: str, values: dict[str, Any]) -> None:
        self.did.append((name, *values.values()))

    def execute_script(self, script: str, *arguments: str) -> str:
        if arguments:
            self.did.append(("write", *arguments))
            return ""
        return self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]

    def get_log(self, kind: str) -> list[dict[str, str]]:
        return [{"level": level, "message": message} for level, message in self.log]


class VisitTests(SynchronousTestCase):
    def visit(self, browser: MemoryBrowser, **options: str) -> str:
        values = {"page": "http://localhost/", "shows": "", "on": "", "script": "", **options}
        return visit(cast("Chrome", browser), Namespace(**values))

    def test_text(self) -> None:
        """It waits for the text."""
        browser = MemoryBrowser("", "1", "live: 31")
        self.assertEqual(self.visit(browser, shows="31"), "")
        self.assertEqual(browser.did, [("get", "http://localhost/")])

    def test_text_that_does_not_come(self) -> None:
        """It says what the page shows instead, and what the browser complains about."""
        self.patch(visiting, "WAIT_S", 0.01)
        problem = self.visit(MemoryBrowser("away", log=(("SEVERE", "no module"),)), shows="31")
        self.assertEqual(problem, "the page never shows '31', but:\naway\nno module")

    def test_complaints(self) -> None:
        """Errors count; warnings, and the icon that a page does not have, do not."""
        log = ("SEVERE", "x is not defined"), ("WARNING", "slow"), ("SEVERE", "http://localhost/favicon.ico: 404")
        browser = MemoryBrowser("", log=log)
        self.assertEqual(complaints(cast("Chrome", browser)), ["x is not defined"])
        self.assertEqual(self.visit(browser), "x is not defined")

    def test_script_and_place(self) -> None:
        """A script runs before those of the page, and HTML is put into a page that is open."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "block.html")
            file.write_text("<p>")
            browser = MemoryBrowser("")
            self.visit(browser, page=str(file), on="http://localhost:8080/feed", script="x = 1")
        self.assertEqual(
            browser.did,
            [
                ("Page.addScriptToEvaluateOnNewDocument", "x = 1"),
                ("Page.setBypassCSP", True),
                ("get", "http://localhost:8080/feed"),
                ("write", "<p>"),
            ],
        )


class MainTests(SynchronousTestCase):
    def main(self, browser: MemoryBrowser, *arguments: str) -> tuple[int, str]:
        @contextmanager
        def start() -> Iterator[MemoryBrowser]:
            yield browser

        self.patch(visiting, "chromium", start)
        output = StringIO()
        self.patch(sys, "stdout", output)
        return main(arguments), output.getvalue()

    def test_url(self) -> None:
        """A URL is opened as it is."""
        browser = MemoryBrowser("1")
        self.assertEqual(self.main(browser, "http://localhost:8000/page.html", "--shows", "1"), (0, ""))
        self.assertEqual(browser.did, [("get", "http://localhost:8000/page.html")])

    def test_file(self) -> None:
        """A file is served from a port of its own."""
        browser = MemoryBrowser("1", log=(("SEVERE", "wrong"),))
        self.assertEqual(self.main(browser, "/tmp/page.html"), (1, "wrong\n"))
        ((_, url),) = browser.did
        self.assertRegex(url, r"http://localhost:\d+/page.html")

    def test_other_origin(self) -> None:
        """The server of files gives the page, and those beside it in the folder of the reader."""
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
            page = Path(other, "page.html")
            page.write_text("a page")
            Path(folder, "module.js").write_text("a module")
            with served(page, Path(folder)) as address:
                for name, text in (("page.html", b"a page"), ("module.js", b"a module")):
                    with urllib.request.urlopen(f"{address}/{name}") as answer:
                        self.assertEqual(answer.read(), text)


class ChromiumTests(SynchronousTestCase):
    def test_missing(self) -> None:
        """Without the programs it says which packages have them."""
        self.patch(shutil, "which", lambda name: None)
        with pytest.raises(FileNotFoundError, match="chromium-driver"), chromium():
            pass

    def test_real(self) -> None:
        """A page with a script is shown by a real browser."""
        if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
            missing_peer("no chromium on the PATH (Debian: chromium, chromium-driver)")
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder, "page.html")
            page.write_text('<body><script type="module">document.body.append("sum " + (1 + x))</script>')
            output = StringIO()
            self.patch(sys, "stdout", output)
            self.assertEqual(main([str(page), "--shows", "sum 3", "--script", "x = 2"]), 0, output.getvalue())
