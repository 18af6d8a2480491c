"""The shell of a page: one bash that runs the page's commands one after the other, as a reader's does."""

from __future__ import annotations

import os
import select
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.docs.machine import command
from tests.helpers.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COMMAND_S = 60.0
"""The longest time in seconds that a command may take."""

READY_S = 60.0
"""The longest time in seconds until a command that goes on to run has printed what is waited for."""

MOST_OUTPUT = 1_000_000
"""How much of a command's output is read, in characters."""

# Job control gives each background command a group of its own, and lets SIGINT reach it. Orders are files, because a
# command may have many lines; they are sourced, so that variables and `cd` stay. `stop` ends the newest background
# command with all of its processes.
_LOOP = """\
set -m
stop() {{
    kill -TERM -- -$newest
    while kill -0 -- -$newest 2> /dev/null; do sleep 0.02; done
}}
while IFS= read -r -u {orders} order; do
    . "$order"
    echo "$?" >&{answers}
done
"""

_FOREGROUND = """\
. {text} > {output} 2>&1 < /dev/null
status=$?
trap - ERR
(exit $status)
"""

_BACKGROUND = """\
( set +m; exec > {output} 2>&1 < /dev/null; . {text}; echo $? > {status} ) &
echo $! > {pid}
"""

_NEWEST = "newest=$!\ndisown\n"
"""Bash tells nothing of the end of a command that is disowned: the page has not printed it."""

_INTERRUPT = """\
kill -INT -- -$(cat {pid})
wait $(cat {pid}) 2> /dev/null
true
"""

_UNTIL_FIRST_ERROR = "trap 'return' ERR\n"


class ShellError(Exception):
    """The shell ended, or a command took too long. The message has the output until then."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did.

    :ivar status: its exit status.
    :ivar output: what it has printed, on both streams.
    """

    status: int
    output: str


class Shell:
    """A bash in a machine. Leaving the context ends all that it has started.

    :param folder: a folder of the real machine for the files of machine and shell.
    :param hosts: the names that lead to the machine.
    :param environment: all variables.
    """

    def __init__(self, folder: Path, hosts: Iterable[str], environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._number = 0
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        main = _LOOP.format(orders=orders, answers=answers)
        with (folder / "shell.log").open("wb") as log:
            self._popen = subprocess.Popen(
                command(folder, hosts, main),
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(orders, answers),
                start_new_session=True,
            )
        os.close(orders)
        os.close(answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the machine with all of its processes."""
        if self._orders >= 0:
            os.close(self._orders)
            os.close(self._answers)
            self._orders = self._answers = -1
        self._popen.kill()
        self._popen.wait()

    def run(self, text: str, *, script: bool = False) -> Outcome:
        """Runs a command to its end.

        :param script: whether the first command that fails is the last one.
        :raises ShellError: if it does not end, or ends the shell.
        """
        files = self._files(_UNTIL_FIRST_ERROR + text if script else text)
        try:
            status = self._order(files, _FOREGROUND)
        except ShellError as error:
            raise ShellError(f"{error}\n{self._read(files)}") from None
        return Outcome(status, self._read(files))

    def start(self, text: str, until: str, *, stop: bool = False, script: bool = False) -> Outcome:
        """Runs a command that does not end by itself.

        :param until: the text that its output has once it is as far as the page expects it.
        :param stop: whether it is interrupted then, as with Ctrl-C.
        :raises ShellError: if it ends, or the text does not come.
        """
        files = self._files(_UNTIL_FIRST_ERROR + text if script else text)
        self._order(files, _BACKGROUND if stop else _BACKGROUND + _NEWEST)
        ended = Path(f"{files}.status")

        def is_there() -> bool:
            return until in self._read(files) or ended.exists()

        try:
            wait_until(is_there, "", READY_S)
        except AssertionError:
            raise ShellError(f"its output has no {until!r}:\n{self._read(files)}") from None
        output = self._read(files)
        if until not in output:
            raise ShellError(f"it has ended, and its output has no {until!r}:\n{output}")
        if stop:
            self._order(files, _INTERRUPT)
        return Outcome(0, self._read(files))

    def _files(self, text: str) -> str:
        """Writes a command into a file, and gives what the names of its files begin with."""
        self._number += 1
        files = self._folder / f"command{self._number}"
        files.write_text(f"{text}\n")
        return str(files)

    def _order(self, files: str, template: str) -> int:
        """Has the shell do something, and gives the status of that."""
        names = {"text": files, **{each: f"{files}.{each}" for each in ("output", "pid", "status")}}
        order = Path(f"{files}.order")
        order.write_text(template.format(**{name: shlex.quote(path) for name, path in names.items()}))
        try:
            os.write(self._orders, f"{order}\n".encode())
        except BrokenPipeError:
            raise ShellError(f"the shell has ended:\n{self._shell_log()}") from None
        ready, _, _ = select.select([self._answers], [], [], COMMAND_S)
        if not ready:
            raise ShellError(f"it runs for more than {COMMAND_S:.0f} s")
        answer = os.read(self._answers, 16)
        if not answer:
            raise ShellError(f"the shell has ended:\n{self._shell_log()}")
        return int(answer)

    def _read(self, files: str) -> str:
        """Gives the output of a command until now."""
        try:
            with Path(f"{files}.output").open(encoding="utf-8", errors="replace") as file:
                return file.read(MOST_OUTPUT)
        except FileNotFoundError:
            return ""

    def _shell_log(self) -> str:
        return (self._folder / "shell.log").read_text("utf-8", "replace")[-2000:]
