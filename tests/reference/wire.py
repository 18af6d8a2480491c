"""Close codes, states, and the members of messages."""

from __future__ import annotations

import ast
import inspect

from livefeed.delivery.message_members import KINDS_1, KINDS_2, MEMBERS, Member
from livefeed.delivery.websocket.close_codes import MEANINGS
from livefeed.feed import state
from livefeed.feed.state import State
from tests.reference.tables import code, linked_from, table

CLOSE_PAGE = "docs/reference/close-codes.md"
MESSAGES_PAGE = "docs/reference/messages.md"


def close_table() -> str:
    """Gives the codes of all close frames that the server begins with."""
    rows = []
    for each in MEANINGS:
        first, last = each.codes
        codes = code(str(first)) if first == last else f"{code(str(first))} to {code(str(last))}"
        rows.append([codes, each.by, linked_from(CLOSE_PAGE, each.when), each.client])
    return table(("code", "clients", "when", "what the client should do"), rows)


def member_table() -> str:
    """Gives the members of all messages."""
    return table(
        ("member", "value", "in `livefeed.delta.v1`", "in `livefeed.delta.v2`", "meaning"),
        [
            [
                code(each.name),
                each.kind,
                *map(_where, (each.in_1, each.in_2), (KINDS_1, KINDS_2), (each, each)),
                linked_from(MESSAGES_PAGE, each.meaning),
            ]
            for each in MEMBERS
        ],
    )


def _where(kinds: tuple[str, ...], every: tuple[str, ...], member: Member) -> str:
    """Gives the types of messages that have a member, in words."""
    if not kinds:
        return "no"
    names = "all" if kinds == every else ", ".join(map(code, kinds))
    return names if member.is_always_there else f"{names}; optional"


def state_table() -> str:
    """Gives the states of a feed, from the docstrings behind their names."""
    texts = state_texts()
    rows = [[code(each.value), *texts[each.name].split("\n\n")] for each in State]
    return table(("state", "meaning", "clients"), rows)


def state_texts() -> dict[str, str]:
    """Gives the docstring of each state by its name in the code."""
    (found,) = [each for each in ast.parse(inspect.getsource(state)).body if isinstance(each, ast.ClassDef)]
    texts = {}
    for before, after in zip(found.body, found.body[1:], strict=False):
        if isinstance(before, ast.Assign) and isinstance(after, ast.Expr):
            (name,) = before.targets
            assert isinstance(name, ast.Name)
            texts[name.id] = inspect.cleandoc(ast.literal_eval(after.value))
    return texts
