"""A local time zone for tests."""

from __future__ import annotations

import os
import time

from twisted.trial.unittest import SynchronousTestCase


class ZoneTestCase(SynchronousTestCase):
    """A process in a time zone with a summer time, by the rules of the European Union.

    :cvar zone: the value of the variable TZ, as POSIX defines it: no file of the machine is needed.
    """

    zone = "CET-1CEST,M3.5.0,M10.5.0/3"

    def setUp(self) -> None:
        before = os.environ.get("TZ")

        def restore() -> None:
            os.environ.pop("TZ", None)
            if before is not None:
                os.environ["TZ"] = before
            time.tzset()

        self.addCleanup(restore)
        os.environ["TZ"] = self.zone
        time.tzset()
