"""The wall clock that a process sees: libfaketime sets it, and leaves the clocks alone that cannot be set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.helpers.peers import missing_peer
from tests.integration.harness import replace_file


def library() -> Path:
    """Gives libfaketime."""
    found = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]
    if not found:
        missing_peer("no libfaketime (Debian: faketime)")
    return found[0]


@dataclass
class WallClock:
    """The clock that processes see. They may be started before and after it is set."""

    file: Path

    def set_by(self, seconds: int) -> None:
        """Has it differ from the machine's by so much."""
        replace_file(self.file, b"%+d\n" % seconds)

    def command(self, *command: str) -> tuple[str, ...]:
        """Gives a command that runs another with this clock."""
        return (
            "/usr/bin/env",
            f"LD_PRELOAD={library()}",
            f"FAKETIME_TIMESTAMP_FILE={self.file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "DONT_FAKE_MONOTONIC=1",
            *command,
        )
