"""The address of a function in a library that is loaded, also if the library keeps the name of the function to itself.

The wheels of cryptography contain OpenSSL, and export none of its functions. The names stand in the file nevertheless,
in the table that debuggers read. Packages of distributions use the OpenSSL of the system, which exports its functions.

Rule: an address is given only if the memory there has the bytes that the file has for this function.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# ctypes cannot be loaded everywhere: it may need memory that is writable and executable.
try:
    import ctypes
except (ImportError, MemoryError):
    ctypes = None  # type: ignore[assignment]

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Upper limit of the bytes of a library. That of cryptography has 14 MB."""

MAX_SECTIONS, MAX_SYMBOLS = 1024, 1_000_000
"""Upper limits of the entries in the tables of a library. That of cryptography has 34 sections and 36,000 symbols."""

# The gABI of ELF, chapters 4 and 5: 64 bits, little-endian, as on x86-64 and AArch64.
_IDENTITY = b"\x7fELF\x02\x01\x01"
_HEADER = struct.Struct("<40xQ10xHHH")  # offset of the section headers; size, number, and the section with their names
_SECTION = struct.Struct("<4xI8xQQQI12xQ")  # type, address, offset, size, linked section, size of an entry
_SYMBOL = struct.Struct("<IBxHQQ")  # offset of the name, kind, section, address, size
SYMTAB, DYNSYM = 2, 11
"""The kinds of tables: of all functions, which debuggers read, and of those that are exported."""

_FUNC = 2

MAPS = Path("/proc/self/maps")
_CODE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r.x", re.MULTILINE)


class UnknownFunctionError(Exception):
    """The address of a function cannot be found; the message has the reason."""


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    address: int
    offset: int
    size: int
    link: int
    entry: int


def address_of(library: Path, name: str, anchor: str) -> int:
    """Gives the address of a function in this process.

    :param library: the file of a library that is loaded.
    :param name: the function.
    :param anchor: a function that the library exports.
    :raises UnknownFunctionError: if the address cannot be found.
    """
    if ctypes is None:
        raise UnknownFunctionError("ctypes cannot be loaded")
    try:
        # Only if it is loaded already: a second OpenSSL would be of no use. The search includes the libraries it uses.
        loaded = ctypes.CDLL(str(library), mode=os.RTLD_NOW | os.RTLD_NOLOAD)
        exported = _pointer(loaded, name)
        anchored = _pointer(loaded, anchor)
    except OSError as error:
        raise UnknownFunctionError(str(error)) from None
    if exported is not None:
        return exported
    if anchored is None:
        raise UnknownFunctionError(f"{library.name} does not export {anchor}")
    try:
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if len(data) > MAX_FILE_BYTES:
                raise UnknownFunctionError(f"{library.name} is larger than {MAX_FILE_BYTES} bytes")
            elf = ElfFile(data, library.name)
            begin, _ = elf.function(DYNSYM, anchor)
            at, code = elf.function(SYMTAB, name)
    except (OSError, ValueError, struct.error) as error:
        raise UnknownFunctionError(f"{library.name}: {error}") from None
    address = anchored - begin + at
    # Code that does not depend on its address is the same in memory. It differs if the file was replaced meanwhile.
    if not _is_code(address, len(code)) or ctypes.string_at(address, len(code)) != code:
        raise UnknownFunctionError(f"{library.name} is not the file that is loaded")
    return address


def _pointer(loaded: ctypes.CDLL, name: str) -> int | None:
    try:
        return ctypes.cast(loaded[name], ctypes.c_void_p).value
    except AttributeError:
        return None


def _is_code(address: int, size: int) -> bool:
    """Tells whether this process has code at an address. Reading elsewhere could end it."""
    try:
        maps = MAPS.read_text()
    except OSError:
        return False
    ranges = ((int(found[1], 16), int(found[2], 16)) for found in _CODE.finditer(maps))
    return any(begin <= address and address + size <= end for begin, end in ranges)


class ElfFile:
    """The tables of functions in a library's file.

    :param data: its bytes.
    :param name: its name, for messages.
    :raises UnknownFunctionError: if it is not such a file.
    :raises struct.error: if it is cut off.
    """

    def __init__(self, data: mmap.mmap | bytes, name: str) -> None:
        if data[: len(_IDENTITY)] != _IDENTITY:
            raise UnknownFunctionError(f"{name} is not an ELF file of 64 bits, little-endian")
        self._data = data
        self._name = name
        at, size, count, _ = _HEADER.unpack_from(data)
        if size != _SECTION.size or count > MAX_SECTIONS:
            raise UnknownFunctionError(f"{name} has other sections than expected")
        if at + count * size > len(data):
            raise UnknownFunctionError(f"{name} is cut off")
        self._sections = [_Section(*_SECTION.unpack_from(data, at + index * size)) for index in range(count)]

    def function(self, table: int, name: str) -> tuple[int, bytes]:
        """Gives the address of a function, as it stands in the file, and its bytes.

        :param table: the kind of table to look into: :data:`SYMTAB` or :data:`DYNSYM`.
        :raises UnknownFunctionError: if the table does not have it exactly once, with all its bytes.
        :raises struct.error: if the file is cut off.
        """
        found = [each for section in self._sections if section.kind == table for each in self._find(section, name)]
        if len(found) != 1:
            raise UnknownFunctionError(f"{self._name} has {len(found)} functions with the name {name}")
        ((number, address, size),) = found
        if not size or number >= len(self._sections):
            raise UnknownFunctionError(f"{self._name} has no bytes of {name}")
        section = self._sections[number]
        begin = section.offset + address - section.address
        code = self._data[begin : begin + size]
        if not section.address <= address <= address + size <= section.address + section.size or len(code) != size:
            raise UnknownFunctionError(f"{self._name} has {name} outside of its section")
        return address, code

    def _find(self, table: _Section, name: str) -> Iterator[tuple[int, int, int]]:
        """Gives the number of the section, the address and the size of each function of a name."""
        if table.entry != _SYMBOL.size or table.size > MAX_SYMBOLS * _SYMBOL.size or table.link >= len(self._sections):
            raise UnknownFunctionError(f"{self._name} has another table of symbols than expected")
        names = self._sections[table.link]
        at = self._data.find(b"\0%b\0" % name.encode(), names.offset, names.offset + names.size)
        if at < 0:
            return
        wanted = at + 1 - names.offset
        for offset, kind, number, address, size in _SYMBOL.iter_unpack(
            self._data[table.offset : table.offset + table.size]
        ):
            if offset == wanted and kind & 0xF == _FUNC:
                yield number, address, size
