"""The URL of an HTTP origin, livefeed's own options in its fragment, and the files that they name."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

from livefeed.exceptions import ConfigurationError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

PORTS = {"http": 80, "https": 443}
MAX_FILE_BYTES = 65536
MAX_FIELDS = 50

_FORM = "https://[user:password@]host[:port]/path[?query][#ca=FILE&headers=FILE&redirects=anywhere]"
_FILES = ("ca", "headers")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # a token (RFC 9110, 5.6.2)
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Fields of the connection, of content codings and of conditions, which an operator's values would break.
_OWN = frozenset(
    (
        *("accept-encoding", "connection", "content-encoding", "content-length", "expect", "host", "keep-alive"),
        *("if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    )
)
# Characters that are not encoded. A % is the beginning of an encoded octet.
_PLAIN = "%/:;=&?@!$,+~'()*[]"


@dataclass(frozen=True, slots=True)
class Address:
    """The target of a request.

    :ivar scheme: ``http`` or ``https``.
    :ivar host: a name in ASCII, or an IP address without brackets.
    :ivar target: path and query, percent-encoded.
    """

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)

    @classmethod
    def of(cls, parts: SplitResult) -> Address:
        """Gives the address in a URL.

        :raises ValueError: if the URL has no host, or a wrong port.
        """
        port = PORTS[parts.scheme] if parts.port is None else parts.port
        host = parts.hostname or ""
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
        if not port or not re.fullmatch(r"[a-z0-9._~-]+|[0-9a-f:.]+", host):
            raise ValueError("there is no host, or no such port")
        query = f"?{quote(parts.query, safe=_PLAIN)}" if parts.query else ""
        return cls(parts.scheme, host, port, f"{quote(parts.path, safe=_PLAIN) or '/'}{query}")

    @property
    def origin(self) -> tuple[str, str, int]:
        """The origin (RFC 9110, 4.3.1)."""
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        """The address as a URL. Its query may contain secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"

    def __str__(self) -> str:
        # Without the query, which may contain a token.
        return self.url.partition("?")[0]

    def redirected(self, location: str) -> Address:
        """Gives the target of a redirect from this address.

        :param location: the value of ``Location``: a URL, or a reference relative to this address.
        :raises ValueError: if the target is not an HTTP URL, or the redirect leads from https to http.
        """
        try:
            parts = urlsplit(urljoin(self.url, location))
            target = Address.of(parts) if parts.scheme in PORTS else None
        except ValueError:
            # The message repeats the URL.
            raise ValueError("redirects to a URL that is none") from None
        if target is None:
            raise ValueError("redirects to what is no URL of HTTP")
        if self.scheme == "https" and target.scheme != "https":
            raise ValueError("redirects from https to http")
        return target

    def is_host_of(self, target: Address) -> bool:
        """Tells whether a redirect from this address to another stays on this host.

        Another port is another service, except after a redirect from http to https.
        """
        is_upgrade = (self.scheme, target.scheme) == ("http", "https")
        return self.host == target.host and (self.port == target.port or is_upgrade)


@dataclass(frozen=True, slots=True)
class Origin:
    """An origin, and the operator's options for it.

    :ivar address: the address of the document.
    :ivar fields: the operator's fields, which are sent to no other origin.
    :ivar ca: the CAs in PEM form; ``None`` for those of the system.
    :ivar may_leave: whether redirects to other hosts are followed.
    """

    address: Address
    fields: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    ca: bytes | None = field(default=None, repr=False)
    may_leave: bool = False

    @classmethod
    def from_url(cls, parts: SplitResult) -> Origin:
        """Reads a URL and the files that its fragment names.

        :raises ConfigurationError: if a part is missing or wrong. The message repeats no secret.
        """
        try:
            address = Address.of(parts)
        except (ValueError, UnicodeError):
            raise ConfigurationError(f"the host is missing, or the port is none, in {_FORM}", "source") from None
        options = _options(parts.fragment)
        fields = _read_fields(options["headers"]) if "headers" in options else []
        if parts.username is not None or parts.password is not None:
            if any(name.lower() == b"authorization" for name, _ in fields):
                raise ConfigurationError("the user in the URL and Authorization in headers: give one of them", "source")
            fields.append((b"Authorization", _basic(parts.username or "", parts.password or "")))
        if "ca" in options and address.scheme != "https":
            raise ConfigurationError("#ca= is for https: alone", "source")
        ca = _read_file("ca", options["ca"]) if "ca" in options else None
        return cls(address, tuple(fields), ca, may_leave="redirects" in options)


def _options(fragment: str) -> dict[str, str]:
    """Gives livefeed's own options, from the fragment, which is never sent. The query belongs to the origin."""
    pairs = parse_qsl(fragment, keep_blank_values=True, errors="surrogateescape")
    options = dict(pairs)
    # The fragment is not shown: if a password contains a #, the rest of the password is here.
    if (fragment and not pairs) or len(options) < len(pairs) or not set(options) <= {*_FILES, "redirects"}:
        text = "after # stand ca=FILE, headers=FILE and redirects=anywhere, or some of them, with & between, in"
        raise ConfigurationError(f"{text} {_FORM}", "source")
    if options.get("redirects", "anywhere") != "anywhere":
        text = "#redirects= takes anywhere alone; without it, redirects stay on the host of the URL"
        raise ConfigurationError(text, "source")
    for name, path in options.items():
        if name in _FILES and (not Path(path).is_absolute() or "\0" in path):
            raise ConfigurationError(f"#{name}= takes an absolute path, as in #{name}=/etc/livefeed/{name}", "source")
    return options


def _basic(user: str, password: str) -> bytes:
    user = unquote(user)
    if ":" in user:
        # The server would take it for the end of the user (RFC 7617, 2).
        raise ConfigurationError("a user of HTTP has no : in its name", "source")
    return b"Basic " + b64encode(f"{user}:{unquote(password)}".encode())


def _read_file(option: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES * 16 + 1 if option == "ca" else MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"#{option}=: {path}: {error.strerror}", "source") from None
    if len(data) > MAX_FILE_BYTES * (16 if option == "ca" else 1):
        raise ConfigurationError(f"#{option}=: {path}: is too large", "source")
    return data


def _read_fields(path: str) -> list[tuple[bytes, bytes]]:
    """Reads lines of ``Name: value``. Empty lines and lines that begin with # are skipped."""
    fields = []
    for number, line in enumerate(_read_file("headers", path).decode("latin-1").split("\n"), 1):
        text = line.strip("\r\t ")
        if not text or text.startswith("#"):
            continue
        name, colon, value = text.partition(":")
        value = value.strip("\t ")
        # The line is not shown, not even the name, which may be a misplaced value.
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ConfigurationError(f"#headers=: {path}: line {number} is not of the form Name: value", "source")
        if name.lower() in _OWN:
            raise ConfigurationError(f"#headers=: {path}: line {number} is for livefeed to say", "source")
        fields.append((name.encode("ascii"), value.encode("latin-1")))
    if len(fields) > MAX_FIELDS:
        raise ConfigurationError(f"#headers=: {path}: has more than {MAX_FIELDS} fields", "source")
    return fields
