"""How long a document takes from a file to a subscriber: ``python -m tests.bench.written [DOCUMENTS]``."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from livefeed.certificates import development_certificate
from tests.integration.harness import Livefeed, replace_file


def main(documents: int) -> None:
    """Measures both ways to write, at the default interval, at random times between the ticks."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = directory / "data" / "document.json"
        path.parent.mkdir()
        replace_file(path, b"0")
        certificate = development_certificate(directory / "certs")
        with (
            Livefeed(
                "--source", f"file:{path}", "--push", "change", directory=directory, certificate=certificate
            ) as it,
            it.websocket() as subscriber,
        ):
            subscriber.recv(timeout=5)
            for how, write in (("renamed", replace_file), ("in place", lambda path, data: path.write_bytes(data))):
                taken = []
                for number in range(documents):
                    document = b'{"n": %d, "how": "%b", "filler": "%b"}' % (number, how.encode(), b"x" * 4000)
                    time.sleep(random.uniform(0.03, 0.2))
                    write(path, document)
                    # What the disk took is not livefeed's.
                    began = time.perf_counter()
                    while subscriber.recv(timeout=5) != document.decode():
                        pass
                    taken.append(1000 * (time.perf_counter() - began))
                taken.sort()
                p50, p99 = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
                print(f"{how}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {taken[-1]:.1f} ms, of {documents}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
