"""The folder of the last versions, and notifications about files.

Rule: nothing is read here.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.doctor.finding import BYTES_PER_MB, Finding, ok, size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs", "glusterfs", "fuse.sshfs", "fuse.glusterfs"})
"""File systems on another machine, whose calls wait as long as that machine does not answer."""

VOLATILE = frozenset({"tmpfs", "ramfs"})
"""File systems that are empty after the next boot."""

MIN_FREE_BYTES = 256 * BYTES_PER_MB
"""Free space below which a disk is nearly full. A night of a document of 100 KB takes some 50 MB."""

_STATE = "state folder"

SLOW_SYNC_S = 0.1
"""Seconds for which a publisher waits for the disk: a disk of rotating parts takes 0.02."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder for files that outlive the process.

    :ivar path: the folder.
    :ivar exists: whether it is there.
    :ivar filesystem: the kind of the file system; ``""`` if it is not known.
    :ivar free: free bytes for this user; ``None`` if that is not known.
    :ivar sync_s: seconds that it takes to write a block to the disk; ``None`` if it was not tried.
    :ivar error: why that was not possible; ``""`` if it was.
    """

    path: Path
    exists: bool = True
    filesystem: str = ""
    free: int | None = None
    sync_s: float | None = None
    error: str = ""


def check_state_folder(folder: Folder | None) -> Finding:
    """Checks the folder of ``--state-dir``.

    :param folder: ``None`` if none is set.
    """
    if folder is None:
        text = "none is set: the last versions and the decisions of operators end with the process"
        return Finding(_STATE, "note", text, "--state-dir /var/lib/livefeed")
    if not folder.exists:
        return ok(_STATE, f"{folder.path}: is made at the start")
    complaint = next(_complaints(folder), None)
    if complaint is not None:
        return complaint
    facts = [folder.filesystem or "there"]
    if folder.free is not None:
        facts.append(f"{size(folder.free)} free")
    if folder.sync_s is not None:
        facts.append(f"{folder.sync_s * 1000:.1f} ms to the disk")
    return ok(_STATE, f"{folder.path}: {', '.join(facts)}")


def _complaints(folder: Folder) -> Iterator[Finding]:
    """Gives everything that is wrong with a folder that exists, the worst first."""
    path, elsewhere = folder.path, "--state-dir, with a folder on a disk of this machine"
    if folder.error:
        mend = f"chown livefeed: {shlex.quote(str(path))}, or another --state-dir"
        yield Finding(_STATE, "problem", f"{path}: cannot be written to: {folder.error}", mend)
    if folder.filesystem in NETWORK:
        text = f"{path}: is on another machine ({folder.filesystem}), and writing waits for it"
        yield Finding(_STATE, "warning", text, elsewhere)
    if folder.filesystem in VOLATILE:
        yield Finding(_STATE, "warning", f"{path}: is in memory ({folder.filesystem}): lost at a boot", elsewhere)
    if folder.free is not None and folder.free < MIN_FREE_BYTES:
        mend = f"du -xh --max-depth=1 {shlex.quote(str(path))} | sort -h"
        yield Finding(_STATE, "warning", f"{path}: only {size(folder.free)} are free", mend)
    if folder.sync_s is not None and folder.sync_s > SLOW_SYNC_S:
        text = f"{path}: {folder.sync_s * 1000:.1f} ms to the disk: a publisher waits for as long"
        yield Finding(_STATE, "warning", text, elsewhere)


def check_runtime_folder(path: Path, process: int | None, unit: str | None) -> Finding:
    """Tells which livefeed is looked at. What is wrong with the folder is a problem of the settings.

    :param path: the runtime directory of the instance.
    :param process: the livefeed that runs as the instance; ``None`` if none does.
    :param unit: the unit of systemd that starts it; ``None`` if there is none.
    """
    if process is not None:
        return ok("runtime folder", f"{path}: process {process} runs, and its limits are shown")
    of_unit = "" if unit is None else f", and the limits of {unit} are shown"
    return ok("runtime folder", f"{path}: no livefeed runs{of_unit}")


@dataclass(frozen=True, slots=True)
class Notifications:
    """The kernel's notifications about files (inotify(7)).

    :ivar instances: the most objects of a user that receive them; ``None`` if that is not known.
    :ivar watches: the most folders that a user may watch.
    :ivar has_room: whether this user may have another such object; ``None`` if it was not tried.
    """

    instances: int | None = None
    watches: int | None = None
    has_room: bool | None = None


def check_notifications(found: Notifications, folders: int) -> Finding:
    """Checks that the kernel tells livefeed of files that have changed.

    :param folders: the number of folders of sources that are files.
    """
    subject = "inotify"
    if not folders:
        return ok(subject, "not needed: no source is a file")
    if found.has_room is False:
        count = "all" if found.instances is None else f"all {found.instances:,}"
        text = f"{count} instances of this user are taken: files are read at the next tick, not at once"
        return Finding(subject, "warning", text, "sysctl -w fs.inotify.max_user_instances=1024")
    if found.watches is not None and found.watches < folders:
        text = f"{found.watches:,} folders may be watched, and {folders:,} are needed"
        return Finding(subject, "warning", text, "sysctl -w fs.inotify.max_user_watches=65536")
    return ok(subject, f"{folders} of {found.watches or 0:,} folders watched" if found.watches else "works")
