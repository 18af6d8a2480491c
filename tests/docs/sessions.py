"""Console sessions: the commands after ``$``, and the output that a page shows of each."""

from __future__ import annotations

from dataclasses import dataclass

PROMPT, MORE = "$ ", "> "


class SessionError(ValueError):
    """A block that is no console session. The message tells why."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command and its output.

    :ivar text: the command, which may have several lines.
    :ivar shown: the output that is shown; empty if none is.
    :ivar line: the line of the command in the block, from 0 on.
    """

    text: str
    shown: str
    line: int


def commands_of(session: str) -> list[Command]:
    """Gives the commands of a console session.

    A line that ends with a backslash goes on in the next one, and a line that begins with ``> `` continues a command
    that has no output yet.

    :raises SessionError: if the first line is no command.
    """
    commands: list[Command] = []
    text: list[str] = []
    shown: list[str] = []
    start = 0

    def end() -> None:
        if text:
            commands.append(Command("\n".join(text), "\n".join(shown).strip("\n"), start))
        text.clear()
        shown.clear()

    for number, line in enumerate(session.splitlines()):
        if line.startswith(PROMPT) or line == PROMPT.rstrip():
            end()
            start = number
            text.append(line.removeprefix(PROMPT))
        elif text and not shown and (line.startswith(MORE) or text[-1].endswith("\\")):
            text.append(line.removeprefix(MORE))
        elif text:
            shown.append(line.rstrip())
        elif line.strip():
            raise SessionError(f"a session begins with a command after {PROMPT!r}, and not with {line!r}")
    end()
    return commands
