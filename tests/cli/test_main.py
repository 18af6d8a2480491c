"""The livefeed command, without its subcommands."""

from __future__ import annotations

import io
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from livefeed import __version__
from livefeed.cli import certs
from livefeed.cli.main import main, make_parser
from livefeed.exceptions import LivefeedError


class ParserTests(SynchronousTestCase):
    """make_parser."""

    def test_subcommands(self) -> None:
        """All of them, or those that are named: each is imported."""
        everything = make_parser().format_help()
        for name in ("certs", "ctl", "serve", "watch"):
            self.assertRegex(everything, rf"(?m)^    {name} ")
        self.assertNotIn("watch ", make_parser(["certs"]).format_help())


class CommandLineTests(SynchronousTestCase):
    """The command without, and with a wrong, subcommand."""

    def setUp(self) -> None:
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.stdout)
        self.patch(sys, "stderr", self.stderr)

    def test_version(self) -> None:
        """--version shows it and exits with 0."""
        self.assertEqual(self.assertRaises(SystemExit, main, ["--version"]).code, 0)
        self.assertEqual(self.stdout.getvalue(), f"livefeed {__version__}\n")

    def test_help(self) -> None:
        """--help names the subcommands, and where the server is."""
        self.assertEqual(self.assertRaises(SystemExit, main, ["--help"]).code, 0)
        self.assertIn("certs", self.stdout.getvalue())
        self.assertIn("twistd livefeed", self.stdout.getvalue())

    def test_wrong_command_line(self) -> None:
        """No subcommand, and one that is unknown, exit with 2."""
        for arguments in ([], ["serves"], ["certs", "--colour"]):
            self.assertEqual(self.assertRaises(SystemExit, main, arguments).code, 2)

    def test_unknown_argument(self) -> None:
        """The message has the usage of the subcommand, whose help lists the arguments that there are."""
        for arguments, usage in (
            (["serve", "demo:", "--intervall", "3"], "usage: livefeed serve"),
            (["watch", "http://h/", "x"], "usage: livefeed watch"),
            (["ctl", "status", "--colour"], "usage: livefeed ctl"),
        ):
            self.stderr.truncate(self.stderr.seek(0))
            self.assertEqual(self.assertRaises(SystemExit, main, arguments).code, 2)
            self.assertTrue(self.stderr.getvalue().startswith(usage), self.stderr.getvalue())
            self.assertIn("there is no argument '", self.stderr.getvalue())

    def test_similar_arguments(self) -> None:
        """A typing error in a command, an option or a choice leads to the right one."""
        for arguments, hint in (
            (["wacth", "http://h/"], "; did you mean watch?"),
            (["ctl", "stauts"], "; did you mean status?"),
            (["completion", "bahs"], "; did you mean bash?"),
            (["serve", "--prot", "80"], "'--prot'; did you mean --port?; --help"),
            (["serve", "--prot=80"], "'--prot=80'; did you mean --port?; --help"),
            (["ctl", "status", "--jsno"], "'--jsno'; did you mean --json?; --help"),
            (["serve", "a.json", "b.json"], "'b.json': one FILE|URL only; --help"),
            (["watch", "http://h/", "--zzzz"], "'--zzzz'; --help"),
            (["record", "http://h/", "a", "b"], "'b'; --help"),
            (["ctl", "status", "x"], "'x'; --help"),
        ):
            self.stderr.truncate(self.stderr.seek(0))
            self.assertEqual(self.assertRaises(SystemExit, main, arguments).code, 2)
            self.assertIn(hint, self.stderr.getvalue())

    def test_arguments_of_the_process(self) -> None:
        """The arguments of the process are used if none are given."""
        self.patch(sys, "argv", ["livefeed", "--version"])
        self.assertEqual(self.assertRaises(SystemExit, main).code, 0)

    def test_failure_is_one_line(self) -> None:
        """An error of livefeed exits with 1, and its message is on standard error, without a traceback."""

        def fail(options: object) -> None:
            raise LivefeedError("there is no room")

        self.patch(certs, "run", fail)
        self.assertEqual(main(["certs"]), 1)
        self.assertEqual((self.stdout.getvalue(), self.stderr.getvalue()), ("", "livefeed: there is no room\n"))

    def test_reader_that_has_enough(self) -> None:
        """It ends the command without an error, as head does."""
        run = f"{sys.executable} -m livefeed completion bash"
        done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{run} | true"], capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_exit_code_of_the_subcommand(self) -> None:
        """The subcommand may have exit codes of its own."""
        for code, wanted in ((None, 0), (3, 3)):
            self.patch(certs, "run", lambda _, code=code: code)
            self.assertEqual(main(["certs"]), wanted)

    def test_other_subcommands_are_not_imported(self) -> None:
        """A command that is run each second must start fast: without Twisted, and without the other subcommands."""
        program = (
            "import sys; from livefeed.cli.main import main\n"
            "try: main(['ctl', '--help'])\n"
            "except SystemExit: print(*sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        modules = done.stdout.split()
        self.assertIn("livefeed.cli.ctl", modules)
        self.assertEqual({"twisted", "OpenSSL", "msgspec", "cryptography", "livefeed.cli.certs"} & {*modules}, set())
