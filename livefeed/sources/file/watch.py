"""The kernel's notifications about a file: inotify on the directories in which it can change.

Rule: nothing depends on them. A change that the kernel does not report is seen at the next tick.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet import inotify

from livefeed.sources.file.notifications import GONE, WRITTEN, INotifyError, Notifications

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorFDSet

    from livefeed.sources.file.notifications import Interest


@dataclass(frozen=True, slots=True)
class Place:
    """A directory in which the file can change.

    :ivar device: together with *inode*, identifies the directory even if its path leads elsewhere later.
    :ivar name: the name of the file in the directory.
    :ivar has_link: whether other names in the directory matter as well, since the path is a link that may lead to them.
    """

    path: str
    device: int
    inode: int
    name: str
    has_link: bool


def places_of(path: str) -> tuple[Place, ...]:
    """Gives the directories of a path: its own and, if it is a link, that of the target.

    A link may lead through any name in its directory: in a ConfigMap of Kubernetes, ``..data`` is replaced. A missing
    directory is left out.
    """
    found: dict[tuple[int, int], Place] = {}
    for each, is_link in ((path, os.path.islink(path)), (os.path.realpath(path), False)):
        directory, name = os.path.split(each)
        try:
            status = os.stat(directory)
        except OSError:
            continue
        key = status.st_dev, status.st_ino
        found[key] = Place(directory, *key, name, has_link=is_link or (key in found and found[key].has_link))
    return tuple(found.values())


def is_still_at(places: tuple[Place, ...], path: str) -> bool:
    """Tells whether places are still the directories of a path, if two calls of the system can tell.

    That is so for a file that is no link, whose directory is the one that was found. To find all directories again
    takes five times as long.
    """
    directory, name = os.path.split(path)
    if len(places) != 1 or places[0].has_link or places[0].name != name:
        return False
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            return False
    except FileNotFoundError:
        pass  # a file that is not there is no link
    except OSError:
        return False
    try:
        status = os.stat(directory)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (places[0].device, places[0].inode)


@dataclass(eq=False, slots=True)
class FileWatch:
    """Watches some directories.

    It may be opened in any thread, since looking up a directory may take long. All other methods are for the reactor's
    thread.

    :ivar changed: called when the file has been written, or may have been.
    :ivar is_over: whether a directory has been removed or replaced, so that another watch must be made.
    :ivar is_writing: whether a program has written to the file and not closed it yet.
    :ivar writes: number of events about writes.
    """

    # required parameters
    reactor: IReactorFDSet
    places: tuple[Place, ...]
    changed: Callable[[], None]

    # internal state
    is_over: bool = False
    is_writing: bool = False
    writes: int = 0
    _notifications: Notifications = field(init=False)
    _interests: list[Interest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._notifications = Notifications.of(self.reactor)

    def open(self) -> None:
        """Opens the kernel's watches, whose events count from then on.

        :raises INotifyError: if the kernel has no more watches, or a directory has been removed. None is open then.
        """
        add = self._notifications.add
        try:
            for place in self.places:
                self._interests.append(add(place.path, place.name, self, wants_others=place.has_link))
        except INotifyError:
            self._discard()
            raise

    def start(self) -> None:
        """Begins to report events."""
        self._notifications.read_or_not()

    def look(self) -> None:
        """Reads the kernel's pending events now, instead of waiting for the reactor."""
        self._notifications.doRead()

    def close(self) -> None:
        """Ends the watch. A second call does nothing."""
        self.changed = _nothing
        self._discard()
        self._notifications.read_or_not()

    def _discard(self) -> None:
        interests, self._interests = self._interests, []
        for each in interests:
            self._notifications.discard(each)

    def happened(self, mask: int, *, is_it: bool) -> None:
        """Listener API."""
        if mask & GONE:
            self.is_over, self.is_writing = True, False
            return
        if is_it and not mask & inotify.IN_MOVED_TO:
            self.writes += 1
            self.is_writing = bool(mask & inotify.IN_MODIFY)
        if mask & WRITTEN:
            self.is_writing = False
            self.changed()

    def lost(self) -> None:
        """Listener API."""
        self.is_writing = False
        self.changed()


def _nothing() -> None:
    pass
