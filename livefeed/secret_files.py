"""Files with secrets, which not every user of the machine may read."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from livefeed.exceptions import MissingSecretError, SecretFileError

if TYPE_CHECKING:
    from pathlib import Path


def read_secret(path: Path, max_bytes: int) -> bytes:
    """Reads a file with secrets. It may block.

    :param max_bytes: the size in bytes of the largest possible file. Of a larger one, one byte more is given.
    :raises MissingSecretError: if there is no such file.
    :raises SecretFileError: if the file cannot be read, or can be read by every user.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise MissingSecretError(f"{path}: {error.strerror}") from None
    except OSError as error:
        raise SecretFileError(f"{path}: {error.strerror}") from None
    if mode & stat.S_IRWXO:
        raise SecretFileError(f"{path}: every user may read it; `chmod o= {path}` forbids it")
    return data
