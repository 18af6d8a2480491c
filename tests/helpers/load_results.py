"""Results of load tests, as a run of a second has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from livefeed.load.figures import Figures
from livefeed.load.fleet import Point, Result
from livefeed.load.kinds import Kind
from livefeed.load.summary import Setup


def setup_of(**named: Any) -> Setup:
    """Gives the conditions of a run with pollers and WebSockets."""
    setup = Setup(
        url="http://localhost:8080/feed",
        server="livefeed",
        document_bytes=4195,
        watchers={Kind.POLL: 80, Kind.WS: 20},
        processes=1,
        is_kept=True,
        rate=None,
        duration_s=10.0,
        requests=None,
        offset=None,
        is_local=True,
    )
    return replace(setup, **named)


def result_of() -> Result:
    """Gives the figures of such a run."""
    polls = Figures(received=4_195_000, connects=80, resumed=3)
    for milliseconds in range(1, 1001):
        polls.latency.add(milliseconds * 10_000)
        polls.answered(200)
    sockets = Figures(deliveries=200, received=800_000, connects=20, verified=200)
    for milliseconds in range(1, 201):
        sockets.delay.add(milliseconds * 100_000)
    for figures in (polls, sockets):
        figures.connect.add(800_000)
    arriving = Point(0.5, 0.5, False, 100, {"poll": 10.0, "ws": 0.0}, {"poll": 1.0}, {"poll": 2.0}, 0.0)
    rates, p50_ms, p99_ms = {"poll": 500.0, "ws": 20.0}, {"poll": 5.0, "ws": 9.0}, {"poll": 9.9, "ws": 20.0}
    points = [arriving, *(Point(at_s, 1.0, True, 100, rates, p50_ms, p99_ms, 0.0) for at_s in (1.5, 2.5))]
    return Result(
        {Kind.POLL: polls, Kind.WS: sockets},
        measured_s=2.0,
        arrival_s=0.5,
        arrived=100,
        open=100,
        busy=0.4,
        points=points,
    )
