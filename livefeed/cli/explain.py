"""``livefeed explain``: what a name means that livefeed shows or takes, without a server and without the manual."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.cli.explained import entries, found_in
from livefeed.config.setting_texts import TEXTS
from livefeed.exceptions import LivefeedError, closest, shown
from livefeed.web.operator_problems import ALL
from livefeed.web.problem_type import FOLDER

if TYPE_CHECKING:
    import argparse

HELP = "say what a problem, a setting, a state, an alarm or a line of the log means"
DESCRIPTION = (
    "Says what a problem means, and what client and operator should do, or what a setting does, and which values it "
    "takes. Problems are named as in the type of an answer, also with the path, or by the status. States of feeds, the "
    "alarms of the shipped rules for Prometheus, metrics, close codes and lines of the log are explained in a few "
    "lines, with the page of the documentation. Without NAME, lists all problems."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the argument of the subcommand."""
    parser.add_argument(
        "name", nargs="*", metavar="NAME", help="such as expired, max_bytes, LivefeedIsDown, or a line of the log"
    )


def run(options: argparse.Namespace) -> None:
    """Prints the explanation.

    :raises LivefeedError: if nothing has the name.
    """
    print(explanation_of(" ".join(options.name)) if options.name else list_of_problems(), end="")


def list_of_problems(status: str = "") -> str:
    """Gives a line for each problem.

    :param status: the status of those that are listed; empty for all.
    """
    listed = [kind for kind in ALL if status in ("", str(kind.status))]
    width = max((len(kind.name) for kind in listed), default=0)
    return "".join(f"{kind.status}  {kind.name:{width}}  {kind.title}\n" for kind in listed)


def explanation_of(name: str) -> str:
    """Gives the text about everything that has a name.

    :param name: the name of a problem, also with the path of its page, or a status; a setting, also as an option or a
        variable; a state, an alarm, a metric, a close code, or a line of the log.
    :raises LivefeedError: if there is nothing of the name.
    """
    named = name.removeprefix(FOLDER)
    setting = name.lower().removeprefix("livefeed_").removeprefix("--").replace("-", "_")
    known = entries()
    found = [kind.as_text() for kind in ALL if kind.name == named]
    found += [text for text in (list_of_problems(name),) if text]
    if setting in TEXTS:
        found.append(_setting(setting))
    found += [each.as_text() for each in found_in(known, name)]
    if not found:
        names = [*(kind.name for kind in ALL), *TEXTS, *(each.name for each in known if each.kind != "log line")]
        kinds = "problem, setting, state, alarm, metric, close code or line of the log"
        raise LivefeedError(f"there is no {kinds} {shown(name)}{closest(named, names)}")
    return "\n".join(found)


def _setting(name: str) -> str:
    text = TEXTS[name]
    lines = [
        f"{name}, --{name.replace('_', '-')}, LIVEFEED_{name.upper()}",
        f"{text.help[:1].upper()}{text.help[1:]}.",
        f"Allowed is {text.allowed}. {'A reload' if text.is_reloaded else 'A restart'} changes it.",
    ]
    return "\n\n".join(lines) + "\n"
