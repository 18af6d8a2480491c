"""The modules that a livefeed imports at its start. Each that it does not need takes memory and time."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from livefeed.tap import LATER

PLAIN = ("--source", "file:/nowhere/results.json", "--listen", "tcp:0:interface=127.0.0.1")

NEVER = (
    "autobahn",
    "prometheus_client",
    "txredisapi",
    "pymongo",
    "jwt",
    "jsonschema_rs",
    "rich",
    "websockets",
    "livefeed.checks",
    "livefeed.cli",
    "livefeed.client",
    "livefeed.parent_service",
    "livefeed.upgrading",
    "livefeed.sources.demo",
    "livefeed.sources.http",
    "livefeed.sources.mongo",
    "livefeed.sources.recording",
    "livefeed.sources.redis",
    "livefeed.sources.store",
    "livefeed.testing",
    "livefeed.web.access_log",
    "livefeed.workers.parent",
    "livefeed.workers.worker",
)
"""The modules and packages that a plain livefeed with one file does not import, with all below them."""

PROGRAM = """
import sys
from livefeed.tap import Options, makeService
options = Options()
options.parent = {"chroot": sys.argv[1]} if sys.argv[1] else None
options.parseOptions(sys.argv[2:])
makeService(options)
print(*sys.modules)
"""


def imported(*options: str, chroot: str = "") -> set[str]:
    """Gives the modules that are imported once the service is made."""
    command = [sys.executable, "-c", PROGRAM, chroot, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


class ImportedLaterTests(SynchronousTestCase):
    """A start imports no more than it needs."""

    def test_plain(self) -> None:
        """One file, and the defaults."""
        modules = imported(*PLAIN)
        self.assertIn("livefeed.sources.file.source", modules)
        found = {each for each in modules if any(each == name or each.startswith(f"{name}.") for name in NEVER)}
        self.assertEqual(found, set())
        self.assertEqual(modules & set(LATER), set())

    def test_other_root(self) -> None:
        """With --chroot of twistd, no module can be imported later."""
        self.assertEqual(set(LATER) - imported(*PLAIN, chroot="/srv"), set())

    def test_workers(self) -> None:
        """A parent has no connections, so it imports no Autobahn either."""
        modules = imported(*PLAIN, "--workers", "1")
        self.assertIn("livefeed.workers.parent", modules)
        self.assertNotIn("autobahn", modules)
