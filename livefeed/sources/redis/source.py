"""The source of a key in Redis or Valkey: of one server, of the master that sentinels name, or of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from OpenSSL import crypto
from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.logger import Logger

from livefeed.exceptions import ConfigurationError, SourceError, SpentErrors
from livefeed.sources.names import Names
from livefeed.sources.redis.announcements import Announcements
from livefeed.sources.redis.cluster import Cluster
from livefeed.sources.redis.connection import TLS, Login, Server, too_slow
from livefeed.sources.redis.replication import LostMasterError
from livefeed.sources.redis.sentinel import Sentinels
from livefeed.sources.redis.servers import OneServer, Servers
from livefeed.sources.redis.url import RedisUrl, parse_url
from livefeed.sources.redis.values import HashValue, JsonValue, OddReplyError, StringValue, Value

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

    from twisted.internet.interfaces import IReactorTime

    from livefeed.sources.redis.replies import Reply

FOLLOW_TIMEOUT_S = 0.5
"""Seconds that the servers to which a name newly leads may take. A pull may have only one second, and if they do not
answer, the servers of before are asked."""

_KEYSPACE = b"keyspace"
_SWITCH = b"+switch-master"

_log = Logger()


@dataclass(slots=True)
class RedisSource:
    """Reads a value. An error ends the connection, and the next pull makes another one: the tick is the retry.

    :ivar url: the URL of the source.
    :ivar login: connects to the servers.
    :ivar servers: the servers that are asked.
    :ivar value: the type of the value.
    :ivar max_bytes: size of the largest document.
    """

    # required parameters
    reactor: IReactorTime
    url: RedisUrl
    login: Login
    servers: Servers
    value: Value
    max_bytes: int

    # internal state
    _announcements: Announcements | None = None
    _switches: Announcements | None = None
    _has_failed: bool = False
    _why_not_followed: str = ""
    _spent: SpentErrors = field(default_factory=SpentErrors)
    _changed: Callable[[], None] = field(default=lambda: None, repr=False)

    @classmethod
    def from_url(cls, parts: SplitResult, *, reactor: IReactorTime, max_bytes: int) -> RedisSource:
        """Makes the source of a URL of the Redis family.

        :raises ConfigurationError: if a part is missing or wrong, or a file that it names cannot be used. The message
            repeats no part of the URL.
        """
        url = parse_url(parts)
        value = _value_of(url.options, max_bytes)
        tls = _tls_of(url.options) if url.scheme.startswith("rediss") else None
        # One object for all servers, so that a name server that hangs occupies one thread.
        login = Login(reactor, Names.of(reactor), url.username, url.password, url.database, tls)
        servers: Servers
        addresses = tuple(server for server in url.servers if isinstance(server, Server))
        if url.scheme.endswith("+sentinel"):
            servers = Sentinels(url.name, addresses, _sentinel_login(url.options, login), login)
        elif url.scheme.endswith("+cluster"):
            servers = Cluster(addresses, login)
        else:
            servers = OneServer(url.servers[0], login)
        return cls(reactor, url, login, servers, value, max_bytes)

    def __str__(self) -> str:
        return str(self.url)

    def watch(self, changed: Callable[[], None]) -> None:
        """Source API.

        Listening begins after the first good pull, which finds the server.
        """
        self._changed = changed
        channel = self.url.options.get("announce")
        if channel == _KEYSPACE:
            channel = b"__keyspace@%d__:%b" % (self.url.database or 0, self.url.key)
            letter = self.value.event_class
        else:
            letter = ""
        if channel is not None:
            self._announcements = Announcements(
                self.login, channel, lambda _message: changed(), self.max_bytes, event_class=letter
            )
        if isinstance(self.servers, Sentinels):
            self._switches = Announcements(self.servers.sentinel_login, _SWITCH, self._note_switch, self.max_bytes)
            self.servers.found = self._switches.follow

    async def fetch(self) -> bytes:
        """Source API."""
        try:
            reply = await self._ask()
        except LostMasterError:
            # The connection is good, and stays.
            raise
        except Exception:  # a cancelled pull, too, leaves a connection in an unknown state
            self.servers.close()
            self._has_failed = True
            raise
        if self._announcements is not None and self.servers.server is not None:
            self._announcements.follow(self.servers.server)
            if self._has_failed:
                self._announcements.hurry()
        self._has_failed = False
        try:
            return self.value.document(reply)
        except OddReplyError:
            self.servers.close()
            raise

    def close(self) -> None:
        """Source API."""
        self.servers.close()
        for announcements in (self._announcements, self._switches):
            if announcements is not None:
                announcements.close()

    async def _ask(self) -> Reply:
        """Gives the reply of the servers to which the names lead by now, or else of the connected ones."""
        first = await self.servers.moved()
        if first is None:
            return await self._ask_of(self.servers)
        self._spent.forget()
        others = self.servers.anew(first)
        try:
            asking = Deferred.fromCoroutine(self._ask_of(others))
            reply = await asking.addTimeout(FOLLOW_TIMEOUT_S, self.reactor, too_slow)
        except SourceError as error:
            self._spent.add(error)
            others.close()
            self._note_not_followed(first, str(error))
            return await self._ask_of(self.servers)
        except Exception:
            others.close()
            raise
        self.servers.close()
        self.servers, self._why_not_followed = others, ""
        _log.info("{source}: the name of {server} leads elsewhere, and is followed", source=self, server=first)
        return reply

    async def _ask_of(self, servers: Servers) -> Reply:
        return await servers.ask(*self.value.command(self.url.key), allowance=self.value.allowance)

    def _note_not_followed(self, server: Server, why: str) -> None:
        if why != self._why_not_followed:
            self._why_not_followed = why
            text = "{source}: the name of {server} leads elsewhere, where {why}: the old connection is kept"
            _log.warn(text, source=self, server=server, why=why)

    def _note_switch(self, message: bytes) -> None:
        """Leaves a master that was replaced, which may not know about it yet."""
        if message.startswith(self.url.name.encode() + b" "):
            self.servers.close()
            self._changed()


def _value_of(options: dict[str, bytes], max_bytes: int) -> Value:
    kind, fields, path = (options.get(name) for name in ("type", "fields", "path"))
    if kind not in (None, b"string", b"hash", b"json"):
        raise ConfigurationError("?type= is string, hash or json", "source")
    if fields is not None and (kind != b"hash" or fields not in (b"text", b"json")):
        raise ConfigurationError("&fields= is text or json, and goes with ?type=hash", "source")
    if path is not None and kind != b"json":
        raise ConfigurationError("&path= goes with ?type=json", "source")
    if kind == b"hash":
        return HashValue(max_bytes, is_json=fields == b"json")
    if kind == b"json":
        return JsonValue(max_bytes, path or b"$")
    return StringValue(max_bytes)


def _sentinel_login(options: dict[str, bytes], login: Login) -> Login:
    username, password = (_text_of(options, f"sentinel-{name}") for name in ("user", "password"))
    if username is not None and password is None:
        raise ConfigurationError("&sentinel-user= goes with &sentinel-password=", "source")
    return Login(login.reactor, login.names, username, password, database=None, tls=login.tls)


def _text_of(options: dict[str, bytes], name: str) -> str | None:
    return options[name].decode("utf-8", "replace") if name in options else None


def _tls_of(options: dict[str, bytes]) -> TLS:
    """Makes the TLS configuration. The files of the options are read here, once.

    :raises ConfigurationError: if a file cannot be read, or has the wrong content.
    """
    authorities: tuple[Certificate, ...] = ()
    if "ca" in options:
        try:
            found = x509.load_pem_x509_certificates(_read(options, "ca"))
        except ValueError:
            raise ConfigurationError("the file of ?ca= has no certificates in PEM", "source") from None
        authorities = tuple(Certificate(crypto.X509.from_cryptography(one)) for one in found)
    if "client-cert" not in options and "client-key" not in options:
        return TLS(authorities)
    certificate, key = _read(options, "client-cert"), _read(options, "client-key")
    try:
        return TLS(authorities, PrivateCertificate.loadPEM(certificate + b"\n" + key))
    except (crypto.Error, ValueError):
        raise ConfigurationError(
            "?client-cert= and &client-key= are no certificate and its key in PEM", "source"
        ) from None


def _read(options: dict[str, bytes], name: str) -> bytes:
    try:
        path = options[name].decode("utf-8", "surrogateescape")
        return Path(path).read_bytes()
    except KeyError:
        raise ConfigurationError("?client-cert= and &client-key= go together", "source") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path has %00 in it"
        raise ConfigurationError(f"the file of {name}= cannot be read: {why}", "source") from None
