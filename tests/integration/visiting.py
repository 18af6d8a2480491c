"""A page that follows a document with livefeed.js, and the livefeed that it follows: what a person sees there.

Each change that the page is told is kept. When a test ends its page, all of them are checked: what is shown is what was
written, the state belongs to it, and nothing goes back.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest

from tests.helpers.waiting import wait_until
from tests.integration.browsing import call
from tests.integration.harness import TCP, Livefeed, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.browsing import Browser

T = TypeVar("T")

OPTIONS = ("--source", "file:document.json", "--interval", "0.5", "--stale-after", "2")
TEXT_PAGE = "/feed"
"""A path of livefeed's origin that a browser shows as text: it follows nothing by itself."""

OPEN = "shown.line === 'open' && shown.transport === 'websocket'"
"""The condition that a WebSocket delivers."""

SHOWN: Final = ("live", "stale", "held", "ended")
"""The states in which a document is shown."""

FOLLOW = """import(%s).then(({ follow }) => {
  window.saw = [];
  window.shown = follow(%s, %s);
  shown.subscribe((data, { state, line, transport, sequence, version, age }) => {
    const text = shown.version === version ? shown.text : null;
    saw.push([performance.now(), data?.n ?? null, state, line, transport, sequence, age, version, text]);
  });
  return true;
})"""


class Server:
    """A livefeed with a file, over plain HTTP: a page from 127.0.0.1 may still verify what it shows.

    :param directory: its working directory.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "document.json"
        self._replace(1)
        self.livefeed = Livefeed(*OPTIONS, directory=directory, certificate=None, listen=(TCP,))

    def write(self, number: int) -> None:
        """Writes a version of the document, and returns once it is served."""
        self._replace(number)
        http = self.livefeed.http
        wait_until(lambda: http.get("/feed").json()["n"] == number, f"version {number} is not served")

    def _replace(self, number: int) -> None:
        replace_file(self._file, json.dumps({"n": number, "same": ["a"]}).encode())

    @property
    def origin(self) -> str:
        """Its origin."""
        return f"http://{self.livefeed.authority}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One livefeed for all tests that leave it as it is."""
    server = Server(tmp_path_factory.mktemp("livefeed"))
    with server.livefeed:
        yield server


@dataclass(frozen=True, slots=True)
class Sight:
    """One change that a page was told.

    :ivar at: the time in ms on the clock of the page.
    :ivar number: the number in the document that is shown; ``None`` if none is.
    :ivar age: the age in ms; ``None`` while it is unknown.
    :ivar text: the text of the document; ``None`` if none is shown, or the page shows another one since then.
    """

    at: float
    number: int | None
    state: str | None
    line: str
    transport: str | None
    sequence: str | None
    age: float | None
    version: str | None
    text: str | None

    @property
    def order(self) -> tuple[int, ...]:
        """The sequence in a form that can be compared."""
        return tuple(map(int, (self.sequence or "0.0").split(".")))

    def assert_belongs_together(self) -> None:
        """Fails unless the data is that of the version, and the state says whether it is shown."""
        assert (self.version is not None) == (self.state in SHOWN), self
        assert self.version is not None or (self.number, self.text) == (None, None), self
        if self.text is not None:
            assert hashlib.sha256(self.text.encode()).hexdigest()[:32] == self.version, self
            assert json.loads(self.text)["n"] == self.number, self


class Page:
    """A page that follows a document, and remembers what it was told.

    :param browser: the browser.
    :param origin: the origin of livefeed as the page sees it.
    :param page: the address of the page; by default, one of livefeed's origin.
    :param options: those of ``follow``.
    :param before: what the page does before it follows.
    """

    def __init__(
        self, browser: Browser, origin: str, page: str | None = None, options: str = "{}", before: str = ""
    ) -> None:
        self._browser = browser
        browser.get(page or origin + TEXT_PAGE)
        browser.execute_script(f"sessionStorage.clear(); {before}")
        script = json.dumps(f"{origin}/-/livefeed.js")
        followed = call(browser, FOLLOW % (script, json.dumps(f"{origin}/feed"), options))
        assert followed is True, followed

    def get(self, expression: str) -> Any:
        """Gives the value of an expression of the page."""
        return self._browser.execute_script(f"return {expression}")

    def wait_for(self, condition: str) -> None:
        """Returns as soon as a condition holds on the page."""
        wait_until(lambda: self.get(condition), lambda: f"{condition} never holds: {self.saw()}", look_s=0.05)

    def saw(self) -> list[Sight]:
        """Gives each change that the page was told."""
        return [Sight(*each) for each in self.get("saw")]

    def numbers(self) -> list[int | None]:
        """Gives the numbers that were shown, one after the other."""
        return without_repetitions([each.number for each in self.saw()])

    def states(self) -> list[tuple[int | None, str | None]]:
        """Gives the numbers with their states, one after the other, from the first answer on."""
        return without_repetitions([(each.number, each.state) for each in self.saw() if each.state is not None])

    def lines(self) -> list[str]:
        """Gives the states of the line, one after the other."""
        return without_repetitions([each.line for each in self.saw()])

    def transports(self) -> list[str | None]:
        """Gives the transports that were in use, one after the other."""
        return without_repetitions([each.transport for each in self.saw() if each.transport is not None])

    def check(self) -> None:
        """Fails if anything that was shown went back, or did not belong together."""
        saw = self.saw()
        for each in saw:
            each.assert_belongs_together()
        orders = [each.order for each in saw]
        assert orders == sorted(orders), saw

    def close(self) -> None:
        """Checks what was seen, ends the feed, and drops the complaints of the browser about what was broken."""
        self.check()
        self._browser.execute_script("shown.close()")
        self._browser.get_log("browser")


def without_repetitions(values: list[T]) -> list[T]:
    """Leaves out each value that is the same as the one before it."""
    return [value for index, value in enumerate(values) if index == 0 or value != values[index - 1]]
