"""``python -m tests.reference`` writes the tables of the reference anew; ``make reference`` calls it."""

from __future__ import annotations

from tests.reference.pages import write

if __name__ == "__main__":
    for path in write():
        print(path)
