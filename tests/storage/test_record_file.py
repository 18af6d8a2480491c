"""A file of records that is cut anywhere, or of which any byte is changed, never gives a wrong document."""

from __future__ import annotations

import os
import shutil
import tempfile
from io import BytesIO
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.recording import (
    MAX_LINE_BYTES,
    TooLargeError,
    encode_beginning,
    encode_end,
    encode_state,
    encode_version,
)
from livefeed.document.stored_version import DamagedRecordError, NewerFormatError
from livefeed.storage.record_file import Cursor, Ending, Entry, open_regular

AT = 1_700_000_000.25

DOCUMENTS = [
    b'{"votes": [1, 2, 3], "of": "a document with some text in it, so that splices are shorter"}',
    b'{"votes": [1, 2, 4], "of": "a document with some text in it, so that splices are shorter"}',
    b'{"votes": [1, 9, 4], "of": "a document with some text in it, so that splices are shorter"}',
    b'{"other": "%b"}' % (b"x" * 300),
    b'{"other": "%b!"}' % (b"x" * 300),
]


def records() -> list[bytes]:
    """Gives the records of a small recording."""
    record, place = encode_beginning(AT, feed="results")
    made = [record]
    for number, data in enumerate(DOCUMENTS):
        record, place = encode_version(place, data, 1.5)
        made.append(record)
        if number == 2:
            record, place = encode_state(place, "stale", 0.5)
            made.append(record)
    made.append(encode_end(place, 1.0)[0])
    return made


RECORDS = records()
WHOLE = b"".join(RECORDS)


def read(data: bytes, *, passes_over: bool = False) -> tuple[list[Entry], Ending | None]:
    """Gives the entries of a file up to its end or its damage, and its end; ``None`` if it is damaged."""
    cursor = Cursor(BytesIO(data))
    entries = []
    try:
        while (entry := cursor.next(passes_over=passes_over)) is not None:
            entries.append(entry)
    except (DamagedRecordError, NewerFormatError):
        return entries, None
    return entries, cursor.ending


def documents(entries: list[Entry]) -> list[bytes]:
    """Gives the documents of entries."""
    return [entry.data for entry in entries if entry.data is not None]


class CursorTests(SynchronousTestCase):
    """Reading forwards."""

    def test_whole(self) -> None:
        """All records come in their order, with their times and numbers."""
        entries, ending = read(WHOLE)
        self.assertEqual(documents(entries), DOCUMENTS)
        self.assertIs(ending, Ending.COMPLETE)
        kinds = [entry.head.kind for entry in entries]
        self.assertEqual(kinds, ["beginning", "whole", "splices", "splices", "state", "whole", "splices", "end"])
        self.assertEqual([entry.number for entry in entries], [0, 1, 2, 3, 3, 4, 5, 5])
        self.assertEqual([entry.elapsed_s for entry in entries], [0, 1.5, 3.0, 4.5, 5.0, 6.5, 8.0, 9.0])
        self.assertEqual(entries[-1].at, AT + 9.0)
        self.assertEqual(entries[1].offset, len(RECORDS[0]))

    def test_passed_over(self) -> None:
        """Without the documents, the same records are there."""
        entries, ending = read(WHOLE, passes_over=True)
        self.assertEqual([entry.head for entry in entries], [entry.head for entry in read(WHOLE)[0]])
        self.assertEqual(documents(entries), [])
        self.assertIs(ending, Ending.COMPLETE)

    def test_cut_anywhere(self) -> None:
        """The documents before the cut are there, and no other; the end says that something may be missing."""
        ends = [sum(map(len, RECORDS[:count])) for count in range(len(RECORDS) + 1)]
        for passes_over in (False, True):
            for size in range(len(WHOLE)):
                entries, ending = read(WHOLE[:size], passes_over=passes_over)
                self.assertEqual(len(entries), sum(end <= size for end in ends) - 1)
                self.assertIs(ending, Ending.OPEN if size in ends else Ending.TORN, size)
                if not passes_over:
                    found = documents(entries)
                    self.assertEqual(found, DOCUMENTS[: len(found)])

    def test_any_byte_changed(self) -> None:
        """The documents before the change are there, and it is found."""
        for position in range(len(WHOLE)):
            for bit in (1, 2, 0x20, 0x80, WHOLE[position] or 0xFF):
                changed = bytearray(WHOLE)
                changed[position] ^= bit
                entries, ending = read(bytes(changed))
                self.assertIsNot(ending, Ending.COMPLETE, (position, bit))
                found = documents(entries)
                self.assertEqual(found, DOCUMENTS[: len(found)])
                self.assertLessEqual(sum(map(len, RECORDS[: len(entries)])), position)

    @given(
        st.lists(
            st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 40), st.binary(max_size=40)), min_size=1, max_size=4
        )
    )
    @settings(max_examples=300, deadline=None)
    def test_any_change(self, changes: list[tuple[int, int, bytes]]) -> None:
        """Whatever is cut out and put in, the documents are the first ones of the recording."""
        data = WHOLE
        for position, removed, added in changes:
            data = data[:position] + added + data[position + removed :]
        entries, ending = read(data)
        found = documents(entries)
        self.assertEqual(found, DOCUMENTS[: len(found)])
        self.assertEqual(ending is Ending.COMPLETE, data == WHOLE)

    def test_records_of_a_crash(self) -> None:
        """Zeros at the end are what a loss of power leaves, and count as an incomplete record."""
        for size in (len(RECORDS[0]), len(RECORDS[0]) + 20, len(RECORDS[0]) + len(RECORDS[1]) - 10):
            entries, ending = read(WHOLE[:size] + b"\0" * 100)
            self.assertEqual((len(entries), ending), (1, Ending.TORN))
            entries, ending = read(WHOLE[:size] + b"\0" * 2 * MAX_LINE_BYTES)
            self.assertEqual((len(entries), ending), (1, Ending.TORN))

    def test_more_after_the_end(self) -> None:
        """Nothing may follow the record of the end."""
        for more in (b"\n", b"\0", b"0" * 10, RECORDS[-1], b"x" * 2 * MAX_LINE_BYTES):
            entries, ending = read(WHOLE + more)
            self.assertEqual((len(entries), ending), (len(RECORDS), None))

    def test_no_recording(self) -> None:
        """Other files are told from an incomplete recording; an empty one is none."""
        for data in (b'{"votes": 1}', b'{"votes": 1}\n', b"\x00\xff" * 5000, b"a" * 2 * MAX_LINE_BYTES):
            self.assertRaises(DamagedRecordError, Cursor(BytesIO(data + b"x")).next)
        self.assertEqual(read(b""), ([], Ending.OPEN))

    def test_newer_format(self) -> None:
        """It is told from damage, also if its lines are longer."""
        newer = RECORDS[0].replace(b'"format":2', b'"format":3')
        self.assertRaises(NewerFormatError, Cursor(BytesIO(newer)).next)
        newer = newer.replace(b"results", b"x" * 2 * MAX_LINE_BYTES)
        self.assertRaises(NewerFormatError, Cursor(BytesIO(newer)).next)

    def test_growing(self) -> None:
        """At the end of a file that is being written, the next call finds what has come meanwhile."""
        file = BytesIO()
        cursor = Cursor(file)
        found = []
        for position in range(0, len(WHOLE), 7):
            file.seek(0, os.SEEK_END)
            file.write(WHOLE[position : position + 7])
            while (entry := cursor.next()) is not None:
                found.append(entry)
        self.assertEqual(documents(found), DOCUMENTS)
        self.assertIs(cursor.ending, Ending.COMPLETE)

    def test_large_documents(self) -> None:
        """A document that is too large is passed over, or an error."""
        cursor = Cursor(BytesIO(WHOLE), len(DOCUMENTS[0]) - 1)
        cursor.next()
        entry = cursor.next()
        assert entry is not None
        self.assertEqual((entry.head.kind, entry.data), ("whole", None))
        cursor = Cursor(BytesIO(WHOLE), len(DOCUMENTS[0]) - 1)
        cursor.next()
        self.assertRaises(TooLargeError, cursor.next, refuses_large=True)


class OpeningTests(SynchronousTestCase):
    """Files that are opened."""

    def test_regular_files(self) -> None:
        """A pipe or a folder is refused at once."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        os.mkfifo(folder / "pipe")
        for path in (folder, folder / "pipe", folder / "missing"):
            self.assertRaises(OSError, open_regular, path)
        (folder / "file").write_bytes(b"[]")
        with open_regular(folder / "file") as file:
            self.assertEqual(file.read(), b"[]")
