"""The Python namespace of a page: a process that runs the page's blocks one after the other, in its machine.

It reads paths from one pipe, runs each file, and answers on another: 0, or 1 after an exception. What the blocks print
goes where the process prints.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any


def run(path: Path, namespace: dict[str, Any]) -> bool:
    """Runs a block, and tells whether it has raised nothing."""
    try:
        code = compile(path.read_text("utf-8"), str(path), "exec", dont_inherit=True)
        exec(code, namespace)
    except BaseException:
        traceback.print_exc()
        return False
    return True


def serve(asked: Path, answers: Path) -> None:
    """Runs the blocks whose paths come, one by one, until an empty line."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    while True:
        path = asked.read_text("utf-8").strip()
        if not path:
            return
        done = run(Path(path), namespace)
        sys.stdout.flush()
        answers.write_text("0\n" if done else "1\n")


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
