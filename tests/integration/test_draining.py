"""The phases of a drain: not ready, watchers are sent away, the rest is cut off."""

from __future__ import annotations

import json
import re
import signal
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import CLOSE, TCP, WAIT_S, assert_soon, client_frame, handshake, replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Start

AWAY = b"see /-/problems/come-back; come back in %d ms"
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
            # A reset takes what was not read.
            with ThreadPoolExecutor() as pool:
                closing = pool.submit(subscriber.frame_of, CLOSE)
                livefeed.process.signal(signal.SIGTERM)
                assert livefeed.process.wait(livefeed.stop_s) == 0
        payload = closing.result()
        assert struct.unpack_from("!H", payload) == (1001,)
        assert payload[2:] in (AWAY % 8000, AWAY % 8020)
        with suppress(ConnectionResetError):
            assert waiting.rest() == b""
    assert "cutting off what is left" in livefeed.log()


def test_delay_ends_by_itself(start: Start) -> None:
    """Then the port is closed, and the process ends with exit code 0."""
    livefeed = start("--drain-delay", "0.3", listen=(TCP,))
    with livefeed.websocket() as socket:
        socket.recv(timeout=WAIT_S)
        assert livefeed.terminate(livefeed.stop_s) == 0
    assert "not ready: watchers are sent away in 0.3 s" in livefeed.log()


def test_drain_on_demand(start: Start, tmp_path: Path) -> None:
    """Watchers of all transports are sent away within a second, while those whose turn has not come are served."""
    document = tmp_path / "document.json"
    replace_file(document, b"[1]")
    livefeed = start("--source", f"file:{document}", "--drain", "1", "--push=change", listen=(TCP,))
    with ExitStack() as stack:
        enter = stack.enter_context
        operator = enter(livefeed.operator())
        assert operator.get("/-/ready").status_code == 200
        socket, stream, waiting, poller = (enter(livefeed.wire()) for _ in range(4))
        socket.send(handshake(Sec_WebSocket_Protocol="livefeed.delta.v1"))
        assert socket.response().status == 101
        stream.send(b"GET /feed.sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stream.until(b"data: [1]\n\n")
        poller.send(REQUEST)
        etag = poller.response().headers["ETag"].encode()
        wait = b"GET /feed HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\nPrefer: wait=50\r\n\r\n" % etag
        # The answer to the first request shows that the bytes sent with it have arrived.
        waiting.send(REQUEST + wait)
        assert waiting.response().status == 200

        livefeed.wait_for_connections(4)
        report = operator.post("/-/drain", json={}).json()
        assert (report["phase"], report["left"]) == ("releasing", 4)
        payload = socket.frame_of(CLOSE)
        assert (struct.unpack_from("!H", payload), payload[2:]) == ((3005,), AWAY % 100)
        socket.send(client_frame(CLOSE, payload[:2]))
        assert re.search(rb"retry: 1\d\d\n\r\n0\r\n\r\n\Z", stream.rest())
        response = waiting.response()
        assert (response.status, response.headers["Connection"]) == (304, "close")
        assert waiting.rest() == b""
        # It is served as before until its turn has come.
        while True:
            poller.send(REQUEST)
            response = poller.response()
            assert response.status == 200
            if "Connection" in response.headers:
                break
        assert response.headers["Connection"] == "close"
        assert poller.rest() == b""

        livefeed.process.wait_for("1 WebSockets, 1 event streams and 2 connections of pollers were sent away")
        with pytest.raises(ConnectionRefusedError):
            livefeed.tcp_socket()
        # A worker with all of them logs the same line, before the parent does.
        reasons = ["livefeed is being drained: released"]
        assert_soon(lambda: operator.get("/-/ready").json()["reasons"] == reasons, livefeed.log)
        assert operator.get("/-/ready").status_code == 503
        assert operator.get("/status").json()["draining"] is True
        assert operator.post("/-/drain", json={"undo": True}).status_code == 409
    assert livefeed.terminate(livefeed.stop_s) == 0
