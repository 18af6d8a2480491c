"""The plugin of pytest: a page of the test's own, run by a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.docs import plugin
from tests.docs.machine import ROOT, obstacle
from tests.helpers.peers import missing_peer

RUN_S = 120

PAGE = """\
# A page

```console
$ echo 1; x=2
1
$ echo $x
3
```

```sh
echo never
```

<!-- not run: a drawing -->
```text
/\\
```

```text
unmarked
```
"""


class PluginTests(SynchronousTestCase):
    def run_pytest(self, text: str) -> tuple[int, str]:
        """Runs a page, and gives the exit code and the output."""
        if obstacle():
            missing_peer(obstacle())
        build = ROOT / "build"
        build.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=build) as folder:
            page = Path(folder, "page.md")
            page.write_text(text)
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:python", "-p", "tests.docs.plugin", str(page)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=RUN_S,
                check=False,
            )
        return done.returncode, done.stdout

    def test_failures(self) -> None:
        """A failure names page and line and shows the difference; the rest is skipped, and all is counted."""
        code, output = self.run_pytest(PAGE)
        self.assertEqual(code, 1, output)
        self.assertIn("page.md, line 3, column 1 did not evaluate as expected:\n$ echo $x\n--- the page shows", output)
        self.assertIn("-3\n+2\n", output)
        self.assertIn("after the failure at line 3", output)
        self.assertIn("not run: a drawing", output)
        self.assertIn("page.md, line 19, column 1 did not evaluate as expected:\na block of text is not run.", output)
        self.assertIn("3 blocks run, with 3 commands: 1 console, 1 sh, 1 text", output)
        self.assertIn("2 failed, 2 skipped", output)

    def test_success(self) -> None:
        """Nothing is left of a page that passes."""
        code, output = self.run_pytest("```sh\necho 1\n```\n")
        self.assertEqual(code, 0, output)
        self.assertIn("1 passed", output)


class RequireMachineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(plugin, "obstacle", lambda: "namespaces cannot be made here: no")

    def test_skipped(self) -> None:
        """Without a machine nothing is run, and the reason is told."""
        self.patch(os, "environ", {})
        with pytest.raises(pytest.skip.Exception, match=r"cannot be made here: no\. Examples write below /etc"):
            plugin._require_machine()

    def test_required(self) -> None:
        """In CI that is a failure."""
        self.patch(os, "environ", {"LIVEFEED_TEST_PEERS": "required"})
        with pytest.raises(pytest.fail.Exception, match="cannot be made here: no"):
            plugin._require_machine()
