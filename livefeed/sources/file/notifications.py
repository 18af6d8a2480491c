"""The kernel's notifications (inotify(7)) for all directories that the feeds of a process look out in.

One descriptor has all of them. With one for each feed, the kernel tells every feed of every file in its directory: 64
feeds with their files in one directory took twice as long for that as for all the rest.

Rule: no lock is held during a call that looks up a path, which may hang on a network file system.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary, ref

from twisted.internet import inotify
from twisted.internet.interfaces import IReadDescriptor
from twisted.python import _inotify
from twisted.python.filepath import FilePath
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorFDSet
    from twisted.python.failure import Failure

INotifyError = inotify.INotifyError
"""There is no room for another watch, or a directory cannot be watched."""

# A file has been written when its writer has closed it, or has put it in its place by rename.
WRITTEN = inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO
GONE = inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF | inotify.IN_UNMOUNT | inotify.IN_IGNORED
MASK = WRITTEN | inotify.IN_MODIFY | inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF | inotify.IN_ONLYDIR

READ_BYTES = 65_536
"""The largest number of bytes of events that are read at once: 2,000 events with short names, in 2 ms."""

_EVENT = struct.Struct("=iIII")
"""The head of an event: watch descriptor, mask, cookie, and the length of the name behind it."""

_NO_WATCH = -1
"""The watch descriptor of the event that reports lost events, which belongs to no directory."""


class Listener(Protocol):
    """An object that is told of the changes in directories, in the reactor's thread."""

    def happened(self, mask: int, *, is_it: bool) -> None:
        """Takes an event.

        :param mask: of the event.
        :param is_it: whether the event is about the name that the listener has given. If not, it is about the directory
            itself, or about another name in it, which the listener wants as well.
        """

    def lost(self) -> None:
        """Takes note that events were lost."""


@dataclass(frozen=True, slots=True, eq=False)
class Interest:
    """A name in a directory that a listener is interested in.

    :ivar wants_others: whether other names that are put in their place by rename matter as well.
    """

    listener: Listener
    watch: int
    name: bytes
    wants_others: bool


@dataclass(slots=True)
class _Directory:
    """The interests in one directory."""

    by_name: dict[bytes, list[Interest]] = field(default_factory=dict)
    all: list[Interest] = field(default_factory=list)
    in_others: list[Interest] = field(default_factory=list)

    def add(self, interest: Interest) -> None:
        self.by_name.setdefault(interest.name, []).append(interest)
        self.all.append(interest)
        if interest.wants_others:
            self.in_others.append(interest)

    def remove(self, interest: Interest) -> None:
        self.all.remove(interest)
        named = self.by_name[interest.name]
        named.remove(interest)
        if not named:
            del self.by_name[interest.name]
        if interest.wants_others:
            self.in_others.remove(interest)


@implementer(IReadDescriptor)
class Notifications:
    """The watches of one reactor. There is a descriptor while there are any.

    :meth:`add` and :meth:`discard` may be called in any thread. All other methods are for the reactor's thread.
    """

    def __init__(self, reactor: IReactorFDSet) -> None:
        # Weak, since the reactor is the key under which this object is found.
        self._reactor = ref(reactor)
        self._lock = Lock()
        self._fd = -1
        self._is_reading = False
        self._adding = 0  # the number of threads that are adding a watch, which must not be removed meanwhile
        self._directories: dict[int, _Directory] = {}  # by watch descriptor

    @classmethod
    def of(cls, reactor: IReactorFDSet) -> Notifications:
        """Gives the notifications of a reactor, always the same."""
        with _lock:
            found = _by_reactor.get(reactor)
            if found is None:
                found = _by_reactor[reactor] = cls(reactor)
            return found

    def add(self, path: str, name: str, listener: Listener, *, wants_others: bool) -> Interest:
        """Has a listener told of a name in a directory from now on. It may be called in any thread.

        Events that happen before it returns may be missed.

        :param path: of the directory.
        :param wants_others: whether other names matter as well if files are put in their place by rename.
        :raises INotifyError: if the kernel has no more watches, or there is no such directory.
        """
        with self._lock:
            if self._fd < 0:
                self._fd = _opened()
            self._adding += 1
        watch = None
        try:
            # For a directory that is watched already, the kernel gives the same number again.
            watch = _inotify.add(self._fd, FilePath(os.fsencode(path)), MASK)
            interest = Interest(listener, watch, os.fsencode(name), wants_others)
        finally:
            with self._lock:
                self._adding -= 1
                if watch is not None:
                    self._directories.setdefault(watch, _Directory()).add(interest)
                self._tidy()
        return interest

    def discard(self, interest: Interest) -> None:
        """Has a listener told no more. It may be called in any thread; a second call does nothing."""
        with self._lock:
            directory = self._directories.get(interest.watch)
            if directory is not None and interest in directory.all:
                directory.remove(interest)
            self._tidy()

    def read_or_not(self) -> None:
        """Begins to read events if there is a watch that nobody reads, and ends that if there is none any more."""
        reactor = self._reactor()
        if reactor is None:
            return
        with self._lock:
            is_used = bool(self._directories) or self._adding > 0
            if is_used and not self._is_reading:
                self._is_reading = True
                reactor.addReader(self)
            elif self._is_reading and not is_used:
                self._is_reading = False
                reactor.removeReader(self)
                self._tidy()

    def _tidy(self) -> None:
        """Removes the watches that nothing is interested in, unless a thread is just becoming so."""
        if self._adding:
            return
        for watch in [number for number, directory in self._directories.items() if not directory.all]:
            del self._directories[watch]
            _inotify.remove(self._fd, watch)
        if not self._directories and not self._is_reading:
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    # IReadDescriptor

    def fileno(self) -> int:
        """IFileDescriptor API."""
        return self._fd

    def logPrefix(self) -> str:
        """ILoggingContext API."""
        return "files"

    def connectionLost(self, reason: Failure) -> None:
        """IFileDescriptor API. The reactor ends."""
        with self._lock:
            self._is_reading = False
            self._directories.clear()
            self._close()

    def doRead(self) -> None:
        """IReadDescriptor API. Reads the events that have happened, and tells the listeners."""
        if self._fd < 0:
            return
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):  # the kernel gives whole events
            watch, mask, _, size = _EVENT.unpack_from(data, at)
            at += _EVENT.size + size
            self._happened(watch, mask, data[at - size : at].rstrip(b"\0"))

    def _happened(self, watch: int, mask: int, name: bytes) -> None:
        if watch == _NO_WATCH:
            with self._lock:
                every = [interest for directory in self._directories.values() for interest in directory.all]
            for interest in every:
                interest.listener.lost()
            return
        directory = self._directories.get(watch)
        if directory is None:  # the kernel confirms that a watch was removed
            return
        if mask & GONE:
            with self._lock:
                every = [*directory.all]
                if mask & inotify.IN_IGNORED:
                    # The kernel has removed the watch, and gives its number to no other.
                    del self._directories[watch]
            for interest in every:
                interest.listener.happened(mask, is_it=False)
            return
        for interest in tuple(directory.by_name.get(name, ())):
            interest.listener.happened(mask, is_it=True)
        if mask & inotify.IN_MOVED_TO and directory.in_others:
            for interest in [each for each in directory.in_others if each.name != name]:
                interest.listener.happened(mask, is_it=False)


_by_reactor: WeakKeyDictionary[IReactorFDSet, Notifications] = WeakKeyDictionary()
_lock = Lock()


def _opened() -> int:
    """Gives a new descriptor.

    :raises INotifyError: if there is no room for another.
    """
    fd = _inotify.init()
    os.set_blocking(fd, False)
    os.set_inheritable(fd, False)
    return fd
