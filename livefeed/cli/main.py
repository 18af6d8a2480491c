"""The ``livefeed`` command: its subcommands, their errors and exit codes. The server is ``twistd livefeed``."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from livefeed import __version__
from livefeed.exceptions import LivefeedError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def make_parser(names: Iterable[str] = _SUBCOMMANDS) -> argparse.ArgumentParser:
    """Makes the parser of the command line.

    :param names: the subcommands that it knows; by default, all.
    """
    parser = argparse.ArgumentParser(
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
        options.fail(f"there is no argument {' '.join(map(shown, unknown))}; --help lists all of them")
    try:
        code: int | None = options.run(options)
    except LivefeedError as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return 1
    return code or 0
