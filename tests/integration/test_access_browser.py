"""Pages that follow a protected feed, in a real browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.waiting import wait_until
from tests.integration.browsing import call, chromium
from tests.integration.harness import TCP, Livefeed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.browsing import Browser

pytestmark = pytest.mark.peers

TOKEN = "q0Ywz3nOScE8uWq3Yc0dT1p4"

FOLLOW = """Promise.all(["livefeed", "livefeed.token"].map((name) => import(`/-/${name}.js`))).then(
  ([{ follow }, { withToken }]) => {
    window.shown = follow("/secret", withToken(() => %s));
    return true;
  },
)"""


@pytest.fixture(scope="module")
def livefeed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Livefeed]:
    directory: Path = tmp_path_factory.mktemp("livefeed")
    (directory / "doc.json").write_text('{"n": 1}')
    tokens = directory / "tokens.txt"
    tokens.touch(0o600)
    tokens.write_text(f"a {TOKEN}\n")
    feeds = '[feeds.open]\nsource = "file:doc.json"\n[feeds.secret]\nsource = "file:doc.json"\n'
    (directory / "livefeed.toml").write_text(feeds + 'auth_tokens = "tokens.txt"\n')
    with Livefeed("--config", "livefeed.toml", directory=directory, certificate=None, listen=(TCP,)) as livefeed:
        yield livefeed


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


class Tab:
    """The tab of the browser at a path."""

    def __init__(self, browser: Browser, livefeed: Livefeed, path: str) -> None:
        self._browser = browser
        browser.get(f"http://{livefeed.authority}{path}")

    def follow(self, token: str) -> None:
        """Follows the protected feed."""
        assert call(self._browser, FOLLOW % json.dumps(token)) is True

    def get(self, expression: str) -> Any:
        """Gives the value of an expression of the page."""
        return self._browser.execute_script(f"return {expression}")

    def wait_for(self, condition: str) -> None:
        """Returns as soon as a condition holds on the page."""
        wait_until(lambda: self.get(condition), f"{condition} never holds", look_s=0.05)


def test_a_page_with_a_token(browser: Browser, livefeed: Livefeed) -> None:
    """The document comes by GET, and then by a WebSocket, whose token stands in a subprotocol."""
    tab = Tab(browser, livefeed, "/open")
    tab.follow(TOKEN)
    tab.wait_for("shown.line === 'open' && shown.transport === 'websocket'")
    assert tab.get("[shown.data.n, shown.error, shown.state]") == [1, None, "live"]


def test_a_page_without_a_good_token(browser: Browser, livefeed: Livefeed) -> None:
    """It shows nothing, and knows why. So does livefeed's own page, and the list says that the feed is protected."""
    tab = Tab(browser, livefeed, "/open")
    tab.follow("wrong-token-wrong-token")
    tab.wait_for("shown.error?.status === 401")
    assert tab.get("shown.text") is None
    tab = Tab(browser, livefeed, "/secret.html")
    tab.wait_for("document.getElementById('state')?.textContent === 'Protected'")
    assert "requires a token" in tab.get("document.getElementById('notices').textContent")
    tab = Tab(browser, livefeed, "/")
    tab.wait_for("document.body.textContent.includes('Protected')")
