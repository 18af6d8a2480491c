"""The rules for the settings that protect a feed: which of them need others, and which exclude each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from livefeed.exceptions import ConfigurationError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_OF_KEYS = ("auth_algorithm", "auth_issuer", "auth_audience")
_COOKIE_PREFIXES = ("__Secure-", "__Host-")
_LOCAL = ("localhost", "127.0.0.1", "::1")


class ProtectedFeed(Protocol):
    """The settings of a feed, as far as they protect it; see :class:`livefeed.config.settings.FeedSettings`."""

    @property
    def allow_origin(self) -> tuple[str, ...]:
        """The origins whose pages may read the feed."""

    @property
    def auth_tokens(self) -> Path | None:
        """The file of tokens."""

    @property
    def auth_keys(self) -> str | None:
        """The file or URL of the keys of signed tokens."""

    @property
    def auth_cookie(self) -> str | None:
        """The name of the cookie."""

    @property
    def places(self) -> Mapping[str, str]:
        """The places of the settings that were set."""

    def place(self, setting: str, /) -> str:
        """Gives the place of a setting."""


def check_protection(feed: ProtectedFeed) -> None:
    """Checks the settings that protect a feed.

    :raises ConfigurationError: if they cannot work together; the message names the place of one of them.
    """
    for name in _OF_KEYS:
        if feed.auth_keys and not getattr(feed, name):
            why = (
                f"requires {name}, too: auth_algorithm, auth_issuer and auth_audience say which signed tokens are good"
            )
            raise ConfigurationError(why, place=feed.place("auth_keys"))
        if getattr(feed, name) and not feed.auth_keys:
            why = "has no effect without auth_keys, the file or the URL of the keys that have signed tokens"
            raise ConfigurationError(why, place=feed.place(name))
    _check_url(feed)
    if feed.auth_cookie is not None:
        _check_cookie(feed, feed.auth_cookie)


def _check_url(feed: ProtectedFeed) -> None:
    url = feed.auth_keys
    if url is None or "://" not in url:
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not host or "@" in parts.netloc or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        why = f"{shown(url)} is not the URL of a set of keys, without a password and a fragment"
        raise ConfigurationError(why, place=feed.place("auth_keys"))
    if parts.scheme != "https" and (parts.scheme != "http" or host not in _LOCAL):
        why = "keys that come without TLS may be anybody's: use https://"
        raise ConfigurationError(why, place=feed.place("auth_keys"))


def _check_cookie(feed: ProtectedFeed, cookie: str) -> None:
    if feed.auth_tokens is None and feed.auth_keys is None:
        why = "has no effect without auth_tokens or auth_keys, which say which tokens are good"
        raise ConfigurationError(why, place=feed.place("auth_cookie"))
    if not cookie.startswith(_COOKIE_PREFIXES):
        why = "the name of the cookie begins with __Secure- or __Host-, so that browsers send it with TLS alone"
        raise ConfigurationError(why, place=feed.place("auth_cookie"))
    wrong = next((each for each in feed.allow_origin if each in ("*", "null")), None)
    if wrong is not None:
        setting = "allow_origin" if "allow_origin" in feed.places else "auth_cookie"
        why = f"with a cookie, {wrong} would let pages of any site read the feed as their visitor: list the origins"
        why += ", such as allow_origin = ['https://www.example.org']"
        raise ConfigurationError(why, place=feed.place(setting))
