"""The record of a stored version gives that version and no other."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.snapshot import Sequence
from livefeed.document.stored_version import (
    MAX_CONFIRMATION_BYTES,
    MAX_HEAD_BYTES,
    DamagedRecordError,
    NewerFormatError,
    StoredVersion,
    check_format,
    is_beginning_of_head,
    parse_head,
    stored_version,
)
from tests.helpers.earlier_records import earlier_record

NUMBERS = st.integers(0, 10**13)
TIMES = st.floats(0, 10**11)
VERSIONS = st.builds(
    StoredVersion,
    st.binary(min_size=1),
    st.builds(Sequence, NUMBERS, NUMBERS),
    TIMES,
    st.text("0123456789abcdef-", max_size=36),
    TIMES,
)
VERSION = StoredVersion(b'{"a": 1}', Sequence(1700, 3), 1_700_000_000.25, "boot", 5.5)


def read(record: bytes) -> StoredVersion:
    """Gives the version of a record."""
    line, _, rest = record.partition(b"\n")
    return stored_version(parse_head(line), rest[:-1])


class RecordTests(SynchronousTestCase):
    """A head and the document's bytes."""

    @settings(deadline=None)
    @given(VERSIONS)
    def test_round_trip(self, version: StoredVersion) -> None:
        """Each version has a record, whose head is short enough to be found."""
        record = earlier_record(version)
        self.assertEqual(read(record), version)
        self.assertTrue(record.endswith(b"\n"))
        self.assertLessEqual(record.index(b"\n") + 1, MAX_HEAD_BYTES)

    def test_other_bytes(self) -> None:
        """The bytes after a head must be those that it was written for."""
        record = earlier_record(VERSION)
        self.assertRaises(DamagedRecordError, read, record.replace(b'"a": 1', b'"a": 2'))

    def test_lines_that_are_no_head(self) -> None:
        """They are damage, as is a time before 1970 and an empty document."""
        head = earlier_record(VERSION).partition(b"\n")[0]
        self.assertEqual(parse_head(head), parse_head(head + b"\n"))
        for line in (
            *(b"", b"{}", b"[]", b"\xff", head[:-1], head.replace(b'"number":3', b'"number":"3"')),
            *(head.replace(b'"at":', b'"at":-'), head.replace(b'"bytes":8', b'"bytes":0')),
            head[:-1] + b',"x":' + b"[" * 4000,
        ):
            self.assertRaises(DamagedRecordError, parse_head, line)

    def test_beginning_of_a_head(self) -> None:
        """A killed process may leave any part of a head, and nothing else."""
        head = earlier_record(VERSION).partition(b"\n")[0]
        for end in range(len(head) + 1):
            self.assertTrue(is_beginning_of_head(head[:end]), end)
        for line in (b"x", b"\0", b'{"versoin"', b'{"version"' + b"x" * MAX_HEAD_BYTES):
            self.assertFalse(is_beginning_of_head(line))


class FormatTests(SynchronousTestCase):
    """The number of the format in each head."""

    def test_number_is_written(self) -> None:
        """A later release knows by it what it reads."""
        self.assertEqual(parse_head(earlier_record(VERSION).partition(b"\n")[0]).format, 1)

    def test_without_a_number(self) -> None:
        """The first releases wrote none."""
        old = earlier_record(VERSION).replace(b'"format":1,', b"")
        self.assertEqual(parse_head(old.partition(b"\n")[0]).format, 0)
        self.assertEqual(read(old), VERSION)

    def test_unknown_members_are_passed_over(self) -> None:
        """A later release may add them under the same number."""
        self.assertEqual(read(earlier_record(VERSION).replace(b'"format":1,', b'"format":1,"signed":[true],')), VERSION)

    def test_greater_number(self) -> None:
        """It is no damage, wherever the number is, and whatever else the head has or lacks."""
        head, line = earlier_record(VERSION).partition(b"\n")[0], VERSION.confirmation()
        for newer in (
            head.replace(b'"format":1', b'"format":2'),
            head.replace(b'"format":1,', b"").replace(b"}", b',"format":2}'),
            b'{"version":"x","format": 2,"chain":' + b"[" * 1000,
            b'{"version":["x"],"format":2}',
        ):
            error = self.assertRaises(NewerFormatError, parse_head, newer)
            self.assertEqual(error.format, 2)
        self.assertRaises(NewerFormatError, VERSION.confirmed_by, line.replace(b'"format":1', b'"format":12'))

    def test_other_numbers(self) -> None:
        """A document in a damaged file may have a number of the same name."""
        for line in (b"", b'{"format":2}', b'["version","format":2]', b'{"version":"x","format":"2"}'):
            check_format(line)


class ConfirmationTests(SynchronousTestCase):
    """The line that says when a version was confirmed."""

    @settings(deadline=None)
    @given(VERSIONS, TIMES)
    def test_version_is_confirmed(self, version: StoredVersion, at: float) -> None:
        """It has the time of the confirmation then."""
        confirmed = replace(version, at=at, boot="another", since_boot_s=1.5)
        line = confirmed.confirmation()
        self.assertEqual(version.confirmed_by(line), confirmed)
        self.assertLessEqual(len(line), MAX_CONFIRMATION_BYTES)

    def test_another_version_is_confirmed(self) -> None:
        """The version stays as it is."""
        later = replace(VERSION, at=VERSION.at + 60)
        for other in (
            replace(later, sequence=Sequence(1700, 4)),
            replace(later, sequence=Sequence(1701, 3)),
            replace(later, data=b"{}"),
        ):
            self.assertIs(VERSION.confirmed_by(other.confirmation()), VERSION)

    def test_damage(self) -> None:
        """A line of which any byte differs confirms nothing."""
        line = replace(VERSION, at=VERSION.at + 60).confirmation().removesuffix(b"\n")
        for at in range(len(line)):
            damaged = line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
            self.assertRaises(DamagedRecordError, VERSION.confirmed_by, damaged)
        self.assertRaises(DamagedRecordError, VERSION.confirmed_by, b"")
