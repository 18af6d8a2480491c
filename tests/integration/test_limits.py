"""Limits as an operator sets them, on whole processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.harness import TEXT, replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Start

REQUEST = b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"


def test_only_who_follows_is_kept_when_idle(start: Start, tmp_path: Path) -> None:
    """Idle connections are closed, except for WebSockets and streams of events, even if nothing is sent to these."""
    document = tmp_path / "document.json"
    replace_file(document, b'{"n": 1}')
    options = ("--source", f"file:{document}", "--push", "change", "--interval", "3600")
    server = start(*options, "--idle-timeout", "1")
    with server.subscriber_wire() as subscriber, server.wire() as events, server.wire() as polled, server.wire() as new:
        events.send(REQUEST % (b"/feed.sse", b""))
        polled.send(REQUEST % (b"/feed", b""))
        assert polled.response().status == 200
        assert polled.rest() == b""
        assert new.rest() == b""
        # One more idle connection, so that the two followers were idle for longer than any connection that was closed.
        with server.wire() as another:
            assert another.rest() == b""
        replace_file(document, b'{"n": 2}')
        while subscriber.frame_of(TEXT) != b'{"n": 2}':
            pass
        events.until(b'data: {"n": 2}')


def test_larger_heads_can_be_allowed(start: Start) -> None:
    """Up to the setting; without it, up to 16 KiB."""
    for options, status in ((("--max-head-bytes", "40000"), 200), ((), 431)):
        with start(*options).wire() as wire:
            wire.send(REQUEST % (b"/feed", b"X: %s\r\n" % (b"x" * 30_000)))
            assert wire.response().status == status
