"""The options of TLS: Mozilla's 'intermediate' recommendation, by Twisted's CertificateOptions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion

from livefeed.exceptions import ConfigurationError
from livefeed.tls.files import LocalFiles
from livefeed.tls.openssl import set_groups, set_tickets
from livefeed.tls.tickets import SESSION_ID, SessionTickets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from livefeed.tls.files import PemFiles

CIPHERSUITES = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""For TLS 1.3. SHA-256 first: processors have instructions for it. SHA-384 has none, and took 5 % of a handshake."""

# For TLS 1.2.
CIPHERS = AcceptableCiphers.fromOpenSSLCipherString(
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)


GROUPS = b"X25519:P-256:P-384"
"""Without the hybrids that withstand quantum computers: they cost each connection 7 KB for as long as it lasts, and the
documents are public."""

PROTOCOLS = (b"http/1.1",)
"""The protocols that ALPN offers. No HTTP/2: in Twisted it takes three times the CPU."""


TICKETS = 1
"""Session tickets after a full handshake of TLS 1.3. A client uses each once (RFC 8446, C.4), and has one connection to
livefeed, mostly. OpenSSL's two cost 17 of 285 µs, and 250 bytes more."""

EXPIRY_WARNING_S = 14 * 86_400
"""Seconds before a certificate expires from which the log warns, once a day: enough time to renew it by hand."""


@dataclass(frozen=True, slots=True)
class Validity:
    """The time in which a server's certificate is valid.

    :ivar file: the PEM file, which messages name.
    :ivar not_before: the first second, since 1970.
    :ivar not_after: the last second, since 1970.
    """

    file: Path
    not_before: float
    not_after: float

    @classmethod
    def read(cls, file: Path) -> Validity:
        """Reads a file that :func:`server_options` has accepted."""
        leaf, *_ = x509.load_pem_x509_certificates(file.read_bytes())
        return cls.of(file, leaf)

    @classmethod
    def of(cls, file: Path, leaf: x509.Certificate) -> Validity:
        """Gives the validity of a certificate that was read from a file."""
        return cls(file, leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp())

    def complaint(self, now: float) -> str | None:
        """Gives the message that an operator needs; ``None`` if the certificate is valid for long enough.

        :param now: in seconds since 1970.
        """
        if now > self.not_after:
            expired = f"has expired, on {day(self.not_after)}: clients refuse it"
            return f"the certificate {self.file} {expired}; renew it"
        if now < self.not_before:
            early = f"is not valid before {day(self.not_before)}: clients refuse it until then"
            return f"the certificate {self.file} {early}; is the clock right?"
        if now > self.not_after - EXPIRY_WARNING_S:
            return f"the certificate {self.file} expires on {day(self.not_after)}: renew it"
        return None


@dataclass(eq=False)
class ServedCertificates:
    """The certificates that a process serves: each file once, with the certificate in it that expires first.

    :ivar tickets: the TLS contexts of the certificates, which share the key of their session tickets.
    :ivar files: reads the files; a worker has those that its parent has read.
    :ivar users: the objects that serve them.
    :ivar refusals: why files that have changed cannot be used, so that those that were read before are.
    """

    # required parameters
    tickets: SessionTickets = field(default_factory=SessionTickets)
    files: PemFiles = field(default_factory=LocalFiles)

    # internal state
    users: list[object] = field(init=False, default_factory=list)
    refusals: Sequence[str] = field(init=False, default=())
    _by_user: dict[int, list[Validity]] = field(init=False, default_factory=dict)
    _hosts: dict[str, str] = field(init=False, default_factory=dict)

    def note_host(self, description: str, host: str | None) -> None:
        """Takes note of the host in the URLs of an endpoint; ``None`` if its certificate names none.

        :param description: the description of the endpoint.
        """
        if host is not None:
            self._hosts[description] = host

    def host_of(self, description: str) -> str:
        """Gives the host in the URLs of an endpoint: ``localhost`` if its certificate names none."""
        return self._hosts.get(description, "localhost")

    def replace(self, user: object, certificates: list[Validity]) -> None:
        """Replaces the certificates of a user.

        :param user: the object that serves them.
        """
        if id(user) not in self._by_user:
            self.users.append(user)
        self._by_user[id(user)] = certificates

    def __iter__(self) -> Iterator[Validity]:
        first: dict[Path, Validity] = {}
        for each in (each for certificates in self._by_user.values() for each in certificates):
            if each.file not in first or each.not_after < first[each.file].not_after:
                first[each.file] = each
        return iter(first.values())


def day(seconds: float) -> str:
    """Gives the time of the end of a certificate as messages show it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A server's certificate with its private key.

    :ivar file: the PEM file of the certificate.
    :ivar chain: the certificate, followed by those between it and the root.
    :ivar key_file: the PEM file of the private key.
    :ivar key: the private key.
    """

    file: Path
    chain: tuple[x509.Certificate, ...]
    key_file: Path
    key: Any = field(repr=False)

    @property
    def validity(self) -> Validity:
        """The time in which the certificate is valid."""
        return Validity.of(self.file, self.chain[0])

    def names(self) -> list[str]:
        """Gives the names of the certificate as clients ask for them, in lower case; a wildcard begins with ``*.``."""
        try:
            found = self.chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except (x509.ExtensionNotFound, ValueError):
            return []
        return [name.lower() for name in found.value.get_values_for_type(x509.DNSName)]

    def options(self, tickets: SessionTickets | None = None) -> CertificateOptions:
        """Gives the TLS configuration that serves with the pair.

        :param tickets: the contexts that share the key of their session tickets; without it, the context has its own.
        :raises ConfigurationError: if TLS has no use for the pair.
        """
        try:
            return make_options(self.chain, self.key, tickets)
        except TypeError:
            raise ConfigurationError(f"{self.key_file}: TLS has no use for this kind of key", "key") from None
        except SSL.Error as error:
            reasons = [reason for _, _, reason in error.args[0]] if error.args else []
            if "key values mismatch" in reasons:
                raise ConfigurationError(f"{self.key_file}: it is not the private key of {self.file}", "key") from None
            why = ", ".join(reasons) or "OpenSSL refuses it"
            raise ConfigurationError(f"{self.file}: {why} (the key is {self.key_file})", "cert") from None


def read_pair(cert: Path, key: Path, files: PemFiles) -> KeyPair:
    """Reads a certificate and its private key.

    :param cert: a PEM file with the server's certificate, followed by those between it and the root.
    :param key: a PEM file with the certificate's private key, not encrypted.
    :param files: reads the files.
    :raises ConfigurationError: if a file cannot be read, is not PEM, or the two do not belong together; the message
        names the file.
    """
    try:
        chain = x509.load_pem_x509_certificates(_read(files, cert, "cert"))
    except ValueError:
        raise ConfigurationError(f"{cert}: there is no certificate in PEM form in it", "cert") from None
    try:
        private_key = load_pem_private_key(_read(files, key, "key"), password=None)
    except TypeError:
        raise ConfigurationError(f"{key}: the private key is encrypted; give one that is not", "key") from None
    except ValueError:
        raise ConfigurationError(f"{key}: there is no private key in PEM form in it", "key") from None
    _check_pair(cert, chain, key, private_key)
    _check_order(cert, chain)
    return KeyPair(cert, tuple(chain), key, private_key)


def _read(files: PemFiles, path: Path, setting: str) -> bytes:
    try:
        return files.read(path)
    except ConfigurationError as error:
        raise ConfigurationError(error.why, setting) from None


def server_options(cert: Path, key: Path, tickets: SessionTickets | None = None) -> CertificateOptions:
    """Gives the TLS configuration of a server with one certificate; see :func:`read_pair`."""
    return read_pair(cert, key, LocalFiles()).options(tickets)


class FirstContext(SSL.Context):
    """The context that a handshake begins with where a certificate may be chosen by the name that a client asks for.

    :ivar only: the context of all names, which a connection may have from the start: to change it within the handshake
        takes 7 of 260 µs. ``None`` while there are several, or none.
    """

    only: SSL.Context | None = None


class _FirstOptions(CertificateOptions):
    _contextFactory = FirstContext


def first_context(tickets: SessionTickets | None = None) -> FirstContext:
    """Gives a context without a certificate; see :func:`make_options`."""
    context: FirstContext = make_options([], None, tickets, kind=_FirstOptions).getContext()  # type: ignore[assignment]
    return context


def make_options(
    chain: Sequence[x509.Certificate],
    private_key: Any,
    tickets: SessionTickets | None = None,
    *,
    kind: type[CertificateOptions] = CertificateOptions,
) -> CertificateOptions:
    """Gives the TLS configuration of a server: TLS 1.2 and newer.

    :param chain: the server's certificate, followed by those between it and the root; or an empty list.
    :param private_key: the private key of the first certificate; ``None`` for an empty list.
    :param tickets: the contexts that share the key of their session tickets; without it, the context has its own key.
    :param kind: the class of the configuration.
    :raises TypeError: if TLS has no use for this kind of key.
    :raises SSL.Error: if OpenSSL refuses the certificate or the key.
    """
    # Twisted asks for pyOpenSSL's own types, and pyOpenSSL for those of cryptography instead.
    leaf, *others = cast("Any", [*chain] or [None])
    options = kind(
        privateKey=cast("Any", private_key),
        certificate=leaf,
        extraCertChain=others or None,
        raiseMinimumTo=TLSVersion.TLSv1_2,
        acceptableCiphers=CIPHERS,
        # A client that reconnects shows its ticket, which saves both sides the certificate. TLS 1.3 agrees on new keys
        # nevertheless (RFC 8446, 2.2).
        enableSessionTickets=True,
    )
    context = options.getContext()
    context.set_tls13_ciphersuites(CIPHERSUITES)
    set_groups(context, GROUPS)
    set_tickets(context, TICKETS)
    # Twisted's callback ends the handshake if a client offers none of these protocols, as curl does with --http1.0.
    context.set_alpn_select_callback(alpn_selector(PROTOCOLS))
    context.set_session_id(SESSION_ID)
    if tickets is not None:
        tickets.adopt(context)
    return options


def _check_pair(cert: Path, chain: list[x509.Certificate], key: Path, private_key: Any) -> None:
    """Raises an error with the reason for which OpenSSL would say 'no certificate assigned'."""
    public_key: Any = private_key.public_key()
    if chain[0].public_key() == public_key:
        return
    for number, other in enumerate(chain[1:], 2):
        if other.public_key() == public_key:
            why = (
                f"{cert}: wrong order: certificate {number} of {len(chain)} is the server's own, and must be the first"
            )
            raise ConfigurationError(why, "cert")
    ours, theirs = (_kind(each) for each in (public_key, chain[0].public_key()))
    if ours != theirs:
        raise ConfigurationError(f"{key}: it is a key of {ours}, and {cert} is for one of {theirs}", "key")


def _check_order(cert: Path, chain: list[x509.Certificate]) -> None:
    """Checks that the next certificate has issued each one. Only some clients repair another order by themselves."""
    for number, (issued, following) in enumerate(pairwise(chain), 1):
        if has_issued(following, issued):
            continue
        right = next((at for at, other in enumerate(chain, 1) if has_issued(other, issued) and at > number), 0)
        why = f"certificate {number + 1} of {len(chain)} has not issued certificate {number}"
        why += f": certificate {right} has, and must stand there" if right else ", and must not stand there"
        raise ConfigurationError(f"{cert}: a chain in the wrong order: {why}", "cert")


def require_callbacks(setting: str) -> None:
    """Checks that OpenSSL can call back into Python, for which the libraries make small programs at run time.

    :param setting: the setting that uses TLS.
    :raises ConfigurationError: if memory that is written may not be executed.
    """
    try:
        SSL.Context(SSL.TLS_METHOD).set_info_callback(lambda *_: None)
    except MemoryError:
        why = "TLS needs memory that is written and then executed, and this system forbids it: set "
        why += "MemoryDenyWriteExecute=no in the unit of systemd (with SELinux, allow execmem), or leave TLS to a proxy"
        raise ConfigurationError(why, setting) from None


def has_issued(issuer: x509.Certificate, issued: x509.Certificate) -> bool:
    """Tells whether one certificate has signed another. If the signature cannot be checked, the names decide."""
    if issuer.subject != issued.issuer:
        return False
    try:
        issued.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return True
    return True


def _kind(public_key: Any) -> str:
    """Gives the name of a key's algorithm, such as RSA."""
    return type(public_key).__name__.removesuffix("PublicKey").strip("_") or "another kind"


def alpn_selector(ours: Sequence[bytes]) -> Any:
    """Gives the callback that chooses among the protocols of a client (ALPN, RFC 7301): the first of ours, or none."""

    def select(_: SSL.Connection, theirs: list[bytes]) -> bytes:
        for protocol in ours:
            if protocol in theirs:
                return protocol
        return SSL.NO_OVERLAPPING_PROTOCOLS  # type: ignore[return-value]

    return select
