"""The Python namespace of a page."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.interpreter import run, serve
from tests.helpers.waiting import WAIT_S


class InterpreterTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file(self, text: str) -> Path:
        path = self.folder / "block.py"
        path.write_text(text)
        return path

    def test_blocks_share_names(self) -> None:
        """A block sees what those before it have defined."""
        namespace: dict[str, Any] = {}
        self.assertTrue(run(self.file("x = 1"), namespace))
        self.assertTrue(run(self.file("y = x + 1"), namespace))
        self.assertEqual(namespace["y"], 2)

    def test_exceptions(self) -> None:
        """An exception is printed with the line of the block, and so is an error of the syntax."""
        for text in ("\n\nassert 1 == 2", "def"):
            errors = StringIO()
            self.patch(sys, "stderr", errors)
            self.assertFalse(run(self.file(text), {}))
            self.assertRegex(errors.getvalue(), r'block.py", line \d[\s\S]*Error')

    def test_pipes(self) -> None:
        """Paths come and answers go by pipes, until an empty line."""
        asked, answers = self.folder / "asked", self.folder / "answers"
        for each in (asked, answers):
            os.mkfifo(each)
        thread = threading.Thread(target=serve, args=(asked, answers), daemon=True)
        thread.start()
        said = []
        for text in ("x = 1", "assert x == 1", "raise SystemExit"):
            self.patch(sys, "stderr", StringIO())
            asked.write_text(f"{self.file(text)}\n")
            said.append(answers.read_text())
        asked.write_text("\n")
        thread.join(WAIT_S)
        self.assertEqual(said, ["0\n", "0\n", "1\n"])
