"""The settings of a feed's rules: tables such as ``[feeds.results.rules.votes]``.

Rules:

- A rule is complete when it has been read: its pointers are understood, and its schema is read and compiled. So a
  start, a reload and ``livefeed check`` find the same errors, and a file that breaks later changes nothing.
- Only a file has rules: no option and no variable.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

from livefeed.document.comparisons import MaxStep, NeverFalls, NeverShrinks
from livefeed.document.exact_numbers import Direction, Step, number_of
from livefeed.document.json_schema import MAX_SCHEMA_BYTES, Schema, SchemaError
from livefeed.document.requirements import MustBe, Required
from livefeed.document.rules import Action, RuleError, Rules, RuleSpec
from livefeed.document.selectors import SelectorError, parse_selector
from livefeed.exceptions import ConfigurationError, MissingExtraError, closest, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from livefeed.config.layers import SettingValue
    from livefeed.document.rule_checks import Check
    from livefeed.document.selectors import Selector

MAX_RELEASE_PULLS = 100_000
"""The largest number of pulls after which a value is released: more than a day of them."""

MAX_RELEASE_S = 7 * 86_400
"""The longest time in seconds after which a value is released, as for the other ages."""

MAX_VALUES = 64
"""The largest number of values that a value may have by ``one_of``."""

_OTHER_KEYS = ("action", "release_pulls", "release_after")


def rules_of(table: SettingValue) -> tuple[RuleSpec, ...]:
    """Reads the rules of a feed. It may block, since it reads the files of schemas.

    :param table: the table ``rules`` of the feed's table, with a table for each rule.
    :raises ConfigurationError: if a rule is not possible; the message names file, line and key.
    """
    if not isinstance(table.value, dict):
        why = "is not a table with a table for each rule, such as [feeds.results.rules.votes]"
        raise ConfigurationError(why, place=table.place)
    specs = [_rule(name, table.below(name)) for name in table.value]
    try:
        Rules.compile(specs)
    except RuleError as error:
        raise ConfigurationError(error.why, place=table.below(error.rule).place) from None
    return tuple(specs)


def without_rule(table: SettingValue, place: str) -> dict[str, Any] | None:
    """Gives the rules of a feed without the one in which an error was found; ``None`` if it is in none of them.

    :param table: the table ``rules`` of the feed's table.
    :param place: the place of the error.
    """
    if not isinstance(table.value, dict):
        return None
    for name in table.value:
        rule = _keys(table.below(name).place)
        if _keys(place) == rule or _keys(place).startswith(f"{rule}."):
            return {other: value for other, value in table.value.items() if other != name}
    return None


def _keys(place: str) -> str:
    """Gives a place without file and line."""
    return place.rpartition(": ")[2]


def _rule(name: str, table: SettingValue) -> RuleSpec:
    if not isinstance(table.value, dict):
        raise ConfigurationError("is not a table, such as [feeds.results.rules.votes]", place=table.place)
    for key in table.value:
        if key not in _CHECKS and key not in _OTHER_KEYS:
            hint = closest(key, (*_CHECKS, *_OTHER_KEYS))
            raise ConfigurationError(f"there is no such setting of a rule{hint}", place=table.below(key).place)
    kinds = [key for key in table.value if key in _CHECKS]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        why = f"a rule has exactly one check, and this one has {found}; the checks are {', '.join(_CHECKS)}"
        raise ConfigurationError(why, place=table.below(kinds[1]).place if kinds else table.place)
    check = _CHECKS[kinds[0]](table.below(kinds[0]))
    action: Action = "hold"
    if "action" in table.value:
        action = table.value["action"]
        if action not in get_args(Action):
            raise _wrong(table.below("action"), "hold or alarm")
    pulls = _whole(table, "release_pulls", MAX_RELEASE_PULLS)
    if pulls == 1:
        raise _wrong(table.below("release_pulls"), "0 for never, or 2 or more: the first pull is never shown")
    after_s = _seconds(table, "release_after")
    for key, value in (("release_pulls", pulls), ("release_after", after_s)):
        if value and action == "alarm":
            raise ConfigurationError(
                "has no effect: a rule with the action alarm holds nothing", place=table.below(key).place
            )
    return RuleSpec(name, check, action, pulls, after_s, table.place)


def _whole(table: SettingValue, key: str, maximum: int) -> int:
    value = table.value.get(key, 0)
    if type(value) is not int or not 0 <= value <= maximum:
        raise _wrong(table.below(key), f"a whole number from 0 to {maximum}")
    return value


def _seconds(table: SettingValue, key: str) -> float:
    value = table.value.get(key, 0)
    if type(value) not in {int, float} or not 0 <= value <= MAX_RELEASE_S:
        raise _wrong(table.below(key), f"a number of seconds from 0 to {MAX_RELEASE_S}")
    return float(value)


def _wrong(setting: SettingValue, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"{shown(setting.value)} is not {allowed}", place=setting.place)


# The checks


def _pointers(setting: SettingValue) -> tuple[Selector, ...]:
    """Reads pointers: one, or a list."""
    given = [setting.value] if isinstance(setting.value, str) else setting.value
    if not isinstance(given, list) or not given or not all(isinstance(each, str) for each in given):
        raise _wrong(setting, 'a list of pointers, such as ["/districts/{name=*}/votes"]')
    selectors = []
    for text in given:
        try:
            selectors.append(parse_selector(text))
        except SelectorError as error:
            raise ConfigurationError(f"{shown(text)} is no pointer: {error}", place=setting.place) from None
    return tuple(selectors)


def _members(
    setting: SettingValue, needed: str, others: tuple[str, ...], example: str, more: tuple[str, ...] = ()
) -> None:
    """Checks that a table has a member and at least one of some others, and besides only what it may have."""
    if not isinstance(setting.value, dict):
        raise _wrong(setting, f"a table, such as {example}")
    for key in setting.value:
        if key not in (needed, *others, *more):
            why = f"there is no such setting{closest(key, (needed, *others, *more))}; write {example}"
            raise ConfigurationError(why, place=setting.below(key).place)
    if needed not in setting.value or not any(key in setting.value for key in others):
        why = f"needs {needed} and {' or '.join(others)}, such as {example}"
        raise ConfigurationError(why, place=setting.place)


def _distance(setting: SettingValue, key: str) -> Decimal | None:
    value = setting.value.get(key)
    if value is None:
        return None
    number = number_of(repr(value).encode()) if type(value) in {int, float} else None
    if number is None or number <= 0:
        raise _wrong(setting.below(key), "a number above 0")
    return number


def _max_step(setting: SettingValue) -> MaxStep:
    _members(setting, "pointers", ("by", "percent"), '{pointers = ["/counted"], by = 500}', ("direction",))
    direction: Direction = setting.value.get("direction", "both")
    if not isinstance(direction, str) or direction not in get_args(Direction):
        raise _wrong(setting.below("direction"), "up, down or both")
    step = Step(_distance(setting, "by"), _distance(setting, "percent"), direction)
    return MaxStep(_pointers(setting.below("pointers")), step)


def _must_be(setting: SettingValue) -> MustBe:
    _members(setting, "pointer", ("value", "one_of"), '{pointer = "/mode", value = "live"}')
    if "value" in setting.value and "one_of" in setting.value:
        raise ConfigurationError("has both value and one_of: leave one out", place=setting.below("one_of").place)
    pointer = setting.below("pointer")
    if not isinstance(pointer.value, str):
        raise _wrong(pointer, "a pointer, such as /mode")
    if "value" in setting.value:
        values = [_json(setting.below("value"), setting.value["value"])]
    else:
        given = setting.below("one_of")
        if not isinstance(given.value, list) or not 0 < len(given.value) <= MAX_VALUES:
            raise _wrong(given, f"a list of one to {MAX_VALUES} values")
        values = [_json(given, each) for each in given.value]
    return MustBe(_pointers(pointer), tuple(values))


def _json(setting: SettingValue, value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):  # a date, or no number
        raise _wrong(setting, "a value that JSON has: a text, a number, true, false, a list or a table") from None


def _schema(setting: SettingValue) -> Schema:
    if not isinstance(setting.value, str) or not setting.value:
        raise _wrong(setting, "the path of a file with a JSON Schema")
    path = setting.folder / setting.value
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SCHEMA_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{path}: cannot be read: {why}", place=setting.place) from None
    try:
        return Schema.compile(str(path), text)
    except SchemaError as error:
        raise ConfigurationError(f"{path}: {error}", place=setting.place) from None
    except MissingExtraError as error:
        raise ConfigurationError(str(error), place=setting.place) from None


_CHECKS: dict[str, Callable[[SettingValue], Check]] = {
    "required": lambda setting: Required(_pointers(setting)),
    "must_be": _must_be,
    "never_falls": lambda setting: NeverFalls(_pointers(setting)),
    "max_step": _max_step,
    "never_shrinks": lambda setting: NeverShrinks(_pointers(setting)),
    "schema": _schema,
}
"""The checks by their keys, and how each is read."""
