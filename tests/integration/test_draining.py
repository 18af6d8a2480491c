"""The phases of a stop that has a delay: livefeed serves on, not ready, until the delay or a second signal ends it."""

from __future__ import annotations

import json
import signal
import struct
from typing import TYPE_CHECKING

from tests.integration.harness import CLOSE, STOP_S, TCP, WAIT_S

if TYPE_CHECKING:
    from tests.integration.conftest import Start

REQUEST = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_all_are_served_until_a_second_signal(start: Start) -> None:
    """New clients and old ones, and documents are still pulled. Then all are told when to come back, and cut off."""
    livefeed = start("--drain-delay", "3600", "--return-after", "8", "--interval", "0.1", listen=(TCP,))
    with livefeed.subscriber_wire() as subscriber, livefeed.wire() as waiting:
        livefeed.process.signal(signal.SIGTERM)
        livefeed.process.wait_for("not ready: ")
        waiting.send(REQUEST)
        assert waiting.response().status == 200
        with livefeed.wire() as late, livefeed.websocket() as socket:
            late.send(REQUEST)
            at = json.loads(socket.recv(timeout=WAIT_S))
            while json.loads(socket.recv(timeout=WAIT_S)) == at:
                pass
            assert late.response().headers["Livefeed-State"] == "live"
            livefeed.process.signal(signal.SIGTERM)
            assert livefeed.process.wait(STOP_S) == 0
        payload = subscriber.frame_of(CLOSE)
        assert struct.unpack_from("!H", payload) == (1001,)
        assert payload[2:] in (b"come back in 8000 ms", b"come back in 8020 ms")
        assert waiting.rest() == b""
    assert "cutting off what is left" in livefeed.log()


def test_delay_ends_by_itself(start: Start) -> None:
    """Then the port is closed, and the process ends with exit code 0."""
    livefeed = start("--drain-delay", "0.3", listen=(TCP,))
    with livefeed.websocket() as socket:
        socket.recv(timeout=WAIT_S)
        assert livefeed.terminate(STOP_S) == 0
    assert "not ready: watchers are sent away in 0.3 s" in livefeed.log()
