"""Malformed requests are refused on TLS and on plain TCP alike, without an effect on other clients."""

from __future__ import annotations

import json
import ssl
import threading
from contextlib import ExitStack, closing
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import TCP, TLS, TRANSPORT, WAIT_S, Livefeed, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.tls.development import DevelopmentCertificate

GOOD = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /feed HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 501
"""The first bytes of a TLS client."""

HEAD_LIMIT = 16 * 1024
SLOW_HEAD_WAIT_S = 14.0
"""How long a slow head is waited for: the 10 s that it may take, and a little."""


def get(*lines: bytes, target: bytes = b"/feed", version: bytes = b"HTTP/1.1") -> bytes:
    return b"".join(line + b"\r\n" for line in (b"GET " + target + b" " + version, *lines, b""))


class SlowHeads:
    """Connections on which a head was begun when this module's first test ran, and is never ended.

    A test takes one over when the others are done, so that its 10 s pass meanwhile.
    """

    def __init__(self, server: Livefeed) -> None:
        self._stack = ExitStack()
        self._stop = threading.Event()
        self.wires: dict[tuple[str, str], Wire] = {}
        for scheme in server.ports:
            for kind, begun in (
                ("silent", b"GET /feed HTTP/1.1\r\nHost:"),
                ("dripping", b"GET /feed HTTP/1.1\r\nX-Slow: "),
                ("bare LF", GOOD.replace(b"\r\n", b"\n")),
                ("second", GOOD + b"GET"),
                ("no line", b"\xaa" * 512),
            ):
                wire = self._stack.enter_context(server.wire(scheme))
                wire.send(begun)
                self.wires[scheme, kind] = wire
        self._thread = threading.Thread(target=self._drip, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._stack.close()

    def _drip(self) -> None:
        dripping = [wire for (_, kind), wire in self.wires.items() if kind == "dripping"]
        while dripping and not self._stop.wait(0.5):
            for wire in [*dripping]:
                try:
                    wire.send(b"x")
                except OSError:
                    dripping.remove(wire)


@pytest.fixture(scope="module")
def server(certificate: DevelopmentCertificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Livefeed]:
    directory = tmp_path_factory.mktemp("strictness")
    with Livefeed(directory=directory, certificate=certificate, listen=(TLS, TCP)) as livefeed:
        yield livefeed


@pytest.fixture(scope="module", autouse=True)
def slow_heads(server: Livefeed) -> Iterator[SlowHeads]:
    slow = SlowHeads(server)
    try:
        yield slow
    finally:
        slow.close()


@pytest.fixture(params=["https", "http"])
def wire(request: pytest.FixtureRequest, server: Livefeed) -> Iterator[Wire]:
    with server.wire(request.param) as connection:
        yield connection


def assert_refused(wire: Wire, status: int) -> None:
    """Fails unless the one answer is a problem, and the connection ends after it."""
    response = wire.response()
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Connection"].lower() == "close"
    assert parsedate_to_datetime(response.headers["Date"]).tzinfo is not None
    assert json.loads(response.body)["status"] == status
    assert wire.rest() == b""


class TestHeads:
    @pytest.mark.parametrize(
        "head",
        [
            get(),
            get(b"Host: localhost", b"Host: localhost"),
            get(b"Host: localhost", b"hOST: other.example"),
            get(b"Host: local host"),
            get(b"Host: localhost, other.example"),
            get(b"Host: localhost", b"X: a\x01b"),
            get(b"Host: localhost", b"X: a\x00b"),
            get(b"Host: localhost", b"X: a\x7fb"),
            get(b"Host: localhost", b"X: a\rb"),
            get(b"Host: localhost", b"X: a\nY: b"),
            get(b"Host: localhost", b"X\x00: a"),
            get(b"Host: localhost", b"X : a"),
            get(b"Host: localhost", b": a"),
            get(b"Host: localhost", b"no colon"),
            get(b"Host: localhost", target=b"/fe\x00ed"),
            get(b"Host: localhost", target=b"/fe\x01ed"),
            get(b"Host: localhost", target=b"/fe\xffed"),
            get(b"Host: localhost", target=b"/feed x"),
            get(b"Host: localhost", target=b""),
            get(b"Host: localhost", version=b"HTTP/1.1.1"),
            get(b"Host: localhost", version=b"ICY/1.1"),
            b"GET /feed\r\n\r\n",
            b"\x80\x81\x82 nothing that anybody speaks \xff\r\n\r\n",
            b"G\x00ET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            get(b"Host: localhost", b"Content-Length: abc"),
            get(b"Host: localhost", b"Content-Length: -1"),
            get(b"Host: localhost", b"Content-Length: +1"),
            get(b"Host: localhost", b"Content-Length: 0x1"),
            get(b"Host: localhost", b"Content-Length: 1_0"),
            get(b"Host: localhost", b"Content-Length: 1", b"Content-Length: 2"),
            get(b"Host: localhost", b"Content-Length: 0", b"Content-Length: 2"),
            get(b"Host: localhost", b"Content-Length: " + b"x" * 30),
            get(b"Host: localhost", b"Transfer-Encoding: identity"),
            get(b"Host: localhost", b"Transfer-Encoding: chunked, gzip"),
            get(b"Host: localhost", target=b"http:///feed"),
            get(b"Host: localhost", target=b"http://user@localhost/feed"),
        ],
        ids=repr,
    )
    def test_malformed_ones_are_refused(self, wire: Wire, head: bytes) -> None:
        """A head that is not as RFC 9112 has it is answered 400, and the connection ends."""
        wire.send(head)
        assert_refused(wire, 400)

    def test_what_follows_a_malformed_one_is_not_read(self, wire: Wire) -> None:
        """Where one request ended cannot be known after a malformed one: nothing more is answered."""
        wire.send(get(b"Host: localhost", b"X: a\x01b") + GOOD + GOOD)
        assert_refused(wire, 400)

    def test_what_comes_before_a_malformed_one_is_answered(self, wire: Wire) -> None:
        """A good request is answered, though a malformed one follows it."""
        wire.send(GOOD + get())
        assert wire.response().status == 200
        assert_refused(wire, 400)

    @pytest.mark.parametrize(
        "head",
        [
            get(b"Host: localhost", b"X: " + b"x" * HEAD_LIMIT),
            get(b"Host: localhost", *[b"X-%d: %s" % (number, b"x" * 100) for number in range(200)]),
            get(b"Host: localhost", *[b"X: y"] * 600),
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 4 * HEAD_LIMIT,
        ],
        ids=["long field", "many long fields", "many short fields", "endless field"],
    )
    def test_too_large_ones_are_refused(self, wire: Wire, head: bytes) -> None:
        """A head of more than 16 KiB, or of too many fields, is answered 431."""
        wire.send(head)
        assert_refused(wire, 431)

    def test_a_long_target_is_refused(self, wire: Wire) -> None:
        """A long target has a status of its own (RFC 9112, 3)."""
        wire.send(get(b"Host: localhost", target=b"/" + b"x" * HEAD_LIMIT))
        assert_refused(wire, 414)

    @pytest.mark.parametrize(
        "rest",
        [
            b"/feed HTTP/1.1\r\n\r\n",
            b"/feed HTTP/1.1\r\nHost: localhost\r\nX: \x01\r\n\r\n",
            b"/" + b"x" * HEAD_LIMIT + b" HTTP/1.1\r\n\r\n",
            b"/feed\r\n\r\n",
        ],
        ids=["no host", "control character", "long target", "no version"],
    )
    def test_of_head_are_refused_without_content(self, wire: Wire, rest: bytes) -> None:
        """HEAD is refused without content, even behind a replayed answer (RFC 9110, 9.3.2)."""
        for _ in range(3):
            wire.send(GOOD.replace(b"GET", b"HEAD"))
            assert wire.response("HEAD").status == 200
        wire.send(b"HEAD " + rest)
        response = wire.response("HEAD")
        assert response.status in (400, 414)
        assert int(response.headers["Content-Length"]) > 0
        assert wire.rest() == b""

    def test_large_ones_are_not(self, wire: Wire) -> None:
        """A head of a little less than 16 KiB is read."""
        wire.send(get(b"Host: localhost", b"Cookie: " + b"x" * (HEAD_LIMIT - 200)))
        assert wire.response().status == 200

    def test_folded_fields_are_refused(self, wire: Wire) -> None:
        """A server either unfolds them or says 400 (RFC 9112, 5.2)."""
        wire.send(get(b"Host: localhost", b'If-None-Match: "other",', b' "another"'))
        assert_refused(wire, 400)

    def test_a_folded_host_is_refused(self, wire: Wire) -> None:
        """A Host that is no host when it is unfolded is malformed."""
        wire.send(get(b"Host: local", b" host"))
        assert_refused(wire, 400)

    @pytest.mark.parametrize("host", [b"localhost:8443", b"127.0.0.1", b"[::1]:8443", b"example.org."])
    def test_hosts_of_every_kind_are_taken(self, wire: Wire, host: bytes) -> None:
        """A name, an IPv4 and an IPv6 address are hosts, with a port and without."""
        wire.send(get(b"Host: " + host))
        assert wire.response().status == 200


class TestContent:
    @pytest.mark.parametrize(
        "fields",
        [(b"Content-Length: 5",), (b"Transfer-Encoding: chunked",)],
        ids=["length", "chunked"],
    )
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            (b"GET", b"/feed", 413),
            (b"GET", b"/", 413),
            (b"GET", b"/feed.ws", 413),
            (b"POST", b"/feed", 405),
            (b"PUT", b"/", 405),
            (b"POST", b"/nothing", 404),
        ],
    )
    def test_is_refused_before_it_is_sent(
        self, wire: Wire, method: bytes, path: bytes, status: int, fields: tuple[bytes, ...]
    ) -> None:
        """A request with content is answered from its head alone, and the connection ends."""
        wire.send(b"%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n" % (method, path, b"\r\n".join(fields)))
        assert_refused(wire, status)

    def test_a_large_one_is_not_waited_for(self, wire: Wire) -> None:
        """The answer to a POST of gigabytes comes at once, and is not 'go on'."""
        wire.send(
            b"POST /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert_refused(wire, 405)

    def test_the_answer_reaches_a_client_that_sends_all_of_it(self, wire: Wire) -> None:
        """A client that sends its content before it reads finds the answer, and no reset."""
        body = b"x" * 512 * 1024
        wire.send(b"POST /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
        wire.send(body)
        assert wire.response().status == 405

    def test_a_length_of_thousands_of_digits_is_refused(self, wire: Wire) -> None:
        """An absurd number is not converted."""
        wire.send(get(b"Host: localhost", b"Content-Length: " + b"9" * 5000))
        assert_refused(wire, 413)

    @pytest.mark.parametrize(
        "fields",
        [
            b"Content-Length: 4\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nContent-Length: 4",
            b"Transfer-Encoding: chunked, identity",
            b"Transfer-Encoding: xchunked",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            b"Content-Length: 4",
            b"Transfer-Encoding: chunked",
        ],
    )
    def test_is_never_taken_for_a_request(self, wire: Wire, fields: bytes) -> None:
        """No bytes after the head of a request with content are answered, whatever its fields say of the content."""
        wire.send(b"POST /feed HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n\r\n0\r\n\r\n" + GOOD + GOOD)
        response = wire.response()
        assert response.status in (400, 405, 413, 501)
        assert response.headers["Connection"].lower() == "close"
        assert wire.rest() == b""


class TestRequests:
    def test_pipelined_ones_are_answered_in_order(self, wire: Wire) -> None:
        """Requests that come in one piece are answered one after the other."""
        wire.send(
            GOOD
            + GOOD.replace(b"/feed", b"/nothing")
            + GOOD.replace(b"GET", b"HEAD")
            + GOOD.replace(b"GET", b"OPTIONS")
            + GOOD.replace(b"/feed", b"/")
            + LAST
        )
        methods = ("GET", "GET", "HEAD", "OPTIONS", "GET", "GET")
        responses = [wire.response(method) for method in methods]
        assert [response.status for response in responses] == [200, 404, 200, 204, 200, 200]
        assert responses[4].body.startswith(b"<!doctype html>")
        assert json.loads(responses[5].body)
        assert wire.rest() == b""

    def test_many_pipelined_ones_are_all_answered(self, wire: Wire) -> None:
        """A few hundred requests in one piece are no more than that many answers."""
        wire.send(GOOD.replace(b"GET", b"HEAD") * 300 + LAST)
        for _ in range(300):
            assert wire.response("HEAD").status == 200
        assert wire.response().status == 200
        assert wire.rest() == b""

    def test_byte_by_byte_is_no_other_than_at_once(self, wire: Wire) -> None:
        """A head can come in any pieces."""
        for position in range(len(LAST)):
            wire.send(LAST[position : position + 1])
        assert wire.response().status == 200
        assert wire.rest() == b""

    def test_empty_lines_before_one_are_skipped(self, wire: Wire) -> None:
        """A line end that an old client sends too much is not taken amiss (RFC 9112, 2.2)."""
        wire.send(b"\r\n" + LAST)
        assert wire.response().status == 200

    def test_http_1_0_is_answered_and_closed(self, wire: Wire) -> None:
        """An old client needs no Host, and the end of the connection is the end of its answer."""
        wire.send(b"GET /feed HTTP/1.0\r\n\r\n")
        response = wire.response()
        assert response.status == 200
        assert json.loads(response.body)
        assert "Transfer-Encoding" not in response.headers
        assert wire.rest() == b""

    @pytest.mark.parametrize("target", [b"http://other.example/feed", b"HTTPS://other.example:8443/feed?x=/y"])
    def test_an_absolute_target_is_the_same_document(self, wire: Wire, target: bytes) -> None:
        """A target with scheme and host, as proxies send it, is answered as its path is (RFC 9112, 3.2.2)."""
        wire.send(get(b"Host: localhost", target=target))
        response = wire.response()
        assert response.status == 200
        assert json.loads(response.body)

    @pytest.mark.parametrize(
        "lines",
        [
            b"Connection: close",
            b"Connection: TE, close",
            b"Connection: close,TE",
            b"Connection: ,CLOSE ,",
            b"Connection: TE\r\nConnection: close",
        ],
    )
    def test_the_last_is_the_last(self, wire: Wire, lines: bytes) -> None:
        """A request with Connection: close is the last one, wherever the option stands (RFC 9112, 9.6)."""
        wire.send(GOOD)
        assert wire.response().status == 200
        wire.send(GOOD[:-2] + lines + b"\r\n\r\n" + GOOD)
        response = wire.response()
        assert (response.status, response.headers["Connection"]) == (200, "close")
        assert wire.rest() == b""

    def test_a_last_one_by_itself_is_the_last(self, wire: Wire) -> None:
        """A last request that comes by itself can be answered by replay."""
        for _ in range(2):
            wire.send(GOOD)
            assert wire.response().status == 200
        wire.send(GOOD[:-2] + b"Connection: TE,close\r\n\r\n")
        assert wire.response().headers["Connection"] == "close"
        assert wire.rest() == b""

    def test_a_condition_is_no_matter_for_repeated_answers(self, wire: Wire) -> None:
        """A request for another version does not get this one, even after this one was sent (RFC 9110, 13.1.1)."""
        for _ in range(3):
            wire.send(GOOD)
            assert wire.response().status == 200
            wire.send(GOOD[:-2] + b'If-Match: "other"\r\n\r\n')
            assert wire.response().status == 412

    def test_an_absolute_target_without_a_path_is_the_page(self, wire: Wire) -> None:
        """The root can be asked for without a slash."""
        wire.send(get(b"Host: localhost", target=b"http://other.example"))
        assert wire.response().body.startswith(b"<!doctype html>")

    @pytest.mark.parametrize("line", [b"OPTIONS *", b"CONNECT localhost:443", b"GET *", b"GET feed"])
    def test_other_targets_are_no_documents(self, wire: Wire, line: bytes) -> None:
        """A target that is no path is answered, with no document and without breaking."""
        wire.send(line + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        response = wire.response()
        assert response.status in ((200, 204) if line == b"OPTIONS *" else (400, 404, 405))
        assert response.body == b"" or response.headers["Content-Type"] == "application/problem+json"
        assert wire.rest() == b""


class TestTransport:
    def test_plain_http_is_redirected(self, server: Livefeed) -> None:
        """On the TLS port the connection ends after that. Twisted's transport ends it without an answer."""
        with server.tcp_socket("https") as sock:
            sock.sendall(GOOD)
            received = Wire(sock).rest()
        if TRANSPORT == "fast":
            assert received.startswith(b"HTTP/1.1 308 Permanent Redirect\r\nLocation: https://localhost/feed\r\n")
        else:
            assert len(received) <= 7

    @pytest.mark.parametrize("data", [b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"\xff" * 200])
    def test_what_is_not_tls_is_cut_off(self, server: Livefeed, data: bytes) -> None:
        """Garbage on the TLS port gets an alert at most, and the connection ends."""
        with server.tcp_socket("https") as sock:
            sock.sendall(data)
            received = Wire(sock).rest()
        assert len(received) <= 7
        assert received[:1] in (b"", b"\x15")

    @pytest.mark.parametrize("data", [LAST, get(), GOOD[:-2] + b"Connection: TE,close\r\n\r\n"])
    def test_the_end_is_said_by_tls_too(self, server: Livefeed, data: bytes) -> None:
        """A close_notify comes before the end (RFC 9112, 9.8)."""
        with server.wire("https") as wire:
            assert isinstance(wire.sock, ssl.SSLSocket)
            # An end without close_notify is an error, then.
            wire.sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]
            wire.send(data)
            assert wire.rest().startswith(b"HTTP/1.1 ")

    def test_tls_where_http_is_spoken_is_refused_at_once(self, server: Livefeed) -> None:
        """A TLS client waits for an answer, and sends no end of a line."""
        for scheme in server.ports:
            for data in (CLIENT_HELLO, CLIENT_HELLO[:1]):
                with server.wire(scheme) as wire:
                    wire.send(data)
                    assert_refused(wire, 400)
        with closing(server.tcp_socket("http")) as sock, pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(sock, server_hostname="localhost")

    def test_a_reset_in_the_middle_of_anything_hurts_nobody(self, server: Livefeed) -> None:
        """Clients that vanish at any point leave the server unchanged."""
        for scheme in server.ports:
            for data in (b"", GOOD[:20], GOOD, GOOD * 50, GOOD * 50 + GOOD[:20]):
                with server.wire(scheme) as wire:
                    wire.send(data)
        with server.wire() as wire:
            wire.send(LAST)
            assert wire.response().status == 200


class TestAfterwards:
    @pytest.mark.parametrize("scheme", ["https", "http"])
    @pytest.mark.parametrize("kind", ["silent", "dripping", "bare LF", "second", "no line"])
    def test_a_slow_head_got_408(self, slow_heads: SlowHeads, scheme: str, kind: str) -> None:
        """A head that is incomplete after 10 s is answered with 408, even if the client continues to send."""
        wire = slow_heads.wires[scheme, kind]
        wire.sock.settimeout(SLOW_HEAD_WAIT_S)
        if kind == "second":
            assert wire.response().status == 200
        assert_refused(wire, 408)

    def test_the_server_is_as_it_was(self, server: Livefeed) -> None:
        """After all of this the server answers, pushes, and has nothing to report."""
        assert server.http.get("/feed").headers["Livefeed-State"] == "live"
        with server.websocket() as subscriber:
            subscriber.recv(timeout=WAIT_S)
            assert subscriber.recv(timeout=WAIT_S)
        server.assert_unbroken()
        assert server.log().count("is stale") == 0
