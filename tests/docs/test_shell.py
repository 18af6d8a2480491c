"""The shell of a page, in a machine."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs import shell
from tests.docs.machine import obstacle
from tests.docs.shell import Outcome, Shell, ShellError
from tests.helpers.peers import missing_peer
from tests.helpers.waiting import wait_until

COUNTING = "for number in 1 2 3; do echo number $number; done; exec sleep 1000"


class ShellTests(SynchronousTestCase):
    def setUp(self) -> None:
        if obstacle():
            missing_peer(obstacle())
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        self.shell = Shell(Path(folder.name), ["feed.example"], {"PATH": os.environ["PATH"], "HOME": "/home/anna"})
        self.addCleanup(self.shell.close)

    def test_state(self) -> None:
        """Variables, functions and the folder stay from one command to the next."""
        self.assertEqual(self.shell.run("mkdir a; cd a; x=3; f() { echo f $x; }"), Outcome(0, ""))
        self.assertEqual(self.shell.run("pwd; f"), Outcome(0, "/home/anna/a\nf 3\n"))

    def test_output_and_status(self) -> None:
        """Both streams are read, in order; the status is that of the last command."""
        self.assertEqual(self.shell.run("echo a; echo b >&2; echo c; (exit 7)"), Outcome(7, "a\nb\nc\n"))

    def test_scripts(self) -> None:
        """A script ends at its first failure; what is tested by `if` or `||` is none. The next command runs as ever."""
        script = "if false; then :; fi\nfalse || echo a\n(exit 7)\necho b"
        self.assertEqual(self.shell.run(script, script=True), Outcome(7, "a\n"))
        self.assertEqual(self.shell.run("false; echo c"), Outcome(0, "c\n"))

    def test_background(self) -> None:
        """A command that goes on to run is there for those after it, until it is ended."""
        started = self.shell.start(COUNTING, "number 3")
        self.assertEqual(started, Outcome(0, "number 1\nnumber 2\nnumber 3\n"))
        self.assertEqual(self.shell.run("kill -0 $newest").status, 0)
        self.assertEqual(self.shell.run("stop; kill -0 $newest 2> /dev/null").status, 1)

    def test_interruption(self) -> None:
        """A command is interrupted as by Ctrl-C, and its last words are read."""
        text = "trap 'echo over; exit' INT; echo begun; while :; do read -t 0.05 _ <> <(:); done"
        self.shell.start(COUNTING, "number 3")
        self.assertEqual(self.shell.start(text, "begun", stop=True), Outcome(0, "begun\nover\n"))
        ended = self.shell.run("kill -0 $newest; stop; kill -0 $newest 2> /dev/null || echo ended")
        self.assertEqual(ended.output, "ended\n")

    def test_background_that_ends(self) -> None:
        """A command that ends before it has said what is waited for, has failed; its output says why."""
        error = self.assertRaises(ShellError, self.shell.start, "echo no; false", "listening")
        self.assertEqual(str(error), "it has ended, and its output has no 'listening':\nno\n")

    def test_background_that_says_nothing(self) -> None:
        """The wait has a limit."""
        self.patch(shell, "READY_S", 0.3)
        error = self.assertRaises(ShellError, self.shell.start, COUNTING, "listening")
        self.assertIn("its output has no 'listening':\nnumber 1", str(error))

    def test_endless_command(self) -> None:
        """A command has a limit; what it has printed until then is told."""
        self.patch(shell, "COMMAND_S", 3.0)
        error = self.assertRaises(ShellError, self.shell.run, COUNTING)
        self.assertIn("runs for more than 3 s\nnumber 1", str(error))

    def test_end_of_the_shell(self) -> None:
        """A command may end the shell, and then nothing more is run."""
        error = self.assertRaises(ShellError, self.shell.run, "exit 3")
        self.assertIn("the shell has ended", str(error))
        self.assertRaises(ShellError, self.shell.run, "true")

    def test_end_of_the_machine(self) -> None:
        """All processes end with the machine, which the kernel does a moment later."""
        marker = f"livefeed-docs-test-{os.getpid()}"
        self.shell.start(f"echo begun; exec -a {marker} sleep 1000", "begun")

        def runs() -> bool:
            names = [each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline") if each.exists()]
            return any(name.startswith(marker.encode()) for name in names)

        self.assertTrue(runs())
        self.shell.close()
        self.shell.close()
        wait_until(lambda: not runs(), "a process of the machine has not ended")


class MachineThatFailsTests(SynchronousTestCase):
    def test_message(self) -> None:
        """What the machine says is told with the first command."""
        with tempfile.TemporaryDirectory() as folder:
            self.patch(shell, "command", lambda *args: ["sh", "-c", "echo no mounts; exit 1"])
            with Shell(Path(folder), [], {"PATH": os.defpath}) as broken:
                error = self.assertRaises(ShellError, broken.run, "true")
        self.assertIn("the shell has ended:\nno mounts", str(error))
