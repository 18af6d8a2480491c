"""Host names and connections to them: names are resolved in threads of their own, and addresses are tried in turn.

Rule: a name server that hangs delays only the source that asks it. Twisted resolves names in the reactor's ten threads,
which all feeds share and which the process waits for at its end, and it refuses names with an underscore.
"""

from __future__ import annotations

import socket
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, cast

from service_identity.hazmat import DNS_ID
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure
from zope.interface import implementer

from livefeed.exceptions import SourceError
from livefeed.sources.connectors import FreeingReactor
from livefeed.threads import defer_to_new_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.interfaces import (
        IDelayedCall,
        IOpenSSLClientConnectionCreator,
        IProtocol,
        IProtocolFactory,
        IReactorTime,
    )

    from livefeed.sources.connectors import ConnectingReactor

CONNECT_TIMEOUT_S = 5
"""Seconds that connecting to one address may take."""

NEXT_ADDRESS_S = 0.1
"""Seconds after which the next address of a name is tried in parallel. RFC 8305, 8, allows no less, and a pull may have
only a second."""

MAX_ADDRESSES = 16
"""Number of addresses of a name that are tried."""

MAX_AGE_S = 30.0
"""Age of a name's addresses, in seconds, at which the name of a kept connection is looked up again. Connections to an
HTTP origin are then made anew, and for Redis the addresses are compared."""

MAX_RENEWED = 8
"""Number of names that are looked up in the background. A redirected pull has no more hosts."""

_SHOWN = 100  # characters of a name


def is_address(host: str) -> bool:
    """Tells whether a host is an IP address, which needs no name server."""
    return isIPAddress(host) or isIPv6Address(host)


def look_up(host: str) -> tuple[str, ...]:
    """Gives the IP addresses of a name, in the order in which they are tried. It blocks, perhaps for minutes.

    The system's order is kept within each family, and the families alternate (RFC 8305, 4).

    :raises DNSLookupError: if the name has no address.
    """
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError as error:
        raise DNSLookupError(f"{error.strerror or error}: {host[:_SHOWN]!r}") from None
    except ValueError:
        # A label of more than 63 bytes, an empty one, or a zero byte.
        raise DNSLookupError(f"this can be no name: {host[:_SHOWN]!r}") from None
    by_family: dict[int, list[str]] = {}
    for family, _, _, _, address in found:
        if family in (socket.AF_INET, socket.AF_INET6):
            by_family.setdefault(family, []).append(str(address[0]))
    turns = chain.from_iterable(zip_longest(*by_family.values()))
    addresses = tuple(dict.fromkeys(address for address in turns if address is not None))
    if not addresses:
        raise DNSLookupError(f"it has no address: {host[:_SHOWN]!r}")
    return addresses[:MAX_ADDRESSES]


@dataclass(eq=False, slots=True)
class Names:
    """Resolves the names of one source, one at a time.

    A second request for a name that is being looked up shares the answer. A request for another name waits. So a source
    has at most one thread that hangs.

    :ivar in_thread: calls a function in a thread of its own, which the process does not wait for at its end.
    :ivar look_up: gives the addresses of a name; it may block.
    """

    # required parameters
    in_thread: Callable[..., Deferred[tuple[str, ...]]]
    look_up: Callable[[str], tuple[str, ...]] = look_up

    # internal state
    _waiting: deque[tuple[str, Deferred[tuple[str, ...]]]] = field(default_factory=deque)
    _looking_up: str | None = None
    _renewing: set[str] = field(default_factory=set)
    _renewed: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, reactor: IReactorTime) -> Names:
        """Makes an object that resolves names as the system does."""
        return cls(partial(defer_to_new_thread, cast("Any", reactor)))

    def resolve(self, host: str) -> Deferred[tuple[str, ...]]:
        """Gives the addresses of a host, at least one.

        The Deferred can be cancelled; the answer is then ignored. It fails with ``DNSLookupError`` if the host has no
        address, and with ``OSError`` if no thread can be started.
        """
        if is_address(host):
            return succeed((host,))
        renewed = self._renewed.pop(host, None)
        if renewed is not None:
            return succeed(renewed)
        outcome: Deferred[tuple[str, ...]] = Deferred()
        self._waiting.append((host, outcome))
        self._begin()
        return outcome

    def renew(self, host: str) -> bool:
        """Looks a name up in the background, and tells whether the next :meth:`resolve` has the answer at once.

        While a name server is silent, it has not, so existing connections stay.
        """
        if is_address(host) or host in self._renewed:
            return True
        if host not in self._renewing and len(self._renewing) < MAX_RENEWED:
            self._renewing.add(host)
            self.resolve(host).addBoth(self._note_renewed, host)
        return False

    def renewed(self, host: str) -> tuple[str, ...] | None:
        """Gives the addresses that :meth:`renew` has found, once; ``None`` while the name is being looked up."""
        return self._renewed.pop(host, (host,)) if self.renew(host) else None

    def forget(self, host: str) -> None:
        """Forgets the addresses that :meth:`renew` has found, since they may be old."""
        self._renewed.pop(host, None)

    def _note_renewed(self, result: tuple[str, ...] | Failure, host: str) -> None:
        self._renewing.discard(host)
        if not isinstance(result, Failure):
            if len(self._renewed) == MAX_RENEWED:
                self._renewed.clear()
            self._renewed[host] = result

    def _begin(self) -> None:
        # Requests that were cancelled have been called.
        while self._waiting and self._waiting[0][1].called:
            self._waiting.popleft()
        if self._looking_up is not None or not self._waiting:
            return
        host = self._looking_up = self._waiting[0][0]
        try:
            self.in_thread(self.look_up, host).addBoth(self._found, host)
        except OSError:
            self._found(Failure(), host)

    def _found(self, result: tuple[str, ...] | Failure, host: str) -> None:
        self._looking_up = None
        outcomes = [outcome for name, outcome in self._waiting if name == host]
        self._waiting = deque(entry for entry in self._waiting if entry[0] != host)
        for outcome in outcomes:
            if not outcome.called:
                outcome.callback(result)
        self._begin()


@implementer(IStreamClientEndpoint)
@dataclass(frozen=True, slots=True)
class NamedEndpoint:
    """Connects to a host by TCP: to the first of its addresses that accepts the connection.

    :ivar names: resolves the host.
    :ivar host: an IP address, or any name that the system resolves.
    """

    reactor: IReactorTime
    names: Names
    host: str
    port: int

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """IStreamClientEndpoint API. It fails with a ``ConnectError``, a ``DNSLookupError`` or another ``OSError``."""
        return Deferred.fromCoroutine(self._connect(factory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        addresses = await self.names.resolve(self.host)
        return await _Attempts(self.reactor, self.port, factory, iter(addresses)).begin()


@dataclass(eq=False, slots=True)
class _Attempts:
    """Attempts to connect to several addresses. The first that succeeds ends the others."""

    # required parameters
    reactor: IReactorTime
    port: int
    factory: IProtocolFactory
    addresses: Iterator[str]

    # internal state
    _open: list[Deferred[IProtocol]] = field(default_factory=list)
    _next_call: IDelayedCall | None = None
    _outcome: Deferred[IProtocol] | None = None
    _why: Failure = field(default_factory=lambda: Failure(ConnectError(string="there is no address")))

    def begin(self) -> Deferred[IProtocol]:
        """Gives the protocol of the first connection. Cancelling the Deferred ends all attempts."""
        outcome = self._outcome = Deferred(lambda _: self._end())
        self._try_next()
        return outcome

    def _try_next(self) -> None:
        self._forget_next()
        address = next(self.addresses, None)
        if address is None:
            if not self._open and self._outcome is not None:
                outcome, self._outcome = self._outcome, None
                outcome.errback(self._why)
            return
        kind = TCP6ClientEndpoint if isIPv6Address(address) else TCP4ClientEndpoint
        reactor = cast("Any", FreeingReactor(cast("ConnectingReactor", self.reactor)))
        attempt = kind(reactor, address, self.port, timeout=CONNECT_TIMEOUT_S).connect(self.factory)
        self._open.append(attempt)
        self._next_call = self.reactor.callLater(NEXT_ADDRESS_S, self._try_next)
        attempt.addCallbacks(self._connected, self._failed, (attempt,), {}, (attempt,), {})

    def _connected(self, protocol: IProtocol, attempt: Deferred[IProtocol]) -> None:
        self._open.remove(attempt)
        outcome = self._outcome
        self._end()
        if outcome is not None:
            outcome.callback(protocol)

    def _failed(self, why: Failure, attempt: Deferred[IProtocol]) -> None:
        if attempt in self._open:
            # Otherwise the attempt was cancelled by _end.
            self._open.remove(attempt)
            self._why = why
            self._try_next()

    def _end(self) -> None:
        self._outcome = None
        self._forget_next()
        attempts, self._open = self._open, []
        for attempt in attempts:
            attempt.cancel()

    def _forget_next(self) -> None:
        call, self._next_call = self._next_call, None
        if call is not None and call.active():
            call.cancel()


def verified(host: str, **options: Any) -> IOpenSSLClientConnectionCreator:
    """Makes the TLS configuration of a client: it sends the host's name, and verifies the server's certificate for it.

    :param host: a name or an IP address.
    :param options: further arguments of ``optionsForClientTLS``.
    :raises SourceError: if no certificate can be for such a name.
    """
    try:
        return optionsForClientTLS(host, **options)
    except ValueError:
        pass
    # The name breaks the rules of IDNA. Systems resolve such names all the same: `stack_redis`, `r3---sn.test`.
    try:
        name = DNS_ID(host).hostname.decode("ascii")
    except ValueError:
        raise SourceError(f"cannot connect: TLS: no certificate can be for the name {host[:_SHOWN]!r}") from None
    creator: Any = optionsForClientTLS("host.invalid", **options)
    creator._hostname = creator._hostnameASCII = name  # noqa: SLF001 - there is no other way to say it
    creator._hostnameBytes = name.encode("ascii")  # noqa: SLF001
    return cast("IOpenSSLClientConnectionCreator", creator)
