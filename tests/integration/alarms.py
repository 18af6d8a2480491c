"""A Prometheus that asks a livefeed for its metrics, with the alert rules of the docs.

The rules are those of ``examples/grafana/alerts.yml`` with shorter times, so that a test does not wait for minutes: an
alert fires at once instead of after its ``for``, and looks back over seconds instead of minutes.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx
import yaml

from tests.helpers.documentation import EXAMPLES
from tests.helpers.peers import peer
from tests.helpers.waiting import wait_until
from tests.integration.harness import HOST, WAIT_S, Process, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RULES = EXAMPLES / "grafana" / "alerts.yml"

STEP = "1s"
"""The time from one look of Prometheus to the next, and the time that livefeed has for its answer."""

WINDOW, LONG_WINDOW = "8s", "120s"
"""The time over which rates are taken, and over which starts of processes are counted, each of which takes seconds."""

TOKEN = "prometheus-asks-with-this-token"


def shortened(text: str) -> str:
    """Gives the rules with shorter times.

    :raises AssertionError: if they have no times.
    """
    text, pauses = re.subn(r"^ +for: \d+[smh]\n", "", text, flags=re.MULTILINE)
    text, long_windows = re.subn(r"\[15m\]", f"[{LONG_WINDOW}]", text)
    text, windows = re.subn(r"\[\d+m\]", f"[{WINDOW}]", text)
    assert long_windows == 2, text
    assert pauses > 10, text
    assert windows > 10, text
    return text


@dataclass
class Alarms:
    """A Prometheus that runs, and its alarms.

    :ivar options: the options of livefeed that let Prometheus ask it.
    """

    # required parameters
    directory: Path

    # internal state
    options: tuple[str, ...] = ()
    _http: httpx.Client = field(init=False)
    _process: Process = field(init=False)

    def __enter__(self) -> Self:
        self.directory.mkdir()
        program = peer("prometheus", "prometheus")
        asked, own = free_port(), free_port()
        token = self.directory / "token"
        token.touch(0o600)
        token.write_text(f"{TOKEN}\n")
        self.options = ("--admin", f"tcp:{asked}:interface={HOST}", "--admin-token", str(token))
        (self.directory / "alerts.yml").write_text(shortened(RULES.read_text("utf-8")))
        scraped = {
            "job_name": "livefeed",
            "authorization": {"credentials_file": str(token)},
            "static_configs": [{"targets": [f"{HOST}:{asked}"]}],
        }
        times = {"scrape_interval": STEP, "scrape_timeout": STEP, "evaluation_interval": STEP}
        settings = {"global": times, "rule_files": ["alerts.yml"], "scrape_configs": [scraped]}
        (self.directory / "prometheus.yml").write_text(yaml.safe_dump(settings))
        self._process = Process(
            [
                program,
                "--config.file=prometheus.yml",
                f"--storage.tsdb.path={self.directory / 'data'}",
                f"--web.listen-address={HOST}:{own}",
            ],
            directory=self.directory,
        )
        try:
            self._process.wait_for("Server is ready to receive web requests")
        except BaseException:
            self._process.close()
            raise
        self._http = httpx.Client(base_url=f"http://{HOST}:{own}", trust_env=False, timeout=WAIT_S)
        return self

    def __exit__(self, *details: object) -> None:
        self._http.close()
        self._process.signal(signal.SIGTERM)
        try:
            self._process.wait()
        finally:
            self._process.close()

    def change_rules(self, old: str, new: str) -> None:
        """Changes the rules, and has Prometheus read them."""
        file = self.directory / "alerts.yml"
        text = file.read_text("utf-8")
        assert text.count(old) == 1, old
        file.write_text(text.replace(old, new))
        mark = self._process.mark()
        self._process.signal(signal.SIGHUP)
        self._process.wait_for("Completed loading of configuration file", start=mark)

    def firing(self) -> dict[str, dict[str, Any]]:
        """Gives the annotations of each alert that fires, by its name."""
        answer = self._http.get("/api/v1/alerts").raise_for_status().json()
        return {
            each["labels"]["alertname"]: each["annotations"]
            for each in answer["data"]["alerts"]
            if each["state"] == "firing"
        }

    def wait_for(self, *names: str) -> None:
        """Returns when each of these alerts has fired; some of them end by themselves."""
        seen: set[str] = set()

        def has_fired(firing: dict[str, Any]) -> bool:
            seen.update(firing)
            return {*names} <= seen

        self._wait(has_fired, f"not all of {names} fire")

    def wait_until_over(self, *names: str) -> None:
        """Returns when none of these alerts fires."""
        self._wait(lambda firing: not {*names} & firing.keys(), f"some of {names} go on to fire")

    def _wait(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> None:
        seen: list[dict[str, Any]] = []

        def is_so() -> bool:
            seen[:] = [self.firing()]
            return wanted(seen[0])

        wait_until(is_so, lambda: f"{what}, but {sorted(seen[0])}")
