"""Limits as an operator sets them, on whole processes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.conftest import Start
    from tests.integration.harness import Wire

REQUEST = b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"


def is_open(wire: Wire) -> bool:
    """Tells whether the server has not ended a connection, once it sends nothing more."""
    wire.sock.settimeout(0.5)
    try:
        while wire.sock.recv(65536):
            pass
    except TimeoutError:
        return True
    return False


def test_only_who_follows_is_kept_when_idle(start: Start) -> None:
    """A connection without a request is closed; a WebSocket and a stream of events that are sent nothing are not."""
    server = start("--idle-timeout", "1", "--push", "change", "--interval", "3600")
    with server.subscriber_wire() as subscriber, server.wire() as events, server.wire() as polled, server.wire() as new:
        events.send(REQUEST % (b"/feed.sse", b""))
        polled.send(REQUEST % (b"/feed", b""))
        assert polled.response().status == 200
        assert polled.rest() == b""
        assert new.rest() == b""
        time.sleep(2)
        assert is_open(subscriber)
        assert is_open(events)


def test_larger_heads_can_be_allowed(start: Start) -> None:
    """Up to what is set, and 16 KiB without."""
    for options, status in ((("--max-head-bytes", "40000"), 200), ((), 431)):
        with start(*options).wire() as wire:
            wire.send(REQUEST % (b"/feed", b"X: %s\r\n" % (b"x" * 30_000)))
            assert wire.response().status == status
