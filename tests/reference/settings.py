"""The settings."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import msgspec

from livefeed.config.setting_texts import TEXTS
from livefeed.config.settings import LISTS_OF_PATHS, REPEATABLE, FeedSettings, Settings
from tests.reference.tables import code, linked_from, table

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = "docs/reference/configuration.md"

MOST_IMPORTANT = (
    *("source", "feed", "interval", "listen", "cert", "key", "workers", "push", "allow_origin", "state_dir"),
    *("gone_after", "admin"),
)
"""The settings of README, in their order."""


def defaults() -> dict[str, Any]:
    """Gives the default of each setting."""
    fields = (*msgspec.structs.fields(FeedSettings), *msgspec.structs.fields(Settings))
    return {field.name: field.default for field in fields if field.name in TEXTS}


def shown_default(value: Any) -> str:
    """Gives a default as it is written in a file; ``none`` for none."""
    if value is None or value == ():
        return "none"
    assert not isinstance(value, PurePath)
    return code(json.dumps(value))


def _rows() -> Iterator[list[str]]:
    values = defaults()
    for name, text in TEXTS.items():
        option = "--" + name.replace("_", "-")
        names = "<br>".join(map(code, (name, option, f"LIVEFEED_{name.upper()}")))
        kind = "repeatable: " if name in (*REPEATABLE, *LISTS_OF_PATHS) else ""
        applies = "reload" if text.is_reloaded else "restart"
        yield [names, shown_default(values[name]), kind + text.allowed, applies, linked_from(PAGE, text.meaning)]


def setting_table() -> str:
    """Gives all settings, each with its key, its option and its variable."""
    return table(("key, option, variable", "default", "value", "changed by", ""), _rows())


def readme_table() -> str:
    """Gives the most important options."""
    values = defaults()
    rows = [
        [
            code("--" + name.replace("_", "-")),
            shown_default(values[name]),
            linked_from("README.md", TEXTS[name].meaning),
        ]
        for name in MOST_IMPORTANT
    ]
    return table(("option", "default", ""), rows)
