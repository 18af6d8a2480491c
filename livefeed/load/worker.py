"""``python -m livefeed.load.worker``: the process of a share of the watchers.

The first line of its input is the plan, as JSON: a token in it is in no list of processes. Each further line is a
command, ``begin`` or ``stop``; the end of the input, as when the command is killed, is one to stop. Each line of the
output is a report.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from livefeed.exceptions import LivefeedError
from livefeed.load.limits import raise_open_files
from livefeed.load.loop import READABLE
from livefeed.load.plan import Plan
from livefeed.load.run import Run

if TYPE_CHECKING:
    from livefeed.load.figures import Report

MAX_PLAN_BYTES = 4 * 1024 * 1024
"""The largest plan in bytes: a thousand fields of four kilobytes."""

BEGIN, STOP = b"begin\n", b"stop\n"

CANNOT_RUN = 3
"""The exit code of a process that cannot do its task. It has printed the reason."""


@dataclass(slots=True, eq=False)
class Commands:
    """The commands of the input.

    :param run: obeys them.
    :param descriptor: the input, behind the plan.
    """

    # required parameters
    run: Run
    descriptor: int

    # internal state
    _line: bytearray = field(default_factory=bytearray)

    def on_readable(self, events: int) -> None:
        """Reads what is there."""
        data = os.read(self.descriptor, 64)
        if data:
            self.take(data)
            return
        self.run.loop.remove(self.descriptor)
        self.run.stop()

    def take(self, data: bytes) -> None:
        """Obeys the lines that are complete."""
        self._line += data
        while (end := self._line.find(b"\n") + 1) > 0:
            line, self._line = bytes(self._line[:end]), self._line[end:]
            if line == BEGIN:
                self.run.begin()
            elif line == STOP:
                self.run.stop()


def main(descriptor: int = 0, stdout: BinaryIO | None = None) -> int:
    """Runs a plan, and gives the exit code.

    :param descriptor: the input.
    :param stdout: the output; ``None`` for that of the process.
    """
    # The terminal sends it to all processes of the group; the command decides, and wants the figures so far.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output = sys.stdout.buffer if stdout is None else stdout
    line, rest = _first_line(descriptor)

    def send(report: Report) -> None:
        output.write(msgspec.json.encode(report) + b"\n")
        output.flush()

    raise_open_files()
    try:
        run = Run(msgspec.json.decode(line, type=Plan), send)
    except (LivefeedError, msgspec.MsgspecError) as error:
        sys.stderr.write(f"livefeed bench: {error}\n")
        return CANNOT_RUN
    commands = Commands(run, descriptor)
    run.loop.at(0, partial(commands.take, rest))
    run.loop.add(descriptor, READABLE, commands.on_readable)
    # Nothing of a run is in a cycle, and a full collection of 20,000 watchers takes a tenth of a second.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        run.run()
    except BrokenPipeError:
        # The command has been killed.
        return CANNOT_RUN
    finally:
        gc.enable()
        gc.unfreeze()
    return 0


def _first_line(descriptor: int) -> tuple[bytes, bytes]:
    """Reads the first line of the input, and what came with it."""
    data = bytearray()
    while b"\n" not in data and len(data) < MAX_PLAN_BYTES:
        piece = os.read(descriptor, 65_536)
        if not piece:
            break
        data += piece
    line, _, rest = bytes(data).partition(b"\n")
    return line, rest


if __name__ == "__main__":
    sys.exit(main())
