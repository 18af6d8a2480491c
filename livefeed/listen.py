"""Where to listen: ``tls:PORT``, which is livefeed's own, and every endpoint that Twisted knows."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.endpoints import SSL4ServerEndpoint, serverFromString

from livefeed.exceptions import ConfigurationError
from livefeed.tls import server_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IStreamServerEndpoint

BACKLOG = 1024
"""How many connections may wait to be accepted. Twisted's 50 are gone in a moment when everybody comes back."""

MAX_PORT = 65535
_MAX_DIGITS = 5
_PORTED = ("tls", "tcp", "tcp4", "tcp6", "ssl")
_SEVERAL = re.compile(r"[a-z0-9]+:[0-9]*[ ,;]")
_BARE_IPV6 = re.compile(r":interface=\[?[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}(?::|\]|\Z)")
_FORM = "tls:PORT[:interface=ADDRESS][:cert=FILE:key=FILE]"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The PEM files of a server's certificate and its private key."""

    cert: Path
    key: Path


def make_endpoint(
    reactor: Any, description: str, certificate: Callable[[], CertificateFiles], setting: str = "listen"
) -> IStreamServerEndpoint:
    """Gives the endpoint that a description names.

    ``tls:`` followed by a number is livefeed's own. Twisted has a ``tls:`` too, which is followed by a directory of
    certificates; that, and every other kind, is passed on to Twisted.

    :param reactor: what will listen.
    :param description: such as ``tls:8443:interface=127.0.0.1``; a colon within a part has a backslash before it.
    :param certificate: gives the files to use where the description names none.
    :param setting: what it is set by, which errors name.
    :raises ConfigurationError: if there is no such endpoint, or its certificate cannot be used.
    """
    kind, *parts = _split(description)
    _check(description, kind, parts, setting)
    if kind == "tls" and parts and parts[0].isdecimal():
        return _tls(reactor, parts, certificate, setting)
    if kind == "tls" and not (parts and Path(parts[0]).is_dir()):
        raise ConfigurationError(f"{description}: tls: is followed by a port, as in {_FORM}, or by a folder", setting)
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    except Exception as error:  # whatever the parsers of Twisted and of its plugins may raise
        why = f"{description}: this is not an endpoint, such as {_FORM} or tcp:8080: {error}"
        raise ConfigurationError(why, setting) from None
    return endpoint


def _check(description: str, kind: str, parts: list[str], setting: str) -> None:
    """Refuses what is a common mistake, of which the parsers would say something else, or nothing."""
    first = parts[0] if parts else ""
    why = ""
    if kind in _PORTED and first.isdecimal() and (len(first) > _MAX_DIGITS or int(first) > MAX_PORT):
        why = f"a port is a number from 0 to {MAX_PORT}"
    elif kind in _PORTED and _SEVERAL.match(description):
        why = (
            "this is more than one endpoint: repeat the option, put white space between them in the variable, or give "
        )
        why += "a list in the file"
    elif kind in _PORTED and _BARE_IPV6.search(description):
        why = "the colons of an address have a backslash before them, as in interface=\\:\\:1"
    elif kind == "unix" and Path(first).is_dir():
        why = "this is a folder; unix: is followed by the path of the socket, as in unix:/run/livefeed/livefeed.sock"
    if why:
        raise ConfigurationError(f"{description}: {why}", setting)


def port_of(description: str) -> tuple[str, str] | None:
    """Gives the URL scheme and port of a description, for showing; ``None`` where there is no port to name."""
    kind, *parts = _split(description)
    schemes = {"tls": "https", "ssl": "https", "tcp": "http", "tcp6": "http"}
    if kind in schemes and parts and parts[0].isdecimal():
        return schemes[kind], parts[0]
    return None


def _tls(
    reactor: Any, parts: list[str], certificate: Callable[[], CertificateFiles], setting: str
) -> IStreamServerEndpoint:
    port = int(parts[0])
    options = dict(part.partition("=")[::2] for part in parts[1:])
    wrong = (
        port > MAX_PORT
        or len(options) < len(parts) - 1  # one of them twice
        or not options.keys() <= {"interface", "cert", "key"}
        or not all(options.values())
        or ("cert" in options) != ("key" in options)
    )
    if wrong:
        raise ConfigurationError(f"tls:{':'.join(parts)} is not {_FORM}", setting)
    own = "cert" in options
    files = CertificateFiles(Path(options["cert"]), Path(options["key"])) if own else certificate()
    try:
        tls = server_options(files.cert, files.key)
    except ConfigurationError as error:
        raise ConfigurationError(error.why, setting if own else error.setting) from None
    interface = options.get("interface")
    if interface is None:
        # Everybody, over IPv6 as well as IPv4: phones often have nothing but IPv6.
        interface = "::" if _dual_stack() else ""
    # For all its name, it takes addresses of IPv6, too.
    return SSL4ServerEndpoint(reactor, port, tls, BACKLOG, interface)


def _dual_stack() -> bool:
    """Tells whether one socket can serve IPv6 and IPv4: many a machine has IPv6 built in, but switched off."""
    if not socket.has_dualstack_ipv6():
        return False
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::", 0))
        except OSError:
            return False
    return True


def _split(description: str) -> list[str]:
    """Splits at the colons that are not escaped, and takes the escapes away."""
    parts = [""]
    characters = iter(description)
    for character in characters:
        if character == ":":
            parts.append("")
        else:
            parts[-1] += next(characters, "") if character == "\\" else character
    return parts
