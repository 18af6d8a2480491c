"""The time that the rules of a feed take for each new document, beside a tick without rules.

    python -m tests.bench.rules [HISTORY ...]

A history is an xz file of the versions of a document, the oldest first, each as its length in a line and its bytes;
``worldcup2026.hist.xz`` and ``weibo.hist.xz`` have rules here. The demonstration, and documents of 4 KB, 100 KB and 1
MB of which 2 % of the rows change from tick to tick, are measured too.

Columns: the median time of the processor in ms of a tick without rules (the gate, the snapshot with its compressions,
and the patch from the version before), of the rules that compare and require values, of a schema, and the part that
both are of the tick; the time of the rules for the first document, which is looked at as a whole; and the number of
versions that a rule would have held.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock

from livefeed.document.comparisons import MaxStep, NeverFalls, NeverShrinks
from livefeed.document.exact_numbers import Step
from livefeed.document.gate import check_document
from livefeed.document.history import DeltaForm
from livefeed.document.json_schema import Schema
from livefeed.document.requirements import Required
from livefeed.document.rules import Rules, RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.document.snapshot import Snapshot
from livefeed.feed.feed import Feed
from livefeed.sources.demo import DemoSource
from tests.bench.patches import MAX_BYTES, ROW_BYTES, read
from tests.helpers.rows import rows_of, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from livefeed.document.selectors import Selector

VERSIONS = 40
"""The number of versions of a document that is made."""

FIRST_SECOND = 1_790_000_000
TEXT: Any = {"type": "string"}
NUMBER: Any = {"type": "integer", "minimum": 0}


@dataclass(frozen=True)
class Case:
    """A document and its rules.

    :ivar versions: the versions, the oldest first.
    :ivar rules: the rules that compare and require values.
    :ivar schema: the same shape as a schema.
    """

    title: str
    versions: list[bytes]
    rules: tuple[RuleSpec, ...]
    schema: dict[str, Any]


def selectors(*texts: str) -> tuple[Selector, ...]:
    return tuple(map(parse_selector, texts))


def falls_and_steps(votes: str, whole: str) -> tuple[RuleSpec, ...]:
    """Gives the rules of an election night."""
    return (
        RuleSpec("complete", Required(selectors(votes))),
        RuleSpec("votes", NeverFalls(selectors(votes))),
        RuleSpec("jumps", MaxStep(selectors(votes), Step(Decimal(50_000), Decimal(30)))),
        RuleSpec("list", NeverShrinks(selectors(whole))),
    )


def listed(name: str, element: dict[str, Any]) -> dict[str, Any]:
    """Gives the schema of an object that has a list of objects."""
    array = {"type": "array", "items": {"type": "object", "required": [*element], "properties": element}}
    return {"type": "object", "required": [name], "properties": {name: array}}


def rows(size: int) -> list[bytes]:
    """Gives documents of which 2 % of the rows rise from tick to tick."""
    draw = random.Random(size)
    found = rows_of(draw, size // ROW_BYTES)
    versions = []
    for _ in range(VERSIONS):
        for row in draw.sample(found, max(1, len(found) // 50)):
            row["votes"] += draw.randint(1, 50)
        versions.append(written(found))
    return versions


def cases(paths: list[Path]) -> Iterator[Case]:
    """Gives the documents that are measured."""
    for path in paths:
        versions = read(path)
        if path.name.startswith("worldcup"):
            match = {"round": TEXT, "date": TEXT, "team1": TEXT, "team2": TEXT, "ground": TEXT}
            specs: tuple[RuleSpec, ...] = (
                RuleSpec("teams", Required(selectors("/matches/*/team1", "/matches/*/team2", "/matches/*/date"))),
                RuleSpec("goals", NeverFalls(selectors("/matches/*/score/ft/*"))),
                RuleSpec("list", NeverShrinks(selectors("/matches", "/matches/*/goals1", "/matches/*/goals2"))),
            )
            yield Case(f"{len(versions)} versions of a tournament", versions, specs, listed("matches", match))
        else:
            specs = (
                RuleSpec("links", Required(selectors("/{title=*}/url"))),
                RuleSpec("list", NeverShrinks(selectors(""))),
            )
            schema = {"type": "array", "items": {"type": "object", "required": ["url"], "properties": {"title": TEXT}}}
            yield Case(f"{len(versions)} versions of a ranking", versions, specs, schema)
    district = {"name": TEXT, "votes": {"type": "array", "items": NUMBER}}
    demo = DemoSource()
    night = [demo.document(FIRST_SECOND + second) for second in range(VERSIONS)]
    specs = falls_and_steps("/districts/{name=*}/votes/*", "/districts")
    yield Case("the election night of the demonstration", night, specs, listed("districts", district))
    row = {
        "id": NUMBER,
        "name": TEXT,
        "votes": NUMBER,
        "bikes": NUMBER,
        "status": {"enum": ["open", "closed", "unknown"]},
    }
    for size in (4_000, 100_000, 1_000_000):
        yield Case(
            "2 % of the rows rise", rows(size), falls_and_steps("/rows/{id=*}/votes", "/rows"), listed("rows", row)
        )


def main() -> None:
    """Runs the command."""
    print("| document | size | tick | rules | of the tick | first | schema | of the tick | held |")
    print(f"{'|---' * 9}|")
    for case in cases([Path(each) for each in sys.argv[1:]]):
        rules = Rules.compile(case.rules)
        schema = Rules.compile([RuleSpec("schema", Schema.compile("schema", json.dumps(case.schema).encode()))])
        feed = Feed("feed", clock=Clock())
        ticks, ruled, fitted, held = [], [], [], 0
        _, first = timed(rules.check, None, case.versions[0])
        for old, new in pairwise(case.versions):
            ticks.append(timed(_tick, feed, new)[1])
            verdict, taken = timed(rules.check, old, new)
            held += verdict.held is not None
            ruled.append(taken)
            fitted.append(timed(schema.check, old, new)[1])
        size = median(map(len, case.versions)) / 1000
        tick, by_rules, by_schema = median(ticks), median(ruled), median(fitted)
        print(
            f"| {case.title} | {size:.0f} KB | {tick:.1f} | {by_rules:.2f} | {by_rules / tick:.2f} "
            f"| {first:.1f} | {by_schema:.2f} | {by_schema / tick:.2f} | {held} |"
        )


def _tick(feed: Feed, data: bytes) -> None:
    before = None if feed.snapshot is None else feed.snapshot.version
    check_document(data, max_bytes=MAX_BYTES)
    feed.publish(Snapshot.of(data, feed.next_sequence()))
    feed.history.delta(DeltaForm.PATCH, before)


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Gives a result, and the time of the processor in ms."""
    start = time.thread_time()
    result = function(*arguments)
    return result, (time.thread_time() - start) * 1000


if __name__ == "__main__":
    main()
