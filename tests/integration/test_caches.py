"""HTTP caches in front of livefeed: nginx and Varnish, with the configuration of ``docs/howto/proxies/``."""

from __future__ import annotations

import gzip
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import brotli
import pytest
import websockets.sync.client
import zstandard

from livefeed.document.snapshot import version_of
from tests.helpers.waiting import wait_until
from tests.integration.desks import command
from tests.integration.harness import HOST, TCP, WAIT_S, Livefeed, free_port, replace_file
from tests.integration.proxies import Place, Tap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start
    from tests.integration.harness import Polled, Polling
    from tests.integration.proxies import Cache

pytestmark = pytest.mark.peers

DOCUMENT = b'{"list": [%s], "n": 1.50 }\n' % b", ".join(b"%d" % number for number in range(500))
PARTS = DOCUMENT.replace(b'"n": 1.50', b'"a": {"b": 1, "b.ws": 2, "b.": 3}, "a/b": 4')
LONG_TICK = ("--interval", "600")
"""A test is over within the first tick."""

SHORT_TICK = ("--interval", "0.2")
"""May be kept for a second all the same: HTTP has nothing smaller."""

SLACK = timedelta(seconds=0.5)


REVALIDATE = {"proxy_cache_lock on;": "proxy_cache_lock on; proxy_cache_revalidate on;"}
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompress(data, max_output_size=1 << 20),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file that livefeed follows."""
    path = tmp_path / "document.json"
    replace_file(path, DOCUMENT)
    return path


def wait_until_served(livefeed: Livefeed, document: bytes, *, ticks: int = 0) -> None:
    """Returns when livefeed has a document, or `ticks` ticks later."""
    with livefeed.websocket() as subscriber:
        while subscriber.recv(timeout=WAIT_S) != document.decode():
            pass
        for _ in range(ticks):
            assert subscriber.recv(timeout=WAIT_S) == document.decode()


def seconds(fields: httpx.Headers, directive: str) -> int:
    """Gives the seconds of a directive of ``Cache-Control``."""
    match = re.search(rf"\b{directive}=(\d+)", fields["Cache-Control"])
    assert match is not None, fields
    return int(match[1])


def shows(document: bytes, answer: Polled) -> bool:
    """Tells whether an answer has the document."""
    return answer.body == document


class TestFreshness:
    def test_crowd_is_one_request(self, place: Place, start: Start, path: Path) -> None:
        """livefeed sees only the first of all requests within a tick, simultaneous or successive."""
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
        """State and time change while the document stays the same; Varnish takes them from a 304."""
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
        """For many clients at once, and for one that asks after a pause; no client sees the old version again."""
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
            polling.wait_for(partial(shows, b"[1]"))
            # The clocks of the caches count whole seconds, and the machine has other work.
            until = served + seconds(known, "max-age") + seconds(known, "stale-while-revalidate") + 2
            assert all(answer.body == b"[1]" for answer in polling.answers if answer.asked > until)
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
        """Each client gets a coding that it can read, byte for byte and in any order; its tag gives 304."""
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
        """Clients that accept events get events although the document is in the cache; the others get the document."""
        assert variants.http.get("/feed").content == PARTS
        with variants.http.stream("GET", "/feed", headers={"Accept": "text/event-stream"}) as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            assert f"id: {version_of(PARTS)}" in response.iter_lines()
            assert variants.http.get("/feed").content == PARTS


class TestOutage:
    """The cache serves its copy; clients see the age of the data, and then the new data."""

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
        """livefeed is down for a while, and then has its kept document, but no source."""
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
        """livefeed accepts connections and does not answer."""
        livefeed = start("--source", f"file:{path}", *SHORT_TICK, listen=(TCP,))
        watched = self.watch(*place.each(livefeed.port), place=place)
        stopped = time.monotonic()
        livefeed.process.signal(signal.SIGSTOP)
        self.assert_kept(watched, stopped, more_s=4.5)
        replace_file(path, b"[1]")
        livefeed.process.signal(signal.SIGCONT)
        self.assert_seen(watched, b"[1]")


class TestExpiry:
    """No client gets a document that is too old, from any cache, with livefeed or without."""

    GONE_AFTER_S = 5

    def begin(self, place: Place, start: Start, path: Path) -> tuple[Livefeed, list[Polling], Callable[[], Livefeed]]:
        """Gives a livefeed, a poller behind each kind of cache, and a function that starts a livefeed in its place."""
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
            age = datetime.fromtimestamp(since + answer.asked, UTC) - datetime.fromisoformat(
                answer.headers["Livefeed-At"]
            )
            # nginx counts the seconds of the clock, and not those that pass.
            assert age < timedelta(seconds=self.GONE_AFTER_S + 1) + SLACK
        assert polling.failures == []

    def test_livefeed_says_so(self, place: Place, start: Start, path: Path) -> None:
        """The 410 of livefeed is passed on; the old document never comes back, with livefeed or without."""
        livefeed, pollings, start_another = self.begin(place, start, path)
        path.unlink()
        for polling in pollings:
            answer = polling.wait_for(lambda answer: answer.status != 200)
            assert (answer.status, answer.state) == (410, "expired")
        shown = [answer for polling in pollings for answer in polling.answers if answer.status == 200]
        last_s = max(datetime.fromisoformat(answer.headers["Livefeed-At"]).timestamp() for answer in shown)
        for polling in pollings:
            # nginx counts the seconds of the clock, so it may use its copy of the document for up to one second more.
            polling.wait_for(lambda _: time.time() > last_s + self.GONE_AFTER_S + 1)
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
                data = (line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ["))
                for number in range(5):
                    document = f"[{number}]"
                    replace_file(path, document.encode())
                    assert next(data) == document
                    assert subscriber.recv(timeout=WAIT_S) == document

    def test_events_pass_a_proxy_that_was_not_told_of_them(self, place: Place, start: Start, path: Path) -> None:
        """nginx speaks HTTP/1.0 and buffers events by default; with this configuration it does not."""
        replace_file(path, b"[0]")
        livefeed = start("--source", f"file:{path}", "--interval", "0.05", listen=(TCP,))
        cache = place.nginx(livefeed.port, {"proxy_http_version 1.1;": ""})
        with cache.http.stream("GET", "/feed.sse") as response:
            data = (line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ["))
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
        """The patch does not start at the version of the cache."""
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


def test_protected_feed(start: Start, place: Place, tmp_path: Path, path: Path) -> None:
    """No cache gives a client what another one was answered, with a token or without."""
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text("a q0Ywz3nOScE8uWq3Yc0dT1p4\n")
    livefeed = start("--source", f"file:{path}", "--auth-tokens", str(tokens), *LONG_TICK, listen=(TCP,))
    good = {"Authorization": "Bearer q0Ywz3nOScE8uWq3Yc0dT1p4"}
    wait_until(lambda: livefeed.http.get("/feed", headers=good).status_code == 200, "a document")
    for cache in place.each(livefeed.port):
        with cache.new_client() as client, cache.new_client() as other:
            for _ in range(3):
                answer = client.get("/feed", headers=good)
                assert (answer.status_code, answer.content) == (200, DOCUMENT), cache
                assert other.get("/feed").status_code == 401, cache
                assert other.get("/feed", headers={"If-None-Match": answer.headers["etag"]}).status_code == 401, cache
                wrong = {"Authorization": "Bearer wrong"}
                assert other.get("/feed", headers=wrong).status_code in (401, 429), cache


class TestWithdrawal:
    """A withdrawn document leaves all caches within a tick, and comes back only when the operator says so."""

    def test_withdrawn(self, place: Place, start: Start, path: Path) -> None:
        """A cache may use its copy while that is fresh, and never again after its first question."""
        livefeed = start("--source", f"file:{path}", *SHORT_TICK, listen=(TCP,))
        pollings = [place.polling(cache) for cache in place.each(livefeed.port)]
        fields = [polling.wait_for(partial(shows, DOCUMENT)).headers for polling in pollings]
        command(livefeed, "withdraw")
        withdrawn = time.monotonic()
        for polling, known in zip(pollings, fields, strict=True):
            answer = polling.wait_for(lambda answer: answer.status != 200)
            assert (answer.status, answer.state, answer.headers["Cache-Control"]) == (410, "withdrawn", "no-store")
            # nginx counts the seconds of the clock. The answer that it gets in the background says that it must not be
            # stored, so the document stays for as long as it may be shown meanwhile.
            until = withdrawn + seconds(known, "max-age") + seconds(known, "stale-while-revalidate") + 1
            assert all(answer.status == 410 for answer in polling.answers if answer.asked > until)
        for polling in pollings:
            polling.wait_for(lambda answer: answer.status == 410, count=20)
            statuses = [answer.status for answer in polling.answers]
            assert set(statuses[statuses.index(410) :]) == {410}
        replace_file(path, b"[1]")
        command(livefeed, "resume")
        for polling in pollings:
            polling.wait_for(partial(shows, b"[1]"))

    def test_held(self, place: Place, start: Start, path: Path) -> None:
        """Caches pass on the state, and the time for which a newer document waits."""
        livefeed = start("--source", f"file:{path}", *SHORT_TICK, "--public-reasons", "true", listen=(TCP,))
        pollings = [place.polling(cache) for cache in place.each(livefeed.port)]
        command(livefeed, "hold", reason="a recount")
        replace_file(path, b"[1]")
        for polling in pollings:
            answer = polling.wait_for(lambda answer: "Livefeed-Waiting" in answer.headers)
            assert (answer.status, answer.state, answer.body) == (200, "held", DOCUMENT)
            assert answer.headers["Livefeed-Reason"] == '"a recount"'
        # The same version is live again: nothing of the hold stays in a cache.
        replace_file(path, DOCUMENT)
        command(livefeed, "release")
        for polling in pollings:
            answer = polling.wait_for(lambda answer: answer.state == "live")
            assert [answer.headers.get(f"Livefeed-{name}", "") for name in ("Waiting", "Reason")] == ["", ""]
        replace_file(path, b"[1]")
        for polling in pollings:
            polling.wait_for(partial(shows, b"[1]"))
