"""The earlier versions of a feed that can be shown again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from livefeed.clocks import Moment
from livefeed.document.history import VERSIONS
from livefeed.document.snapshot import version_of
from livefeed.exceptions import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from livefeed.document.snapshot import Snapshot
    from livefeed.document.stored_version import StoredVersion
    from livefeed.feed.feed import Feed

MIN_PREFIX = 6
"""The smallest number of characters by which a version is named."""


@dataclass(frozen=True, slots=True)
class Found:
    """An earlier version.

    :ivar version: the version.
    :ivar data: its document.
    :ivar at: when it was published or stored.
    :ivar passed: the number of versions that were passed over on the way back to it.
    """

    version: str
    data: bytes
    at: Moment
    passed: int = 0


class Past(Protocol):
    """Another place that has earlier versions."""

    async def find(self, name: str) -> Sequence[Found]:
        """Gives the versions that begin like a name, the newest first; none if there are none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A version that watchers were shown.

    :ivar sequence: its first sequence.
    :ivar at: when it was published.
    """

    version: str
    sequence: str
    at: Moment


@dataclass(slots=True)
class Archive:
    """The last versions that watchers were shown, in their order, and further places that have earlier ones.

    A version that an operator has chosen again keeps its place: to go back twice goes back two versions. The versions
    behind it are passed over from then on: to go back never leads to a version from which somebody has gone back.

    :param feed: has the documents of the last versions.
    :param now: gives the present time by both clocks.
    :ivar others: the places that are asked if the feed does not have the version.
    """

    # required parameters
    feed: Feed
    now: Callable[[], Moment]
    others: Sequence[Past] = ()

    # internal state
    _entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=VERSIONS + 1))
    _passed: set[str] = field(default_factory=set)  # versions from which somebody has gone back

    def note(self, snapshot: Snapshot) -> None:
        """Takes note of a version that a pull gave, and that is shown. The one before may be the same."""
        if not self._entries or self._entries[-1].version != snapshot.version:
            self._add(Entry(snapshot.version, str(snapshot.sequence), self.now()))
        elif snapshot.version in self._passed:
            # The choice of an earlier version was taken back: everything is as before.
            self._passed.clear()

    def choose(self, version: str) -> None:
        """Takes note of an earlier version that an operator has chosen, because those behind it are wrong."""
        versions = [each.version for each in self._entries]
        self._passed.intersection_update(versions)
        if version in versions:
            last = len(versions) - 1 - versions[::-1].index(version)
            self._passed.update(versions[last + 1 :])
            self._passed.discard(version)

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._passed.discard(entry.version)

    def recall(self, versions: Iterable[StoredVersion]) -> None:
        """Takes the versions of an earlier process, the oldest first.

        One that comes again counts as chosen by an operator, since the file does not tell.
        """
        now = self.now()
        for each in versions:
            at = Moment(now.measured_s - max(0.0, now.wall_s - each.at), each.at, by_wall=True)
            version = version_of(each.data)
            self.choose(version)
            self._add(Entry(version, str(each.sequence), at))

    def recent(self) -> list[Entry]:
        """Gives the versions that can be shown again at once, the newest first; each once."""
        found: dict[str, Entry] = {}
        for each in reversed(self._entries):
            if each.version not in found and self._document(each.version) is not None:
                found[each.version] = each
        return [*found.values()]

    def before(self, version: str) -> Found:
        """Gives the version that was shown before another one, without those that are passed over.

        :raises CommandError: if there is none.
        """
        entries = [*self._entries]
        places = [place for place, each in enumerate(entries) if each.version == version]
        passed: set[str] = set()
        # A version that was chosen from elsewhere has no place: the newest one was shown before it.
        for each in reversed(entries[: places[-1]] if places else entries):
            data = self._document(each.version)
            if each.version == version or data is None:
                continue
            if each.version not in self._passed:
                return Found(each.version, data, each.at, len(passed))
            passed.add(each.version)
        raise CommandError(
            "there is no earlier version to go back to; `livefeed ctl desk` lists those that there are, and "
            "`livefeed ctl withdraw` shows none at all"
        )

    async def find(self, name: str) -> Found:
        """Gives the version of a name.

        :param name: the version, its first characters, or its sequence.
        :raises CommandError: if there is none, or if several versions begin like this.
        """
        if name == self.feed.name:
            raise CommandError(
                f"a version is missing: `livefeed ctl pin {name} VERSION`; `livefeed ctl desk` lists them"
            )
        if len(name) < MIN_PREFIX:
            raise CommandError(f"{name!r} names no version: give {MIN_PREFIX} of its characters, or its sequence")
        known = {each.version: each for each in self.recent() if each.sequence == name or each.version.startswith(name)}
        found = [Found(each.version, self._document(each.version) or b"", each.at) for each in known.values()]
        for other in self.others:
            found += [each for each in await other.find(name) if each.version not in {one.version for one in found}]
        if not found:
            raise CommandError(
                f"there is no version {name}, or not any more; `livefeed ctl desk` lists those that there are"
            )
        if len(found) > 1:
            raise CommandError(f"{len(found)} versions begin with {name}; give more characters")
        return found[0]

    def _document(self, version: str) -> bytes | None:
        newest = self.feed.snapshot
        if newest is not None and newest.version == version:
            return newest.data
        return self.feed.history.document(version)
