"""Records are read as the load writes them."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.chaos.records import Event, Record, read

SOURCE = Path(__file__).parent / "watchers" / "record.go"


class RecordTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_round_trip(self) -> None:
        """The largest values fit."""
        written = [Record(2**63, 2**32 - 1, 2**32 - 1, Event.RETRIED, 2**16 - 1), Record(1, 2, 3, 4, 5)]
        self.path.write_bytes(b"".join(record.pack() for record in written))
        self.assertEqual([*read(self.path)], [tuple(record) for record in written])

    def test_torn(self) -> None:
        """The end of a process that was killed is left out."""
        record = Record(1, 2, 3, 4, 5)
        self.path.write_bytes(record.pack() * 60_000 + record.pack()[:-1])
        self.assertEqual(sum(1 for _ in read(self.path)), 60_000)

    def test_the_same_events(self) -> None:
        """The program has the events in this order, and records of this length."""
        text = SOURCE.read_text()
        block = text.partition("const (\n")[2].partition("\n)")[0]
        names = [
            re.sub(r"(?<!^)([A-Z])", r"_\1", name).upper() for name in re.findall(r"^\t(\w+)", block, re.MULTILINE)
        ]
        self.assertEqual(names, [event.name for event in Event])
        self.assertEqual([*Event], [*range(1, len(Event) + 1)])
        self.assertIn(f"recordBytes = {len(Record(1, 2, 3, 4, 5).pack())}\n", text)
