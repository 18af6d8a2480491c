"""``livefeed keys``: makes, rotates and publishes the keys that sign statements about the newest versions.

Rule: a private key is in the file alone: in no argument, in no output.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from livefeed.exceptions import ConfigurationError
from livefeed.process.signing_keys import make_keys, read_keys

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from livefeed.process.signing_keys import SigningKeys

HELP = "make, rotate and publish the keys that sign what watchers are shown"
DESCRIPTION = (
    "Works on the file that --signing-key names. Watchers that have the public keys verify by them that a document is "
    "the newest one of this livefeed, whichever proxies and mirrors it came through. A running livefeed reads the file "
    "again at a reload. Exit codes: 0 done; 1 the file cannot be used, with the reason on standard error; 2 the "
    "command line is wrong."
)

_PARTS = {
    "signs": "signs the statements",
    "next": "is published, and signs after the next rotation",
    "earlier": "has signed, and stays published",
}

_FILE_HELP = "the file with the keys"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the commands of the subcommand."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    def command(name: str, text: str, call: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        made.add_argument("file", type=Path, metavar="FILE", help=_FILE_HELP)
        made.set_defaults(call=call)
        return made

    command("create", "make a file with one key, readable by its owner alone", _create)
    rotate = command("rotate", "have another key sign; the one before stays published", _rotate)
    rotate.add_argument(
        "--announce", action="store_true", help="publish the next key now, and have it sign at the next rotation"
    )
    command("list", "list the ids of the keys, and the part of each", _list)
    publish = command("publish", "print the public keys as a JSON Web Key Set, as /-/keys has it", _publish)
    publish.add_argument("--output", type=Path, metavar="FILE", help="write it to this file instead")
    forget = command("forget", "publish an earlier key no more", _forget)
    forget.add_argument("key", metavar="ID", help="the id of the key; -- before one that begins with -")


def run(options: argparse.Namespace) -> None:
    """Does the command.

    :raises LivefeedError: if the file cannot be used.
    """
    try:
        options.call(options)
    except ConfigurationError as error:
        # No setting is concerned: the file is an argument.
        raise ConfigurationError(error.why) from None


def _create(options: argparse.Namespace) -> None:
    keys = make_keys()
    keys.write(options.file, is_new=True)
    print(f"made {options.file}; the key {keys.key_id} {_PARTS['signs']}")


def _rotate(options: argparse.Namespace) -> None:
    keys = read_keys(options.file)
    after = keys.announced() if options.announce else keys.rotated()
    after.write(options.file)
    _show(after)
    print("livefeed ctl reload has a running livefeed read the file", file=sys.stderr)


def _list(options: argparse.Namespace) -> None:
    _show(read_keys(options.file))


def _publish(options: argparse.Namespace) -> None:
    content = read_keys(options.file).key_set()
    if options.output is None:
        print(content.decode("ascii"), end="")
        return
    try:
        options.output.write_bytes(content)
    except OSError as error:
        raise ConfigurationError(f"{options.output}: {error.strerror}") from None


def _forget(options: argparse.Namespace) -> None:
    after = read_keys(options.file).without(options.key)
    after.write(options.file)
    _show(after)


def _show(keys: SigningKeys) -> None:
    for name, (part, _) in keys.published().items():
        print(f"{name}  {_PARTS[part]}")
