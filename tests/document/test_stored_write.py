"""The record of a write, and what is not one."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.stored_version import DamagedRecordError, NewerFormatError
from livefeed.document.stored_write import BEGINNING, MAX_LINE_BYTES, MAX_MARK, ReadHead, StoredWrite


def read(record: bytes) -> StoredWrite:
    """Reads a record."""
    line, _, rest = record.partition(b"\n")
    return ReadHead.parse(line).write(rest[:-1])


class StoredWriteTests(SynchronousTestCase):
    """Records."""

    def test_read_back(self) -> None:
        """A write has the same number, time and bytes when it is read; a deletion has no document."""
        for data in (b"{}", b'{"a":\n1}\n', None):
            write = StoredWrite.of(data, 7, 1_700_000_000.25)
            self.assertEqual(read(write.record()), write)
            self.assertTrue(BEGINNING.match(write.record()))
        self.assertNotIn(b"mark", StoredWrite.of(b"{}", 7, 1.0).record())  # as earlier livefeeds have written it
        marked = StoredWrite.of(b"{}", 7, 1.0, "x" * MAX_MARK)
        self.assertEqual(read(marked.record()), marked)
        longest = StoredWrite.of(b" " * 1000, 2**63, 1_700_000_000.123456, "x" * MAX_MARK)
        self.assertLess(len(longest.record().partition(b"\n")[0]), MAX_LINE_BYTES)

    def test_changed(self) -> None:
        """A change of any byte of the line or of the document is found."""
        record = StoredWrite.of(b'{"a": 1}', 3, 5.0).record()
        for position in range(len(record) - 1):
            changed = record[:position] + bytes([record[position] ^ 1]) + record[position + 1 :]
            with self.assertRaises((DamagedRecordError, NewerFormatError), msg=position):
                read(changed)

    def test_impossible_heads(self) -> None:
        """Heads that no livefeed has written are refused before their document is read."""
        for head in (
            b"",
            b'{"version":"a","number":0,"at":1,"bytes":1}',
            b'{"version":"a","number":1,"at":1,"bytes":0}',
            b'{"version":"","number":1,"at":1,"bytes":1}',
            b'{"version":"a","number":1,"at":1,"bytes":-1}',
            b'{"version":"a","number":1,"at":1}',
            b'{"version":"\xff","number":1,"at":1,"bytes":1}',
        ):
            with self.assertRaises(DamagedRecordError, msg=head):
                ReadHead.parse(b"0" * 32 + b" " + head)

    def test_formats(self) -> None:
        """A greater number of the format is told from damage, and members that nobody knows are passed over."""
        record = StoredWrite.of(b"1", 3, 5.0).record()
        with self.assertRaises(NewerFormatError) as raised:
            read(record.replace(b'"format":1', b'"format":12'))
        self.assertEqual(raised.exception.format, 12)
        line = b'{"version":"a","format":1,"more":[1],"number":1,"at":1,"bytes":1}'
        self.assertEqual(ReadHead.parse(b"0" * 32 + b" " + line).head.number, 1)
