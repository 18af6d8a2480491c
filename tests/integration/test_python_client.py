"""Both front ends of ``livefeed.client`` behind nginx, which forwards WebSockets or does not."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from livefeed.document.snapshot import version_of
from tests.integration.harness import HOST, TCP, WAIT_S, Process, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Start
    from tests.integration.proxies import Place

pytestmark = pytest.mark.peers

PROGRAM = Path(__file__).resolve().parent.parent / "clients" / "python_follower.py"
WITHOUT_WEBSOCKETS = {"    proxy_set_header Upgrade $http_upgrade;\n": ""}


def document(number: int) -> bytes:
    """Gives a version of which little changes."""
    return b'{ "n": %d, "share": 1.50, "rest": "%s" }\r\n' % (number, b"x" * 2000)


class Follower:
    """A program that follows a feed, and prints its updates."""

    def __init__(self, front_end: str, url: str, directory: Path) -> None:
        self._process = Process([sys.executable, str(PROGRAM), front_end, url], directory=directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._process.close()

    def updates(self) -> list[dict[str, Any]]:
        """Gives all updates so far."""
        return [json.loads(line) for line in self._process.text().splitlines(keepends=True) if line.endswith("}\n")]

    def wait_for(self, wanted: Callable[[dict[str, Any]], object]) -> None:
        """Waits until the newest update is as wanted."""
        seen = len(self.updates())
        while not (self.updates() and wanted(self.updates()[-1])):
            self._process.wait_for(r"\}\n", count=seen + 1)
            seen = len(self.updates())


@pytest.mark.parametrize("front_end", ["asyncio", "twisted"])
def test_a_document_that_does_not_change(front_end: str, start: Start, tmp_path: Path) -> None:
    """Where only changes are pushed, heartbeats keep the client on its WebSocket, and live, until they stop."""
    replace_file(tmp_path / "document.json", document(0))
    livefeed = start("--source", "file:document.json", "--interval", "0.5", "--push", "change", listen=(TCP,))
    with Follower(front_end, f"http://{livefeed.authority}/feed", tmp_path) as follower:
        follower.wait_for(lambda update: update["line"] == "open")
        first = len(follower.updates()) - 1
        with livefeed.websocket(subprotocols=["livefeed.delta.v2"]) as subscriber:
            kinds = [json.loads(subscriber.recv(timeout=WAIT_S))["type"] for _ in range(6)]
        assert kinds == ["document", *["heartbeat"] * 5]
        livefeed.process.signal(signal.SIGSTOP)
        try:
            follower.wait_for(lambda update: update["state"] == "stale")
        finally:
            livefeed.process.signal(signal.SIGCONT)
        follower.wait_for(lambda update: (update["line"], update["state"]) == ("open", "live"))
        told = [(update["line"], update["state"]) for update in follower.updates()[first:]]
    # Without heartbeats, it would have left after 4 s, and have polled.
    assert (told[0], told[1][1]) == (("open", "live"), "stale")


@pytest.mark.parametrize("front_end", ["asyncio", "twisted"])
def test_a_proxy_without_websockets(front_end: str, start: Start, place: Place, tmp_path: Path) -> None:
    """The client polls, never shows an older document, and uses a WebSocket as soon as the proxy forwards it."""
    path = tmp_path / "document.json"
    replace_file(path, document(0))
    livefeed = start("--source", f"file:{path}", "--interval", "0.1", listen=(TCP,))
    proxy = place.nginx(livefeed.port, WITHOUT_WEBSOCKETS)
    with Follower(front_end, f"http://{HOST}:{proxy.port}/feed", tmp_path) as follower:

        def shows(number: int, line: str) -> None:
            version = version_of(document(number))
            follower.wait_for(lambda update: (update["version"], update["line"]) == (version, line))

        shows(0, "polling")
        for number in (1, 2):
            replace_file(path, document(number))
            shows(number, "polling")
        proxy.restart({})
        shows(2, "open")
        replace_file(path, document(3))
        shows(3, "open")
        # The cache has older versions, which it would serve for minutes.
        livefeed.process.signal(signal.SIGKILL)
        follower.wait_for(lambda update: (update["line"], update["state"]) == ("offline", "stale"))
        updates = follower.updates()
    with_data = [update for update in updates if update["data"] is not None]
    numbers = [update["data"]["n"] for update in with_data]
    assert numbers == sorted(numbers)
    assert {update["n"] for update in (each["data"] for each in with_data)} == {0, 1, 2, 3}
    assert all(update["verified"] for update in with_data)
    first = updates.index(with_data[0])
    assert None not in [update["data"] for update in updates[first:]]
