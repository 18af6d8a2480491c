"""The options and exit codes that all commands share which talk to the operator's port."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livefeed.cli.operator_client import ChoiceError, NotRunningError, find_socket

if TYPE_CHECKING:
    from livefeed.exceptions import CommandError

DONE, FAILED, WRONG_USE, NOT_RUNNING = range(4)
"""The exit codes. A command may have more, from 4 on."""

MAX_TIMEOUT_S = 86_400.0
"""The longest time in seconds that an operator may wait for an answer."""


def add_instance_arguments(group: Any, default: Any = None) -> None:
    """Adds the options that choose a livefeed on this machine.

    :param group: takes one of them at most.
    :param default: their value without a choice; ``argparse.SUPPRESS`` leaves that of an option before the command.
    """
    group.add_argument(
        "--instance", default=default, metavar="NAME", help="the instance [default: the only one that runs]"
    )
    group.add_argument(
        "--runtime-dir", type=Path, default=default, metavar="PATH", help="the runtime directory of the instance"
    )


def chosen_socket(options: argparse.Namespace) -> Path:
    """Gives the operator's socket of the livefeed that a command is for.

    :param options: has those of :func:`add_instance_arguments`.
    :raises CommandError: if it cannot be told, or none runs.
    """
    if options.instance is not None and options.runtime_dir is not None:
        # argparse sees it only if both are before the command, or both after it.
        raise ChoiceError("--instance and --runtime-dir exclude each other")
    return find_socket(
        os.environ,
        os.geteuid(),
        instance=options.instance,
        runtime_dir=options.runtime_dir,
        command=["livefeed", *options.given],
    )


def add_timeout_argument(parser: argparse.ArgumentParser, default_s: float) -> argparse.Action:
    """Adds the option that limits the wait for an answer.

    :param default_s: the limit in seconds without the option.
    """
    return parser.add_argument(
        "--timeout",
        type=timeout_of,
        default=default_s,
        metavar="SECONDS",
        help=f"seconds to wait for the answer [default: {default_s:g}]",
    )


def timeout_of(text: str) -> float:
    """Reads a limit in seconds.

    :raises argparse.ArgumentTypeError: if it is none.
    """
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
