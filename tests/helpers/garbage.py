"""What becomes garbage that references alone do not free."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = ("livefeed", "twisted", "autobahn", "OpenSSL")


@contextlib.contextmanager
def garbage(*, but_new: bool = False) -> Iterator[list[object]]:
    """Gives what the collector finds of what becomes garbage meanwhile. It is empty until the end.

    :param but_new: leaves out what was new, and what was only kept by that.
    """
    found: list[object] = []
    gc.collect()
    gc.freeze()  # so that to look takes a fraction of the time
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        if but_new:
            gc.set_debug(0)
            gc.collect(1)
            gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [each for each in gc.garbage if type(each).__module__.startswith(OURS)]
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.unfreeze()
        gc.garbage.clear()
