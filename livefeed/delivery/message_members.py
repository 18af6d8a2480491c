"""The members of all messages, for the documentation and for the test of the messages.

Rule: this is the only list. ``messages``, ``item_messages`` and ``items`` make the messages, and a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS_1 = ("snapshot", "patch", "heartbeat", "state")
"""The types of the messages of ``livefeed.delta.v1``."""

KINDS_2 = ("document", "splices", "heartbeat", "missing", "refused")
"""The types of the messages of ``livefeed.delta.v2``."""

_DOCUMENTS_2 = ("document", "splices", "heartbeat")
_ABOUT_2 = (*_DOCUMENTS_2, "missing")


@dataclass(frozen=True, slots=True)
class Member:
    """A member of messages.

    :ivar name: its name.
    :ivar kind: the kind of its value, with the unit.
    :ivar meaning: the meaning, in Markdown.
    :ivar in_1: the types of messages of ``livefeed.delta.v1`` that may have it.
    :ivar in_2: the same for ``livefeed.delta.v2``.
    :ivar is_always_there: whether all of these have it.
    """

    name: str
    kind: str
    meaning: str
    in_1: tuple[str, ...] = KINDS_1
    in_2: tuple[str, ...] = _ABOUT_2
    is_always_there: bool = False


MEMBERS = (
    Member("type", "text", "the type of the message", in_2=KINDS_2, is_always_there=True),
    Member(
        "path",
        "text",
        "the path of the item: `/NAME`, and the JSON Pointer of a part, not percent-encoded",
        in_1=(),
        in_2=KINDS_2,
        is_always_there=True,
    ),
    Member("version", "text", "the newest version; left out while the document is withdrawn", in_2=_DOCUMENTS_2),
    Member("sequence", "text, `EPOCH.N`", "its place in the order of versions", is_always_there=True),
    Member("state", "text", "the [state](reference/protocol.md#states) of the feed", is_always_there=True),
    Member("at", "text, RFC 3339", "the time of the last confirmation, by the server's clock", is_always_there=True),
    Member(
        "age",
        "whole number of milliseconds, or `null`",
        "the time since the last confirmation, when the message was made; `null` if there was none",
        in_1=(),
        is_always_there=True,
    ),
    Member(
        "next", "whole number of milliseconds", "the time until the next tick is due", in_1=(), is_always_there=True
    ),
    Member(
        "lifetime",
        "whole number of milliseconds",
        "the time for which the document may be shown without another message; without it there is no limit",
        in_1=(),
        in_2=_DOCUMENTS_2,
    ),
    Member(
        "heartbeat",
        "whole number of milliseconds",
        "the time within which another message comes, if that is longer than a tick",
    ),
    Member("waiting", "whole number of milliseconds", "for how long a newer document has been held back"),
    Member("reason", "text", "why there is no new document, if the operator lets watchers know"),
    Member("overlay", "list of texts", "JSON Pointers to the values that an editor has put in the place of others"),
    Member(
        "signed",
        "object",
        "the [statement](howto/signatures.md#the-statement) that the version is the newest, signed",
        in_1=("snapshot", "patch", "heartbeat"),
        in_2=_DOCUMENTS_2,
    ),
    Member("data", "JSON", "the document", in_1=("snapshot",), in_2=(), is_always_there=True),
    Member("text", "text", "the document, whose UTF-8 is its bytes", in_1=(), in_2=("document",), is_always_there=True),
    Member("from", "text", "the version that the changes apply to", ("patch",), ("splices",), is_always_there=True),
    Member("patch", "list", "the changes (RFC 6902)", ("patch",), (), is_always_there=True),
    Member(
        "splices",
        "list",
        "the changes of the bytes ([splices](reference/protocol.md#splices))",
        in_1=(),
        in_2=("splices",),
        is_always_there=True,
    ),
    Member("status", "whole number", "the status of a refusal", in_1=(), in_2=("refused",), is_always_there=True),
    Member("detail", "text", "the reason of a refusal, for people", in_1=(), in_2=("refused",), is_always_there=True),
    Member(
        "retry",
        "whole number of milliseconds, or `null`",
        "the time after which the client may ask again; `null` for never",
        in_1=(),
        in_2=("refused",),
        is_always_there=True,
    ),
)
"""All members, in the order in which lists show them."""
