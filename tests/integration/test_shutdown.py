"""SIGTERM: all connections end in order, and no client can delay the end for long."""

from __future__ import annotations

import json
import signal
import ssl
import struct
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from livefeed.process.drain import DRAIN_S
from tests.integration.harness import (
    CLOSE,
    HOST,
    STOP_S,
    TCP,
    TLS,
    TRANSPORT,
    WAIT_S,
    Livefeed,
    Wire,
    client_frame,
    close_code,
    handshake,
    replace_file,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Start

REQUEST = b"GET /feed HTTP/1.1\r\nHost: localhost\r\nX-Padding: some\r\n\r\n"


@pytest.fixture(params=[TLS, TCP], ids=["tls", "tcp"])
def server(request: pytest.FixtureRequest, start: Start) -> Livefeed:
    return start(listen=(request.param,))


def test_without_watchers_it_just_ends(server: Livefeed) -> None:
    """SIGTERM ends livefeed with exit code 0 if there are no connections."""
    with server.wire() as wire:
        wire.send(REQUEST)
        assert wire.response().status == 200
    assert server.terminate(server.stop_s) == 0


def test_subscribers_get_1001(server: Livefeed) -> None:
    """Each subscriber gets a close frame that says that the server goes away, and the connection ends."""
    with ExitStack() as stack:
        subscribers = [stack.enter_context(server.websocket()) for _ in range(5)]
        for subscriber in subscribers:
            subscriber.recv(timeout=WAIT_S)
        assert server.terminate(server.stop_s) == 0
        for subscriber in subscribers:
            assert close_code(subscriber) == 1001


def test_a_subscriber_that_does_not_close_is_cut_off(start: Start) -> None:
    """A subscriber that gets its close frame and does not answer it holds nothing up."""
    livefeed = start()
    with livefeed.subscriber_wire() as wire:
        assert livefeed.terminate(livefeed.stop_s) == 0
        assert struct.unpack_from("!H", wire.frame_of(CLOSE)) == (1001,)


def test_a_subscriber_that_does_not_read_is_cut_off(start: Start, tmp_path: Path) -> None:
    """A subscriber whose buffers are full holds nothing up either."""
    path = tmp_path / "document.json"
    noise = b"x" * 900_000
    replace_file(path, b'["%s", 0]' % noise)
    livefeed = start("--source", f"file:{path}", "--interval", "0.05", "--push=change")
    with livefeed.subscriber_wire(receive_buffer=16384), livefeed.websocket(max_size=None) as other:
        other.recv(timeout=WAIT_S)
        for number in range(1, 21):
            replace_file(path, b'["%s", %d]' % (noise, number))
            other.recv(timeout=WAIT_S)
        assert livefeed.terminate(livefeed.stop_s) == 0


@pytest.mark.parametrize("sent", [3, 21, len(REQUEST) - 1])
def test_a_request_that_has_begun_is_answered(server: Livefeed, sent: int) -> None:
    """A head of which a part was there at SIGTERM is read to its end and answered in full."""
    with server.wire() as wire:
        # The answer to the first request shows that the bytes sent with it have arrived.
        wire.send(REQUEST + REQUEST[:sent])
        assert wire.response().status == 200
        server.begin_termination()
        wire.send(REQUEST[sent:])
        response = wire.response()
        assert response.status == 200
        assert json.loads(response.body)
        assert response.headers["Connection"] == "close"
        assert wire.rest() == b""
    assert server.process.wait() == 0


def test_a_request_that_never_ends_is_cut_off(start: Start) -> None:
    """A head that does not become whole holds nothing up."""
    livefeed = start()
    with livefeed.wire() as wire:
        wire.send(REQUEST + REQUEST[:30])
        assert wire.response().status == 200
        assert livefeed.terminate(livefeed.stop_s) == 0


def test_a_handshake_that_has_begun_is_not_kept(server: Livefeed) -> None:
    """A WebSocket that is opened while livefeed stops is refused, or told at once that the server goes away."""
    request = handshake()
    with server.wire() as wire:
        wire.send(REQUEST + request[:40])
        assert wire.response().status == 200
        server.begin_termination()
        wire.send(request[40:])
        response = wire.response()
        if response.status == 101:
            assert struct.unpack_from("!H", wire.frame_of(CLOSE)) == (1001,)
            wire.send(client_frame(CLOSE, struct.pack("!H", 1001)))
        else:
            assert response.status == 503
        assert wire.rest() == b""
    assert server.process.wait() == 0


def test_a_connection_that_is_idle_is_closed(server: Livefeed) -> None:
    """A connection that is kept for a next request ends in an orderly way."""
    with server.wire() as polled, server.wire() as silent:
        polled.send(REQUEST)
        assert polled.response().status == 200
        assert server.terminate(server.stop_s) == 0
        assert polled.rest() == b""
        assert silent.rest() == b""


def answered_by_replay(server: Livefeed, stack: ExitStack) -> list[Wire]:
    """Gives connections that were all answered the same: one of them was rendered its answer, the others were not."""
    for _ in range(20):
        wires = stack.enter_context(server.wires_of_one(5))
        for wire in wires:
            wire.send(REQUEST)
        # An answer tells the time, in milliseconds. Those that differ were not repeated, since that was forgotten.
        if len({repr(wire.response()) for wire in wires}) == 1 or TRANSPORT != "fast":
            return wires
        for wire in wires:
            wire.close()
    raise AssertionError("no answer was ever repeated four times")


@pytest.mark.parametrize("stay", [False, True], ids=["clients leave", "clients stay"])
@pytest.mark.parametrize("endpoint", [TLS, TCP], ids=["tls", "tcp"])
def test_a_connection_that_was_answered_by_replay_alone_is_closed(start: Start, endpoint: str, stay: bool) -> None:
    """One that nothing was ever rendered for ends as the others do: in an orderly way, and in no more time."""
    server = start("--interval", "60", listen=(endpoint,))
    with ExitStack() as stack:
        wires = answered_by_replay(server, stack)
        began = time.monotonic()
        server.process.signal(signal.SIGTERM)
        for wire in wires:
            if isinstance(wire.sock, ssl.SSLSocket):
                # An end without close_notify is an error, then.
                wire.sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]
            assert wire.rest() == b""
            if not stay:
                wire.close()
        assert server.process.wait(server.stop_s) == 0
        # Not because time was up, which is DRAIN_S on an idle machine.
        assert stay or time.monotonic() - began < DRAIN_S * server.stop_s / STOP_S


def test_an_answer_that_is_not_read_holds_nothing_up(start: Start, tmp_path: Path) -> None:
    """A poller that asks for more than it reads is cut off in time."""
    path = tmp_path / "document.json"
    replace_file(path, b'["%s"]' % (b"x" * 900_000))
    livefeed = start("--source", f"file:{path}")
    with livefeed.wire(receive_buffer=16384) as wire:
        wire.send(REQUEST * 20)
        wire.response()
        assert livefeed.terminate(livefeed.stop_s) == 0


@pytest.mark.parametrize("answered", [False, True], ids=["half a ClientHello", "whole ClientHello"])
def test_a_tls_handshake_under_way_holds_nothing_up(start: Start, answered: bool) -> None:
    """A client in the middle of the TLS handshake is cut off in time."""
    livefeed = start()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = livefeed.tls_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    with livefeed.tcp_socket() as sock:
        sock.sendall(hello if answered else hello[: len(hello) // 2])
        if answered:
            assert sock.recv(1)
        else:
            # An answer on a later connection of the same process shows that the earlier bytes have arrived, too.
            with livefeed.subscriber_of_each():
                pass
        assert livefeed.terminate(livefeed.stop_s) == 0


def test_nobody_new_is_let_in(server: Livefeed) -> None:
    """The port closes before the last requests are answered."""
    with server.wire() as first, server.wire() as last:
        for wire in (first, last):
            wire.send(REQUEST + REQUEST[:30])
            assert wire.response().status == 200
        server.begin_termination()
        first.send(REQUEST[30:])
        assert first.response().status == 200
        with pytest.raises(ConnectionRefusedError):
            server.tcp_socket()
        last.send(REQUEST[30:])
        assert last.response().status == 200
    assert server.process.wait() == 0


def test_many_watchers_of_all_kinds(start: Start) -> None:
    """The stop meets its limit of time with many watchers of each kind at once."""
    livefeed = start()
    with ExitStack() as stack:
        wires: list[Wire] = []
        for _ in range(20):
            wires.append(stack.enter_context(livefeed.subscriber_wire()))
            idle = stack.enter_context(livefeed.wire())
            idle.send(REQUEST)
            assert idle.response().status == 200
            half = stack.enter_context(livefeed.wire())
            half.send(REQUEST[:30])
        assert livefeed.terminate(livefeed.stop_s) == 0
        for wire in wires:
            assert struct.unpack_from("!H", wire.frame_of(CLOSE)) == (1001,)
