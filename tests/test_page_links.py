"""The links of all pages, also those that Sphinx does not build, and the pages that code and texts name."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tests.helpers.page_links import anchors, broken_links, links

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("docs", "clients", "examples", "livefeed", "tests", "twisted", "changes")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
FOREIGN = frozenset({"node_modules", "target", "__pycache__"})
"""Folders of which tools make the content."""

NAMING = frozenset({".py", ".md", ".js", ".mjs", ".go", ".rs", ".toml", ".yml", ".yaml", ".service", ".conf"})
"""The endings of the files that may name a page."""

_PAGE = re.compile(r"\bdocs/[\w./-]+\.(?:md|json|svg|ya?ml|toml|conf|service)\b")

ADDED = """# The desk

See [rules](rules.md#one-rule), [`a page`](other.md) and [this](#the-desk), [here](https://example.org/x.md).

## One `rule`

## One rule

<a href="gone.html"><img srcset="gone.svg" src="rules.md"></a>

| a | b |
|---|---|
| [x](rules.md#no-rule) | ![y](there.webp) |

```text
[no link](nowhere.md)
```
"""


def files(suffixes: frozenset[str]) -> Iterator[Path]:
    """Gives the files of the project whose names end so."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file() and not FOREIGN.intersection(path.relative_to(ROOT).parts):
                yield path
    yield from (ROOT / name for name in PAGES)


class HelperTests(SynchronousTestCase):
    """What counts as a link, and as an anchor."""

    def test_links(self) -> None:
        """Those in tables and in HTML count, and those in code do not."""
        self.assertEqual(
            list(links(ADDED)),
            [
                *("rules.md#one-rule", "other.md", "#the-desk", "https://example.org/x.md"),
                *("gone.html", "gone.svg", "rules.md", "rules.md#no-rule", "there.webp"),
            ],
        )

    def test_anchors(self) -> None:
        """They have no marks of code, and a number if there is another one."""
        self.assertEqual(anchors(ADDED), {"the-desk", "one-rule", "one-rule-1"})
        self.assertEqual(anchors("## The operator's port: 1.5 s & more"), {"the-operators-port-15-s--more"})

    def test_broken_links(self) -> None:
        """A file that is missing, and an anchor that no heading makes."""
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder, "desk.md")
            page.write_text(ADDED)
            Path(folder, "rules.md").write_text("# One rule\n")
            self.assertEqual(
                broken_links(page), ["other.md", "gone.html", "gone.svg", "rules.md#no-rule", "there.webp"]
            )


class LinkTests(SynchronousTestCase):
    """The pages of this project."""

    def test_links_lead_somewhere(self) -> None:
        """Each relative link leads to a file that is there, and its anchor to a heading."""
        pages = list(files(frozenset({".md"})))
        self.assertGreater(len(pages), 50)
        broken = {str(page.relative_to(ROOT)): found for page in pages if (found := broken_links(page))}
        self.assertEqual(broken, {})

    def test_named_pages_exist(self) -> None:
        """A page that moves takes its mentions in code, comments and texts along.

        The changelog names the files of its time.
        """
        missing = set()
        named = 0
        for path in (*files(NAMING), ROOT / "Makefile"):
            if path.name == "CHANGELOG.md":
                continue
            for name in _PAGE.findall(path.read_text("utf-8")):
                named += 1
                if not (ROOT / name).exists():
                    missing.add((str(path.relative_to(ROOT)), name))
        self.assertGreater(named, 100)
        self.assertEqual(missing, set())
