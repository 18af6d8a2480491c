"""The settings of a livefeed process: typed, checked once, and never changed afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import quote

import msgspec
from twisted.logger import Logger

from livefeed.config.layers import SettingValue, from_environment, from_file, from_options, unknown_variables
from livefeed.config.protection import check_protection
from livefeed.config.rule_settings import rules_of, without_rule
from livefeed.config.setting_texts import TEXTS
from livefeed.document.rules import RuleSpec
from livefeed.exceptions import ConfigurationError, closest, option_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Push = Literal["tick", "change"]
"""When subscribers are sent the document: at each tick, or only when it has changed."""

Transport = Literal["fast", "twisted"]
Algorithm = Literal["EdDSA", "ES256", "RS256"]
"""An algorithm of signed tokens."""

Level = Literal["debug", "info", "warn", "error"]
"""The least important lines that are logged."""

AccessLogFormat = Literal["common", "combined", "json"]
ForwardedHeader = Literal["none", "x-forwarded-for", "forwarded"]
Count = Annotated[int, msgspec.Meta(ge=0)]
Rate = Annotated[int, msgspec.Meta(ge=0)] | Literal["none"]
Workers = Annotated[int, msgspec.Meta(ge=0, le=1024)] | Literal["auto"]
Seconds = Annotated[float, msgspec.Meta(ge=1, le=3600)]
Pause = Annotated[float, msgspec.Meta(ge=0, le=3600)]
Age = Annotated[float, msgspec.Meta(ge=0, le=7 * 86_400)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]

MAX_FEEDS = 64
"""Largest number of feeds in one process. Each feed pulls, checks and compresses in the thread that serves all clients.
"""

MAX_ERRORS = 100
"""Upper limit of the errors that are given together."""

_FEED_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}\Z"
OPTIONS = ("config", *TEXTS)
"""The names of the options. Each has a variable of the environment and, except for the first, a key in the file."""

_log = Logger()

REPEATABLE = ("allow_origin", "auth_algorithm", "listen", "trusted_proxy", "admin")
"""The options that are lists."""

LISTS_OF_PATHS = ("cert", "key")
"""The settings of one path or several. Their variables have a colon between the paths, as ``PATH`` has."""

SCHEMES_OF_PATHS = ("file", "recording")
"""Schemes of sources whose URL is a path, which may be relative to the folder in which it was set."""


class _PlacedSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings with the places where they were set.

    :ivar places: the place of each setting that was set, as messages name it.
    """

    places: dict[str, str] = {}

    def place(self, setting: str) -> str:
        """Gives the place of a setting, as messages name it; the option on the command line if it was not set."""
        return self.places.get(setting) or option_of(setting)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Adds the place of a setting to the errors about it that are raised in the block."""
        try:
            yield
        except ConfigurationError as error:
            raise ConfigurationError(error.why, error.setting, self.places.get(error.setting, "")) from None


class FeedSettings(_PlacedSettings, frozen=True, kw_only=True):
    """The settings of one feed.

    :ivar feed: the feed's name.
    :ivar source: the URL from which the document is pulled.
    :ivar interval: seconds from one tick to the next, 0.05 to 3600.
    :ivar push: whether subscribers are sent the document at each tick, or only when it has changed.
    :ivar allow_origin: the origins whose pages may read the feed.
    :ivar max_bytes: size of the largest document that is served, up to 256 MiB.
    :ivar max_delta_bytes: size of the largest document of which patches are made; 0 for none.
    :ivar max_subscribers: number of subscribers of the feed and its parts at a time; 0 for no limit.
    :ivar stale_after: seconds since the last good pull after which the feed is stale, while pulls fail.
    :ivar gone_after: seconds since the last good pull after which the document is not shown; 0 for never.
    :ivar rules: the rules that decide which documents are shown. Only a file has them, in the table of a feed.
    :ivar auth_tokens: the file with the tokens with which the feed may be read; ``None`` for none.
    :ivar auth_keys: the file, or the URL, of the public keys that have signed tokens; ``None`` for none. Without
        tokens and keys the feed is public.
    :ivar auth_algorithm: the algorithms of signed tokens.
    :ivar auth_issuer: their issuer.
    :ivar auth_audience: the audience that they must name.
    :ivar auth_cookie: the name of the cookie in which browsers may send a token; ``None`` for none.
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
    rules: tuple[RuleSpec, ...] = ()
    auth_tokens: Path | None = None
    auth_keys: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)] | None = None
    auth_algorithm: tuple[Algorithm, ...] = ()
    auth_issuer: Text | None = None
    auth_audience: Text | None = None
    auth_cookie: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")] | None = None


_OF_A_FEED = tuple(name for name in FeedSettings.__struct_fields__ if name in TEXTS or name == "rules")


class Settings(_PlacedSettings, frozen=True, kw_only=True):
    """The settings of an operator. Each except ``feeds`` is an option of the command line by the same name.

    :ivar feeds: the feeds; at least one.
    :ivar listen: descriptions of the endpoints to serve on.
    :ivar state_dir: the folder in which the last versions are kept for the next start; ``None`` to keep none.
    :ivar transport: the transport of the connections: livefeed's own, or Twisted's.
    :ivar max_connections: number of connections at a time; 0 for as many as open files and memory allow.
    :ivar accept_rate: number of new connections a second; 0 for the number that takes a part of a processor core,
        measured at the start; ``"none"`` for no limit.
    :ivar handshake_timeout: seconds that a TLS handshake may take.
    :ivar head_timeout: seconds that the head of a request may take.
    :ivar max_head_bytes: size of the largest head of a request, without its line ends; 16 KiB are always accepted.
    :ivar idle_timeout: seconds for which a connection is kept without a request.
    :ivar cert: the PEM file of the server's certificate and its chain, or one file for each of several; empty for a
        development certificate.
    :ivar key: the PEM file of the private key of each certificate, in the same order.
    :ivar trusted_proxy: the networks of the proxies that may name the address of a client.
    :ivar address_rate: number of new connections a second for each address; 0 for no limit.
    :ivar network_rate: number of new connections a second for each network; 0 for no limit.
    :ivar forwarded_header: the field with which trusted proxies name the address of a client.
    :ivar access_log: where a line for each answered request is written: the path of a file, ``unix:`` and the path of a
        socket, or ``-`` for standard output; ``None`` for nowhere.
    :ivar access_log_format: the format of these lines.
    :ivar runtime_dir: the folder of the operator's socket; ``None`` for the default one of the instance.
    :ivar instance: the name of the instance, by which ``livefeed ctl`` finds its operator's socket.
    :ivar admin: descriptions of the endpoints to serve the operator's port on, besides its Unix socket.
    :ivar admin_token: the file with the token that requests to these endpoints carry.
    :ivar admin_group: the group whose members may use the operator's socket; ``None`` for none.
    :ivar ready_public: whether the endpoints of the feeds also answer ``/-/live`` and ``/-/ready``.
    :ivar page_figures: whether the page shows the watchers, deliveries and delays of this server to everybody.
    :ivar public_reasons: whether watchers are told why a feed has no new document, by messages, pages and the list.
    :ivar signing_key: the file with the keys that sign statements about the newest versions; ``None`` to sign none.
    :ivar workers: number of processes that hold the connections, ``auto`` for one per processor; 0 for none besides
        this process.
    :ivar orphan_after: seconds without a parent after which a worker ends; 0 for never.
    :ivar log_level: the least important lines that are logged.
    :ivar drain_delay: seconds for which the process goes on serving after it was told to stop or to drain, not ready.
    :ivar drain: seconds over which watchers are sent away if a successor serves them.
    :ivar return_after: seconds after which the first watchers come back after a stop without a successor.
    """

    feeds: tuple[FeedSettings, ...] = (FeedSettings(),)
    listen: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("tls:8443",)
    state_dir: Path | None = None
    transport: Transport = "fast"
    max_connections: Count = 0
    accept_rate: Rate = 0
    handshake_timeout: Seconds = 10.0
    head_timeout: Seconds = 10.0
    max_head_bytes: Annotated[int, msgspec.Meta(ge=16 * 1024, le=256 * 1024)] = 16 * 1024
    idle_timeout: Seconds = 75.0
    cert: tuple[Path, ...] = ()
    key: tuple[Path, ...] = ()
    trusted_proxy: tuple[str, ...] = ()
    address_rate: Count = 200
    network_rate: Count = 1000
    forwarded_header: ForwardedHeader = "none"
    access_log: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    access_log_format: AccessLogFormat = "combined"
    runtime_dir: Path | None = None
    instance: Annotated[str, msgspec.Meta(pattern=_FEED_NAME)] = "default"
    admin: tuple[Annotated[str, msgspec.Meta(min_length=1)], ...] = ()
    admin_token: Path | None = None
    admin_group: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    ready_public: bool = False
    page_figures: bool = False
    public_reasons: bool = False
    signing_key: Path | None = None
    workers: Workers = 0
    orphan_after: Age = 300.0
    log_level: Level = "info"
    drain_delay: Pause = 0.0
    drain: Pause = 30.0
    return_after: Pause = 6.0

    @classmethod
    def read(cls, options: Mapping[str, Any], environment: Mapping[str, str], folder: Path | None = None) -> Settings:
        """Merges defaults, file, environment and command line. The later ones take precedence.

        :param options: the values of the command line, by the settings' names with ``_``: texts, or lists of texts if a
            setting is repeatable. ``config`` is the path of the file.
        :param environment: all variables of the environment.
        :param folder: the folder at which relative paths begin, except for those in the file; by default, the current
            one.
        :raises ConfigurationError: if a value is not possible; the message names the place where it was set.
        """
        return cls.of(merge_layers(options, environment, folder or Path.cwd()))

    @classmethod
    def of(cls, values: Mapping[str, SettingValue]) -> Settings:
        """Makes settings of values.

        :param values: the values by the settings' names; missing ones have their defaults. ``feeds`` is a table of
            tables.
        :raises ConfigurationError: if a value is not possible; the message names its place.
        """
        shared = {name: value for name, value in values.items() if name != "feeds"}
        _check_shared(shared)
        tables = _tables(values["feeds"], shared) if "feeds" in values else [shared]
        settings = _make(cls, shared, feeds=tuple(_make(FeedSettings, table) for table in tables))
        for feed in settings.feeds:
            if 0 < feed.gone_after < feed.stale_after:
                why = f"{feed.gone_after} is less than {feed.stale_after}, after which a feed is stale; 0 is never"
                raise ConfigurationError(why, place=feed.place("gone_after"))
            check_protection(feed)
        if len(settings.cert) != len(settings.key):
            place = settings.place("key" if len(settings.cert) < len(settings.key) else "cert")
            why = "cert and key go together: give both, or none"
            if settings.cert and settings.key:
                counts = f"there are {len(settings.cert)} certificates and {len(settings.key)} keys"
                why = f"{counts}: each certificate takes its key, in the same order"
            raise ConfigurationError(why, place=place)
        is_fast = settings.transport == "fast"
        if is_fast and not settings.trusted_proxy and any(each.startswith("haproxy:") for each in settings.listen):
            why = "haproxy: reads the PROXY header of trusted proxies alone: name their networks in trusted_proxy"
            raise ConfigurationError(why, place=settings.place("listen"))
        if settings.forwarded_header != "none" and not settings.trusted_proxy:
            why = "the field of any client would be believed: name the networks of the proxies in trusted_proxy"
            raise ConfigurationError(why, place=settings.place("forwarded_header"))
        if settings.admin and settings.admin_token is None:
            why = "requires admin_token, the file with the token that requests to the operator's port carry"
            raise ConfigurationError(why, place=settings.place("admin"))
        if settings.workers and not is_fast:
            why = "requires the transport fast: Twisted's cannot share its connections among processes"
            raise ConfigurationError(why, place=settings.place("workers"))
        return settings


def merge_layers(options: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> dict[str, SettingValue]:
    """Merges file, environment and command line to values that are not checked yet; see :meth:`Settings.read`.

    :raises ConfigurationError: if the file cannot be read.
    """
    values = from_environment(environment, OPTIONS, REPEATABLE, folder) | from_options(options, folder)
    config = values.pop("config", None)
    if config is not None:
        if not config.value:
            raise ConfigurationError("'' is not a path", place=config.place)
        values = from_file(config.value, folder) | values
    return values


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of settings, as they were at the start. The file is read at each use.

    :ivar options: the values of the command line; see :meth:`Settings.read`.
    :ivar environment: all variables of the environment.
    :ivar folder: the folder in which livefeed was started: a daemon leaves it.
    """

    options: Mapping[str, Any]
    environment: Mapping[str, str]
    folder: Path

    def read(self) -> Settings:
        """Reads the settings.

        :raises ConfigurationError: if a value is not possible; the message names the place where it was set.
        """
        return Settings.read(self.options, self.environment, self.folder)

    def read_all(self) -> tuple[Settings | None, list[ConfigurationError]]:
        """Reads the settings, and gives all errors: after each, it goes on as if the value had not been set.

        :returns: the settings without the wrong values; ``None`` if an error is about no single value.
        """
        errors: list[ConfigurationError] = []
        try:
            values = merge_layers(self.options, self.environment, self.folder)
        except ConfigurationError as error:
            return None, [error]
        while len(errors) < MAX_ERRORS:
            try:
                return Settings.of(values), errors
            except ConfigurationError as error:
                errors.append(error)
                if not _leave_out(values, error.place):
                    break
        return None, errors

    def warn_of_unknown(self) -> None:
        """Warns of variables of the environment that look like settings and are none."""
        for variable, hint in unknown_variables(self.environment, OPTIONS):
            _log.warn("{variable} has no effect: there is no such setting{hint}", variable=variable, hint=hint)


def _leave_out(values: dict[str, SettingValue], place: str) -> bool:
    """Removes the value that was set at a place, and tells whether there was one."""
    for name, value in values.items():
        if value.place == place:
            del values[name]
            return True
    feeds = values.get("feeds")
    if feeds is None or not isinstance(feeds.value, dict):
        return False
    for name in feeds.value:
        table = feeds.below(name)
        keys = table.value if isinstance(table.value, dict) else {}
        wrong = next((key for key in keys if table.below(key).place == place), None)
        others = without_rule(table.below("rules"), place) if wrong is None and "rules" in keys else None
        if others is not None:
            values["feeds"] = replace(feeds, value={**feeds.value, name: {**keys, "rules": others}})
            return True
        if table.place != place and wrong is None:
            continue
        # Without its source, a feed would have one error more.
        tables = {each: value for each, value in feeds.value.items() if each != name}
        if wrong is not None and wrong != "source":
            tables[name] = {key: value for key, value in keys.items() if key != wrong}
        values["feeds"] = replace(feeds, value=tables)
        if not tables:
            del values["feeds"]
        return True
    return False


_Settings = TypeVar("_Settings", bound=_PlacedSettings)


def _make(cls: type[_Settings], values: Mapping[str, SettingValue], **more: Any) -> _Settings:
    """Makes settings of one class. Values of the other class are ignored."""
    own = {name: value for name, value in values.items() if name in cls.__struct_fields__}
    typed = {name: _typed(name, value) for name, value in own.items()}
    return cls(places={name: value.place for name, value in own.items()}, **typed, **more)


def _check_shared(shared: Mapping[str, SettingValue]) -> None:
    """Checks the values for all feeds, also those that no feed uses, since each feed has its own."""
    if "rules" in shared:
        why = "each feed has its own, in tables such as [feeds.results.rules.votes]"
        raise ConfigurationError(why, place=shared["rules"].place)
    for name, value in shared.items():
        _typed(name, value)


def _tables(feeds: SettingValue, shared: Mapping[str, SettingValue]) -> list[dict[str, SettingValue]]:
    """Gives the values of each feed. For settings that its table leaves out, the shared values apply."""
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
    # The value is not shown: an operator may have written the source's URL instead of a table.
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


def _typed(name: str, setting: SettingValue) -> Any:
    """Converts a value to the setting's type, and checks it.

    :raises ConfigurationError: if there is no such setting, or the value is not possible.
    """
    if name == "rules":
        return rules_of(setting)
    if name not in TEXTS:
        is_table = isinstance(setting.value, dict)
        hint = closest(name, ("feeds",) if is_table else (*TEXTS, "feeds"))
        if is_table and not hint:
            hint = "; those for all stand at the top of the file, without a table, and those of a feed in [feeds.NAME]"
        raise ConfigurationError(f"there is no such setting{hint}", place=setting.place)
    if name == "feed" and isinstance(setting.value, dict):
        # The table is not shown: its source can contain a password.
        raise ConfigurationError("is not a name; the table of a feed is [feeds.NAME], with an s", place=setting.place)
    given = setting.value
    if name in LISTS_OF_PATHS and isinstance(given, str):
        given = [given] if setting.typed else given.split(":")
    try:
        value = msgspec.convert(
            given, _TYPES[name], strict=setting.typed, dec_hook=partial(_absolute_path, setting.folder)
        )
    except (msgspec.ValidationError, OverflowError):
        # A source can contain a password.
        value_shown = "it" if name == "source" else shown(setting.value)
        hint = f"; write [{shown(setting.value)}]" if name in REPEATABLE and isinstance(setting.value, str) else ""
        hint += "; leave out the quotes" if setting.typed and _is_quoted_number(name, setting.value) else ""
        raise ConfigurationError(f"{value_shown} is not {TEXTS[name].allowed}{hint}", place=setting.place) from None
    if name == "access_log" and value is not None:
        return _absolute_log(value, setting.folder)
    if name == "auth_keys":
        return value if value is None or "://" in value else str(setting.folder / value)
    return _absolute_source(value, setting.folder) if name == "source" else value


def _is_quoted_number(name: str, value: Any) -> bool:
    """Tells whether a text in a file is a possible value without its quotes."""
    try:
        return isinstance(value, str) and isinstance(msgspec.convert(value, _TYPES[name], strict=False), int | float)
    except (msgspec.ValidationError, OverflowError):
        return False


_TYPES = {field.name: field.type for cls in (Settings, FeedSettings) for field in msgspec.structs.fields(cls)}


# Paths are made absolute here, since a daemon changes its working directory.


def _absolute_path(folder: Path, wanted: type, value: Any) -> Any:
    if wanted is Path and isinstance(value, str) and value:
        return folder / value
    raise ValueError("expected a path")


def _absolute_log(target: str, folder: Path) -> str:
    kind, separator, path = target.partition(":")
    if target == "-":
        return target
    return f"unix:{folder / path}" if separator and kind == "unix" else str(folder / target)


def _absolute_source(url: str, folder: Path) -> str:
    scheme, _, path = url.partition(":")
    if scheme.lower() not in SCHEMES_OF_PATHS or not path or path.startswith("/"):
        return url
    return f"{scheme.lower()}:{quote(bytes(folder))}/{path}"
