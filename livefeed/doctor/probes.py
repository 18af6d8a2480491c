"""Readings that are no files: short calls to the kernel and to OpenSSL, which leave nothing behind.

Rule: nothing is judged here.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from OpenSSL import SSL

from livefeed.doctor.folders import Folder
from livefeed.doctor.machine import Unit, free_bytes
from livefeed.doctor.tls import OpenSSL
from livefeed.exceptions import ConfigurationError
from livefeed.tls.openssl import TICKET_KEYS_BYTES, direct_calls, ticket_key_calls
from livefeed.tls.options import require_callbacks
from livefeed.tls.symbols import UnknownFunctionError

if TYPE_CHECKING:
    from livefeed.doctor.machine import Machine

SYNCS = 3
"""Writes to the disk that are measured; the fastest of them counts, since other programs write, too."""

UNIT = "livefeed.service"
"""The name of the unit in the documentation."""

SYSTEMD = Path("/run/systemd/system")
"""The folder that is there if systemd runs the machine (sd_booted(3))."""

UNIT_S = 2.0
"""Seconds for the question about the unit. It takes some milliseconds."""

_PROPERTIES = ("LoadState", "LimitNOFILE", "AmbientCapabilities", "User", "Environment")

BLOCK = b"\0" * 4096
_TIMEX_BYTES = 512  # struct timex has 208, with places for more
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised

# ctypes cannot be loaded everywhere: it may need memory that is writable and executable.
try:
    import ctypes
except (ImportError, MemoryError):
    ctypes = None  # type: ignore[assignment]


def has_epoll() -> bool:
    """Tells whether the system has epoll(7), which the fast transport needs."""
    return hasattr(select, "epoll")


def is_synchronised() -> bool | None:
    """Tells whether the kernel's clock is synchronised (adjtimex(2)); ``None`` if the system does not tell."""
    try:
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (AttributeError, OSError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def has_notifications() -> bool | None:
    """Tells whether this user may have another object for notifications of files; ``None`` if the system has none."""
    if not sys.platform.startswith("linux"):
        return None
    # Imported here: it loads the C library's functions.
    from twisted.python import _inotify  # noqa: PLC0415

    try:
        descriptor = _inotify.init()
    except _inotify.INotifyError:
        return False
    os.close(descriptor)
    return True


def read_unit(name: str = UNIT, machine_runs: Path = SYSTEMD) -> Unit | None:
    """Gives the unit of systemd that starts livefeed; ``None`` if there is none.

    :param name: its name.
    :param machine_runs: the folder that is there if systemd runs the machine.
    """
    if not machine_runs.is_dir():
        return None
    command = ["systemctl", "show", "--property", ",".join(_PROPERTIES), "--", name]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=UNIT_S)  # noqa: S603 - no part is foreign
    except (OSError, subprocess.SubprocessError):
        return None
    return Unit.of(name, done.stdout.decode("utf-8", "replace"))


def read_folder(path: Path, machine: Machine) -> Folder:
    """Gives the facts about a folder, with the time that a write to its disk takes.

    The file that is written has no name (``O_TMPFILE`` of open(2)), and is gone at the end. On file systems without
    such files nothing is written.
    """
    if not path.exists():
        return Folder(path, exists=False)
    kind, free = machine.filesystem(path.resolve()), free_bytes(path)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except (AttributeError, IsADirectoryError):
        return Folder(path, filesystem=kind, free=free)
    except OSError as error:
        said = "" if error.errno == errno.EOPNOTSUPP else error.strerror or str(error)
        return Folder(path, filesystem=kind, free=free, error=said)
    try:
        took = []
        for _ in range(SYNCS):
            begun = time.perf_counter()
            os.pwrite(descriptor, BLOCK, 0)
            os.fsync(descriptor)
            took.append(time.perf_counter() - begun)
    except OSError as error:
        return Folder(path, filesystem=kind, free=free, error=error.strerror or str(error))
    finally:
        os.close(descriptor)
    return Folder(path, filesystem=kind, free=free, sync_s=min(took))


def read_openssl() -> OpenSSL:
    """Gives the abilities of the OpenSSL that livefeed uses."""
    version = " ".join(SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii", "replace").split()[:2])
    shares = ""
    has_callbacks = True
    try:
        require_callbacks("listen")
    except ConfigurationError:
        has_callbacks = False
    try:
        if not ticket_key_calls().set_keys(SSL.Context(SSL.TLS_METHOD), os.urandom(TICKET_KEYS_BYTES)):
            shares = "it refuses the key"
    except UnknownFunctionError as error:
        shares = str(error)
    is_direct = False
    with suppress(Exception):  # a library that has changed may raise anything
        is_direct = direct_calls() is not None
    return OpenSSL(version, is_direct=is_direct, shares_tickets=shares, has_callbacks=has_callbacks)
