"""The settings of a livefeed process: typed, checked once, and never changed afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import quote

import msgspec
from twisted.logger import Logger

from livefeed.config.layers import SettingValue, from_environment, from_file, from_options, unknown_variables
from livefeed.exceptions import ConfigurationError, closest, option_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Push = Literal["tick", "change"]
"""When subscribers are sent the document: at each tick, or only when it has changed."""

Transport = Literal["fast", "twisted"]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=1, le=3600)]
Age = Annotated[float, msgspec.Meta(ge=0, le=7 * 86_400)]

MAX_FEEDS = 64
"""The feeds of one process at most. Each pulls, checks and compresses in the one thread that serves everybody."""

_FEED_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}\Z"
_NAME = "a name: letters, digits, _ and - (not at its beginning), at most 64"
_TIME = "a number of seconds from 1 to 3600"
_COUNT = "a whole number, 0 or more"
_AGE = "a number of seconds from 0 to 604800"
_ALLOWED = {
    "feed": _NAME,
    "source": "the text of a URL",
    "interval": "a number of seconds from 0.05 to 3600",
    "push": "tick or change",
    "allow_origin": "a list of one origin or more",
    "max_bytes": "a whole number from 2 to 268435456",
    "max_delta_bytes": "a whole number from 0 to 268435456",
    "max_subscribers": _COUNT,
    "stale_after": _AGE,
    "gone_after": _AGE,
    "listen": "a list of one endpoint or more",
    "metrics": "an endpoint",
    "state_dir": "a path",
    "transport": "fast or twisted",
    "max_connections": _COUNT,
    "accept_rate": _COUNT,
    "handshake_timeout": _TIME,
    "head_timeout": _TIME,
    "max_head_bytes": "a whole number from 16384 to 262144",
    "idle_timeout": _TIME,
    "cert": "a path",
    "key": "a path",
}

OPTIONS = ("config", *_ALLOWED)
"""The names of the options, of which each has a variable of the environment, and, but for the first, a key in the
file."""

_log = Logger()

REPEATABLE = ("allow_origin", "listen")
"""Those that are lists."""


class _Set(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that know where they were set.

    :ivar places: for each that was set, what a message about it begins with.
    """

    places: dict[str, str] = {}

    def place(self, setting: str) -> str:
        """Gives what a message about a setting begins with: by default, its option on the command line."""
        return self.places.get(setting) or option_of(setting)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Has errors about these settings name the place where they were set."""
        try:
            yield
        except ConfigurationError as error:
            raise ConfigurationError(error.why, error.setting, self.places.get(error.setting, "")) from None


class FeedSettings(_Set, frozen=True, kw_only=True):
    """The settings of one feed.

    :ivar feed: the feed's name.
    :ivar source: the URL of where the document is pulled from.
    :ivar interval: seconds from one tick to the next, 0.05 to 3600.
    :ivar push: when subscribers are sent the document.
    :ivar allow_origin: the origins whose pages may read the feed.
    :ivar max_bytes: the size of the largest document that is served, up to 256 MiB.
    :ivar max_delta_bytes: the size of the largest document of which patches are made; 0 for none.
    :ivar max_subscribers: so many may follow the feed and its parts at a time; 0 for no limit.
    :ivar stale_after: while pulls fail, the feed is stale once the last good one was so many seconds ago.
    :ivar gone_after: and once it was so many seconds ago, the document is not shown any more; 0 for never.
    """

    feed: Annotated[str, msgspec.Meta(pattern=_FEED_NAME)] = "feed"
    source: str = "demo:"
    interval: Annotated[float, msgspec.Meta(ge=0.05, le=3600)] = 1.0
    push: Push = "tick"
    allow_origin: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("*",)
    max_bytes: Annotated[int, msgspec.Meta(ge=2, le=256 * 1024 * 1024)] = 1024 * 1024
    max_delta_bytes: Annotated[int, msgspec.Meta(ge=0, le=256 * 1024 * 1024)] = 1024 * 1024
    max_subscribers: Count = 0
    stale_after: Age = 0.0
    gone_after: Age = 0.0


_OF_A_FEED = tuple(name for name in FeedSettings.__struct_fields__ if name in _ALLOWED)


class Settings(_Set, frozen=True, kw_only=True):
    """The settings of an operator. Each but ``feeds`` is an option of the command line by the same name.

    :ivar feeds: the feeds, of which there is at least one.
    :ivar listen: descriptions of the endpoints to serve on.
    :ivar metrics: the description of the endpoint to serve metrics on; ``None`` for none.
    :ivar state_dir: the folder in which the last versions are kept over a restart; ``None`` to keep none.
    :ivar transport: what carries the connections: livefeed's own transport, or Twisted's.
    :ivar max_connections: so many at a time; 0 for as many as there may be open files.
    :ivar accept_rate: new connections a second; 0 for no limit.
    :ivar handshake_timeout: seconds that a TLS handshake may take.
    :ivar head_timeout: seconds that the head of a request may take.
    :ivar max_head_bytes: the largest head of a request, without its line ends. One of 16 KiB is always taken.
    :ivar idle_timeout: seconds that a connection is kept without a request.
    :ivar cert: the PEM file of the server's certificate and its chain; ``None`` for a development certificate.
    :ivar key: the PEM file of its private key.
    """

    feeds: tuple[FeedSettings, ...] = (FeedSettings(),)
    listen: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("tls:8443",)
    metrics: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    state_dir: Path | None = None
    transport: Transport = "fast"
    max_connections: Count = 0
    accept_rate: Count = 0
    handshake_timeout: Seconds = 10.0
    head_timeout: Seconds = 10.0
    max_head_bytes: Annotated[int, msgspec.Meta(ge=16 * 1024, le=256 * 1024)] = 16 * 1024
    idle_timeout: Seconds = 75.0
    cert: Path | None = None
    key: Path | None = None

    @classmethod
    def read(cls, options: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
        """Gives what is set by default, in the file, in the environment and on the command line; the later counts.

        :param options: what the command line says: a text, or a list of them where a setting is repeatable, by the
            settings' names with ``_``. ``config`` is the file.
        :param environment: in which the variables may be.
        :raises ConfigurationError: if a value is not possible; the message names the place where it was set.
        """
        given = from_environment(environment, OPTIONS, REPEATABLE) | from_options(options)
        for variable, hint in unknown_variables(environment, OPTIONS):
            _log.warn("{variable} has no effect: there is no such setting{hint}", variable=variable, hint=hint)
        config = given.pop("config", None)
        if config is not None:
            if not config.value:
                raise ConfigurationError("'' is not a path", place=config.place)
            given = from_file(config.value) | given
        return cls.of(given)

    @classmethod
    def of(cls, given: Mapping[str, SettingValue]) -> Settings:
        """Makes settings of values.

        :param given: by the settings' names; what is left out has its default. ``feeds`` is a table of tables.
        :raises ConfigurationError: if a value is not possible; the message names its place.
        """
        shared = {name: value for name, value in given.items() if name != "feeds"}
        for name, value in shared.items():
            # Also what no feed will use, since each has its own.
            _typed(name, value)
        tables = _tables(given["feeds"], shared) if "feeds" in given else [shared]
        settings = _make(cls, shared, feeds=tuple(_make(FeedSettings, table) for table in tables))
        for feed in settings.feeds:
            if 0 < feed.gone_after < feed.stale_after:
                why = f"{feed.gone_after} is less than {feed.stale_after}, after which a feed is stale; 0 is never"
                raise ConfigurationError(why, place=feed.place("gone_after"))
        if (settings.cert is None) != (settings.key is None):
            place = settings.place("cert" if settings.key is None else "key")
            raise ConfigurationError("cert and key go together: give both, or none", place=place)
        return settings


_Settings = TypeVar("_Settings", bound=_Set)


def _make(cls: type[_Settings], given: Mapping[str, SettingValue], **more: Any) -> _Settings:
    """Gives settings of one kind, of all that were given."""
    own = {name: value for name, value in given.items() if name in cls.__struct_fields__}
    values = {name: _typed(name, value) for name, value in own.items()}
    return cls(places={name: value.place for name, value in own.items()}, **values, **more)


def _tables(feeds: SettingValue, shared: Mapping[str, SettingValue]) -> list[dict[str, SettingValue]]:
    """Gives what was set for each feed: what a table leaves out is what is set for all."""
    for name in ("feed", "source"):
        if name in shared:
            why = f"each feed has its own, in {feeds.place}; leave it out here"
            raise ConfigurationError(why, place=shared[name].place)
    if not isinstance(feeds.value, dict) or not feeds.value:
        why = "is not a table with a table for each feed, such as [feeds.results]"
        raise ConfigurationError(why, place=feeds.place)
    if len(feeds.value) > MAX_FEEDS:
        raise ConfigurationError(f"there are {len(feeds.value)} feeds, and {MAX_FEEDS} at most", place=feeds.place)
    return [_table(name, feeds.below(name), shared) for name in feeds.value]


def _table(name: str, table: SettingValue, shared: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    # No value is shown: what stands in the place of a table may well be the source's URL.
    if not isinstance(table.value, dict):
        raise ConfigurationError("is not a table, such as [feeds.results]", place=table.place)
    for key in table.value:
        if key == "feed" or key not in _OF_A_FEED:
            hint = closest(key, (name for name in _OF_A_FEED if name != "feed"))
            raise ConfigurationError(f"there is no such setting of a feed{hint}", place=table.below(key).place)
    if "source" not in table.value:
        raise ConfigurationError("the source is missing", place=table.place)
    own = {key: table.below(key) for key in table.value}
    return {**shared, **own, "feed": SettingValue(name, table.place, table.folder, typed=True)}


def _typed(name: str, given: SettingValue) -> Any:
    """Gives a value as the setting has it.

    :raises ConfigurationError: if there is no such setting, or it cannot have this value.
    """
    if name not in _ALLOWED:
        is_table = isinstance(given.value, dict)
        hint = closest(name, ("feeds",) if is_table else (*_ALLOWED, "feeds"))
        if is_table and not hint:
            hint = "; those for all stand at the top of the file, without a table, and those of a feed in [feeds.NAME]"
        raise ConfigurationError(f"there is no such setting{hint}", place=given.place)
    if name == "feed" and isinstance(given.value, dict):
        # It is not shown: there is a source in it, which can have a password.
        raise ConfigurationError("is not a name; the table of a feed is [feeds.NAME], with an s", place=given.place)
    try:
        value = msgspec.convert(
            given.value, _TYPES[name], strict=given.typed, dec_hook=partial(_absolute_path, given.folder)
        )
    except (msgspec.ValidationError, OverflowError):
        # A source can have a password in it.
        what = "it" if name == "source" else shown(given.value)
        how = f"; write [{shown(given.value)}]" if name in REPEATABLE and isinstance(given.value, str) else ""
        how += "; leave out the quotes" if given.typed and _is_quoted_number(name, given.value) else ""
        raise ConfigurationError(f"{what} is not {_ALLOWED[name]}{how}", place=given.place) from None
    return _absolute_source(value, given.folder) if name == "source" else value


def _is_quoted_number(name: str, value: Any) -> bool:
    """Tells whether a text in a file would be a possible value without its quotes."""
    try:
        return isinstance(value, str) and isinstance(msgspec.convert(value, _TYPES[name], strict=False), int | float)
    except (msgspec.ValidationError, OverflowError):
        return False


_TYPES = {field.name: field.type for cls in (Settings, FeedSettings) for field in msgspec.structs.fields(cls)}


# Paths are absolute at once: a daemon changes its directory.


def _absolute_path(folder: Path, wanted: type, value: Any) -> Any:
    if wanted is Path and isinstance(value, str) and value:
        return folder / value
    raise ValueError("expected a path")


def _absolute_source(url: str, folder: Path) -> str:
    scheme, _, path = url.partition(":")
    if scheme.lower() != "file" or not path or path.startswith("/"):
        return url
    return f"file:{quote(bytes(folder))}/{path}"
