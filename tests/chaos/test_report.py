"""The tables show the figures."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

from twisted.trial.unittest import SynchronousTestCase

from tests.chaos import report
from tests.chaos.__main__ import demand_of, parse
from tests.chaos.arithmetic import Window, figures
from tests.chaos.records import Event


class ReportTests(SynchronousTestCase):
    def test_row(self) -> None:
        """A watcher that is not back is named, and numbers that do not exist are dashes."""
        records = [(105_000_000, 0, 2, int(Event.CLOSED), 0), (106_000_000, 1, 5, int(Event.RECEIVED), 0)]
        found = figures(lambda: records, [0.0, 0.0], Window(100.0, 104.0, 110.0))
        cells = report.row("worker", found)
        self.assertEqual(len(cells), len(report.COLUMNS))
        self.assertEqual(cells[:7], ["worker", "2", "1", "1 by 1", "0", "0", "-, 1 not"])
        self.assertIn("ends: 1 reset", report.details(found))
        self.assertIn("; 0 were missed by watchers", report.details(found)[1])
        json.dumps(report.plain(asdict(found)), allow_nan=False)

    def test_table(self) -> None:
        """Columns are as wide as their widest cell."""
        text = report.table(("a", "long"), [["wide", "b"]])
        self.assertEqual(text.split("\n"), ["| a    | long |", "|------|------|", "| wide | b    |"])

    def test_plain(self) -> None:
        """NaN is no JSON."""
        self.assertEqual(report.plain({"a": {"b": math.nan}, "c": 1.5}), {"a": {"b": None}, "c": 1.5})


class OptionTests(SynchronousTestCase):
    def test_watchers(self) -> None:
        """Subscribers are divided by protocol, and hold has a third of each kind."""
        options = parse(["--subscribers", "100", "--deltas", "0.3", "--pollers", "7", "--connections", "1000"])
        demand = demand_of("reload", options)
        self.assertEqual((demand.websockets, demand.deltas, demand.pollers, demand.idle), (70, 30, 7, 0))
        demand = demand_of("hold", options)
        self.assertEqual((demand.websockets + demand.deltas, demand.pollers, demand.idle), (333, 333, 334))

    def test_nonsense(self) -> None:
        """Options that cannot be meant are refused."""
        for options in (["--subscribers", "-1"], ["--deltas", "2"], ["--scenario", "flood"]):
            with self.assertRaises(SystemExit):
                parse(options)
