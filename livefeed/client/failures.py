"""The reasons why a server cannot be reached, as text for people."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING

from livefeed.exceptions import FollowError, first_line

if TYPE_CHECKING:
    from pathlib import Path

    from livefeed.client.address import Address

TIMEOUT_S = 10.0
"""The longest time in seconds for a connection, and for each read of an answer."""

_TRUST = "; cacert, or --cacert, names a file of authorities to trust"
_IS_PLAIN = "; does it speak plain HTTP (http://)?"
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}
_UNKNOWN_ISSUER = {18, 19, 20, 21}
"""The codes of OpenSSL for a certificate without a trusted authority (``X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT``, ...).
"""
_NO_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def reason_of(error: BaseException, address: Address) -> str:  # noqa: PLR0911 - one for each reason
    """Gives the reason why a server could not be asked.

    :param error: the error of a connection, a handshake or a request.
    :param address: the feed that was asked for.
    """
    place, host = address.place, address.endpoint[0]
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = _TRUST if error.verify_code in _UNKNOWN_ISSUER else ""
        return f"the certificate of {place} is not trusted: {error.verify_message}{hint}"
    if isinstance(error, ssl.SSLError):
        said = (error.reason or first_line(error)).lower().replace("_", " ")
        hint = _IS_PLAIN if said in ("wrong version number", "record layer failure") else ""
        return f"TLS with {place} failed: {said}{hint}"
    if isinstance(error, socket.gaierror):
        if error.errno in _NO_NAME:
            return f"there is no host {host}"
        return f"the name {host} cannot be resolved: {error.strerror}"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {place}"
    if isinstance(error, TimeoutError):
        return f"{place} did not answer within {TIMEOUT_S:g} s"
    if isinstance(error, ConnectionError):
        return f"{place} closed the connection"
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return f"there is no way to {place}: {(error.strerror or 'unreachable').lower()}"
    return f"{place} could not be asked: {first_line(error)}"


def tls_context(address: Address, cacert: str | Path | None = None, *, verify: bool = True) -> ssl.SSLContext | None:
    """Makes the settings of TLS for an address; ``None`` if it is asked without TLS.

    :param cacert: a PEM file with the authorities that are trusted, instead of those of the system.
    :param verify: whether the certificate is checked. Without that, anybody on the way can change the document.
    :raises FollowError: if the file cannot be read, also where it is not needed.
    """
    if not address.is_secure and cacert is None:
        return None
    try:
        context = ssl.create_default_context(cafile=None if cacert is None else str(cacert))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise FollowError(f"{cacert}: cannot be read as a PEM file of certificates: {why}") from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context if address.is_secure else None
