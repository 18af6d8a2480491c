"""An HTTP origin as the source: livefeed as the cache in front of it, for all behaviours of the origin."""

from __future__ import annotations

import base64
import gzip
import re
import socket
import struct
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from tests.helpers.waiting import wait_until
from tests.integration.harness import HOST, WAIT_S, Polling, free_port
from tests.integration.origin_store import Asked, OriginStore, WilfulOrigin, answer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed

pytestmark = pytest.mark.sources

DOCUMENT = b'\t{"a": 1.50,  "b": 12345678901234567890 ,\r\n "c":"\xc3\xbc\\u00fc"}  \n'
FAST = ("--interval", "0.1")
LIVE, STALE = 'feed "feed" is live', 'feed "feed" is (?:still )?stale'


def numbered(number: int) -> bytes:
    return b'{"n": %d, "filler": "%b"}' % (number, b"x" * 500)


@pytest.fixture(params=["http", "https"])
def store(request: pytest.FixtureRequest, certificate: DevelopmentCertificate, tmp_path: Path) -> Iterator[OriginStore]:
    with OriginStore(tmp_path, certificate if request.param == "https" else None) as server:
        server.set_document(numbered(0))
        yield server


def assert_served(livefeed: Livefeed, document: bytes, state: str) -> None:
    response = livefeed.http.get("/feed")
    assert response.status_code == 200
    assert response.headers["Livefeed-State"] == state
    assert response.content == document


def assert_never_backwards(polling: Polling) -> None:
    """Fails if a request failed, or an answer had an older version than the one before."""
    assert polling.failures == []
    assert {answer.status for answer in polling.answers} == {200}
    numbers = [int(answer.body[6 : answer.body.index(b",")]) for answer in polling.answers]
    assert numbers == sorted(numbers)


class TestNginx:
    """nginx, plain and with TLS, with gzip and tags."""

    def test_document_is_served_as_it_is(self, store: OriginStore, start: Start) -> None:
        """Each version is at all watchers, byte for byte, though it came in gzip."""
        livefeed = start("--source", store.url, *FAST)
        with livefeed.websocket() as subscriber:
            for document in (DOCUMENT, b"[1.0]\n", b" 2 ", numbered(7)):
                store.set_document(document)
                while subscriber.recv(timeout=WAIT_S) != document.decode():
                    pass
                assert_served(livefeed, document, "live")
        assert "is stale" not in livefeed.log()
        assert {coding for status, coding, _ in store.asked() if status == 200} == {"gzip"}

    def test_what_has_not_changed_is_not_sent(self, store: OriginStore, start: Start) -> None:
        """Requests have a condition once a version has settled, and share one connection."""
        livefeed = start("--source", store.url, *FAST)
        wait_until(lambda: [status for status, _, _ in store.asked()[-5:]] == [304] * 5, store.asked)
        assert_served(livefeed, numbered(0), "live")
        assert len({connection for _, _, connection in store.asked()}) == 1

    def test_versions_of_one_second_and_one_size_are_told_apart(self, store: OriginStore, start: Start) -> None:
        """The tag of nginx is a file's second and size: the last of several versions with one tag is served."""
        livefeed = start("--source", store.url, "--interval", "0.05")
        for number in range(100, 140):
            store.set_document(numbered(number))
            store.wait_for_answers(1)
        with Polling(livefeed, pause_s=0.02) as polling:
            polling.wait_for(lambda answer: answer.body == numbered(139))
            assert_never_backwards(polling)

    @pytest.mark.parametrize("how", ["kill", "pause", "restart"])
    def test_trouble_passes_watchers_by(self, store: OriginStore, start: Start, how: str) -> None:
        """A server that is away or hangs is told by the state alone, and so is its return."""
        livefeed = start("--source", store.url)
        with livefeed.websocket() as subscriber, Polling(livefeed, pause_s=0.05) as polling:
            polling.wait_for(lambda answer: answer.state == "live", count=5)
            if how == "restart":
                for number in (1, 2, 3):
                    store.restart()
                    store.set_document(numbered(number))
                    polling.wait_for(lambda answer, n=number: answer.body == numbered(n))  # type: ignore[misc]
            else:
                (store.kill if how == "kill" else store.pause)()
                polling.wait_for(lambda answer: answer.state == "stale")
                polling.wait_for(lambda _: True, count=40)
                store.set_document(numbered(1))
                (store.start if how == "kill" else store.resume)()
                polling.wait_for(lambda answer: answer.state == "live" and answer.body == numbered(1))
                assert polling.states == ["live", "stale", "live"]
                while subscriber.recv(timeout=WAIT_S) != numbered(1).decode():
                    pass
            assert_never_backwards(polling)

    def test_server_that_was_never_there_is_waited_for(self, store: OriginStore, start: Start) -> None:
        """Livefeed starts without its origin, and is live as soon as it is there."""
        store.kill()
        livefeed = start("--source", store.url, *FAST, live=False)
        livefeed.wait_for_log(f"{STALE}.*cannot connect: Connection was refused")
        store.start()
        livefeed.wait_for_log(LIVE)
        assert_served(livefeed, numbered(0), "live")

    def test_missing_document(self, store: OriginStore, start: Start) -> None:
        """A status that is no document is told by its number."""
        livefeed = start("--source", store.url.replace("document", "nothing"), *FAST, live=False)
        livefeed.wait_for_log(f"{STALE}.*the origin answers 404")


def test_certificates_are_verified(start: Start, certificate: DevelopmentCertificate, tmp_path: Path) -> None:
    """An origin without a trusted certificate gets no request."""
    with OriginStore(tmp_path, certificate) as store:
        store.set_document(DOCUMENT)
        livefeed = start("--source", store.url.partition("#")[0], *FAST, live=False)
        livefeed.wait_for_log(f"{STALE}.*TLS: certificate verify failed; #ca=FILE at the end of the URL names the CA")
        assert store.asked() == []


def test_http_on_the_port_of_https(start: Start, tmp_path: Path) -> None:
    """An https: URL with the port of HTTP fails, and the log has the reason."""
    with OriginStore(tmp_path) as store:
        store.set_document(DOCUMENT)
        livefeed = start("--source", store.url.replace("http:", "https:"), *FAST, live=False)
        livefeed.wait_for_log(f"{STALE}.*TLS: wrong version number; is the URL one of http:")


def test_names_of_certificates_are_verified(start: Start, certificate: DevelopmentCertificate, tmp_path: Path) -> None:
    """A certificate that is good for another name is no good."""
    with OriginStore(tmp_path, certificate, host="127.0.0.2") as store:
        store.set_document(DOCUMENT)
        livefeed = start("--source", store.url, *FAST, live=False)
        livefeed.wait_for_log(f"{STALE}.*TLS: the certificate is for another host")
        assert store.asked() == []


def slowly(asked: Asked) -> None:
    asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    for _ in range(100):
        asked.send(b" ")
        if asked.ended.wait(1):
            return


def endlessly(asked: Asked) -> None:
    asked.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(10_000):
        asked.send(b"1000\r\n" + b" " * 4096 + b"\r\n")


def endless_head(asked: Asked) -> None:
    asked.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(1_000_000):
        asked.send(b"X-%d: %b\r\n" % (number, b"x" * 1000))


def endless_interim(asked: Asked) -> None:
    for _ in range(1_000_000):
        asked.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)


def slow_interim(asked: Asked) -> None:
    while not asked.ended.wait(0.02):
        asked.send(b"HTTP/1.1 102 Processing\r\n\r\n")


def reset(asked: Asked) -> None:
    asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[")
    sock = asked.send.__self__  # type: ignore[attr-defined]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def bomb(asked: Asked) -> bytes:
    return answer_of(BOMB, "Content-Encoding: gzip")


BOMB = gzip.compress(b"[" + b" " * 100_000_000, 9)

MISBEHAVIOURS: dict[str, tuple[Callable[[Asked], bytes | None], str]] = {
    "garbage": (lambda _: b"\x00\xff garbage\r\n\r\n\r\n", "the answer is not HTTP"),
    "garbage in a field": (lambda _: b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n[]", "the answer is not HTTP"),
    "slow": (slowly, "no answer within 1 s"),
    "10 MB": (lambda _: answer_of(b'"' + b"x" * 10_000_000 + b'"'), "--max-bytes"),
    "endless": (endlessly, "--max-bytes"),
    "endless head": (endless_head, "the head of the answer is too large"),
    "endless interim answers": (endless_interim, r"the origin sends more than 16 interim answers \(1xx\)"),
    "slow interim answers": (slow_interim, r"the origin sends more than 16 interim answers \(1xx\)"),
    "too short": (lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[1, 2]", "not JSON"),
    "too long": (
        lambda asked: asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[1, 2]"),  # type: ignore[dict-item, return-value]
        "the connection was lost in the middle of the answer|no answer",
    ),
    "closed without an answer": (lambda _: None, "the connection was lost"),
    "reset": (reset, "the connection was lost in the middle of the answer"),
    "redirects in circles": (
        lambda _: answer_of(b"", "Location: /document.json?hush", status="302 Found"),
        "redirects more than 5 times",
    ),
    "redirects nowhere": (lambda _: answer_of(b"", status="302 Found"), "answers 302 without a Location"),
    "redirects to a file": (
        lambda _: answer_of(b"", "Location: file:///etc/passwd?hush", status="302 Found"),
        "redirects to what is no URL of HTTP",
    ),
    "gzip bomb": (bomb, "--max-bytes"),
    "no gzip": (lambda _: answer_of(b"[1]", "Content-Encoding: gzip"), "is not gzip, though it says so"),
    "half of the gzip": (
        lambda _: answer_of(gzip.compress(DOCUMENT)[:-9], "Content-Encoding: gzip"),
        "is not gzip, though it says so",
    ),
    "brotli": (lambda _: answer_of(b"[1]", "Content-Encoding: br"), "a coding that was not asked for"),
    "401": (lambda _: answer_of(b"hush", status="401 Unauthorized hush"), "the origin answers 401"),
    "503": (lambda _: answer_of(b"[]", status="503 Service Unavailable"), "the origin answers 503"),
    "304 out of the blue": (
        lambda _: b"HTTP/1.1 304 Not Modified\r\n\r\n",
        "304 to a question without a condition",
    ),
}


MAX_REASONS = 1


class TestMisbehaviour:
    """An origin that does everything wrong."""

    @pytest.mark.parametrize("kind", MISBEHAVIOURS)
    def test_nothing_is_taken_away(self, start: Start, kind: str) -> None:
        """The last good document is served on, the log has the reason and no secret, and memory does not grow."""
        answer, reason = MISBEHAVIOURS[kind]
        good, bad = answer_of(DOCUMENT), False
        with WilfulOrigin(lambda asked: answer(asked) if bad else good) as origin:
            livefeed = start("--source", origin.url.replace("//", "//hush:hush@") + "?token=hush", *FAST)
            origin.wait_for(3)
            resident = livefeed.resident_bytes()
            mark, bad = livefeed.mark(), True
            livefeed.wait_for_log(f"{STALE}: http://{HOST}:{origin.port}/document.json: .*({reason})", start=mark)
            assert_served(livefeed, DOCUMENT, "stale")
            if kind != "slow":
                origin.wait_for(20, 30)
            lines = livefeed.log(mark).splitlines()
            assert len(lines) <= MAX_REASONS, lines
            assert livefeed.resident_bytes() - resident < 25_000_000
            mark, bad, good = livefeed.mark(), False, answer_of(b"[2]")
            livefeed.wait_for_log(LIVE, start=mark)
            assert_served(livefeed, b"[2]", "live")
            assert "hush" not in livefeed.log()


class TestLog:
    """The log lines about pulls."""

    @pytest.mark.parametrize("how", ["kept", "closed", "interim", "redirect", "304"])
    def test_pulls_are_not_logged(self, start: Start, how: str) -> None:
        """Ten pulls log no line, with any handling of connections, and with new versions or without."""

        def answer(asked: Asked) -> bytes:
            if how == "304" and asked.field("If-None-Match"):
                return b"HTTP/1.1 304 Not Modified\r\n\r\n"
            if how == "redirect" and asked.target == "/document.json":
                return answer_of(b"", "Location: /other.json", status="302 Found")
            fields = {"closed": ["Connection: close"], "304": ['ETag: "x"']}.get(how, [])
            interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 if how == "interim" else b""
            return interim + answer_of(numbered(0 if how == "304" else asked.number), *fields)

        with WilfulOrigin(answer) as origin:
            livefeed = start("--source", origin.url, *FAST)
            mark = livefeed.mark()
            origin.wait_for(20 if how == "redirect" else 10)
            assert livefeed.log(mark) == ""
            assert origin.connections > 10 if how == "closed" else origin.connections < 3

    @pytest.mark.parametrize("how", ["refused", "HTTP/1.0"])
    def test_connections_are_not_logged(self, start: Start, how: str) -> None:
        """The log has one line for each change of the state, and none for the many connections."""

        def answer(asked: Asked) -> None:
            asked.send(b"HTTP/1.0 200 OK\r\n\r\n" + DOCUMENT)

        origin = WilfulOrigin(answer, port=free_port())
        if how == "HTTP/1.0":
            with origin:
                livefeed = start("--source", origin.url, *FAST)
                origin.wait_for(10)
            livefeed.wait_for_log(STALE)
        else:
            livefeed = start("--source", origin.url, *FAST, live=False)
            livefeed.wait_for_log(STALE)
            mark = livefeed.mark()
            with origin:
                livefeed.wait_for_log(LIVE, start=mark)
        livefeed.terminate()
        assert not re.search("factory|Factory|HTTP11|Endpoint", livefeed.log()), livefeed.log()
        lines = [line for line in livefeed.log().splitlines() if 'feed "feed" is ' in line]
        assert 2 <= len(lines) <= 3, lines


class TestAsking:
    """The requests that an origin gets."""

    def test_credentials_and_fields(self, start: Start, tmp_path: Path) -> None:
        """The query is the origin's; user, password and the fields of a file reach it, and the log never."""
        headers = tmp_path / "headers"
        headers.write_text("# for the origin\n\nX-Token: hush\r\nAccept: text/plain\nUser-Agent: mine/1\n")
        with WilfulOrigin(lambda _: answer_of(DOCUMENT)) as origin:
            url = f"http://m%C3%A9:hu%3Ash@{HOST}:{origin.port}/a%20b?token=hush&ca=1#headers={headers}"
            livefeed = start("--source", url, *FAST)
            asked = origin.asked[0]
            assert asked.target == "/a%20b?token=hush&ca=1"
            credentials = base64.b64encode("mé:hu:sh".encode()).decode()
            assert asked.field("Authorization") == f"Basic {credentials}"
            assert (asked.field("X-Token"), asked.field("Accept")) == ("hush", "text/plain")
            assert (asked.field("User-Agent"), asked.field("Accept-Encoding")) == ("mine/1", "gzip")
            assert "hush" not in livefeed.log()
            assert credentials not in livefeed.log()

    def test_other_origins_are_told_no_secrets(self, start: Start) -> None:
        """A redirect to another origin is followed without credentials, one to the same origin with them."""
        with (
            WilfulOrigin(lambda _: answer_of(DOCUMENT)) as other,
            WilfulOrigin(
                lambda asked: answer_of(
                    b"elsewhere",
                    f"Location: http://{HOST}:{other.port}/x" if asked.target == "/here" else "Location: here",
                    status="307 Temporary Redirect",
                )
            ) as origin,
        ):
            livefeed = start("--source", f"{origin.url.replace('//', '//user:hush@')}#redirects=anywhere", *FAST)
            assert_served(livefeed, DOCUMENT, "live")
            other.wait_for(5)
        assert [asked.target for asked in origin.asked[:4]] == ["/document.json", "/here"] * 2
        assert all(asked.field("Authorization") for asked in origin.asked)
        assert not any(asked.field("Authorization") for asked in other.asked)
        assert origin.connections == other.connections == 1

    def test_401_and_then_200(self, start: Start) -> None:
        """An origin that comes to know livefeed is followed from then on."""
        with WilfulOrigin(
            lambda asked: answer_of(b"", status="401 No") if asked.number < 3 else answer_of(DOCUMENT)
        ) as origin:
            livefeed = start("--source", origin.url, *FAST)
            assert_served(livefeed, DOCUMENT, "live")
            assert livefeed.log().count("the origin answers 401") == 1

    def test_conditions(self, start: Start) -> None:
        """A tag goes before a time, a time is believed once it has settled, and 304 confirms the document."""
        old, now = formatdate(time.time() - 60, usegmt=True), formatdate(usegmt=True)
        modified = [f"Last-Modified: {old}", f"Date: {now}"]
        for fields, name, value in (
            (['ETag: "1"', *modified], "If-None-Match", '"1"'),
            (['ETag: W/"1"'], "If-None-Match", 'W/"1"'),
            (modified, "If-Modified-Since", old),
            ([f"Last-Modified: {now}", f"Date: {now}"], "", None),
            ([f"Last-Modified: {now}", f"Date: {now}", 'ETag: "1"'], "", None),
        ):

            def answer(asked: Asked, fields: list[str] = fields, name: str = name, value: str | None = value) -> bytes:
                if value is not None and asked.field(name) == value:
                    return b"HTTP/1.1 304 Not Modified\r\n\r\n"
                return answer_of(DOCUMENT, *fields)

            with WilfulOrigin(answer) as origin:
                livefeed = start("--source", origin.url, *FAST)
                origin.wait_for(4)
                assert_served(livefeed, DOCUMENT, "live")
                later = origin.asked[1:]
                assert {asked.field(name) if name else None for asked in later} == {value}
                assert not any(asked.field("If-None-Match") and asked.field("If-Modified-Since") for asked in later)
                if not name:
                    assert not any(asked.field("If-None-Match") or asked.field("If-Modified-Since") for asked in later)
                assert origin.connections == 1

    def test_fresh_answers_are_not_asked_for_again(self, start: Start) -> None:
        """While an answer is fresh, livefeed sends no request, confirms nothing and pushes nothing."""
        with WilfulOrigin(
            lambda asked: answer_of(numbered(asked.number), "Cache-Control: max-age=3", "Age: 1")
        ) as origin:
            livefeed = start("--source", origin.url, *FAST)
            with livefeed.websocket() as subscriber, Polling(livefeed, pause_s=0.05) as polling:
                polling.wait_for(lambda answer: answer.body == numbered(2))
                assert [subscriber.recv(timeout=WAIT_S) for _ in range(3)] == [numbered(n).decode() for n in range(3)]
            assert polling.states == ["live"]
            assert len({answer.headers["Livefeed-At"] for answer in polling.answers}) == len(origin.asked) == 3
            ages = {int(answer.headers["Livefeed-Age"]) for answer in polling.answers}
            assert ages >= {0, 1}

    def test_fresh_answer_that_may_not_be_served(self, start: Start) -> None:
        """A document that the gate refuses is requested again at the next tick, even if it claims to be fresh."""
        with WilfulOrigin(
            lambda asked: answer_of(DOCUMENT if asked.number > 2 else b"{", "Cache-Control: max-age=60")
        ) as origin:
            livefeed = start("--source", origin.url, *FAST)
            assert_served(livefeed, DOCUMENT, "live")
            assert livefeed.log().count("is stale") == 1

    def test_body_that_ends_with_its_connection(self, start: Start) -> None:
        """An origin of HTTP/1.0, which says no length, is understood."""

        def answer(asked: Asked) -> None:
            asked.send(b"HTTP/1.0 200 OK\r\n\r\n" + DOCUMENT)

        with WilfulOrigin(answer) as origin:
            livefeed = start("--source", origin.url, *FAST)
            origin.wait_for(3)
            assert_served(livefeed, DOCUMENT, "live")
            assert "is stale" not in livefeed.log()

    def test_from_https_to_http(self, certificate: DevelopmentCertificate, start: Start, tmp_path: Path) -> None:
        """No redirect leads from TLS to a connection without it."""
        with WilfulOrigin(lambda _: answer_of(DOCUMENT)) as plain, OriginStore(tmp_path, certificate) as store:
            store.redirect(plain.url)
            livefeed = start("--source", store.url, *FAST, live=False)
            livefeed.wait_for_log(f"{STALE}.*the origin redirects from https to http")
            assert plain.asked == []
