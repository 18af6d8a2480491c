"""The settings of a livefeed process: typed, checked once, and never changed afterwards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from livefeed.exceptions import ConfigurationError
from livefeed.feed import Push

if TYPE_CHECKING:
    from collections.abc import Mapping

Transport = Literal["fast", "twisted"]
Seconds = Annotated[float, msgspec.Meta(ge=1, le=3600)]

_FEED_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}\Z"
_TIME = "a number of seconds from 1 to 3600"
_ALLOWED = {
    "feed": "a name: letters, digits, _ and - (not at its beginning), at most 64",
    "interval": "a number of seconds from 0.05 to 3600",
    "transport": "fast or twisted",
    "max_connections": "a whole number, 0 or more",
    "accept_rate": "a whole number, 0 or more",
    "handshake_timeout": _TIME,
    "head_timeout": _TIME,
    "idle_timeout": _TIME,
    "listen": "one endpoint or more",
    "allow_origin": "one origin or more",
    "cert": "a path",
    "key": "a path",
    "push": "tick or change",
    "max_bytes": "a whole number from 2 to 268435456",
}
_PATH = re.compile(r"\$\.([a-z_]+)")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator can set. Each is an option of the command line by the same name.

    :ivar source: the URL of where the document is pulled from.
    :ivar feed: the feed's name.
    :ivar interval: seconds from one tick to the next, 0.05 to 3600.
    :ivar listen: descriptions of the endpoints to serve on.
    :ivar transport: what carries the connections: livefeed's own transport, or Twisted's.
    :ivar max_connections: so many at a time; 0 for as many as there may be open files.
    :ivar accept_rate: new connections a second; 0 for no limit.
    :ivar handshake_timeout: seconds that a TLS handshake may take.
    :ivar head_timeout: seconds that the head of a request may take.
    :ivar idle_timeout: seconds that a connection is kept without a request.
    :ivar cert: the PEM file of the server's certificate and its chain; ``None`` for a development certificate.
    :ivar key: the PEM file of its private key.
    :ivar push: when subscribers are sent the document.
    :ivar allow_origin: the origins whose pages may read the feed.
    :ivar max_bytes: the size of the largest document that is served, up to 256 MiB.
    """

    source: str = "demo:"
    feed: Annotated[str, msgspec.Meta(pattern=_FEED_NAME)] = "feed"
    interval: Annotated[float, msgspec.Meta(ge=0.05, le=3600)] = 1.0
    listen: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("tls:8443",)
    transport: Transport = "fast"
    max_connections: Annotated[int, msgspec.Meta(ge=0)] = 0
    accept_rate: Annotated[int, msgspec.Meta(ge=0)] = 0
    handshake_timeout: Seconds = 10.0
    head_timeout: Seconds = 10.0
    idle_timeout: Seconds = 75.0
    cert: Path | None = None
    key: Path | None = None
    push: Push = "tick"
    allow_origin: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("*",)
    max_bytes: Annotated[int, msgspec.Meta(ge=2, le=256 * 1024 * 1024)] = 1024 * 1024

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Settings:
        """Makes settings of text.

        :param values: a string, or a list of them where a setting is repeatable, by the settings' names; what is left
            out has its default.
        :raises ConfigurationError: if a value is not possible; the message names the option.
        """
        try:
            settings = msgspec.convert(dict(values), cls, strict=False, dec_hook=_decode_path)
        except msgspec.ValidationError as error:
            found = _PATH.search(str(error))
            if found is None or found[1] not in _ALLOWED:
                raise ConfigurationError(str(error)) from None
            option, value = found[1].replace("_", "-"), values[found[1]]
            raise ConfigurationError(f"--{option}: {value!r} is not {_ALLOWED[found[1]]}") from None
        if (settings.cert is None) != (settings.key is None):
            raise ConfigurationError("--cert and --key go together: give both, or none")
        return settings


def _decode_path(wanted: type, value: Any) -> Any:
    # Absolute at once: a daemon changes its directory.
    if wanted is Path and isinstance(value, str) and value:
        return Path(value).absolute()
    raise ValueError("expected a path")
