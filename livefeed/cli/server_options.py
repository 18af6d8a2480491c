"""The options of ``twistd livefeed``, as other commands take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection

_NOT_SETTINGS = ("help", "version")


def add_server_options(parser: argparse.ArgumentParser, but: Collection[str] = ()) -> None:
    """Adds the options of ``twistd livefeed``.

    :param but: the names of those that the command has itself.
    """
    group = parser.add_argument_group("options of `twistd livefeed`")
    for name, text in server_options(but).items():
        group.add_argument(
            f"--{name}", action="append", metavar="VALUE", dest=_passed(name), help=text.replace("%", "%%")
        )


def given_options(options: argparse.Namespace, but: Collection[str] = ()) -> list[tuple[str, str]]:
    """Gives the options that were given, by their names, with their values.

    :param but: the names of those that the command has itself.
    """
    return [(name, value) for name in server_options(but) for value in vars(options)[_passed(name)] or ()]


def settings_given(options: argparse.Namespace) -> dict[str, Any]:
    """Gives the options that were given, as the layer of the command line; see :meth:`Settings.read`."""
    from livefeed.config.settings import LISTS_OF_PATHS, REPEATABLE  # noqa: PLC0415

    values: dict[str, Any] = {}
    for name, value in given_options(options):
        setting = name.replace("-", "_")
        if setting in (*REPEATABLE, *LISTS_OF_PATHS):
            values.setdefault(setting, []).append(value)
        else:
            values[setting] = value
    return values


def server_options(but: Collection[str] = ()) -> dict[str, str]:
    """Gives the names of the options, with their help.

    :param but: the names of those that are left out.
    """
    # Imported here: the other subcommands start without Twisted.
    from livefeed.tap import Options  # noqa: PLC0415

    made = Options()
    names = sorted(name.removesuffix("=") for name in made.longOpt if name.endswith("="))
    return {name: made.docs[name] for name in names if name not in (*_NOT_SETTINGS, *but)}


def _passed(name: str) -> str:
    return f"passed_{name.replace('-', '_')}"
