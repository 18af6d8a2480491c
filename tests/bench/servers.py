"""The registry of the servers that are compared: each has one core, and serves one document at ``/feed``."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.peers.axum import AXUM, Axum
from tests.bench.peers.caddy import CADDY, Caddy
from tests.bench.peers.centrifugo import CENTRIFUGO, Centrifugo
from tests.bench.peers.golang import Go
from tests.bench.peers.h2o import H2o
from tests.bench.peers.livefeed import (
    OPENSSL_3_PYTHON,
    Livefeed,
    LivefeedOpenSSL3,
    LivefeedOtherPython,
    LivefeedSmallPages,
    LivefeedTwisted,
    LivefeedWorker,
    LivefeedWorkers,
    OtherLivefeed,
)
from tests.bench.peers.nginx import NCHAN_MODULE, Nchan, Nginx
from tests.bench.peers.twistedweb import TwistedWeb
from tests.bench.peers.varnish import VarnishHitch

if TYPE_CHECKING:
    from tests.bench.peers.server import Server

ONE_WORKER, TWO_WORKERS, OTHER = "livefeed, one worker", "livefeed, two workers", "livefeed, the other"
SMALL_PAGES, OPENSSL_3, OTHER_PYTHON = (
    "livefeed, heap in small pages", "livefeed, OpenSSL 3", "livefeed, the other Python"
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A server of the tables.

    :ivar needs: the programs and files that must be installed for it.
    :ivar compared: whether it is in the tables that compare livefeed with others: one process has one core.
    :ivar polled: whether it is in the rows of requests; nchan's answers to polls are nginx's.
    :ivar some_rows: whether it is only in those rows of requests that all servers are in. It is far from the first, and
        would take half of the bench's time.
    """

    kind: type[Server]
    needs: tuple[str, ...] = ()
    compared: bool = True
    polled: bool = True
    some_rows: bool = False


KINDS = {
    "livefeed": Entry(Livefeed),
    "nginx": Entry(Nginx, ("nginx", "gzip")),
    "h2o": Entry(H2o, ("h2o", "gzip")),
    "axum": Entry(Axum, (str(AXUM),)),
    "Go net/http": Entry(Go, ("go",), some_rows=True),
    "Caddy": Entry(Caddy, (str(CADDY), "gzip"), some_rows=True),
    "nginx + nchan": Entry(Nchan, ("nginx", "gzip", NCHAN_MODULE), polled=False),
    "Centrifugo": Entry(Centrifugo, (str(CENTRIFUGO),), polled=False),
    "varnish behind hitch": Entry(VarnishHitch, ("nginx", "gzip", "varnishd", "hitch"), some_rows=True),
    "twisted.web": Entry(TwistedWeb, some_rows=True),
    "livefeed, Twisted's transport": Entry(LivefeedTwisted, some_rows=True),
    ONE_WORKER: Entry(LivefeedWorker, compared=False),
    TWO_WORKERS: Entry(LivefeedWorkers, compared=False),
    OTHER: Entry(OtherLivefeed, compared=False),
    SMALL_PAGES: Entry(LivefeedSmallPages, compared=False),
    OPENSSL_3: Entry(LivefeedOpenSSL3, (str(OPENSSL_3_PYTHON),), compared=False),
    OTHER_PYTHON: Entry(LivefeedOtherPython, compared=False),
}
"""The servers, in the order of their turns."""


COMPARED = tuple(name for name, each in KINDS.items() if each.compared)
"""The servers of the tables that compare livefeed with others."""


def missing(name: str) -> list[str]:
    """Gives the programs and files that a server needs and that are not installed."""
    return [need for need in KINDS[name].needs if not (Path(need).exists() if "/" in need else shutil.which(need))]


def missing_tools(*, wrk: bool = True) -> list[str]:
    """Gives the missing tools of the bench itself.

    :param wrk: whether wrk makes the load.
    """
    return [need for need in ["taskset", "go"] + ["wrk"] * wrk if not shutil.which(need)]
