"""The wheel as pipx and uv install it: the ways of docs/howto/install.md for users who want a command alone."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed import __version__
from tests.helpers.archives import CHECKOUT, archives

LIMIT_S = 180
"""The time in seconds of one installation, with all downloads."""


class ToolTestCase(SynchronousTestCase):
    """A home of a user who has pipx and uv."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.home = Path(directory.name)
        self.commands = self.home / ".local" / "bin"
        self.commands.mkdir(parents=True)
        for tool in ("uv", "uvx", "pipx"):
            (self.commands / tool).symlink_to(Path(sys.executable).with_name(tool))
        pins = re.findall(r"^[a-z0-9-]+==[^\s\\;]+", (CHECKOUT / "requirements.txt").read_text(), re.MULTILINE)
        constraints = self.home / "constraints.txt"
        constraints.write_text("\n".join(pins))
        self.environment = {
            "PATH": f"{self.commands}:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            # The versions that livefeed is tested with, downloaded once.
            "UV_CONSTRAINT": str(constraints),
            "UV_CACHE_DIR": str(CHECKOUT / "build" / "cache" / "uv"),
            "UV_PYTHON": sys.executable,
            "PIPX_DEFAULT_PYTHON": sys.executable,
            **{name: os.environ[name] for name in ("SSL_CERT_FILE", "HTTPS_PROXY") if name in os.environ},
        }

    def start(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )

    def done(self, *command: str) -> str:
        """Runs a command that must succeed, and gives its output."""
        run = self.start(*command)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return run.stdout

    def assert_serves(self, *command: str) -> None:
        """The command serves the demonstration at the address that it prints, until it is told to stop."""
        process = subprocess.Popen(
            [*command, "serve", "--runtime-dir", str(self.home / "run")],
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                if "listening on" in line:
                    break
            (address,) = re.findall(r"open\s+(http://localhost:\d+/)", "".join(lines))
            with urllib.request.urlopen(f"{address}feed", timeout=30) as answer:
                self.assertIn(b'"districts"', answer.read())
        finally:
            # To the group, as a terminal does at Ctrl-C: uvx is the parent of the command.
            os.killpg(process.pid, signal.SIGINT)
            rest, _ = process.communicate(timeout=60)
        # twistd ends by the signal itself, which uvx passes on as a shell does.
        self.assertIn(process.returncode, {-signal.SIGINT, 128 + signal.SIGINT}, "".join(lines) + rest)

    def assert_is_installed_by_its_message(self, *command: str) -> None:
        """The command that a message about a missing extra has installs it."""
        wrong = "mongodb://127.0.0.1:9/d/c?nonsense=1"
        run = self.start(*command, "serve", wrong)
        self.assertEqual(run.returncode, 1, run.stderr)
        begin = "livefeed: --source: mongodb:// needs pymongo, which is not installed. To install: "
        self.assertTrue(run.stderr.splitlines()[-1].startswith(begin), run.stderr)
        install = shlex.split(run.stderr.splitlines()[-1].removeprefix(begin))
        if install[-1] == "...":
            command = tuple(install[:-1])
        else:
            self.done(*install)
        run = self.start(*command, "serve", wrong)
        self.assertIn("the URL has an option that is not known", run.stderr)
        self.assertNotIn("not installed", run.stderr)


class PipxTests(ToolTestCase):
    """pipx."""

    def test_install(self) -> None:
        """The command is there, and serves; the commands of Twisted are not, unless they are asked for."""
        self.done("pipx", "install", "--backend", "uv", str(archives().wheel))
        self.assertEqual(self.done("livefeed", "--version"), f"livefeed {__version__}\n")
        self.assertFalse((self.commands / "twistd").exists())
        self.assert_serves("livefeed")
        self.assert_is_installed_by_its_message("livefeed")
        self.done("pipx", "install", "--force", "--backend", "uv", "--include-deps", str(archives().wheel))
        self.assertEqual(self.done("twistd", "livefeed", "--version"), f"livefeed {__version__}\n")
        self.done("pipx", "uninstall", "livefeed")
        self.assertFalse((self.commands / "livefeed").exists())

    def test_run(self) -> None:
        """A single run has an environment of its own."""
        run = ("pipx", "run", "--backend", "uv", "--spec", str(archives().wheel), "livefeed")
        self.assertEqual(self.done(*run, "--version"), f"livefeed {__version__}\n")
        self.assert_is_installed_by_its_message(*run)


class UvTests(ToolTestCase):
    """uv."""

    def test_uvx(self) -> None:
        """A single run serves, and its message about an extra is a command for a single run."""
        run = ("uvx", "--quiet", "--from", str(archives().wheel), "livefeed")
        self.assertEqual(self.done(*run, "--version"), f"livefeed {__version__}\n")
        self.assert_serves(*run)
        self.assert_is_installed_by_its_message(*run)

    def test_tool(self) -> None:
        """The command is there, and the installation of an extra keeps those that were there."""
        self.done("uv", "tool", "install", f"livefeed[schema] @ {archives().wheel.as_uri()}")
        self.assertEqual(self.done("livefeed", "--version"), f"livefeed {__version__}\n")
        self.assert_is_installed_by_its_message("livefeed")
        python = self.home / ".local" / "share" / "uv" / "tools" / "livefeed" / "bin" / "python"
        self.done(str(python), "-c", "import jsonschema_rs, pymongo")

    def test_environment(self) -> None:
        """An environment of uv has no pip; the message names uv."""
        python = str(self.home / "env" / "bin" / "python")
        self.done("uv", "venv", "env")
        self.done("uv", "pip", "install", "--python", python, str(archives().wheel))
        self.assertEqual(self.done(python, "-m", "livefeed", "--version"), f"livefeed {__version__}\n")
        self.assert_is_installed_by_its_message(python, "-m", "livefeed")
