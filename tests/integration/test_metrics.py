"""The figures that an operator's Prometheus reads from a real process."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx

from tests.integration.harness import HOST, TCP, TEXT, TRANSPORT, WORKERS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Start


def test_metrics(start: Start, tmp_path: Path) -> None:
    """The metrics are on the operator's port, by its socket and by TCP with the token, and not on the public one."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    token.chmod(0o600)
    livefeed = start("--admin", TCP, "--admin-token", str(token))
    livefeed.wait_for_log(r"listening on .*: the operator's port http://localhost:\d+/status")
    (port,) = re.findall(r"the operator's port http://localhost:(\d+)/", livefeed.log())
    with livefeed.subscriber_wire() as wire:
        wire.frame_of(TEXT)
        for _ in range(3):
            assert livefeed.http.get("/feed").status_code == 200
        livefeed.metrics_with(r'^livefeed_subscribers\{by="websocket",feed="feed"\} 1\.0')
        if TRANSPORT == "fast":
            livefeed.metrics_with(r"^livefeed_connections 2\.0")
        # Those of the canaries of workers count, too.
        answers = r'^livefeed_answers_total\{coding="\w+",scheme="https",status="200"\} '
        text = livefeed.metrics_with(answers + (r"([3-9]|\d\d+)\.0" if WORKERS else r"3\.0"))
    assert 'livefeed_state{feed="feed",state="live"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert ("livefeed_connections " in text) == (TRANSPORT == "fast")
    assert livefeed.http.get("/metrics").status_code == 404
    url = f"http://{HOST}:{port}/metrics"
    refused = httpx.get(url, trust_env=False)
    assert (refused.status_code, "metrics" in refused.text) == (401, False)
    by_token = httpx.get(url, headers={"Authorization": "Bearer 0123456789abcdef"}, trust_env=False)
    assert by_token.status_code == 200
    assert "livefeed_state" in by_token.text
    assert livefeed.terminate() == 0
    assert "0123456789abcdef" not in livefeed.log()
