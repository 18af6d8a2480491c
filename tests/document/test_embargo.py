"""The record of something that is to happen at a time, and what is not one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.embargo import MAX_TEXT, Embargo, Kind, read_records
from livefeed.document.snapshot import version_of
from livefeed.document.stored_version import NewerFormatError
from livefeed.document.stored_write import record_hash

ONE = Embargo("0a1b", 1_800_000_000.5, 1_700_000_000.0, "anna", "21:30", b'{"a":\n1}', ("*",), ("0" * 32,))
OTHER = Embargo("2c3d", 1_800_000_001.0, 1_700_000_000.0, "token@127.0.0.1")


class RecordTests(SynchronousTestCase):
    """Records."""

    def test_read_back(self) -> None:
        """All members are the same when they are read."""
        failed = ONE.fail("x" * 1000)
        self.assertEqual(len(failed.failed), MAX_TEXT)
        every = [ONE, OTHER, failed]
        self.assertEqual(read_records(b"".join(each.record() for each in every)), (every, False))
        self.assertEqual(read_records(b""), ([], False))
        self.assertEqual(((ONE.kind, ONE.size), (OTHER.kind, OTHER.size)), ((Kind.PUBLISH, 8), (Kind.RELEASE, 0)))

    def test_changed(self) -> None:
        """A change of any byte is found, never gives another document, and leaves the other records whole."""
        records = ONE.record() + OTHER.record()
        for position in range(len(records)):
            changed = records[:position] + bytes([records[position] ^ 1]) + records[position + 1 :]
            try:
                found, is_damaged = read_records(changed)
            except NewerFormatError:
                continue
            self.assertTrue(is_damaged, position)
            self.assertTrue(set(found) < {ONE, OTHER}, position)
            if position != len(ONE.record()) - 1:  # the end of one and the beginning of the other
                self.assertEqual(found, [OTHER] if position < len(ONE.record()) else [ONE], position)

    def test_cut(self) -> None:
        """A file that ends early is damaged, and gives the records that are whole."""
        records = ONE.record() + OTHER.record()
        for size in range(1, len(records)):
            found, is_damaged = read_records(records[:size])
            whole = [ONE] if size >= len(ONE.record()) else []
            self.assertEqual((found, is_damaged), (whole, size != len(ONE.record())), size)

    def test_bytes_in_between(self) -> None:
        """They are damage."""
        for data in (b"x\n" + ONE.record(), ONE.record() + b"x\n" + OTHER.record()):
            self.assertTrue(read_records(data)[1])

    def test_impossible_heads(self) -> None:
        """Heads that no livefeed has written are no records."""
        for head in (b'{"version":""}', b'{"version":"\xff"}', b'{"version":', ONE.record()[33:].partition(b"\n")[0]):
            for document in (b"", b"1"):
                line = b"%b %b\n%b\n" % (record_hash(head, document), head, document)
                self.assertEqual(read_records(line), ([], True))

    def test_newer_format(self) -> None:
        """It is refused, since it may mean something else."""
        with self.assertRaises(NewerFormatError):
            read_records(ONE.record().replace(b'"format":1', b'"format":2'))

    def test_unknown_member(self) -> None:
        """It is passed over."""
        head = ONE.record()[33:].partition(b"\n")[0][:-1] + b',"more":1}'
        data = ONE.data or b""
        self.assertEqual(read_records(b"%b %b\n%b\n" % (record_hash(head, data), head, data)), ([ONE], False))

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        """They are never read as a record."""
        self.assertEqual(read_records(data)[0], [])


class ConditionTests(SynchronousTestCase):
    """Conditions, which are checked at the time."""

    def test_conditions(self) -> None:
        """RFC 9110, 13.1.1 and 13.1.2."""
        one, other = version_of(b"1"), version_of(b"2")
        for if_match, if_none_match, stored, holds in (
            (None, None, "", True),
            (("*",), None, one, True),
            (("*",), None, "", False),
            ((other, one), None, one, True),
            ((other,), None, one, False),
            ((), None, one, False),
            (None, ("*",), "", True),
            (None, ("*",), one, False),
            (None, (other,), one, True),
            (None, (other,), other, False),
        ):
            embargo = Embargo("0", 1.0, 0.0, "anna", "", b"3", if_match, if_none_match)
            self.assertIs(embargo.refusal(stored) == "", holds)
