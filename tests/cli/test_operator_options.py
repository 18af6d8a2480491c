"""The options and exit codes of commands for the operator's port."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.operator_client import ChoiceError, NotRunningError
from livefeed.cli.operator_options import (
    FAILED,
    MAX_TIMEOUT_S,
    NOT_RUNNING,
    WRONG_USE,
    add_instance_arguments,
    add_timeout_argument,
    chosen_socket,
    exit_code_of,
)
from livefeed.exceptions import CommandError


class OperatorOptionsTests(SynchronousTestCase):
    """A command line with these options alone."""

    def setUp(self) -> None:
        self.patch(sys, "stderr", io.StringIO())
        self.parser = argparse.ArgumentParser()
        add_instance_arguments(self.parser.add_mutually_exclusive_group())
        add_timeout_argument(self.parser, 2.5)

    def test_instance(self) -> None:
        """An instance is chosen by its name or by its folder, not by both."""
        self.assertEqual(self.parser.parse_args([]).instance, None)
        self.assertEqual(self.parser.parse_args(["--instance", "a"]).instance, "a")
        self.assertEqual(self.parser.parse_args(["--runtime-dir", "a"]).runtime_dir, Path("a"))
        self.assertRaises(SystemExit, self.parser.parse_args, ["--instance", "a", "--runtime-dir", "a"])

    def test_socket(self) -> None:
        """That of the folder; of two choices, neither counts."""
        options = argparse.Namespace(instance=None, runtime_dir=Path("/x"), given=["ctl", "status"])
        self.assertEqual(chosen_socket(options), Path("/x/admin.sock"))
        options.instance = "a"
        self.assertRaisesRegex(ChoiceError, "exclude each other", chosen_socket, options)

    def test_timeout(self) -> None:
        """A time is a number of seconds within a day; the help tells the default."""
        self.assertEqual(self.parser.parse_args([]).timeout, 2.5)
        self.assertEqual(self.parser.parse_args([f"--timeout={MAX_TIMEOUT_S}"]).timeout, MAX_TIMEOUT_S)
        for text in ("0", "-1", "nan", "inf", "86401", "soon"):
            self.assertRaises(SystemExit, self.parser.parse_args, [f"--timeout={text}"])
        self.assertIn("[default: 2.5]", self.parser.format_help())

    def test_exit_codes(self) -> None:
        """The code tells what the operator can do about an error."""
        for error, code in (
            (NotRunningError("none"), NOT_RUNNING),
            (ChoiceError("two"), WRONG_USE),
            (CommandError("no"), FAILED),
        ):
            self.assertEqual(exit_code_of(error), code)
