"""How large deltas are, and how long they take: patches (v1) and splices (v2) of true histories and of made documents.

    make bench-patches HISTORY=weibo.hist.xz

A history is an xz file of the versions of a document, the oldest first, each as its length in a line and its bytes. The
demonstration, and documents of 4 KB to 1 MB of which 2 % changed, are measured too. All splices are applied and
compared, in Node as well if it is there.

Columns: the mean size of a delta in bytes, plain and deflated, and the median and largest time in ms of the processor;
``zstd``: the new version at level 3 with the old one as dictionary, and the median time of that. ``python``, ``go``,
``rust``: the median of the shortest times in ms of parsing and applying the splices and comparing the hash with the
version, where the tool chain is there. ``node``: the largest median time in ms of applying the splices, and of decoding
and parsing the result.
"""

from __future__ import annotations

import json
import lzma
import random
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

import msgspec
import zstandard

from livefeed.document.codings import ZSTD_LEVEL, deflate_message
from livefeed.document.diff import diff
from livefeed.document.exact_json import parse
from livefeed.document.snapshot import version_of
from livefeed.document.splices import apply_splices, make_splices
from livefeed.sources.demo import DemoSource
from tests.helpers.browser_splices import applied_in_node
from tests.helpers.rows import rows_of, written

if TYPE_CHECKING:
    from collections.abc import Callable


MAX_BYTES = 1 << 26
ROW_BYTES = 150
REPEATED = 7
CHECKOUT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = CHECKOUT / "examples" / "clients"
TARGET = CHECKOUT / "build" / "rust"


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


def verified(old: bytes, delta: bytes, version: str) -> bytes:
    """Does what a client in Python does with splices."""
    made = apply_splices(old, msgspec.json.decode(delta), MAX_BYTES)
    assert version_of(made) == version
    return made


def programs(directory: Path) -> dict[str, list[str]]:
    """Builds the examples in Go and Rust where their tool chains are there, and gives their commands."""
    found = {}
    if shutil.which("go"):
        program = str(directory / "timing")
        subprocess.run(["go", "build", "-o", program, "./timing"], cwd=EXAMPLES / "go", check=True)
        found["go"] = [program]
    if shutil.which("cargo"):
        build = ["cargo", "build", "--release", "--quiet", "--target-dir", str(TARGET)]
        subprocess.run(build, cwd=EXAMPLES / "rust", check=True)
        found["rust"] = [str(TARGET / "release" / "livefeed-example"), "--timing"]
    return found


def timed_in(command: list[str], pairs: list[tuple[bytes, bytes]], deltas: list[bytes]) -> float:
    """Gives the median of the times of an example, in ms. It fails if a result is wrong."""
    cases = [
        {
            "old": old.decode(),
            "new": new.decode(),
            "version": version_of(new),
            "splices": msgspec.Raw(delta),
            "repeat": REPEATED,
        }
        for (old, new), delta in zip(pairs, deltas, strict=True)
    ]
    done = subprocess.run(command, input=msgspec.json.encode(cases), stdout=subprocess.PIPE, check=True)
    times: list[float] = json.loads(done.stdout)
    return median(times)


def measure(name: str, pairs: list[tuple[bytes, bytes]], times: int, examples: dict[str, list[str]]) -> None:
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
    compressed = [timed(partial(with_dictionary, *pair), times) for pair in pairs]
    zstd = f"{mean(len(delta) for delta, _ in compressed):8,.0f} {median(ms for _, ms in compressed):6.2f}"
    sent = [delta for delta, _ in splices]
    applied = [
        timed(partial(verified, old, delta, version_of(new)), REPEATED)[1]
        for (old, new), delta in zip(pairs, sent, strict=True)
    ]
    languages = [median(applied), *(timed_in(command, pairs, sent) for command in examples.values())]
    shown = " ".join(f"{ms:7.3f}" for ms in languages)
    node = shutil.which("node")
    browser = ""
    if node is not None:
        answers = applied_in_node(node, cases, REPEATED)
        assert [answer.result for answer in answers] == [new for _, new in pairs], name
        browser = f"{max(answer.ms for answer in answers):8.2f} {max(answer.read_ms for answer in answers):6.2f}"
    size = mean(len(new) for _, new in pairs)
    print(f"{name:22} {len(pairs):4} {size:9,.0f} |{columns[0]} |{columns[1]} |{zstd} |{shown} |{browser}", flush=True)


def main() -> None:
    """Runs the command."""
    sides = "plain deflated median    max"
    with tempfile.TemporaryDirectory() as directory:
        examples = programs(Path(directory))
        languages = " ".join(f"{name:>7}" for name in ("python", *examples))
        head = f"{'document':22} {'':4} {'bytes':>9} |{'v1: ' + sides:>32} |{'v2: ' + sides:>32} |{'zstd':>8} {'ms':>6}"
        print(f"{head} |{languages} |    node")
        measure_all(sys.argv[1:], examples)


def measure_all(histories: list[str], examples: dict[str, list[str]]) -> None:
    """Prints the lines of the table."""
    for name in histories:
        measure(Path(name).name.partition(".")[0], [*pairwise(read(Path(name)))], 1, examples)
    demo = [DemoSource(kind="small").document(1_790_000_000 + second) for second in range(120)]
    measure("demo", [*pairwise(demo)], 1, examples)
    for size in (4_000, 64_000, 1_000_000):
        for kind in ("changed", "counted", "moved"):
            measure(f"{size // 1000} KB, 2 % {kind}", [made(size, kind)], REPEATED, examples)


if __name__ == "__main__":
    main()
