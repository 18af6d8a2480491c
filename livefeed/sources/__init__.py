"""Where a feed's document is pulled from: a module or package for each kind of source, and the parser of their URLs.

The modules ``http_...`` belong to ``http``, and ``file_watch`` to ``file``. What several kinds use is in ``names``,
which resolves the names of hosts and connects to them, and in ``connectors``.

Other packages can bring sources along: an entry point of the group ``livefeed.sources``, by the name of its scheme.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, quote, urlsplit

from livefeed.exceptions import ConfigurationError, closest

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

_FILE_NAME = re.compile(r"[^:@?#=]{1,100}")
_SEVERAL_HOSTS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<hosts>[^/?#]*,[^/?#]*)")  # RFC 3986, 3


class Source(Protocol):
    """A place that holds the document.

    ``str(source)`` names it in log lines, so it has no credentials in it.
    """

    def watch(self, changed: Callable[[], None], /) -> None:
        """Begins to look out for changes, as far as the place tells of them. It is called once, before all else.

        :param changed: to be called in the reactor's thread each time that there may be another document; it never
            raises. The tick goes on whatever comes of it, so that nothing is lost where something is not told.
        """

    async def fetch(self) -> bytes | None:
        """Reads the document as it is now.

        It is awaited once a tick, and when a change was told of. One call is awaited at a time, and cancelled when it
        takes too long: one interval, but at least 1 s and at most 10 s. A call that does not end when it is cancelled
        is abandoned, and the next one begins while it goes on. Three calls at most go on at a time; while three are
        abandoned, none begins. The result of an abandoned call is thrown away.

        :returns: the document; ``None`` if it certainly is what the last ``fetch`` that gave one has given, and that
            can be known for less than reading it.
        :raises NotDueError: if it was not asked, since it holds for longer than a tick by its own word. The feed stays
            as it is: nothing is confirmed, and nothing pushed.
        :raises SourceError: if the document could not be read; the message tells an operator why.
        """

    def close(self) -> None:
        """Lets go of whatever is held open. Nothing is fetched afterwards."""


GROUP = "livefeed.sources"
"""The group of entry points by which other packages name their sources."""


class MakeSource(Protocol):
    """The target of an entry point: a class, or any other callable."""

    def __call__(self, url: SplitResult, /, *, reactor: IReactorTime, max_bytes: int) -> Source:
        """Gives the source that a URL names; see :func:`make_source`.

        :raises ConfigurationError: if no source can ever be made of it; the message must not repeat credentials.
        """


def split_url(url: str) -> SplitResult:
    """Splits a URL, which may name several hosts: that is for the source to read.

    :raises ValueError: if it is none.
    """
    # urlsplit takes no list in which an address of IPv6 comes after another host: some patch releases of each Python.
    several = _SEVERAL_HOSTS.match(url)
    if several is None:
        return urlsplit(url)
    return urlsplit(several["scheme"] + url[several.end() :])._replace(netloc=several["hosts"])


def make_source(url: str, *, reactor: IReactorTime, max_bytes: int) -> Source:
    """Gives the source that a URL names.

    :param url: such as ``file:PATH``, ``redis://host/db/key`` or ``https://host/path``; each source has its own.
    :param reactor: the reactor that the source connects and keeps time with.
    :param max_bytes: how much of a document is read at most; one byte more is enough to see that it is too large.
    :raises ConfigurationError: if no source can ever be made of it; the message does not repeat credentials.
    """
    try:
        parts = split_url(url)
    except ValueError:
        # The message repeats the URL.
        raise ConfigurationError("this is not a URL", "source") from None
    make = _SCHEMES.get(parts.scheme, _plugged_in)
    try:
        return make(parts, reactor, max_bytes)
    except ConfigurationError as error:
        # Whatever the refusal is about: the host was looked for in what stands before the first of these characters.
        if "@" in parts.netloc or not any("@" in part for part in parts[2:]):
            raise
        why = f"{error.why}; in a user and a password, write / as %2F, ? as %3F, # as %23, and @ as %40"
        raise ConfigurationError(why, error.setting) from None


def _plugged_in(parts: SplitResult, reactor: IReactorTime, max_bytes: int) -> Source:
    """Gives the source that another package makes of a URL."""
    entries = entry_points(group=GROUP)
    found = {entry.value: entry for entry in entries if entry.name.lower() == parts.scheme}
    if not found:
        others = sorted({entry.name.lower() for entry in entries} - set(_SCHEMES))
        schemes = [f"{scheme}:" for scheme in (*_SCHEMES, *others)]
        if parts.scheme:
            unknown, instead = f"unknown scheme {parts.scheme!r}", _INSTEAD.get(parts.scheme)
            hint = closest(f"{parts.scheme}:", schemes) if instead is None else instead
        else:
            # Text that is no name of a file may be a URL with a password in it.
            path = quote(parts.path) if _FILE_NAME.fullmatch(parts.geturl()) else "PATH"
            unknown, hint = "there is no scheme in front", f"; a file is file:{path}"
            if f"{parts.path}:" in schemes:
                hint += f"; did you mean {parts.path}:?"
        raise ConfigurationError(f"{unknown}{hint}; there are {', '.join(schemes)}", "source")
    if len(found) > 1:
        raise ConfigurationError(f"{parts.scheme}: is claimed by several: {', '.join(sorted(found))}", "source")
    ((name, entry),) = found.items()
    try:
        make: MakeSource = entry.load()
    except Exception as error:
        why = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
        raise ConfigurationError(f"{parts.scheme}: is {name}, which cannot be loaded: {why}", "source") from error
    try:
        source = make(parts, reactor=reactor, max_bytes=max_bytes)
    except ConfigurationError:
        raise
    except Exception as error:
        # The message may repeat the URL.
        why = type(error).__name__
        raise ConfigurationError(f"{parts.scheme}: is {name}, which has failed with {why}", "source") from None
    if not all(callable(getattr(source, verb, None)) for verb in ("watch", "fetch", "close")):
        raise ConfigurationError(f"{parts.scheme}: is {name}, which does not give a source", "source")
    return source


# Each kind is imported when it is used: the dependencies of one source are no burden to the users of another.


def _demo(parts: SplitResult, _reactor: IReactorTime, _max_bytes: int) -> Source:
    from livefeed.sources.demo import DemoSource  # noqa: PLC0415

    return DemoSource.from_url(parts)


def _file(parts: SplitResult, reactor: IReactorTime, max_bytes: int) -> Source:
    from livefeed.sources.file import FileSource  # noqa: PLC0415

    return FileSource.from_url(parts, reactor=reactor, max_bytes=max_bytes)


def _http(parts: SplitResult, reactor: IReactorTime, max_bytes: int) -> Source:
    from livefeed.sources.http import HttpSource  # noqa: PLC0415
    from livefeed.tls.options import require_callbacks  # noqa: PLC0415

    if parts.scheme == "https":
        require_callbacks("source")
    return HttpSource.from_url(parts, reactor=reactor, max_bytes=max_bytes)


def _redis(parts: SplitResult, reactor: IReactorTime, max_bytes: int) -> Source:
    from livefeed.sources.redis import RedisSource  # noqa: PLC0415
    from livefeed.tls.options import require_callbacks  # noqa: PLC0415

    if parts.scheme.startswith("rediss"):
        require_callbacks("source")
    return RedisSource.from_url(parts, reactor=reactor, max_bytes=max_bytes)


def _mongo(parts: SplitResult, reactor: IReactorTime, max_bytes: int) -> Source:
    try:
        from livefeed.sources.mongo.source import MongoSource  # noqa: PLC0415
    except ImportError:
        why = "mongodb:// needs pymongo: pip install '.[mongo]' in a clone of livefeed"
        raise ConfigurationError(why, "source") from None
    return MongoSource.from_url(parts, reactor=reactor, max_bytes=max_bytes)


_SCHEMES: dict[str, Callable[[SplitResult, IReactorTime, int], Source]] = {
    "demo": _demo,
    "file": _file,
    "http": _http,
    "https": _http,
    "mongodb": _mongo,
    "redis": _redis,
    "rediss": _redis,
    "redis+unix": _redis,
    "redis+sentinel": _redis,
    "rediss+sentinel": _redis,
    "redis+cluster": _redis,
    "rediss+cluster": _redis,
}

_INSTEAD = {"mongodb+srv": "; write the hosts out, as in mongodb://a,b,c/DB/COLLECTION?replicaSet=NAME&tls=true"}
