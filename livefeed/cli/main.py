"""The ``livefeed`` command: its subcommands, their errors and exit codes. The server is ``twistd livefeed``."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from livefeed import __version__
from livefeed.exceptions import LivefeedError, closest, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SUBCOMMANDS = (
    "bench",
    "certs",
    "check",
    "completion",
    "ctl",
    "doctor",
    "explain",
    "keys",
    "plan",
    "publish",
    "record",
    "recording",
    "replay",
    "serve",
    "verify",
    "watch",
)
"""The modules of the subcommands, each with ``HELP``, ``DESCRIPTION``, ``add_arguments`` and ``run``.

``run`` takes the parsed options, whose ``given`` has all arguments as they were given. It gives the exit code, or
``None`` for 0.
"""


class _Parser(argparse.ArgumentParser):
    """A parser that names the most similar choice for a wrong one. Parsers of subcommands are of this class, too."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            choices = [str(each) for each in action.choices or ()]
            raise argparse.ArgumentError(action, f"{error.message}{closest(str(value), choices)}") from None


def make_parser(names: Iterable[str] = _SUBCOMMANDS) -> argparse.ArgumentParser:
    """Makes the parser of the command line.

    :param names: the subcommands that it knows; by default, all.
    """
    parser = _Parser(
        prog="livefeed",
        description="Serves live JSON documents, and follows them. The server for services is `twistd livefeed`.",
    )
    parser.add_argument("--version", action="version", version=f"livefeed {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in names:
        module = import_module(f"livefeed.cli.{name}")
        subparser = commands.add_parser(name, help=module.HELP, description=module.DESCRIPTION)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run, fail=subparser.error)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command.

    :param arguments: the arguments of the command line; ``None`` for ``sys.argv``.
    :returns: the exit code: that of the subcommand, or 1 if it raised an error of livefeed. A wrong command line exits
        with 2.
    """
    given = sys.argv[1:] if arguments is None else arguments
    # Only the module that is needed: that of certs takes a quarter of a second to import.
    parser = make_parser([each for each in _SUBCOMMANDS if given[:1] == [each]] or _SUBCOMMANDS)
    options, unknown = parser.parse_known_args(given, argparse.Namespace(given=given))
    if unknown:
        # Not by the parser of all commands, whose usage says nothing about the options of this one.
        hint = _hint(options.fail.__self__, unknown[0])
        options.fail(f"there is no argument {' '.join(map(shown, unknown))}{hint}; --help lists all of them")
    try:
        code: int | None = options.run(options)
        sys.stdout.flush()
    except LivefeedError as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader, such as head, has enough. Python would complain about it again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code or 0


def _hint(parser: argparse.ArgumentParser, unknown: str) -> str:
    """Gives the part of a message about an unknown argument that says which one may be meant."""
    if unknown.startswith("-"):
        return closest(unknown.partition("=")[0], [*_option_strings(parser)])
    arguments = [each for each in _actions(parser) if not each.option_strings]
    if len(arguments) != 1 or arguments[0].nargs not in (None, "?") or not isinstance(arguments[0].metavar, str):
        return ""
    return f": one {arguments[0].metavar} only"


def _option_strings(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Gives the options of a parser, and of the parsers below it."""
    for action in _actions(parser):
        yield from action.option_strings
        for below in action.choices.values() if isinstance(action.choices, dict) else ():
            yield from _option_strings(below)


def _actions(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no public way to list what a parser knows
