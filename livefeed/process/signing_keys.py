"""The file with the keys that sign statements: how it is made, rotated and read.

The file is PEM (RFC 7468). The first private key signs; a second one is the next, which is published before it signs;
public keys have signed earlier, and stay published.

Rules: the file is replaced as a whole, and is durable before a command says so. Nothing here logs or shows a private
key, and no message quotes the file.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from livefeed.document.public_keys import MAX_KEYS, key_id, key_set
from livefeed.exceptions import ConfigurationError, MissingSecretError, SecretFileError
from livefeed.secret_files import read_secret

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE_BYTES = 65_536
"""The largest size of the file in bytes. A key takes 120, and a file has 16 at most."""

MAX_TRIES = 100
"""Keys that are made until one has an id that fits. One of 64 does not."""

_BLOCK = re.compile(
    rb"-----BEGIN (PRIVATE|PUBLIC) KEY-----\r?\n[A-Za-z0-9+/=\r\n]{1,400}-----END \1 KEY-----", re.ASCII
)
_BEGIN = b"-----BEGIN"


@dataclass(frozen=True, slots=True, repr=False)
class SigningKeys:
    """The keys of a file. Its text shows none of them.

    :ivar signing: the key that signs.
    :ivar following: the key that signs after the next rotation; ``None`` if none was announced.
    :ivar earlier: the public keys that have signed before, the newest first: 32 bytes each.
    """

    signing: Ed25519PrivateKey
    following: Ed25519PrivateKey | None = None
    earlier: tuple[bytes, ...] = ()

    @property
    def key_id(self) -> str:
        """The id of the key that signs."""
        return key_id(_public(self.signing))

    def published(self) -> dict[str, tuple[str, bytes]]:
        """Gives the published keys by their ids, each after its part: ``signs``, ``next`` or ``earlier``."""
        keys = [("signs", _public(self.signing))]
        if self.following is not None:
            keys.append(("next", _public(self.following)))
        keys += (("earlier", each) for each in self.earlier)
        return {key_id(public): (part, public) for part, public in keys}

    def key_set(self) -> bytes:
        """Gives the published keys as a set of JSON Web Keys, the one that signs first."""
        return key_set(public for _, public in self.published().values())

    def announced(self) -> SigningKeys:
        """Gives the same keys with a new one that is published, and does not sign yet.

        :raises ConfigurationError: if there is one already, or no room for it.
        """
        if self.following is not None:
            raise ConfigurationError("a next key is announced already; the next rotation has it sign")
        return self._checked(SigningKeys(self.signing, _new_key(), self.earlier))

    def rotated(self) -> SigningKeys:
        """Gives the keys after a rotation: the announced key signs, or a new one. The present one stays published.

        :raises ConfigurationError: if there is no room for another key.
        """
        signing = self.following or _new_key()
        return self._checked(SigningKeys(signing, None, (_public(self.signing), *self.earlier)))

    def without(self, name: str) -> SigningKeys:
        """Gives the same keys without an earlier one, which is no longer published.

        :param name: the id of the key.
        :raises ConfigurationError: if it is not the id of an earlier key.
        """
        part, public = self.published().get(name, ("", b""))
        if part != "earlier":
            why = f"the key {name} {'is in use' if part else 'is not in the file'}; earlier keys can be forgotten"
            raise ConfigurationError(why)
        return SigningKeys(self.signing, self.following, tuple(each for each in self.earlier if each != public))

    @staticmethod
    def _checked(keys: SigningKeys) -> SigningKeys:
        if len(keys.published()) > MAX_KEYS:
            why = f"a file has {MAX_KEYS} keys at most; livefeed keys forget takes an earlier one away"
            raise ConfigurationError(why)
        return keys

    def write(self, path: Path, *, is_new: bool = False) -> None:
        """Writes the file, readable by its owner alone. It is durable afterwards.

        :param is_new: whether it is an error if the file is there.
        :raises ConfigurationError: if it cannot be written; the file is as it was then.
        """
        try:
            # A rotation keeps the group that a service may read the file by.
            mode = stat.S_IMODE(path.stat().st_mode) & 0o640 | 0o600 if not is_new else 0o600
            _replace(path, self._text(), mode, is_new=is_new)
        except FileExistsError:
            raise ConfigurationError(
                f"{path}: is there already; livefeed keys rotate makes another key in it"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from None

    def _text(self) -> bytes:
        private = [self.signing] if self.following is None else [self.signing, self.following]
        blocks = [each.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for each in private]
        for each in self.earlier:
            key = Ed25519PublicKey.from_public_bytes(each)
            blocks.append(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return b"".join(blocks)


def make_keys() -> SigningKeys:
    """Makes a key that signs."""
    return SigningKeys(_new_key())


def read_keys(path: Path) -> SigningKeys:
    """Reads the keys of a file. It may block.

    :raises ConfigurationError: if the file cannot be read, can be read by every user, or has no possible keys.
    """
    try:
        data = read_secret(path, MAX_FILE_BYTES)
    except MissingSecretError:
        why = f"there is no such file; `livefeed keys create {path}` makes it"
        raise ConfigurationError(f"{path}: {why}", "signing_key") from None
    except SecretFileError as error:
        raise ConfigurationError(str(error), "signing_key") from None
    try:
        return _parse(data)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error.why}", "signing_key") from None


def _parse(data: bytes) -> SigningKeys:
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError(f"is larger than {MAX_FILE_BYTES} bytes")
    private: list[Ed25519PrivateKey] = []
    earlier: list[bytes] = []
    blocks = [*_BLOCK.finditer(data)]
    if len(blocks) != data.count(_BEGIN):
        raise ConfigurationError("has something besides unencrypted PEM of private and public keys")
    for block in blocks:
        try:
            key = load_pem_private_key(block[0], None) if block[1] == b"PRIVATE" else load_pem_public_key(block[0])
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigurationError("has a damaged key") from None
        if isinstance(key, Ed25519PrivateKey):
            private.append(key)
        elif isinstance(key, Ed25519PublicKey):
            earlier.append(key.public_bytes_raw())
        else:
            raise ConfigurationError("has a key of another kind; keys that sign statements are of Ed25519")
    if not 1 <= len(private) <= 2:  # noqa: PLR2004 - the one that signs, and the next
        raise ConfigurationError("has no private key, or more than two; `livefeed keys create FILE` makes a file")
    if len(blocks) > MAX_KEYS:
        raise ConfigurationError(f"has more than {MAX_KEYS} keys")
    return SigningKeys(private[0], private[1] if len(private) > 1 else None, tuple(earlier))


def _new_key() -> Ed25519PrivateKey:
    """Makes a key. Its id does not begin with a hyphen, by which a command line would take it for an option."""
    for _ in range(MAX_TRIES):
        key = Ed25519PrivateKey.generate()
        if not key_id(_public(key)).startswith("-"):
            break
    return key


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _replace(path: Path, data: bytes, mode: int, *, is_new: bool) -> None:
    """Replaces a file as a whole, or makes it. At no time does it grant more access than *mode*."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        if is_new:
            os.link(scratch, path)  # which fails if the file is there
        else:
            scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
