"""URLs of the Redis family, read into their parts.

    redis[s]://[user:password@]host[:port]/db/key
    redis+unix://[user:password@]/path/of/socket?db=0&key=KEY
    redis[s]+sentinel://[user:password@]host[:port],host[:port]/NAME/db/key
    redis[s]+cluster://[user:password@]host[:port],host[:port]/key

User, password, key and the values of options are percent-encoded. No message repeats a part of a URL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_to_bytes

from livefeed.exceptions import ConfigurationError
from livefeed.sources.redis.connection import Server, UnixServer

if TYPE_CHECKING:
    from urllib.parse import SplitResult

PORT = 6379
SENTINEL_PORT = 26379
MAX_SERVERS = 32

_USER = "[user:password@]"
_LIST = "host[:port],host[:port],..."
_SERVER = re.compile(
    r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^\[\]:,/@\s]*))(?::(?P<port>[^:,\]]*))?", re.IGNORECASE
)
_DATABASE = re.compile(r"[0-9]{1,5}", re.ASCII)
_OPTIONS = ("type", "fields", "path", "announce")
_TLS_OPTIONS = ("ca", "client-cert", "client-key")
_SENTINEL_OPTIONS = ("sentinel-user", "sentinel-password")


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The parts of a URL.

    :ivar scheme: the scheme, which selects the kind of servers, and TLS.
    :ivar servers: the server, the sentinels, or some nodes of the cluster.
    :ivar name: the name of the group that the sentinels monitor; ``""`` without sentinels.
    :ivar database: number of the database; ``None`` in a cluster, which has only one.
    :ivar key: the key, without percent-encoding.
    :ivar username: the ACL user; ``None`` for the default user.
    :ivar password: the password; ``None`` if the server needs none.
    :ivar options: the options of the query, except for the database and the key.
    """

    scheme: str
    servers: tuple[Server | UnixServer, ...]
    name: str
    database: int | None
    key: bytes
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    options: dict[str, bytes] = field(repr=False)

    def __str__(self) -> str:
        """Gives the URL without credentials and options."""
        key = self.key.decode("utf-8", "backslashreplace")
        servers = ",".join(map(str, self.servers))
        if self.scheme == "redis+unix":
            return f"{self.scheme}://{servers}?db={self.database}&key={key}"
        path = [part for part in (self.name, self.database, key) if part not in ("", None)]
        return f"{self.scheme}://{servers}/{'/'.join(map(str, path))}"


def parse_url(parts: SplitResult) -> RedisUrl:
    """Reads a URL of one of the schemes above.

    :raises ConfigurationError: if a part is missing, unknown or wrong. The message names the part.
    """
    if parts.scheme == "redis+unix":
        return _parse_unix(parts)
    tls, _, kind = parts.scheme.partition("+")
    by_kind = {
        "": f"{tls}://{_USER}host[:port]/db/key",
        "sentinel": f"{tls}+sentinel://{_USER}{_LIST}/NAME/db/key",
        "cluster": f"{tls}+cluster://{_USER}{_LIST}/key",
    }
    form = by_kind[kind]
    username, password, hosts = _credentials(parts, form)
    servers = _servers(hosts, SENTINEL_PORT if kind == "sentinel" else PORT, form, only_one=not kind)
    allowed = _OPTIONS + (_TLS_OPTIONS if tls == "rediss" else ()) + (_SENTINEL_OPTIONS if kind == "sentinel" else ())
    path = parts.path.removeprefix("/")
    name, database = "", None
    if kind == "sentinel":
        name, _, path = path.partition("/")
        if not name:
            raise _refusal("the name of the master is missing", form)
    if kind != "cluster":
        number, _, path = path.partition("/")
        database = _database(number, form)
    if not path:
        raise _refusal("the key is missing", form)
    return RedisUrl(
        scheme=parts.scheme,
        servers=servers,
        name=unquote(name),
        database=database,
        key=unquote_to_bytes(path),
        username=username,
        password=password,
        options=_options(parts, allowed, form),
    )


def _parse_unix(parts: SplitResult) -> RedisUrl:
    form = f"redis+unix://{_USER}/path/of/socket?db=0&key=KEY"
    username, password, host = _credentials(parts, form)
    path = unquote(parts.path, errors="surrogateescape")
    if host or not path.startswith("/"):
        raise _refusal("there is a host, or no absolute path,", form)
    if "\0" in path:
        raise _refusal("no path has %00 in it", form)
    options = _options(parts, ("db", "key", *_OPTIONS), form)
    key = options.pop("key", b"")
    if not key:
        raise _refusal("the key is missing", form)
    database = _database(options.pop("db", b"0").decode("ascii", "replace"), form)
    return RedisUrl("redis+unix", (UnixServer(path),), "", database, key, username, password, options)


def _refusal(why: str, form: str) -> ConfigurationError:
    return ConfigurationError(f"{why} in {form}", "source")


def _credentials(parts: SplitResult, form: str) -> tuple[str | None, str | None, str]:
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, colon, password = credentials.partition(":")
    if credentials and not colon:
        raise _refusal("a user has no password", form)
    return unquote(username) or None, unquote(password) if colon else None, hosts


def _servers(hosts: str, port: int, form: str, *, only_one: bool) -> tuple[Server, ...]:
    found = [_SERVER.fullmatch(host) for host in hosts.split(",")]
    if len(found) > (1 if only_one else MAX_SERVERS):
        raise _refusal("there are too many hosts", form)
    servers = []
    for match in found:
        if match is None:
            raise _refusal("a port is not a number from 1 to 65535, or a host is none,", form)
        host, digits = match["address"] or match["name"], match["port"]
        if not host:
            raise _refusal("the host is missing", form)
        if digits is not None and not (re.fullmatch("[0-9]{1,5}", digits) and 0 < int(digits) <= 0xFFFF):  # noqa: PLR2004
            raise _refusal("the port is not a number from 1 to 65535", form)
        servers.append(Server(host.lower(), port if digits is None else int(digits)))
    return tuple(servers)


def _database(number: str, form: str) -> int:
    if not _DATABASE.fullmatch(number):
        raise _refusal("the database, a number, is missing", form)
    return int(number)


def _options(parts: SplitResult, allowed: tuple[str, ...], form: str) -> dict[str, bytes]:
    if parts.fragment:
        raise _refusal("there is a #, which is written %23,", form)
    options: dict[str, bytes] = {}
    for option in parts.query.split("&") if parts.query else ():
        name, _, value = option.partition("=")
        if name not in allowed or name in options or not value:
            names = ", ".join(allowed)
            raise _refusal(f"an option is unknown, empty or there twice (there are {names}; write ? as %3F)", form)
        options[name] = unquote_to_bytes(value)
    return options
