"""Runs the commands of a page, and compares their output with what the page shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.docs.comparing import difference
from tests.docs.marks import Run
from tests.docs.sessions import commands_of
from tests.helpers.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.docs.sessions import Command
    from tests.docs.shell import Outcome, Shell

RETRY_S = 30.0
"""The longest time in seconds for which commands are repeated until their output is right."""

RETRY_PAUSE_S = 0.2


def run_session(shell: Shell, session: str, run: Run) -> str:
    """Runs a console session, and gives what is wrong with it, or an empty text.

    :raises SessionError: if it is none.
    :raises ShellError: if a command does not do what it is expected to within its time.
    """
    commands = commands_of(session)

    def attempt() -> str:
        for index, command in enumerate(commands):
            last = run if index == len(commands) - 1 else Run()
            if problem := _run_command(shell, command, last, numbers=run.numbers):
                return problem
        return ""

    return _repeated(attempt) if run.retry else attempt()


def run_script(shell: Shell, text: str, run: Run) -> str:
    """Runs a script, and gives what is wrong with it, or an empty text.

    :raises ShellError: as :func:`run_session` does.
    """
    if run.until:
        shell.start(text, run.until, stop=not run.background, script=True)
        return ""

    def attempt() -> str:
        return _wrong_status(shell.run(text, script=True), run.exit)

    return _repeated(attempt) if run.retry else attempt()


def _repeated(attempt: Callable[[], str]) -> str:
    """Repeats commands until nothing is wrong, or for too long."""
    problem = ""

    def succeeds() -> bool:
        nonlocal problem
        problem = attempt()
        return not problem

    try:
        wait_until(succeeds, "", RETRY_S, look_s=RETRY_PAUSE_S)
    except AssertionError:
        return f"not within {RETRY_S:.0f} s:\n{problem}"
    return ""


def _run_command(shell: Shell, command: Command, run: Run, *, numbers: bool) -> str:
    """Runs a command of a session."""
    start = run.until
    outcome = shell.start(command.text, start, stop=not run.background) if start else shell.run(command.text)
    problem = _wrong_status(outcome, run.exit)
    if not problem and command.shown:
        problem = difference(command.shown, outcome.output, numbers=numbers)
    return problem and f"$ {command.text}\n{problem}"


def _wrong_status(outcome: Outcome, expected: int) -> str:
    """Gives what is wrong with an exit status."""
    if outcome.status == expected:
        return ""
    return f"it exits with {outcome.status}, and not with {expected}:\n{outcome.output}"
