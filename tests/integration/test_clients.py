"""Following and polling with clients of other makers: curl, and Node's ``fetch`` and packages for events and WebSocket.

The programs are in ``tests/clients``. They print events, which the tests check.
"""

from __future__ import annotations

import base64
import json
import random
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from livefeed.document.snapshot import version_of
from tests.helpers.peers import missing_peer, peer
from tests.integration.harness import HOST, TCP, TLS, WAIT_S, Livefeed, Process, free_port, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

pytestmark = pytest.mark.peers

CLIENTS = Path(__file__).resolve().parent.parent / "clients"
FIRST = b'{"n": 0}'
DELTA = "livefeed.delta.v1"
LARGE = b'{"list": [%s]}' % b", ".join(b'{"number": %d, "name": "Z\xc3\xbcrich"}' % number for number in range(1400))


class Source:
    """A file that livefeed follows.

    :param path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.options = ("--source", f"file:{path}", "--interval", "0.05")

    def write(self, document: bytes) -> str:
        """Writes a document, and gives its version."""
        replace_file(self.path, document)
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
        """Gives the printed lines of one kind."""
        printed = [json.loads(line) for line in self._process.text().split("\n") if line.startswith('{"event":')]
        return [line for line in printed if line["event"] == event]

    def finish(self) -> None:
        """Waits for the end, which must be one without an error."""
        assert self._process.wait() == 0, self._process.text()
        assert not self.events("error"), self._process.text()


class Run:
    """Runs programs of ``tests/clients``.

    :param node: the path of Node.
    :param certificate: the certificate that the programs trust.
    :param stack: the stack that ends the programs.
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


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(tmp_path_factory.mktemp("clients") / "document.json")


@pytest.fixture(scope="module")
def server(followed: Source, certificate: DevelopmentCertificate) -> Iterator[Livefeed]:
    """Pushes each document, when there is another; over TLS and without."""
    followed.write(FIRST)
    options = (*followed.options, "--push", "change")
    with Livefeed(*options, directory=followed.path.parent, certificate=certificate, listen=(TLS, TCP)) as livefeed:
        yield livefeed


@pytest.fixture
def source(followed: Source, server: Livefeed) -> Source:
    """The file that the server follows; the server has the first document."""
    settle(server, followed, FIRST)
    return followed


@pytest.fixture(params=["https", "http"])
def scheme(request: pytest.FixtureRequest) -> str:
    scheme: str = request.param
    return scheme


@pytest.fixture
def http(server: Livefeed, source: Source, scheme: str) -> str:
    """The start of the server's URLs."""
    return f"{scheme}://{HOST}:{server.ports[scheme]}"


@pytest.fixture
def ws(http: str) -> str:
    """The start of the server's URLs for WebSockets."""
    return http.replace("http", "ws", 1)


def settle(server: Livefeed, source: Source, document: bytes) -> None:
    """Writes a document, and returns when it is served."""
    source.write(document)
    with server.websocket(max_size=None) as subscriber:
        while subscriber.recv(timeout=WAIT_S) != document.decode():
            pass


def edited(draw: random.Random, value: Any) -> Any:
    """Gives a JSON value that differs in one place or so, of a kind drawn at random."""
    names = ("a", "", "a/b", "~", "~1", "Z\u00fcrich", "\U0001f600", '"', "0", "-")
    new: Any = draw.choice((None, True, 7, -2.5, "", "\u2028 \\", [], {}, [[1], {"a": None}]))
    if isinstance(value, dict):
        name = draw.choice(draw.choice(((*value, ""), names)))
        changed = {**value, name: edited(draw, value[name]) if name in value else new}
        return changed if draw.random() < 0.8 else {key: changed[key] for key in changed if key != name}
    if isinstance(value, list) and value:
        place = draw.randrange(len(value))
        instead = draw.choice(([], [new, value[place]], [edited(draw, value[place])]))
        return [*value[:place], *instead, *value[place + 1 :]]
    return new


class TestWs:
    def test_receives_each_document(self, run: Run, ws: str, source: Source) -> None:
        """Byte for byte, as text, and is let go when it closes."""
        documents = [b'{"n": 0}', b'{"n": 1.50}', b'{\n  "n": 2,\r\n"city": "Z\xc3\xbcrich \\u00fc"}']
        client = run("websocket", f"{ws}/feed.ws", count=3)
        for count, document in enumerate(documents, start=1):
            source.write(document)
            message = client.wait_for("message", count)
            assert (message["text"].encode(), message["isBinary"]) == (document, False)
        client.finish()
        (opened,), (closed,) = client.events("open"), client.events("close")
        assert (opened["protocol"], opened["extensions"]) == ("", "")
        assert closed["code"] == 1000

    def test_inflates(self, run: Run, ws: str, source: Source) -> None:
        """Large and small documents arrive unchanged, in fewer bytes, with permessage-deflate."""
        documents = [b'{"n": 0}', LARGE, b"[1]", LARGE[:-1] + b', "n": 1}']
        client = run("websocket", f"{ws}/feed", deflate=True, count=len(documents))
        for count, document in enumerate(documents, start=1):
            source.write(document)
            assert client.wait_for("message", count)["text"].encode() == document
        client.finish()
        assert client.events("open")[0]["extensions"] == "permessage-deflate"
        assert client.events("message")[-1]["bytesRead"] < len(LARGE) // 2

    def test_follows_a_part(self, run: Run, ws: str, server: Livefeed, source: Source) -> None:
        """It is sent the part as it stands in the document, when that changes, and nothing of the rest."""
        settle(server, source, b'{"a/b": [0, { "n" : 1.50 }], "rest": 0}')
        client = run("websocket", f"{ws}/feed/a~1b/1", count=2)
        assert client.wait_for("message")["text"] == '{ "n" : 1.50 }'
        for number in range(3):
            settle(server, source, b'{"a/b": [0, { "n" : 1.50 }], "rest": %d}' % number)
        source.write(b'{"a/b": [0, "\xc3\xbc"], "rest": 3}')
        assert client.wait_for("message", 2)["text"] == '"\u00fc"'
        client.finish()

    def test_is_told_that_livefeed_is_stopped(self, run: Run, start: Start) -> None:
        """The close code is 1001, on TLS and without, with and without compression."""
        server = start(listen=(TLS, TCP))
        clients = [
            run("websocket", f"{scheme}://{HOST}:{port}/feed.ws", deflate=deflate)
            for scheme, port in (("wss", server.ports["https"]), ("ws", server.ports["http"]))
            for deflate in (False, True)
        ]
        for client in clients:
            client.wait_for("message")
        assert server.terminate() == 0
        for client in clients:
            client.finish()
            assert client.events("close")[0]["code"] == 1001

    @pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])
    def test_may_not_say_too_much(self, run: Run, ws: str, *, deflate: bool) -> None:
        """A message of 4096 bytes is ignored; a larger one is answered by 1009, even if it compresses well."""
        send = {0: "x" * 4096, 1: "x" * 4097}
        client = run("websocket", f"{ws}/feed.ws", deflate=deflate, send=send)
        assert client.wait_for("close")["code"] == 1009
        assert client.events("message")
        client.finish()

    def test_is_refused_where_nothing_is(self, run: Run, ws: str) -> None:
        """The status of the answer tells the client."""
        client = run("websocket", f"{ws}/nothing.ws")
        assert "404" in client.wait_for("error")["message"]


class TestDelta:
    """Patches are applied by a library that is independent of livefeed's."""

    def test_copies_stay_the_same_as_the_document(self, run: Run, start: Start, tmp_path: Path) -> None:
        """Over WebSocket, compressed or not, and as events, on TLS and without, through changes of every kind."""
        source = Source(tmp_path / "document.json")
        draw = random.Random(6902)
        document: Any = {"list": [*range(50)], "number": -1}
        document |= {name: {str(number): [number] * 5 for number in range(15)} for name in ("table", "a/b", "~", "")}
        source.write(json.dumps(document).encode())
        server = start(*source.options, listen=(TLS, TCP))
        tls, tcp = f"s://{HOST}:{server.ports['https']}", f"://{HOST}:{server.ports['http']}"
        clients = [
            run("websocket", f"ws{tls}/feed.ws", protocols=[DELTA], copy={}, deflate=False),
            run("websocket", f"ws{tcp}/feed.ws", protocols=[DELTA], copy={}, deflate=True),
            run("events", f"http{tls}/feed.sse?delta=1", copy={}),
            run("events", f"http{tcp}/feed.sse?delta=1", copy={}),
        ]
        for client in clients:
            client.wait_for("message")
        for number in range(30):
            for name in draw.sample([*document], 3):
                document[name] = edited(draw, document[name])
            # No version comes twice.
            document["number"] = number
            text = json.dumps(document, ensure_ascii=draw.random() < 0.5)
            version = source.write(text.encode())
            for client in clients:
                assert client.wait_for_version(version)["document"] == document
            response = server.http.get("/feed")
            assert (response.json(), response.headers["Livefeed-Version"]) == (document, version)
        for client in clients:
            kinds = [message["type"] for message in client.events("message") if message["type"] != "heartbeat"]
            assert kinds == ["snapshot"] + ["patch"] * 30
            assert not client.events("error")
        for client in clients[:2]:
            assert client.events("open")[0]["protocol"] == DELTA
        for client in clients[2:]:
            assert all(message["id"] == message["version"] for message in client.events("message"))

    def test_goes_on_from_what_a_client_has(self, run: Run, ws: str, server: Livefeed, source: Source) -> None:
        """``?have=`` is answered with a patch from there, and ``{"have": null}`` with the document."""
        documents = [LARGE, LARGE[:-1] + b', "n": 1}']
        for document in documents:
            settle(server, source, document)
        old, new = (version_of(document) for document in documents)
        client = run(
            "websocket",
            f"{ws}/feed.ws?have={old}",
            protocols=[DELTA],
            copy={"version": old, "text": documents[0].decode()},
            send={1: '{"have": null}'},
        )
        patched, whole = client.wait_for("message"), client.wait_for("message", 2)
        assert (patched["type"], patched["version"]) == ("patch", new)
        assert (whole["type"], whole["version"]) == ("snapshot", new)
        for message in (patched, whole):
            assert message["document"] == json.loads(documents[1])


class TestEventSource:
    def test_receives_each_version(self, run: Run, http: str, source: Source) -> None:
        """The newest at once, then each new one, with its version for an id."""
        documents = [b'{"n": 0}', b'{"n": 1.50}', b'{\n  "n": 2,\n\n  "city": "Z\xc3\xbcrich"\n}', LARGE]
        client = run("events", f"{http}/feed.sse", count=len(documents))
        for count, document in enumerate(documents, start=1):
            version = source.write(document)
            message = client.wait_for("message", count)
            assert (message["id"], message["text"].encode()) == (version, document)
        client.finish()

    def test_comes_back_after_a_restart(self, run: Run, start: Start, tmp_path: Path) -> None:
        """The client reconnects by itself to the same port, sends its version, and receives nothing twice."""
        source = Source(tmp_path / "document.json")
        versions = [source.write(b'{"n": 0}')]
        listen = tuple(f"{kind}:{free_port()}:interface={HOST}" for kind in ("tls", "tcp"))
        server = start(*source.options, listen=listen)
        clients = [
            run("events", f"{scheme}://{HOST}:{server.ports[scheme]}/feed.sse", count=3) for scheme in server.ports
        ]
        for client in clients:
            client.wait_for("message")
        versions.append(source.write(b'{"n": 1}'))
        for client in clients:
            client.wait_for("message", 2)
        assert server.terminate() == 0
        for client in clients:
            client.wait_for("error")
        start(*source.options, listen=listen)
        for client in clients:
            client.wait_for("open", 2)
        versions.append(source.write(b'{"n": 2}'))
        for client in clients:
            assert client.wait_for("message", 3)["text"] == '{"n": 2}'
            assert [message["id"] for message in client.events("message")] == versions
            first, *others = [request["lastEventId"] for request in client.events("request")]
            assert first is None
            assert {*others} == {versions[1]}

    def test_gives_up_where_there_are_no_events(self, run: Run, http: str) -> None:
        """After a 404, the client does not ask again."""
        client = run("events", f"{http}/feed.sse/nothing")
        error = client.wait_for("error")
        assert (error["code"], error["state"]) == (404, 2)


class TestFetchEventSource:
    """The package makes a message of each empty line, also where no data were in front of it."""

    def test_every_message_is_json(self, run: Run, http: str, server: Livefeed, source: Source) -> None:
        """Each version is there, and each state; nothing else is, which could not be parsed."""
        client = run("fetch-events", f"{http}/feed.sse")
        documents = [FIRST, b'{"n": 1.50}', b'{\n  "n": 2,\n\n  "city": "Z\xc3\xbcrich"\n}\n', LARGE]
        # The state of the beginning is one more.
        for count, document in enumerate(documents, start=2):
            source.write(document)
            client.wait_for("message", count)
        source.path.unlink()
        client.wait_for("message", 6)
        settle(server, source, FIRST)
        client.wait_for("message", 8)
        messages = client.events("message")
        states = [message["value"]["state"] for message in messages if message["name"] == "state"]
        assert states == ["live", "stale", "live"]
        found = [(each["name"], each["id"], each["value"]) for each in messages if each["name"] != "state"]
        assert found == [("", version_of(each), json.loads(each)) for each in (*documents, FIRST)]
        assert not client.events("error")

    def test_messages_of_delta(self, run: Run, http: str, source: Source) -> None:
        """The data of each event is a JSON message."""
        client = run("fetch-events", f"{http}/feed.sse?delta=1")
        assert client.wait_for("message")["value"]["data"] == json.loads(FIRST)
        version = source.write(b'{"n": 1}')
        assert client.wait_for("message", 2)["value"]["version"] == version
        assert not client.events("error")

    def test_refusal_is_no_message(self, run: Run, start: Start) -> None:
        """The answer ends, and has nothing in it that could be taken for a message."""
        server = start("--max-subscribers", "1", listen=(TCP,))
        with server.subscriber_wire():
            client = run("fetch-events", f"http://{server.authority}/feed.sse")
            client.finish()
        assert client.events("open") == [{"event": "open", "status": 200, "type": "text/event-stream"}]
        assert len(client.events("close")) == 1
        assert not client.events("message")


class TestFetch:
    def answers(self, run: Run, http: str, *requests: dict[str, Any]) -> list[tuple[int, dict[str, str], bytes]]:
        """Gives status, fields and content of the answer to each request."""
        client = run("requests", http, requests=requests)
        client.finish()
        answers = client.events("answer")
        assert len(answers) == len(requests)
        return [(answer["status"], answer["headers"], base64.b64decode(answer["body"])) for answer in answers]

    def test_decodes_what_it_asked_for(self, run: Run, http: str, server: Livefeed, source: Source) -> None:
        """The decoded body is the document byte for byte, and is not sent again."""
        settle(server, source, LARGE)
        codings = ("gzip", "br", "identity")
        requests = (
            {"path": "/feed", "headers": {"Accept-Encoding": coding}, "conditional": conditional}
            for coding in codings
            for conditional in (False, True)
        )
        answers = self.answers(run, http, *requests)
        for coding, first, again in zip(codings, answers[::2], answers[1::2], strict=True):
            status, fields, content = first
            assert (status, content) == (200, LARGE)
            assert fields.get("content-encoding", "identity") == coding
            assert (again[0], again[2]) == (304, b"")
            assert again[1]["etag"] == fields["etag"]

    def test_without_options_reads_the_document(self, run: Run, http: str, server: Livefeed, source: Source) -> None:
        """The client reads the document and a part in the coding that it prefers."""
        settle(server, source, LARGE)
        whole, part = self.answers(run, http, {"path": "/feed"}, {"path": "/feed/list/7/name"})
        assert (whole[0], whole[2]) == (200, LARGE)
        assert (part[0], part[2]) == (200, '"Z\u00fcrich"'.encode())
        assert whole[1]["content-encoding"] in ("br", "gzip")

    def test_waits(self, run: Run, http: str) -> None:
        """The request waits for its whole time if there is no new version."""
        waiting = {"path": "/feed", "headers": {"Prefer": "wait=1"}, "conditional": True}
        _, (status, fields, _) = self.answers(run, http, {"path": "/feed"}, waiting)
        assert (status, fields["preference-applied"]) == (304, "wait=1")

    def test_preflight(self, run: Run, http: str) -> None:
        """Allows everything that a page that polls needs."""
        asked = {
            "Origin": "https://scores.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "if-none-match,prefer",
        }
        ((status, fields, content),) = self.answers(run, http, {"path": "/feed", "method": "OPTIONS", "headers": asked})
        assert (status, content) == (204, b"")
        assert fields["access-control-allow-origin"] == "*"
        assert {"if-none-match", "prefer"} <= {*fields["access-control-allow-headers"].lower().split(", ")}


class TestCurl:
    @pytest.fixture
    def curl(self, certificate: DevelopmentCertificate, tmp_path: Path) -> Iterator[Callable[..., Process]]:
        """Runs curl, which ends with the test."""
        path = peer("curl", "curl")
        own = ("--silent", "--show-error", "--no-buffer", "--noproxy", "*", "--cacert", str(certificate.ca))
        with ExitStack() as stack:

            def curl(*arguments: str) -> Process:
                process = Process([path, *own, *arguments], directory=tmp_path)
                stack.callback(process.close)
                return process

            yield curl

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
        self, curl: Callable[..., Process], http: str, server: Livefeed, source: Source, arguments: tuple[str, ...]
    ) -> None:
        """The document arrives whole and decoded, with any of the arguments."""
        settle(server, source, LARGE)
        process = curl(*arguments, "--fail", f"{http}/feed")
        assert process.wait() == 0
        assert process.text().encode() == LARGE

    def test_head_ends_by_itself(self, curl: Callable[..., Process], http: str) -> None:
        """The answer to HEAD has the length of the document, and ends by itself."""
        process = curl("--head", f"{http}/feed")
        assert process.wait() == 0
        assert f"content-length: {len(FIRST)}\n" in process.text().lower()

    def test_follows_over_http_1_0(self, curl: Callable[..., Process], http: str, source: Source) -> None:
        """A proxy with default settings speaks HTTP/1.0: it is sent each event as it comes, and no chunks."""
        process = curl("--http1.0", "--include", f"{http}/feed.sse")
        for number in range(3):
            source.write(b'{"n": %d}' % number)
            process.wait_for(rf'^data: \{{"n": {number}\}}$')
        assert "chunked" not in process.text()
        assert process.running
