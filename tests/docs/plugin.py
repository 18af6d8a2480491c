"""The plugin of pytest that runs the pages: ``pytest -p tests.docs.plugin README.md docs``, as ``make test-docs`` does.

Each block is an item, which pytest names by page and line. After one that fails, the others of its page are skipped:
they would fail because of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sybil import Document, Region, Sybil

from tests.docs.blocks import Block
from tests.docs.languages import fault_of, mark_in, run_part
from tests.docs.machine import ROOT, obstacle
from tests.docs.marks import NotRun, OtherTest
from tests.docs.page import MissingError, Page
from tests.docs.pages import count, parts_in
from tests.helpers.peers import missing_peer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sybil import Example


def parse(document: Document) -> Iterator[Region]:
    """Gives the blocks of a page to Sybil."""
    starts = [0]
    for line in document.text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for part in parts_in(Path(document.path)):
        yield Region(starts[part.first], starts[part.last], parsed=part, evaluator=evaluate)


def evaluate(example: Example) -> str:
    """Runs a block, and gives what is wrong with it, or an empty text."""
    part, namespace = example.parsed, example.namespace
    if isinstance(part, Block):
        if fault := fault_of(part, Path(example.path).relative_to(ROOT).as_posix()):
            return fault
        if reason := mark_in(part, NotRun):
            pytest.skip(f"not run: {reason.reason}")
        if mark_in(part, OtherTest):
            return ""
    if "page" not in namespace:
        namespace["page"] = Page(example.document.text)
    page = namespace["page"]
    if page.broken:
        pytest.skip(f"after {page.broken}")
    _require_machine()
    try:
        problem = run_part(page, part)
    except MissingError as error:
        page.broken = f"line {example.line}: {error}"
        missing_peer(str(error))
    if problem:
        page.broken = f"the failure at line {example.line}"
    return problem


def close(namespace: dict[str, Any]) -> None:
    """Ends everything that a page has started."""
    page = namespace.pop("page", None)
    if page is not None:
        page.close()


def _require_machine() -> None:
    """Skips a block where pages cannot have machines of their own."""
    reason = obstacle()
    if reason:
        missing_peer(f"{reason}. Examples write below /etc and listen on fixed ports, so they are not run without it.")


_SYBIL = Sybil(
    parsers=[parse], patterns=["*.md", "*.py"], path=str(ROOT), teardown=close, document_types={".py": Document}
)

pytest_collect_file = _SYBIL.pytest()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints how many blocks were run, and why the others were not."""
    paths = {Path(item.path) for item in terminalreporter._session.items} if terminalreporter._session else set()
    terminalreporter.section("examples of the documentation")
    for line in count(sorted(paths)).lines():
        terminalreporter.line(line)
