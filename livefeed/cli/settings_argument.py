"""The argument SETTINGS of a subcommand, a file of settings."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING

from livefeed.config.layers import MAX_FILE_BYTES, is_json
from livefeed.exceptions import ConfigurationError, shown

if TYPE_CHECKING:
    import argparse

METAVAR = "SETTINGS"


def add_settings_argument(parser: argparse.ArgumentParser, more: str) -> None:
    """Adds the argument, as ``file``.

    :param more: the end of its help.
    """
    parser.add_argument("file", nargs="?", metavar=METAVAR, help=f"the file of settings{more}")


def refuse_document(path: str | None, command: str, instead: str) -> None:
    """Refuses a document in place of a file of settings, whose faults as TOML would say nothing.

    :param path: the file of settings; ``None`` if there is none. One that cannot be read is refused elsewhere.
    :param command: the command that takes settings.
    :param instead: the command that takes a document.
    :raises ConfigurationError: if the file is JSON.
    """
    if path is None:
        return
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
    except (OSError, ValueError):
        return
    if is_json(data.removeprefix(codecs.BOM_UTF8).decode(errors="replace")):
        raise ConfigurationError(f"{shown(path)}: this is JSON: {command} takes settings; {instead} takes a document")
