"""A disk that can lose power: records the calls of a store, and gives what the disk may have after each of them.

The model is that of POSIX: bytes and sizes survive once their file is synced, and names once their folder is. Until
then, each of them may survive or not, bytes also in part, in any order, or as zeros.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livefeed.storage.files import SystemFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Call = tuple[Any, ...]


@dataclass
class RecordingFiles(SystemFiles):
    """The calls of the system, which are written down.

    :ivar calls: the calls so far: ``open`` with name and file, ``write`` with file, offset and bytes, ``truncate`` with
        file and size, ``sync`` with file, ``rename`` with both names, and ``sync_folder``.
    """

    calls: list[Call] = field(default_factory=list)
    _names: dict[str, int] = field(default_factory=dict)
    _of_fd: dict[int, int] = field(default_factory=dict)
    _count: int = 0

    def open(self, path: Path) -> int:
        if path.name not in self._names:
            self._count += 1
            self._names[path.name] = self._count
            self.calls.append(("open", path.name, self._count))
        fd = super().open(path)
        self._of_fd[fd] = self._names[path.name]
        return fd

    def write(self, fd: int, pieces: Iterable[bytes], offset: int) -> int:
        listed = list(pieces)
        start = offset
        for piece in listed:
            self.calls.append(("write", self._of_fd[fd], offset, piece))
            offset += len(piece)
        return super().write(fd, listed, start)

    def truncate(self, fd: int, size: int) -> None:
        self.calls.append(("truncate", self._of_fd[fd], size))
        super().truncate(fd, size)

    def sync(self, fd: int) -> None:
        self.calls.append(("sync", self._of_fd[fd]))

    def rename(self, old: Path, new: Path) -> None:
        self.calls.append(("rename", old.name, new.name))
        self._names[new.name] = self._names.pop(old.name)
        super().rename(old, new)

    def sync_folder(self, path: Path) -> None:
        self.calls.append(("sync_folder",))


@dataclass
class Disk:
    """The bytes that the disk has for certain, and the changes since, which may be there or not."""

    files: dict[int, bytes] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    changes: dict[int, list[Call]] = field(default_factory=dict)  # by file
    renames: list[Call] = field(default_factory=list)  # and new names

    def do(self, call: Call) -> None:
        """Takes a call."""
        match call:
            case ("open", _, file):
                self.files.setdefault(file, b"")
                self.renames.append(call)
            case ("write" | "truncate", file, *_):
                self.changes.setdefault(file, []).append(call)
            case ("sync", file):
                for each in self.changes.pop(file, []):
                    self.files[file] = changed(self.files[file], each)
            case ("rename", *_):
                self.renames.append(call)
            case ("sync_folder",):
                for each in self.renames:
                    rename(self.names, each)
                self.renames.clear()

    def images(self) -> Iterator[dict[str, bytes]]:
        """Gives what the disk may have after a loss of power: the contents of the files, by their names."""
        for count in range(len(self.renames) + 1):
            names = dict(self.names)
            for each in self.renames[:count]:
                rename(names, each)
            for survivors in self._survivors():
                yield {name: survivors[file] for name, file in names.items()}

    def _survivors(self) -> Iterator[dict[int, bytes]]:
        yield dict(self.files)  # nothing that was not synced
        longest = max((len(each) for each in self.changes.values()), default=0)
        for kept in range(1, longest + 1):
            yield {file: self._with(file, self.changes.get(file, [])[:kept]) for file in self.files}
            yield {file: self._with(file, torn(self.changes.get(file, [])[:kept])) for file in self.files}
            yield {file: self._with(file, self.changes.get(file, [])[-kept:]) for file in self.files}
            yield {file: self._with(file, zeros(self.changes.get(file, [])[:kept])) for file in self.files}

    def _with(self, file: int, changes: list[Call]) -> bytes:
        data = self.files[file]
        for each in changes:
            data = changed(data, each)
        return data


def changed(data: bytes, call: Call) -> bytes:
    """Gives the bytes of a file after a write or a truncation. A gap is filled with zeros."""
    if call[0] == "truncate":
        size = int(call[2])
        return data[:size].ljust(size, b"\0")
    offset, piece = int(call[2]), bytes(call[3])
    return data[:offset].ljust(offset, b"\0") + piece + data[offset + len(piece) :]


def torn(calls: list[Call]) -> list[Call]:
    """Gives calls of which the last write is half done."""
    if not calls or calls[-1][0] != "write":
        return calls
    kind, file, offset, piece = calls[-1]
    return [*calls[:-1], (kind, file, offset, piece[: len(piece) // 2])]


def zeros(calls: list[Call]) -> list[Call]:
    """Gives calls of which the last write has changed the size of the file alone."""
    if not calls or calls[-1][0] != "write":
        return calls
    kind, file, offset, piece = calls[-1]
    return [*calls[:-1], (kind, file, offset, bytes(len(piece)))]


def rename(names: dict[str, int], call: Call) -> None:
    """Changes the names of a folder."""
    if call[0] == "open":
        names[call[1]] = call[2]
    else:
        names[call[2]] = names.pop(call[1])


@dataclass
class RefusingFiles(SystemFiles):
    """The calls of the system, some of which fail.

    :ivar refusals: the error numbers by the names of the calls; each fails until its entry is removed.
    :ivar written: the number of bytes that a write takes before it fails.
    """

    refusals: dict[str, int] = field(default_factory=dict)
    written: int = 0

    def _maybe_refuse(self, name: str) -> None:
        if name in self.refusals:
            raise OSError(self.refusals[name], os.strerror(self.refusals[name]))

    def open(self, path: Path) -> int:
        self._maybe_refuse("open")
        return super().open(path)

    def write(self, fd: int, pieces: Iterable[bytes], offset: int) -> int:
        listed = list(pieces)
        if "write" in self.refusals:
            super().write(fd, [b"".join(listed)[: self.written]], offset)
        self._maybe_refuse("write")
        return super().write(fd, listed, offset)

    def truncate(self, fd: int, size: int) -> None:
        self._maybe_refuse("truncate")
        super().truncate(fd, size)

    def sync(self, fd: int) -> None:
        self._maybe_refuse("sync")
        super().sync(fd)

    def rename(self, old: Path, new: Path) -> None:
        self._maybe_refuse("rename")
        super().rename(old, new)

    def sync_folder(self, path: Path) -> None:
        self._maybe_refuse("sync_folder")
        super().sync_folder(path)
