"""What becomes garbage that references alone do not free."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = ("livefeed", "twisted", "autobahn", "OpenSSL")


@contextlib.contextmanager
def garbage() -> Iterator[list[object]]:
    """Gives what the collector finds of what becomes garbage meanwhile, be it old or new. It is empty until the end."""
    found: list[object] = []
    gc.collect()
    gc.freeze()  # so that to look takes a fraction of the time
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found += [each for each in gc.garbage if type(each).__module__.startswith(OURS)]
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.unfreeze()
        gc.garbage.clear()
