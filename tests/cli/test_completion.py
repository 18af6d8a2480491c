"""The scripts of the shells. tests/integration/test_completion.py runs them in the shells themselves."""

from __future__ import annotations

import argparse
import io
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from livefeed import __version__
from livefeed.cli import completion
from livefeed.cli.completion import SHELLS, script
from livefeed.cli.main import main, make_parser

if TYPE_CHECKING:
    from collections.abc import Iterator


def parsers(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Gives a parser and those of its subcommands, with their names."""
    yield name.strip(), parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each, of in action.choices.items():
                yield from parsers(of, f"{name} {each}")


def words_of(text: str, name: str) -> list[str]:
    """Gives the words of an array in the script for bash."""
    (words,) = re.findall(rf"^{re.escape(name)}=\((.*)\)$", text, re.MULTILINE)
    return str(words).split()


class ScriptTests(SynchronousTestCase):
    """What the scripts have."""

    def test_every_option(self) -> None:
        """The script for bash has each subcommand and option of the parser."""
        text = script("bash")
        for name, parser in parsers(make_parser()):
            prefix = "_".join(["_shtab_livefeed", *name.split()])
            options = [option for action in parser._actions for option in action.option_strings]
            self.assertEqual(words_of(text, f"{prefix}_option_strings"), options, name)

    def test_values(self) -> None:
        """Options of the server with few values have these, and those for files have files."""
        text = script("bash")
        self.assertEqual(words_of(text, "_shtab_livefeed_serve___push_choices"), ["tick", "change"])
        for name, kind in (
            ("serve___cert", "files"),
            ("serve___state_dir", "dirs"),
            ("serve_pos_0", "files"),
            ("certs___directory", "dirs"),
            ("check_pos_0", "files"),
            ("plan_pos_0", "files"),
            ("ctl_status___runtime_dir", "dirs"),
            ("watch___cacert", "files"),
        ):
            self.assertIn(f"\n_shtab_livefeed_{name}_COMPGEN=_shtab_compgen_{kind}\n", text)
        for name in ("serve___interval", "serve___admin_group", "watch_pos_0"):
            self.assertNotIn(f"_shtab_livefeed_{name}_COMPGEN", text)

    def test_subcommands_have_one_line(self) -> None:
        """A menu shows the line of the help, and not the description."""
        text = script("fish")
        self.assertIn("-a check -d 'check settings without serving'", text)
        self.assertNotIn("Tab key", text)

    def test_header(self) -> None:
        """The scripts name no other folders than the help does."""
        for shell in SHELLS:
            text = script(shell)
            self.assertIn(f"# Made by `livefeed completion {shell}` of livefeed {__version__}", text)
            self.assertIn("`livefeed completion --help` says where", text)
            for wrong in ("AUTOMATICALLY", "# Usage:", "bash_completion/", "zsh_completion", ".bashrc"):
                self.assertNotIn(wrong, text)
        # zsh reads the name of the command in the first line.
        self.assertTrue(script("zsh").startswith("#compdef livefeed\n"))

    def test_same_each_time(self) -> None:
        """A file with the script only changes with livefeed."""
        for shell in SHELLS:
            self.assertEqual(script(shell), script(shell))


class CommandTests(SynchronousTestCase):
    """The subcommand."""

    def test_output(self) -> None:
        """It prints the script of the shell."""
        for shell in SHELLS:
            with redirect_stdout(io.StringIO()) as output:
                self.assertEqual(main(["completion", shell]), 0)
            self.assertEqual(output.getvalue(), f"{script(shell)}\n")

    def test_shell(self) -> None:
        """A shell that is missing, or unknown, is answered with the names of those that there are."""
        for arguments, why in (([], "required: SHELL"), (["tcsh"], "'bash', 'fish', 'zsh'")):
            with redirect_stderr(io.StringIO()) as errors:
                self.assertEqual(self.assertRaises(SystemExit, main, ["completion", *arguments]).code, 2)
            self.assertIn(why, errors.getvalue())

    def test_help_fits_a_terminal(self) -> None:
        """Its lines are as they are written: commands to copy."""
        self.assertLessEqual(max(map(len, completion.DESCRIPTION.splitlines())), 80)
        self.patch(sys, "argv", ["livefeed"])
        with redirect_stdout(io.StringIO()) as output:
            self.assertRaises(SystemExit, main, ["completion", "--help"])
        self.assertIn(completion.DESCRIPTION, output.getvalue())
