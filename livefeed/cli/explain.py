"""``livefeed explain``: what a problem or a setting means, without a server and without the manual."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.config.setting_texts import TEXTS
from livefeed.exceptions import LivefeedError, closest, shown
from livefeed.web.operator_problems import ALL
from livefeed.web.problem_type import FOLDER

if TYPE_CHECKING:
    import argparse

HELP = "say what a problem or a setting means"
DESCRIPTION = (
    "Says what a problem means, and what client and operator should do, or what a setting does, and which values it "
    "takes. Problems are named as in the type of an answer, also with the path. Without NAME, lists all problems."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the argument of the subcommand."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a problem, such as expired, or a setting")


def run(options: argparse.Namespace) -> None:
    """Prints the explanation.

    :raises LivefeedError: if there is neither a problem nor a setting of the name.
    """
    print(explanation_of(options.name) if options.name else list_of_problems(), end="")


def list_of_problems() -> str:
    """Gives a line for each problem."""
    width = max(len(kind.name) for kind in ALL)
    return "".join(f"{kind.status}  {kind.name:{width}}  {kind.title}\n" for kind in ALL)


def explanation_of(name: str) -> str:
    """Gives the text about a problem or a setting.

    :param name: the name of a problem, also with the path of its page; or a setting, also as an option.
    :raises LivefeedError: if there is neither.
    """
    named = name.removeprefix(FOLDER)
    for kind in ALL:
        if kind.name == named:
            return kind.as_text()
    setting = name.lower().removeprefix("livefeed_").removeprefix("--").replace("-", "_")
    if setting not in TEXTS:
        hint = closest(named, [*(kind.name for kind in ALL), *TEXTS])
        raise LivefeedError(f"there is no problem and no setting {shown(name)}{hint}")
    text = TEXTS[setting]
    lines = [
        f"{setting}, --{setting.replace('_', '-')}, LIVEFEED_{setting.upper()}",
        f"{text.help[:1].upper()}{text.help[1:]}.",
        f"Allowed is {text.allowed}. {'A reload' if text.is_reloaded else 'A restart'} changes it.",
    ]
    return "\n\n".join(lines) + "\n"
