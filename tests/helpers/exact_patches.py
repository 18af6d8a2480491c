"""JSON patches, applied by the tests' own code to values in which each number keeps its digits."""

from __future__ import annotations

import json
from typing import Any


class Number(tuple[str]):
    """A number, as its text."""

    __slots__ = ()


def read(data: bytes | str) -> Any:
    """Reads JSON. Each number stays the text that stands there."""
    return json.loads(data, parse_int=lambda text: Number((text,)), parse_float=lambda text: Number((text,)))


def same(one: Any, other: Any) -> bool:
    """Tells whether two values that were read are equal, and of equal types: ``1`` is not ``True``."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def patched(value: Any, patch: list[Any]) -> Any:
    """Applies a patch to a value that was read, in the plainest way."""
    for operation in patch:
        path = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")]
        root = {"": value}
        holder: Any = root
        for token in path[:-1]:
            holder = holder[int(token) if isinstance(holder, list) else token]
        last: Any = int(path[-1]) if isinstance(holder, list) else path[-1]
        match operation:
            case {"op": "add", "value": new}:
                if isinstance(holder, list):
                    assert last <= len(holder)
                    holder.insert(last, new)
                else:
                    holder[last] = new
            case {"op": "replace", "value": new}:
                assert not path[1:] or isinstance(holder, list) or last in holder
                holder[last] = new
            case {"op": "remove"}:
                del holder[last]
            case {"op": "move", "from": there}:
                # Only within an array.
                source, _, index = there.rpartition("/")
                assert (source, True) == (operation["path"].rpartition("/")[0], isinstance(holder, list))
                holder.insert(last, holder.pop(int(index)))
                assert last < len(holder)
            case other:
                raise AssertionError(other)
        value = root[""]
    return value
