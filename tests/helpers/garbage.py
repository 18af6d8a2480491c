"""Finds garbage that reference counting does not free."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = ("livefeed", "twisted", "autobahn", "OpenSSL")


@contextlib.contextmanager
def garbage(*, but_new: bool = False) -> Iterator[list[object]]:
    """Gives the objects that become garbage meanwhile and that only the collector finds; empty until the end.

    :param but_new: leaves out new objects, and objects that only new ones kept.
    """
    found: list[object] = []
    gc.collect()
    gc.freeze()  # so that a collection takes a fraction of the time
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
