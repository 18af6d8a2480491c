"""``tls:FOLDER``: a folder of certificates. The name that a client asks for chooses one of them (RFC 6066, 3).

Twisted's own endpoint of this kind reads the folder anew for each unknown name, with two lines in the log, and follows
a self-signed CA without end.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.logger import Logger
from zope.interface import implementer

from livefeed.exceptions import ConfigurationError
from livefeed.tls.options import Validity, has_issued, make_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from livefeed.tls.options import ServedCertificates
    from livefeed.tls.tickets import SessionTickets

MAX_FILES = 1024
"""Upper limit of the ``.pem`` files in the folder and those below it. A folder with more was given by mistake."""

MAX_FILE_BYTES = 1024 * 1024
"""Upper limit of the bytes in a file. A file of certificates has some kilobytes."""

MAX_CHAIN = 8
"""Upper limit of the certificates that are sent. Public CAs have one or two between a server and the root."""

LOOK_S = 1.0
"""Least number of seconds between two looks at the folder for an unknown name: any client can ask for one."""

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----", re.DOTALL)
_SHOWN = 8

_log = Logger()


@implementer(IOpenSSLContextFactory)
@dataclass(eq=False)
class CertificateFolder:
    """Chooses the certificate of each handshake.

    :ivar path: the folder.
    :ivar seconds: a monotonic clock.
    :ivar wall: the wall clock, in seconds since 1970. Of several certificates for one name, a valid one is preferred.
    :ivar certificates: the register of the certificates that are served.
    """

    # required parameters
    path: Path
    seconds: Callable[[], float]
    wall: Callable[[], float]
    certificates: ServedCertificates

    # internal state
    _contexts: dict[str, SSL.Context] = field(init=False, default_factory=dict)
    _default: SSL.Context | None = field(init=False, default=None)
    _stamp: object = field(init=False, default=None)
    _looked_at: float = field(init=False, default=0.0)
    _complaint: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Reads the folder.

        :raises ConfigurationError: if something in it cannot be used.
        """
        self._looked_at = self.seconds()
        self._stamp = _stamp(self.path)
        self._read()
        # It has no certificate of its own: OpenSSL calls back before it needs one, even if the client gave no name.
        self._first = make_options([], None, self.certificates.tickets).getContext()
        self._first.set_tlsext_servername_callback(self._choose)

    def getContext(self) -> SSL.Context:
        """IOpenSSLContextFactory API. Each handshake begins with this context."""
        return self._first

    def _choose(self, connection: SSL.Connection) -> None:
        # cffi would print an exception that is raised here, and the log would not have it.
        name = (connection.get_servername() or b"").decode("ascii", "replace").lower()
        context = self._find(name)
        if context is None and name:
            self._look()
            context = self._find(name)
        context = context or self._default
        if context is not None:
            connection.set_context(context)

    def _find(self, name: str) -> SSL.Context | None:
        return self._contexts.get(name) or self._contexts.get(f"*.{name.partition('.')[2]}")

    def _look(self) -> None:
        """Reads the folder again if it has changed: it may now have a certificate for the name."""
        now = self.seconds()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        try:
            stamp = _stamp(self.path)
            if stamp == self._stamp:
                return
            # Set even if a file cannot be used, so that it is read once.
            self._stamp = stamp
            self._read()
            self._complaint = ""
        except ConfigurationError as error:
            if error.why != self._complaint:
                _log.warn("{why}; the certificates that were read before are used", why=error.why)
            self._complaint = error.why

    def _read(self) -> None:
        contents = _Contents.read(self.path)
        now = self.wall()
        pairs = [(pair, pair.context(self.certificates.tickets)) for pair in contents.pairs(now)]
        # Of two certificates for one name, the better one comes later and replaces the other.
        contexts = {name: context for pair, context in pairs for name in _names(pair.chain[0])}
        first = min(pairs, key=lambda each: (not _rank(each[0].chain[0], now)[0], each[0].file), default=None)
        self._contexts, self._default = contexts, first and first[1]
        self.certificates.replace(self, [Validity.of(pair.file, pair.chain[0]) for pair, _ in pairs])
        if not contexts:
            _log.warn(
                "{path}: no .pem file here has a certificate for a name, with its private key: handshakes fail until "
                "there is one",
                path=self.path,
            )
            return
        names = sorted(contexts)
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        _log.info("{path}: read certificates for {names}", path=self.path, names=shown)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate, the certificates between it and the root, and its private key."""

    file: Path
    chain: list[x509.Certificate]
    key_file: Path
    key: Any

    def context(self, tickets: SessionTickets) -> SSL.Context:
        try:
            return make_options(self.chain, self.key, tickets).getContext()
        except TypeError:
            raise ConfigurationError(f"{self.key_file}: TLS has no use for this kind of key") from None
        except SSL.Error as error:
            reasons = [reason for _, _, reason in error.args[0]] if error.args else []
            raise ConfigurationError(f"{self.file}: {', '.join(reasons) or 'OpenSSL refuses it'}") from None


@dataclass(frozen=True, slots=True)
class _Contents:
    """The contents of the files."""

    certificates: list[tuple[Path, x509.Certificate]]
    keys: list[tuple[Path, Any]]

    @classmethod
    def read(cls, folder: Path) -> _Contents:
        contents = cls([], [])
        for file in _files(folder):
            try:
                with file.open("rb") as opened:
                    data = opened.read(MAX_FILE_BYTES + 1)
            except OSError as error:
                raise ConfigurationError(f"{file}: {error.strerror}") from None
            if len(data) > MAX_FILE_BYTES:
                raise ConfigurationError(f"{file}: is larger than {MAX_FILE_BYTES} bytes")
            contents._add(file, data)
        return contents

    def _add(self, file: Path, data: bytes) -> None:
        for match in _BLOCK.finditer(data):
            kind = match[1]
            try:
                if kind in (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"):
                    self.certificates.append((file, x509.load_pem_x509_certificate(match[0])))
                elif kind.endswith(b"PRIVATE KEY"):
                    self.keys.append((file, load_pem_private_key(match[0], password=None)))
            except TypeError:
                why = f"{file}: the private key is encrypted; give one that is not"
                raise ConfigurationError(why) from None
            except ValueError:
                what = kind.decode().lower()
                raise ConfigurationError(f"{file}: the {what} in it cannot be read: it is damaged") from None

    def pairs(self, now: float) -> Iterator[_Pair]:
        """Gives the best certificate for each private key that has one. Better pairs come later.

        :param now: the time, in seconds since 1970.
        :raises ConfigurationError: if there is a CA that has signed itself.
        """
        keys = {_of_key(key.public_key()): (file, key) for file, key in self.keys}
        own: dict[bytes, tuple[Path, x509.Certificate]] = {}
        others = []
        for file, certificate in self.certificates:
            identity = _of_key(certificate.public_key())
            if identity not in keys:
                others.append(certificate)
                if certificate.subject == certificate.issuer:
                    why = f"{file}: a CA that has signed itself is not for a server: clients have it; remove it from"
                    raise ConfigurationError(f"{why} the folder")
            elif identity not in own or _rank(certificate, now) > _rank(own[identity][1], now):
                own[identity] = file, certificate
        for identity, (file, certificate) in sorted(own.items(), key=lambda item: _rank(item[1][1], now)):
            yield _Pair(file, _chain(certificate, others), *keys[identity])
        unused = sorted({file for identity, (file, _) in keys.items() if identity not in own})
        if unused:
            files = ", ".join(map(str, unused[:_SHOWN]))
            _log.warn("there is no certificate for a private key in {files}", files=files)


def _chain(leaf: x509.Certificate, others: list[x509.Certificate]) -> list[x509.Certificate]:
    """Gives a certificate, its issuer, the issuer of that and so on, each once."""
    chain = [leaf]
    while len(chain) < MAX_CHAIN:
        issuer = next((each for each in others if has_issued(each, chain[-1]) and each not in chain), None)
        if issuer is None:
            break
        chain.append(issuer)
    return chain


def _names(certificate: x509.Certificate) -> Iterable[str]:
    """Gives the names of a certificate as clients ask for them; a wildcard begins with ``*.``."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return [name.lower() for name in found.value.get_values_for_type(x509.DNSName)]


def _of_key(public_key: Any) -> bytes:
    """Gives the identity of a key."""
    data: bytes = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return data


def _rank(certificate: x509.Certificate, now: float) -> tuple[bool, float]:
    """Gives a value that is greater for the better one of two certificates."""
    validity = Validity.of(Path(), certificate)
    return validity.not_before <= now <= validity.not_after, validity.not_after


def _files(folder: Path) -> list[Path]:
    """Gives the ``.pem`` files in a folder, and in those below it.

    :raises ConfigurationError: if a folder cannot be read, or there are too many.
    """
    found: list[Path] = []
    entered: set[str] = set()
    for parent, folders, names in os.walk(folder, onerror=_unreadable, followlinks=True):
        entered.add(os.path.realpath(parent))
        # Kubernetes puts the files of a secret into a folder "..TIME" and links to it; a link may lead upwards.
        folders[:] = [
            name
            for name in folders
            if not name.startswith("..") and os.path.realpath(Path(parent, name)) not in entered
        ]
        found += [Path(parent, name) for name in names if name.endswith(".pem")]
        if len(found) > MAX_FILES or len(entered) > MAX_FILES:
            raise ConfigurationError(f"{folder}: there are more than {MAX_FILES} .pem files or folders in it")
    return sorted(found)


def _unreadable(error: OSError) -> None:
    raise ConfigurationError(f"{error.filename}: {error.strerror}") from None


def _stamp(folder: Path) -> list[object]:
    """Gives a value that differs after a file in a folder has changed.

    :raises ConfigurationError: if a file or a folder cannot be looked at.
    """
    stamp: list[object] = []
    for file in _files(folder):
        try:
            status = file.stat()
        except OSError as error:
            raise ConfigurationError(f"{file}: {error.strerror}") from None
        stamp.append((file, status.st_ino, status.st_size, status.st_mtime_ns))
    return stamp
