"""One immutable version of the document, with everything that is computed from it.

Rule: this file is pure. No Twisted, no clock, no I/O; the same bytes give the same version everywhere.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from livefeed.document.codings import (
    CODINGS,
    GZIP_LEVEL,
    compress,
    compress_well,
    is_large,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from livefeed.document.codings import Compressed

VERSION_DIGITS = 32
MAX_NAMED_LENGTH = 64
"""The longest text that a client may name as its version: longer text is none."""
IDENTITY = "identity"


@dataclass(frozen=True, slots=True, order=True)
class Sequence:
    """The order of versions.

    :ivar epoch: when the counter was begun, in milliseconds since 1970 by the wall clock; a later one is larger.
    :ivar number: counts the versions of the epoch, from 1.
    """

    epoch: int
    number: int

    def next(self) -> Sequence:
        """Gives the sequence of the version that follows."""
        return Sequence(self.epoch, self.number + 1)

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"


def version_of(data: bytes) -> str:
    """Gives the version of a document: the first 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:VERSION_DIGITS]


def named_version(values: Iterable[bytes] | None) -> str | None:
    """Gives the version that a client says it has; ``None`` if it names none.

    :param values: those of a field or a query, of which the first counts.
    """
    value = next(iter(values or ()), b"")
    return value.decode("latin-1") if 0 < len(value) <= MAX_NAMED_LENGTH else None


@dataclass(frozen=True, slots=True)
class Representation:
    """The document in one content coding.

    :ivar coding: the name of the coding.
    :ivar data: the bytes.
    :ivar etag: names these bytes: a strong entity tag, with its quotes (RFC 9110, 8.8.3).
    :ivar digest: their SHA-256, as the field ``Repr-Digest`` has it (RFC 9530, 3).
    """

    coding: str
    data: bytes
    etag: bytes
    digest: bytes

    @classmethod
    def of(cls, coding: str, data: bytes, version: str) -> Self:
        """Makes the representation of a version in a coding."""
        suffix = "" if coding == IDENTITY else f"-{coding}"
        digest = base64.b64encode(hashlib.sha256(data).digest())
        return cls(coding, data, f'"{version}{suffix}"'.encode(), b"sha-256=:%s:" % digest)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A version of the document.

    :ivar data: the document's bytes, as they were pulled.
    :ivar version: names these bytes; see :func:`version_of`.
    :ivar sequence: this version's place among the others.
    :ivar representations: the document as it is, and in each content coding that makes it smaller, by the names of
        the codings and the smallest first. Codings that take long come later; see :meth:`add`.
    :ivar deflated: the document as :attr:`livefeed.document.codings.Compressed.message`; ``None`` if the document was
        never compressed.
    :ivar forms: the forms of the document that were computed so far, by their functions; see :meth:`form`.
    """

    data: bytes
    version: str
    sequence: Sequence
    representations: dict[str, Representation]
    deflated: bytes | None
    forms: dict[Callable[[Snapshot], bytes], bytes] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def of(cls, data: bytes, sequence: Sequence, compressed: Compressed | None = None) -> Self:
        """Makes the snapshot of a document that has passed the gate.

        :param compressed: the document, if it was compressed already.
        """
        compressed = compressed or compress(data)
        version = version_of(data)
        snapshot = cls(
            data=data,
            version=version,
            sequence=sequence,
            representations={IDENTITY: Representation.of(IDENTITY, data, version)},
            deflated=compressed.message,
        )
        snapshot.add({"gzip": compressed.gzip})
        if not is_large(data):
            snapshot.add(compress_well(data))
        return snapshot

    @classmethod
    def bare(cls, data: bytes, sequence: Sequence) -> Self:
        """Makes the snapshot of a document without any coding, which costs two hashes."""
        version = version_of(data)
        return cls(data, version, sequence, {IDENTITY: Representation.of(IDENTITY, data, version)}, None)

    def etags(self) -> list[bytes]:
        """Gives the entity tags under which a client can have this version, of whatever coding."""
        return [f'"{self.version}"'.encode(), *(f'"{self.version}-{coding}"'.encode() for coding in CODINGS)]

    def is_bare(self) -> bool:
        """Tells whether it was never compressed."""
        return self.deflated is None

    def form(self, make: Callable[[Snapshot], bytes]) -> bytes:
        """Gives a form of the document, such as a frame. It is computed once and kept for as long as the snapshot.

        :param make: computes the form; a function of a module, since the form is kept under it.
        """
        form = self.forms.get(make)
        if form is None:
            form = self.forms[make] = make(self)
        return form

    def add(self, codings: dict[str, bytes]) -> None:
        """Adds the document in further codings, as far as they are smaller than the document.

        :param codings: the bytes, by the names of the codings.
        """
        for coding, data in codings.items():
            if len(data) < len(self.data):
                self.representations[coding] = Representation.of(coding, data, self.version)
        in_order = sorted(self.representations.items(), key=lambda item: len(item[1].data))
        self.representations.clear()
        self.representations.update(in_order)


def make_large(data: bytes, sequence: Sequence = Sequence(0, 0)) -> Snapshot:
    """Makes the snapshot of a document in a thread: it is compressed as well as a small one, and not in all codings.

    :param sequence: the version's place among the others; by default, it is still to be given one.
    """
    return Snapshot.of(data, sequence, compress(data, GZIP_LEVEL))
