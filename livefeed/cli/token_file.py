"""The file with the token for a protected feed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.client.token import MAX_TOKEN_LENGTH
from livefeed.exceptions import FollowError

if TYPE_CHECKING:
    from pathlib import Path


def token_in(path: Path) -> str:
    """Reads the token, anew for each connection: a program may renew the file.

    :raises FollowError: if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TOKEN_LENGTH + 2)
    except OSError as error:
        raise FollowError(f"{path}: {error.strerror}") from None
    return data.decode("ascii", "replace").strip()
