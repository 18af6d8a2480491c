"""The runs of the integration tests, and the rule by which a test takes part in them.

There are three runs, because livefeed carries connections in three ways: one process with the fast transport (the
default), one process with Twisted's transport (``LIVEFEED_TEST_TRANSPORT=twisted``), and a parent with workers
(``LIVEFEED_TEST_WORKERS=2``).

Rules: a test without a mark takes part in all of them, so a new test is left out of none by mistake. A mark, which
stands in the test's own module, tells the subject of the test; :data:`RUNS` is the only place that leads from subjects
to runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

FAST, TWISTED, WORKERS = "fast", "twisted", "workers"

ALL: Final = frozenset({FAST, TWISTED, WORKERS})

RUNS: Final = {
    "processes": (
        frozenset({FAST, WORKERS}),
        "settings, signals, files, limits and ports of livefeed as an operator sees it, whatever carries connections",
    ),
    "transports": (frozenset({FAST, TWISTED}), "a transport in the process of the test, without a livefeed of its own"),
    "memory": (
        frozenset({FAST, TWISTED}),
        "the memory that a connection costs, in a process that has nothing else: a worker holds connections alike",
    ),
    "sources": (frozenset({FAST}), "a store that documents are pulled from: one process pulls, also with workers"),
    "peers": (
        frozenset({FAST}),
        "a program of others that sees only bytes: other tests show that all runs send the same ones",
    ),
    "startup": (frozenset({FAST}), "what is decided before the first connection: refusals of settings, texts of docs"),
    "chosen": (frozenset({FAST}), "the test itself chooses the transport or the number of workers"),
}
"""The runs of a test with a mark, by the mark's name, and the subject that the mark stands for."""


def run_of(transport: str, workers: int) -> str:
    """Gives the run that the variables of the environment ask for.

    :param transport: the value of ``LIVEFEED_TEST_TRANSPORT``.
    :param workers: the value of ``LIVEFEED_TEST_WORKERS``; 0 without it.
    """
    if workers:
        return WORKERS
    return TWISTED if transport == "twisted" else FAST


def runs_of(marks: Iterable[str]) -> frozenset[str]:
    """Gives the runs that a test takes part in.

    :param marks: the names of its marks, those of the test itself before those of its class and module. The first one
        that is a subject counts.
    """
    return next((RUNS[mark][0] for mark in marks if mark in RUNS), ALL)
