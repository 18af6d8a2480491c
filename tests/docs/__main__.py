"""``python -m tests.docs``: how many blocks of the documentation are run, and why the others are not."""

from __future__ import annotations

import argparse

from tests.docs.machine import ROOT
from tests.docs.pages import count, pages


def main() -> None:
    """Prints the count, or with ``--pages`` the paths of the pages, for pytest."""
    parser = argparse.ArgumentParser(prog="python -m tests.docs", description=__doc__)
    parser.add_argument("--pages", action="store_true", help="print the paths of the pages instead")
    if parser.parse_args().pages:
        print(*(path.relative_to(ROOT) for path in pages()), sep="\n")
    else:
        print(*count(pages()).lines(), sep="\n")


if __name__ == "__main__":
    main()
