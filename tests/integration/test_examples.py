"""The list of the examples, which leads to each of them."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.helpers.documentation import EXAMPLES
from tests.integration.example_sites import LIVEFEED_PORT, PAGES_PORT, rows

pytestmark = pytest.mark.startup

README = (EXAMPLES / "README.md").read_text()
PAGES: Final = {"news-page", "election-dashboard", "react"}
"""The examples with a page, besides the use cases."""


def test_each_example_is_in_the_list() -> None:
    """A folder that nobody is led to would not be found, or run by the tests."""
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    linked = {target.partition("/")[0] for target in re.findall(r"\]\(([^)]+)\)", README)}
    assert folders - linked == set()
    assert {name for name in rows() if "/" not in name} == PAGES


def test_links_lead_somewhere() -> None:
    """A link to a file or folder that has moved would lead nowhere."""
    targets = [each for each in re.findall(r"\]\(([^)]+)\)", README) if "://" not in each]
    assert len(targets) > 10
    assert [each for each in targets if not (EXAMPLES / each).exists()] == []


def test_commands_have_the_ports_of_the_pages() -> None:
    """Each starts livefeed where its page looks for it."""
    for row in rows().values():
        assert row.command.endswith(f" --port {LIVEFEED_PORT}"), row
        assert row.page is not None
        assert row.page.startswith(f"http://localhost:{PAGES_PORT}/{row.name}"), row
