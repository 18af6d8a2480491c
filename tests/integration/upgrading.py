"""Upgrades of a livefeed that runs: the command, and what the operator's socket says before and after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.helpers.waiting import wait_until
from tests.integration.harness import WAIT_S

if TYPE_CHECKING:
    from tests.integration.harness import Livefeed

UPGRADE_S = 4 * WAIT_S
"""The longest time in seconds of an upgrade on a busy machine, on which a worker may be replaced before it is ready."""

CTL = str(Path(sys.executable).with_name("livefeed"))


def upgrade(livefeed: Livefeed, *options: str) -> tuple[int, str]:
    """Gives the exit code and the output of the command."""
    command = [CTL, "ctl", "upgrade", "--runtime-dir", str(livefeed.runtime_dir), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=UPGRADE_S, check=False)
    return done.returncode, done.stdout + done.stderr


def report(livefeed: Livefeed, path: str) -> Any:
    """Gives a report of the operator's port."""
    with livefeed.operator() as client:
        return client.get(path).json()


def pids(livefeed: Livefeed) -> set[int]:
    """Gives the processes of the workers."""
    return {each["pid"] for each in report(livefeed, "/-/workers")}


def wait_until_ready(livefeed: Livefeed) -> None:
    """Returns when all workers are ready, and none of an earlier generation is left."""
    wait_until(lambda: {each["state"] for each in report(livefeed, "/-/workers")} == {"ready"}, livefeed.log)


def parent(livefeed: Livefeed) -> int:
    """Gives the process that holds the runtime directory."""
    return int((livefeed.runtime_dir / "lock").read_text().split()[0])


def end(livefeed: Livefeed) -> None:
    """Ends a successor, which is nobody's child, and its workers."""
    pid = parent(livefeed)
    if pid != livefeed.pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: is_zombie(pid), livefeed.log)


def is_zombie(pid: int) -> bool:
    """Tells whether a process has ended, and its first ancestor has not taken note of it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True
