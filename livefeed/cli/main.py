"""The ``livefeed`` command: its subcommands, their errors and exit codes. The server is ``twistd livefeed``."""

from __future__ import annotations

import argparse
import sys

from livefeed import __version__
from livefeed.cli import certs
from livefeed.exceptions import LivefeedError

_SUBCOMMANDS = {"certs": certs}
"""The module of each subcommand, with its ``HELP``, ``DESCRIPTION``, ``add_arguments`` and ``run``."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command.

    :param arguments: the arguments of the command line; ``None`` for ``sys.argv``.
    :returns: the exit code: 0, or 1 if the subcommand failed. A wrong command line exits with 2.
    """
    parser = argparse.ArgumentParser(prog="livefeed", description="Tools beside `twistd livefeed`, the server.")
    parser.add_argument("--version", action="version", version=f"livefeed {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module in _SUBCOMMANDS.items():
        subparser = commands.add_parser(name, help=module.HELP, description=module.DESCRIPTION)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except LivefeedError as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return 1
    return 0
