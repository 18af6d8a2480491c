"""Server-sent events and long-polling over real connections, with clients that know nothing of livefeed."""

from __future__ import annotations

import json
import re
import signal
import ssl
from collections import Counter
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.support.ui import WebDriverWait

from livefeed.document.snapshot import version_of
from tests.helpers.peers import peer
from tests.integration.browsing import call
from tests.integration.harness import TCP, TEXT, TLS, WAIT_S, Livefeed, Process, Wire, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

KIB = 1024
FIRST = b'{"n": 0}'
GET = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"
FOLLOW = b"GET /feed.sse HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Source:
    """A file that livefeed follows.

    :param path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # On a busy machine, a pull may take longer than a feed stays live by default.
        self.options = ("--source", f"file:{path}", "--interval", "0.05", "--stale-after", "60")

    def write(self, document: bytes) -> bytes:
        replace_file(self._path, document)
        return document


@pytest.fixture
def own_source(tmp_path: Path) -> Source:
    """The file of a server that the test starts."""
    source = Source(tmp_path / "document.json")
    source.write(FIRST)
    return source


@pytest.fixture(params=[TLS, TCP], ids=["tls", "tcp"])
def own_server(request: pytest.FixtureRequest, start: Start, own_source: Source) -> Livefeed:
    """A server that the test may stop."""
    return start(*own_source.options, listen=(request.param,))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The file of the server of all tests that do not stop it."""
    source = Source(tmp_path_factory.mktemp("following") / "document.json")
    source.write(FIRST)
    return source


@pytest.fixture(scope="module", params=[TLS, TCP], ids=["tls", "tcp"])
def shared(
    request: pytest.FixtureRequest,
    source: Source,
    certificate: DevelopmentCertificate,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Livefeed]:
    """The server of all tests that do not stop it, with the document that the last test has left."""
    directory = tmp_path_factory.mktemp("server")
    with Livefeed(*source.options, directory=directory, certificate=certificate, listen=(request.param,)) as livefeed:
        yield livefeed


@pytest.fixture
def server(shared: Livefeed, source: Source) -> Livefeed:
    """The server of all tests that do not stop it, with the first document."""
    source.write(FIRST)
    with shared.subscriber_of_each() as wires:
        for wire in wires:
            while wire.frame_of(TEXT) != FIRST:
                pass
    return shared


def events(lines: Iterable[str]) -> Iterator[bytes]:
    """Gives the data of events, without the states that are live; the lines are without their ends.

    Documents have their version for an id.
    """
    kind, identifier, data = "message", "", list[str]()
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            identifier = value
        elif name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif not line and data:
            document = "\n".join(data).encode()
            data.clear()
            assert kind == "state" or version_of(document) == identifier
            is_live = kind == "state" and json.loads(document)["state"] == "live"
            kind = "message"
            if not is_live:
                yield document


def follow(wire: Wire, request: bytes = FOLLOW) -> Iterator[bytes]:
    """Asks for a stream, reads its head, and gives the documents that are sent on it, as they are read."""
    wire.send(request)
    head = wire.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert b"\r\nContent-Type: text/event-stream\r\n" in head

    def lines() -> Iterator[str]:
        text = b""
        while size := int(wire.until(b"\r\n"), 16):
            text += wire.exactly(size)
            assert wire.exactly(2) == b"\r\n"
            *whole, text = text.split(b"\n")
            yield from (line.decode() for line in whole)
        assert wire.exactly(2) == b"\r\n"

    return events(lines())


def long_poll(wire: Wire, wait_s: int) -> bytes:
    """Sends a request that waits for the version after the newest, and gives the newest once the request waits."""
    wire.send(GET)
    newest = wire.response()
    etag = newest.headers["ETag"].encode()
    request = b"GET /feed HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\nPrefer: wait=%d\r\n\r\n" % (etag, wait_s)
    # The answer to the first request shows that the bytes sent with it have arrived.
    wire.send(GET + request)
    assert wire.response().headers["ETag"].encode() == etag
    return newest.body


def assert_ended(wire: Wire) -> None:
    """Nothing more comes, and the end is an orderly one."""
    if isinstance(wire.sock, ssl.SSLSocket):
        # An end without close_notify is an error, then.
        wire.sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]
    assert wire.rest() == b""


class TestStream:
    @pytest.mark.parametrize(
        ("path", "accept"),
        [("/feed.sse", "*/*"), ("/feed", "text/event-stream"), ("/feed", "application/json;q=0.5, text/event-stream")],
    )
    def test_each_version_comes_as_it_is_written(
        self, server: Livefeed, source: Source, path: str, accept: str
    ) -> None:
        """The newest at once, then the next ones, with the version for an id."""
        with server.http.stream("GET", path, headers={"Accept": accept, "Accept-Encoding": "gzip"}) as response:
            assert response.status_code == 200
            assert response.headers["Content-Type"] == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-store, no-transform"
            assert "Content-Encoding" not in response.headers
            received = events(response.iter_lines())
            assert next(received) == b'{"n": 0}'
            for number in range(1, 6):
                document = source.write(b'{\n  "n": %d\n}' % number)
                assert next(received) == document

    def test_large_documents_come_whole(self, server: Livefeed, source: Source) -> None:
        """Documents that no socket takes in one piece arrive whole."""
        with server.wire() as wire:
            received = follow(wire)
            assert next(received) == b'{"n": 0}'
            for size in (16 * KIB, 64 * KIB, 900 * KIB):
                document = source.write(b'"%s"' % (b"x" * size))
                assert next(received) == document

    def test_client_that_comes_back_is_sent_what_it_has_not(self, server: Livefeed, source: Source) -> None:
        """The client is sent a newer version at once, and no version that it has."""
        version = version_of(b'{"n": 0}').encode()
        request = FOLLOW.replace(b"\r\n\r\n", b"\r\nLast-Event-ID: " + version + b"\r\n\r\n")
        with server.wire() as wire:
            received = follow(wire, request)
            document = source.write(b'{"n": 1}')
            assert next(received) == document
        with server.wire() as wire:
            assert next(follow(wire, request)) == document

    def test_stream_is_there_before_the_document_is(self, start: Start, own_source: Source, tmp_path: Path) -> None:
        """Clients can wait although the source is down."""
        (tmp_path / "document.json").unlink()
        livefeed = start(*own_source.options, live=False)
        with livefeed.wire() as wire:
            received = follow(wire)
            assert json.loads(next(received)) == {"state": "stale", "at": None}
            document = own_source.write(b'{"n": 1}')
            assert next(received) == document

    def test_stream_follows_another_request_on_the_connection(self, server: Livefeed, source: Source) -> None:
        """One that was answered before, and perhaps by replay."""
        with server.wire() as wire:
            for _ in range(3):
                wire.send(GET)
                assert wire.response().body == b'{"n": 0}'
            received = follow(wire)
            assert next(received) == b'{"n": 0}'
            document = source.write(b'{"n": 1}')
            assert next(received) == document

    @pytest.mark.peers
    def test_curl_follows(
        self, start: Start, own_source: Source, certificate: DevelopmentCertificate, tmp_path: Path
    ) -> None:
        """As the documentation shows; the stream ends properly, so the client ends without an error."""
        curl = peer("curl", "curl")
        livefeed = start(*own_source.options)
        url = f"https://{livefeed.authority}/feed.sse"
        options = ("--no-buffer", "--silent", "--show-error", "--noproxy", "*", "--cacert", str(certificate.ca))
        process = Process([curl, *options, url], directory=tmp_path)
        try:
            process.wait_for(r'^data: \{"n": 0\}$')
            for number in range(1, 4):
                own_source.write(b'{"n": %d}' % number)
                process.wait_for(rf'^data: \{{"n": {number}\}}$')
            assert livefeed.terminate() == 0
            assert process.wait() == 0, process.text()
        finally:
            process.close()

    def test_clients_that_leave_are_forgotten(self, server: Livefeed, source: Source) -> None:
        """Clients leave with and without a close; the others continue."""
        with server.wire() as staying:
            received = follow(staying)
            for number in range(1, 21):
                with server.wire() as leaving:
                    assert next(follow(leaving))
                document = source.write(b'{"n": %d}' % number)
                while next(received) != document:
                    pass


class TestSlowReader:
    def test_skips_versions_and_takes_no_memory(self, start: Start, own_source: Source) -> None:
        """A client that does not read costs no memory, delays no other, and gets the newest version in the end."""
        livefeed = start(*own_source.options)
        # The history is full after the warm-up. Kept for the client, the later versions would be 50 MiB. They compress
        # well: compressing takes most of the time otherwise, in threads whose memory differs from run to run.
        warm_up, versions, noise = range(70, 90), 290, b"x" * (256 * KIB)
        most = 20 * KIB * KIB
        with livefeed.wire() as reading, livefeed.wire(receive_buffer=16 * KIB) as not_reading:
            others, skipped = follow(reading), follow(not_reading)
            assert next(others) == next(skipped) == b'{"n": 0}'
            before = 0
            for number in range(1, versions + 1):
                document = own_source.write(b'{"n": %d, "noise": "%s"}' % (number, noise))
                assert next(others) == document
                if number in warm_up:
                    before = max(before, livefeed.resident_bytes())
            assert livefeed.resident_bytes() - before < most
            # All that was in flight comes first, in order; then the newest, with nothing kept in between.
            numbers: list[int] = []
            while not numbers or numbers[-1] != versions:
                newest = next(skipped)
                numbers.append(json.loads(newest)["n"])
            assert newest == document
            assert numbers == sorted({*numbers})
            assert len(numbers) < versions // 2
            # It follows like every other from there on.
            for number in range(3):
                document = own_source.write(b"[%d]" % number)
                assert next(others) == next(skipped) == document


class TestLongPoll:
    def test_is_answered_when_the_file_is_written(self, server: Livefeed, source: Source) -> None:
        """Long before its time is over: that is longer than anything is waited for here."""
        with server.wire() as wire:
            for number in range(1, 6):
                long_poll(wire, 50)
                document = source.write(b'{"n": %d}' % number)
                response = wire.response()
                assert (response.status, response.body) == (200, document)
                assert response.headers["Preference-Applied"] == "wait=50"

    def test_is_answered_304_when_its_time_is_over(self, server: Livefeed) -> None:
        """Ticks without a change are none of its business."""
        with server.wire() as wire:
            long_poll(wire, 1)
            response = wire.response()
            assert (response.status, response.headers["Preference-Applied"]) == (304, "wait=1")

    def test_waits_anew_each_time(self, server: Livefeed, source: Source) -> None:
        """That one like it was answered 304 a moment ago is no answer: nothing that waits is answered by replay."""
        with server.wire() as first, server.wire() as second:
            long_poll(first, 1)
            assert first.response().status == 304
            for wire in (first, second):
                long_poll(wire, 50)
            document = source.write(b'{"n": 1}')
            for wire in (first, second):
                response = wire.response()
                assert (response.status, response.body) == (200, document)

    def test_many_wait_at_once(self, server: Livefeed, source: Source) -> None:
        """A client that leaves meanwhile disturbs no other."""
        with ExitStack() as stack:
            wires = [stack.enter_context(server.wire()) for _ in range(50)]
            for wire in wires:
                long_poll(wire, 50)
            for wire in wires[::5]:
                wire.close()
            document = source.write(b'{"n": 1}')
            for wire in (wire for number, wire in enumerate(wires) if number % 5):
                assert wire.response().body == document

    def test_httpx_goes_from_version_to_version(self, server: Livefeed, source: Source) -> None:
        """The loop that a client would have."""
        response = server.http.get("/feed")
        for number in range(1, 6):
            document = source.write(b'{"n": %d}' % number)
            headers = {"If-None-Match": response.headers["ETag"], "Prefer": "wait=10"}
            response = server.http.get("/feed", headers=headers)
            assert (response.status_code, response.content) == (200, document)


class TestStop:
    def test_everybody_is_let_go_in_order(self, own_server: Livefeed) -> None:
        """Streams end with their last chunk, requests that wait are answered, and connections are closed properly."""
        with ExitStack() as stack:
            streams, polls = ([stack.enter_context(own_server.wire()) for _ in range(5)] for _ in range(2))
            followed = [follow(wire) for wire in streams]
            for received in followed:
                assert next(received) == b'{"n": 0}'
            for wire in polls:
                long_poll(wire, 50)
            own_server.process.signal(signal.SIGTERM)
            for received, wire in zip(followed, streams, strict=True):
                assert list(received) == []
                assert_ended(wire)
            for wire in polls:
                response = wire.response()
                assert (response.status, response.headers["Preference-Applied"]) == (304, "wait=50")
                assert response.headers["Retry-After"] in ("6", "7")
                assert_ended(wire)
            for wire in (*streams, *polls):
                wire.close()
            assert own_server.process.wait(own_server.stop_s) == 0

    def test_streams_are_told_when_to_come_back(self, own_server: Livefeed) -> None:
        """The delay comes last, 20 ms later for each few. In HTTP/1.0, which has no chunks, it is the last line."""
        with ExitStack() as stack:
            streams = [stack.enter_context(own_server.wire()) for _ in range(24)]
            for number, wire in enumerate(streams):
                wire.send(FOLLOW if number % 2 else FOLLOW.replace(b"HTTP/1.1", b"HTTP/1.0"))
                wire.until(b'data: {"n": 0}\n\n')
            own_server.process.signal(signal.SIGTERM)
            told = Counter[bytes]()
            for number, wire in enumerate(streams):
                end = rb"retry: (\d+)\n\r\n0\r\n\r\n\Z" if number % 2 else rb"(?:\A|\n)retry: (\d+)\n\Z"
                match = re.search(end, wire.rest())
                assert match is not None
                told[match[1]] += 1
                wire.close()
            # Their number for each value depends on the time that a handshake takes here.
            delays = sorted(int(delay) for delay in told)
            assert delays == [*range(6000, 6000 + 20 * len(delays), 20)]
            assert own_server.process.wait(own_server.stop_s) == 0

    def test_clients_that_stay_hold_nothing_up(self, own_server: Livefeed) -> None:
        """They neither read nor close."""
        with own_server.wire() as stream, own_server.wire() as poll:
            assert next(follow(stream)) == b'{"n": 0}'
            long_poll(poll, 50)
            assert own_server.terminate() == 0

    def test_stream_that_is_full_holds_nothing_up(self, own_server: Livefeed, own_source: Source) -> None:
        """An answer to a client that does not read is given up in time."""
        noise = b"x" * 900_000
        with own_server.wire(receive_buffer=16 * KIB) as not_reading, own_server.wire() as reading:
            follow(not_reading)
            others = follow(reading)
            assert next(others) == b'{"n": 0}'
            for number in range(20):
                document = own_source.write(b'["%s", %d]' % (noise, number))
                assert next(others) == document
            assert own_server.terminate() == 0


@pytest.mark.peers
def test_page_of_another_origin_follows(browser: Chrome, start: Start, own_source: Source, other_origin: str) -> None:
    """EventSource receives each version, with its id, and reads documents of several lines as they are."""
    livefeed = start(*own_source.options)
    browser.get(other_origin)
    browser.execute_script(
        """
        window.seen = [];
        window.source = new EventSource(arguments[0]);
        source.onmessage = (event) => seen.push([event.lastEventId, event.data]);
        """,
        f"https://{livefeed.authority}/feed.sse",
    )

    def has_seen(count: int, browser: Chrome) -> bool:
        return len(browser.execute_script("return seen")) == count

    wait = WebDriverWait(browser, WAIT_S, poll_frequency=0.05)
    documents = [b'{"n": 0}', b'{"n": 1.50}', b'{\n  "n": 2,\n\n  "city": "Z\xc3\xbcrich"\n}']
    for count, document in enumerate(documents, start=1):
        own_source.write(document)
        wait.until(partial(has_seen, count))
    expected = [[version_of(document), document.decode()] for document in documents]
    assert browser.execute_script("source.close(); return seen") == expected


@pytest.mark.peers
def test_page_of_an_origin_that_is_not_allowed_receives_nothing(
    browser: Chrome, start: Start, own_source: Source, other_origin: str
) -> None:
    """The browser keeps the stream from it."""
    livefeed = start(*own_source.options, "--allow-origin", "https://example.org")
    browser.get(other_origin)
    outcome = call(
        browser,
        f"""new Promise((resolve) => {{
            const source = new EventSource("https://{livefeed.authority}/feed.sse");
            source.onmessage = () => resolve("message");
            source.onerror = () => resolve("error " + source.readyState);
        }})""",
    )
    # 2 is CLOSED: it does not try again.
    assert outcome == "error 2"
