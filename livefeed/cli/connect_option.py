"""The option with which a command connects to another place than the URL's, such as before a name leads to a server."""

from __future__ import annotations

import argparse
from typing import Any

from livefeed.client.address import host_and_port
from livefeed.exceptions import FollowError


def add_connect_option(parser: Any) -> None:
    """Adds the option to the parser of a command, or to a group of options."""
    parser.add_argument(
        "--connect",
        type=_place,
        metavar="HOST:PORT",
        help="connect there in the place of the URL's host; the name and the certificate stay those of the URL",
    )


def _place(text: str) -> str:
    try:
        host_and_port(text)
    except FollowError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
