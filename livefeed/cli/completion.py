"""``livefeed completion``: the script with which a shell completes the command line of ``livefeed``.

The script is made from the parser itself, so it has each subcommand and each option that there is.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS = ("bash", "fish", "zsh")

HELP = "print the script with which a shell completes this command"
DESCRIPTION = """\
Prints a script for bash, fish or zsh. With it, the Tab key completes
subcommands, options, the names of files, and values.

bash, with the package bash-completion:
  mkdir -p ~/.local/share/bash-completion/completions
  livefeed completion bash > ~/.local/share/bash-completion/completions/livefeed

fish:
  livefeed completion fish > ~/.config/fish/completions/livefeed.fish

zsh, with compinit, and the folder in $fpath before it:
  livefeed completion zsh > ~/.local/share/zsh/site-functions/_livefeed

It works from the next shell on. Write the file again after an upgrade:
it has the options of the release that printed it.
"""

_FOLDERS = ("directory", "state-dir", "runtime-dir")
"""The options whose values are folders."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the subcommand."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(options: argparse.Namespace) -> None:
    """Prints the script."""
    print(script(options.shell))


def script(shell: str) -> str:
    """Gives the script.

    :param shell: one of :data:`SHELLS`.
    """
    # Imported here: no other subcommand needs them.
    import shtab  # noqa: PLC0415

    from livefeed.cli.main import make_parser  # noqa: PLC0415

    parser = make_parser()
    values = _values_of_twistd()
    for action in _actions(parser):
        name = action.option_strings[-1].removeprefix("--") if action.option_strings else action.dest
        if action.dest.startswith("passed_") and isinstance(values.get(name), list):
            action.choices = values[name]
        elif _is_path(action) or (action.dest.startswith("passed_") and name in values):
            action.complete = shtab.DIRECTORY if name in _FOLDERS else shtab.FILE  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Gives all arguments of a parser and of the parsers of its subcommands, whose descriptions become short."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for name, each in action.choices.items():
                each.description = _help_of(action, name)
                yield from _actions(each)
        elif action.nargs != 0:
            yield action


def _help_of(action: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> str:
    """Gives the line about a subcommand: a menu of a shell has no room for its description."""
    return next(str(each.help) for each in action._choices_actions if each.dest == name)  # noqa: SLF001


def _is_path(action: argparse.Action) -> bool:
    """Tells whether the value of an argument is a file or a folder, or can be one."""
    return action.type is Path or not {"FILE", "SETTINGS"}.isdisjoint(str(action.metavar).split("|"))


def _values_of_twistd() -> dict[str, list[str] | None]:
    """Gives the values of options of ``twistd livefeed``: a list, or ``None`` for files and folders."""
    from twisted.python import usage  # noqa: PLC0415

    from livefeed.tap import Options  # noqa: PLC0415

    found: dict[str, list[str] | None] = {}
    completers: dict[str, Any] = Options.compData.optActions
    for name, completer in completers.items():
        if isinstance(completer, usage.CompleteList):
            found[name] = list(completer._items)  # noqa: SLF001 - the same
        elif isinstance(completer, usage.CompleteFiles | usage.CompleteDirs):
            found[name] = None
    return found
