"""A source of another package, in a livefeed that runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.helpers.documentation import code_block
from tests.helpers.packages import install
from tests.integration.harness import WAIT_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Start

pytestmark = pytest.mark.sources


def test_installed_source_is_served(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that is installed beside livefeed is pulled, and its changes reach subscribers."""
    directory = tmp_path / "packages"
    directory.mkdir()
    shown = code_block("howto/sources/writing.md", "python")
    install(directory, "livefeed_clock", shown, "clock = livefeed_clock:ClockSource")
    monkeypatch.setenv("PYTHONPATH", str(directory))
    livefeed = start("--source", "clock:?name=now", "--interval", "0.2", "--push", "change")
    with livefeed.websocket() as subscriber:
        first, second = (json.loads(subscriber.recv(timeout=WAIT_S))["now"] for _ in range(2))
    assert second == first + 1
