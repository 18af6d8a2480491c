"""The versions that a process has seen: their content, their times, and how late watchers had them.

Equal content is recognised by a comparison, which costs a tenth of a microsecond for 4 KB: a version is hashed once per
process, and not once per watcher.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from livefeed.client.items import version_of
from livefeed.document.pointer import index_of, unescape

if TYPE_CHECKING:
    from livefeed.load.answers import Head
    from livefeed.load.figures import Figures

MAX_VERSIONS = 64
"""The number of versions that are remembered, as many as a server of livefeed remembers for deltas."""

MAX_COMPARED = 4
"""The number of the newest versions that a content is compared with before it is hashed."""

MAX_WAITING = 100_000
"""The number of deliveries of a version whose time is not known yet that are remembered."""

_VERSION = re.compile(r'(?:W/)?"([0-9a-f]{32})(?:-[a-z]+)?"')
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]{44}):")
_MILLISECONDS = 1e11
"""Numbers above are times in milliseconds since 1970, others in seconds: 1e11 s is the year 5138."""


@dataclass(slots=True, eq=False)
class Version:
    """One version.

    :ivar name: its identity: the version of a feed, or any entity tag.
    :ivar content: its bytes; ``None`` while no watcher was sent them.
    :ivar at_ns: when the server had it, in nanoseconds since 1970; ``None`` while that is not known.
    :ivar is_named: whether the server has named it.
    :ivar is_checked: whether the content was found to be that of the name.
    :ivar waiting: the deliveries before the time was known: the figures, and when.
    :ivar unnamed: the figures of each delivery before the server had named the version.
    """

    name: str
    content: bytes | None = None
    at_ns: int | None = None
    is_named: bool = False
    is_checked: bool = False
    waiting: list[tuple[Figures, int]] = field(default_factory=list)
    unnamed: list[Figures] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Documents:
    """The newest versions.

    :param clock_offset_ns: the time by which the clock of the server is ahead of this machine's.
    :param time_pointer: the JSON Pointer to a time in the document; ``None`` for none.
    """

    # required parameters
    clock_offset_ns: int = 0
    time_pointer: str | None = None

    # internal state
    _versions: OrderedDict[str, Version] = field(default_factory=OrderedDict)
    _recent: list[Version] = field(default_factory=list)

    def named(self, name: str) -> Version:
        """Gives the version with a name that the server has told."""
        version = self._get(name)
        version.is_named = True
        for figures in version.unnamed:
            figures.verified += 1
        version.unnamed.clear()
        return version

    def of(self, content: bytes) -> Version:
        """Gives the version with a content, by the hash that a feed has as its version."""
        for version in self._recent:
            if version.content == content:
                return version
        return self.keep(self._get(version_of(content)), content)

    def keep(self, version: Version, content: bytes) -> Version:
        """Remembers the content of a version."""
        if version.content is None:
            version.content = content
            self._recent.insert(0, version)
            del self._recent[MAX_COMPARED:]
            if self.time_pointer is not None:
                self.learn(version, time_in(content, self.time_pointer))
        return version

    def learn(self, version: Version, at_ns: int | None) -> None:
        """Is told when the server had a version; the earliest time counts, since a later one is a confirmation."""
        if at_ns is None or (version.at_ns is not None and version.at_ns <= at_ns):
            return
        version.at_ns = at_ns
        for figures, received_ns in version.waiting:
            figures.delay.add(received_ns + self.clock_offset_ns - at_ns)
        version.waiting.clear()

    def delivered(self, version: Version, figures: Figures) -> None:
        """Counts a delivery to a watcher that had another version."""
        figures.deliveries += 1
        now_ns = time.time_ns()
        if version.at_ns is not None:
            figures.delay.add(now_ns + self.clock_offset_ns - version.at_ns)
        elif len(version.waiting) < MAX_WAITING:
            version.waiting.append((figures, now_ns))

    def verify(self, version: Version, figures: Figures) -> None:
        """Counts a document whose version is its hash: it is right if the server names that version, now or later."""
        if version.is_named:
            figures.verified += 1
        elif len(version.unnamed) < MAX_WAITING:
            version.unnamed.append(figures)
        else:
            figures.unverified += 1

    def close(self) -> None:
        """Counts the documents whose versions the server has not named."""
        for version in self._versions.values():
            _give_up(version)

    def _get(self, name: str) -> Version:
        version = self._versions.get(name)
        if version is None:
            version = self._versions[name] = Version(name)
            if len(self._versions) > MAX_VERSIONS:
                _give_up(self._versions.popitem(last=False)[1])
        return version


def _give_up(version: Version) -> None:
    for figures in version.unnamed:
        figures.unverified += 1
    version.unnamed.clear()


def name_in(head: Head) -> str | None:
    """Gives the version that an answer names: that of a feed, or its entity tag; ``None`` if it has neither."""
    return head.text(b"livefeed-version") or head.text(b"etag")


def is_right(head: Head, content: bytes) -> bool | None:
    """Compares the content of an answer with what the answer says about it.

    The digest of RFC 9530 counts, which is that of the content as it is sent; without one, the version of a feed, if
    the content is not coded.

    :returns: whether they agree; ``None`` if the answer says nothing.
    """
    if found := _DIGEST.search(head.text(b"repr-digest") or ""):
        return base64.b64encode(hashlib.sha256(content).digest()).decode() == found[1]
    version = head.text(b"livefeed-version")
    if version is None and (tag := _VERSION.fullmatch(head.text(b"etag") or "")):
        version = tag[1]
    if version is None or head.field(b"content-encoding") is not None:
        return None
    return version_of(content) == version


def nanoseconds_of(text: object) -> int | None:
    """Gives a time of RFC 3339, or a number of seconds or milliseconds since 1970, in nanoseconds since 1970.

    :returns: whole milliseconds; ``None`` for anything else.
    """
    try:
        if isinstance(text, str):
            at = datetime.fromisoformat(text)
            return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000) * 1_000_000
        if isinstance(text, int | float) and not isinstance(text, bool):
            return round(text if text > _MILLISECONDS else text * 1000) * 1_000_000
    except (ValueError, OverflowError):
        return None
    return None


def time_in(content: bytes, pointer: str) -> int | None:
    """Gives the time at a pointer in a document, in nanoseconds since 1970; ``None`` if there is none."""
    try:
        value: Any = json.loads(content)
        for segment in pointer.split("/")[1:]:
            token = unescape(segment)
            value = value[index_of(token) if isinstance(value, list) else token]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return nanoseconds_of(value)
