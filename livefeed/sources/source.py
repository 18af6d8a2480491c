"""The interface of sources, also for those of other packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

    from twisted.internet.interfaces import IReactorTime


class Source(Protocol):
    """A place that holds the document.

    ``str(source)`` names the source in log lines, so it contains no credentials.
    """

    def watch(self, changed: Callable[[], None], /) -> None:
        """Begins to look out for changes, if the place reports them. It is called once, before everything else.

        :param changed: must be called in the reactor's thread each time that the document may have changed; it never
            raises. The ticks continue in any case, so that a change that is not reported is not lost.
        """

    async def fetch(self) -> bytes | None:
        """Reads the document as it is now.

        It is called once a tick, and after each reported change. One call is awaited at a time, and cancelled when it
        takes too long: one interval, but at least 1 s and at most 10 s. A call that does not end when it is cancelled
        is abandoned, and the next one begins while it continues. At most three calls continue at a time; while three
        are abandoned, none begins. The result of an abandoned call is discarded.

        :returns: the document; ``None`` if it certainly equals the last document that ``fetch`` has returned, and that
            is cheaper to find out than to read it.
        :raises NotDueError: if the place was not asked, because it has said that the document holds for longer than a
            tick. The feed stays as it is: nothing is confirmed, and nothing is pushed.
        :raises EndedError: if no more documents will come. The feed has ended until a later call gives one.
        :raises SourceError: if the document could not be read. The message gives the reason to an operator.
        """

    def close(self) -> None:
        """Releases everything that is held open. Nothing is fetched afterwards."""


class MakeSource(Protocol):
    """The target of an entry point: a class, or any other callable."""

    def __call__(self, url: SplitResult, /, *, reactor: IReactorTime, max_bytes: int) -> Source:
        """Makes the source of a URL; see :func:`livefeed.sources.make_source`.

        :raises ConfigurationError: if the URL can never work. The message must not repeat credentials.
        """
