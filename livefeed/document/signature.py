"""Signed statements: "at this time, this is the newest version of this feed, and this is its state".

A statement is one structured field (RFC 9651), and its signature is an HTTP message signature (RFC 9421) that covers
this field alone. So the same bytes are verified in the fields of an answer and in a member of a message: content
codings, deltas and caches do not change them. The digest in a statement is that of the whole document without a coding.

Rules: the bytes that were signed are verified before anything in them is read, and as they were received. The algorithm
is Ed25519 alone: nothing in a message chooses one.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TAG = "livefeed"
"""The application of a signature, which is signed, too: the key signs nothing else that could pass as a statement."""

LABEL = "livefeed"
"""The name of the signature in the fields. A proxy may add signatures of its own under others."""

MAX_TEXT_LENGTH = 1024
"""The largest number of characters of a statement, and of its parameters, that are read: a name has 64, and all else in
them 250."""

MAX_FIELD_LENGTH = 4096
"""The largest number of characters of the fields with the signatures, to which proxies may have added their own."""

_SIGNATURE_BYTES = 64
_COVERED = '("livefeed-statement")'
_ITEM = r'"[ !#-\[\]-~]*"|:[A-Za-z0-9+/=]*:|[A-Za-z0-9*][A-Za-z0-9_.:/*-]*'
_MEMBER = re.compile(rf"([a-z*][a-z0-9_.*-]*)=({_ITEM})(?:, (?=.)|\Z)")
_PARAMETER = re.compile(rf";([a-z*][a-z0-9_.*-]*)=({_ITEM})")
_OWN_INPUT = re.compile(rf"(?:\A|, ?){LABEL}=({re.escape(_COVERED)}(?:;[a-z]+=(?:\"[^\",]*\"|[0-9]+))*)(?:\Z|,)")
_OWN_SIGNATURE = re.compile(rf"(?:\A|, ?){LABEL}=:([A-Za-z0-9+/]{{86}}==):(?:\Z|,)")
_SEQUENCE = re.compile(r"[0-9]{1,20}\.[0-9]{1,20}\Z")
_WHOLE = re.compile(r"[0-9]{1,12}\Z")


class SignatureError(ValueError):
    """A statement is malformed, or was not signed by a key that is trusted. The message says why."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement about the newest version of a feed.

    :ivar feed: the name of the feed, so that a document of one feed cannot pass as that of another.
    :ivar sequence: epoch and number of the version, which are ordered as pairs.
    :ivar digest: the SHA-256 of the document without a content coding: 32 bytes.
    :ivar state: the state of the feed.
    :ivar at: when a pull last confirmed the document, as ``Livefeed-At``.
    """

    feed: str
    sequence: tuple[int, int]
    digest: bytes
    state: str
    at: str

    def text(self) -> str:
        """Gives the value of the field ``Livefeed-Statement``."""
        digest = base64.b64encode(self.digest).decode("ascii")
        return statement_text(self.feed, self.sequence_text, f"sha-256=:{digest}:", self.state, self.at)

    @property
    def sequence_text(self) -> str:
        """The sequence as ``Livefeed-Sequence`` has it."""
        return "{}.{}".format(*self.sequence)

    @classmethod
    def parse(cls, text: str) -> Statement:
        """Reads a statement. Members that are not known are left out: there may be more later.

        :raises SignatureError: if it is malformed.
        """
        members = _items(text, _MEMBER)
        try:
            feed, sequence, state, at = (members[name] for name in ("feed", "sequence", "state", "at"))
            digest = base64.b64decode(members["sha-256"].strip(":"), validate=True)
        except (KeyError, binascii.Error) as error:
            raise SignatureError(f"the statement lacks something: {error}") from None
        sequence = sequence.strip('"')
        if len(digest) != 32 or not _SEQUENCE.match(sequence):  # noqa: PLR2004
            raise SignatureError("the statement has no digest or no sequence")
        epoch, _, number = sequence.partition(".")
        return cls(feed.strip('"'), (int(epoch), int(number)), digest, state.strip('"'), at.strip('"'))


def statement_text(feed: str, sequence: str, digest: str, state: str, at: str) -> str:
    """Gives the value of ``Livefeed-Statement``.

    :param digest: as in the field ``Repr-Digest``.
    """
    return f'feed="{feed}", sequence="{sequence}", {digest}, state={state}, at="{at}"'


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement with its signature, as bytes on the wire.

    :ivar statement: the value of ``Livefeed-Statement``.
    :ivar parameters: the parameters of the signature, as ``Signature-Input`` has them.
    :ivar signature: 64 bytes.
    """

    statement: str
    parameters: str
    signature: bytes

    @classmethod
    def of(cls, statement: str, key_id: str, created: int, expires: int, sign: Callable[[bytes], bytes]) -> Signed:
        """Signs a statement.

        :param created: the present time, in seconds since 1970.
        :param expires: the time until which another statement will have followed.
        :param sign: signs bytes by Ed25519.
        """
        parameters = f'{_COVERED};created={created};expires={expires};keyid="{key_id}";alg="ed25519";tag="{TAG}"'
        return cls(statement, parameters, sign(_base(statement, parameters)))

    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """Gives the fields of an answer."""
        return (
            (b"Livefeed-Statement", self.statement.encode("ascii")),
            (b"Signature-Input", f"{LABEL}={self.parameters}".encode("ascii")),
            (b"Signature", b"%s=:%s:" % (LABEL.encode(), base64.b64encode(self.signature))),
        )

    def member(self) -> bytes:
        """Gives the member of a message, after a comma."""
        return b',"signed":' + json.dumps(self.value(), separators=(",", ":")).encode("ascii")

    def value(self) -> dict[str, str]:
        """Gives the value of this member."""
        signature = base64.b64encode(self.signature).decode("ascii")
        return {"statement": self.statement, "parameters": self.parameters, "signature": signature}

    @classmethod
    def of_fields(cls, fields: Mapping[str, str]) -> Signed | None:
        """Reads the fields of an answer.

        :param fields: by names in lower case.
        :returns: ``None`` if there is no signed statement.
        """
        statement = fields.get("livefeed-statement", "")
        found = [fields.get(name, "") for name in ("signature-input", "signature")]
        if not statement or any(len(each) > MAX_FIELD_LENGTH for each in found):
            return None
        parameters, signature = _OWN_INPUT.search(found[0]), _OWN_SIGNATURE.search(found[1])
        if parameters is None or signature is None:
            return None
        return cls.of_member({"statement": statement, "parameters": parameters[1], "signature": signature[1]})

    @classmethod
    def of_member(cls, value: object) -> Signed | None:
        """Reads the member of a message; ``None`` if it is no signed statement."""
        if not isinstance(value, dict):
            return None
        texts = [value.get(name) for name in ("statement", "parameters", "signature")]
        if not all(isinstance(each, str) and each.isascii() and len(each) <= MAX_TEXT_LENGTH for each in texts):
            return None
        try:
            signature = base64.b64decode(str(texts[2]), validate=True)
        except binascii.Error:
            return None
        return cls(str(texts[0]), str(texts[1]), signature) if len(signature) == _SIGNATURE_BYTES else None


@dataclass(frozen=True, slots=True)
class Verified:
    """A statement whose signature was verified.

    :ivar statement: the statement.
    :ivar created: when it was signed, in seconds since 1970, by the signer's clock.
    :ivar expires: the time until which the signer promises another one.
    :ivar key_id: the key.
    """

    statement: Statement
    created: int
    expires: int
    key_id: str


def verified(signed: Signed, keys: Mapping[str, Callable[[bytes, bytes], object]]) -> Verified:
    """Verifies the signature of a statement, and reads it. It knows no time.

    :param keys: verify bytes by the keys that are trusted: given a signature and the bytes, they raise if it is not
        one. By the ids of the keys.
    :raises SignatureError: if the signature is not one of a trusted key, or the statement is malformed.
    """
    if not signed.parameters.startswith(_COVERED):
        raise SignatureError("the signature does not cover the statement alone")
    parameters = _items(signed.parameters.removeprefix(_COVERED), _PARAMETER)
    key_id = parameters.get("keyid", "").strip('"')
    key = keys.get(key_id)
    if key is None:
        raise SignatureError(f"it is signed by a key that is not trusted: {key_id[:64] or 'none is named'}")
    # Never chosen by these: they are only compared.
    if parameters.get("alg", '"ed25519"') != '"ed25519"' or parameters.get("tag") != f'"{TAG}"':
        raise SignatureError("it is not signed as a statement of livefeed by Ed25519")
    created, expires = parameters.get("created", ""), parameters.get("expires", "")
    if not _WHOLE.match(created) or not _WHOLE.match(expires):
        raise SignatureError("the signature does not say when it was made")
    try:
        key(signed.signature, _base(signed.statement, signed.parameters))
    except Exception:
        raise SignatureError(f"the signature is not one of the key {key_id}") from None
    return Verified(Statement.parse(signed.statement), int(created), int(expires), key_id)


def _base(statement: str, parameters: str) -> bytes:
    """Gives the bytes that are signed (RFC 9421, 2.5)."""
    return f'"livefeed-statement": {statement}\n"@signature-params": {parameters}'.encode("ascii")


def _items(text: str, pattern: re.Pattern[str]) -> dict[str, str]:
    """Gives the values of a list of ``name=value``, as they are written.

    :raises SignatureError: if there is anything else in it, or a name twice.
    """
    members, position = dict[str, str](), 0
    while position < len(text):
        found = pattern.match(text, position)
        if found is None or found[1] in members:
            raise SignatureError("the statement or its parameters are malformed")
        members[found[1]], position = found[2], found.end()
    return members
