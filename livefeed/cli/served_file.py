"""The local file that ``livefeed serve`` is to serve: errors that a user should read before the start.

Rule: a file that another program may still write is no error, so only its contents are told, and not refused.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from livefeed.exceptions import ConfigurationError, DocumentError, shown

if TYPE_CHECKING:
    from livefeed.sources import Source

FILE, RECORDING = "file:", "recording:"

MAX_READ_BYTES = 16 * 1024 * 1024
"""Bytes of a file that are looked at before the start. A larger document is looked at by the first pull alone."""


def check_path(path: Path) -> None:
    """Checks a file that the user has named by its path.

    :raises ConfigurationError: if it cannot be read, or is a recording.
    """
    why = _unreadable(path)
    if why:
        raise ConfigurationError(f"{shown(str(path))}: {why}")
    if is_recording(path):
        source = shlex.quote(f"recording:{quote(str(path))}")
        raise ConfigurationError(f"{shown(str(path))}: this is a recording: livefeed serve {source}")


def check_source(url: str) -> None:
    """Checks the file of a recording. One of ``file:`` may come later.

    :param url: the source.
    :raises ConfigurationError: if it cannot be read.
    """
    if url[: len(RECORDING)].lower() == RECORDING:
        path = Path(unquote(urlsplit(url).path))
        why = _unreadable(path)
        if why:
            raise ConfigurationError(f"{shown(str(path))}: {why}")


def complaint(source: Source, max_bytes: int) -> str:
    """Gives the reason why the file of a source cannot be served as it is now; empty if it can, or has no file.

    :param max_bytes: the size in bytes of the largest document.
    """
    # Imported here: the other subcommands start without it.
    from livefeed.document.gate import check_document  # noqa: PLC0415

    name = str(source)
    path = Path(name.removeprefix(FILE))
    try:
        if not name.startswith(FILE) or not path.is_file() or path.stat().st_size > MAX_READ_BYTES:
            return ""
        check_document(path.read_bytes(), max_bytes=max_bytes)
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    except DocumentError as error:
        return f"{path}: {error}"
    return ""


def is_recording(path: Path) -> bool:
    """Tells whether a file that can be read begins as recordings do."""
    from livefeed.document.recording import may_begin  # noqa: PLC0415

    with path.open("rb") as file:
        beginning = file.read(64)
    return bool(beginning) and may_begin(beginning)


def _unreadable(path: Path) -> str:
    if path.is_dir():
        return "is a folder; name a file in it"
    if not path.exists():
        return "there is no such file"
    return "" if os.access(path, os.R_OK) else "cannot be read: Permission denied"
