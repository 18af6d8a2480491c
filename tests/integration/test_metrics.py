"""The figures that an operator's Prometheus reads from a real process."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx

from tests.integration.harness import HOST, TCP, TEXT, TRANSPORT

if TYPE_CHECKING:
    from tests.integration.conftest import Start


def test_metrics(start: Start) -> None:
    """The metrics have an endpoint of their own, and cover the other endpoints."""
    livefeed = start("--metrics", TCP)
    livefeed.wait_for_log(r"listening on .*: the metrics http://localhost:\d+/metrics")
    (port,) = re.findall(r"the metrics http://localhost:(\d+)/metrics", livefeed.log())
    with livefeed.subscriber_wire() as wire:
        wire.frame_of(TEXT)
        for _ in range(3):
            assert livefeed.http.get("/feed").status_code == 200
        text = httpx.get(f"http://{HOST}:{port}/metrics", trust_env=False).text
    assert 'livefeed_subscribers{by="websocket",feed="feed"} 1.0' in text
    assert re.search(r'livefeed_answers_total\{coding="\w+",scheme="https",status="200"\} 3\.0', text)
    assert 'livefeed_state{feed="feed",state="live"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert ("livefeed_connections 2.0" in text) == (TRANSPORT == "fast")
    assert livefeed.http.get("/metrics").status_code == 404
    assert livefeed.terminate() == 0
