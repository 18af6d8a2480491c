"""Notifications of the kernel about a file: inotify on the directories in which it can change.

Rule: nothing depends on it. A change that it does not report is seen at the next tick.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet import inotify
from twisted.python.filepath import FilePath

if TYPE_CHECKING:
    from collections.abc import Callable

# A file that was written is one that its writer has closed, or put in its place by rename.
_WRITTEN = inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO
_GONE = inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF | inotify.IN_UNMOUNT | inotify.IN_IGNORED
_MASK = _WRITTEN | inotify.IN_MODIFY | inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF | inotify.IN_ONLYDIR

_NO_WATCH = 0xFFFFFFFF
"""The descriptor of what belongs to no directory: events that were lost (inotify(7), IN_Q_OVERFLOW)."""


@dataclass(frozen=True, slots=True)
class Place:
    """A directory in which the file can change.

    :ivar device: with *inode* the directory itself, whatever its path leads to later.
    :ivar name: the name in it that matters.
    :ivar has_link: whether it matters as well what else is put into it, since the path is a link that may lead there.
    """

    path: str
    device: int
    inode: int
    name: str
    has_link: bool


def places_of(path: str) -> tuple[Place, ...]:
    """Gives the directories of a path: its own, and where it is a link, that of the file it leads to.

    A link may lead over any name beside it: in a ConfigMap of Kubernetes it is ``..data`` that is replaced. A
    directory that is not there is left out.
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
    """Looks out in some directories.

    It is made in any thread, since looking for a directory may take long; all else belongs to the reactor's.

    :ivar changed: called when the file was written, or may have been.
    :ivar is_over: whether a directory is not what it was, so that another watch must be made.
    :ivar is_writing: whether somebody has written to the file and not closed it.
    :ivar writes: how often that has happened.
    """

    # required parameters
    reactor: Any
    places: tuple[Place, ...]
    changed: Callable[[], None]

    # internal state
    is_over: bool = False
    is_writing: bool = False
    writes: int = 0
    _events: inotify.INotify | None = None
    _by_path: dict[bytes, Place] = field(default_factory=dict)

    def open(self) -> None:
        """Begins to look out.

        :raises INotifyError: if the kernel has no more to give, or a directory has gone meanwhile.
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
        # Twisted passes over what it has no watch for.
        events._watchpoints[_NO_WATCH] = inotify._Watch(directory, callbacks=[self._lost])  # noqa: SLF001

    def start(self) -> None:
        """Begins to tell."""
        if self._events is not None:
            self._events.startReading()

    def look(self) -> None:
        """Takes note of what the kernel has to tell now, and does not wait for the reactor to do so."""
        if self._events is not None and self._events.connected:
            self._events.doRead()

    def close(self) -> None:
        """Ends it. Doing so twice is no error."""
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
