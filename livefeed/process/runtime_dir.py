"""The runtime directory of an instance: where it is, and the lock that belongs to one process at a time.

Rule: this file does not import Twisted, because ``livefeed ctl`` finds the operator's socket with it, and must start
fast.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from livefeed.exceptions import RuntimeDirError

if TYPE_CHECKING:
    from collections.abc import Mapping

ADMIN_SOCKET = "admin.sock"
"""The name of the operator's socket in the runtime directory."""

DEFAULT_INSTANCE = "default"

MAX_SOCKET_PATH_BYTES = 107
"""The longest path of a Unix socket in bytes: ``sun_path`` has 108, with a zero at its end (unix(7))."""

LONGEST_NAME_BYTES = 24
"""Bytes that are left for the name of a socket in the runtime directory, with the slash before it."""

LOCK_FORMAT = 1
"""The number of the format of the lock's text, which is the id of the process on the first line, and then this number.

The lock itself is that of the kernel, in any format; the text only names its holder.
"""

LOCK = "lock"
"""The name of the file in the runtime directory that the process has locked."""

_MAX_LOCK_BYTES = 64


@dataclass(frozen=True, slots=True)
class RuntimeDir:
    """A runtime directory, as this process has found it.

    :ivar path: the folder.
    :ivar is_ours: whether this process holds its lock. Only then may it make sockets there.
    :ivar lock: the descriptor of the lock, open as long as the process holds it; -1 without a lock. Another process
        that is passed the descriptor holds the lock as well.
    :ivar why_not: why the folder is not ours; ``""`` if it is.
    :ivar is_taken: whether it is not ours because another process holds the lock.
    """

    path: Path
    is_ours: bool
    lock: int = -1
    why_not: str = ""
    is_taken: bool = False

    def sign(self) -> None:
        """Writes the id of this process into the lock that it holds, for messages about it.

        :raises OSError: if the system refuses.
        """
        if self.lock >= 0:
            text = b"%d\nformat %d\n" % (os.getpid(), LOCK_FORMAT)
            # Over the old text: that needs no space on a disk that is full.
            os.pwrite(self.lock, text, 0)
            os.ftruncate(self.lock, len(text))

    def release(self) -> None:
        """Gives the lock up, if this process holds it."""
        if self.lock >= 0:
            with suppress(OSError):
                os.close(self.lock)


def base_dirs(environment: Mapping[str, str], uid: int) -> list[Path]:
    """Gives the folders in which instances may have their runtime directories; the default one is the first.

    :param environment: all variables. The service manager sets ``RUNTIME_DIRECTORY``, a login ``XDG_RUNTIME_DIR``.
    :param uid: the effective user of the process.
    """
    bases = []
    given = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given.startswith("/"):
        bases.append(Path(given))
    if uid == 0:
        bases.append(Path("/run/livefeed"))
    session = environment.get("XDG_RUNTIME_DIR", "")
    if session.startswith("/"):
        bases.append(Path(session) / "livefeed")
    bases.append(Path(f"/tmp/livefeed-{uid}"))  # noqa: S108 - its owner is checked
    return bases


def default_runtime_dir(environment: Mapping[str, str], uid: int, instance: str) -> Path:
    """Gives the runtime directory of an instance, unless the operator has set another.

    :param environment: all variables.
    :param uid: the effective user of the process.
    :param instance: the name of the instance.
    """
    return base_dirs(environment, uid)[0] / instance


def check_length(path: Path) -> None:
    """Checks that the paths of sockets in a runtime directory are not too long for the system.

    :raises RuntimeDirError: if they are.
    """
    most = MAX_SOCKET_PATH_BYTES - LONGEST_NAME_BYTES
    length = len(os.fsencode(path))
    if length > most:
        raise RuntimeDirError(
            f"{path}: the path has {length} bytes, and {most} at most, since the path of a Unix socket has "
            f"{MAX_SOCKET_PATH_BYTES} at most; set a shorter --runtime-dir"
        )


def claim(path: Path, group: int | None = None) -> RuntimeDir:
    """Makes a runtime directory if it does not exist, checks it, and takes its lock unless another process has it.

    A missing parent is made, too.

    :param path: the folder.
    :param group: the number of the group whose members may reach the sockets in it; ``None`` for none.
    :raises RuntimeDirError: if the folder cannot be made, belongs to another user, or can be changed by others.
    """
    check_length(path)
    try:
        _make(path.parent, 0o755 if os.geteuid() == 0 else 0o700)
        _check_parent(path.parent)
        _make(path, 0o700)
        _check(path)
        if group is not None:
            os.chown(path, -1, group)
            path.chmod(0o710)
        return _lock(path)
    except OSError as error:
        raise RuntimeDirError(f"{error.filename or path}: {error.strerror}") from None


def inspect(path: Path) -> None:
    """Checks a runtime directory as far as it exists, without making anything.

    :raises RuntimeDirError: if it could not be claimed.
    """
    check_length(path)
    try:
        if not path.parent.exists():
            if not os.access(path.parent.parent, os.W_OK | os.X_OK):
                raise RuntimeDirError(f"{path.parent}: cannot be made, or the folder above it is missing")
            return
        _check_parent(path.parent)
        if os.path.lexists(path):
            _check(path)
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            raise RuntimeDirError(f"{path}: Permission denied")
    except OSError as error:
        raise RuntimeDirError(f"{error.filename or path}: {error.strerror}") from None


def _make(path: Path, mode: int) -> None:
    with suppress(FileExistsError):
        path.mkdir(mode)


def _check_parent(path: Path) -> None:
    """Checks that no other user can put another folder in the place of one below *path*, except root."""
    # The link itself, too: in /tmp, any user could have made it.
    for found in (path.lstat(), path.stat()):
        if found.st_uid not in (0, os.geteuid()):
            raise RuntimeDirError(_about_owner(path, found.st_uid))
    # The group of the user is often the user's own; members of others are strangers.
    may_write = found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid()))
    if may_write and not found.st_mode & stat.S_ISVTX:
        raise RuntimeDirError(f"{path}: other users may rename what is in it; `chmod go-w {path}` forbids it")


def _check(path: Path) -> None:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise RuntimeDirError(f"{path}: is a symbolic link, which may have been made by another user; remove it")
    if not stat.S_ISDIR(found.st_mode):
        raise RuntimeDirError(f"{path}: there is a file where the runtime directory should be")
    if found.st_uid != os.geteuid():
        raise RuntimeDirError(_about_owner(path, found.st_uid))
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RuntimeDirError(f"{path}: other users may write to it; `chmod go-w {path}` forbids it")


def _about_owner(path: Path, uid: int) -> str:
    return f"{path}: belongs to the user {uid}, and livefeed runs as {os.geteuid()}; set another --runtime-dir"


def _lock(path: Path) -> RuntimeDir:
    # O_NOFOLLOW is of no use against other users, who cannot write here, but against a mistaken link.
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, _MAX_LOCK_BYTES, 0).decode("ascii", "replace").partition("\n")[0]
        os.close(descriptor)
        whose = f" (process {holder})" if holder.isdecimal() else ""
        return RuntimeDir(path, is_ours=False, why_not=f"another livefeed uses {path}{whose}", is_taken=True)
    except BaseException:
        os.close(descriptor)
        raise
    directory = RuntimeDir(path, is_ours=True, lock=descriptor)
    directory.sign()
    return directory
