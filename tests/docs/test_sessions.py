"""The commands of console sessions."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.sessions import Command, SessionError, commands_of


class CommandsTests(SynchronousTestCase):
    def test_commands_and_output(self) -> None:
        """Each command has the lines after it as its output, with empty lines between, and not around."""
        session = "$ cd a\n\n$ ls\nb\n\n  c  \n\n$ true\n"
        self.assertEqual(
            commands_of(session), [Command("cd a", "", 0), Command("ls", "b\n\n  c", 2), Command("true", "", 7)]
        )

    def test_long_commands(self) -> None:
        """A backslash and the second prompt continue a command; what looks like a prompt in the output does not."""
        self.assertEqual(commands_of("$ curl \\\n    -s x\nok\n"), [Command("curl \\\n    -s x", "ok", 0)])
        self.assertEqual(commands_of("$ cat <<END\n> a\n> END\na\n> b\n"), [Command("cat <<END\na\nEND", "a\n> b", 0)])

    def test_nothing(self) -> None:
        """A session may be empty; it may not begin with output."""
        self.assertEqual(commands_of("\n"), [])
        error = self.assertRaises(SessionError, commands_of, "ls\n")
        self.assertIn("not with 'ls'", str(error))
