"""Runs of ``livefeed ctl`` with a livefeed that gives prepared answers."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from livefeed.cli.main import main
from livefeed.cli.operator_options import DONE
from tests.helpers.desk_reports import answer
from tests.helpers.operators_socket import operators_socket
from tests.helpers.zones import ZoneTestCase


class DeskCommandTestCase(ZoneTestCase):
    """A livefeed that gives prepared answers."""

    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.err = io.StringIO()
        self.patch(sys, "stderr", self.err)

    def ctl(self, *arguments: str, answers: tuple[tuple[int, Any], ...] = ((200, answer()),)) -> int:
        """Runs a command, and gives its exit code."""
        self.out = io.StringIO()
        self.patch(sys, "stdout", self.out)
        with operators_socket(self.folder / "admin.sock", *answers) as self.requests:
            return main(["ctl", *arguments, "--runtime-dir", str(self.folder)])

    def sent(self, *arguments: str) -> tuple[str, Any]:
        """Runs a command for a feed, and gives the path and the arguments that it has sent."""
        self.assertEqual(self.ctl(*arguments), DONE, self.err.getvalue())
        # Others may ask for the feed before it.
        _, path, content = next(each for each in self.requests if each[0] == "POST")
        return path, json.loads(content)
