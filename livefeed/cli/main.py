"""The ``livefeed`` command: what is done beside the server, which is ``twistd livefeed``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from livefeed import __version__
from livefeed.exceptions import LivefeedError
from livefeed.tls.development import NAMES, default_directory, development_certificate


def main(arguments: list[str] | None = None) -> int:
    """Runs the command.

    :param arguments: those of the command line; ``None`` for ``sys.argv``.
    :returns: the exit code: 0, or 1 where something could not be done. A wrong command line exits with 2.
    """
    parser = argparse.ArgumentParser(prog="livefeed", description="Tools beside `twistd livefeed`, the server.")
    parser.add_argument("--version", action="version", version=f"livefeed {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    certs = commands.add_parser(
        "certs",
        help="make a development CA and the certificate of a server",
        description="Makes ca.pem, ca.key, cert.pem and key.pem, where they are missing, about to expire, or for other "
        "names. For trying things out: a public server needs the certificate of a public CA.",
    )
    certs.add_argument(
        "--directory",
        type=Path,
        help="where they are kept [default: livefeed/certs in $XDG_DATA_HOME, or in ~/.local/share]",
    )
    certs.add_argument(
        "--name",
        action="append",
        dest="names",
        metavar="NAME",
        help=f"host name or IP address that the certificate is for, repeatable [default: {' '.join(NAMES)}]",
    )
    certs.add_argument("--force", action="store_true", help="make all of them anew, the CA too")
    certs.set_defaults(run=_certs)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except LivefeedError as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return 1
    return 0


def _certs(options: argparse.Namespace) -> None:
    made = development_certificate(
        options.directory or default_directory(), options.names or NAMES, force=options.force
    )
    print(f"{'made' if made.made else 'kept'} {made.cert}, key {made.key}, CA {made.ca}")
    print(f"SHA-256 fingerprint {made.fingerprint}")
