"""The check of a document by a JSON Schema, with jsonschema-rs, by the extra ``schema``.

Rules:

- A schema refers only to itself. Nothing is fetched when it is compiled, and nothing when a document is checked: not a
  referenced schema, not a metaschema, by no scheme of URLs.
- No pattern takes long: the engine of regular expressions is linear, so it knows no look-around and no backreferences.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from livefeed.document.exact_numbers import number_of
from livefeed.document.gate import check_document
from livefeed.document.matches import MatchError, SelectorReader
from livefeed.document.pointer import pointer_of
from livefeed.document.rule_checks import Refusal, cut, short, shown_value
from livefeed.document.selectors import MAX_TOKENS, Selector, SelectorError, name_segment, parse_selector, text_of
from livefeed.document.snapshot import version_of
from livefeed.exceptions import DocumentError
from livefeed.extras import needed_extra

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from jsonschema_rs import ValidationError, Validator

    from livefeed.document.rule_checks import Documents

MAX_SCHEMA_BYTES = 256 * 1024
"""The largest size in bytes of a schema. Those of large formats have 100 KB."""

MAX_PATTERN_BYTES = 1024 * 1024
"""The largest size in bytes of a compiled pattern. ``a{1000}`` has 60 KB, and ``(a{1000}){1000}`` 60 MB."""

MAX_DEPTH = 256
"""The largest depth of a document that is checked, and of a schema. The library calls itself at each level: at 20,000
levels, it exhausts the stack and ends the process."""

MAX_MESSAGE_CHARACTERS = 200
"""The largest number of characters of the library's message in a sentence."""

VERSION_CHARACTERS = 8
"""The number of characters of a schema's hash by which operators see that its file has changed."""

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_DRAFTS = (
    "json-schema.org/draft-04/schema",
    "json-schema.org/draft-06/schema",
    "json-schema.org/draft-07/schema",
    "json-schema.org/draft/2019-09/schema",
    "json-schema.org/draft/2020-12/schema",
)
_INSTANCE = "it"
"""The word for the refused value in messages, which would have the value itself in full length."""


class SchemaError(ValueError):
    """A schema cannot be used. The message is for operators."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A JSON Schema that documents must fit.

    Formats such as ``date-time`` are checked, also by drafts that leave this open.

    :ivar name: its name for operators, such as the path of its file.
    :ivar text: its text.
    """

    kind: ClassVar[str] = "schema"
    cost: ClassVar[int] = 2
    selectors: ClassVar[tuple[Selector, ...]] = ()

    name: str
    text: bytes = field(repr=False)
    _validator: Validator = field(repr=False, compare=False)

    @classmethod
    def compile(cls, name: str, text: bytes) -> Self:
        """Compiles a schema.

        :param name: its name for operators.
        :param text: a JSON Schema of draft 4, 6, 7, 2019-09 or 2020-12; without ``$schema``, of 2020-12.
        :raises SchemaError: if it is no such schema, exceeds a limit, or refers to something outside of itself.
        :raises MissingExtraError: if jsonschema-rs is not installed.
        """
        _check_text(text)
        with needed_extra("schema", "a JSON Schema"):
            # Imported here: only feeds with a schema need it.
            import jsonschema_rs  # noqa: PLC0415
        try:
            validator = jsonschema_rs.validator_for(
                text.decode(),
                offline=True,
                validate_formats=True,
                mask=_INSTANCE,
                pattern_options=jsonschema_rs.RegexOptions(size_limit=MAX_PATTERN_BYTES),
            )
        except jsonschema_rs.ValidationError as error:
            where = pointer_of(map(str, error.instance_path))
            hint = ""
            if error.kind.name == "format":
                hint = "; patterns have no look-around and no backreferences, and must not be too large"
            at = f"at {short(where)}, " if where else ""
            raise SchemaError(f"it is no JSON Schema: {at}{_message(error)}{hint}") from None
        return cls(name, text, validator)

    def __str__(self) -> str:
        """API of :class:`.rule_checks.Check`."""
        return f"{self.kind} {self.name} (version {version_of(self.text)[:VERSION_CHARACTERS]})"

    def refusals(self, documents: Documents, *, has_passed: bool) -> Iterator[Refusal]:
        """API of :class:`.rule_checks.Check`. Only the first value that does not fit is given.

        The library releases the interpreter lock while it checks, but not while it reads the values.
        """
        try:
            value = _decoder.decode(documents.candidate)
        except RecursionError:
            yield Refusal("", f"the document is nested more than {MAX_DEPTH} levels deep, and cannot be checked")
            return
        except (ValueError, OverflowError) as error:  # a number with thousands of digits, or no JSON
            yield Refusal("", f"the document cannot be read to be checked: {error}")
            return
        if _is_too_deep(value):
            yield Refusal("", f"the document is nested more than {MAX_DEPTH} levels deep, and cannot be checked")
            return
        misfit = self._misfit(value)
        if misfit is not None:
            pointer, found = _place(documents.candidate, misfit.instance_path)
            is_value = f"is {shown_value(found)}, and " if found else "does not fit the schema: "
            yield Refusal(pointer, f"{short(pointer)} {is_value}{_message(misfit)}", cut(found))

    def is_same(self, earlier: bytes, later: bytes) -> bool:
        """API of :class:`.rule_checks.Check`."""
        return earlier == later

    def _misfit(self, value: Any) -> ValidationError | None:
        # Its iter_errors() would collect all errors before it gives the first one.
        import jsonschema_rs  # noqa: PLC0415

        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return error
        return None


def _check_text(text: bytes) -> None:
    """Refuses a text that is no schema, or that refers to something outside of itself."""
    if len(text) > MAX_SCHEMA_BYTES:
        raise SchemaError(f"it is larger than {MAX_SCHEMA_BYTES} bytes")
    try:
        check_document(text, max_bytes=MAX_SCHEMA_BYTES)
        schema = _decoder.decode(text)
    except DocumentError as error:
        raise SchemaError(str(error).replace("the document", "it", 1)) from None
    except (RecursionError, ValueError, OverflowError) as error:
        raise SchemaError(f"it cannot be read: {error}") from None
    if _is_too_deep(schema):
        raise SchemaError(f"it is nested more than {MAX_DEPTH} levels deep")
    if not isinstance(schema, dict):
        raise SchemaError("it is no JSON Schema: it is not an object")
    draft = schema.get("$schema")
    if draft is not None and not _is_draft(draft):
        raise SchemaError("its $schema is none of the drafts 4, 6, 7, 2019-09 and 2020-12, and nothing is fetched")
    _check_references(schema)


def _is_draft(uri: object) -> bool:
    return isinstance(uri, str) and uri.removesuffix("#").partition("://")[2] in _DRAFTS


def _check_references(schema: dict[str, Any]) -> None:
    """Refuses references to anything but the schema itself.

    Also data in it, such as an example, may not look like such a reference.
    """
    waiting: list[tuple[tuple[str, ...], Any]] = [((), schema)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, list):
            waiting += [((*path, str(index)), each) for index, each in enumerate(value)]
        if not isinstance(value, dict):
            continue
        for keyword in _REFERENCES:
            target = value.get(keyword)
            if isinstance(target, str) and not target.startswith("#"):
                where = pointer_of((*path, keyword))
                why = f"at {short(where)}, it refers to {target[:MAX_MESSAGE_CHARACTERS]!r}"
                raise SchemaError(
                    f"{why}; a reference begins with #, since nothing is fetched: copy its target to $defs"
                )
        waiting += [((*path, name), each) for name, each in value.items()]


def _is_too_deep(value: Any) -> bool:
    """Tells whether a value has more than :data:`MAX_DEPTH` levels."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = (each.values() if type(each) is dict else each for each in level if type(each) in _CONTAINERS)
        level = [each for values in inner for each in values if type(each) in _CONTAINERS]
        if not level:
            return False
    return True


_CONTAINERS = (dict, list)


def _place(candidate: bytes, path: Sequence[str | int]) -> tuple[str, bytes]:
    """Gives the pointer and the bytes of a value that does not fit."""
    segments = tuple(str(each) if isinstance(each, int) else name_segment(each) for each in path[:MAX_TOKENS])
    pointer = text_of(segments)
    try:
        matches = SelectorReader(candidate).find(parse_selector(pointer)).matches if len(path) <= MAX_TOKENS else []
    except (MatchError, SelectorError):
        return pointer, b""
    return pointer, bytes(matches[0].value) if matches else b""


def _message(error: ValidationError) -> str:
    message = error.message[:MAX_MESSAGE_CHARACTERS]
    message = "".join(each if each.isprintable() else " " for each in message)
    return f"{message[:1].lower()}{message[1:]} (keyword {error.kind.name})"


def _float(text: str) -> Decimal:
    number = number_of(text.encode())
    if number is None:
        raise ValueError("it has a number that is too large")
    return number


_decoder = msgspec.json.Decoder(float_hook=_float)
