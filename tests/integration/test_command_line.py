"""The commands livefeed watch and livefeed serve, and the client for asyncio, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from livefeed.client.asyncio import follow
from livefeed.client.update import Line, State
from tests.integration.harness import HOST, START_S, TCP, WAIT_S, Process, environment, runtime_dir

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.client.asyncio import Feed, Update
    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed

pytestmark = pytest.mark.peers

LIVEFEED = str(Path(sys.executable).with_name("livefeed"))


def watch(*arguments: str) -> tuple[int, str, str]:
    """Runs livefeed watch, and gives its exit code, its output and its errors."""
    done = subprocess.run([LIVEFEED, "watch", *arguments], capture_output=True, text=True, check=False, timeout=WAIT_S)
    return done.returncode, done.stdout, done.stderr


async def reach(feed: Feed[Any], is_it: Callable[[Update[Any]], bool]) -> Update[Any]:
    """Gives the first update that is as a test wants it."""
    async for update in feed:
        if is_it(update):
            return update
    raise AssertionError("the feed has ended")


def test_watch(start: Start, tmp_path: Path, certificate: DevelopmentCertificate) -> None:
    """The document and a part of it, by WebSocket and by polls, with TLS, and the errors."""
    source = tmp_path / "a.json"
    source.write_text('{"counted": 1.50, "rest": [1]}')
    livefeed = start("--source", f"file:{source}")
    url = f"https://{livefeed.authority}/feed"
    for options, line in (((), "open"), (("--poll",), "polling")):
        code, text, errors = watch(f"{url}#/counted", "--once", "--cacert", str(certificate.ca), *options)
        assert (code, errors) == (0, "")
        assert '"data":1.50}' in text
        shown = json.loads(text)
        assert (shown["line"], shown["state"], shown["verified"]) == (line, "live", True)
    code, _, errors = watch(url, "--once")
    assert (code, "is not trusted" in errors) == (1, True), errors
    code, _, errors = watch(f"{url}#/nothing", "--once", "--insecure")
    assert (code, "certificate is not checked" in errors, len(errors.splitlines())) == (1, True, 2), errors


def test_following(start: Start, tmp_path: Path) -> None:
    """Versions come as splices, and a client of asyncio comes back to a livefeed that was restarted."""
    source = tmp_path / "a.json"
    # A text that cannot be compressed: otherwise splices are not smaller than the document.
    rest = '"rest": "' + "".join(hashlib.sha256(bytes([each])).hexdigest() for each in range(32)) + '"'
    source.write_text(f'{{"n": 0, {rest}}}')

    def write(number: int) -> None:
        (tmp_path / "b.json").write_text(f'{{"n": {number}, {rest}}}')
        (tmp_path / "b.json").rename(source)

    async def work(first: Livefeed) -> None:
        async with asyncio.timeout(START_S), follow(f"http://{first.authority}/feed") as feed:
            await reach(feed, lambda update: update.line is Line.OPEN and update.data is not None)
            received = feed.received_bytes
            write(1)
            update = await reach(feed, lambda update: update.data is not None and update.data["n"] == 1)
            assert feed.received_bytes - received < 2000
            assert (update.state, update.verified) == (State.LIVE, True)
            assert await asyncio.to_thread(first.terminate) == 0
            update = await reach(feed, lambda update: update.line is Line.OFFLINE)
            assert update.content is not None
            write(2)
            listen = (TCP.replace(":0:", f":{first.port}:"),)
            await asyncio.to_thread(start, "--source", f"file:{source}", listen=listen)
            update = await reach(feed, lambda update: update.data is not None and update.data["n"] == 2)
            assert (update.state, update.line) == (State.LIVE, Line.OPEN)

    asyncio.run(work(start("--source", f"file:{source}", "--return-after", "0.1", listen=(TCP,))))


def test_serve(tmp_path: Path) -> None:
    """A file is served as plain HTTP on this machine, until Ctrl-C."""
    (tmp_path / "results.json").write_text('{"a": 1.50}')
    with contextlib.ExitStack() as stack:
        variables = {**environment(tmp_path), "LIVEFEED_RUNTIME_DIR": str(runtime_dir(stack))}
        command = (LIVEFEED, "serve", "results.json", "--port", "0", "--interval", "0.1")
        process = Process(command, directory=tmp_path, environment=variables)
        stack.callback(process.close)
        process.wait_for('feed "feed" is live', START_S)
        found = re.search(r"the page is http://localhost:(\d+)/", process.text())
        assert found is not None, process.text()
        with httpx.Client(trust_env=False, timeout=WAIT_S) as client:
            assert client.get(f"http://{HOST}:{found[1]}/feed").content == b'{"a": 1.50}'
        process.signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT
        assert "Server Shut Down" in process.text()


FOLLOWER = """
import sys
from twisted.internet import reactor
from livefeed.client.twisted import Follower

def show(update):
    if update.data is not None:
        print(update.line, update.state, update.verified, update.data)
        reactor.stop()

follower = Follower(reactor, sys.argv[1], show, on_error=print, cacert=sys.argv[2])
reactor.callWhenRunning(follower.startService)
reactor.addSystemEventTrigger("before", "shutdown", follower.stopService)
reactor.run()
"""


def test_follower(start: Start, tmp_path: Path, certificate: DevelopmentCertificate) -> None:
    """The service of Twisted follows by WebSocket, with the TLS of the standard library."""
    (tmp_path / "a.json").write_text("[1]")
    livefeed = start("--source", f"file:{tmp_path}/a.json")
    command = [sys.executable, "-c", FOLLOWER, f"https://{livefeed.authority}/feed", str(certificate.ca)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WAIT_S)
    assert (done.stdout, done.stderr) == ("open live True [1]\n", "")
