"""From URLs to sources: livefeed's own by their schemes, and those of other packages by their entry points."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urlsplit

from livefeed.exceptions import ConfigurationError, MissingExtraError, closest
from livefeed.extras import needed_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorTime

    from livefeed.sources.source import MakeSource, Source
    from livefeed.sources.store import StoredDocument

_FILE_NAME = re.compile(r"[^:@?#=]{1,100}")
_SEVERAL_HOSTS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<hosts>[^/?#]*,[^/?#]*)")  # RFC 3986, 3


GROUP = "livefeed.sources"
"""The group of the entry points of other packages; the name of an entry point is the scheme of its URLs."""

STORE = "store"
"""The scheme of a feed whose document publishers write to livefeed itself."""

RECORDING = "recording"
"""The scheme of a recording."""


def split_url(url: str) -> SplitResult:
    """Splits a URL. Its authority may list several hosts, which the source splits itself.

    :raises ValueError: if the text is not a URL.
    """
    # In some patch releases of each Python, urlsplit refuses a list in which an IPv6 address follows another host.
    several = _SEVERAL_HOSTS.match(url)
    if several is None:
        return urlsplit(url)
    return urlsplit(several["scheme"] + url[several.end() :])._replace(netloc=several["hosts"])


def is_store(url: str) -> bool:
    """Tells whether a URL names the embedded store, which needs a state directory."""
    return url.partition(":")[0].lower() == STORE


def is_recording(url: str) -> bool:
    """Tells whether a URL names a recording."""
    return url.partition(":")[0].lower() == RECORDING


def needs_state_dir() -> ConfigurationError:
    """Gives the error of a feed with the source ``store:`` without a folder for its document."""
    return ConfigurationError("store: needs --state-dir, the folder in which its documents are stored", "source")


def make_source(url: str, *, reactor: IReactorTime, max_bytes: int, store: StoredDocument | None = None) -> Source:
    """Makes the source of a URL.

    :param url: such as ``file:PATH``, ``redis://host/db/key`` or ``https://host/path``; each source has its own form.
    :param reactor: the clock, and the connections of the source.
    :param max_bytes: size of the largest document. A source reads at most one byte more, which shows that the document
        is too large.
    :param store: the store of the feed, for ``store:``; ``None`` if it has none.
    :raises ConfigurationError: if the URL can never work. The message does not repeat credentials.
    """
    try:
        parts = split_url(url)
    except ValueError:
        # The message repeats the URL.
        raise ConfigurationError("this is not a URL", "source") from None
    if parts.scheme == STORE:
        from livefeed.sources.store import StoreSource  # noqa: PLC0415

        return StoreSource.from_url(parts, store)
    make = _SCHEMES.get(parts.scheme, _plugged_in)
    try:
        return make(parts, reactor, max_bytes)
    except ConfigurationError as error:
        # The authority ends at the first of these characters. Without an @ in it, an unescaped one in the password may
        # be the reason of the error.
        if "@" in parts.netloc or not any("@" in part for part in parts[2:]):
            raise
        why = f"{error.why}; in a user and a password, write / as %2F, ? as %3F, # as %23, and @ as %40"
        raise ConfigurationError(why, error.setting) from None


def _plugged_in(parts: SplitResult, reactor: IReactorTime, max_bytes: int) -> Source:
    """Makes a source of another package."""
    # Imported here: a source of livefeed's own does not need it.
    from importlib.metadata import entry_points  # noqa: PLC0415

    entries = entry_points(group=GROUP)
    found = {entry.value: entry for entry in entries if entry.name.lower() == parts.scheme}
    if not found:
        others = sorted({entry.name.lower() for entry in entries} - {*_SCHEMES, STORE})
        raise _unknown_scheme(parts, [f"{scheme}:" for scheme in (*_SCHEMES, STORE, *others)])
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
    # Looked up on the object: a package may pass the methods on, which isinstance does not see from Python 3.12 on.
    if not all(callable(getattr(source, method, None)) for method in ("watch", "fetch", "close")):
        raise ConfigurationError(f"{parts.scheme}: is {name}, which does not give a source", "source")
    return source


def _unknown_scheme(parts: SplitResult, schemes: Sequence[str]) -> ConfigurationError:
    """Gives the refusal of a URL, which names the schemes that there are."""
    if parts.scheme:
        unknown, instead = f"unknown scheme {parts.scheme!r}", _INSTEAD.get(parts.scheme)
        hint = closest(f"{parts.scheme}:", schemes) if instead is None else instead
    else:
        # A text that is not the name of a file may be a URL with a password, so it is not shown.
        path = quote(parts.path) if _FILE_NAME.fullmatch(parts.geturl()) else "PATH"
        unknown, hint = "there is no scheme in front", f"; a file is file:{path}"
        if f"{parts.path}:" in schemes:
            hint += f"; did you mean {parts.path}:?"
    return ConfigurationError(f"{unknown}{hint}; there are {', '.join(schemes)}", "source")


# Each kind is imported when it is used, so that users of one source do not need the dependencies of another.


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


def _recording(parts: SplitResult, reactor: IReactorTime, max_bytes: int) -> Source:
    from livefeed.sources.recording import RecordingSource  # noqa: PLC0415

    return RecordingSource.from_url(parts, reactor=reactor, max_bytes=max_bytes)


def _redis(parts: SplitResult, reactor: IReactorTime, max_bytes: int) -> Source:
    from livefeed.sources.redis import RedisSource  # noqa: PLC0415
    from livefeed.tls.options import require_callbacks  # noqa: PLC0415

    if parts.scheme.startswith("rediss"):
        require_callbacks("source")
    return RedisSource.from_url(parts, reactor=reactor, max_bytes=max_bytes)


def _mongo(parts: SplitResult, reactor: IReactorTime, max_bytes: int) -> Source:
    try:
        with needed_extra("mongo", "mongodb://"):
            from livefeed.sources.mongo.source import MongoSource  # noqa: PLC0415
    except MissingExtraError as error:
        raise ConfigurationError(str(error), "source") from None
    return MongoSource.from_url(parts, reactor=reactor, max_bytes=max_bytes)


_SCHEMES: dict[str, Callable[[SplitResult, IReactorTime, int], Source]] = {
    "demo": _demo,
    "file": _file,
    "http": _http,
    "https": _http,
    "mongodb": _mongo,
    RECORDING: _recording,
    "redis": _redis,
    "rediss": _redis,
    "redis+unix": _redis,
    "redis+sentinel": _redis,
    "rediss+sentinel": _redis,
    "redis+cluster": _redis,
    "rediss+cluster": _redis,
}

_INSTEAD = {"mongodb+srv": "; write the hosts out, as in mongodb://a,b,c/DB/COLLECTION?replicaSet=NAME&tls=true"}
