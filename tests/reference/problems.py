"""The types of problems, and the statuses of answers."""

from __future__ import annotations

from livefeed.web import operator_problems, problems
from livefeed.web.answers import PHRASES
from tests.reference.tables import code, table

SUCCESSES = {
    101: "the connection is a WebSocket from now on",
    200: "the document, a page, a report, or the beginning of an event stream; a refused event stream, too",
    201: "the first document of the feed is stored, and watchers are shown it",
    202: "the document is stored, and watchers are not shown it yet: the answer has the reason",
    204: "the answer to `OPTIONS`; the stored document is deleted; an event stream of a feed that has ended",
    226: "changes in place of the document, which `A-IM` asks for",
    304: "the client has the newest version",
    308: "the address is another one: with a slash at its end, or with `https`",
}
"""The statuses without a problem, with their meanings."""


def problem_list() -> str:
    """Gives a section for each type: the same texts as its page."""
    parts = []
    for title, types in (("All requests and feeds", problems.TYPES), ("The operator's port", operator_problems.TYPES)):
        parts.append(f"## {title}")
        for kind in types:
            texts = [f"**{each}.** {text}" for each, text in kind.sections()]
            parts += [
                f"### {kind.name}",
                f"{kind.title}: status `{kind.status}`, type `{kind.path}`, of {kind.where}.",
                "\n\n".join(texts),
            ]
    return "\n\n".join(parts)


def statuses() -> str:
    """Gives the statuses of problems by the requests that are answered so, with the types that have them."""
    rows = [
        [each.capitalize(), code(str(status)), PHRASES[status], _links(each, status)]
        for each in dict.fromkeys(kind.where for kind in operator_problems.ALL)
        for status in sorted({kind.status for kind in operator_problems.ALL if kind.where == each})
    ]
    return table(("request", "status", "", "problems"), rows)


def _links(where: str, status: int) -> str:
    return ", ".join(
        f"[{it.name}](problems.md#{it.name})"
        for it in operator_problems.ALL
        if (it.where, it.status) == (where, status)
    )


def successes() -> str:
    """Gives the statuses of answers that are no problems."""
    return table(
        ("status", "", "meaning"),
        [[code(str(each)), PHRASES[each], text] for each, text in SUCCESSES.items()],
    )
