"""The reactor of a command that does one thing and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


def run_until_done(reactor: Any, done: Deferred[Any]) -> Any:
    """Runs the reactor, once in the life of a process, until a Deferred has fired, and gives its result.

    :raises Exception: the error of the Deferred.
    """
    results: list[Any] = []
    done.addBoth(results.append)
    done.addBoth(lambda _: reactor.callWhenRunning(reactor.stop))
    reactor.run()
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result
