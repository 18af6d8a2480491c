"""The document that a command takes from a file or from standard input.

Rule: a file of settings is refused here, with the command that takes it: command lines name both kinds of files.
"""

from __future__ import annotations

import codecs
import sys
import tomllib
from pathlib import Path

from livefeed.config.layers import MAX_FILE_BYTES, is_json
from livefeed.exceptions import CommandError


def read_document(name: str, max_bytes: int, instead: str) -> bytes:
    """Reads a document, and one byte more than the largest one has.

    :param name: the path; ``-`` for standard input.
    :param max_bytes: the size in bytes of the largest document.
    :param instead: what to do with a file of settings, as the end of a message.
    :raises CommandError: if it cannot be read, or is a file of settings.
    """
    try:
        if name == "-":
            data = sys.stdin.buffer.read(max_bytes + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"{name}: cannot be read: {why}") from None
    if is_settings(data):
        raise CommandError(f"{name}: is a file of settings (TOML), and no document (JSON); {instead}")
    return data


def is_settings(data: bytes) -> bool:
    """Tells whether the content of a file is settings: TOML with a key, and not JSON."""
    if len(data) > MAX_FILE_BYTES:
        return False
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
        is_toml = bool(tomllib.loads(text))
    except (ValueError, RecursionError):
        return False
    return is_toml and not is_json(text)
