"""The program of this process: the command line of a successor, with twistd's own options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.python import usage
from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.program import CHANNEL, Program

DIRECTORY = Path("/srv/livefeed")


class ProgramTests(SynchronousTestCase):
    def program(self, *given: str, parent: bool = True, environment: dict[str, str] | None = None) -> Program:
        """Gives the program of a command line. Options of twistd stand before the word livefeed."""
        self.patch(sys, "argv", ["/usr/bin/twistd", *given])
        self.patch(sys, "orig_argv", ["python3", "-X", "utf8", "/usr/bin/twistd", *given])
        self.patch(sys, "executable", "/usr/bin/python3")
        options: Any = ServerOptions() if parent else {}
        if parent:
            options.subCommands_ = ()
            before = [*given[: given.index("livefeed")]] if "livefeed" in given else [*given]
            # The word and its options belong to the plug-in.
            options.parseArgs = lambda *_: None
            options.postOptions = lambda: None
            usage.Options.parseOptions(options, before)
        self.options = options
        return Program.of(options, environment or {}, DIRECTORY)

    def test_foreground(self) -> None:
        """The arguments stay, and the interpreter's too."""
        program = self.program("--nodaemon", "--pidfile=", "livefeed", "--workers", "2")
        before = ("/usr/bin/python3", "-X", "utf8", "/usr/bin/twistd")
        self.assertEqual(program.command, (*before, "--nodaemon", "--pidfile=", "livefeed", "--workers", "2"))
        self.assertEqual((program.is_daemon, program.pidfile, program.directory), (False, None, DIRECTORY))

    def test_daemon(self) -> None:
        """A successor stays in the foreground, writes to the same log, and has the file of the process id told."""
        program = self.program("-l", "feed.log", "--rundir", "/var/empty", "--uid", "100", "-g", "100", "livefeed")
        expected = ("-l", "feed.log", "--rundir=/var/empty", "--nodaemon", "--pidfile=", "livefeed")
        self.assertEqual(program.command[4:], expected)
        self.assertTrue(program.is_daemon)
        self.assertEqual(program.pidfile, DIRECTORY / "twistd.pid")
        self.assertIn("--logfile=twistd.log", self.program("livefeed").command)
        self.assertNotIn("--logfile=twistd.log", self.program("--syslog", "livefeed").command)

    def test_abbreviated_options(self) -> None:
        """They are understood as twistd does."""
        program = self.program("--nod", "--logf=feed.log", "--pidf", "/run/feed.pid", "livefeed")
        self.assertEqual(program.command[4:], ("--logfile=feed.log", "--nodaemon", "--pidfile=", "livefeed"))
        self.assertEqual(program.pidfile, Path("/run/feed.pid"))

    def test_second_upgrade(self) -> None:
        """The command line of a successor gives itself."""
        program = self.program("--rundir=/srv", "--nodaemon", "--pidfile=", "livefeed")
        self.assertEqual(self.program(*program.command[4:]).command, program.command)
        after = program.succeeding(is_daemon=True, pidfile=Path("/run/feed.pid"))
        self.assertEqual((after.is_daemon, after.pidfile), (True, Path("/run/feed.pid")))

    def test_environment(self) -> None:
        """Variables for one process are left out."""
        kept = {"LIVEFEED_INTERVAL": "2", "HOME": "/root"}
        own = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1", "LISTEN_PID": "1", "LISTEN_FDS": "1", CHANNEL: "3"}
        self.assertEqual(self.program("livefeed", environment=kept | own).environment, kept)

    def test_obstacles(self) -> None:
        """A command line that cannot be repeated is said to be."""
        self.assertIn("--chroot", self.program("--chroot", "/srv", "livefeed").obstacle)
        program = self.program("--nodaemon", "livefeed")
        self.patch(sys, "orig_argv", ["python3", "-c", "something else"])
        self.assertIn("cannot be repeated", Program.of(self.options, {}, DIRECTORY).obstacle)
        self.assertEqual(program.obstacle, "")

    def test_arguments_that_twistd_would_refuse(self) -> None:
        """Another program may have changed its own arguments."""
        program = self.program("--nodaemon", "livefeed")
        self.patch(sys, "argv", ["/usr/bin/twistd", "--unknown"])
        self.patch(sys, "orig_argv", ["python3", "/usr/bin/twistd", "--unknown"])
        self.assertIn("--unknown", Program.of(self.options, {}, DIRECTORY).obstacle)
        self.assertEqual(program.obstacle, "")

    def test_other_commands(self) -> None:
        """``twist`` and programs of others have no options that need a change."""
        program = self.program("--log-format=text", "livefeed", parent=False)
        self.assertEqual(program.command[4:], ("--log-format=text", "livefeed"))
        self.assertFalse(program.is_daemon)

    def test_pidfile(self) -> None:
        """twistd removes the file at its end, unless it belongs to a successor."""
        program = self.program("--pidfile", "/run/feed.pid", "livefeed")
        program.keep_pidfile(is_ours=False)
        self.assertEqual(self.options["pidfile"], "")
        program.keep_pidfile(is_ours=True)
        self.assertEqual(self.options["pidfile"], "/run/feed.pid")
        self.program("livefeed", parent=False).keep_pidfile(is_ours=False)
