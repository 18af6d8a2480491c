"""The options and exit codes that all commands share which talk to the operator's port."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livefeed.cli.operator_client import ChoiceError, NotRunningError

if TYPE_CHECKING:
    from livefeed.exceptions import CommandError

DONE, FAILED, WRONG_USE, NOT_RUNNING = range(4)
"""The exit codes. A command may have more, from 4 on."""

MAX_TIMEOUT_S = 86_400.0
"""The longest time in seconds that an operator may wait for an answer."""


def add_instance_arguments(group: Any) -> None:
    """Adds the options that choose a livefeed on this machine.

    :param group: takes one of them at most.
    """
    group.add_argument("--instance", metavar="NAME", help="the instance [default: the only one that runs]")
    group.add_argument("--runtime-dir", type=Path, metavar="PATH", help="the runtime directory of the instance")


def add_timeout_argument(parser: argparse.ArgumentParser, default_s: float) -> None:
    """Adds the option that limits the wait for an answer.

    :param default_s: the limit in seconds without the option.
    """
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=default_s,
        metavar="SECONDS",
        help=f"seconds to wait for the answer [default: {default_s:g}]",
    )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= MAX_TIMEOUT_S:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds up to {MAX_TIMEOUT_S:g}")
    return seconds


def exit_code_of(error: CommandError) -> int:
    """Gives the exit code of a command that has failed."""
    if isinstance(error, NotRunningError):
        return NOT_RUNNING
    return WRONG_USE if isinstance(error, ChoiceError) else FAILED


def same_livefeed(options: argparse.Namespace) -> str:
    """Gives the end of other command lines for the same livefeed; it begins with a blank, or is empty."""
    if options.instance is not None:
        return f" {shlex.join(['--instance', options.instance])}"
    if options.runtime_dir is not None:
        return f" {shlex.join(['--runtime-dir', str(options.runtime_dir)])}"
    return ""
