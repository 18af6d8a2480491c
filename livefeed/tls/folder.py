"""``tls:FOLDER``: a folder of certificates. The name that a client asks for chooses one of them (RFC 6066, 3).

Twisted's own endpoint of this kind reads the folder anew for each unknown name, with two lines in the log, and follows
a self-signed CA without end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from livefeed.exceptions import ConfigurationError
from livefeed.tls.options import KeyPair, Validity, has_issued

if TYPE_CHECKING:
    from livefeed.tls.files import PemFiles

MAX_CHAIN = 8
"""Upper limit of the certificates that are sent. Public CAs have one or two between a server and the root."""

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FolderContents:
    """The contents of the files in a folder.

    :ivar certificates: all certificates, each with its file.
    :ivar keys: all private keys, each with its file.
    """

    certificates: list[tuple[Path, x509.Certificate]] = field(default_factory=list)
    keys: list[tuple[Path, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path, files: PemFiles) -> FolderContents:
        """Reads the files in a folder and in those below it.

        :raises ConfigurationError: if something in it cannot be used.
        """
        contents = cls()
        for file in files.list(folder):
            contents._add(file, files.read(file))
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

    def pairs(self, now: float) -> tuple[list[KeyPair], list[Path]]:
        """Gives the best certificate for each private key that has one, and the files of the other keys.

        :param now: the time, in seconds since 1970.
        :returns: the pairs; better ones come later.
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
        pairs = [
            KeyPair(file, tuple(_chain(certificate, others)), *keys[identity])
            for identity, (file, certificate) in sorted(own.items(), key=lambda item: _rank(item[1][1], now))
        ]
        return pairs, sorted({file for identity, (file, _) in keys.items() if identity not in own})


def _chain(leaf: x509.Certificate, others: list[x509.Certificate]) -> list[x509.Certificate]:
    """Gives a certificate, its issuer, the issuer of that and so on, each once."""
    chain = [leaf]
    while len(chain) < MAX_CHAIN:
        issuer = next((each for each in others if has_issued(each, chain[-1]) and each not in chain), None)
        if issuer is None:
            break
        chain.append(issuer)
    return chain


def _of_key(public_key: Any) -> bytes:
    """Gives the identity of a key."""
    data: bytes = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return data


def _rank(certificate: x509.Certificate, now: float) -> tuple[bool, float]:
    """Gives a value that is greater for the better one of two certificates."""
    validity = Validity.of(Path(), certificate)
    return validity.not_before <= now <= validity.not_after, validity.not_after


def first_valid(pairs: list[KeyPair], now: float) -> KeyPair | None:
    """Gives the pair for clients that ask for an unknown name: the first valid one, by path; ``None`` if there is none.

    :param now: the time, in seconds since 1970.
    """
    return min(pairs, key=lambda each: (not _rank(each.chain[0], now)[0], each.file), default=None)
