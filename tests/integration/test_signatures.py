"""Signed statements of a real livefeed: in answers and messages of all workers, after a rotation, through caches."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms

from livefeed.client.asyncio import follow
from livefeed.client.update import Line, State
from livefeed.document.public_keys import read_key_set
from livefeed.document.signature import Signed, Statement, Verified, verified
from livefeed.document.snapshot import version_of
from livefeed.process.signing_keys import make_keys, read_keys
from tests.helpers.threaded_server import ThreadedServer
from tests.helpers.waiting import wait_until
from tests.integration.harness import HOST, TCP, TEXT, WAIT_S, Livefeed, Polling, replace_file
from tests.integration.upgrading import end, upgrade, wait_until_ready

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    import httpx
    from selenium.webdriver import Chrome

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start
    from tests.integration.proxies import Cache, Place

LIVEFEED = str(Path(sys.executable).with_name("livefeed"))


class Keys(HTTPSignatureKeyResolver):
    """The keys of a set, for the independent implementation of RFC 9421."""

    def __init__(self, content: bytes) -> None:
        self._keys = {name: Ed25519PublicKey.from_public_bytes(key) for name, key in read_key_set(content).items()}

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        return self._keys[key_id]

    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
        raise NotImplementedError

    def verify(self, answer: httpx.Response) -> tuple[Statement, str]:
        """Verifies an answer, and gives its statement and the key."""
        verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=self)
        (result,) = verifier.verify(answer, expect_tag="livefeed")
        assert [*result.covered_components] == ['"livefeed-statement"', '"@signature-params"']
        return Statement.parse(result.covered_components['"livefeed-statement"']), str(result.parameters["keyid"])

    def of_message(self, text: bytes) -> Verified:
        """Verifies a message."""
        signed = Signed.of_member(json.loads(text)["signed"])
        assert signed is not None
        return verified(signed, {name: key.verify for name, key in self._keys.items()})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file that livefeed follows."""
    path = tmp_path / "document.json"
    replace_file(path, b'{"n": 1.50, "rest": "%s"}' % (b"x" * 2000))
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The file with the signing key."""
    path = tmp_path / "signing.pem"
    make_keys().write(path, is_new=True)
    return path


def run_verify(*arguments: str) -> tuple[int, str]:
    """Runs livefeed verify, and gives its exit code and all that it prints."""
    done = subprocess.run([LIVEFEED, "verify", *arguments], capture_output=True, text=True, check=False, timeout=WAIT_S)
    return done.returncode, done.stdout + done.stderr


def test_answers_and_messages(start: Start, path: Path, key: Path) -> None:
    """Each coding, 304, 226, and each message of each worker has a statement that the published keys verify."""
    livefeed = start("--source", f"file:{path}", "--interval", "0.25", "--signing-key", str(key))
    answer = livefeed.http.get("/-/keys")
    assert answer.content == read_keys(key).key_set()
    keys = Keys(answer.content)
    first = path.read_bytes()
    for coding in ("identity", "gzip", "br"):
        found = livefeed.http.get("/feed", headers={"Accept-Encoding": coding})
        statement, name = keys.verify(found)
        assert (statement.feed, statement.state, name) == ("feed", "live", read_keys(key).key_id)
        assert statement.digest == hashlib.sha256(first).digest()
        assert statement.sequence_text == found.headers["Livefeed-Sequence"]
    replace_file(path, first.replace(b"1.50", b"2.50"))
    tags = {"If-None-Match": f'"{version_of(first)}"', "A-IM": "livefeed-splices"}

    def changed() -> bool:
        return livefeed.http.get("/feed", headers=tags).status_code == 226

    wait_until(changed, lambda: "the document does not change")
    statement, _ = keys.verify(livefeed.http.get("/feed", headers=tags))
    assert statement.digest == hashlib.sha256(path.read_bytes()).digest()
    same = livefeed.http.get("/feed", headers={"If-None-Match": f'"{version_of(path.read_bytes())}"'})
    assert same.status_code == 304
    assert keys.verify(same)[0].digest == statement.digest
    for subprotocol in ("livefeed.delta.v1", "livefeed.delta.v2"):
        with livefeed.subscriber_of_each(subprotocol) as wires:
            for wire in wires:
                seen = [keys.of_message(wire.frame_of(TEXT)) for _ in range(8)]
                assert {each.statement.digest for each in seen} == {statement.digest}
                assert seen[-1].created > seen[0].created
    assert "livefeed-statement" not in livefeed.http.get("/feed/n").headers
    assert "PRIVATE" not in livefeed.log()


@pytest.mark.processes
def test_rotation(start: Start, path: Path, key: Path) -> None:
    """The key is rotated while livefeed runs; the one before stays published."""
    livefeed = start("--source", f"file:{path}", "--interval", "0.1", "--signing-key", str(key))
    before = read_keys(key)
    for arguments in (("--announce",), ()):
        subprocess.run([LIVEFEED, "keys", "rotate", *arguments, str(key)], check=True, capture_output=True)
        mark = livefeed.mark()
        livefeed.process.signal(signal.SIGHUP)
        livefeed.wait_for_log("reloaded ", start=mark)
    after = read_keys(key)
    assert before.key_id != after.key_id

    def is_signed_by_the_next() -> bool:
        published = livefeed.http.get("/-/keys").content
        if [*read_key_set(published)] != [after.key_id, before.key_id]:
            return False
        return Keys(published).verify(livefeed.http.get("/feed"))[1] == after.key_id

    wait_until(is_signed_by_the_next, lambda: livefeed.log(mark))
    assert f"the key that signs: '{before.key_id}' -> '{after.key_id}'" in livefeed.log(mark)
    key.write_bytes(b"")
    livefeed.process.signal(signal.SIGHUP)
    livefeed.wait_for_log(f"the reload has changed nothing: .*{key}: has no private key", start=mark)
    assert is_signed_by_the_next()


@pytest.mark.chosen
def test_upgrade(path: Path, key: Path, tmp_path: Path, certificate: DevelopmentCertificate) -> None:
    """During an upgrade each answer is signed, and sequences never go back: a client with keys notices nothing."""
    config = tmp_path / "livefeed.toml"
    settings = f'workers = 1\ninterval = 0.2\ndrain = 0.5\nsource = "file:{path}"\nsigning_key = "{key}"\n'
    config.write_text(settings)
    with Livefeed("--config", str(config), directory=tmp_path, certificate=certificate, listen=(TCP,)) as livefeed:
        try:
            wait_until_ready(livefeed)
            keys = {name: Ed25519PublicKey.from_public_bytes(each).verify for name, each in published_keys(livefeed)}
            with Polling(livefeed, pause_s=0.05) as polling:
                polling.wait_for(lambda answer: answer.status == 200)
                code, output = upgrade(livefeed, "--unsupervised")
                assert code == 0, output
                replace_file(path, b'{"n": 7}')
                polling.wait_for(lambda answer: answer.body == b'{"n": 7}')
            seen = []
            for answer in polling.answers:
                signed = Signed.of_fields(dict(answer.headers))
                assert signed is not None, answer
                found = verified(signed, keys)
                assert found.statement.digest == hashlib.sha256(answer.body).digest()
                seen.append(found.statement.sequence)
            assert seen == sorted(seen)
            assert len({*seen}) > 1
        finally:
            end(livefeed)


def published_keys(livefeed: Livefeed) -> list[tuple[str, bytes]]:
    """Gives the published keys with their ids."""
    return [*read_key_set(livefeed.http.get("/-/keys").content).items()]


@pytest.mark.peers
def test_through_caches(start: Start, place: Place, path: Path, key: Path, tmp_path: Path) -> None:
    """What nginx and Varnish answer is verified, while the document changes and while it does not."""
    livefeed = start("--source", f"file:{path}", "--signing-key", str(key), listen=(TCP,))
    keys = tmp_path / "keys.json"
    keys.write_bytes(read_keys(key).key_set())
    published = Keys(keys.read_bytes())
    for cache in place.each(livefeed.port):
        url = f"http://{HOST}:{cache.port}/feed"
        first, _ = published.verify(cache.http.get("/feed", headers={"Accept-Encoding": "gzip"}))

        def is_newer(cache: Cache = cache, first: Statement = first) -> bool:
            return published.verify(cache.http.get("/feed"))[0].at > first.at

        wait_until(is_newer, lambda: "a cache keeps an old statement")
        code, text = run_verify("--keys", str(keys), url)
        assert (code, "verified: version " in text) == (0, True), (cache.kind, text)
    # The keys of the mirror itself prove nothing, which the command says.
    code, text = run_verify(url)
    assert (code, "the keys are those of the server itself" in text) == (0, True), text
    keys.write_bytes(make_keys().key_set())
    code, text = run_verify("--keys", str(keys), url)
    assert (code, "a key that is not trusted" in text) == (1, True), text


@pytest.mark.peers
def test_a_client_with_keys(start: Start, place: Place, path: Path, key: Path, tmp_path: Path) -> None:
    """The client for Python follows through nginx, and shows nothing that others have signed."""
    livefeed = start("--source", f"file:{path}", "--interval", "0.2", "--signing-key", str(key), listen=(TCP,))
    cache = place.nginx(livefeed.port)
    keys, others = tmp_path / "keys.json", tmp_path / "others.json"
    keys.write_bytes(read_keys(key).key_set())
    others.write_bytes(make_keys().key_set())
    url = f"http://{HOST}:{cache.port}/feed"
    next_one = path.read_bytes().replace(b"1.50", b"2.50")

    async def work() -> None:
        async with asyncio.timeout(WAIT_S):
            async with follow(url, keys=keys) as feed:
                update = await anext(aiter(feed))
                while not (update.signed and update.line is Line.OPEN and update.state is State.LIVE):
                    update = await anext(feed)
                replace_file(path, next_one)
                while update.content != next_one:
                    update = await anext(feed)
                assert (update.signed, update.distrust) == (True, "")
            async with follow(url, keys=others) as feed:
                async for update in feed:
                    assert update.content is None
                    if update.distrust:
                        break
            assert "a key that is not trusted" in update.distrust

    asyncio.run(work())


FOLLOW = """const [url, keys, done] = arguments;
import("/-/livefeed.verify.js").then(({ follow }) => {
  window.distrust = [];
  window.told = [];
  window.shown = follow(url, {
    verify: keys,
    onDistrust: ({ message }) => distrust.push(message),
    onState: ({ signed, state, transport }) => told.push([signed, state, transport]),
  });
  done(true);
}, (error) => done(String(error)));"""


@pytest.mark.peers
def test_in_a_browser(start: Start, browser: Chrome, path: Path, key: Path) -> None:
    """A page verifies by WebCrypto what it shows, and shows nothing that others have signed."""
    livefeed = start("--source", f"file:{path}", "--interval", "0.2", "--signing-key", str(key), listen=(TCP,))
    browser.get(f"http://{livefeed.authority}/feed")

    def wait_for(condition: str) -> None:
        wait_until(
            lambda: browser.execute_script(f"return Boolean({condition})"),
            lambda: str(browser.execute_script("return [shown.error?.message, distrust, told]")),
        )

    keys = json.loads(read_keys(key).key_set())
    assert browser.execute_async_script(FOLLOW, "/feed", keys) is True
    wait_for("shown.transport === 'websocket' && shown.signed")
    replace_file(path, path.read_bytes().replace(b"1.50", b"2.50"))
    wait_for("shown.data.n === 2.5 && shown.state === 'live'")
    assert browser.execute_script("return shown.text") == path.read_text()
    assert browser.execute_script("return distrust") == []
    others = json.loads(make_keys().key_set())
    browser.execute_script("shown.close()")
    assert browser.execute_async_script(FOLLOW, "/feed", others) is True
    wait_for("distrust.length && shown.error")
    assert "a key that is not trusted" in browser.execute_script("return distrust[0]")
    assert browser.execute_script("return [shown.text, shown.signed]") == [None, False]
    browser.execute_script("shown.close()")


@pytest.mark.peers
def test_a_recording(start: Start, path: Path, key: Path, tmp_path: Path) -> None:
    """The statements of a feed that was recorded are verified later, and those of other keys are not."""
    livefeed = start("--source", f"file:{path}", "--signing-key", str(key), listen=(TCP,))
    file, keys, others = tmp_path / "night.recording", tmp_path / "keys.json", tmp_path / "others.json"
    keys.write_bytes(read_keys(key).key_set())
    others.write_bytes(make_keys().key_set())
    url = f"http://{livefeed.authority}/feed"
    subprocess.run([LIVEFEED, "record", url, str(file), "--for", "2s"], check=True, timeout=WAIT_S)
    for trusted, code, said in ((keys, 0, "signed: 1 version,"), (others, 1, "a key that is not trusted")):
        command = [LIVEFEED, "recording", "verify", str(file), "--keys", str(trusted)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WAIT_S)
        assert done.returncode == code, done.stderr
        assert said in done.stdout + done.stderr


def mirror(make: Callable[[], bytes]) -> ThreadedServer:
    """A server that answers each request with bytes."""

    def serve(sock: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(4096)
            if not more:
                return
            data += more
        sock.sendall(make())

    return ThreadedServer(serve)


@pytest.mark.peers
def test_mirrors_that_cheat(key: Path, tmp_path: Path) -> None:
    """A frozen mirror, one that changes the document, one that strips the statement, and one of another feed."""
    keys = read_keys(key)
    file = tmp_path / "keys.json"
    file.write_bytes(keys.key_set())
    content = b'{"votes": 10}'

    def answer(*, feed: str = "feed", age_s: int = 0, content: bytes = content, strips: bool = False) -> bytes:
        statement = Statement(
            feed, (5, 1), hashlib.sha256(b'{"votes": 10}').digest(), "live", "2026-11-23T20:15:07.004Z"
        )
        created = int(time.time()) - age_s
        signed = Signed.of(statement.text(), keys.key_id, created, created + 8, keys.signing.sign)
        fields = [] if strips else [b"%s: %s" % field for field in signed.fields()]
        head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(content), b"Connection: close", *fields]
        return b"\r\n".join([*head, b"", b""]) + content

    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "verified: version "),
        ({"age_s": 600}, "the newest signed statement is of"),
        ({"content": b'{"votes": 99}'}, "it is not the document that was signed"),
        ({"strips": True}, "it is not signed, although a key was given"),
        ({"feed": "other"}, "it is signed for the feed 'other'"),
    )
    for more, why in cases:
        with mirror(lambda more=more: answer(**more)) as server:  # type: ignore[misc]
            code, text = run_verify("--keys", str(file), f"http://{HOST}:{server.port}/feed")
            assert (code, why in text) == (1 if more else 0, True), text
