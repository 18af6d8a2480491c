"""The tokens and keys in use, by the file or URL that settings name; shared by all feeds of a process.

Rules: files are read where settings are read, all of them or none. Keys of a URL are fetched later, and those in use
stay until others have come. A worker reads and fetches nothing: its parent sends it hashes and public keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from livefeed.auth.tokens import MAX_FILE_BYTES, Tokens, read_tokens
from livefeed.exceptions import ConfigurationError, MissingExtraError
from livefeed.extras import needed_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from livefeed.auth.keys import KeySet
    from livefeed.config.settings import FeedSettings

_TOKENS, _KEYS = "tokens ", "keys "


def is_url(name: str | None) -> TypeGuard[str]:
    """Tells whether ``auth_keys`` names a URL, and not a file."""
    return name is not None and name.startswith(("https://", "http://"))


@dataclass(frozen=True, slots=True)
class Content:
    """Tokens and keys that were read.

    :ivar tokens: the tokens of each file.
    :ivar keys: the keys of each file, and of each URL that was fetched.
    :ivar urls: the URLs of keys.
    """

    tokens: Mapping[str, Tokens] = field(default_factory=dict)
    keys: Mapping[str, KeySet] = field(default_factory=dict)
    urls: frozenset[str] = frozenset()

    @classmethod
    def read(cls, feeds: Iterable[FeedSettings]) -> Content:
        """Reads all files that settings name. It may block.

        :raises ConfigurationError: if one cannot be used; the message names the place of the setting.
        """
        tokens: dict[str, Tokens] = {}
        keys: dict[str, KeySet] = {}
        urls = set()
        for feed in feeds:
            with feed.named():
                path = feed.auth_tokens
                if path is not None and str(path) not in tokens:
                    tokens[str(path)] = Tokens.parse(read_tokens(path), str(path))
                if is_url(feed.auth_keys):
                    urls.add(feed.auth_keys)
                    keys_of(None, feed.auth_keys)
                elif feed.auth_keys and feed.auth_keys not in keys:
                    found = keys_of(_read(feed.auth_keys), feed.auth_keys)
                    if found is not None:
                        keys[feed.auth_keys] = found
        return cls(tokens, keys, frozenset(urls))

    @classmethod
    def received(cls, feeds: Iterable[FeedSettings], payloads: Mapping[str, bytes]) -> Content:
        """Gives the content that a parent has sent; see :meth:`Material.payloads`.

        :raises ConfigurationError: if a part of it cannot be used.
        """
        tokens = {name: data for name, data in payloads.items() if name.startswith(_TOKENS)}
        keys = {name.removeprefix(_KEYS): keys_of(data, name) for name, data in payloads.items() if name not in tokens}
        return cls(
            {name.removeprefix(_TOKENS): Tokens.parse(data, name) for name, data in tokens.items()},
            {name: found for name, found in keys.items() if found is not None},
            frozenset(feed.auth_keys for feed in feeds if is_url(feed.auth_keys)),
        )


def keys_of(data: bytes | None, name: str) -> KeySet | None:
    """Gives the keys in a file, or in an answer; ``None`` without any data, after a look for the packages.

    :param name: the file or URL, for messages.
    :raises ConfigurationError: if there are none, or if a package is missing.
    """
    try:
        with needed_extra("auth", "a feed with signed tokens"):
            from livefeed.auth.keys import KeySet  # noqa: PLC0415 - an extra, which other feeds do not need
    except MissingExtraError as error:
        raise ConfigurationError(str(error), "auth_keys") from None
    return None if data is None else KeySet.parse(data, name)


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}", "auth_keys") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{path}: is larger than {MAX_FILE_BYTES} bytes", "auth_keys")
    return data


def _never(_url: str) -> bool:
    return False


@dataclass(eq=False)
class Material:
    """The tokens and keys in use.

    :ivar content: all of them.
    :ivar want_keys: has the keys of a URL fetched again, and tells whether they may come soon; the owner may set it.
    """

    content: Content = field(default_factory=Content)
    want_keys: Callable[[str], bool] = _never

    def take(self, content: Content) -> None:
        """Takes other tokens and keys. Keys of a URL that were fetched before stay."""
        before, keys = self.content.keys, dict(content.keys)
        for name, found in before.items():
            # The same object as before, by which checks are remembered.
            if (name in content.urls and name not in keys) or keys.get(name) == found:
                keys[name] = found
        self.content = Content(content.tokens, keys, content.urls)

    def take_keys(self, url: str, keys: KeySet) -> bool:
        """Takes the keys that were fetched from a URL, and tells whether they are others than before."""
        content = self.content
        if url not in content.urls or content.keys.get(url) == keys:
            return False
        self.content = Content(content.tokens, {**content.keys, url: keys}, content.urls)
        return True

    def payloads(self) -> dict[str, bytes]:
        """Gives everything for workers, by name: hashes of tokens, and public keys."""
        tokens = {_TOKENS + name: each.encoded() for name, each in self.content.tokens.items()}
        return tokens | {_KEYS + name: each.data for name, each in self.content.keys.items()}

    def tokens_of(self, settings: FeedSettings) -> Tokens:
        """Gives the tokens of a feed."""
        return self.content.tokens.get(str(settings.auth_tokens)) or Tokens()

    def keys_of(self, settings: FeedSettings) -> KeySet | None:
        """Gives the keys of a feed; ``None`` while there are none."""
        return self.content.keys.get(settings.auth_keys or "")
