"""The settings of an operator, and their places: file, environment, command line. Nothing is checked here.

Rule: a value keeps the name of its place, so that a message about a wrong one can say where it stands.
"""

from __future__ import annotations

import codecs
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from livefeed.exceptions import ConfigurationError, closest, option_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_FILE_BYTES = 1024 * 1024
"""No settings need as much. A larger file is another one, given by mistake."""

_PREFIX = "LIVEFEED_"
_NO_SETTING = re.compile(r"LIVEFEED_(?:SERVICE_(?:HOST|PORT)|PORT(?=\Z|_[0-9])|TEST_)")
"""Kubernetes sets the first two in each container if a service is called livefeed; the last are for the tests."""

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ABOUT_BARE_TEXT = (": Invalid value", ": Expected newline")
"""What Python says of text without quotes: the first, or the second if it begins as a number does."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class SettingValue:
    """A value as it was set.

    :ivar value: text, or texts where a setting is repeatable; from a file, whatever TOML has made of it.
    :ivar place: how a message names it: ``--interval``, ``LIVEFEED_INTERVAL``, ``/etc/livefeed.toml: interval``.
    :ivar folder: what a relative path in it is relative to.
    :ivar typed: whether it has a type already, and is not the text of one.
    """

    value: Any
    place: str
    folder: Path
    typed: bool = False

    def below(self, key: str) -> SettingValue:
        """Gives what stands in a table under a key."""
        return SettingValue(self.value[key], f"{self.place}.{_written(key)}", self.folder, self.typed)


def from_options(options: Mapping[str, Any]) -> dict[str, SettingValue]:
    """Gives what the command line says.

    :param options: texts, or lists of texts, by the settings' names.
    """
    return {name: SettingValue(value, option_of(name), Path.cwd()) for name, value in options.items()}


def from_environment(
    environment: Mapping[str, str], names: Iterable[str], repeatable: Iterable[str]
) -> dict[str, SettingValue]:
    """Gives what the environment says.

    :param environment: all of it; variables that belong to no setting are somebody else's.
    :param names: the settings'. The variable of ``max_bytes`` is ``LIVEFEED_MAX_BYTES``.
    :param repeatable: those of them that are lists, whose variables have white space between the members.
    """
    given = {}
    for name in names:
        variable = _variable(name)
        text = environment.get(variable)
        if text is not None:
            given[name] = SettingValue(text.split() if name in repeatable else text, variable, Path.cwd())
    return given


def unknown_variables(environment: Mapping[str, str], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Gives the variables that look like those of settings, and belong to none, each with a hint or nothing.

    :param environment: all of it.
    :param names: the settings'.
    """
    variables = [_variable(name) for name in names]
    for variable in sorted(environment):
        if variable.startswith(_PREFIX) and variable not in variables and not _NO_SETTING.match(variable):
            # Without what all begin with, which would make all alike.
            own = variable.removeprefix(_PREFIX)
            yield variable, closest(own, (name.removeprefix(_PREFIX) for name in variables), _PREFIX)


def _variable(name: str) -> str:
    return f"{_PREFIX}{name.upper()}"


def from_file(path: str) -> dict[str, SettingValue]:
    """Gives what a TOML file says, by its keys at the top.

    :raises ConfigurationError: if it cannot be read, is too large, or is not TOML; the message names the file.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"cannot be read: {why}", place=path) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError(f"is larger than {MAX_FILE_BYTES} bytes", place=path)
    try:
        # Some editors write a mark in front, of which TOML knows nothing.
        table = tomllib.loads(data.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        how = "; it seems to be UTF-16: save it as UTF-8" if data.startswith(_UTF_16) else ""
        raise ConfigurationError(f"is not UTF-8, at byte {error.start}{how}", place=path) from None
    except (ValueError, RecursionError) as error:
        # Not what it says itself of a number that is too long, or of what is too deep: that is about Python.
        why = f": {error}" if isinstance(error, tomllib.TOMLDecodeError) else ""
        if why.startswith(_ABOUT_BARE_TEXT):
            why += "; text is in quotes, and numbers are not"
        raise ConfigurationError(f"is not TOML{why}", place=path) from None
    folder = Path(path).absolute().parent
    return {key: SettingValue(value, f"{path}: {_written(key)}", folder, typed=True) for key, value in table.items()}


def _written(key: str) -> str:
    """Gives a key as it stands in TOML."""
    return key if _BARE_KEY.fullmatch(key) else msgspec.json.encode(key[:64]).decode()
