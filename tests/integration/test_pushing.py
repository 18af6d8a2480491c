"""Pushing on a WebSocket, to the subscribers of an independent library and to ones that are made of bytes."""

from __future__ import annotations

import contextlib
import json
import struct
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.helpers.waiting import wait_until
from tests.integration.harness import (
    CLOSE,
    PING,
    PONG,
    TCP,
    TEXT,
    TLS,
    WAIT_S,
    Livefeed,
    client_frame,
    close_code,
    handshake,
    replace_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

DOCUMENT = b'{"a": 1.50, "b": 12345678901234567890 ,\n"c": "\xc3\xbc"}'
ORIGIN = "https://scores.example"
KIB = 1024
TICKS = 4


@pytest.fixture(scope="module")
def server(certificate: DevelopmentCertificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Livefeed]:
    """A document that stays as it is, pulled often, and one allowed origin; over TLS and without."""
    directory = tmp_path_factory.mktemp("pushing")
    path = directory / "document.json"
    path.write_bytes(DOCUMENT)
    options = ("--source", f"file:{path}", "--interval", "0.2", "--allow-origin", ORIGIN)
    with Livefeed(*options, directory=directory, certificate=certificate, listen=(TLS, TCP)) as livefeed:
        yield livefeed


def code_of(payload: bytes) -> int:
    code: int = struct.unpack_from("!H", payload)[0]
    return code


class TestDocument:
    def test_comes_at_once_and_then_at_each_tick(self, server: Livefeed) -> None:
        """The newest document comes on connecting, and again at each tick though it is the same."""
        with server.websocket() as subscriber:
            for _ in range(4):
                message = subscriber.recv(timeout=WAIT_S)
                assert isinstance(message, str)
                assert message.encode() == DOCUMENT

    def test_changes_from_tick_to_tick(self, demo: Livefeed) -> None:
        """The demo is pushed each second, each time another document, but for two ticks in one second of its time."""
        with demo.websocket() as subscriber:
            messages = {subscriber.recv(timeout=WAIT_S) for _ in range(5)}
        assert len(messages) >= 3
        assert all(json.loads(message) for message in messages)

    def test_comes_only_when_it_changed_with_push_change(self, start: Start, tmp_path: Path) -> None:
        """With --push=change, silence means that nothing changed."""
        path = tmp_path / "document.json"
        path.write_bytes(DOCUMENT)
        livefeed = start("--source", f"file:{path}", "--interval", "0.05", "--push=change")
        with livefeed.websocket() as subscriber:
            assert subscriber.recv(timeout=WAIT_S) == DOCUMENT.decode()
            seen: set[str] = set()

            def have_ticks_passed() -> bool:
                seen.add(livefeed.http.get("/-/feeds.json").json()["feeds"][0]["at"])
                return len(seen) > TICKS

            wait_until(have_ticks_passed, lambda: seen)
            # Had anything been sent at these ticks, it would come first.
            for number in range(3):
                replace_file(path, b"[%d]" % number)
                assert subscriber.recv(timeout=WAIT_S) == f"[{number}]"

    def test_heartbeats_come_where_only_changes_are_pushed(self, start: Start, tmp_path: Path) -> None:
        """They are for followers by delta, of the document or its parts, and say within which time another one comes.

        When the source fails, they say so.
        """
        path = tmp_path / "document.json"
        path.write_bytes(DOCUMENT)
        options = ("--interval", "0.2", "--push=change", "--stale-after", "5")
        livefeed = start("--source", f"file:{path}", *options, listen=(TCP,))
        with contextlib.ExitStack() as stack:
            followers = [
                stack.enter_context(livefeed.websocket(address, subprotocols=[f"livefeed.delta.{version}"]))
                for address, version in (("/feed.ws", "v1"), ("/feed.ws", "v2"), ("/feed.ws/a", "v2"))
            ]
            lines = stack.enter_context(livefeed.http.stream("GET", "/feed.sse?delta=2", timeout=WAIT_S)).iter_lines()
            events = (line.removeprefix("data: ") for line in lines if line.startswith("data: "))
            reads = [partial(follower.recv, timeout=WAIT_S) for follower in followers] + [partial(next, events)]
            for read in reads:
                first, *heartbeats = [json.loads(read()) for _ in range(3)]
                assert first["type"] in ("document", "snapshot")
                for heartbeat in heartbeats:
                    assert (heartbeat["type"], heartbeat["state"]) == ("heartbeat", "live")
                    assert heartbeat["heartbeat"] == first["heartbeat"] == 3000
                # The follower of a part is sent the first one at once.
                assert heartbeats[-1]["at"] > first["at"]
            path.unlink()
            for read in reads:
                while json.loads(read())["state"] != "stale":
                    pass
                assert json.loads(read())["state"] == "stale"

    def test_is_one_unmasked_text_frame(self, server: Livefeed) -> None:
        """The document is one whole text frame, whose payload is its bytes."""
        with server.subscriber_wire() as wire:
            assert wire.frame() == (TEXT, DOCUMENT)

    def test_large_ones_come_whole(self, start: Start, tmp_path: Path) -> None:
        """Documents on both sides of the frame's length formats arrive as they are."""
        path = tmp_path / "document.json"
        path.write_bytes(b"0")
        livefeed = start("--source", f"file:{path}", "--interval", "0.05", "--push=change")
        with livefeed.websocket() as subscriber:
            assert subscriber.recv(timeout=WAIT_S) == "0"
            for size in (125, 126, 65535, 65536, 900_000):
                document = b'"' + b"x" * (size - 2) + b'"'
                replace_file(path, document)
                assert subscriber.recv(timeout=WAIT_S) == document.decode()


class TestHandshake:
    @pytest.mark.parametrize("path", ["/feed", "/feed.json", "/feed.ws"])
    def test_every_name_of_the_feed_upgrades(self, server: Livefeed, path: str) -> None:
        """A request for the document that asks to upgrade becomes a WebSocket."""
        with server.websocket(path) as subscriber:
            assert subscriber.recv(timeout=WAIT_S) == DOCUMENT.decode()

    def test_an_origin_that_is_not_allowed_is_refused(self, server: Livefeed) -> None:
        """Pages of other origins are answered 403, on each path."""
        for path in ("/feed", "/feed.ws"):
            for origin in ("https://evil.example", "https://scores.example.evil", "null", "http://scores.example"):
                with pytest.raises(InvalidStatus) as caught:
                    server.websocket(path, origin=origin)
                assert caught.value.response.status_code == 403

    def test_allowed_origins_and_none_are_accepted(self, server: Livefeed) -> None:
        """Allowed are the origins of the list, the server's own, and clients that are no browsers."""
        for origin in (ORIGIN, f"https://{server.authority}", None):
            with server.websocket(origin=origin) as subscriber:
                assert subscriber.recv(timeout=WAIT_S) == DOCUMENT.decode()

    def test_every_origin_is_accepted_by_default(self, demo: Livefeed) -> None:
        """Without --allow-origin, pages of any origin may subscribe."""
        with demo.websocket(origin="https://anybody.example") as subscriber:
            assert subscriber.recv(timeout=WAIT_S)

    def test_compression_is_agreed_on(self, server: Livefeed) -> None:
        """A client that offers permessage-deflate is sent compressed frames, each readable by itself (RFC 7692)."""
        with server.websocket(compression="deflate") as subscriber:
            assert subscriber.request is not None
            assert "permessage-deflate" in subscriber.request.headers["Sec-WebSocket-Extensions"]
            assert subscriber.response is not None
            agreed = subscriber.response.headers["Sec-WebSocket-Extensions"]
            assert "server_no_context_takeover" in agreed
            assert "client_no_context_takeover" in agreed
            assert subscriber.recv(timeout=WAIT_S) == DOCUMENT.decode()
            subscriber.send("x" * 100)
            assert subscriber.recv(timeout=WAIT_S) == DOCUMENT.decode()

    def test_an_unknown_subprotocol_is_not_chosen(self, server: Livefeed) -> None:
        """A client that offers subprotocols which there are not gets plain documents."""
        with server.websocket(subprotocols=["other.v1"]) as subscriber:
            assert subscriber.subprotocol is None
            assert subscriber.recv(timeout=WAIT_S) == DOCUMENT.decode()

    @pytest.mark.parametrize("scheme", ["https", "http"])
    def test_frames_in_the_segment_of_the_handshake_are_read(self, server: Livefeed, scheme: str) -> None:
        """A ping that comes in one piece with the handshake is answered."""
        with server.wire(scheme) as wire:
            wire.send(handshake() + client_frame(PING, b"early"))
            response = wire.response()
            assert response.status == 101
            assert response.headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            assert wire.frame_of(PONG) == b"early"

    @pytest.mark.parametrize("scheme", ["https", "http"])
    def test_may_follow_another_request_on_the_connection(self, server: Livefeed, scheme: str) -> None:
        """A connection that was polled on can become a WebSocket, pipelined too."""
        with server.wire(scheme) as wire:
            wire.send(b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n" + handshake() + client_frame(PING, b"x"))
            assert wire.response().body == DOCUMENT
            assert wire.response().status == 101
            assert wire.frame_of(PONG) == b"x"

    @pytest.mark.parametrize(
        ("request_bytes", "status"),
        [
            (handshake(Sec_WebSocket_Version="12"), 426),
            (handshake(Sec_WebSocket_Version=""), 426),
            (handshake(Sec_WebSocket_Key=""), 400),
            (handshake(Sec_WebSocket_Key="short"), 400),
            (handshake(Connection="keep-alive"), 400),
            (handshake(Upgrade=""), 426),
            (handshake().replace(b"HTTP/1.1", b"HTTP/1.0"), 426),
            (handshake().replace(b"GET", b"POST"), 405),
            (handshake("/nothing"), 404),
            (handshake(Host=""), 400),
        ],
        ids=lambda value: value.split(b"\r\n\r\n")[0].decode()[-60:] if isinstance(value, bytes) else None,
    )
    def test_a_wrong_handshake_is_refused(self, server: Livefeed, request_bytes: bytes, status: int) -> None:
        """A request that is no handshake gets an answer, which names the version of WebSocket if that was wrong."""
        with server.wire() as wire:
            wire.send(request_bytes)
            response = wire.response()
        assert response.status == status
        assert response.headers["Content-Type"] == "application/problem+json"
        if b"Version: 12" in request_bytes:
            assert response.headers["Sec-WebSocket-Version"] == "13"


class TestWhatSubscribersSay:
    def test_is_ignored_up_to_the_limit(self, server: Livefeed) -> None:
        """Messages of up to 4 KiB change nothing."""
        with server.websocket() as subscriber:
            subscriber.send("hello")
            subscriber.send(b"x" * 4 * KIB)
            assert subscriber.ping().wait(5)
            assert subscriber.recv(timeout=WAIT_S) == DOCUMENT.decode()

    @pytest.mark.parametrize("fragments", [[b"x" * (4 * KIB + 1)], [b"x" * 4 * KIB, b"x"]])
    def test_too_much_of_it_closes_with_1009(self, server: Livefeed, fragments: list[bytes]) -> None:
        """A message that is too large ends the connection, in one frame or in several."""
        with server.websocket() as subscriber:
            # On a busy machine the server may have closed before the client has sent the frame that ends the message.
            with contextlib.suppress(ConnectionClosed):
                subscriber.send(fragments)
            assert close_code(subscriber) == 1009

    def test_too_often_closes_with_1008(self, server: Livefeed) -> None:
        """A client that sends without an end is disconnected."""
        with server.subscriber_wire() as wire:
            wire.send(client_frame(TEXT, b"talk") * 500)
            assert code_of(wire.frame_of(CLOSE)) == 1008

    @pytest.mark.parametrize(
        ("frame", "code"),
        [
            (client_frame(TEXT, b"hello", masked=False), 1002),
            (client_frame(PING, b"hello", masked=False), 1002),
            (client_frame(0x3, b""), 1002),
            (client_frame(0x40 | TEXT, b"hello"), 1002),
            (client_frame(PING, b"x" * 126), 1002),
            (client_frame(TEXT, b"\xff\xfe"), 1007),
        ],
        ids=["unmasked", "unmasked ping", "unknown opcode", "reserved bit", "long ping", "not UTF-8"],
    )
    def test_a_violation_of_the_protocol_closes(self, server: Livefeed, frame: bytes, code: int) -> None:
        """Each violation of RFC 6455 is answered with a close frame of the right code, and then the connection ends."""
        with server.subscriber_wire() as wire:
            wire.send(frame)
            assert code_of(wire.frame_of(CLOSE)) == code
            wire.send(client_frame(CLOSE, struct.pack("!H", code)))
            assert wire.rest() == b""

    def test_a_close_with_a_code_that_nobody_may_send_ends_the_connection(self, server: Livefeed) -> None:
        """A close frame that is wrong itself is no reason to keep the connection."""
        with server.subscriber_wire() as wire:
            wire.send(client_frame(CLOSE, struct.pack("!H", 1005)))
            wire.rest()

    @pytest.mark.parametrize("scheme", ["https", "http"])
    def test_a_close_of_the_servers_ends_without_a_reset(self, server: Livefeed, scheme: str) -> None:
        """Once the subscriber has answered a close frame, the connection ends cleanly (RFC 6455, 7.1.1)."""
        with server.wire(scheme) as wire:
            wire.send(handshake() + client_frame(TEXT, b"hello", masked=False))
            assert wire.response().status == 101
            wire.send(client_frame(CLOSE, wire.frame_of(CLOSE)))
            assert wire.rest() == b""

    @pytest.mark.parametrize("scheme", ["https", "http"])
    def test_a_close_is_answered(self, server: Livefeed, scheme: str) -> None:
        """A subscriber that leaves gets its close frame back, and the connection ends."""
        with server.wire(scheme) as wire:
            wire.send(handshake())
            assert wire.response().status == 101
            wire.send(client_frame(CLOSE, struct.pack("!H", 1000) + b"bye"))
            assert code_of(wire.frame_of(CLOSE)) == 1000
            assert wire.rest() == b""

    def test_half_a_frame_and_a_broken_connection_hurt_nobody(self, server: Livefeed) -> None:
        """A subscriber that goes away in the middle of a frame is forgotten."""
        with server.websocket() as other:
            with server.subscriber_wire() as wire:
                wire.send(client_frame(TEXT, b"hello")[:4])
            for _ in range(3):
                assert other.recv(timeout=WAIT_S) == DOCUMENT.decode()


class TestSlowSubscribers:
    def test_skip_versions_and_take_no_memory(self, start: Start, tmp_path: Path) -> None:
        """A client that does not read costs no memory, delays no other, and gets the newest version in the end."""
        path = tmp_path / "document.json"
        options = ("--source", f"file:{path}", "--interval", "0.05", "--push=change")
        replace_file(path, b'{"n": 0}')
        livefeed = start(*options)
        # The history is full after the warm-up. Kept for the client, the later versions would be 50 MiB. They compress
        # well: compressing takes most of the time otherwise, in threads whose memory differs from run to run.
        # Their memory also comes and goes, so the least of the end counts.
        warm_up, end, versions, noise = range(70, 90), range(270, 291), 290, b"x" * (256 * KIB)
        most = 20 * KIB * KIB
        with (
            livefeed.websocket(max_size=None) as reading,
            livefeed.subscriber_wire(receive_buffer=16 * KIB) as not_reading,
        ):
            assert reading.recv(timeout=WAIT_S) == '{"n": 0}'
            before, after = 0, sys.maxsize
            for number in range(1, versions + 1):
                document = b'{"n": %d, "noise": "%s"}' % (number, noise)
                replace_file(path, document)
                message = reading.recv(timeout=WAIT_S)
                assert isinstance(message, str)
                assert message.encode() == document
                if number in warm_up:
                    before = max(before, livefeed.resident_bytes())
                if number in end:
                    after = min(after, livefeed.resident_bytes())
            assert after - before < most
            # All that was in flight comes first, in order; then the newest, with nothing kept in between.
            numbers: list[int] = []
            while not numbers or numbers[-1] != versions:
                opcode, payload = not_reading.frame()
                assert opcode == TEXT
                numbers.append(json.loads(payload)["n"])
        assert numbers == sorted({*numbers})
        assert len(numbers) < versions // 2
        assert payload == document

    def test_are_kept_when_they_read_again(self, start: Start, tmp_path: Path) -> None:
        """A subscriber that caught up follows like every other."""
        path = tmp_path / "document.json"
        noise = b"x" * 512 * KIB
        replace_file(path, b'["%s", 0]' % noise)
        livefeed = start("--source", f"file:{path}", "--interval", "0.05", "--push=change")
        with (
            livefeed.websocket(max_size=None) as reading,
            livefeed.subscriber_wire(receive_buffer=16 * KIB) as slow,
        ):
            reading.recv(timeout=WAIT_S)
            for number in range(1, 31):
                replace_file(path, b'["%s", %d]' % (noise, number))
                reading.recv(timeout=WAIT_S)
            while json.loads(slow.frame_of(TEXT))[1] != 30:
                pass
            for number in range(31, 34):
                replace_file(path, b"[%d]" % number)
                assert slow.frame() == (TEXT, b"[%d]" % number)
            slow.send(client_frame(PING, b"still here"))
            assert slow.frame_of(PONG) == b"still here"
