"""Polling over HTTPS, with clients that know nothing of livefeed."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import WAIT_S, Livefeed, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

DOCUMENT = (
    b'{ "count" : 1.50,\r\n\t"big":12345678901234567890, "name": "Z\xc3\xbcrich \\u00fc",  "e": 1E+2 ,"list": ['
    + b", ".join(b"%d" % number for number in range(200))
    + b"] }\n"
)
IDENTITY = {"Accept-Encoding": "identity"}
ORIGIN = "https://scores.example"
FEED_HEADERS = (
    "ETag",
    "Cache-Control",
    "Vary",
    "Livefeed-Version",
    "Livefeed-Sequence",
    "Livefeed-State",
    "Livefeed-At",
    "Livefeed-Age",
)


@pytest.fixture(scope="module")
def server(certificate: DevelopmentCertificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Livefeed]:
    directory = tmp_path_factory.mktemp("polling")
    path = directory / "document.json"
    path.write_bytes(DOCUMENT)
    with Livefeed("--source", f"file:{path}", directory=directory, certificate=certificate) as livefeed:
        yield livefeed


@pytest.fixture(scope="module")
def limited(certificate: DevelopmentCertificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Livefeed]:
    directory = tmp_path_factory.mktemp("limited")
    options = ("--allow-origin", ORIGIN, "--allow-origin", "http://other.example:8080")
    with Livefeed(*options, directory=directory, certificate=certificate) as livefeed:
        yield livefeed


def assert_problem(response: httpx.Response, status: int) -> None:
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    if response.request.method != "HEAD":
        assert response.json()["status"] == status
        assert set(response.json()) >= {"title", "detail"}


class TestDocument:
    @pytest.mark.parametrize("path", ["/feed", "/feed.json", "/feed?_=1"])
    def test_get_gives_the_bytes_of_the_source(self, server: Livefeed, path: str) -> None:
        """The body is the pulled document, byte for byte, at each of its paths."""
        response = server.http.get(path, headers=IDENTITY)
        assert response.status_code == 200
        assert response.content == DOCUMENT
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Content-Length"] == str(len(DOCUMENT))
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Content-Encoding" not in response.headers
        assert "Accept-Encoding" in response.headers["Vary"]

    def test_answers_tell_version_state_and_age(self, server: Livefeed) -> None:
        """Version, order, state and age stand in each answer, and the ETag carries the version."""
        headers = server.http.get("/feed", headers=IDENTITY).headers
        version = hashlib.sha256(DOCUMENT).hexdigest()[:32]
        assert headers["Livefeed-Version"] == version
        assert headers["ETag"] == f'"{version}"'
        assert re.fullmatch(r"\d{13}\.1", headers["Livefeed-Sequence"])
        assert headers["Livefeed-State"] == "live"
        assert 0 <= int(headers["Livefeed-Age"]) <= 5
        at = datetime.fromisoformat(headers["Livefeed-At"])
        assert abs(datetime.now(UTC) - at) < timedelta(seconds=30)

    def test_may_be_cached_until_the_next_tick(self, server: Livefeed) -> None:
        """Cache-Control is tuned to one tick a second."""
        control = server.http.get("/feed").headers["Cache-Control"]
        assert "public" in control
        assert "max-age=1," in control
        assert "stale-while-revalidate=1," in control
        assert re.search(r"stale-if-error=[1-9]", control)

    @pytest.mark.parametrize("path", ["/feed", "/feed.json"])
    @pytest.mark.parametrize("coding", ["identity", "gzip"])
    def test_head_is_get_without_the_body(self, server: Livefeed, path: str, coding: str) -> None:
        """HEAD has the fields of GET, and no byte of the body follows on the wire."""
        request = f"{path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {coding}\r\n".encode()
        with server.wire() as wire:
            wire.send(b"HEAD " + request + b"\r\nGET " + request + b"Connection: close\r\n\r\n")
            head, get = wire.response("HEAD"), wire.response()
        assert head.status == get.status == 200
        changing = ("date", "connection", "livefeed-at", "livefeed-age", "livefeed-next")
        fields = [
            {name: value for name, value in response.headers.items() if name not in changing}
            for response in (head, get)
        ]
        assert fields[0] == fields[1]
        assert int(head.headers["Content-Length"]) == len(get.body)

    def test_gzip_is_the_same_bytes_with_a_tag_of_its_own(self, server: Livefeed) -> None:
        """The compressed variant decodes to the document, is smaller, and is told apart by its ETag."""
        plain = server.http.get("/feed", headers=IDENTITY)
        with server.http.stream("GET", "/feed", headers={"Accept-Encoding": "gzip"}) as response:
            raw = b"".join(response.iter_raw())
        assert response.headers["Content-Encoding"] == "gzip"
        assert len(raw) < len(DOCUMENT)
        assert gzip.decompress(raw) == DOCUMENT
        assert response.headers["ETag"] != plain.headers["ETag"]
        assert not response.headers["ETag"].startswith("W/")
        assert "Accept-Encoding" in response.headers["Vary"]

    @pytest.mark.parametrize("accepted", ["", "gzip;q=0", "deflate", "identity, gzip;q=0.5"])
    def test_gzip_is_for_those_who_accept_it(self, server: Livefeed, accepted: str) -> None:
        """A client that does not accept gzip, or prefers identity, gets the document as it is."""
        with server.http.stream("GET", "/feed", headers={"Accept-Encoding": accepted}) as response:
            assert b"".join(response.iter_raw()) == DOCUMENT
        assert "Content-Encoding" not in response.headers

    def test_differs_a_second_later(self, demo: Livefeed) -> None:
        """The demo is another document after a tick."""
        with demo.websocket() as subscriber:
            first = subscriber.recv(timeout=WAIT_S)
            subscriber.recv(timeout=WAIT_S)
            response = demo.http.get("/feed")
        assert isinstance(first, str)
        assert json.loads(first)
        assert json.loads(response.content)
        assert response.content != first.encode()


class TestConditionalRequests:
    @pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"other",W/{} , "third"', "*", '"a,b" ,{}'])
    @pytest.mark.parametrize("coding", ["identity", "gzip"])
    def test_what_the_client_has_is_not_sent_again(self, server: Livefeed, form: str, coding: str) -> None:
        """A tag that matches, in any form, gives 304 with the fields of the 200."""
        accept = {"Accept-Encoding": coding}
        full = server.http.get("/feed", headers=accept)
        tag = form.format(full.headers["ETag"])
        response = server.http.get("/feed", headers={**accept, "If-None-Match": tag})
        assert response.status_code == 304
        assert response.content == b""
        for name in FEED_HEADERS:
            assert name in response.headers
        for name in ("ETag", "Vary", "Livefeed-Version", "Livefeed-Sequence"):
            assert response.headers[name] == full.headers[name]
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Content-Encoding" not in response.headers

    @pytest.mark.parametrize("tag", ['"other"', "nonsense", '""', '"{}x"', "{}-bare"])
    def test_another_tag_gets_the_document(self, server: Livefeed, tag: str) -> None:
        """A tag of something else is answered in full."""
        version = server.http.get("/feed").headers["Livefeed-Version"]
        response = server.http.get("/feed", headers={**IDENTITY, "If-None-Match": tag.format(version)})
        assert response.status_code == 200
        assert response.content == DOCUMENT

    def test_the_tag_of_one_coding_stands_for_the_version(self, server: Livefeed) -> None:
        """A client with the gzip variant has the version; the 304 names that variant."""
        tag = server.http.get("/feed", headers={"Accept-Encoding": "gzip"}).headers["ETag"]
        response = server.http.get("/feed", headers={**IDENTITY, "If-None-Match": tag})
        assert response.status_code == 304
        assert response.headers["ETag"] == tag

    def test_head_is_conditional_too(self, server: Livefeed) -> None:
        """HEAD with a tag that matches gives 304."""
        tag = server.http.get("/feed").headers["ETag"]
        assert server.http.head("/feed", headers={"If-None-Match": tag}).status_code == 304


class TestCors:
    def test_every_origin_may_read_by_default(self, server: Livefeed) -> None:
        """Pages of every origin may read the document and the fields that come with it."""
        headers = server.http.get("/feed", headers={"Origin": ORIGIN}).headers
        assert headers["Access-Control-Allow-Origin"] == "*"
        exposed = {name.strip().lower() for name in headers["Access-Control-Expose-Headers"].split(",")}
        wanted = (
            "ETag",
            "Livefeed-Version",
            "Livefeed-Sequence",
            "Livefeed-State",
            "Livefeed-Age",
            "Retry-After",
            "Age",
            "Date",
        )
        assert exposed >= {name.lower() for name in wanted}

    def test_preflight_allows_a_conditional_request(self, server: Livefeed) -> None:
        """The preflight of a GET with If-None-Match is granted."""
        asked = {
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "if-none-match",
        }
        response = server.http.options("/feed", headers=asked)
        assert response.status_code == 204
        assert response.content == b""
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "GET" in response.headers["Access-Control-Allow-Methods"]
        assert "if-none-match" in response.headers["Access-Control-Allow-Headers"].lower()
        assert int(response.headers["Access-Control-Max-Age"]) > 0

    @pytest.mark.parametrize("path", ["/feed", "/feed.json"])
    def test_options_names_the_methods(self, server: Livefeed, path: str) -> None:
        """OPTIONS without a preflight lists the methods, and has no fields of CORS for methods."""
        response = server.http.options(path)
        assert response.status_code == 204
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
        assert "Access-Control-Allow-Methods" not in response.headers

    @pytest.mark.parametrize("origin", [ORIGIN, "http://other.example:8080"])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
    def test_an_allowed_origin_is_named(self, limited: Livefeed, origin: str, method: str) -> None:
        """The answer names the request's origin if it is in the list, and Vary tells caches."""
        headers = limited.http.request(method, "/feed", headers={"Origin": origin}).headers
        assert headers["Access-Control-Allow-Origin"] == origin
        assert "Origin" in headers["Vary"]

    @pytest.mark.parametrize("origin", ["https://scores.example.evil", "http://scores.example", "null", ""])
    def test_another_origin_is_not(self, limited: Livefeed, origin: str) -> None:
        """Any other origin gets an answer that its browser keeps from it."""
        response = limited.http.get("/feed", headers={"Origin": origin} if origin else {})
        assert response.status_code == 200
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Origin" in response.headers["Vary"]

    def test_refusals_are_readable_too(self, server: Livefeed) -> None:
        """A page of another origin can read why it is refused."""
        for response in (server.http.post("/feed"), server.http.get("/nothing")):
            assert response.headers["Access-Control-Allow-Origin"] == "*"


class TestRefusals:
    @pytest.mark.parametrize(
        "path",
        [
            "/nothing",
            "/feed/",
            "/feed/x",
            "/feed.xml",
            "/FEED",
            "/-/",
            "/-",
            "/-/nothing",
            "/-/page/page.css/x",
            "/feed.ws/x",
            "//feed",
            "/%00",
            "/../feed.txt",
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_an_unknown_path_is_404(self, server: Livefeed, path: str, method: str) -> None:
        """An unknown path is answered 404, in JSON."""
        with server.wire() as wire:
            wire.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            response = wire.response(method)
        assert response.status == 404
        assert response.headers["Content-Type"] == "application/problem+json"
        if method == "GET":
            assert json.loads(response.body)["status"] == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "get"])
    @pytest.mark.parametrize(
        ("path", "allowed"),
        [("/feed", {"GET", "HEAD", "OPTIONS"}), ("/", {"GET", "HEAD"}), ("/feed.ws", {"GET"})],
    )
    def test_a_wrong_method_is_405(self, server: Livefeed, method: str, path: str, allowed: set[str]) -> None:
        """A method that is not taken is answered with those that are."""
        with server.wire() as wire:
            wire.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            response = wire.response()
        assert response.status == 405
        assert {name.strip() for name in response.headers["Allow"].split(",")} >= allowed
        assert response.headers["Content-Type"] == "application/problem+json"
        assert json.loads(response.body)["status"] == 405

    def test_the_socket_wants_an_upgrade(self, server: Livefeed) -> None:
        """A plain GET of the WebSocket's path is told to upgrade (RFC 9110, 15.5.22)."""
        response = server.http.get("/feed.ws")
        assert_problem(response, 426)
        assert response.headers["Upgrade"].lower() == "websocket"
        assert "upgrade" in response.headers["Connection"].lower()

    def test_before_the_first_good_pull_there_is_nothing_yet(self, start: Start, tmp_path: Path) -> None:
        """Until there is a document, answers say when to come back; then it is served."""
        path = tmp_path / "late.json"
        livefeed = start("--source", f"file:{path}", "--interval", "0.2", live=False)
        for method in ("GET", "HEAD"):
            response = livefeed.http.request(method, "/feed")
            assert_problem(response, 503)
            assert int(response.headers["Retry-After"]) >= 1
            assert response.headers["Livefeed-State"] == "stale"
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "ETag" not in response.headers
        replace_file(path, DOCUMENT)
        response = livefeed.answer_in_state("live")
        assert response.status_code == 200
        assert response.content == DOCUMENT
        assert response.headers["Livefeed-State"] == "live"


class TestPage:
    def test_has_a_strict_policy(self, server: Livefeed) -> None:
        """The page and all its files come from this server alone, and nothing is inline."""
        response = server.http.get("/")
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        directives = dict(
            directive.strip().split(" ", 1) for directive in response.headers["Content-Security-Policy"].split(";")
        )
        assert directives["default-src"] == "'none'"
        assert directives["script-src"] == directives["style-src"] == directives["connect-src"] == "'self'"
        assert directives["base-uri"] == directives["form-action"] == directives["frame-ancestors"] == "'none'"
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert not re.search(r"https?://|<style|\sstyle=|\son[a-z]+=|<script>", response.text)

    def test_all_that_it_refers_to_is_there(self, server: Livefeed) -> None:
        """Every address in the page is served, with the type that its use asks for."""
        addresses = set(re.findall(r'(?:href|src)="([^"#:]*)"', server.http.get("/").text))
        assert {"-/page/early.js", "-/page/main.js", "-/page/page.css", "feed.json"} <= addresses
        for address in addresses:
            response = server.http.get(f"/{address}")
            assert response.status_code == 200
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert server.http.get("/-/page/main.js").headers["Content-Type"].startswith("text/javascript")
        assert server.http.get("/-/page/page.css").headers["Content-Type"].startswith("text/css")

    def test_is_of_the_feed_that_is_served(self, start: Start) -> None:
        """A feed by another name is served, and shown, by that name alone."""
        livefeed = start("--feed", "scores-1")
        assert 'data-feed="scores-1"' in livefeed.http.get("/").text
        assert livefeed.http.get("/scores-1").status_code == 200
        assert livefeed.http.get("/scores-1.json").status_code == 200
        assert livefeed.http.get("/feed").status_code == 404
        with livefeed.websocket("/scores-1.ws") as subscriber:
            assert json.loads(subscriber.recv(timeout=WAIT_S))


class TestTls:
    def test_old_versions_are_refused(self, server: Livefeed) -> None:
        """TLS 1.1 is refused by the server, with the alert that says so."""
        context = server.tls_context()
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = ssl.TLSVersion.TLSv1_1
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with server.tcp_socket() as sock, pytest.raises(ssl.SSLError) as caught:
            context.wrap_socket(sock, server_hostname="localhost")
        assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"

    @pytest.mark.parametrize(
        ("version", "name"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
    )
    def test_new_versions_are_accepted(self, server: Livefeed, version: ssl.TLSVersion, name: str) -> None:
        """TLS 1.2 and 1.3 are spoken, with forward secrecy, by the name and by the address."""
        for hostname in ("localhost", "127.0.0.1"):
            context = server.tls_context()
            context.minimum_version = context.maximum_version = version
            with (
                server.tcp_socket() as sock,
                context.wrap_socket(sock, server_hostname=hostname) as secure,
            ):
                assert secure.version() == name
                cipher = secure.cipher()
                assert cipher is not None
                assert cipher[0].startswith(("ECDHE-", "TLS_"))

    def test_http_1_1_is_negotiated(self, server: Livefeed) -> None:
        """HTTP/1.1 is chosen from a browser's offers by ALPN."""
        context = server.tls_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        with (
            server.tcp_socket() as sock,
            context.wrap_socket(sock, server_hostname="localhost") as secure,
        ):
            assert secure.selected_alpn_protocol() == "http/1.1"
