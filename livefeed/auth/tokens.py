"""A file of tokens: one line for each, with a name, the token or its SHA-256, and optionally the end of its time.

.. not run: the form of a file

::

    # NAME       TOKEN                        UNTIL
    wall         q0Ywz3nOScE8uWq3Yc0dT1p4
    newsroom     sha256:6f1e…(64 digits)      2026-12-01T06:00:00Z

Rules: a token is kept as its hash alone, and found by its hash, so the time of the search says nothing about tokens: a
client cannot choose the bytes that are compared. Names are for people, and can be repeated while a token is replaced by
another one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from livefeed.auth.grants import Grant
from livefeed.exceptions import ConfigurationError, SecretFileError
from livefeed.secret_files import read_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_FILE_BYTES = 1024 * 1024
"""Size of the largest file of tokens, or of keys. It has room for 10,000 lines; a larger file was named by mistake."""

MAX_TOKENS = 10_000
"""Largest number of tokens in a file. Each reload reads all of them, which takes 30 ms. For more users there are signed
tokens, of which livefeed keeps none."""

MIN_TOKEN_CHARACTERS = 20
"""Characters of the shortest token. With 64 possible characters, they have 120 bits: nobody can try them out."""

MAX_TOKEN_BYTES = 4096
"""Size of the largest token that is looked at. A signed token has some 300 bytes, or 1 KB with RSA and many claims."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # b64token (RFC 6750, 2.1), with "=" anywhere
_HASHED = re.compile(r"sha256:([0-9a-fA-F]{64})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def read_tokens(path: Path) -> bytes:
    """Reads a file of tokens.

    :raises ConfigurationError: if the file cannot be read, can be read by every user, or is too large.
    """
    try:
        data = read_secret(path, MAX_FILE_BYTES)
    except SecretFileError as error:
        raise ConfigurationError(str(error), "auth_tokens") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{path}: is larger than {MAX_FILE_BYTES} bytes", "auth_tokens")
    return data


def digest_of(token: bytes) -> bytes:
    """Gives the hash under which a token is kept."""
    return hashlib.sha256(token).digest()


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a file.

    :ivar until: the end of each in seconds since 1970, or ``None`` for never, by its SHA-256.
    """

    until: Mapping[bytes, float | None] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes, name: str) -> Tokens:
        """Parses a file.

        :param name: the name of the file, for messages.
        :raises ConfigurationError: if a line is wrong. The message has its number, and nothing of a token.
        """
        until: dict[bytes, float | None] = {}
        for number, raw in enumerate(data.split(b"\n"), 1):
            line = raw.decode("utf-8", "replace").strip()
            if not line or line.startswith("#"):
                continue
            try:
                digest, end = _parse(line.split())
                if digest in until:
                    raise ValueError("the token stands in an earlier line, too; leave one of them out")  # noqa: TRY301
            except ValueError as error:
                raise ConfigurationError(f"{name}:{number}: {error}", "auth_tokens") from None
            until[digest] = end
            if len(until) > MAX_TOKENS:
                raise ConfigurationError(f"{name}: has more than {MAX_TOKENS} tokens", "auth_tokens")
        return cls(until)

    def encoded(self) -> bytes:
        """Gives the same as a file that has hashes alone: for workers, which need no tokens."""
        return b"".join(
            b"t sha256:%s%s\n" % (digest.hex().encode(), b"" if end is None else b" " + _timestamp(end).encode())
            for digest, end in self.until.items()
        )

    def find(self, token: bytes) -> Grant | None:
        """Gives the grant of a token, whether or not its time is over; ``None`` for a token that is not there."""
        digest = digest_of(token)
        for known in (digest,) if digest in self.until else ():
            if hmac.compare_digest(known, digest):
                return Grant(known, self.until[known])
        return None

    def renew(self, grant: Grant) -> Grant | None:
        """Gives a grant of earlier tokens as it is now; ``None`` if its token is not there any more."""
        key = grant.key
        return Grant(key, self.until[key]) if isinstance(key, bytes) and key in self.until else None

    def __len__(self) -> int:
        return len(self.until)


def _parse(words: list[str]) -> tuple[bytes, float | None]:
    """Gives the hash of the token of a line, and its end.

    :raises ValueError: if the line is wrong.
    """
    if not 2 <= len(words) <= 3:  # noqa: PLR2004 - the columns
        raise ValueError(f"has {len(words)} columns: write NAME TOKEN, or NAME TOKEN UNTIL")
    name, token, *ends = words
    if not _NAME.fullmatch(name):
        raise ValueError("the name has other characters than letters, digits, '.', '_', '@' and '-', or more than 64")
    hashed = _HASHED.fullmatch(token)
    if hashed is None:
        if token.startswith("sha256:"):
            raise ValueError("a SHA-256 has 64 hexadecimal digits; `printf %s TOKEN | sha256sum` makes one")
        if not _TOKEN.fullmatch(token):
            raise ValueError("the token has other characters than letters, digits and . _ ~ + / = -")
        if not MIN_TOKEN_CHARACTERS <= len(token) <= MAX_TOKEN_BYTES:
            why = f"the token has {len(token)} characters, and {MIN_TOKEN_CHARACTERS} are the fewest"
            raise ValueError(f"{why}; `openssl rand -hex 24` makes one")
    digest = digest_of(token.encode()) if hashed is None else bytes.fromhex(hashed[1])
    return digest, _end(ends[0]) if ends else None


def _end(text: str) -> float:
    try:
        at: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError("the end is not a time such as 2026-12-01T06:00:00Z, with its zone")
    return at.timestamp()


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
