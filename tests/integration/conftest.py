"""Fixtures of the integration tests: one certificate, one server of the demo, and a way to start others.

It also leaves out the tests that :mod:`tests.integration.runs` has for other runs.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from livefeed.tls.development import DevelopmentCertificate, development_certificate
from tests.integration.browsing import browser, other_origin
from tests.integration.desk_pages import desk
from tests.integration.example_sites import example
from tests.integration.harness import TLS, TRANSPORT, TWISTD, WORKERS, Livefeed
from tests.integration.proxies import Place
from tests.integration.runs import RUNS, run_of, runs_of
from tests.integration.visiting import server

if TYPE_CHECKING:
    from collections.abc import Iterator


__all__ = ["browser", "certificate", "demo", "desk", "example", "other_origin", "place", "server", "start"]


FOLDER = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marks known, and has SIGINT reach the processes of the tests.

    A shell that starts a job in the background has it ignore SIGINT, which all of its processes take over.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, (_, subject) in RUNS.items():
        config.addinivalue_line("markers", f"{name}: {subject}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests of other runs. Those outside of this folder have no runs."""
    run = run_of(TRANSPORT, WORKERS)
    others = [
        item
        for item in items
        if FOLDER in item.path.parents and run not in runs_of(mark.name for mark in item.iter_markers())
    ]
    if others:
        config.hook.pytest_deselected(items=others)
        left_out = {*others}
        items[:] = [item for item in items if item not in left_out]


class Start(Protocol):
    """Starts a livefeed that ends with the test."""

    def __call__(
        self,
        *options: str,
        listen: tuple[str, ...] = ...,
        command: tuple[str, ...] = ...,
        live: bool = ...,
    ) -> Livefeed: ...


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> DevelopmentCertificate:
    """The certificate of every server here."""
    return development_certificate(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def demo(certificate: DevelopmentCertificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Livefeed]:
    """A server of the demo feed, as it is without options."""
    with Livefeed(directory=tmp_path_factory.mktemp("demo"), certificate=certificate) as livefeed:
        yield livefeed


@pytest.fixture
def start(certificate: DevelopmentCertificate, tmp_path: Path) -> Iterator[Start]:
    """Starts a livefeed in the test's own directory."""
    with ExitStack() as stack:

        def start_one(
            *options: str,
            listen: tuple[str, ...] = (TLS,),
            command: tuple[str, ...] = TWISTD,
            live: bool = True,
        ) -> Livefeed:
            return stack.enter_context(
                Livefeed(
                    *options, directory=tmp_path, certificate=certificate, listen=listen, command=command, live=live
                )
            )

        yield start_one


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Puts caches and proxies in front of livefeed."""
    with ExitStack() as stack:
        yield Place(tmp_path, stack)
