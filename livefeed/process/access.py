"""The tokens and keys of protected feeds, as a part of a reload: their files are read again, changed or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.auth.material import Content
from livefeed.process.reload import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from livefeed.auth.material import Material
    from livefeed.config.settings import FeedSettings, Settings


class CheckedFeed(Protocol):
    """A feed whose subscriptions may have tokens."""

    def check_access(self) -> None:
        """Ends the subscriptions whose tokens are revoked."""


@dataclass(frozen=True, slots=True)
class _PreparedAccess:
    """Tokens and keys that were read and checked."""

    part: ReloadedAccess
    content: Content

    def changes(self) -> list[Change]:
        """Prepared API. One for each file that has other tokens or keys, by their number."""
        before = self.part.material.content
        changes: list[Change] = []
        for kind, old, new in (
            ("tokens", before.tokens, self.content.tokens),
            ("keys", before.keys, self.content.keys),
        ):
            for name in sorted(old.keys() & new.keys()):
                if old[name] != new[name]:
                    counts = [f"{len(each[name])} {kind}" for each in (old, new)]
                    changes.append(Change(f"{kind} of {name}", *counts))
        return changes

    def commit(self) -> None:
        """Prepared API."""
        self.part.material.take(self.content)
        self.part.check()

    def abandon(self) -> None:
        """Prepared API."""


@dataclass(eq=False)
class ReloadedAccess:
    """The tokens and keys of all feeds, as a part of a reload.

    A process without workers, and a parent, read the files in a thread, by :meth:`look`, before the reload. A worker
    is given them by its parent.

    :ivar material: the tokens and keys in use.
    :ivar feeds: the feeds; read again at each use.
    :ivar given: the tokens and keys that a parent has sent; ``None`` in a process that reads them.
    """

    # required parameters
    material: Material
    feeds: Iterable[CheckedFeed]

    # internal state
    given: Mapping[str, bytes] | None = None
    names: frozenset[str] = frozenset()
    _looked: tuple[list[Any], Content] | None = field(default=None)

    def look(self, settings: Settings) -> None:
        """Reads and checks the files for settings that :meth:`prepare` is given next. It may block.

        :raises ConfigurationError: if one cannot be used.
        """
        self._looked = None
        self._looked = _named(settings.feeds), Content.read(settings.feeds)

    def prepare(self, _before: Settings, after: Settings) -> _PreparedAccess:
        """Reloadable API."""
        looked, self._looked = self._looked, None
        if self.given is not None:
            return _PreparedAccess(self, Content.received(after.feeds, self.given))
        is_same = looked is not None and looked[0] == _named(after.feeds)
        return _PreparedAccess(self, looked[1] if looked is not None and is_same else Content.read(after.feeds))

    def check(self) -> None:
        """Ends the subscriptions whose tokens are revoked."""
        for feed in self.feeds:
            feed.check_access()


def _named(feeds: Iterable[FeedSettings]) -> list[Any]:
    """Gives the files and URLs that settings name."""
    return [(feed.auth_tokens, feed.auth_keys) for feed in feeds]
