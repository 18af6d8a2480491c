"""The ports and the runtime directory that another process has."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.conflicts import require_free
from livefeed.config.settings import Settings
from livefeed.exceptions import ConfigurationError
from livefeed.process.runtime_dir import claim


class ConflictTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(TemporaryDirectory()))

    def check(self, **values: object) -> str:
        """Gives the error; empty without one."""
        options = {"listen": ["tcp:0"], **values}
        settings = Settings.read(options, {}, self.folder)
        try:
            require_free(settings, {"RUNTIME_DIRECTORY": str(self.folder)})
        except ConfigurationError as error:
            return str(error)
        return ""

    def test_ports(self) -> None:
        """A port that is in use is told with the place where it was set."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for kind in ("tcp", "tls"):
                error = self.check(listen=["tcp:0", f"{kind}:{port}:interface=127.0.0.1"])
                self.assertTrue(
                    error.startswith(f"--listen: {kind}:{port}:interface=127.0.0.1: Address already in use")
                )
            self.assertIn("Address already in use", self.check(listen=[f"tcp:{port}"]))
            self.assertEqual(self.check(listen=[f"tcp:{port}:interface=127.0.0.2"]), "")
        for listen in (f"tcp:{port}", "unix:a.sock", "tcp:99999", "tcp:x", "tcp", r"tcp:0:interface=\:\:1"):
            self.assertEqual(self.check(listen=[listen]), "", listen)

    def test_instance(self) -> None:
        """An instance that runs is refused if it was chosen; without the default one, livefeed serves all the same."""
        for name in ("default", "desk"):
            self.addCleanup(claim(self.folder / name).release)
        self.assertEqual(self.check(), "")
        self.assertEqual(self.check(instance="other"), "")
        self.assertEqual(self.check(runtime_dir=str(self.folder / "more")), "")
        error = f": another livefeed uses {self.folder / 'desk'} (process {os.getpid()}); set another --instance"
        self.assertEqual(self.check(instance="desk"), f"--instance{error}")
        self.assertEqual(self.check(runtime_dir=str(self.folder / "desk")), f"--runtime-dir{error}")
        self.folder.joinpath("file").touch()
        self.assertEqual(self.check(runtime_dir=str(self.folder / "file")), "")
