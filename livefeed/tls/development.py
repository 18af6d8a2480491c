"""A development CA and the certificate that it signs, for trying livefeed on one machine.

Rule: a file with a private key also has the format of its pair, as text in front of the key (RFC 7468, 2). A pair that
a newer livefeed has made in another format is neither used nor replaced.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from livefeed.exceptions import ConfigurationError, newer_format

if TYPE_CHECKING:
    from collections.abc import Iterable

_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")

NAMES = ("localhost", "127.0.0.1", "::1")
CA_DAYS = 3650
LEAF_DAYS = 397
"""Days that a server's certificate is valid. Browsers accept no certificate that is valid for more than 398."""

RENEW_BEFORE = timedelta(days=7)

FORMAT = 1
"""The number of the format of the pairs that are made. Pairs of the format 0 have no number."""

_FORMAT = re.compile(rb"livefeed-development-format: (\d{1,9})\r?\n")

_ORGANIZATION = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "livefeed development")


@dataclass(frozen=True, slots=True)
class DevelopmentCertificate:
    """The files of a development certificate.

    :ivar ca: the CA's certificate, which a client must trust.
    :ivar cert: the server's certificate.
    :ivar key: the server's private key, which only its owner can read.
    :ivar fingerprint: the SHA-256 of the server's certificate, as browsers show it.
    :ivar made: whether the server's certificate is new.
    """

    ca: Path
    cert: Path
    key: Path
    fingerprint: str
    made: bool


def default_directory() -> Path:
    """Gives the default directory of a development certificate (XDG base directories).

    :raises ConfigurationError: if the user has no home directory, as in a container that runs as a number.
    """
    data = os.environ.get("XDG_DATA_HOME")
    try:
        home = Path(data) if data else Path.home() / ".local" / "share"
    except RuntimeError:
        why = "this user has no home directory for a development certificate: set XDG_DATA_HOME"
        raise ConfigurationError(why) from None
    return home / "livefeed" / "certs"


def development_certificate(
    directory: Path, names: Iterable[str] = NAMES, *, force: bool = False
) -> DevelopmentCertificate:
    """Gives the development certificate of a directory. Makes the files that are missing or about to expire.

    The CA's certificate limits it to *names*, so that a browser that trusts it is not put at risk for other sites.

    :param directory: the directory of ``ca.pem``, ``ca.key``, ``cert.pem`` and ``key.pem``; it is made if necessary.
    :param names: the host names and IP addresses of the certificate.
    :param force: makes all files anew.
    :raises ConfigurationError: if the directory cannot be read or written, or holds other files with these names, or
        those of a newer livefeed.
    """
    wanted = tuple(dict.fromkeys(normalised_name(name) for name in names))
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not force:
            _check_formats(directory / "ca.key", directory / "key.pem")
        ca = None if force else _load(directory / "ca.pem", directory / "ca.key", wanted)
        leaf = None if ca is None else _load(directory / "cert.pem", directory / "key.pem", wanted)
        if ca is not None and leaf is not None and not _signed(ca, leaf):
            leaf = None
        if ca is None:
            ca = _make(directory / "ca.pem", directory / "ca.key", wanted, None)
        made = leaf is None
        if leaf is None:
            leaf = _make(directory / "cert.pem", directory / "key.pem", wanted, ca)
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename}: {error.strerror}: no development certificate can be made there"
        ) from None
    return DevelopmentCertificate(
        ca=directory / "ca.pem",
        cert=directory / "cert.pem",
        key=directory / "key.pem",
        fingerprint=leaf.certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        made=made,
    )


def _check_formats(*keys: Path) -> None:
    """Checks the formats of pairs by the files with their keys, which need not exist.

    :raises ConfigurationError: if a newer livefeed has made one.
    """
    for path in keys:
        numbered = _FORMAT.match(path.read_bytes()) if path.exists() else None
        if numbered is not None and int(numbered[1]) > FORMAT:
            remedy = "remove or rename the files of both pairs to have new ones"
            raise ConfigurationError(newer_format(path, int(numbered[1]), FORMAT, remedy))


@dataclass(frozen=True, slots=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _load(cert_path: Path, key_path: Path, names: tuple[str, ...]) -> _Pair | None:
    """Reads a pair; ``None`` if it is missing, is for other names, or is about to expire."""
    hint = "remove or rename both to have new ones"
    missing = [path for path in (cert_path, key_path) if not path.exists()]
    if len(missing) == 1 and key_path.name == "ca.key":
        there = key_path if missing[0] is cert_path else cert_path
        raise ConfigurationError(f"{there} is there, but {missing[0].name} is not; {hint}")
    if missing:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(cert_path.read_bytes())
        key = load_pem_private_key(key_path.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise ConfigurationError(f"{cert_path} or {key_path.name} is not plain PEM; {hint}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigurationError(f"{key_path} is not the key of {cert_path.name}; {hint}")
    if _ORGANIZATION not in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME):
        raise ConfigurationError(f"{cert_path} is not one that livefeed has made; {hint}")
    if certificate.not_valid_after_utc < datetime.now(UTC) + RENEW_BEFORE:
        return None
    return _Pair(certificate, key) if _names_of(certificate) == names else None


def _signed(ca: _Pair, leaf: _Pair) -> bool:
    try:
        leaf.certificate.verify_directly_issued_by(ca.certificate)
    except (ValueError, InvalidSignature):
        return False
    return True


def _names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return tuple(str(name.value) for name in extension.value)


def _make(cert_path: Path, key_path: Path, names: tuple[str, ...], issuer: _Pair | None) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    is_ca = issuer is None
    subject = x509.Name(
        [
            _ORGANIZATION,
            x509.NameAttribute(NameOID.COMMON_NAME, "livefeed development CA" if is_ca else names[0][:64]),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=CA_DAYS if is_ca else LEAF_DAYS))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_key_usage(is_ca=is_ca), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
    )
    if issuer is None:
        permitted = [_general_name(name, constraint=True) for name in names]
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
    else:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(authority, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    certificate = builder.sign(key if issuer is None else issuer.key, hashes.SHA256())
    text = b"livefeed-development-format: %d\n" % FORMAT
    _write(key_path, text + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _write(cert_path, certificate.public_bytes(Encoding.PEM), 0o644)
    return _Pair(certificate, key)


def normalised_name(name: str) -> str:
    """Gives a name in the form of certificates: an address at its shortest, a host name in ASCII and lower case.

    :raises ConfigurationError: if it is neither.
    """
    try:
        return str(ip_address(name))
    except ValueError:
        pass
    try:
        ascii_name = name.encode("idna").decode().lower()
    except UnicodeError:
        ascii_name = ""
    if not _HOST_NAME.fullmatch(ascii_name):
        raise ConfigurationError(f"{name!r} is neither a host name nor an IP address")
    return ascii_name


def _general_name(name: str, *, constraint: bool = False) -> x509.GeneralName:
    try:
        address = ip_address(name)
    except ValueError:
        return x509.DNSName(name)
    return x509.IPAddress(ip_network(address) if constraint else address)


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replaces a file as a whole. At no time does it grant more access than *mode*."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
    scratch.replace(path)
