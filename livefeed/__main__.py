"""``python -m livefeed``: the command ``livefeed`` of this interpreter's environment."""

from __future__ import annotations

from livefeed.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
