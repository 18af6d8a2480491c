"""A page's own machine."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from tests.docs import machine
from tests.docs.machine import PROBE_S, command, obstacle, unshare
from tests.helpers.peers import missing_peer


class MachineTests(SynchronousTestCase):
    def run_in_machine(self, main: str, *hosts: str) -> str:
        if obstacle():
            missing_peer(obstacle())
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                command(Path(folder), hosts, main), capture_output=True, text=True, timeout=PROBE_S, check=False
            )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_folders(self) -> None:
        """What is written below /etc and others stays in the machine."""
        names = {each: f"{each}/livefeed-docs-test-{os.getpid()}" for each in machine.WRITABLE}
        self.run_in_machine("".join(f"mkdir {name} && touch {name}/file || exit 1\n" for name in names.values()))
        for name in names.values():
            self.assertFalse(Path(name).exists())

    def test_rest(self) -> None:
        """Everything else is read-only, also the repository and the environment that runs the tests."""
        for folder in (machine.ROOT, Path(sys.executable).parent, Path("/usr")):
            name = shlex.quote(f"{folder}/livefeed-docs-test-{os.getpid()}")
            self.assertIn("Read-only file system", self.run_in_machine(f"touch {name} 2>&1; true"))

    def test_network(self) -> None:
        """The machine has a network of its own, with itself alone, and the names of hosts that a page mentions."""
        output = self.run_in_machine("ip -brief link | cut -d' ' -f1; getent hosts feed.example", "feed.example")
        self.assertEqual(output.split(), ["lo", "127.0.0.1", "feed.example"])

    def test_processes(self) -> None:
        """It sees its own processes alone, in the home of the operator."""
        self.assertEqual(self.run_in_machine("echo $$; pwd; id -un").split(), ["1", "/home/anna", "anna"])

    def test_interruptions(self) -> None:
        """Commands can be interrupted, also where the tests run in the background and ignore that."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        ignored = int(self.run_in_machine("grep SigIgn /proc/self/status").split()[1], 16)
        self.assertFalse(ignored & 1 << (signal.SIGINT - 1))

    def test_without_root(self) -> None:
        """A user gets the rights that this takes in a namespace of users."""
        self.patch(os, "geteuid", lambda: 1000)
        self.assertIn("--map-root-user", unshare())
        self.patch(os, "geteuid", lambda: 0)
        self.assertNotIn("--map-root-user", unshare())


class ObstacleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(obstacle.cache_clear)
        obstacle.cache_clear()

    def test_refusal(self) -> None:
        """The reason is what the system says."""
        refused = SimpleNamespace(returncode=1, stderr="unshare: unshare failed: Operation not permitted\n")
        self.patch(subprocess, "run", lambda *args, **options: refused)
        self.assertEqual(obstacle(), "namespaces cannot be made here: unshare: unshare failed: Operation not permitted")

    def test_silent_refusal(self) -> None:
        """Or the exit status."""
        self.patch(subprocess, "run", lambda *args, **options: SimpleNamespace(returncode=32, stderr=""))
        self.assertEqual(obstacle(), "namespaces cannot be made here: 32")

    def test_missing_program(self) -> None:
        """Or that there is no program for it."""

        def run(*args: object, **options: object) -> None:
            raise FileNotFoundError("unshare")

        self.patch(subprocess, "run", run)
        self.assertEqual(obstacle(), "unshare cannot be started: unshare")
