"""Descriptions of endpoints: their parts, and messages about common mistakes that say how the endpoint is written.

Twisted's parsers would report these mistakes in the words of Python's functions, or not at all.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from livefeed.exceptions import closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_PORT = 65535
MAX_PORT_DIGITS = 5
"""Longer texts are not converted to a number: Python takes a time that grows with the square of the length."""

TLS_FORM = "tls:PORT[:interface=ADDRESS][:cert=FILE:key=FILE]"
TLS_FOLDER_FORM = "tls:FOLDER[:PORT][:interface=ADDRESS]"

PROXIED = "haproxy:"
"""The beginning of the description of an endpoint whose connections begin with a PROXY header, as in Twisted."""

_SCHEMES = {"tls": "https", "ssl": "https", "tcp": "http", "tcp6": "http"}
_TLS_PARTS = ("interface", "cert", "key")
_PORTED = ("tls", "tcp", "tcp4", "tcp6", "ssl")
_SEVERAL = re.compile(r"[a-z0-9]+:[0-9]*[ ,;]")
_BARE_IPV6 = re.compile(r":interface=\[?[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}(?::|\]|\Z)")
# The names of the parts of each kind, in the order of Twisted's parsers.
_PARTS = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "interface", "backlog"),
    "unix": ("address", "mode", "backlog", "lockfile"),
    "ssl": ("port", "privateKey", "certKey", "sslmethod", "interface", "backlog", "extraCertChain", "dhParameters"),
    "systemd": ("domain", "index", "name"),
}
_EXAMPLES = {
    "tcp": "tcp:8080:interface=127.0.0.1",
    "tcp6": "tcp6:8080:interface=\\:\\:1",
    "unix": "unix:/run/livefeed/livefeed.sock",
    "ssl": "ssl:8443:privateKey=key.pem:certKey=cert.pem",
    "systemd": "systemd:domain=INET6:index=0",
}
_URL = re.compile(r"(?P<scheme>https?):(?://)?(?:[^/:]*:)?(?P<port>[0-9]{1,5})/?", re.IGNORECASE)
_WITHOUT_KIND = re.compile(r"(?:(?P<address>[0-9]{1,3}(?:\.[0-9]{1,3}){3}|localhost)?:)?(?P<port>[0-9]{1,5})")


def split_description(description: str) -> list[str]:
    """Splits a description at the colons that are not escaped, and removes the escapes."""
    parts = [""]
    characters = iter(description)
    for character in characters:
        if character == ":":
            parts.append("")
        else:
            parts[-1] += next(characters, "") if character == "\\" else character
    return parts


def port_of(description: str) -> tuple[str, str] | None:
    """Gives the URL scheme and the port of a description, for display; ``None`` if the description has no port."""
    kind, *parts = split_description(description)
    if kind in _SCHEMES and parts and parts[0].isdecimal():
        return _SCHEMES[kind], parts[0]
    if kind == "tls" and len(parts) > 1 and parts[1].isdecimal():
        return _SCHEMES[kind], parts[1]
    return None


def mistake_in(description: str) -> str:
    """Gives the mistake in a description, and how it is put right; ``""`` if there is none of those known here."""
    kind, *parts = split_description(description)
    mistake = _missing_kind(description)
    if not mistake and kind in _PORTED:
        mistake = _wrong_address(description, parts)
    if not mistake and kind == "unix" and Path(parts[0] if parts else "").is_dir():
        mistake = f"this is a folder; unix: is followed by the path of the socket, as in {_EXAMPLES[kind]}"
    if not mistake and kind in _PARTS:
        mistake = _wrong_part(kind, parts)
    if not mistake and kind == "haproxy":
        mistake = _wrong_behind_proxy(parts)
    return mistake


def mistake_in_tls(options: Sequence[tuple[str, str]]) -> str:
    """Gives the end of a message about the parts of ``tls:PORT``; ``""`` if the parts are possible.

    :param options: the parts behind the port, with their names. Certificates and keys may be repeated.
    """
    for name, value in options:
        if name not in _TLS_PARTS:
            return f": there is no part {name}={_closest_part(name, _TLS_PARTS)}"
        if not value:
            return f": {name}= has no value"
    names = [name for name, _ in options]
    for name, other in (("cert", "key"), ("key", "cert")):
        if names.count(name) > names.count(other):
            return f": {'each ' if other in names else ''}{name}= takes {other}= as well"
    return ": interface= is there twice" if names.count("interface") > 1 else ""


def _missing_kind(description: str) -> str:
    """Tells how a bare port or a URL is written as an endpoint."""
    found = _WITHOUT_KIND.fullmatch(description)
    if found is not None:
        address = "127.0.0.1" if found["address"] == "localhost" else found["address"]
        rest = f"{found['port']}:interface={address}" if address else found["port"]
        return f"there is no kind in front; did you mean tls:{rest}, or tcp:{rest} for plain HTTP?"
    found = _URL.fullmatch(description)
    if found is not None:
        kind = "tls" if found["scheme"].lower() == "https" else "tcp"
        return f"this is a URL; did you mean {kind}:{found['port']}?"
    return ""


def _wrong_address(description: str, parts: list[str]) -> str:
    """Tells what is wrong with the port or the interface of an endpoint that has a port."""
    port = parts[0] if parts else ""
    if port.isdecimal() and (len(port) > MAX_PORT_DIGITS or int(port) > MAX_PORT):
        return f"a port is a number from 0 to {MAX_PORT}"
    if _SEVERAL.match(description):
        how = "repeat the option, put white space between them in the variable, or give a list in the file"
        return f"this is more than one endpoint: {how}"
    if _BARE_IPV6.search(description):
        return "the colons of an address have a backslash before them, as in interface=\\:\\:1"
    return ""


def _wrong_part(kind: str, parts: list[str]) -> str:
    """Tells which part of a description for Twisted is wrong, in other words than those of Twisted's functions."""
    example = f"as in {_EXAMPLES[kind]}"
    # The path of a socket may have an escaped = in it.
    for name, is_named, _ in (part.partition("=") for part in parts[kind == "unix" :]):
        if is_named and name.isidentifier() and name not in _PARTS[kind]:
            return f"{kind}: has no part {name}={_closest_part(name, _PARTS[kind])}"
    if "port" in _PARTS[kind]:
        named = (part.removeprefix("port=") for part in parts if part.startswith("port="))
        port = next(named, parts[0] if parts else "")
        if not port.isdecimal() or not port.isascii():
            return f"{kind}: is followed by a port, a number from 0 to {MAX_PORT}, {example}"
    if len(parts) > len(_PARTS[kind]):
        return f"{kind}: has {len(_PARTS[kind])} parts at most, {example}"
    return ""


def _wrong_behind_proxy(parts: list[str]) -> str:
    """Tells why Twisted cannot read the PROXY header in front of an endpoint."""
    kind = parts[0] if parts else ""
    if kind == "haproxy":
        return f"{PROXIED} is there twice"
    if kind in ("tls", "ssl"):
        return "the PROXY header comes before TLS, where only --listen of the fast transport reads it"
    return ""


def _closest_part(name: str, parts: Iterable[str]) -> str:
    return closest(f"{name}=", (f"{each}=" for each in parts))
