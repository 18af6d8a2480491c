"""The layers of settings: file, environment and command line. Values are read here, and checked in ``settings``.

Rule: a value keeps the name of its place, so that a message about a wrong value can say where it was set.
"""

from __future__ import annotations

import codecs
import json
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from livefeed.config.lines import key_lines
from livefeed.exceptions import ConfigurationError, closest, option_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

MAX_FILE_BYTES = 1024 * 1024
"""Size of the largest file of settings. No settings need as much: a larger file was named by mistake."""

_PREFIX = "LIVEFEED_"
_NO_SETTING = re.compile(r"LIVEFEED_(?:SERVICE_(?:HOST|PORT)|PORT(?=\Z|_[0-9])|TEST_)")
"""Variables with livefeed's prefix that are not settings.

Kubernetes sets the first two in each container if a service is called livefeed. The last ones are for the tests.
"""

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ABOUT_BARE_TEXT = (": Invalid value", ": Expected newline")
"""Python's messages about text without quotes: the second if the text begins like a number, otherwise the first."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


_AT_LINE = re.compile(r"\(at line ([0-9]{1,9}), column [0-9]{1,9}\)")
"""The position in Python's messages about wrong TOML."""


@dataclass(frozen=True, slots=True)
class FilePlace:
    """The place of a value in a file.

    :ivar path: the file, as it was named.
    :ivar keys: the keys from the top of the file down to the value.
    :ivar lines: the line of each key in the file; keys whose line is not known are missing.
    """

    path: str
    keys: tuple[str, ...]
    lines: Mapping[tuple[str, ...], int]

    def __str__(self) -> str:
        line = self.lines.get(self.keys)
        return f"{self.path}{'' if line is None else f':{line}'}: {'.'.join(map(_written, self.keys))}"

    def below(self, key: str) -> FilePlace:
        """Gives the place of a key in a table."""
        return FilePlace(self.path, (*self.keys, key), self.lines)


@dataclass(frozen=True, slots=True)
class SettingValue:
    """A value as it was set.

    :ivar value: a text, or a list of texts if the setting is repeatable; from a file, a value of any type of TOML.
    :ivar place: the name in messages: ``--interval``, ``LIVEFEED_INTERVAL``, ``/etc/livefeed.toml:3: interval``.
    :ivar folder: the folder to which a relative path in the value is relative.
    :ivar typed: whether the value has a type already, as in a file; otherwise it is a text that is to be converted.
    :ivar in_file: the place if it is in a file.
    """

    value: Any
    place: str
    folder: Path
    typed: bool = False
    in_file: FilePlace | None = None

    def below(self, key: str) -> SettingValue:
        """Gives the value of a key in a table."""
        in_file = None if self.in_file is None else self.in_file.below(key)
        place = f"{self.place}.{_written(key)}" if in_file is None else str(in_file)
        return SettingValue(self.value[key], place, self.folder, self.typed, in_file)


def from_options(options: Mapping[str, Any], folder: Path) -> dict[str, SettingValue]:
    """Gives the values of the command line, by the settings' names.

    :param options: texts, or lists of texts, by the settings' names.
    :param folder: the folder in which livefeed was started.
    """
    return {name: SettingValue(value, option_of(name), folder) for name, value in options.items()}


def from_environment(
    environment: Mapping[str, str], names: Iterable[str], repeatable: Iterable[str], folder: Path
) -> dict[str, SettingValue]:
    """Gives the values of the environment, by the settings' names.

    :param environment: all variables; those that belong to no setting are ignored.
    :param names: the settings' names. The variable of ``max_bytes`` is ``LIVEFEED_MAX_BYTES``.
    :param repeatable: the settings that are lists. Their variables have white space between the members.
    :param folder: the folder in which livefeed was started.
    """
    values = {}
    for name in names:
        variable = _variable(name)
        text = environment.get(variable)
        if text is not None:
            values[name] = SettingValue(text.split() if name in repeatable else text, variable, folder)
    return values


def unknown_variables(environment: Mapping[str, str], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Gives the variables that have the prefix of settings and belong to none.

    :param environment: all variables.
    :param names: the settings' names.
    :returns: each variable, with the end of a message that names the closest one, or ``""``.
    """
    variables = [_variable(name) for name in names]
    for variable in sorted(environment):
        if variable.startswith(_PREFIX) and variable not in variables and not _NO_SETTING.match(variable):
            # Without the prefix, which would make all names similar.
            own = variable.removeprefix(_PREFIX)
            yield variable, closest(own, (name.removeprefix(_PREFIX) for name in variables), _PREFIX)


def _variable(name: str) -> str:
    return f"{_PREFIX}{name.upper()}"


def is_json(text: str) -> bool:
    """Tells whether a text is JSON, as documents are, or an object of JSON that is broken.

    A text such as ``[1]`` is TOML, too.
    """
    if text.lstrip().startswith("{"):
        # No TOML begins with a brace.
        return True
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def from_file(path: str, start: Path) -> dict[str, SettingValue]:
    """Gives the values of a TOML file, by its top-level keys.

    :param path: the file.
    :param start: the folder in which livefeed was started, at which a relative path begins.
    :raises ConfigurationError: if the file cannot be read, is too large, or is not TOML; the message names the file.
    """
    try:
        with (start / path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"cannot be read: {why}", place=path) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError(f"is larger than {MAX_FILE_BYTES} bytes", place=path)
    try:
        # Some editors write a byte order mark, which TOML does not allow.
        text = data.removeprefix(codecs.BOM_UTF8).decode()
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        how = "; it seems to be UTF-16: save it as UTF-8" if data.startswith(_UTF_16) else ""
        raise ConfigurationError(f"is not UTF-8, at byte {error.start}{how}", place=path) from None
    except (ValueError, RecursionError) as error:
        # Other errors are about Python: a number with too many digits, or too many levels.
        if is_json(text):
            raise ConfigurationError("is JSON, as documents are; settings are a file of TOML", place=path) from None
        why = f": {error}" if isinstance(error, tomllib.TOMLDecodeError) else ""
        if why.startswith(_ABOUT_BARE_TEXT):
            why += "; text is in quotes, and numbers are not"
        at = _AT_LINE.search(why)
        line = None if at is None else at[1]
        if "(at end of document)" in why:
            line = f"{text.rstrip().count(chr(10)) + 1}"
        raise ConfigurationError(f"is not TOML{why}", place=path if line is None else f"{path}:{line}") from None
    folder = (start / path).absolute().parent
    lines = key_lines(text)
    places = {key: FilePlace(path, (key,), lines) for key in table}
    return {
        key: SettingValue(value, str(places[key]), folder, typed=True, in_file=places[key])
        for key, value in table.items()
    }


def _written(key: str) -> str:
    """Gives a key as it is written in TOML."""
    return key if _BARE_KEY.fullmatch(key) else msgspec.json.encode(key[:64]).decode()
