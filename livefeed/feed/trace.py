"""When the last versions were pulled, checked, published and delivered, by the monotonic clock.

On Linux this clock is the same in all processes, so the times of a parent and of its workers can be compared.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from livefeed.document.snapshot import Snapshot

VERSIONS = 60
"""Number of versions whose times are remembered: as many as versions for patches, a minute of a busy feed."""


@dataclass(slots=True, eq=False)
class VersionTimes:
    """The times of one version, in seconds by the clock; ``None`` for a step that has not happened in this process.

    :ivar version: the version.
    :ivar sequence: its sequence.
    :ivar published_at: when it was published, for display: in seconds since 1970.
    :ivar asked_s: when the source was asked.
    :ivar pulled_s: when its document was there.
    :ivar checked_s: when the gate had accepted it.
    :ivar published_s: when it became the newest version.
    :ivar first_s: when the push to the first subscriber began.
    :ivar last_s: when the push to the last subscriber had ended; never for a version that a newer one has overtaken.
    :ivar subscribers: the number of subscribers then.
    """

    version: str
    sequence: str
    published_at: float
    published_s: float
    asked_s: float | None = None
    pulled_s: float | None = None
    checked_s: float | None = None
    first_s: float | None = None
    last_s: float | None = None
    subscribers: int = 0


@dataclass(frozen=True, slots=True)
class PullSteps:
    """The times of a pull; see :class:`VersionTimes`."""

    asked_s: float
    pulled_s: float
    checked_s: float


@dataclass(slots=True)
class Trace:
    """The times of the last versions of a feed."""

    _versions: deque[VersionTimes] = field(default_factory=lambda: deque(maxlen=VERSIONS))
    _pulled: tuple[Snapshot, PullSteps] | None = None  # the last new one; the snapshot is the newest one, or soon is

    def note_pulled(self, snapshot: Snapshot, steps: PullSteps | None) -> None:
        """Takes note of the pull of a version that is about to be published.

        :param steps: the times of the pull; ``None`` if the document is unchanged.
        """
        self._pulled = None if steps is None else (snapshot, steps)

    def note_published(self, snapshot: Snapshot, now_s: float, wall_s: float) -> VersionTimes:
        """Takes note of a new version.

        :param now_s: the time by the clock.
        :param wall_s: the time for display, in seconds since 1970.
        """
        times = VersionTimes(snapshot.version, str(snapshot.sequence), wall_s, now_s)
        pulled, self._pulled = self._pulled, None
        if pulled is not None and pulled[0] is snapshot:
            steps = pulled[1]
            times.asked_s, times.pulled_s, times.checked_s = steps.asked_s, steps.pulled_s, steps.checked_s
        self._versions.append(times)
        return times

    def changed_since(self, at_s: float) -> list[VersionTimes]:
        """Gives the versions whose times have changed since then, by the clock."""
        return [
            each
            for each in self._versions
            if max(each.published_s, each.first_s or each.published_s, each.last_s or each.published_s) >= at_s
        ]

    def published_between(self, after_s: float, until_s: float) -> list[VersionTimes]:
        """Gives the versions that were published after a time, and not after another, by the clock."""
        return [each for each in self._versions if after_s < each.published_s <= until_s]

    def find(self, name: str) -> list[VersionTimes]:
        """Gives the versions with a name, the oldest first.

        :param name: a version or its beginning, a sequence, or ``newest``.
        """
        if name == "newest":
            return list(self._versions)[-1:]
        return [each for each in self._versions if each.sequence == name or (name and each.version.startswith(name))]
