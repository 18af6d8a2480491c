"""Conditions on a document: ``/counted >= 100``."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

import msgspec

from livefeed.document.exact_json import DeltaError, decode
from livefeed.document.pointer import PointerError, index_of, tokens_of
from livefeed.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LENGTH = 1000
"""The largest number of characters of a condition."""

ABSENT: Final = object()
"""Takes the place of a value that a document does not have."""

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"(?P<pointer>.*?)\s*(?P<operator>==|!=|<=|>=|<|>)\s*(?P<value>.*)", re.DOTALL)


class ConditionError(ValueError):
    """A condition is malformed. The message says how one is written."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of one value of a document.

    :ivar tokens: the path to the value.
    :ivar operator: ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``; ``""`` if the value only has to be there.
    :ivar value: the value that it is compared with, its numbers as :class:`msgspec.Raw`.
    """

    tokens: tuple[str, ...]
    operator: str = ""
    value: Any = None

    @classmethod
    def of(cls, text: str) -> Condition:
        """Reads a condition: a JSON Pointer, or a pointer, an operator and a value.

        The value is JSON, or text without quotes.

        :raises ConditionError: if it is malformed.
        """
        if len(text) > MAX_LENGTH:
            raise ConditionError(f"a condition has up to {MAX_LENGTH} characters")
        found = _CONDITION.fullmatch(text.strip())
        pointer = text.strip() if found is None else found["pointer"]
        if pointer and not pointer.startswith("/"):
            raise ConditionError(f"{shown(pointer)} is no JSON Pointer; a condition is written '/counted >= 100'")
        is_odd = "=" in pointer if found is None else found["operator"] in _ORDERS and pointer.endswith("=")
        if is_odd or (found is not None and found["value"].startswith("=")):
            # Otherwise it would be a name that no document has, and the condition would never hold.
            raise ConditionError(f"{shown(text)} has no operator; there are ==, !=, <, <=, > and >=")
        try:
            tokens = tokens_of(pointer[1:]) if pointer else ()
        except PointerError as error:
            raise ConditionError(str(error)) from None
        if found is None:
            return cls(tokens)
        if not found["value"]:
            raise ConditionError(
                f"a value is missing after {found['operator']}; a condition is written '/counted >= 100'"
            )
        try:
            value = decode(found["value"].encode("utf-8", "replace"))
        except (DeltaError, RecursionError):
            value = found["value"]
        if found["operator"] in _ORDERS and not isinstance(value, str | msgspec.Raw):
            raise ConditionError(
                f"{found['operator']} compares numbers and texts, and {shown(found['value'])} is neither"
            )
        return cls(tokens, found["operator"], value)

    def holds(self, document: Any) -> bool:
        """Tells whether a document fulfils the condition. Values of different types are different, and in no order."""
        value = find(document, self.tokens)
        if not self.operator:
            return value is not ABSENT
        ours, theirs = _comparable(value), _comparable(self.value)
        if self.operator == "==":
            return bool(ours == theirs)
        if self.operator == "!=":
            return bool(ours != theirs)
        is_ordered = isinstance(ours, str | Decimal) and type(ours) is type(theirs)
        return is_ordered and _ORDERS[self.operator](ours, theirs)


def find(document: Any, tokens: tuple[str, ...]) -> Any:
    """Gives a value of a document; :data:`ABSENT` if the document does not have it."""
    for token in tokens:
        if isinstance(document, dict):
            document = document.get(token, ABSENT)
        elif isinstance(document, list):
            index = index_of(token)
            document = ABSENT if index is None or index >= len(document) else document[index]
        else:
            return ABSENT
    return document


def _comparable(value: Any) -> Any:
    """Gives a value in which numbers are equal if they are the same number: 1.50 and 1.5."""
    if isinstance(value, msgspec.Raw):
        try:
            return Decimal(bytes(value).decode())
        except InvalidOperation:  # an exponent beyond all reason
            return bytes(value)
    if isinstance(value, dict):
        return {name: _comparable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_comparable(element) for element in value]
    # True is a value of its own, and not the number 1, since numbers are Decimals here: True == Decimal(1).
    return ("bool", value) if isinstance(value, bool) else value
