"""``livefeed certs``: makes a development CA and the certificate of a server."""

from __future__ import annotations

import argparse
from pathlib import Path

from livefeed.exceptions import ConfigurationError
from livefeed.tls.development import NAMES, default_directory, development_certificate, normalised_name

HELP = "make a development CA and the certificate of a server"
DESCRIPTION = (
    "Makes ca.pem, ca.key, cert.pem and key.pem if they are missing, about to expire, or made for other names. The "
    "files are for trials: a public server needs the certificate of a public CA."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument(
        "--directory",
        type=Path,
        help="folder of the files [default: livefeed/certs in $XDG_DATA_HOME, or in ~/.local/share]",
    )
    parser.add_argument(
        "--name",
        action="append",
        dest="names",
        type=_name,
        metavar="NAME",
        help=f"host name or IP address of the certificate, repeatable [default: {' '.join(NAMES)}]",
    )
    parser.add_argument("--force", action="store_true", help="make all files anew, the CA too")


def _name(text: str) -> str:
    try:
        return normalised_name(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> None:
    """Makes the files, or keeps those that are still good, and prints their paths and the fingerprint.

    :raises LivefeedError: if a file cannot be made.
    """
    made = development_certificate(
        options.directory or default_directory(), options.names or NAMES, force=options.force
    )
    print(f"{'made' if made.made else 'kept'} {made.cert}, key {made.key}, CA {made.ca}")
    print(f"SHA-256 fingerprint {made.fingerprint}")
