"""The file of a Unix socket: taken over from a process that was killed, and from no other."""

from __future__ import annotations

import errno
import os
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from zope.interface import implementer

if TYPE_CHECKING:
    from pathlib import Path


@implementer(IStreamServerEndpoint)
@dataclass(frozen=True, slots=True)
class SocketFileEndpoint:
    """Listens on a Unix socket, and takes its file over if no process accepts connections on it any more.

    A killed process leaves the file behind, and a lock that contains the process id. In a container the ids repeat: the
    lock then seems to be held by a running process, which can be the new one itself.

    :ivar endpoint: listens, once the file is out of the way.
    :ivar path: the path of the file.
    """

    endpoint: IStreamServerEndpoint
    path: Path

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """IStreamServerEndpoint API."""
        return execute(self._make_room).addCallback(lambda _: self.endpoint.listen(protocolFactory))

    def _make_room(self) -> None:
        lock = self.path.with_name(f"{self.path.name}.lock")
        try:
            if not stat.S_ISSOCK(self.path.lstat().st_mode):
                other = OSError(errno.EADDRINUSE, "there is something else by this name, which is no socket")
                raise CannotListenError(None, self.path, other)
            is_accepting = _is_accepting(self.path)
        except FileNotFoundError:
            _unlink_own_lock(lock)
            return
        except OSError:
            return  # such as a socket of another kind, or of another user
        if is_accepting:
            in_use = OSError(errno.EADDRINUSE, "another process accepts connections on this socket")
            raise CannotListenError(None, self.path, in_use)
        # The socket of a process that starts at the same moment looks the same between its bind(2) and its listen(2).
        # That takes microseconds, and two processes on one path are a mistake anyway.
        self.path.unlink(missing_ok=True)
        if lock.is_symlink():
            lock.unlink(missing_ok=True)


def _is_accepting(path: Path) -> bool:
    """Tells whether a process listens on a socket, also one whose queue is full.

    :raises OSError: if that cannot be determined.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True
    return True


def _unlink_own_lock(lock: Path) -> None:
    """Removes a lock without a socket that contains the id of this process, which has not locked anything yet."""
    try:
        if str(lock.readlink()) == str(os.getpid()):
            lock.unlink(missing_ok=True)
    except OSError:
        return
