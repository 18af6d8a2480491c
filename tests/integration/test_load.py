"""``livefeed bench`` against real servers: livefeed on each of its transports, and nginx."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from livefeed.load.kinds import Kind
from tests.integration.harness import TCP, WAIT_S, Process

if TYPE_CHECKING:
    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed
    from tests.integration.proxies import Place

LIVEFEED = str(Path(sys.executable).with_name("livefeed"))
EACH = ",".join(f"{kind}=2" for kind in Kind)
OPEN = ("--address-rate", "0", "--network-rate", "0")


def bench(*arguments: str) -> tuple[int, str, str]:
    """Runs the command, and gives its exit code, its output and its errors."""
    done = subprocess.run([LIVEFEED, "bench", *arguments], capture_output=True, text=True, check=False, timeout=WAIT_S)
    return done.returncode, done.stdout, done.stderr


def figures_of(*arguments: str) -> dict[str, Any]:
    """Runs the command, which must succeed, and gives its figures."""
    code, output, errors = bench(*arguments, "--json", "--quiet")
    assert (code, errors) == (0, ""), (output, errors)
    figures: dict[str, Any] = json.loads(output)
    return figures


def test_every_kind(demo: Livefeed, certificate: DevelopmentCertificate) -> None:
    """Watchers of all kinds receive verified documents over TLS, and their delays are known."""
    figures = figures_of(
        f"https://localhost:{demo.port}/feed", "-c", "18", "-k", "--mix", EACH, "-t", "2", "--duration", "4s",
        "--verify", "--cacert", str(certificate.ca), "--max-errors", "0", "--max-delay-p99", "30s",
    )  # fmt: skip
    assert figures["server"].startswith("livefeed") or figures["server"] == ""
    for kind, each in figures["kinds"].items():
        assert each["errors"] == {}, (kind, each)
        assert each["watchers"] == 2
        # A version comes each second; a process may have missed the first and the last one.
        assert each["deliveries"] >= 4, (kind, each)
        assert each["delay_ms"]["count"] >= 1, (kind, each)
        assert each["verified"] >= 1, (kind, each)
    assert figures["kinds"]["poll"]["answers"] > 100
    assert set(figures["kinds"]["conditional"]["statuses"]) == {"200", "304"}


def test_plain_and_new_connections(start: Start) -> None:
    """Without TLS, and with a connection for each request."""
    livefeed = start(*OPEN, listen=(TCP,))
    url = f"http://{livefeed.authority}/feed"
    figures = figures_of(url, "-c", "4", "-n", "200", "--max-errors", "0")
    poll = figures["kinds"]["poll"]
    assert (poll["answers"], poll["errors"]) == (200, {})
    assert poll["connects"] >= 200
    figures = figures_of(url, "-c", "4", "-k", "--rate", "200", "--duration", "1s", "--mix", "browser")
    browser = figures["kinds"]["browser"]
    assert 195 <= browser["answers"] + browser["unanswered"] <= 201
    assert figures["loop"] == "open"


@pytest.mark.chosen
def test_resumption(start: Start, certificate: DevelopmentCertificate) -> None:
    """Sessions are resumed, unless they must not be."""
    livefeed = start(*OPEN)
    options = (f"https://localhost:{livefeed.port}/feed", "-c", "2", "-n", "20", "--cacert", str(certificate.ca))
    poll = figures_of(*options)["kinds"]["poll"]
    assert poll["resumed"] >= poll["connects"] - 4
    assert figures_of(*options, "--no-resume")["kinds"]["poll"]["resumed"] == 0


@pytest.mark.chosen
def test_interrupted(start: Start) -> None:
    """Ctrl-C on a terminal reaches all processes; the summary has the figures so far."""
    livefeed = start(listen=(TCP,))
    url = f"http://{livefeed.authority}/feed"
    process = Process([LIVEFEED, "bench", url, "-c", "4", "-k", "-t", "2", "--duration", "1h"], directory=Path.cwd())
    try:
        process.wait_for(r"^\d+ s +[\d,]+/s +p99")
        process.signal(signal.SIGINT)
        assert process.wait() == 130
        assert "errors       none" in process.text()
        assert "Traceback" not in process.text()
    finally:
        process.close()


@pytest.mark.chosen
def test_limits(start: Start, tmp_path: Path) -> None:
    """The exit code says whether the limits were kept, and the plot is there in any case."""
    livefeed = start(listen=(TCP,))
    plot = tmp_path / "course.svg"
    code, output, _ = bench(
        f"http://{livefeed.authority}/feed", "-c", "2", "-k", "-n", "50", "--max-p99", "1us", "--plot", str(plot)
    )
    assert (code, "missed: the p99 of latency" in output) == (1, True), output
    assert plot.read_text("utf-8").startswith("<svg ")
    code, output, errors = bench("http://192.0.2.1/feed")
    assert (code, output, "--i-may-load 192.0.2.1" in errors) == (2, "", True), errors


@pytest.mark.peers
def test_nginx(start: Start, place: Place) -> None:
    """A cache in front of livefeed is measured like livefeed itself."""
    cache = place.nginx(start(listen=(TCP,)).port)
    figures = figures_of(f"http://127.0.0.1:{cache.port}/feed", "-c", "4", "-k", "-n", "500", "--verify")
    poll = figures["kinds"]["poll"]
    assert (poll["answers"], poll["errors"]) == (500, {})
    assert poll["verified"] == 500
    assert figures["server"].startswith("nginx")
