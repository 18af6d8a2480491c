"""The text of the status."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from livefeed.cli.status_text import status_lines
from livefeed.cli.tables import Painter
from tests.helpers.status_reports import feed, report
from tests.helpers.zones import ZoneTestCase

NOW = datetime(2026, 11, 3, 20, tzinfo=UTC)


class StatusTests(ZoneTestCase):
    """Reports as people read them."""

    def lines(self, *feeds: dict[str, Any], rate: float | None = None, colour: bool = False, **more: Any) -> list[str]:
        return status_lines(report(*feeds, **more), Painter(colour), NOW, rate)

    def test_live(self) -> None:
        """All that there is to know at a glance."""
        self.assertEqual(
            self.lines(feed()),
            [
                "livefeed 1.0  ready  instance default, process 7, up 1 h 1 min",
                "",
                "FEED     STATE    AGE  VERSION       WATCHERS  WEBSOCKET  EVENTS  LONG POLLS  SOURCE",
                "results  live   0.4 s  0123456789ab    10,006     10,000       5           1  redis://h/0/results",
                "",
                "listen       tls:8443, tcp:8080",
                "connections  10,006 of 19,744",
                "answers      123,456",
            ],
        )

    def test_unknown_source_and_endpoints(self) -> None:
        """A worker that answers for itself pulls nothing, and an older livefeed does not tell."""
        lines = self.lines(feed(source=None), listen=[])
        self.assertEqual((lines[3][-3:], lines[5].split()[0]), ("  -", "connections"))

    def test_narrow_terminal(self) -> None:
        """All watchers are one number there, and not one for each way to follow."""
        lines = status_lines({"feeds": [feed()]}, Painter(in_colour=False, columns=50), NOW)
        self.assertEqual(
            lines[2:4],
            [
                "FEED     STATE    AGE  VERSION       WATCHERS",
                "results  live   0.4 s  0123456789ab    10,006",
            ],
        )

    def test_reasons(self) -> None:
        """A state has its reason below it, and an error of the past its time."""
        bad = feed(state="stale", reason="redis: away\x1b[2J", version=None, age_s=None)
        error = {"why": "redis: away\x1b", "at": "2026-11-03T19:00:00.000Z"}
        earlier = feed(last_error=error)
        mended = feed(last_error={**error, "recovered_since_s": 20.0})
        lines = self.lines(
            bad, earlier, mended, ready=False, not_ready_because=['feed "results" is stale: x', "canary: late"]
        )
        self.assertIn("not ready", lines[0])
        self.assertEqual(lines[4], "  redis: away\\x1b[2J")
        self.assertEqual(lines[6], "  last error at 20:00:00 CET: redis: away\\x1b")
        self.assertEqual(lines[8], "  recovered 20.0 s ago; last error at 20:00:00 CET: redis: away\\x1b")
        self.assertEqual(lines[-1], "not ready    canary: late")
        self.assertEqual(sum("is stale" in line for line in lines), 0)

    def test_source_that_fails_below_a_decision(self) -> None:
        """The decision does not hide why livefeed is not ready."""
        decision = {"kind": "hold", "by": "root", "at": "2026-11-03T19:59:00Z", "reason": "y"}
        failing = {"why": "redis: away", "for_s": 69.0}
        why = 'feed "results" is held, and would be stale: redis: away'
        held = feed(state="held", reason="y", decision=decision, failing=failing)
        lines = self.lines(held, ready=False, not_ready_because=[why])
        self.assertTrue(lines[4].startswith("  decision: hold, by root"))
        self.assertEqual(lines[5:8], ["  source: pulls fail for 1 min 9 s: redis: away", "", lines[7]])
        self.assertNotIn("would be", "\n".join(lines))
        lines = self.lines({**held, "failing": None}, ready=False, not_ready_because=[why])
        self.assertEqual(lines[-1], f"not ready    {why}")

    def test_colours(self) -> None:
        """Each state has its own."""
        codes = {"live": "32", "stale": "33", "held": "33", "expired": "31", "withdrawn": "31", "of the future": "33"}
        for state, code in codes.items():
            lines = self.lines(feed(state=state, reason="why"), colour=True)
            self.assertIn(f"\x1b[{code}m{state}\x1b[0m", lines[3])
            self.assertIn("why", lines[4])

    def test_certificates(self) -> None:
        """The time that is left, or that there is none."""
        lines = self.lines(
            certificates=[
                {"file": "/a.pem", "expires_at": "2026-11-01T00:00:00.000Z"},
                {"file": "/b.pem", "expires_at": "2026-12-03T20:00:00.000Z"},
                {"file": "/c.pem", "expires_at": "2026-11-04T21:00:00.000Z"},
            ]
        )
        self.assertEqual(
            lines[-3:],
            [
                "certificate  /a.pem has expired",
                "certificate  /b.pem expires in 30 days 0 h",
                "certificate  /c.pem expires in 1 day 1 h",
            ],
        )

    def test_certificate_that_is_refused(self) -> None:
        """The days of the one before do not hide it."""
        lines = self.lines(certificate_refusals=["/k.pem: it is not the private key of /c.pem\x1b"])
        why = "/k.pem: it is not the private key of /c.pem\\x1b"
        self.assertEqual(lines[-1], f"certificate  is not renewed, and the one before is used: {why}")

    def test_more(self) -> None:
        """A drain, a rate, workers, refused connections; a transport that does not count its connections."""
        lines = self.lines(
            draining=True,
            rate=1234.5,
            workers=[{"state": "ready"}, {"state": "dead"}],
            connections={"open": 19, "most": 20, "refused": 3},
        )
        self.assertIn("draining", lines[0])
        self.assertEqual(
            lines[-3:],
            [
                "connections  19 of 20, 3 were refused",
                "answers      123,456, 1,234 per second now",
                "workers      1 ready, 1 dead",
            ],
        )
        self.assertNotIn(
            "connections", "\n".join(self.lines(connections={"open": None, "most": None, "refused": None}))
        )
