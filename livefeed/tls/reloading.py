"""The certificates of an endpoint, which can be replaced while it listens.

The context with which each handshake begins stays the same. It has no certificate: OpenSSL calls back before it needs
one, even if the client gave no name, and the context of the certificate that is in use by then takes over the
connection (RFC 6066, 3). So no listener, in whichever process, has to be told of a new certificate, and sessions are
resumed across a renewal. The callback adds 2 % to a handshake: 10 µs of 485 µs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.logger import Logger
from zope.interface import implementer

from livefeed.exceptions import ConfigurationError
from livefeed.tls.folder import FolderContents, first_valid
from livefeed.tls.options import FirstContext, KeyPair, Validity, first_context, read_pair

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from OpenSSL import SSL

    from livefeed.tls.files import PemFiles
    from livefeed.tls.options import ServedCertificates
    from livefeed.tls.tickets import SessionTickets

_SHOWN = 8

_log = Logger()


@dataclass(frozen=True, slots=True)
class ReadPairs:
    """Certificates with their keys, as they were read at one time.

    :ivar by_name: the pair for each name that clients ask for.
    :ivar default: the pair for clients that ask for an unknown name or for none; ``None`` if there is no pair.
    :ivar pairs: all pairs.
    :ivar notes: lines for the log that say what is unusual about them.
    """

    by_name: Mapping[str, KeyPair]
    default: KeyPair | None
    pairs: Sequence[KeyPair]
    notes: Sequence[str] = ()


class CertificateSource(Protocol):
    """The place of an endpoint's certificates. It is a value: equal ones have the same files.

    :ivar setting: the setting that has it; empty if that is the one of the error, ``cert`` or ``key``.
    """

    @property
    def setting(self) -> str: ...

    def read(self, files: PemFiles, now: float) -> ReadPairs:
        """Reads all certificates and keys, and checks that they belong together.

        :param now: the time, in seconds since 1970.
        :raises ConfigurationError: if something cannot be used; the message names the file.
        """

    def stamp(self, files: PemFiles) -> object:
        """Gives a value that differs after a file has changed.

        :raises ConfigurationError: if a file cannot be looked at.
        """


@dataclass(frozen=True, slots=True)
class PairSource:
    """Pairs of files. The first one is for clients that ask for an unknown name, or for none.

    :ivar pairs: the file of each certificate and its chain, and that of its key; at least one.
    :ivar setting: the setting that has the files if that is neither ``cert`` nor ``key``.
    :ivar is_development: whether the pair is a development certificate, which livefeed makes anew before it expires.
    """

    pairs: tuple[tuple[Path, Path], ...]
    setting: str = ""
    is_development: bool = False

    def read(self, files: PemFiles, now: float) -> ReadPairs:
        """CertificateSource API."""
        pairs = [read_pair(cert, key, files) for cert, key in self.pairs]
        # The first one for a name stays.
        by_name = {name: pair for pair in reversed(pairs) for name in pair.names()}
        return ReadPairs(by_name, pairs[0], pairs)

    def stamp(self, files: PemFiles) -> object:
        """CertificateSource API."""
        return [
            _stamp(files, file, name) for pair in self.pairs for name, file in zip(("cert", "key"), pair, strict=True)
        ]


def _stamp(files: PemFiles, file: Path, setting: str) -> object:
    try:
        return files.stamp(file)
    except ConfigurationError as error:
        raise ConfigurationError(error.why, setting) from None


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A folder of certificates.

    :ivar path: the folder, an absolute path.
    :ivar setting: the setting that has it.
    """

    path: Path
    setting: str

    def read(self, files: PemFiles, now: float) -> ReadPairs:
        """CertificateSource API."""
        pairs, unused = FolderContents.read(self.path, files).pairs(now)
        notes = []
        if unused:
            shown = ", ".join(map(str, unused[:_SHOWN]))
            notes.append(f"there is no certificate for a private key in {shown}")
        # Of two certificates for one name, the better one comes later and replaces the other.
        by_name = {name: pair for pair in pairs for name in pair.names()}
        if not by_name:
            why = "no .pem file here has a certificate for a name, with its private key: handshakes fail until there is"
            notes.append(f"{self.path}: {why} one")
        return ReadPairs(by_name, first_valid(pairs, now), pairs, notes)

    def stamp(self, files: PemFiles) -> object:
        """CertificateSource API."""
        return [(file, files.stamp(file)) for file in files.list(self.path)]


@dataclass(frozen=True, slots=True)
class Certificates:
    """Everything that serves with certificates that were read at one time. It is never changed.

    :ivar source: where they were read.
    :ivar read: the certificates and keys.
    :ivar contexts: the context of TLS for each name.
    :ivar default: the context for clients that ask for an unknown name or for none; ``None`` if there is none.
    :ivar contents: the bytes of the files, by path.
    :ivar stamp: differs after a file has changed.
    """

    source: CertificateSource
    read: ReadPairs
    contexts: Mapping[str, SSL.Context]
    default: SSL.Context | None
    contents: Mapping[Path, bytes] = field(repr=False)
    stamp: object = field(repr=False)

    @classmethod
    def load(
        cls, source: CertificateSource, files: PemFiles, now: float, tickets: SessionTickets | None = None
    ) -> Certificates:
        """Reads and checks certificates, and makes their contexts. It may block.

        :param now: the time, in seconds since 1970.
        :param tickets: the contexts that share the key of their session tickets.
        :raises ConfigurationError: if something cannot be used; the message names the file, the error the setting.
        """
        recorded = _Recorded(files)
        try:
            # Before the files are read: a change in between is then found by the next look.
            stamp = source.stamp(files)
            read = source.read(recorded, now)
            contexts = {id(pair): pair.options(tickets).getContext() for pair in read.pairs}
        except ConfigurationError as error:
            raise ConfigurationError(error.why, source.setting or error.setting) from None
        default = None if read.default is None else contexts[id(read.default)]
        by_name = {name: contexts[id(pair)] for name, pair in read.by_name.items()}
        return cls(source, read, by_name, default, recorded.contents, stamp)

    def find(self, name: str) -> SSL.Context | None:
        """Gives the context for a name; a wildcard stands for one label."""
        return self.contexts.get(name) or self.contexts.get(f"*.{name.partition('.')[2]}") or self.default

    def validities(self) -> list[Validity]:
        """Gives the time in which each certificate is valid."""
        return [pair.validity for pair in self.read.pairs]

    def log_notes(self) -> None:
        """Logs what is unusual."""
        for note in self.read.notes:
            _log.warn("{note}", note=note)

    def host(self) -> str | None:
        """Gives the host for URLs: the first name of the certificate; ``None`` if it has none that is no wildcard.

        A development certificate is for this machine.
        """
        if self.read.default is None or (isinstance(self.source, PairSource) and self.source.is_development):
            return None
        return next((name for name in self.read.default.names() if "*" not in name), None)

    def names(self) -> str:
        """Gives the names for a message, at most eight of them."""
        names = sorted(self.contexts)
        return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


@implementer(IOpenSSLContextFactory)
@dataclass(eq=False)
class EndpointCertificates:
    """The certificates that an endpoint serves with.

    :ivar certificates: those in use.
    :ivar served: the register of the certificates that the process serves.
    :ivar is_default: whether they are those of the settings ``cert`` and ``key``, and not the endpoint's own.
    """

    # required parameters
    certificates: Certificates
    served: ServedCertificates
    is_default: bool = False

    # internal state
    _first: FirstContext = field(init=False)

    def __post_init__(self) -> None:
        self._first = first_context(self.served.tickets)
        self._first.set_tlsext_servername_callback(self._choose)
        self.take(self.certificates)

    def getContext(self) -> SSL.Context:
        """IOpenSSLContextFactory API. Each handshake begins with this context, or with the only one behind it."""
        return self._first

    def take(self, certificates: Certificates) -> None:
        """Serves new handshakes with other certificates. Open connections keep theirs."""
        self.certificates = certificates
        contexts = {*certificates.contexts.values(), certificates.default}
        # The tickets of a connection are those of its first context. They outlive a renewal if contexts share the key.
        is_free = len(contexts) == 1 and self.served.tickets.is_shared()
        self._first.only = certificates.default if is_free else None
        self.served.replace(self, certificates.validities())

    def load(self, now: float, source: CertificateSource | None = None) -> Certificates:
        """Reads the certificates anew, without serving with them. It may block.

        :param source: where to read; by default, where those in use were read.
        :raises ConfigurationError: if something cannot be used.
        """
        return Certificates.load(source or self.certificates.source, self.served.files, now, self.served.tickets)

    def _choose(self, connection: SSL.Connection) -> None:
        # cffi would print an exception that is raised here, and the log would not have it.
        name = (connection.get_servername() or b"").decode("ascii", "replace").lower()
        context = self.certificates.find(name)
        if context is not None:
            connection.set_context(context)


@dataclass(frozen=True, slots=True)
class _Recorded:
    """Files that note what is read of them."""

    files: PemFiles
    contents: dict[Path, bytes] = field(default_factory=dict)

    def read(self, path: Path) -> bytes:
        data = self.contents[path] = self.files.read(path)
        return data

    def list(self, folder: Path) -> list[Path]:
        return self.files.list(folder)

    def is_folder(self, path: Path) -> bool:
        return self.files.is_folder(path)

    def stamp(self, path: Path) -> object:
        return self.files.stamp(path)
