"""livefeed.js in a real browser, against real servers, proxies and failures: what a person sees.

Each test follows a document, disturbs the line, and looks at every change that the page was told.
``test_javascript_pages.py`` has the tests of pages that come and go.
"""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.support.ui import WebDriverWait

from tests.helpers.documentation import code_block
from tests.helpers.threaded_server import ThreadedServer
from tests.integration.bending import EVENTS, WEBSOCKET, BendingRelay
from tests.integration.browsing import call, close_tabs
from tests.integration.harness import HOST, TCP, WAIT_S, replace_file
from tests.integration.upgrading import end, pids, upgrade
from tests.integration.visiting import OPEN, OPTIONS, Page

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from selenium.webdriver import Chrome

    from tests.integration.conftest import Start
    from tests.integration.visiting import Server

pytestmark = pytest.mark.peers


def test_a_proxy_that_buffers_streams(browser: Chrome, server: Server) -> None:
    """Neither WebSocket nor events deliver anything: the page polls from the beginning, and steps down by itself."""
    with BendingRelay(server.livefeed.port, (WEBSOCKET, EVENTS)) as relay:
        server.write(1)
        page = Page(browser, relay.origin)
        page.wait_for("shown.data?.n === 1")
        server.write(2)
        page.wait_for("shown.data.n === 2")
        assert page.get("shown.transport") == "poll"
        page.wait_for("shown.transport === 'long-poll'")
        server.write(3)
        page.wait_for("shown.data.n === 3")
        assert page.numbers() == [1, 2, 3]
        assert "offline" not in page.lines()
        page.close()


def test_a_websocket_that_dies_silently(browser: Chrome, server: Server) -> None:
    """The line says nothing, and stays open: after two ticks the page goes on in another way, with the next version."""
    with BendingRelay(server.livefeed.port) as relay:
        server.write(1)
        page = Page(browser, relay.origin)
        page.wait_for(OPEN)
        relay.held = (WEBSOCKET,)
        server.write(2)
        page.wait_for("shown.data.n === 2")
        page.wait_for("shown.transport === 'events'")
        assert page.numbers() == [1, 2]
        page.close()


def test_a_document_that_does_not_change(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """Where only changes are pushed, heartbeats keep the page on its WebSocket, live, and its age from growing.

    When they stop although the line stays open, the page goes on in another way.
    """
    replace_file(tmp_path / "document.json", b'{"n": 1}')
    livefeed = start(*OPTIONS, "--push", "change", listen=(TCP,))
    with BendingRelay(livefeed.port) as relay:
        page = Page(browser, relay.origin)
        page.wait_for(OPEN)
        page.get("window.opened = performance.now()")
        for _ in range(4):
            received = page.get("shown.bytes")
            page.wait_for(f"shown.bytes > {received}")
        # Less than since the last version: heartbeats have confirmed it.
        assert page.get("shown.age() < performance.now() - opened")
        assert (page.states(), page.transports()[-1], page.lines().count("open")) == ([(1, "live")], "websocket", 1)
        relay.held = (WEBSOCKET,)
        page.wait_for("shown.transport === 'events'")
        received = page.get("shown.bytes")
        page.wait_for(f"shown.bytes > {received}")
        assert page.numbers() == [1]
        page.close()


def test_a_network_that_is_cut(browser: Chrome, server: Server) -> None:
    """While nothing gets through, the data stays and ages; then the page goes on by the WebSocket."""
    with BendingRelay(server.livefeed.port) as relay:
        server.write(1)
        page = Page(browser, relay.origin)
        page.wait_for(OPEN)
        browser.execute_cdp_cmd("Network.enable", {})
        lost = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", lost)
        try:
            relay.cut()
            page.wait_for("shown.line === 'offline'")
            assert page.get("[shown.data.n, shown.transport]") == [1, None]
            server.write(2)
        finally:
            browser.execute_cdp_cmd("Network.emulateNetworkConditions", {**lost, "offline": False})
            browser.execute_cdp_cmd("Network.disable", {})
        page.wait_for(f"shown.data.n === 2 && {OPEN}")
        assert page.numbers() == [1, 2]
        page.close()


def test_a_slow_network(browser: Chrome, server: Server) -> None:
    """Half a second of latency, and 20 KB per second: the page keeps its WebSocket, and the age includes the request.

    Chromium slows WebSockets down like all else.
    """
    slow = {"offline": False, "latency": 500, "downloadThroughput": 20_000, "uploadThroughput": 20_000}
    server.write(1)
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", slow)
    try:
        page = Page(browser, server.origin)
        page.wait_for(OPEN)
        for number in (2, 3):
            server.write(number)
            page.wait_for(f"shown.data.n === {number}")
    finally:
        fast = {**slow, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", fast)
        browser.execute_cdp_cmd("Network.disable", {})
    assert page.numbers() == [1, 2, 3]
    first = page.saw()[0]
    assert first.age is not None
    assert first.age >= slow["latency"]
    assert set(page.lines()) <= {"connecting", "polling", "open"}
    assert set(page.transports()) <= {"poll", "websocket"}
    page.close()


def test_a_server_that_is_stopped(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """It tells the page when to come back; the page waits for that, without a request that fails."""
    replace_file(tmp_path / "document.json", b'{"n": 1}')
    livefeed = start(*OPTIONS, listen=(TCP,))
    page = Page(browser, f"http://{livefeed.authority}")
    page.wait_for(OPEN)
    livefeed.process.signal(signal.SIGTERM)
    page.wait_for("shown.line === 'connecting'")
    livefeed.process.wait()
    start(*OPTIONS, listen=(TCP.replace(":0:", f":{livefeed.port}:"),))
    page.wait_for(OPEN)
    assert page.numbers() == [1]
    page.close()


def test_a_server_that_is_upgraded(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """Pages on a stream and a page that polls move to the new workers: they see each version, and nothing older."""

    def write(number: int) -> None:
        replace_file(tmp_path / "document.json", b'{"n": %d}' % number)

    write(1)
    # A command line is what the new program is started with; a second is long enough to see pages on both generations.
    livefeed = start(*OPTIONS, "--workers", "2", "--drain", "1", listen=(TCP,))
    first = browser.current_window_handle
    pages: dict[str, Page] = {}
    try:
        for transport in ("websocket", "events", "poll"):
            browser.switch_to.new_window("tab")
            page = Page(browser, f"http://{livefeed.authority}", options=f"{{transports: ['{transport}']}}")
            page.wait_for(f"shown.data?.n === 1 && shown.transport === '{transport}'")
            pages[browser.current_window_handle] = page
        number, before = 1, pids(livefeed)
        with ThreadPoolExecutor(1) as commands:
            upgraded = commands.submit(upgrade, livefeed, "--unsupervised")
            # The page that polls sets the pace.
            while not upgraded.done() or before & pids(livefeed):
                number += 1
                write(number)
                page.wait_for(f"shown.data.n === {number}")
            code, output = upgraded.result()
        assert code == 0, output
        number += 1
        write(number)
        for handle, each in pages.items():
            browser.switch_to.window(handle)
            each.wait_for(f"shown.data.n === {number} && shown.state === 'live' && shown.line !== 'connecting'")
            numbers = [number for number in each.numbers() if number is not None]
            assert each.numbers() == sorted({*numbers})
            # On a busy machine, a second may pass in which nothing is pulled.
            assert {state for _, state in each.states()} <= {"live", "stale"}
            assert "offline" not in each.lines()
            if each is not page:
                assert each.lines().count("open") >= 2
            each.close()
        assert page.numbers() == [*range(1, number + 1)]
    finally:
        end(livefeed)
        close_tabs(browser, first)


def test_a_source_that_fails(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """The state becomes stale with the data that stays; then the document expires, and is not shown any more."""
    file = tmp_path / "document.json"
    replace_file(file, b'{"n": 1}')
    livefeed = start(*OPTIONS, "--gone-after", "4", listen=(TCP,))
    page = Page(browser, f"http://{livefeed.authority}")
    page.wait_for(OPEN)
    file.unlink()
    page.wait_for("shown.state === 'expired'")
    assert page.get("[shown.data ?? null, shown.text, shown.version]") == [None, None, None]
    replace_file(file, b'{"n": 2}')
    page.wait_for("shown.data?.n === 2 && shown.state === 'live'")
    assert page.states() == [
        (1, "live"),
        (1, "stale"),
        (None, "expired"),
        (2, "live"),
    ]
    page.close()


def test_a_server_that_hangs(browser: Chrome, start: Start, tmp_path: Path) -> None:
    """If the operator limits the age of documents, they disappear by themselves."""
    replace_file(tmp_path / "document.json", b'{"n": 1}')
    livefeed = start(*OPTIONS, "--gone-after", "3", listen=(TCP,))
    page = Page(browser, f"http://{livefeed.authority}")
    page.wait_for(OPEN)
    livefeed.process.signal(signal.SIGSTOP)
    try:
        page.wait_for("shown.state === 'expired'")
        assert page.get("shown.data ?? null") is None
    finally:
        livefeed.process.signal(signal.SIGCONT)
    page.wait_for("shown.data?.n === 1 && shown.state === 'live'")
    page.close()


def test_a_clock_that_is_wrong(browser: Chrome, server: Server) -> None:
    """The age is measured by the server and by the page, so a day between their clocks changes nothing."""
    wrong = "((now) => { Date.now = () => now() + 86400000 })(Date.now)"
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": wrong})
    try:
        page = Page(browser, server.origin)
        page.wait_for(OPEN)
        assert 0 <= page.get("shown.age()") < 60_000
        page.close()
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})


def test_the_page_of_the_documentation(browser: Chrome, server: Server) -> None:
    """Five lines on a page of another origin, word for word: it shows each version."""
    html = code_block("howto/page.md", "html")
    assert html.count("\n") <= 5
    page = ("<!doctype html><meta charset=utf-8><body>" + html.replace("https://example.org", server.origin)).encode()

    def serve(sock: socket.socket) -> None:
        sock.recv(65536)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n"
        sock.sendall(head.encode() + page)

    def shows(text: str, _: object) -> bool:
        return bool(browser.execute_script("return document.body.textContent") == text)

    server.write(1)
    with ThreadedServer(serve) as other:
        browser.get(f"http://{HOST}:{other.port}/")
        wait = WebDriverWait(browser, WAIT_S, poll_frequency=0.05)
        for number in (1, 2):
            server.write(number)
            shown = json.dumps({"n": number, "same": ["a"]}, separators=(",", ":")) + " live"
            wait.until(partial(shows, shown))
    browser.get("about:blank")
    browser.get_log("browser")


def test_several_documents_share_a_connection(browser: Chrome, server: Server) -> None:
    """A part and the whole come by one WebSocket, each in its own versions."""
    server.write(1)
    page = Page(browser, server.origin)
    page.wait_for(OPEN)
    call(
        browser,
        f"import('{server.origin}/-/livefeed.js').then(({{ follow }}) => {{ window.part = follow('/feed/n') }})",
    )
    page.wait_for("part.data === 1 && part.line === 'open'")
    server.write(2)
    page.wait_for("part.data === 2 && shown.data.n === 2")
    sockets = "performance.getEntriesByType('resource').filter(({ name }) => name.includes('.sse')).length"
    assert page.get(sockets) == 0
    page.get("part.close()")
    page.close()


def test_a_module_that_cannot_be_loaded(browser: Chrome, server: Server) -> None:
    """Without the modules the page polls, as behind a proxy without streams. They are loaded when they can be."""
    server.write(1)
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/-/livefeed.later.*", "*/-/livefeed.values.*"]})
    try:
        page = Page(browser, server.origin, options="{changes: true}")
        page.wait_for("shown.data?.n === 1 && shown.transport === 'long-poll'")
        server.write(2)
        page.wait_for("shown.data.n === 2")
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        page.get("shown.use()")
        page.wait_for(OPEN)
        page.get("window.same = shown.data.same")
        server.write(3)
        page.wait_for("shown.data.n === 3")
        assert page.get("shown.data.same === window.same") is True
        assert page.numbers() == [1, 2, 3]
        assert "offline" not in page.lines()
        page.close()
    finally:
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
