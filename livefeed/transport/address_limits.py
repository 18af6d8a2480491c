"""New connections per second of each address and each network, and the connections that are refused.

Rules: the limits are rates, not numbers of open connections, since thousands of phones share the address of a mobile
carrier. A client over a rate is refused before TLS, which is what costs: its connection is reset. To hold it instead
would take the descriptors that other clients need, and a client that is only closed after it was served would come
back at once: libraries wait longer after a connection that failed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from livefeed.transport.addresses import (
    Networks,
    client_key,
    client_text,
    network_key,
    network_text,
    number_of,
)

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from livefeed.transport.interfaces import TimedReactor

ADDRESS_RATE: Final = "address_rate"
NETWORK_RATE: Final = "network_rate"
UNTRUSTED_PROXY: Final = "untrusted_proxy"
MALFORMED_HEADER: Final = "malformed_header"
SLOW_HEADER: Final = "slow_header"

REASONS = {
    ADDRESS_RATE: "there are more from one address than address_rate; if this is a proxy, name it in trusted_proxy",
    NETWORK_RATE: "there are more from one network than network_rate; if it has proxies, name them in trusted_proxy",
    UNTRUSTED_PROXY: "no network in trusted_proxy has the peer of an endpoint that reads the PROXY header",
    MALFORMED_HEADER: "they do not begin with a PROXY header, or it is malformed",
    SLOW_HEADER: "their PROXY header takes too long",
}
"""The reasons for which connections are refused before TLS, and what the log says about each."""

BURST_S = 20
"""The number of connections that may come at once, in seconds of the rate: with the default of 200 a second, 4,000
phones behind one address of a carrier can come back together after a restart."""

MAX_CLIENTS = 65_536
"""Upper limit of the addresses that are remembered, and of the networks. Each takes 100 bytes, so all together 13 MB.
An address whose rate is not used up is forgotten without any loss."""

QUIET_S = 60.0
"""Seconds without a refusal after which the log says that they have ended."""

_LOOPBACK = Networks.parse(("127.0.0.0/8", "::1"), "trusted_proxy")
"""A client on the same machine is a proxy, or a test."""

_log = Logger()


@dataclass(slots=True, eq=False)
class Refusals:
    """Counts refused connections, with one line in the log when they begin and one when they have ended.

    :param reactor: tells the time, and calls later.
    :ivar counts: the number of refused connections since the start, by reason; see :data:`REASONS`.
    """

    # required parameters
    reactor: TimedReactor

    # internal state
    counts: Counter[str] = field(default_factory=Counter)
    _last_at: dict[str, float] = field(default_factory=dict)  # of the reasons that the log has told of
    _before: dict[str, int] = field(default_factory=dict)  # their counts before that
    _call: IDelayedCall | None = None

    def __post_init__(self) -> None:
        # From the start, so that a metric has each reason before it happens.
        self.counts.update(dict.fromkeys(REASONS, 0))

    def note(self, reason: str, who: object) -> None:
        """Counts a refused connection.

        :param reason: one of :data:`REASONS`.
        :param who: the address or network, or the name that ``socket.accept`` gives.
        """
        if reason not in self._last_at:
            self._before[reason] = self.counts[reason]
            shown = who[0] if isinstance(who, tuple) else who or "a Unix socket"
            _log.warn("connections are refused: {why} (the first is from {who})", why=REASONS[reason], who=shown)
        self.counts[reason] += 1
        self._last_at[reason] = self.reactor.seconds()
        if self._call is None:
            self._call = self.reactor.callLater(QUIET_S, self._look)

    def _look(self) -> None:
        """Tells of the reasons for which no connection was refused lately."""
        self._call = None
        now = self.reactor.seconds()
        for reason, last_at in tuple(self._last_at.items()):
            if last_at + QUIET_S <= now:
                del self._last_at[reason]
                count = self.counts[reason] - self._before.pop(reason)
                _log.info(
                    "no more connections are refused for this reason, after {count}: {why}",
                    count=count,
                    why=REASONS[reason],
                )
        if self._last_at:
            self._call = self.reactor.callLater(min(self._last_at.values()) + QUIET_S - now, self._look)


class _Rate:
    """The rate of each of many clients: a token bucket is one number, the time at which it is full again.

    The clients are in two halves. When one half is full, it becomes the old one, and the old one is forgotten: the
    clients that were seen least recently leave, and no client costs more than two look-ups.
    """

    __slots__ = ("_burst_s", "_interval_s", "_new", "_old", "per_second")

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._interval_s = 1 / per_second
        # Half a connection apart from each limit, so that errors of rounding cannot add or remove one.
        self._burst_s = BURST_S - self._interval_s / 2
        self._new: dict[int, float] = {}
        self._old: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def take(self, key: int, now: float) -> bool:
        """Takes one connection from a client's bucket. Returns whether there was one."""
        full_at = self._new.get(key)
        if full_at is None:
            full_at = self._old.get(key, now)
            if len(self._new) >= MAX_CLIENTS // 2:
                self._old, self._new = self._new, {}
        full_at = max(full_at, now)
        has_one = full_at - now < self._burst_s
        self._new[key] = full_at + self._interval_s if has_one else full_at
        return has_one


class AddressLimits:
    """The limits of new connections for each address (IPv4, or /64 of IPv6) and network (/24, or /48 of IPv6).

    The peers of Unix sockets, the machine itself, and trusted proxies have no limit. To admit a client takes 2 µs.

    :param address_rate: new connections per second for each address; 0 for no limit.
    :param network_rate: new connections per second for each network; 0 for no limit.
    :param trusted: the networks of proxies.
    :param refusals: counts the refused connections.
    :param reactor: tells the time.
    """

    __slots__ = ("_by_address", "_by_network", "_reactor", "_refusals", "_trusted")

    def __init__(
        self, address_rate: float, network_rate: float, trusted: Networks, refusals: Refusals, reactor: TimedReactor
    ) -> None:
        self._by_address: _Rate | None = None
        self._by_network: _Rate | None = None
        self.configure(address_rate, network_rate)
        self._trusted = trusted
        self._refusals = refusals
        self._reactor = reactor

    def configure(self, address_rate: float, network_rate: float) -> None:
        """Takes other rates. The clients have all of their connections left then, as at the start."""
        self._by_address = _changed(self._by_address, address_rate)
        self._by_network = _changed(self._by_network, network_rate)

    def admits(self, name: object) -> bool:
        """Tells whether a client may connect now, and counts it.

        :param name: as ``socket.accept`` gives it, or as a PROXY header does: a tuple that begins with the host, or the
            path of a Unix socket.
        """
        if not isinstance(name, tuple):
            return True
        number = number_of(name[0])
        if _LOOPBACK.has(number) or self._trusted.has(number):
            return True
        now = self._reactor.seconds()
        if self._by_address is not None and not self._by_address.take(client_key(number), now):
            self._refusals.note(ADDRESS_RATE, client_text(number))
            return False
        if self._by_network is not None and not self._by_network.take(network_key(number), now):
            self._refusals.note(NETWORK_RATE, network_text(number))
            return False
        return True


def _changed(rate: _Rate | None, per_second: float) -> _Rate | None:
    """Gives the rate if it is the same, otherwise a new one; ``None`` for no limit."""
    if not per_second:
        return None
    return rate if rate is not None and rate.per_second == per_second else _Rate(per_second)
