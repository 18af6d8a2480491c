"""One version of the document, with everything that is computed from it.

Rule: the same bytes give the same version everywhere.
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
    from collections.abc import Callable, Collection, Iterable

    from livefeed.document.codings import Compressed

VERSION_DIGITS = 32
"""The number of hexadecimal digits in a version."""

MAX_NAMED_LENGTH = 64
"""The largest number of characters in a version that a client names. Longer text is ignored."""

IDENTITY = "identity"


@dataclass(frozen=True, slots=True, order=True)
class Sequence:
    """The order of versions.

    :ivar epoch: when the count began, in milliseconds since 1970 by the wall clock; a later epoch is larger.
    :ivar number: the number of the version in its epoch, from 1.
    """

    epoch: int
    number: int

    def next(self) -> Sequence:
        """Gives the sequence of the next version."""
        return Sequence(self.epoch, self.number + 1)

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"


def version_of(data: bytes) -> str:
    """Gives the version of a document: the first 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:VERSION_DIGITS]


def named_version(values: Iterable[bytes] | None) -> str | None:
    """Gives the version that a client says it has; ``None`` if it names none.

    :param values: the values of a field or a query parameter. Only the first counts.
    """
    value = next(iter(values or ()), b"")
    return value.decode("latin-1") if 0 < len(value) <= MAX_NAMED_LENGTH else None


@dataclass(frozen=True, slots=True)
class Representation:
    """The document in one content coding.

    :ivar coding: the name of the coding.
    :ivar data: the bytes.
    :ivar etag: their strong entity tag, with its quotes (RFC 9110, 8.8.3).
    :ivar digest: their SHA-256, as in the field ``Repr-Digest`` (RFC 9530, 3).
    """

    coding: str
    data: bytes
    etag: bytes
    digest: bytes

    @classmethod
    def of(cls, coding: str, data: bytes, version: str) -> Self:
        """Makes the representation of a version in a coding.

        :param coding: the name of the coding.
        :param data: the bytes in that coding.
        """
        digest = base64.b64encode(hashlib.sha256(data).digest())
        return cls.received(coding, data, version, b"sha-256=:%s:" % digest)

    @classmethod
    def received(cls, coding: str, data: bytes, version: str, digest: bytes) -> Self:
        """Makes a representation whose digest another process has computed."""
        suffix = "" if coding == IDENTITY else f"-{coding}"
        return cls(coding, data, f'"{version}{suffix}"'.encode(), digest)


@dataclass(slots=True)
class Work:
    """The work that this process has done for a snapshot.

    :ivar hashes: the number of hashes.
    :ivar codings: the number of representations in a content coding.
    :ivar vain: the codings that did not make it smaller.
    :ivar left_out: the codings that were not made, and not begun, because no client asked for them.
    :ivar wants_message: whether :attr:`Snapshot.deflated` was wanted, be it there or not.
    """

    hashes: int = 0
    codings: int = 0
    vain: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    wants_message: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A version of the document.

    It never changes, except that representations in slower codings are added.

    :ivar data: the document's bytes, as they were pulled.
    :ivar version: the identity of these bytes; see :func:`version_of`.
    :ivar sequence: the version's place in the order of versions.
    :ivar representations: the document without a coding, and in each content coding that makes it smaller, by the names
        of the codings, the smallest first. The slower codings are added later; see :meth:`add`.
    :ivar deflated: the document as :attr:`livefeed.document.codings.Compressed.message`; ``None`` if it was not
        compressed by gzip when the snapshot was made.
    :ivar forms: the forms of the document that were computed so far, by their functions; see :meth:`form`.
    :ivar work: the work that this process has done for it; none if another process has.
    """

    data: bytes
    version: str
    sequence: Sequence
    representations: dict[str, Representation]
    deflated: bytes | None
    forms: dict[Callable[[Snapshot], bytes], bytes] = field(default_factory=dict, init=False, compare=False, repr=False)
    work: Work = field(default_factory=Work, init=False, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        data: bytes,
        sequence: Sequence,
        compressed: Compressed | None = None,
        codings: Collection[str] = CODINGS,
    ) -> Self:
        """Makes the snapshot of a document that has passed the gate.

        :param compressed: the compressed document, if it was compressed already.
        :param codings: the codings that are made; :attr:`Work.left_out` has the others.
        """
        if compressed is None and "gzip" in codings:
            compressed = compress(data)
        version = version_of(data)
        snapshot = cls(
            data=data,
            version=version,
            sequence=sequence,
            representations={IDENTITY: Representation.of(IDENTITY, data, version)},
            deflated=None if compressed is None else compressed.message,
        )
        snapshot.work.hashes = 2
        snapshot.work.left_out.update(coding for coding in CODINGS if coding not in codings)
        if compressed is not None:
            snapshot.add({"gzip": compressed.gzip})
        if not is_large(data):
            snapshot.add(compress_well(data, codings))
        return snapshot

    @classmethod
    def bare(cls, data: bytes, sequence: Sequence) -> Self:
        """Makes the snapshot of a document without any coding, which costs two hashes."""
        version = version_of(data)
        snapshot = cls(data, version, sequence, {IDENTITY: Representation.of(IDENTITY, data, version)}, None)
        snapshot.work.hashes = 2
        return snapshot

    @classmethod
    def received(
        cls,
        version: str,
        sequence: Sequence,
        representations: Iterable[Representation],
        deflated: bytes | None,
    ) -> Self:
        """Makes a snapshot that another process has computed, with all its bytes.

        :param representations: as many as are there; one of them is the document without a coding.
        """
        by_coding = {each.coding: each for each in representations}
        snapshot = cls(by_coding[IDENTITY].data, version, sequence, by_coding, deflated)
        snapshot.include(())
        return snapshot

    def etags(self) -> list[bytes]:
        """Gives the entity tags of this version in all codings."""
        return [f'"{self.version}"'.encode(), *(f'"{self.version}-{coding}"'.encode() for coding in CODINGS)]

    def is_bare(self) -> bool:
        """Tells whether it was not compressed by gzip when it was made."""
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
        """Adds representations in further codings. A coding that does not make the document smaller is left out.

        :param codings: the compressed bytes, by the names of the codings.
        """
        smaller = {coding: data for coding, data in codings.items() if len(data) < len(self.data)}
        self.work.vain.update(codings.keys() - smaller.keys())
        self.work.hashes += len(smaller)
        self.work.codings += len(smaller)
        self.include(Representation.of(coding, data, self.version) for coding, data in smaller.items())

    def include(self, representations: Iterable[Representation]) -> None:
        """Adds finished representations in further codings."""
        self.representations.update({each.coding: each for each in representations})
        in_order = sorted(self.representations.items(), key=lambda item: len(item[1].data))
        self.representations.clear()
        self.representations.update(in_order)


def make_large(data: bytes, sequence: Sequence, codings: Collection[str] = CODINGS) -> Snapshot:
    """Makes the snapshot of a large document, in a thread: compressed like a small one, but not in the slow codings.

    :param codings: the codings that are made, now or later.
    """
    return Snapshot.of(data, sequence, compress(data, GZIP_LEVEL) if "gzip" in codings else None, codings)
