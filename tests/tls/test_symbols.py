"""The address of a function: of exported ones, of those that only the file names, and of files that are damaged."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

from cryptography.hazmat.bindings import _rust
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.tls import symbols
from livefeed.tls.symbols import DYNSYM, SYMTAB, ElfFile, UnknownFunctionError, address_of

LIBRARY = Path(_rust.__file__)
ANCHOR = "PyInit__rust"
CODE = b"code of the function"
TEXT_AT, TEXT_ADDRESS = 64, 0x1000


def elf(
    *functions: tuple[str, int, int, int, int], table: int = SYMTAB, entry: int = 24, link: int = 2, size: int = 64
) -> bytes:
    """Gives a small file: its code, a table of functions, and their names.

    :param functions: the name, kind, section, address and size of each.
    """
    names = b"\0" + b"".join(name.encode() + b"\0" for name, *_ in functions)
    rows = b""
    for name, kind, section, address, length in functions:
        rows += struct.pack("<IBxHQQ", names.index(name.encode() + b"\0"), kind, section, address, length)
    rows_at = TEXT_AT + len(CODE)
    names_at = rows_at + len(rows)
    sections = struct.pack("<4xI8xQQQI12xQ", 1, TEXT_ADDRESS, TEXT_AT, len(CODE), 0, 0)
    sections += struct.pack("<4xI8xQQQI12xQ", table, 0, rows_at, len(rows), link, entry)
    sections += struct.pack("<4xI8xQQQI12xQ", 3, 0, names_at, len(names), 0, 0)
    header = b"\x7fELF\x02\x01\x01".ljust(40, b"\0")
    header += struct.pack("<Q10xHHH", names_at + len(names), size, 3, 0)
    return header + CODE + rows + names + sections


GOOD = ("found", 2, 0, TEXT_ADDRESS + 5, 2)


class FileTests(SynchronousTestCase):
    """The tables in a file."""

    def refusal(self, data: bytes, name: str = "found") -> str:
        return str(self.assertRaises(UnknownFunctionError, lambda: ElfFile(data, "file").function(SYMTAB, name)))

    def test_function(self) -> None:
        """The address is the one in the file, with the bytes that belong to it."""
        file = ElfFile(elf(("other", 2, 0, TEXT_ADDRESS, 4), GOOD), "file")
        self.assertEqual(file.function(SYMTAB, "found"), (TEXT_ADDRESS + 5, b"of"))

    def test_functions_that_are_not_there(self) -> None:
        """Another name, another kind of table, a variable, or two functions with the name."""
        self.assertEqual(self.refusal(elf(GOOD), "foun"), "file has 0 functions with the name foun")
        self.assertIn("has 0 functions", self.refusal(elf(GOOD, table=DYNSYM)))
        self.assertIn("has 0 functions", self.refusal(elf(("found", 1, 0, TEXT_ADDRESS, 4))))
        self.assertIn("has 2 functions", self.refusal(elf(GOOD, GOOD)))

    def test_functions_without_their_bytes(self) -> None:
        """A function that another library has, and one that reaches beyond its section."""
        self.assertIn("has no bytes of found", self.refusal(elf(("found", 2, 0, 0, 0))))
        self.assertIn("has no bytes of found", self.refusal(elf(("found", 2, 3, TEXT_ADDRESS, 4))))
        for address, size in ((TEXT_ADDRESS - 1, 4), (TEXT_ADDRESS, len(CODE) + 1), (1 << 63, 4)):
            self.assertIn("outside of its section", self.refusal(elf(("found", 2, 0, address, size))))

    def test_other_files(self) -> None:
        """Files for another processor, and tables of another form."""
        self.assertIn("is not an ELF file of 64 bits", self.refusal(b"MZ" + bytes(100)))
        self.assertIn("has other sections than expected", self.refusal(elf(GOOD, size=40)))
        self.assertIn("has another table of symbols than expected", self.refusal(elf(GOOD, entry=16)))
        self.assertIn("has another table of symbols than expected", self.refusal(elf(GOOD, link=3)))

    @given(st.integers(0, len(elf(GOOD)) - 1), st.binary(min_size=1, max_size=8), st.booleans())
    @example(at=46, put=b"\x00\x80", cut=False)  # Sections that begin beyond what an offset of Python can be.
    def test_damaged_files(self, at: int, put: bytes, cut: bool) -> None:
        """No file raises any other error, and each answer has bytes of the file."""
        data = elf(GOOD)
        data = data[:at] + (b"" if cut else put + data[at + len(put) :])
        try:
            _, code = ElfFile(data, "file").function(SYMTAB, "found")
        except (UnknownFunctionError, struct.error, ValueError):
            return
        self.assertIn(code, data)


class AddressTests(SynchronousTestCase):
    """The address in this process."""

    def refusal(self, name: str = "SSL_CTX_ctrl", anchor: str = ANCHOR) -> str:
        return str(self.assertRaises(UnknownFunctionError, address_of, LIBRARY, name, anchor))

    def test_function_that_is_not_exported(self) -> None:
        """OpenSSL in the wheels of cryptography: code of this process has that address."""
        self.assertTrue(symbols._is_code(address_of(LIBRARY, "SSL_CTX_ctrl", ANCHOR), 1))

    def test_exported_function(self) -> None:
        """Its own, and that of a library that it uses, as of OpenSSL in packages of distributions."""
        for name in (ANCHOR, "malloc"):
            self.assertTrue(symbols._is_code(address_of(LIBRARY, name, ANCHOR), 1))

    def test_unknown_names(self) -> None:
        """The message has the file and the function."""
        self.assertEqual(self.refusal("no_such"), f"{LIBRARY.name} has 0 functions with the name no_such")
        self.assertEqual(self.refusal(anchor="no_such"), f"{LIBRARY.name} does not export no_such")

    def test_library_that_is_not_loaded(self) -> None:
        """It is not loaded for this."""
        with tempfile.TemporaryDirectory() as directory:
            copy = Path(directory) / "copy.so"
            copy.write_bytes(elf(GOOD))
            self.assertRaises(UnknownFunctionError, address_of, copy, "found", "found")

    def test_replaced_file(self) -> None:
        """An upgrade of the package while livefeed runs: nothing at a wrong address is read or called."""
        original = ElfFile.function

        def moved(self: ElfFile, table: int, name: str) -> tuple[int, bytes]:
            address, code = original(self, table, name)
            return (address, code) if table == DYNSYM else (address + 16, code)

        self.patch(ElfFile, "function", moved)
        self.assertEqual(self.refusal(), f"{LIBRARY.name} is not the file that is loaded")
        self.patch(ElfFile, "function", lambda self, *_: (0 if _[0] == DYNSYM else 1 << 46, b"code"))
        self.assertEqual(self.refusal(), f"{LIBRARY.name} is not the file that is loaded")

    def test_what_cannot_be_read(self) -> None:
        """No list of mappings, a file that is too large, and no ctypes."""
        self.patch(symbols, "MAPS", Path("/nonexistent"))
        self.assertIn("is not the file that is loaded", self.refusal())
        self.patch(symbols, "MAX_FILE_BYTES", 1)
        self.assertIn("is larger than 1 bytes", self.refusal())
        self.patch(symbols, "ctypes", None)
        self.assertEqual(self.refusal(), "ctypes cannot be loaded")

    def test_file_that_is_gone(self) -> None:
        """The package was removed while livefeed runs."""

        def missing(*_: object) -> None:
            raise FileNotFoundError(2, "No such file")

        self.patch(Path, "open", missing)
        self.assertIn("No such file", self.refusal())
