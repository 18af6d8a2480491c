"""Following and polling with clients of other makers: Node's ``ws``, ``eventsource`` and ``fetch``, and curl.

The programs are in ``tests/clients``. They print what happens, and are judged here.
"""

from __future__ import annotations

import base64
import json
import random
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from livefeed.snapshot import version_of
from tests.integration.harness import (
    HOST,
    TCP,
    TLS,
    Livefeed,
    Process,
    free_port,
    missing_peer,
    peer,
    replace_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from livefeed.certificates import DevelopmentCertificate
    from tests.integration.conftest import Start

CLIENTS = Path(__file__).resolve().parent.parent / "clients"
DELTA = "livefeed.delta.v1"
LARGE = b'{"list": [%s]}' % b", ".join(b'{"number": %d, "name": "Z\xc3\xbcrich"}' % number for number in range(2000))


class Source:
    """A file that livefeed follows.

    :param path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.options = ("--source", f"file:{path}", "--interval", "0.05")

    def write(self, document: bytes) -> str:
        """Writes a document, and gives its version."""
        replace_file(self._path, document)
        return version_of(document)


class Client:
    """A program of ``tests/clients`` that runs.

    :param process: the process.
    """

    def __init__(self, process: Process) -> None:
        self._process = process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._process.close()

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        """Gives the event of a kind that has the number *count*, as soon as it is printed."""
        self._process.wait_for(rf'^\{{"event":"{event}"', count=count)
        return self.events(event)[count - 1]

    def wait_for_version(self, version: str) -> dict[str, Any]:
        """Gives the message that brought a version, as soon as it is there."""
        self._process.wait_for(rf'^\{{"event":"message".*"version":"{version}"')
        return next(message for message in self.events("message") if message["version"] == version)

    def events(self, event: str) -> list[dict[str, Any]]:
        """Gives what was printed of a kind."""
        printed = [json.loads(line) for line in self._process.text().splitlines() if line.startswith('{"event":')]
        return [line for line in printed if line["event"] == event]

    def finish(self) -> None:
        """Waits for the end, which must be one without an error."""
        assert self._process.wait() == 0, self._process.text()
        assert not self.events("error"), self._process.text()


class Run:
    """Runs programs of ``tests/clients``.

    :param node: the path of Node.
    :param certificate: what the programs trust.
    :param stack: what ends them.
    """

    def __init__(self, node: str, certificate: DevelopmentCertificate, stack: ExitStack) -> None:
        self._node = node
        self._environment = {"NODE_EXTRA_CA_CERTS": str(certificate.ca), "NODE_OPTIONS": ""}
        self._stack = stack

    def __call__(self, program: str, url: str, **options: Any) -> Client:
        arguments = [self._node, f"{program}.mjs", url, json.dumps(options)]
        return self._stack.enter_context(
            Client(Process(arguments, directory=CLIENTS, environment=self._environment)),
        )


@pytest.fixture
def run(certificate: DevelopmentCertificate) -> Iterator[Run]:
    """Runs Node's clients, which end with the test."""
    node = peer("node", "nodejs")
    if not (CLIENTS / "node_modules").is_dir():
        missing_peer("no node_modules in tests/clients (make test installs them by npm; Debian: npm)")
    with ExitStack() as stack:
        yield Run(node, certificate, stack)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    source = Source(tmp_path / "document.json")
    source.write(b'{"n": 0}')
    return source


@pytest.fixture(params=[TLS, TCP], ids=["tls", "tcp"])
def server(request: pytest.FixtureRequest, start: Start, source: Source) -> Livefeed:
    return start(*source.options, "--push", "change", listen=(request.param,))


def base(server: Livefeed, scheme: str = "http") -> str:
    """Gives the start of a URL; *scheme* is ``http`` or ``ws``."""
    return f"{scheme}{'s' if server.scheme == 'https' else ''}://{server.authority}"


def edited(draw: random.Random, value: Any) -> Any:
    """Gives a JSON value that differs in one place or so, of a kind drawn at random."""
    names = ("a", "", "a/b", "~", "~1", "Z\u00fcrich", "\U0001f600", '"', "0", "-")
    new = draw.choice((None, True, 7, -2.5, "", "\u2028 \\", [], {}, [[1], {"a": None}]))
    if isinstance(value, dict):
        name = draw.choice((*value, *names))
        changed = {**value, name: edited(draw, value[name]) if name in value else new}
        return changed if draw.random() < 0.8 else {key: changed[key] for key in changed if key != name}
    if isinstance(value, list) and value:
        place = draw.randrange(len(value))
        instead = draw.choice(([], [new, value[place]], [edited(draw, value[place])]))
        return [*value[:place], *instead, *value[place + 1 :]]
    return new


class TestWs:
    def test_receives_each_document(self, run: Run, server: Livefeed, source: Source) -> None:
        """Byte for byte, as text, and is let go when it closes."""
        documents = [b'{"n": 0}', b'{"n": 1.50}', b'{\n  "n": 2,\r\n"city": "Z\xc3\xbcrich \\u00fc"}']
        client = run("websocket", f"{base(server, 'ws')}/feed.ws", count=3)
        for count, document in enumerate(documents, start=1):
            source.write(document)
            message = client.wait_for("message", count)
            assert (message["text"].encode(), message["isBinary"]) == (document, False)
        client.finish()
        (opened,), (closed,) = client.events("open"), client.events("close")
        assert (opened["protocol"], opened["extensions"]) == ("", "")
        assert closed["code"] == 1000

    def test_inflates(self, run: Run, server: Livefeed, source: Source) -> None:
        """With permessage-deflate, large and small documents come as they are, in fewer bytes."""
        documents = [b'{"n": 0}', LARGE, b"[1]", LARGE[:-1] + b', "n": 1}']
        client = run("websocket", f"{base(server, 'ws')}/feed", deflate=True, count=len(documents))
        for count, document in enumerate(documents, start=1):
            source.write(document)
            assert client.wait_for("message", count)["text"].encode() == document
        client.finish()
        assert client.events("open")[0]["extensions"] == "permessage-deflate"
        assert client.events("message")[-1]["bytesRead"] < len(LARGE) // 2

    def test_follows_a_part(self, run: Run, server: Livefeed, source: Source) -> None:
        """It is sent the part as it stands in the document, when that changes, and nothing of the rest."""
        source.write(b'{"a/b": [0, { "n" : 1.50 }], "rest": 0}')
        server.wait_for_log("is live")
        client = run("websocket", f"{base(server, 'ws')}/feed/a~1b/1", count=2)
        # The part may not be there when the client is: it is sent as soon as it is.
        assert client.wait_for("message")["text"] == '{ "n" : 1.50 }'
        with server.websocket() as subscriber:
            for rest in (b"1", b"2"):
                source.write(b'{"a/b": [0, { "n" : 1.50 }], "rest": %s}' % rest)
                while json.loads(subscriber.recv(timeout=5))["rest"] != int(rest):
                    pass
        source.write(b'{"a/b": [0, "\xc3\xbc"], "rest": 3}')
        assert client.wait_for("message", 2)["text"] == '"\u00fc"'
        client.finish()

    def test_is_told_that_livefeed_is_stopped(self, run: Run, server: Livefeed) -> None:
        """By 1001, with and without compression."""
        clients = [run("websocket", f"{base(server, 'ws')}/feed.ws", deflate=deflate) for deflate in (False, True)]
        for client in clients:
            client.wait_for("message")
        assert server.terminate() == 0
        for client in clients:
            client.finish()
            assert client.events("close")[0]["code"] == 1001

    @pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])
    def test_may_not_say_too_much(self, run: Run, server: Livefeed, *, deflate: bool) -> None:
        """A message of 4096 bytes is ignored; a larger one is answered by 1009, however well it is compressed."""
        send = {0: "x" * 4096, 1: "x" * 4097}
        client = run("websocket", f"{base(server, 'ws')}/feed.ws", deflate=deflate, send=send)
        assert client.wait_for("close")["code"] == 1009
        assert client.events("message")
        client.finish()

    def test_is_refused_where_nothing_is(self, run: Run, server: Livefeed) -> None:
        """And told so by the status."""
        client = run("websocket", f"{base(server, 'ws')}/nothing.ws")
        assert "404" in client.wait_for("error")["message"]


class TestDelta:
    """Patches are applied by a library that is independent of livefeed's."""

    @pytest.mark.parametrize("listen", [TLS, TCP], ids=["tls", "tcp"])
    def test_copies_stay_the_same_as_the_document(self, run: Run, start: Start, source: Source, listen: str) -> None:
        """Over WebSocket, compressed or not, and as events, through changes of every kind."""
        server = start(*source.options, listen=(listen,))
        draw = random.Random(6902)
        document: Any = {"list": [*range(50)], "table": {str(number): [number] * 5 for number in range(30)}}
        source.write(json.dumps(document).encode())
        clients = [
            run("websocket", f"{base(server, 'ws')}/feed.ws", protocols=[DELTA], copy={}, deflate=False),
            run("websocket", f"{base(server, 'ws')}/feed.ws", protocols=[DELTA], copy={}, deflate=True),
            run("events", f"{base(server)}/feed.sse?delta=1", copy={}),
        ]
        for client in clients:
            client.wait_for("message")
        for _ in range(30):
            document = edited(draw, document)
            text = json.dumps(document, ensure_ascii=draw.random() < 0.5)
            version = source.write(text.encode())
            for client in clients:
                assert client.wait_for_version(version)["document"] == document
            response = server.http.get("/feed")
            assert (response.json(), response.headers["Livefeed-Version"]) == (document, version)
        for client in clients:
            kinds = [message["type"] for message in client.events("message")]
            assert kinds.count("patch") > 20
            assert not client.events("error")
        for client in clients[:2]:
            assert client.events("open")[0]["protocol"] == DELTA
        for message in clients[2].events("message"):
            assert message["id"] == message["version"]

    def test_goes_on_from_what_a_client_has(self, run: Run, server: Livefeed, source: Source) -> None:
        """``?have=`` is answered with a patch from there, and ``{"have": null}`` with the document."""
        documents = [LARGE, LARGE[:-1] + b', "n": 1}']
        with server.websocket(max_size=None) as subscriber:
            for document in documents:
                old, new = version_of(documents[0]), source.write(document)
                while subscriber.recv(timeout=5) != document.decode():
                    pass
        client = run(
            "websocket",
            f"{base(server, 'ws')}/feed.ws?have={old}",
            protocols=[DELTA],
            copy={"version": old, "text": documents[0].decode()},
            send={1: '{"have": null}', 2: json.dumps({"have": old}), 3: json.dumps({"have": new})},
        )
        patched, whole = client.wait_for("message"), client.wait_for("message", 2)
        assert (patched["type"], patched["version"]) == ("patch", new)
        assert (whole["type"], whole["version"]) == ("snapshot", new)
        for message in (patched, whole):
            assert message["document"] == json.loads(documents[1])


class TestEventSource:
    def test_receives_each_version(self, run: Run, server: Livefeed, source: Source) -> None:
        """The newest at once, then each new one, with its version for an id."""
        documents = [b'{"n": 0}', b'{"n": 1.50}', b'{\n  "n": 2,\n\n  "city": "Z\xc3\xbcrich"\n}', LARGE]
        client = run("events", f"{base(server)}/feed.sse", count=len(documents))
        for count, document in enumerate(documents, start=1):
            version = source.write(document)
            message = client.wait_for("message", count)
            assert (message["id"], message["text"].encode()) == (version, document)
        client.finish()

    @pytest.mark.parametrize("kind", ["tls", "tcp"])
    def test_comes_back_after_a_restart(self, run: Run, start: Start, source: Source, kind: str) -> None:
        """By itself, on the same port; it says what it has, and is sent nothing twice."""
        listen = (f"{kind}:{free_port()}:interface={HOST}",)
        server = start(*source.options, listen=listen)
        client = run("events", f"{base(server)}/feed.sse", count=3)
        versions = [client.wait_for("message")["id"], source.write(b'{"n": 1}')]
        client.wait_for("message", 2)
        assert server.terminate() == 0
        client.wait_for("error")
        start(*source.options, listen=listen)
        client.wait_for("open", 2)
        versions.append(source.write(b'{"n": 2}'))
        assert client.wait_for("message", 3)["text"] == '{"n": 2}'
        assert [message["id"] for message in client.events("message")] == versions
        first, *others = [request["lastEventId"] for request in client.events("request")]
        assert first is None
        assert {*others} == {versions[1]}

    def test_gives_up_where_there_are_no_events(self, run: Run, server: Livefeed) -> None:
        """What is not there is not asked for again."""
        client = run("events", f"{base(server)}/feed.sse/nothing")
        error = client.wait_for("error")
        assert (error["code"], error["state"]) == (404, 2)


class TestFetch:
    def answers(self, run: Run, server: Livefeed, *requests: dict[str, Any]) -> list[tuple[int, dict[str, str], bytes]]:
        """Gives status, fields and content of the answer to each request."""
        client = run("requests", base(server), requests=requests)
        client.finish()
        answers = client.events("answer")
        assert len(answers) == len(requests)
        return [(answer["status"], answer["headers"], base64.b64decode(answer["body"])) for answer in answers]

    @pytest.mark.parametrize("coding", ["gzip", "br", "identity"])
    def test_decodes_what_it_asked_for(self, run: Run, server: Livefeed, source: Source, coding: str) -> None:
        """To the bytes of the document; and is not sent them again."""
        self.settle(server, source, LARGE)
        headers = {"Accept-Encoding": coding}
        first, again = self.answers(
            run,
            server,
            {"path": "/feed", "headers": headers},
            {"path": "/feed", "headers": headers, "conditional": True},
        )
        status, fields, content = first
        assert (status, content) == (200, LARGE)
        assert fields.get("content-encoding", "identity") == coding
        assert (again[0], again[2]) == (304, b"")
        assert again[1]["etag"] == fields["etag"]

    def test_without_options_reads_the_document(self, run: Run, server: Livefeed, source: Source) -> None:
        """In whatever coding it likes best; a part, too."""
        self.settle(server, source, LARGE)
        whole, part = self.answers(run, server, {"path": "/feed"}, {"path": "/feed/list/7/name"})
        assert (whole[0], whole[2]) == (200, LARGE)
        assert (part[0], part[2]) == (200, '"Z\u00fcrich"'.encode())
        assert whole[1]["content-encoding"] in ("br", "gzip")

    def test_waits(self, run: Run, server: Livefeed) -> None:
        """For its time, where nothing is new."""
        _, (status, fields, _) = self.answers(
            run, server, {"path": "/feed"}, {"path": "/feed", "headers": {"Prefer": "wait=1"}, "conditional": True}
        )
        assert (status, fields["preference-applied"]) == (304, "wait=1")

    def test_preflight(self, run: Run, server: Livefeed) -> None:
        """Allows what a page that polls needs."""
        asked = {
            "Origin": "https://scores.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "if-none-match,prefer",
        }
        ((status, fields, content),) = self.answers(
            run, server, {"path": "/feed", "method": "OPTIONS", "headers": asked}
        )
        assert (status, content) == (204, b"")
        assert fields["access-control-allow-origin"] == "*"
        assert {"if-none-match", "prefer"} <= {*fields["access-control-allow-headers"].lower().split(", ")}

    def settle(self, server: Livefeed, source: Source, document: bytes) -> None:
        """Returns when a document is served in all codings."""
        source.write(document)
        with server.websocket(max_size=None) as subscriber:
            while subscriber.recv(timeout=5) != document.decode():
                pass


class TestCurl:
    @pytest.fixture
    def curl(self, certificate: DevelopmentCertificate, tmp_path: Path) -> Callable[..., str]:
        path = peer("curl", "curl")

        def curl(*arguments: str) -> str:
            options = (
                "--silent",
                "--show-error",
                "--max-time",
                "10",
                "--noproxy",
                "*",
                "--cacert",
                str(certificate.ca),
            )
            process = Process([path, *options, *arguments], directory=tmp_path)
            try:
                assert process.wait() == 0, process.text()
            finally:
                process.close()
            return process.text()

        return curl

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--http1.0",),
            ("--compressed",),
            ("--compressed", "--header", "Accept-Encoding: zstd"),
            ("--compressed", "--header", "Accept-Encoding: br"),
            ("--range", "0-3"),
            ("--time-cond", "2999-01-01"),
        ],
        ids=" ".join,
    )
    def test_reads_the_document(
        self, curl: Callable[..., str], server: Livefeed, source: Source, arguments: tuple[str, ...]
    ) -> None:
        """Whole and decoded, whatever it asks with."""
        TestFetch().settle(server, source, LARGE)
        assert curl(*arguments, "--fail", f"{base(server)}/feed").encode() == LARGE

    def test_head(self, curl: Callable[..., str], server: Livefeed) -> None:
        """Ends by itself, with the length that the document has."""
        assert "content-length: 8\n" in curl("--head", f"{base(server)}/feed").lower()
