"""The code for browsers applies splices as the Python code does."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

from livefeed.document.exact_json import DeltaError
from livefeed.document.snapshot import version_of
from livefeed.document.splices import apply_splices, make_splices
from livefeed.sources.demo import DemoSource
from tests.helpers.browser_splices import SOURCE, applied_in_node
from tests.helpers.peers import missing_peer, peer
from tests.helpers.rows import rows_of, written
from tests.integration.harness import WAIT_S
from tests.vectors.layout import FILE

CLIENTS = Path(__file__).parents[1] / "clients"

MAX_BYTES = 512
"""The largest size of the code for browsers in bytes, as a minifier leaves it."""


def test_results_are_equal() -> None:
    """The demonstration, moved and changed rows, and texts of all kinds give the same bytes."""
    draw = random.Random(1)
    demo = DemoSource(kind="small")
    rows = rows_of(draw, 300)
    changed = [dict(row) for row in rows]
    for row in draw.sample(changed, 20):
        row["votes"] += 1
        row["name"] = "Zürich 😀"
        changed.remove(row)
        changed.insert(draw.randrange(300), row)
    versions = [(demo.document(second), demo.document(second + 1)) for second in range(1_790_000_000, 1_790_000_020)]
    versions += [
        (written(rows), written(changed)),
        (b"", '"\\\n\x00\u2028\ufeffé€😀'.encode()),
        ("\ufeffé€😀".encode(), "\ufeffé€😁".encode()),
        (b"[1]", b""),
    ]
    cases = [(old, make_splices(old, new), 1 << 20) for old, new in versions]
    answers = applied_in_node(peer("node", "nodejs"), cases)
    assert [answer.result for answer in answers] == [new for _, new in versions]


def test_refusals_are_equal() -> None:
    """Both refuse splices that are out of range or too large, and both take those that are just allowed."""
    old = b"0123456789"
    arrays: tuple[list[object], ...] = (
        [10], [11], [-1], [5, 1, 5], [5, -6, 5], [0, 11, 0, -11, 10], [0, -3, 0], [0, -3, 2], [0, 9, 1], [0, 9, 2],
        [10, -10, 10], [10, -10, 10, "a"], ["é" * 10], ["é" * 10, "a"], [True], [None], [1.5], [[]], [4, 3],
    )  # fmt: skip
    cases = [(old, json.dumps(array).encode(), 20) for array in arrays]
    expected: list[bytes | None] = []
    for array in arrays:
        try:
            expected.append(apply_splices(old, array, 20))
        except DeltaError:
            expected.append(None)
    assert None in expected
    answers = applied_in_node(peer("node", "nodejs"), cases)
    assert [answer.result for answer in answers] == expected
    assert {answer.error for answer in answers} == {None, "RangeError"}


def test_vectors() -> None:
    """The splices of ``vectors.json`` give its documents, and those that are bad give none with the right hash."""
    vectors = json.loads(FILE.read_text("ascii"))
    good = [(case["old"].encode(), json.dumps(case["splices"]).encode(), 1 << 20) for case in vectors["splices"]]
    readable = [case for case in vectors["bad_splices"] if case["name"] != "no JSON"]
    bad = [(case["old"].encode(), case["splices"].encode(), case["max_bytes"]) for case in readable]
    answers = applied_in_node(peer("node", "nodejs"), [*good, *bad])
    assert [answer.result for answer in answers[: len(good)]] == [case["new"].encode() for case in vectors["splices"]]
    for case, answer in zip(readable, answers[len(good) :], strict=True):
        assert answer.result is None or version_of(answer.result) != case["version"], case["name"]
    assert {answer.error for answer in answers[len(good) :]} == {None, "RangeError", "TypeError"}


def test_size() -> None:
    """The code for browsers is small, as the minifier leaves it that builds livefeed.js."""
    minifier = CLIENTS / "node_modules" / ".bin" / "esbuild"
    if not minifier.exists():
        missing_peer("no esbuild in tests/clients/node_modules: run make")
    done = subprocess.run([minifier, SOURCE, "--minify"], capture_output=True, check=True, timeout=WAIT_S)
    assert b"applySplices" in done.stdout
    assert len(done.stdout) <= MAX_BYTES, done.stdout
