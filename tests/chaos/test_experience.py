"""The experience of independent clients follows from their events."""

from __future__ import annotations

import math
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.chaos.arithmetic import Window
from tests.chaos.experience import COLUMNS, Experience, experience, row

WINDOW = Window(begin=100.0, event=105.0, end=120.0)


def event(at: float, client: int, name: str, **fields: Any) -> dict[str, Any]:
    return {"at": at, "client": client, "event": name, **fields}


def documents(client: int, first: int, last: int) -> list[dict[str, Any]]:
    """Gives the documents from *first* to *last*; document N comes at the second 100 + N."""
    return [event(100.0 + number, client, "document", n=number) for number in range(first, last + 1)]


def judge(*groups: list[dict[str, Any]]) -> Experience:
    return experience([each for group in groups for each in group], WINDOW)


class ExperienceTests(SynchronousTestCase):
    def test_nothing_happens(self) -> None:
        """A client that stays connected has waited for a version, and was never away."""
        found = judge(documents(0, -3, 25))
        self.assertEqual((found.clients, found.absent, found.opened, found.older), (1, 0, 0, 0))
        self.assertEqual((dict(found.closes), dict(found.errors)), ({}, {}))
        self.assertTrue(math.isnan(found.back_s))
        self.assertEqual(found.silence_s, 1.0)

    def test_away_and_back(self) -> None:
        """The time is that of the first document after the last failure."""
        away = [event(105.5, 0, "close", code=1001), event(106.0, 0, "error", text="refused")]
        away += [event(108.2, 0, "error", text="refused"), event(110.5, 0, "open")]
        found = judge(documents(0, 0, 5), away, documents(0, 11, 20))
        self.assertEqual((dict(found.closes), dict(found.errors)), ({"1001": 1}, {"refused": 2}))
        self.assertEqual((found.back_s, found.back_p50_s, found.absent), (6.0, 6.0, 0))
        self.assertEqual((found.silence_s, found.opened, found.opened_peak), (6.0, 1, 1))

    def test_never_back(self) -> None:
        """A client that has given up is counted, and its silence lasts to the end."""
        found = judge(documents(0, 0, 5), [event(106.0, 0, "close", code="given up")], documents(1, 0, 20))
        self.assertEqual((found.clients, found.absent), (2, 1))
        self.assertEqual(found.silence_s, 15.0)

    def test_older(self) -> None:
        """Also across connections."""
        found = judge(documents(0, 0, 9), [event(110.0, 0, "document", n=4)], documents(0, 11, 20))
        self.assertEqual(found.older, 1)

    def test_most_connections_in_a_second(self) -> None:
        """Those of all clients together, in the window."""
        opened = [event(at, client, "open") for client, at in enumerate((99.0, 106.1, 106.5, 106.9, 107.0, 121.0))]
        self.assertEqual((judge(opened).opened, judge(opened).opened_peak), (4, 3))

    def test_row(self) -> None:
        """There is a cell for each column."""
        away = [event(105.5, 0, "close", code=1001), event(106.0, 0, "close", code=1006)]
        cells = row("curl", judge(documents(0, 0, 5), away, [event(106.5, 0, "close", code=1006)], documents(0, 8, 20)))
        self.assertEqual(len(cells), len(COLUMNS))
        self.assertEqual(cells[:4], ["curl", "1", "3 (most: 1006)", "0"])
