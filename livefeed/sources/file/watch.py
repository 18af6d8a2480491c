"""The kernel's notifications about a file: inotify on the directories in which it can change.

Rule: nothing depends on them. A change that the kernel does not report is seen at the next tick.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet import inotify
from twisted.python.filepath import FilePath

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorFDSet

# A file has been written when its writer has closed it, or has put it in its place by rename.
_WRITTEN = inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO
_GONE = inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF | inotify.IN_UNMOUNT | inotify.IN_IGNORED
_MASK = _WRITTEN | inotify.IN_MODIFY | inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF | inotify.IN_ONLYDIR

_NO_WATCH = 0xFFFFFFFF
"""The watch descriptor of the event that reports lost events, which belongs to no directory (inotify(7),
IN_Q_OVERFLOW)."""


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
    _events: inotify.INotify | None = None
    _by_path: dict[bytes, Place] = field(default_factory=dict)

    def open(self) -> None:
        """Opens the kernel's watches, which collect events from then on.

        :raises INotifyError: if the kernel has no more watches, or a directory has been removed.
        """
        if not self.places:
            return
        self._events = events = inotify.INotify(self.reactor)
        try:
            for place in self.places:
                directory = FilePath(os.fsencode(place.path))
                self._by_path[directory.path] = place
                events.watch(directory, _MASK, callbacks=[self._happened])
        except BaseException:
            os.close(events.fileno())
            self._events = None
            raise
        # Twisted ignores events of watches that it does not know.
        events._watchpoints[_NO_WATCH] = inotify._Watch(directory, callbacks=[self._lost])  # noqa: SLF001

    def start(self) -> None:
        """Begins to report events."""
        if self._events is not None:
            self._events.startReading()

    def look(self) -> None:
        """Reads the kernel's pending events now, instead of waiting for the reactor."""
        if self._events is not None and self._events.connected:
            self._events.doRead()

    def close(self) -> None:
        """Ends the watch. A second call does nothing."""
        self.changed = _nothing
        if self._events is not None:
            self._events.loseConnection()

    def _happened(self, _: object, path: FilePath[bytes], mask: int) -> None:
        if mask & _GONE:
            self.is_over, self.is_writing = True, False
            return
        place = self._by_path[path.dirname()]
        is_it = path.basename() == os.fsencode(place.name)
        if is_it and not mask & inotify.IN_MOVED_TO:
            self.writes += 1
            self.is_writing = bool(mask & inotify.IN_MODIFY)
        if mask & _WRITTEN and (is_it or (place.has_link and mask & inotify.IN_MOVED_TO)):
            self.is_writing = False
            self.changed()

    def _lost(self, _: object, __: object, ___: int) -> None:
        self.is_writing = False
        self.changed()


def _nothing() -> None:
    pass
