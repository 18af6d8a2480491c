"""How large deltas are, and how long they take: patches (v1) and splices (v2) of true histories and of made documents.

    make bench-patches HISTORY=weibo.hist.xz

A history is an xz file of the versions of a document, the oldest first, each as its length in a line and its bytes. The
demonstration, and documents of 4 KB to 1 MB of which 2 % changed, are measured too. All splices are applied and
compared, in Node as well if it is there.

Columns: the mean size of a delta in bytes, plain and deflated, and the median and largest time in ms of the processor;
``zstd``: the new version at level 3 with the old one as dictionary. ``node``: the largest median time in ms of applying
the splices, and of decoding and parsing the result.
"""

from __future__ import annotations

import json
import lzma
import random
import shutil
import sys
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

import zstandard

from livefeed.document.codings import ZSTD_LEVEL, deflate_message
from livefeed.document.diff import diff
from livefeed.document.exact_json import parse
from livefeed.document.splices import apply_splices, make_splices
from livefeed.sources.demo import DemoSource
from tests.helpers.browser_splices import applied_in_node
from tests.helpers.rows import rows_of, written

if TYPE_CHECKING:
    from collections.abc import Callable


MAX_BYTES = 1 << 26
ROW_BYTES = 150
REPEATED = 7


def read(path: Path) -> list[bytes]:
    """Gives the versions of a history."""
    rest, versions = lzma.decompress(path.read_bytes()), []
    while rest:
        length, _, rest = rest.partition(b"\n")
        versions.append(rest[: int(length)])
        rest = rest[int(length) :]
    return versions


def made(size: int, kind: str) -> tuple[bytes, bytes]:
    """Gives a document of rows, and the document after 2 % of the rows changed."""
    draw = random.Random(size)
    count = size // ROW_BYTES
    rows = rows_of(draw, count)
    new = [dict(row) for row in rows]
    for row in draw.sample(new, max(1, count // 50)):
        if kind == "changed":
            row["bikes"], row["docks"], row["updated"] = draw.randint(0, 40), draw.randint(0, 40), row["updated"] + 30
        else:
            row["votes"] += draw.randint(1, 50)
        if kind == "moved":
            new.remove(row)
            new.insert(draw.randrange(count), row)
    return written(rows), written(new)


def with_dictionary(old: bytes, new: bytes) -> bytes:
    """Compresses a version with the one before as the dictionary."""
    dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, dict_data=dictionary).compress(new)


def timed(function: Callable[[], bytes], times: int) -> tuple[bytes, float]:
    """Gives a result, and the shortest time of the processor in ms."""
    best = float("inf")
    for _ in range(times):
        start = time.thread_time()
        result = function()
        best = min(best, time.thread_time() - start)
    return result, best * 1000


def measure(name: str, pairs: list[tuple[bytes, bytes]], times: int) -> None:
    """Prints one line of the table."""
    patches = [timed(partial(diff, parse(old), parse(new)), times) for old, new in pairs]
    splices = [timed(partial(make_splices, old, new), times) for old, new in pairs]
    cases = [(old, delta, MAX_BYTES) for (old, _), (delta, _) in zip(pairs, splices, strict=True)]
    for (old, new), (delta, _) in zip(pairs, splices, strict=True):
        assert apply_splices(old, json.loads(delta), MAX_BYTES) == new, name
    columns = []
    for deltas in (patches, splices):
        sizes = mean(len(delta) for delta, _ in deltas), mean(len(deflate_message(delta)) for delta, _ in deltas)
        spent = [ms for _, ms in deltas]
        columns.append("{:9,.0f} {:8,.0f} {:6.1f} {:6.1f}".format(*sizes, median(spent), max(spent)))
    compressed = mean(len(with_dictionary(*pair)) for pair in pairs)
    node = shutil.which("node")
    browser = ""
    if node is not None:
        answers = applied_in_node(node, cases, REPEATED)
        assert [answer.result for answer in answers] == [new for _, new in pairs], name
        browser = f"{max(answer.ms for answer in answers):8.2f} {max(answer.read_ms for answer in answers):6.2f}"
    size = mean(len(new) for _, new in pairs)
    print(
        f"{name:22} {len(pairs):4} {size:9,.0f} |{columns[0]} |{columns[1]} |{compressed:8,.0f} |{browser}", flush=True
    )


def main() -> None:
    """Runs the command."""
    sides = "plain deflated median    max"
    print(f"{'document':22} {'':4} {'bytes':>9} |{'v1: ' + sides:>32} |{'v2: ' + sides:>32} |{'zstd':>8} |    node")
    for name in sys.argv[1:]:
        measure(Path(name).name.partition(".")[0], [*pairwise(read(Path(name)))], 1)
    demo = [DemoSource(kind="small").document(1_790_000_000 + second) for second in range(120)]
    measure("demo", [*pairwise(demo)], 1)
    for size in (4_000, 64_000, 1_000_000):
        for kind in ("changed", "counted", "moved"):
            measure(f"{size // 1000} KB, 2 % {kind}", [made(size, kind)], REPEATED)


if __name__ == "__main__":
    main()
