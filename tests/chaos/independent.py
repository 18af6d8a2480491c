"""Clients of other makers that reconnect by themselves, many of each kind at the same time."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.service import Service

from tests.helpers.chromium import chromium_options
from tests.integration.harness import Process

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
NODE_CLIENTS = ROOT / "tests" / "clients"

RATE = 25.0
"""Clients of a kind that begin per second."""

CURLS = 20.0
"""Processes of curl per second, of all its clients together."""

_BROWSER_STREAMS = 200
"""Event streams of one browser: Chromium has at most 256 connections."""

_HOST_STREAMS = 6
"""Event streams to one host: a browser opens no more connections to it. All names below localhost are this machine."""

_FOLLOW = """
window.seen = [];
const note = (client, event, fields) =>
  window.seen.push({client, event, at: (performance.timeOrigin + performance.now()) / 1000, ...fields});
arguments[0].forEach((url, client) => setTimeout(() => {
  const source = new EventSource(url);
  source.onopen = () => note(client, "open", {});
  source.onmessage = (event) => note(client, "document", {n: JSON.parse(event.data).n});
  source.onerror = () => note(client, "close", {code: source.readyState === 2 ? "given up" : "end"});
}, client * 1000 / arguments[1]));
"""


class Clients(Protocol):
    """Clients of one kind that run."""

    def events(self) -> list[dict[str, Any]]:
        """Gives all events until now."""

    def close(self) -> None:
        """Ends the clients."""


class MissingError(Exception):
    """A program that clients need is not installed."""


class Programs:
    """Clients in a process that prints their events."""

    def __init__(self, command: list[str], directory: Path, environment: dict[str, str]) -> None:
        self._process = Process(command, directory=directory, environment=environment)

    def events(self) -> list[dict[str, Any]]:
        lines = self._process.text().split("\n")
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def close(self) -> None:
        self._process.close()


class Browsers:
    """``EventSource`` in Chromium; several browsers if one may not have so many connections."""

    def __init__(self, port: int, count: int, directory: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._browsers: list[Chrome] = []
        # The browser's clock is the wall clock.
        self._offset_s = time.time() - time.monotonic()
        try:
            for first in range(0, count, _BROWSER_STREAMS):
                streams = min(_BROWSER_STREAMS, count - first)
                self._browsers.append(self._start(port, streams, directory / f"chromium-{first}"))
        except BaseException:
            self._stack.close()
            raise

    def _start(self, port: int, streams: int, profile: Path) -> Chrome:
        options = chromium_options(_program("chromium"), profile)
        browser = self._stack.enter_context(Chrome(options=options, service=Service(_program("chromedriver"))))
        browser.get(f"https://localhost:{port}/-/feeds.json")
        urls = [f"https://c{index // _HOST_STREAMS}.localhost:{port}/feed.sse" for index in range(streams)]
        browser.execute_script(_FOLLOW, urls, RATE)
        return browser

    def events(self) -> list[dict[str, Any]]:
        found = []
        for index, browser in enumerate(self._browsers):
            for event in browser.execute_script("return window.seen"):
                client = event["client"] + index * _BROWSER_STREAMS
                found.append({**event, "client": client, "at": event["at"] - self._offset_s})
        return found

    def close(self) -> None:
        self._stack.close()


class Independent:
    """Clients of all kinds; leaving the context ends them.

    :param port: of livefeed.
    :param count: of each kind.
    :param authority: the file of the certificate authority that they trust.
    :param directory: for profiles.
    :param kinds: the kinds to run; all if none are named.
    :ivar missing: the kinds that cannot run here, with the reasons.
    """

    def __init__(self, port: int, count: int, authority: Path, directory: Path, kinds: list[str] | None) -> None:
        self._port = port
        self._count = count
        self._authority = authority
        self._directory = directory
        self._running: dict[str, Clients] = {}
        self.missing: dict[str, str] = {}
        for kind in kinds or [*KINDS]:
            try:
                self._running[kind] = KINDS[kind](self)
            except MissingError as error:
                self.missing[kind] = str(error)
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all clients."""
        for clients in self._running.values():
            clients.close()

    def events(self) -> dict[str, list[dict[str, Any]]]:
        """Gives the events of each kind until now."""
        return {kind: clients.events() for kind, clients in self._running.items()}

    def served(self) -> bool:
        """Tells whether each client has had a document."""
        return all(
            len({event["client"] for event in events if event["event"] == "document"}) == self._count
            for events in self.events().values()
        )

    def _python(self, module: str, path: str, last: float, scheme: str) -> Clients:
        url = f"{scheme}://localhost:{self._port}{path}"
        arguments = [url, str(self._authority), str(self._count), str(last)]
        return Programs([sys.executable, "-m", module, *arguments], ROOT, {})

    def _iterate(self) -> Clients:
        return self._python("tests.chaos.iterating", "/feed.ws", RATE, "wss")

    def _curl(self) -> Clients:
        _program("curl")
        return self._python("tests.chaos.curling", "/feed", max(1.0, self._count / CURLS), "https")

    def _node(self, library: str) -> Clients:
        if not (NODE_CLIENTS / "node_modules" / library).is_dir():
            raise MissingError("it is not in tests/clients/node_modules; make installs it there by npm")
        options = json.dumps({"library": library, "count": self._count, "rate": RATE})
        command = [_program("node"), "reconnecting.mjs", f"wss://localhost:{self._port}/feed.ws", options]
        return Programs(command, NODE_CLIENTS, {"NODE_EXTRA_CA_CERTS": str(self._authority), "NODE_OPTIONS": ""})

    def _reconnect(self) -> Clients:
        return self._node("reconnecting-websocket")

    def _party(self) -> Clients:
        return self._node("partysocket")

    def _browse(self) -> Clients:
        return Browsers(self._port, self._count, self._directory)


KINDS: dict[str, Callable[[Independent], Clients]] = {
    "websockets": Independent._iterate,
    "reconnecting-websocket": Independent._reconnect,
    "partysocket": Independent._party,
    "EventSource": Independent._browse,
    "curl": Independent._curl,
}
"""The kinds of clients, and the methods that start them."""


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingError(f"there is no {name} on the PATH")
    return path
