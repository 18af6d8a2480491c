"""The processes of the integration tests, as :mod:`tests.integration.harness` starts and ends them."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.harness import WAIT_S, Process

# The child waits until the test opens the pipe.
OUTLIVED = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "open('pipe').read(); print('later')"])
print("no end of a line", end="")
"""


class ProcessTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def begin(self, program: str) -> Process:
        process = Process([sys.executable, "-c", program], directory=self.folder)
        self.addCleanup(process.close)
        return process

    def test_output(self) -> None:
        """All that a process has printed is there after its end."""
        process = self.begin("import sys; print('a'); print('b', file=sys.stderr); sys.exit(3)")
        self.assertEqual((process.wait(), process.text()), (3, "a\nb\n"))
        self.assertTrue(process.is_silent(WAIT_S))

    def test_child_that_outlives_it(self) -> None:
        """The end of a process is not that of its children, whose later lines are read, too."""
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        process = self.begin(OUTLIVED)
        self.assertEqual((process.wait(), process.text()), (0, "no end of a line"))
        self.assertFalse(process.is_silent(0))
        pipe.write_bytes(b"")
        process.wait_for("later")
        self.assertTrue(process.is_silent(WAIT_S))
