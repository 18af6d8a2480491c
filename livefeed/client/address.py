"""The URLs of a feed that are made of the one that a user gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, quote, unquote, urlsplit

from livefeed.document.pointer import PointerError, tokens_of
from livefeed.exceptions import FollowError, shown

MAX_URL_LENGTH = 4096
"""The largest number of characters of a URL."""

_SCHEMES = {"http": False, "https": True, "ws": False, "wss": True}
_PORTS = {False: 80, True: 443}
_FORMS = (".ws", ".sse", ".json", ".html")
"""The other forms of a feed: a user may copy the URL of any of them."""


@dataclass(frozen=True, slots=True)
class Address:
    """A feed, or a part of it, at a server.

    :ivar is_secure: whether the server is asked by TLS.
    :ivar host: its name or address, without the brackets of IPv6.
    :ivar port: its port.
    :ivar target: path and query of the document, as a request has them.
    :ivar connect_to: the host and the port that connections are made to, in place of those of the URL; ``None`` for
        those.
    :ivar form: the end of the path that was given and that names another form of the feed, such as ``.json``; ``""`` if
        none was.
    """

    is_secure: bool
    host: str
    port: int
    target: str
    connect_to: tuple[str, int] | None = None
    form: str = field(default="", compare=False)

    @classmethod
    def of(cls, url: str, pointer: str = "", connect: str | None = None) -> Address:
        """Reads a URL, such as ``https://example.org/feed`` or ``https://example.org/feed#/results/0``.

        :param url: the URL of the document or a part, or of the WebSocket, the events or the page. Its fragment is a
            JSON Pointer to a part.
        :param pointer: a JSON Pointer, in place of a fragment.
        :param connect: ``HOST:PORT`` to connect to, in place of those of the URL.
        :raises FollowError: if it is no such URL, or no such place. The message says why, without a password.
        """
        if len(url) > MAX_URL_LENGTH:
            raise FollowError(f"the URL has more than {MAX_URL_LENGTH} characters")
        if not url.isprintable() or " " in url:
            raise FollowError(f"{shown(url)}: a URL has no spaces and no control characters")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise FollowError(f"{shown(url)}: {error}") from None
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise FollowError(f"{shown(url)}: is no URL of a feed, such as https://example.org/feed")
        if "@" in parts.netloc:
            raise FollowError(f"{shown(url)}: a URL of a feed has no user and no password")
        if pointer and parts.fragment:
            raise FollowError(f"{shown(url)}: has a pointer already, {shown(unquote(parts.fragment))}")
        is_secure = _SCHEMES[parts.scheme]
        path, form = _path(parts, pointer or unquote(parts.fragment))
        target = f"{path}?{parts.query}" if parts.query else path
        connect_to = None if connect is None else host_and_port(connect)
        return cls(is_secure, parts.hostname, port or _PORTS[is_secure], target, connect_to=connect_to, form=form)

    @property
    def endpoint(self) -> tuple[str, int]:
        """The host and the port that connections are made to. The name for TLS and HTTP is always that of the URL."""
        return self.connect_to or (self.host, self.port)

    @property
    def place(self) -> str:
        """Host and port for messages, with those that connections are made to."""
        if self.connect_to is None:
            return self.authority
        host, port = self.connect_to
        return f"{self.authority} ({f'[{host}]' if ':' in host else host}:{port})"

    @property
    def authority(self) -> str:
        """Host and port, as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.is_secure] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL of the document."""
        return f"{'https' if self.is_secure else 'http'}://{self.authority}{self.target}"

    @property
    def named_url(self) -> str:
        """The URL of the document with the form that was given, for a client that tells of it."""
        path, mark, query = self.target.partition("?")
        return replace(self, target=f"{path}{self.form}{mark}{query}").url

    @property
    def path(self) -> str:
        """The path of the document without percent-encoding. It ends with the path that messages have."""
        return unquote(self.target.partition("?")[0])

    def websocket_url(self, version: str | None) -> str:
        """Gives the URL for a WebSocket.

        :param version: the version that the client has.
        """
        path, _, query = self.target.partition("?")
        queries = [each for each in (query, f"have={version}" if version else "") if each]
        target = f"{path}?{'&'.join(queries)}" if queries else path
        return f"{'wss' if self.is_secure else 'ws'}://{self.authority}{target}"


def host_and_port(text: str) -> tuple[str, int]:
    """Reads a place to connect to, such as ``192.0.2.7:8443`` or ``[2001:db8::7]:8443``.

    :raises FollowError: if it is none.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.netloc != text or "@" in text or not text.isprintable() or " " in text:
        raise FollowError(f"{shown(text)}: is no HOST:PORT, such as 192.0.2.7:8443")
    return host, port


def _path(parts: SplitResult, pointer: str) -> tuple[str, str]:
    """Gives the path of the document, or of a part of it, and the form at the end of the path that was given."""
    given = quote(parts.path, safe="/%~!$&'()*+,;=:@") or "/"
    path = given
    for form in _FORMS:
        path = path.removesuffix(form)
    form = given[len(path) :]
    if not pointer:
        return path, form
    if not pointer.startswith("/"):
        raise FollowError(f"{shown(pointer)}: a JSON Pointer begins with a slash, such as #/results/0")
    try:
        tokens_of(pointer[1:])
    except PointerError as error:
        raise FollowError(f"{shown(pointer)}: {error}") from None
    segments = [quote(segment, safe="~") for segment in pointer[1:].split("/")]
    return "/".join([path.rstrip("/"), *segments]), form
