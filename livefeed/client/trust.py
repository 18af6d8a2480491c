"""The public keys that a user trusts, read from a set of JSON Web Keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from livefeed.client.verification import TOLERANCE_S, Trust
from livefeed.document.public_keys import MAX_SET_BYTES, KeySetError, read_key_set
from livefeed.exceptions import FollowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.client.address import Address

_FORM = ".json"


def verifying_keys(content: bytes) -> dict[str, Callable[[bytes, bytes], object]]:
    """Gives the keys of a set as functions that verify, by their ids.

    :raises KeySetError: if the set cannot be used.
    :raises FollowError: if the package for signatures is missing.
    """
    # Not above: most clients verify no signatures, and the distribution for clients alone comes without the package.
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    except ModuleNotFoundError:
        raise FollowError("signatures need the package cryptography: pip install cryptography") from None
    return {name: Ed25519PublicKey.from_public_bytes(each).verify for name, each in read_key_set(content).items()}


def read_verifying_keys(path: str | Path) -> dict[str, Callable[[bytes, bytes], object]]:
    """Reads the keys of a file; see :func:`verifying_keys`.

    :raises FollowError: if it cannot be used.
    """
    try:
        with Path(path).open("rb") as file:
            return verifying_keys(file.read(MAX_SET_BYTES + 1))
    except OSError as error:
        raise FollowError(f"{path}: {error.strerror}") from None
    except KeySetError as error:
        raise FollowError(f"{path}: {error}") from None


def trust_of(content: bytes, address: Address, feed: str = "", tolerance_s: float = TOLERANCE_S) -> Trust:
    """Makes the trust in a set of keys for a feed.

    :param content: the set, as livefeed has it at ``/-/keys``.
    :param address: the feed that is followed.
    :param feed: the name of the feed in its statements; by default the last part of its path.
    :param tolerance_s: seconds by which the clocks of the signer and of this machine may differ.
    :raises KeySetError: if the set cannot be used.
    :raises FollowError: if the package for signatures is missing.
    """
    return Trust(verifying_keys(content), feed or feed_of(address), tolerance_s)


def chosen_trust(keys: str | Path | Trust | None, address: Address, *, is_part: bool) -> Trust | None:
    """Gives the trust that a user chooses for a document; ``None`` for none.

    :param keys: a file with a set of keys, or the trust in others.
    :param is_part: whether the user wants a part of the document.
    :raises FollowError: if the file cannot be used, or the document is a part.
    """
    if keys is None:
        return None
    if is_part:
        raise FollowError("keys: a part of a document is not signed: follow the whole document")
    return keys if isinstance(keys, Trust) else read_trust(keys, address)


def read_trust(path: str | Path, address: Address, feed: str = "") -> Trust:
    """Reads the keys of a file; see :func:`trust_of`.

    :raises FollowError: if it cannot be used.
    """
    return Trust(read_verifying_keys(path), feed or feed_of(address))


def feed_of(address: Address) -> str:
    """Gives the name of a feed: the last part of its path, since a proxy may have put a prefix before it."""
    return unquote(address.target.partition("?")[0].rpartition("/")[2]).removesuffix(_FORM)
