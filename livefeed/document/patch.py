"""Applies patches (RFC 6902) to documents with exact numbers.

Rule: this file accepts all patches of RFC 6902, not only those that livefeed makes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from livefeed.document.exact_json import DeltaError, decode, encode, same_value
from livefeed.document.pointer import PointerError, escape, index_of, unescape


def apply_patch(document: bytes, patch: bytes) -> bytes:
    """Gives a document after a patch, as compact JSON. Numbers keep their text.

    :param patch: any patch of RFC 6902.
    :raises DeltaError: if the document or the patch is malformed, an operation cannot be done, or a ``test`` fails.
    """
    try:
        return encode(patched(decode(document), decode(patch)))
    except RecursionError:
        raise DeltaError("the document or the patch is nested too deeply") from None


def patched(document: object, patch: object) -> object:
    """Gives the patched value. The given one is not changed, since others may still need it.

    :raises DeltaError: if the patch is malformed, an operation cannot be done, or a ``test`` fails.
    """
    if not isinstance(patch, list):
        raise DeltaError("the patch is not an array")
    editing = _Editing(document)
    for number, operation in enumerate(patch):
        try:
            editing.do(operation)
        except (DeltaError, PointerError) as error:
            raise DeltaError(f"operation {number} of the patch: {error}") from None
    return editing.root


@dataclass(slots=True)
class _Editing:
    """A document that is being changed.

    Each container is copied when it is changed for the first time. To copy all of them beforehand would take longer
    than everything else here together.
    """

    # required parameters
    root: Any

    # internal state
    _ours: dict[int, object] = field(
        default_factory=dict
    )  # the copies, by id; they are kept alive, so that no id is used again

    def do(self, operation: object) -> None:
        if not isinstance(operation, dict):
            raise DeltaError("it is not an object")
        path = _tokens(operation, "path")
        match operation.get("op"):
            case "add":
                self._add(path, _value(operation))
            case "remove":
                self._remove(path)
            case "replace":
                self._replace(path, _value(operation))
            case "move":
                self._move(_tokens(operation, "from"), path)
            case "copy":
                self._add(path, self._get(_tokens(operation, "from")))
                self._ours.clear()  # it is in two places now, and a change of one must not change the other
            case "test":
                if not same_value(self._get(path), _value(operation)):
                    raise DeltaError(f"{_shown(path)} is not what the test expects")
            case _:
                raise DeltaError("its op is missing, or none of RFC 6902")

    def _get(self, path: list[str]) -> Any:
        here = self.root
        for depth, token in enumerate(path):
            here = here[_key(here, token, path[: depth + 1])]
        return here

    def _add(self, path: list[str], value: object) -> None:
        if not path:
            self.root = value
            return
        container, last = self._container(path), path[-1]
        if isinstance(container, dict):
            container[last] = value
            return
        index = len(container) if last == "-" else index_of(last)
        if index is None or index > len(container):
            raise DeltaError(f"{_shown(path)} is no place in its array of {len(container)}")
        container.insert(index, value)

    def _remove(self, path: list[str]) -> object:
        if not path:
            raise DeltaError("the whole document cannot be removed")
        container = self._container(path)
        return container.pop(_key(container, path[-1], path))

    def _replace(self, path: list[str], value: object) -> None:
        if not path:
            self.root = value
            return
        container = self._container(path)
        container[_key(container, path[-1], path)] = value

    def _move(self, source: list[str], path: list[str]) -> None:
        if source == path:
            self._get(source)
            return
        if path[: len(source)] == source:
            raise DeltaError(f"{_shown(source)} cannot be moved into itself")
        self._add(path, self._remove(source))

    def _container(self, path: list[str]) -> Any:
        """Gives the container of the path's last token, after copying it and all containers above it."""
        self.root = here = self._our(self.root, path[:0])
        for depth, token in enumerate(path[:-1]):
            key = _key(here, token, path[: depth + 1])
            here[key] = here = self._our(here[key], path[: depth + 1])
        return here

    def _our(self, container: Any, path: list[str]) -> Any:
        if id(container) in self._ours:
            return container
        if not isinstance(container, (dict, list)):
            raise DeltaError(f"{_shown(path)} is neither an object nor an array")
        copied = container.copy()
        self._ours[id(copied)] = copied
        return copied


def _key(container: object, token: str, path: list[str]) -> Any:
    """Gives the key or index of an existing value in a container.

    :raises DeltaError: if there is no value.
    """
    if isinstance(container, dict) and token in container:
        return token
    if isinstance(container, list):
        index = index_of(token)
        if index is not None and index < len(container):
            return index
    raise DeltaError(f"there is no {_shown(path)}")


def _tokens(operation: dict[str, object], name: str) -> list[str]:
    pointer = operation.get(name)
    if not isinstance(pointer, str):
        raise DeltaError(f"its {name} is missing or no string")
    if pointer and not pointer.startswith("/"):
        raise DeltaError(f"its {name} does not begin with a slash")
    return [unescape(segment) for segment in pointer.split("/")[1:]]


def _value(operation: dict[str, object]) -> object:
    if "value" not in operation:
        raise DeltaError("it has no value")
    return operation["value"]


def _shown(path: list[str]) -> str:
    pointer = "".join(f"/{escape(token)}" for token in path)
    return f"{pointer[:80]!a}" if pointer else "the document"
