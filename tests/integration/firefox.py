"""A headless Firefox, driven by WebDriver BiDi: Debian has no geckodriver, and Firefox itself speaks this protocol.

It has the methods that the tests of pages use of Selenium's Chrome.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import websockets.sync.client

from tests.helpers.peers import peer
from tests.integration.harness import WAIT_S, Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from websockets.sync.client import ClientConnection

LISTENING = r"WebDriver BiDi listening on (\S+)"

# It asks nobody but the pages that it is told to open.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutConfig.showWarning": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "devtools.jsonview.enabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.proxy.type": 0,
    "services.settings.server": "data:,",
}


@contextmanager
def firefox(directory: Path) -> Iterator[Firefox]:
    """Starts a Firefox.

    :param directory: an empty folder of its own.
    """
    program = peer("firefox-esr", "firefox-esr")
    profile = directory / "profile"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines))
    process = Process(
        [program, "--headless", "--no-remote", "--remote-debugging-port=0", "--profile", str(profile)],
        directory=directory,
        environment={"HOME": str(directory)},
    )
    try:
        process.wait_for(LISTENING)
        address = re.search(LISTENING, process.text())
        assert address is not None
        with websockets.sync.client.connect(
            f"{address[1]}/session", proxy=None, max_size=None, open_timeout=WAIT_S
        ) as connection:
            browser = Firefox(connection)
            yield browser
            browser.close()
        process.wait()
    finally:
        process.close()


class Firefox:
    """A Firefox with one tab.

    :param connection: a connection without a session.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self._ask("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
        self._tab = self._ask("browsingContext.getTree")["contexts"][0]["context"]

    def close(self) -> None:
        """Ends the browser."""
        self._ask("browser.close")

    def get(self, url: str) -> None:
        """Opens a page, and returns once it has loaded."""
        self._ask("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def execute_script(self, script: str, *args: Any) -> Any:
        """Gives the result of the body of a function."""
        return self._call(f"function () {{ {script} }}", args)

    def execute_async_script(self, script: str, *args: Any) -> Any:
        """Gives the value with which a script calls its last argument."""
        return self._call(
            f"function (...given) {{ return new Promise((done) => (function () {{ {script} }})(...given, done)) }}",
            args,
        )

    def get_log(self, log_type: str) -> list[dict[str, str]]:
        """Gives no complaints: Firefox tells none of its own by this protocol."""
        return []

    def _call(self, function: str, args: tuple[Any, ...]) -> Any:
        answer = self._ask(
            "script.callFunction",
            functionDeclaration=f"async (given) => JSON.stringify((await ({function})(...JSON.parse(given))) ?? null)",
            arguments=[{"type": "string", "value": json.dumps(args)}],
            awaitPromise=True,
            target={"context": self._tab},
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"]["value"])

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            # Events come in between.
            answer = json.loads(self._connection.recv(WAIT_S))
            if answer.get("id") == self._number:
                assert answer["type"] == "success", answer
                return answer["result"]
