"""The overlay: an editor's list of values that take the place of those of the source, or remove them.

This file has the entries and their limits; ``overlaid`` has the document that they are spliced into.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from livefeed.document.exact_json import WHITE_SPACE
from livefeed.document.gate import check_document
from livefeed.document.selectors import Name, Selector, SelectorError, parse_selector
from livefeed.exceptions import DocumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_ENTRIES = 256
"""The largest number of entries of an overlay: an editor has typed each of them."""

MAX_VALUE_BYTES = 24_576
"""The largest size in bytes of a value, and of an expected value: both fit into a command of 64 KiB."""

MAX_OVERLAY_BYTES = 1024 * 1024
"""The largest size in bytes of all values and selectors of an overlay together."""

MAX_NAMED = 8
"""The largest number of entries that an error names."""

Action = Literal["set", "add", "remove"]


class OverlayError(ValueError):
    """An entry is malformed or exceeds a limit. The message is for the editor who has typed it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an overlay.

    :ivar selector: the selector of the values that it changes.
    :ivar action: ``set`` replaces a value that is there, ``add`` also adds a member that is not, and ``remove`` removes
        a member or an element.
    :ivar value: the JSON of the new value; ``None`` to remove.
    :ivar expected: the JSON of the value that the source must have there, compared as a value and not as text;
        otherwise the entry changes nothing. ``None``: whatever it has.
    """

    selector: Selector
    action: Action
    value: bytes | None = None
    expected: bytes | None = None

    @classmethod
    def of(cls, selector: str, action: Action, value: bytes | None = None, expected: bytes | None = None) -> Self:
        """Makes an entry of texts that somebody has typed.

        :raises OverlayError: if a text is malformed or too large, or the action needs another one.
        """
        try:
            parsed = parse_selector(selector)
        except SelectorError as error:
            raise OverlayError(f"the pointer {selector[:100]!r} cannot be used: {error}") from None
        if action == "add" and not (parsed.tokens and isinstance(parsed.tokens[-1], Name)):
            raise OverlayError("a value is added as a member: the pointer must end with its name, as in /notice")
        if action == "remove" and not parsed.tokens:
            raise OverlayError("the whole document cannot be removed: withdraw it")
        if (value is None) != (action == "remove"):
            raise OverlayError(f"to {action} {'takes no value' if value is not None else 'needs a value'}")
        if action == "add" and expected is not None:
            raise OverlayError("an expected value needs a value that is there: use set in place of add")
        return cls(parsed, action, _checked("value", value), _checked("expected value", expected))

    @property
    def size(self) -> int:
        """The size of its texts in bytes."""
        return len(self.selector.text.encode()) + len(self.value or b"") + len(self.expected or b"")


def _checked(name: str, value: bytes | None) -> bytes | None:
    if value is None:
        return None
    if len(value) > MAX_VALUE_BYTES:
        raise OverlayError(f"the {name} has {len(value)} bytes, and {MAX_VALUE_BYTES} are the most")
    try:
        check_document(value, max_bytes=MAX_VALUE_BYTES)
    except DocumentError as error:
        why = str(error).replace("the document", f"the {name}", 1)
        raise OverlayError(f"{why}. A text needs its quotation marks, as in '\"North\"'") from None
    return value.strip(WHITE_SPACE)


def check_entries(entries: Sequence[Entry]) -> None:
    """Checks the limits of a whole overlay.

    :raises OverlayError: if there are too many entries, or they are too large together.
    """
    if len(entries) > MAX_ENTRIES:
        raise OverlayError(f"the overlay has {MAX_ENTRIES} entries already: drop some first")
    if sum(each.size for each in entries) > MAX_OVERLAY_BYTES:
        raise OverlayError(f"the overlay has more than {MAX_OVERLAY_BYTES} bytes: drop some entries first")


@dataclass(frozen=True, slots=True)
class Edit:
    """An entry as an editor has made it, in texts that can be kept in a file.

    :ivar pointer: the text of the selector. An overlay has one edit for each.
    :ivar action: as in :class:`Entry`.
    :ivar value: the JSON of the new value; ``None`` to remove.
    :ivar expected: the JSON of the expected value; ``None`` for none.
    :ivar by: the name under which the editor had access.
    :ivar at: when it was made, in seconds since 1970.
    :ivar reason: the editor's text about it; may be empty.
    """

    pointer: str
    action: Action
    value: str | None
    expected: str | None
    by: str
    at: float
    reason: str = ""

    def entry(self) -> Entry:
        """Gives the entry.

        :raises OverlayError: if it is malformed or too large.
        """
        value, expected = (None if text is None else _encoded(text) for text in (self.value, self.expected))
        return Entry.of(self.pointer, self.action, value, expected)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise OverlayError("a value has half of a surrogate pair in it") from None


def with_edit(edits: Sequence[Edit], edit: Edit) -> tuple[Edit, ...]:
    """Gives an overlay after another edit, which replaces an earlier one of the same pointer.

    :raises OverlayError: if the edit is malformed, or the overlay becomes too large.
    """
    after = (*(each for each in edits if each.pointer != edit.pointer), edit)
    edit.entry()
    check_entries([each.entry() for each in after])
    return after


def without_edit(edits: Sequence[Edit], pointer: str) -> tuple[Edit, ...]:
    """Gives an overlay without the edit of a pointer.

    :raises OverlayError: if there is none. The message names the pointers that there are.
    """
    after = tuple(each for each in edits if each.pointer != pointer)
    if len(after) == len(edits):
        if not edits:
            raise OverlayError("the overlay has no entries")
        first = ", ".join(each.pointer or '""' for each in edits[:MAX_NAMED])
        more = f" and {len(edits) - MAX_NAMED} more" if len(edits) > MAX_NAMED else ""
        raise OverlayError(f"the overlay has no entry for {pointer[:100]!r}; it has {first}{more}")
    return after
