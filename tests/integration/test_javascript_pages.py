"""livefeed.js on pages that a person leaves and comes back to: the real cache of Chromium for back and forward.

The browser itself says, by ``pageshow``, whether a page came from that cache.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.helpers.waiting import wait_until
from tests.integration.bending import EVENTS, REQUESTS, WEBSOCKET, BendingRelay
from tests.integration.browsing import call, close_tabs
from tests.integration.harness import TCP, replace_file
from tests.integration.visiting import OPEN, OPTIONS, TEXT_PAGE, Page

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver import Chrome

    from tests.integration.conftest import Start
    from tests.integration.visiting import Server

pytestmark = pytest.mark.peers

REMEMBER = """addEventListener('pageshow', ({ persisted }) => {
  window.back = [persisted, shown.data?.n ?? null, shown.age()];
  requestAnimationFrame(() => { window.frame = [shown.data?.n ?? null, shown.state]; });
})"""
"""What a page sees when it comes back, and in its first picture."""


def leave(browser: Chrome, page: Page, address: str) -> None:
    """Has a person follow a link to another page."""
    page.get(REMEMBER)
    browser.execute_script("location.href = arguments[0]", address)
    wait_until(lambda: browser.current_url == address, lambda: browser.current_url)


def come_back(browser: Chrome, page: Page) -> None:
    """Goes back, and fails unless the page is the same one as before, from the cache."""
    browser.execute_script("history.back()")
    page.wait_for("window.frame")
    why = "JSON.stringify(performance.getEntriesByType('navigation')[0].notRestoredReasons)"
    assert page.get("back[0]") is True, page.get(why)


def connections(relay: BendingRelay) -> int:
    """Gives the number of streams that are open."""
    return relay.count(WEBSOCKET) + relay.count(EVENTS)


def test_a_machine_that_sleeps(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """Afterwards no age is known until the server has answered, and what came before the sleep does not count."""
    replace_file(tmp_path / "document.json", b'{"n": 1}')
    livefeed = start(*OPTIONS, "--gone-after", "600", listen=(TCP,))
    with BendingRelay(livefeed.port) as relay:
        page = Page(browser, relay.origin)
        page.wait_for(f"shown.data?.n === 1 && {OPEN}")
        relay.held = (WEBSOCKET, EVENTS, REQUESTS)
        # A minute, and then an hour, passes on the wall clock, and none on the monotonic clock.
        asleep = "((now) => { Date.now = () => now() + %d; return [shown.age(), shown.data?.n ?? null, shown.state]; })"
        assert page.get(f"{asleep % 60_000}(Date.now)") == [None, 1, "stale"]
        assert page.get(f"{asleep % 3_600_000}(Date.now)") == [None, None, "expired"]
        relay.held = ()
        relay.cut()
        page.wait_for(f"shown.age() !== null && {OPEN}")
        assert page.states() == [(1, "live"), (1, "stale"), (None, "expired"), (1, "live")]
        page.close()


def test_a_page_that_is_frozen(browser: Chrome, server: Server) -> None:
    """It was frozen while versions came: when it goes on, its age is unknown first, then it shows the newest one."""
    # Chromium draws no frames any more in a tab that was frozen.
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    try:
        server.write(1)
        page = Page(browser, server.origin)
        page.wait_for(OPEN)
        page.get("document.addEventListener('resume', () => { window.resumed = [shown.data.n, shown.age()] })")
        browser.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "frozen"})
        server.write(2)
        browser.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "active"})
        page.wait_for(f"shown.data.n === 2 && shown.age() !== null && {OPEN}")
        assert page.get("resumed") == [1, None]
        assert page.numbers() == [1, 2]
        page.close()
    finally:
        close_tabs(browser, first)


def test_a_page_that_comes_back(browser: Chrome, server: Server, other_origin: str) -> None:
    """A page that was left has no stream. Back from the cache, it knows no age, and goes on with the newest version."""
    with BendingRelay(server.livefeed.port) as relay:
        for transport in ("websocket", "events", "long-poll"):
            server.write(1)
            # A document of another origin is not followed by long polls.
            address = f"{relay.origin}/feed.html" if transport == "long-poll" else other_origin
            page = Page(browser, relay.origin, address, f"{{transports: ['{transport}']}}")
            page.wait_for(f"shown.data?.n === 1 && shown.transport === '{transport}'")
            leave(browser, page, f"{server.origin}{TEXT_PAGE}")
            wait_until(lambda: connections(relay) == 0, f"a {transport} stays")
            server.write(2)
            come_back(browser, page)
            assert page.get("back.slice(1)") == [1, None]
            page.wait_for(f"shown.data.n === 2 && shown.age() !== null && shown.transport === '{transport}'")
            assert page.numbers() == [1, 2]
            assert "offline" not in page.lines()
            page.close()


def test_a_page_that_comes_back_too_late(browser: Chrome, start: Start, other_origin: str, tmp_path: Path) -> None:
    """Its document has expired in the cache, and the server has gone: the first picture shows no document."""
    replace_file(tmp_path / "document.json", b'{"n": 1}')
    livefeed = start(*OPTIONS, "--gone-after", "2", listen=(TCP,))
    page = Page(browser, f"http://{livefeed.authority}", other_origin)
    page.wait_for(OPEN)
    leave(browser, page, f"{other_origin}/away")
    livefeed.process.signal(signal.SIGKILL)
    livefeed.process.wait()
    # The lifetime, and the second by which it is rounded.
    call(browser, "new Promise((resolve) => setTimeout(resolve, 3500))")
    come_back(browser, page)
    assert page.get("frame") == [None, "expired"]
    page.wait_for("shown.line === 'offline'")
    assert page.states() == [(1, "live"), (None, "expired")]
    page.close()


def test_tabs_that_share_a_connection(browser: Chrome, server: Server, other_origin: str) -> None:
    """The tab that leads goes into the cache: another one takes over. When it is back, both share one stream again."""
    first = browser.current_window_handle
    server.write(1)
    with BendingRelay(server.livefeed.port) as relay:
        leader = Page(browser, relay.origin, other_origin, "{share: true}")
        leader.wait_for(OPEN)
        browser.switch_to.new_window("tab")
        second = browser.current_window_handle
        try:
            other = Page(browser, relay.origin, other_origin, "{share: true}")
            other.wait_for(f"shown.data?.n === 1 && {OPEN}")
            for number in (2, 3):
                # The end of the other's connection may still be on its way.
                wait_until(lambda: connections(relay) == 1, "two tabs have more than one connection")
                browser.switch_to.window(first)
                leave(browser, leader, f"{other_origin}/away")
                browser.switch_to.window(second)
                server.write(number)
                other.wait_for(f"shown.data.n === {number} && {OPEN}")
                wait_until(lambda: connections(relay) == 1, "the page in the cache keeps its connection")
                browser.switch_to.window(first)
                come_back(browser, leader)
                leader.wait_for(f"shown.data.n === {number} && shown.age() !== null && {OPEN}")
            assert leader.numbers() == [1, 2, 3]
            leader.close()
            browser.switch_to.window(second)
            assert other.numbers() == [1, 2, 3]
            assert "offline" not in other.lines()
            other.close()
        finally:
            close_tabs(browser, first)


def test_a_tab_that_takes_over_follows_all_documents(browser: Chrome, server: Server) -> None:
    """The last tab asks for all that it shows, not only for the document in the address of the stream."""
    first = browser.current_window_handle
    server.write(1)
    also = (
        f"import('{server.origin}/-/livefeed.js').then(({{ follow }}) => {{ "
        "window.part = follow('/feed/n', { share: true }) })"
    )
    pages = []
    try:
        for _ in range(2):
            browser.switch_to.new_window("tab")
            pages.append(Page(browser, server.origin, options="{share: true}"))
            pages[-1].wait_for(OPEN)
            call(browser, also)
            pages[-1].wait_for("part.data === 1 && part.line === 'open'")
        browser.switch_to.window(browser.window_handles[-2])
        browser.close()
        browser.switch_to.window(browser.window_handles[-1])
        server.write(2)
        pages[-1].wait_for("shown.data.n === 2 && part.data === 2")
        pages[-1].get("part.close()")
        pages[-1].close()
    finally:
        close_tabs(browser, first)


COUNTING = """window.WebSocket = class extends WebSocket {
  constructor(...values) {
    super(...values);
    window.leads = this;
    this.addEventListener('close', () => { if (window.leads === this) window.leads = null; });
  }
};
const usual = window.fetch;
window.fetch = async (address, options) => {
  const answer = await usual(address, options);
  if (String(address).includes('.sse')) {
    window.leads = answer;
    options.signal.addEventListener('abort', () => { if (window.leads === answer) window.leads = null; });
  }
  return answer;
};"""
"""Has a page know whether it holds the stream."""


def test_ten_tabs_share_a_connection(browser: Chrome, server: Server) -> None:
    """One tab leads. After it is closed, frozen, or left for another page, another one takes over with all versions."""
    first = browser.current_window_handle
    server.write(1)
    tabs: dict[str, Page] = {}

    def wait_for_all(number: int) -> None:
        for handle, page in tabs.items():
            browser.switch_to.window(handle)
            # A busy machine may take longer to open a WebSocket than a page waits: then the stream is one of events.
            page.wait_for(f"shown.data?.n === {number} && shown.line === 'open'")

    def leader() -> str:
        for handle, page in tabs.items():
            browser.switch_to.window(handle)
            if page.get("Boolean(window.leads)"):
                return handle
        pytest.fail("no tab leads")

    with BendingRelay(server.livefeed.port) as relay:
        try:
            for _ in range(10):
                browser.switch_to.new_window("tab")
                page = Page(browser, relay.origin, options="{share: true}", before=COUNTING)
                tabs[browser.current_window_handle] = page
            wait_for_all(1)
            assert relay.count(WEBSOCKET) + relay.count(EVENTS) == 1
            server.write(2)
            wait_for_all(2)
            # Closed.
            gone = leader()
            browser.close()
            del tabs[gone]
            server.write(3)
            wait_for_all(3)
            # Frozen.
            frozen = leader()
            browser.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "frozen"})
            page = tabs.pop(frozen)
            server.write(4)
            wait_for_all(4)
            assert leader() != frozen
            browser.switch_to.window(frozen)
            browser.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "active"})
            tabs[frozen] = page
            wait_for_all(4)
            # Left for another page.
            left = leader()
            browser.get("about:blank")
            del tabs[left]
            server.write(5)
            wait_for_all(5)
            assert relay.count(WEBSOCKET) + relay.count(EVENTS) == 1
        finally:
            close_tabs(browser, first)
