"""HTTP caches in front of livefeed: nginx and Varnish, with the configuration of ``docs/caches.md``."""

from __future__ import annotations

import gzip
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import brotli
import httpx
import pytest
import websockets.sync.client
import zstandard

from livefeed.snapshot import version_of
from tests.integration.harness import HOST, TCP, WAIT_S, Livefeed, Polling, Process, free_port, peer, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from livefeed.certificates import DevelopmentCertificate
    from tests.integration.conftest import Start
    from tests.integration.harness import Polled

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "caches.md"
LIVEFEED_PORT = "8080"
"""Where the page has livefeed listen."""

DOCUMENT = b'{"list": [%s], "n": 1.50 }\n' % b", ".join(b"%d" % number for number in range(500))
PARTS = DOCUMENT.replace(b'"n": 1.50', b'"a": {"b": 1, "b.ws": 2, "b.": 3}, "a/b": 4')
LONG_TICK = ("--interval", "600")
"""A test is over within the first tick."""

SHORT_TICK = ("--interval", "0.2")
"""May be kept for a second all the same: HTTP has nothing smaller."""

SLACK = timedelta(seconds=0.5)


def configuration(language: str) -> str:
    """Gives what the page shows."""
    match = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert match is not None
    return match[1]


def replaced(text: str, changes: dict[str, str]) -> str:
    """Changes what stands there just once."""
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


class Cache:
    """A cache that runs.

    :param kind: what it is.
    :param process: the process.
    :param port: where it listens.
    """

    def __init__(self, kind: str, process: Process, port: int) -> None:
        self.kind = kind
        self._process = process
        self.port = port
        self.http = self.new_client()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.http.close()
        self._process.signal(signal.SIGTERM)
        try:
            self._process.wait()
        finally:
            self._process.close()

    def new_client(self) -> httpx.Client:
        """Gives a client, for the caller to close."""
        return httpx.Client(base_url=f"http://{HOST}:{self.port}", trust_env=False, timeout=WAIT_S)

    def coded(self, coding: str) -> tuple[httpx.Headers, bytes]:
        """Gives the document as it comes, with its fields."""
        with self.http.stream("GET", "/feed", headers={"Accept-Encoding": coding}) as response:
            assert response.status_code == 200
            return response.headers, b"".join(response.iter_raw())


def nginx(directory: Path, port: int, changes: dict[str, str]) -> Cache:
    """Starts nginx in front of a port."""
    program, own = peer("nginx", "nginx"), free_port()
    http = replaced(
        configuration("nginx"),
        {
            f"127.0.0.1:{LIVEFEED_PORT}": f"{HOST}:{port}",
            "listen 80;": f"listen {HOST}:{own};",
            "/var/cache/nginx/livefeed": f"{directory}/cache",
            **changes,
        },
    )
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = directory / "nginx.conf"
    file.write_text(
        "daemon off;\nmaster_process off;\nerror_log stderr notice;\n"
        f"pid {directory}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{http}}}\n"
    )
    process = Process([program, "-e", "stderr", "-p", str(directory), "-c", str(file)], directory=directory)
    try:
        # It listens before it says how it will wait for events.
        process.wait_for("using the .* event method")
    except BaseException:
        process.close()
        raise
    return Cache("nginx", process, own)


def varnish(directory: Path, port: int, changes: dict[str, str]) -> Cache:
    """Starts Varnish in front of a port."""
    program, own = peer("varnishd", "varnish"), free_port()
    vcl = replaced(configuration("vcl"), {f'"{LIVEFEED_PORT}"': f'"{port}"', **changes})
    file = directory / "livefeed.vcl"
    file.write_text(vcl)
    # Without a jail: it stays the user that runs the tests, whose directories others may not read.
    options = ("-F", "-j", "none", "-n", str(directory / "varnish"), "-s", "malloc,32m", "-a", f"{HOST}:{own}")
    process = Process([program, *options, "-f", str(file)], directory=directory)
    try:
        process.wait_for("Child launched OK|Child starts")
    except BaseException:
        process.close()
        raise
    return Cache("varnish", process, own)


def end(sock: socket.socket) -> None:
    """Closes a socket, of which another thread may be waiting for something."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


class Tap:
    """Stands between a cache and livefeed, passes on what both say, and remembers it.

    :param port: where livefeed listens.
    """

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._listening = socket.create_server((HOST, 0))
        self.port: int = self._listening.getsockname()[1]
        self._said: list[tuple[bytearray, bytearray]] = []
        self._changed = threading.Condition()
        self._connections = ExitStack()
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *details: object) -> None:
        end(self._listening)
        self._accepting.join()
        self._connections.close()
        for thread in self._threads:
            thread.join()

    def exchanges(self) -> list[tuple[str, int]]:
        """Gives the head of each GET that was answered, and the status of the answer."""
        with self._changed:
            said = [(asked.decode("latin-1"), answered.decode("latin-1")) for asked, answered in self._said]
        pairs = [
            (head, int(status))
            for asked, answered in said
            # Nobody sends content. Varnish's probe asks by HEAD.
            for head, status in zip(asked.split("\r\n\r\n"), re.findall(r"HTTP/1\.1 (\d{3}) ", answered), strict=False)
        ]
        return [(head, status) for head, status in pairs if head.startswith("GET ")]

    def wait_for(self, wanted: Callable[[list[tuple[str, int]]], object]) -> list[tuple[str, int]]:
        """Gives the exchanges as soon as they are as wanted."""
        with self._changed:
            assert self._changed.wait_for(lambda: wanted(self.exchanges()), WAIT_S), self.exchanges()
            return self.exchanges()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            self._connections.callback(end, near)
            try:
                far = socket.create_connection((HOST, self._upstream))
            except OSError:
                end(near)
                continue
            self._connections.callback(end, far)
            asked, answered = bytearray(), bytearray()
            with self._changed:
                self._said.append((asked, answered))
            for directions in ((near, far, asked), (far, near, answered)):
                thread = threading.Thread(target=self._pass_on, args=directions)
                thread.start()
                self._threads.append(thread)

    def _pass_on(self, source: socket.socket, target: socket.socket, said: bytearray) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._changed:
                    said += data
                    self._changed.notify_all()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


REVALIDATE = {"proxy_cache_lock on;": "proxy_cache_lock on; proxy_cache_revalidate on;"}
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompress(data, max_output_size=1 << 20),
}


@dataclass
class Place:
    """Puts caches in front of livefeed; they end with the test."""

    # required parameters
    directory: Path
    stack: ExitStack

    def nginx(self, port: int, changes: dict[str, str] | None = None) -> Cache:
        return self.stack.enter_context(nginx(self._new_directory("nginx"), port, changes or {}))

    def varnish(self, port: int, changes: dict[str, str] | None = None) -> Cache:
        return self.stack.enter_context(varnish(self._new_directory("varnish"), port, changes or {}))

    def each(self, port: int) -> tuple[Cache, ...]:
        """Puts one of each kind there, so that what takes time takes it once."""
        return self.nginx(port), self.varnish(port)

    def polling(self, cache: Cache) -> Polling:
        """Polls through a cache until the test ends."""
        return self.stack.enter_context(Polling(cache, pause_s=0.02))

    def tap(self, port: int) -> Tap:
        """Listens to what the cache says."""
        return self.stack.enter_context(Tap(port))

    def _new_directory(self, name: str) -> Path:
        directory = self.directory / name
        directory.mkdir()
        return directory


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Puts caches in front of livefeed."""
    with ExitStack() as stack:
        yield Place(tmp_path, stack)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file that livefeed follows."""
    path = tmp_path / "document.json"
    replace_file(path, DOCUMENT)
    return path


def wait_until_served(livefeed: Livefeed, document: bytes, *, ticks: int = 0) -> None:
    """Returns when livefeed has a document, or so many ticks later."""
    with livefeed.websocket() as subscriber:
        while subscriber.recv(timeout=WAIT_S) != document.decode():
            pass
        for _ in range(ticks):
            assert subscriber.recv(timeout=WAIT_S) == document.decode()


def seconds(fields: httpx.Headers, directive: str) -> int:
    """Gives what ``Cache-Control`` says."""
    match = re.search(rf"\b{directive}=(\d+)", fields["Cache-Control"])
    assert match is not None, fields
    return int(match[1])


def shows(document: bytes, answer: Polled) -> bool:
    """Tells whether an answer has the document."""
    return answer.body == document


class TestFreshness:
    def test_crowd_is_one_request(self, place: Place, start: Start, path: Path) -> None:
        """Of all who ask within a tick, at once and one after another, livefeed sees the first."""
        livefeed = start("--source", f"file:{path}", *LONG_TICK, listen=(TCP,))
        clients, requests = 16, 10
        for put in (place.nginx, place.varnish):
            tap = place.tap(livefeed.port)
            cache = put(tap.port)
            together = threading.Barrier(clients)

            def poll(number: int, cache: Cache = cache, together: threading.Barrier = together) -> None:
                with cache.new_client() as client:
                    together.wait(WAIT_S)
                    for _ in range(requests):
                        # A query makes no other document of it.
                        response = client.get(f"/feed?{number}")
                        assert (response.status_code, response.content) == (200, DOCUMENT)

            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(poll, range(clients)))
            assert len(tap.exchanges()) == 1, cache.kind

    def test_unchanged_document_is_revalidated(self, place: Place, start: Start, path: Path) -> None:
        """The cache asks with the tag that it has, is answered 304, and has a fresh document again."""
        livefeed = start("--source", f"file:{path}", *SHORT_TICK, listen=(TCP,))
        taps = [place.tap(livefeed.port) for _ in range(2)]
        caches = place.nginx(taps[0].port, REVALIDATE), place.varnish(taps[1].port)
        pollings = [place.polling(cache) for cache in caches]
        for tap, polling in zip(taps, pollings, strict=True):
            exchanges = tap.wait_for(lambda exchanges: len(exchanges) >= 3)
            polling.wait_for(lambda answer: answer.status == 200)
            assert [status for _, status in exchanges] == [200] + [304] * (len(exchanges) - 1)
            tag = polling.answers[0].headers["ETag"]
            for head, _ in exchanges[1:]:
                assert f"\r\nif-none-match: {tag}\r\n".lower() in head.lower()
            assert {(answer.status, answer.body) for answer in polling.answers} == {(200, DOCUMENT)}
            # It is not asked for each of them anew: the 304 counts.
            assert len(polling.answers) > 5 * len(exchanges)
            assert polling.failures == []

    def test_state_and_time_pass(self, place: Place, start: Start, path: Path) -> None:
        """While the document stays the same; Varnish takes them from a 304."""
        livefeed = start("--source", f"file:{path}", *SHORT_TICK, listen=(TCP,))
        pollings = [place.polling(cache) for cache in place.each(livefeed.port)]
        for polling in pollings:
            at = polling.wait_for(lambda answer: answer.state == "live").headers["Livefeed-At"]
            polling.wait_for(lambda answer, at=at: answer.headers["Livefeed-At"] > at)  # type: ignore[misc]
        path.unlink()
        for polling in pollings:
            polling.wait_for(lambda answer: answer.state == "stale")
            assert {(answer.status, answer.body) for answer in polling.answers} == {(200, DOCUMENT)}

    def test_new_version_is_seen_in_time(self, place: Place, start: Start, path: Path) -> None:
        """While many ask, and by one who asks after a pause; and nobody sees the old one again."""
        livefeed = start("--source", f"file:{path}", listen=(TCP,))
        caches = place.each(livefeed.port)
        seldom = "/feed.json"
        for cache in caches:
            assert cache.http.get(seldom).content == DOCUMENT
        pollings = [place.polling(cache) for cache in caches]
        fields = [polling.wait_for(partial(shows, DOCUMENT)).headers for polling in pollings]
        replace_file(path, b"[1]")
        wait_until_served(livefeed, b"[1]")
        served = time.monotonic()
        for polling, known in zip(pollings, fields, strict=True):
            seen = polling.wait_for(partial(shows, b"[1]"))
            # The caches' clocks go by seconds, and nobody is punctual here.
            assert seen.at - served < seconds(known, "max-age") + seconds(known, "stale-while-revalidate") + 2
        wait_until_served(livefeed, b"[1]", ticks=4)
        for cache, polling in zip(caches, pollings, strict=True):
            assert cache.http.get(seldom).content == b"[1]"
            bodies = [answer.body for answer in polling.answers]
            assert bodies == sorted(bodies, key=[DOCUMENT, b"[1]"].index)
            assert polling.failures == []


@pytest.fixture(scope="module")
def variants_tap(certificate: DevelopmentCertificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tap]:
    """Between the caches and a livefeed with a document of many parts, in its first tick."""
    directory = tmp_path_factory.mktemp("variants")
    (directory / "document.json").write_bytes(PARTS)
    options = ("--source", f"file:{directory}/document.json", *LONG_TICK)
    with (
        Livefeed(*options, directory=directory, certificate=certificate, listen=(TCP,)) as livefeed,
        Tap(livefeed.port) as tap,
    ):
        yield tap


@pytest.fixture(scope="module", params=["nginx", "varnish"])
def variants(
    request: pytest.FixtureRequest, variants_tap: Tap, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cache]:
    """A cache of each kind in front of that."""
    with ExitStack() as stack:
        put: Callable[[int], Cache] = getattr(Place(tmp_path_factory.mktemp("caches"), stack), request.param)
        yield put(variants_tap.port)


class TestVariants:
    def test_everybody_gets_what_they_can_read(self, variants: Cache, variants_tap: Tap) -> None:
        """Byte for byte, in whatever order they come; and 304 with the tag that they were given."""
        before = asked = len(variants_tap.exchanges())
        for codings in (CODINGS, [*reversed(CODINGS)]):
            asked = len(variants_tap.exchanges())
            for coding in codings:
                fields, content = variants.coded(coding)
                got = fields.get("Content-Encoding", "identity")
                assert got in (coding, "identity")
                assert CODINGS[got](content) == PARTS
                if coding == "gzip":
                    assert got == coding
                conditions = {"Accept-Encoding": coding, "If-None-Match": fields["ETag"]}
                assert variants.http.get("/feed", headers=conditions).status_code == 304
        # The second time, all of it came from the cache.
        assert len(variants_tap.exchanges()) == asked <= before + len(CODINGS)

    def test_parts_are_not_mistaken_for_one_another(self, variants: Cache) -> None:
        """Their paths differ in nothing but a percent sign, or a dot."""
        for _ in range(2):
            for part, content in (("a/b", b"1"), ("a%2Fb", b"4"), ("a~1b", b"4"), ("a/b.", b"3"), ("a/b.ws", b"2")):
                assert variants.http.get(f"/feed/{part}").content == content

    def test_events_are_not_the_document(self, variants: Cache) -> None:
        """Who accepts events is sent them though the document is in the cache, and who does not is sent that."""
        assert variants.http.get("/feed").content == PARTS
        with variants.http.stream("GET", "/feed", headers={"Accept": "text/event-stream"}) as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            assert f"id: {version_of(PARTS)}" in response.iter_lines()
            assert variants.http.get("/feed").content == PARTS


class TestOutage:
    """The cache goes on with what it has; clients see how old the data are, and then the new ones."""

    def watch(self, *caches: Cache, place: Place) -> list[tuple[Cache, Polling]]:
        """Polls through caches from now on, and returns when each has the document."""
        watched = [(cache, place.polling(cache)) for cache in caches]
        for _, polling in watched:
            polling.wait_for(partial(shows, DOCUMENT))
        return watched

    def assert_kept(self, watched: list[tuple[Cache, Polling]], since: float, *, more_s: float) -> None:
        """Fails unless the document was there all the time since livefeed was, and is for some seconds more."""
        until = time.monotonic() + more_s
        for cache, polling in watched:
            late = polling.wait_for(lambda answer: answer.at > until)
            assert {answer.status for answer in polling.answers} == {200}, cache.kind
            assert late.body == DOCUMENT
            passed = timedelta(seconds=time.monotonic() - since)
            assert datetime.fromisoformat(late.headers["Livefeed-At"]) < datetime.now(UTC) - passed + SLACK
            if cache.kind == "varnish":
                assert int(late.headers["Age"]) >= more_s - 1

    def assert_seen(self, watched: list[tuple[Cache, Polling]], document: bytes) -> None:
        """Fails unless another document is there soon, and nothing else was in between."""
        for cache, polling in watched:
            polling.wait_for(partial(shows, document))
            assert {answer.status for answer in polling.answers} == {200}, cache.kind
            assert polling.failures == []

    def test_livefeed_is_started_anew(self, place: Place, start: Start, path: Path, tmp_path: Path) -> None:
        """Nobody is there for a while, and then one who has kept the document, and cannot pull it."""
        port = free_port()
        options = ("--source", f"file:{path}", *SHORT_TICK, "--state-dir", str(tmp_path / "state"))
        listen = (f"tcp:{port}:interface={HOST}",)
        livefeed = start(*options, listen=listen)
        watched = self.watch(*place.each(port), place=place)
        stopped = time.monotonic()
        assert livefeed.terminate() == 0
        # Longer than it is fresh, or stale while it is asked for anew.
        self.assert_kept(watched, stopped, more_s=3.5)
        path.unlink()
        start(*options, listen=listen, live=False)
        for _, polling in watched:
            assert polling.wait_for(lambda answer: answer.state == "stale").body == DOCUMENT
        replace_file(path, b"[1]")
        self.assert_seen(watched, b"[1]")

    def test_livefeed_has_no_document(self, place: Place, start: Start, path: Path) -> None:
        """After a restart: nginx passes the 503 on, and Varnish goes on for as long as the old answer allows."""
        port = free_port()
        options, listen = ("--source", f"file:{path}", *SHORT_TICK), (f"tcp:{port}:interface={HOST}",)
        livefeed = start(*options, listen=listen)
        watched = self.watch(*place.each(port), place=place)
        stopped = time.monotonic()
        assert livefeed.terminate() == 0
        path.unlink()
        start(*options, listen=listen, live=False)
        (_, by_nginx), by_varnish = watched
        answer = by_nginx.wait_for(lambda answer: answer.status != 200)
        assert (answer.status, answer.state) == (503, "stale")
        self.assert_kept([by_varnish], stopped, more_s=3.5)
        replace_file(path, b"[1]")
        self.assert_seen([by_varnish], b"[1]")
        by_nginx.wait_for(partial(shows, b"[1]"))

    def test_livefeed_hangs(self, place: Place, start: Start, path: Path) -> None:
        """Connections are taken, and nobody answers."""
        livefeed = start("--source", f"file:{path}", *SHORT_TICK, listen=(TCP,))
        watched = self.watch(*place.each(livefeed.port), place=place)
        stopped = time.monotonic()
        livefeed.process.signal(signal.SIGSTOP)
        self.assert_kept(watched, stopped, more_s=4.5)
        replace_file(path, b"[1]")
        livefeed.process.signal(signal.SIGCONT)
        self.assert_seen(watched, b"[1]")


class TestExpiry:
    """Nobody is shown a document that is too old, whatever a cache has, and whatever has become of livefeed."""

    GONE_AFTER_S = 5

    def begin(self, place: Place, start: Start, path: Path) -> tuple[Livefeed, list[Polling], Callable[[], Livefeed]]:
        """Gives a livefeed, what polls it through each kind of cache, and what starts another one in its place."""
        port = free_port()
        options = ("--source", f"file:{path}", *SHORT_TICK, "--gone-after", f"{self.GONE_AFTER_S}")
        start_another = partial(start, *options, listen=(f"tcp:{port}:interface={HOST}",), live=False)
        livefeed = start_another()
        pollings = [place.polling(cache) for cache in place.each(port)]
        for polling in pollings:
            polling.wait_for(partial(shows, DOCUMENT))
        return livefeed, pollings, start_another

    def assert_none_too_old(self, polling: Polling) -> None:
        """Fails if the document was shown when it was too old, or came back."""
        since = time.time() - time.monotonic()
        answers = polling.answers
        shown = [answer for answer in answers if answer.status == 200]
        assert answers[: len(shown)] == shown
        for answer in shown:
            age = datetime.fromtimestamp(since + answer.at, UTC) - datetime.fromisoformat(answer.headers["Livefeed-At"])
            # nginx counts the seconds of the clock, and not those that pass.
            assert age < timedelta(seconds=self.GONE_AFTER_S + 1) + SLACK
        assert polling.failures == []

    def test_livefeed_says_so(self, place: Place, start: Start, path: Path) -> None:
        """By 410, which is passed on; and nobody brings the old document back afterwards, with livefeed or without."""
        livefeed, pollings, start_another = self.begin(place, start, path)
        path.unlink()
        for polling in pollings:
            answer = polling.wait_for(lambda answer: answer.status != 200)
            assert (answer.status, answer.state) == (410, "expired")
        livefeed.process.signal(signal.SIGKILL)
        for polling in pollings:
            polling.wait_for(lambda answer: answer.status in (502, 503))
        start_another()
        for polling in pollings:
            polling.wait_for(lambda answer: answer.status == 503, count=10)
            self.assert_none_too_old(polling)
        replace_file(path, b"[1]")
        for polling in pollings:
            polling.wait_for(partial(shows, b"[1]"))

    def test_livefeed_is_not_there_to_say_so(self, place: Place, start: Start, path: Path) -> None:
        """The cache goes on for as long as livefeed has allowed, which is for less than it may be shown."""
        livefeed, pollings, _ = self.begin(place, start, path)
        livefeed.process.signal(signal.SIGKILL)
        livefeed.process.wait()
        ended = time.monotonic()
        for polling in pollings:
            answer = polling.wait_for(lambda answer: answer.status != 200)
            assert answer.status in (502, 503)
            *_, last = (answer for answer in polling.answers if answer.status == 200)
            # Fresh for a second, and then stale.
            assert last.at > ended + 2
            self.assert_none_too_old(polling)


class TestPushing:
    def test_websocket_and_events_pass(self, place: Place, start: Start, path: Path) -> None:
        """Each document is there when it is pushed, and not when some buffer is full."""
        replace_file(path, b"[0]")
        livefeed = start("--source", f"file:{path}", "--interval", "0.05", "--push=change", listen=(TCP,))
        for cache in place.each(livefeed.port):
            address = f"ws://{HOST}:{cache.port}/feed"
            replace_file(path, b"[0]")
            wait_until_served(livefeed, b"[0]")
            with (
                cache.http.stream("GET", "/feed.sse", headers={"Accept": "*/*"}) as response,
                websockets.sync.client.connect(address, proxy=None, compression="deflate") as subscriber,
            ):
                data = (line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: "))
                for number in range(5):
                    document = f"[{number}]"
                    replace_file(path, document.encode())
                    assert next(data) == document
                    assert subscriber.recv(timeout=WAIT_S) == document

    def test_events_pass_a_proxy_that_was_not_told_of_them(self, place: Place, start: Start, path: Path) -> None:
        """Nginx speaks HTTP/1.0 if not told otherwise, and keeps what it is sent until a buffer is full; not here."""
        replace_file(path, b"[0]")
        livefeed = start("--source", f"file:{path}", "--interval", "0.05", listen=(TCP,))
        cache = place.nginx(livefeed.port, {"proxy_http_version 1.1;": ""})
        with cache.http.stream("GET", "/feed.sse") as response:
            data = (line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: "))
            for number in range(3):
                replace_file(path, b"[%d]" % number)
                assert next(data) == f"[{number}]"

    def test_who_waits_keeps_nobody_else_waiting(self, place: Place, start: Start, path: Path) -> None:
        """A request with Prefer: wait goes past the cache, which is kept up to date meanwhile."""
        livefeed = start("--source", f"file:{path}", *SHORT_TICK, listen=(TCP,))
        taps = [place.tap(livefeed.port) for _ in range(2)]
        caches = place.nginx(taps[0].port), place.varnish(taps[1].port)
        with ThreadPoolExecutor() as pool:
            waiting = []
            for cache in caches:
                headers = {"If-None-Match": cache.http.get("/feed").headers["ETag"], "Prefer": "wait=30"}
                waiting.append(pool.submit(cache.http.get, "/feed", headers=headers))
            pollings = [place.polling(cache) for cache in caches]
            for tap in taps:
                tap.wait_for(lambda exchanges: len(exchanges) >= 2)
            assert not any(answer.done() for answer in waiting)
            replace_file(path, b"[1]")
            for polling, answer in zip(pollings, waiting, strict=True):
                response = answer.result(WAIT_S)
                assert (response.status_code, response.content) == (200, b"[1]")
                assert response.headers["Preference-Applied"] == "wait=30"
                polling.wait_for(partial(shows, b"[1]"))

    def test_patch_is_for_the_clients_version(self, place: Place, start: Start, path: Path) -> None:
        """And not for that of the cache."""
        livefeed = start("--source", f"file:{path}", *SHORT_TICK, listen=(TCP,))
        caches = place.each(livefeed.port)
        tags = [cache.http.get("/feed", headers={"Accept-Encoding": "gzip"}).headers["ETag"] for cache in caches]
        for number in range(2):
            replace_file(path, DOCUMENT.replace(b"1.50", b"%d" % number))
            wait_until_served(livefeed, path.read_bytes())
            for cache, tag in zip(caches, tags, strict=True):
                response = cache.http.get("/feed", headers={"A-IM": "json-patch", "If-None-Match": tag})
                assert (response.status_code, response.headers["Delta-Base"]) == (226, tag)
                assert response.json()[-1]["value"] == number
