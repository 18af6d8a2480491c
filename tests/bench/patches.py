"""How large patches are, and how long they take, for the true history of a document.

    make bench-patches HISTORY=weibo.hist.xz

A history is an xz file of the versions of a document, the oldest first, each as its length in a line and its bytes.
"""

from __future__ import annotations

import lzma
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

from livefeed.document.codings import deflate_message
from livefeed.document.diff import diff
from livefeed.document.exact_json import parse


def read(path: Path) -> list[bytes]:
    """Gives the versions of a history."""
    rest, versions = lzma.decompress(path.read_bytes()), []
    while rest:
        length, _, rest = rest.partition(b"\n")
        versions.append(rest[: int(length)])
        rest = rest[int(length) :]
    return versions


def main() -> None:
    """Runs the command."""
    for name in sys.argv[1:]:
        versions = read(Path(name))
        patches, times = [], []
        for old, new in pairwise(versions):
            documents = parse(old), parse(new)
            start = time.perf_counter()
            patches.append(diff(*documents))
            times.append(time.perf_counter() - start)
        deflated = mean(len(deflate_message(patch)) for patch in patches)
        print(
            f"{name}: {len(versions)} versions of {mean(map(len, versions)):,.0f} bytes; patches of "
            f"{mean(map(len, patches)):,.0f} bytes, {deflated:,.0f} deflated, "
            f"in {median(times) * 1000:.1f} ms (median; {max(times) * 1000:.1f} at most)"
        )


if __name__ == "__main__":
    main()
