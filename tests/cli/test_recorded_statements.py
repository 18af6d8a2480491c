"""The signed statements in a recording. The tests of ``recording`` have more."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.recorded_statements import RecordedStatements
from livefeed.document.recording import Facts, encode_beginning, encode_version, read_line
from livefeed.document.signature import Signed
from livefeed.document.snapshot import Sequence
from livefeed.storage.record_file import Entry
from tests.helpers.signers import KEYS, TRUSTED, statement_about

A, B = b'{"votes": 1}', b'{"votes": 2}'


class RecordedStatementsTests(SynchronousTestCase):
    """Records, one after another."""

    def setUp(self) -> None:
        self.statements = RecordedStatements(TRUSTED)
        self.record, self.place = encode_beginning(1.0, feed="results")
        line = read_line(type(self.place)(), self.record[: self.record.index(b"\n") + 1])
        self.begins = Entry(line.head, None, 0, 0.0, 1.0, 0)

    def entry(self, data: bytes, number: int, signed: Signed | None) -> Entry:
        """Writes a version, and reads its line."""
        before = self.place
        record, self.place = encode_version(before, data, 1.0, Facts(Sequence(7, number), signed=signed))
        line = read_line(before, record[: record.index(b"\n") + 1])
        self.assertEqual(line.head.facts.signed, signed)
        return Entry(line.head, data, number, float(number), 1.0, 0)

    def signed(self, data: bytes, number: int) -> Signed:
        return statement_about(data, feed="results", sequence=(7, number))

    def test_versions(self) -> None:
        """Each is counted, until one is refused."""
        self.statements.take(self.entry(A, 1, self.signed(A, 1)))
        self.assertEqual(self.statements.verified, 0)  # nothing has begun
        self.statements.take(self.begins)
        for number, data in enumerate((A, B), 1):
            self.statements.take(self.entry(data, number, self.signed(data, number)))
        self.assertEqual((self.statements.verified, self.statements.why), (2, ""))
        self.statements.take(self.entry(A, 3, None))
        self.statements.take(self.entry(B, 4, self.signed(B, 4)))
        self.assertEqual(self.statements.verified, 2)
        self.assertIn("the version 3, ", self.statements.why)

    def test_keys(self) -> None:
        """They are read from a file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "keys.json"
            path.write_bytes(KEYS.key_set())
            self.assertEqual([*RecordedStatements.of(path).keys], [KEYS.key_id])

    def test_statements_that_are_too_large(self) -> None:
        """They are left out, so that a line has its limit."""
        large = Signed("x" * 1000, "y" * 1000, bytes(64))
        record, _ = encode_version(self.place, A, 1.0, Facts(Sequence(7, 1), signed=large))
        self.assertNotIn(b"signed", record)
