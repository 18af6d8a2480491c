"""OpenSSL, the transport, and certificates.

Rule: nothing is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.doctor.finding import Finding, ok
from livefeed.tls.options import EXPIRY_WARNING_S, day, has_issued

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cryptography import x509

    from livefeed.tls.options import KeyPair

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class OpenSSL:
    """The abilities of the OpenSSL that livefeed uses.

    :ivar version: its name and number.
    :ivar is_direct: whether its functions are called directly, as the fast transport wants.
    :ivar shares_tickets: why workers cannot share the key of session tickets; ``""`` if they can.
    :ivar has_callbacks: whether it can call back into Python.
    """

    version: str
    is_direct: bool = True
    shares_tickets: str = ""
    has_callbacks: bool = True


def check_transport(setting: str, *, has_epoll: bool) -> Finding:
    """Checks that the fast transport works here.

    :param setting: the setting ``transport``.
    :param has_epoll: whether the system has epoll(7).
    """
    subject = "transport"
    if setting != "fast":
        text = "Twisted's: six times the processor time, twice the memory, and no limits of connections"
        return Finding(subject, "note", text, "--transport fast")
    if not has_epoll:
        return Finding(subject, "warning", "there is no epoll here: Twisted's transport is used", "run it on Linux")
    return ok(subject, "fast")


def check_openssl(found: OpenSSL) -> Finding:
    """Checks the library for TLS."""
    subject = "openssl"
    if not found.has_callbacks:
        text = f"{found.version}: memory that is written may not be executed, so TLS cannot work"
        return Finding(subject, "problem", text, "MemoryDenyWriteExecute=no in the unit")
    update = "pip install --upgrade livefeed pyopenssl cryptography"
    if not found.is_direct:
        text = f"{found.version}: its functions are not where livefeed looks, so each request takes longer"
        return Finding(subject, "warning", text, update)
    if found.shares_tickets:
        text = f"{found.version}: sessions are not resumed on another worker, nor after a key is 12 hours old"
        return Finding(subject, "note", f"{text}: {found.shares_tickets}", update)
    return ok(subject, found.version)


def check_certificates(pairs: Sequence[KeyPair], roots: Sequence[x509.Certificate], now: float) -> Iterator[Finding]:
    """Checks certificates that OpenSSL has taken; their expiry is only shown if there is time.

    :param roots: the CAs that this machine trusts; none if they are not known.
    :param now: seconds since 1970.
    """
    for pair in pairs:
        subject, names = "certificate", pair.names()
        if not names:
            text = f"{pair.file}: it has no name of a host, and browsers refuse it"
            yield Finding(subject, "warning", text, f"openssl x509 -noout -ext subjectAltName -in {pair.file}")
        elif roots and not is_complete(pair.chain, roots):
            text = f"{pair.file}: no CA of this machine has issued its last certificate: one in between is missing"
            mend = "--cert, with the file of the whole chain (certbot: fullchain.pem); a CA of your own needs none"
            yield Finding(subject, "warning", text, mend)
        elif pair.validity.not_after - now > EXPIRY_WARNING_S:
            end = pair.validity.not_after
            yield ok(subject, f"{', '.join(names)}: valid for {(end - now) / DAY_S:.0f} days, until {day(end)}")


def is_complete(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> bool:
    """Tells whether clients find the way from a certificate to a CA: it ends with one, or one has issued the last."""
    last = chain[-1]
    return has_issued(last, last) or any(has_issued(root, last) for root in roots)
