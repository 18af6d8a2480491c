"""The source of ``https://…`` and ``http://…``: livefeed as the cache in front of an origin.

Twisted's own client speaks HTTP. Redirects, content codings and conditional requests are handled here, since each
depends on the results of the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import VerificationError
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.ssl import Certificate, platformTrust, trustRootFromCertificates
from twisted.web.client import (
    Agent,
    HostnameCachingHTTPSPolicy,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from livefeed import __version__
from livefeed.document.gate import check_document
from livefeed.exceptions import ConfigurationError, DocumentError, NotDueError, SourceError, first_line
from livefeed.sources.http.address import Address, Origin
from livefeed.sources.http.caching import MAX_FRESH_S, Validators, fresh_s
from livefeed.sources.http.limits import HEAD_BYTES, MAX_INTERIM, Body, Connections, GuardedEndpoint
from livefeed.sources.names import MAX_AGE_S, NamedEndpoint, Names, is_address, verified

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

    from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IReactorTime, IStreamClientEndpoint
    from twisted.web.client import URI
    from twisted.web.iweb import IResponse

IDLE_S = 300
"""Seconds for which an idle connection is kept: more than the longest freshness."""

MAX_REDIRECTS = 5
EARLY_S = 0.1
"""Seconds of remaining freshness that are ignored, since ticks are not exact to the millisecond."""

_OK, _NOT_MODIFIED = 200, 304
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_CODINGS = {b"": False, b"identity": False, b"gzip": True, b"x-gzip": True}
_REDIRECT_BODY_BYTES = 65536
_SHOWN = 200  # characters of an error in a message


@dataclass(slots=True)
class _Known:
    """The facts of the last good answer.

    :ivar address: the address that gave it, after all redirects.
    :ivar holds: whether the document may be served, and the answer had a freshness lifetime.
    :ivar fresh_until: the end of its freshness by the clock, in seconds.
    """

    address: Address
    validators: Validators
    holds: bool
    fresh_until: float


@implementer(IAgentEndpointFactory)
@dataclass(frozen=True, slots=True)
class _Endpoints:
    """Makes connections that are verified by TLS, and limited in the bytes that they receive."""

    reactor: IReactorTime
    policy: IPolicyForHTTPS
    connections: Connections
    names: Names

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """IAgentEndpointFactory API."""
        endpoint: Any = NamedEndpoint(self.reactor, self.names, uri.host.decode("ascii"), uri.port)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self.policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return cast("IStreamClientEndpoint", GuardedEndpoint(endpoint, self.connections))


@implementer(IPolicyForHTTPS)
@dataclass(frozen=True, slots=True)
class _Policy:
    """Verifies the certificate of an origin, also for names that break the rules of IDNA.

    :ivar trust_root: the CAs.
    """

    trust_root: Any

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """IPolicyForHTTPS API."""
        return verified(hostname.decode("ascii"), trustRoot=self.trust_root)


@dataclass(slots=True)
class HttpSource:
    """Asks an origin for the document, with a condition if the last answer had a validator.

    One connection is kept. It is cut after any error, and the next pull makes another one: the tick is the retry.

    :ivar origin: the address of the document, and the fields that are sent to the origin.
    :ivar max_bytes: size of the largest document, decoded.
    :ivar names: resolves the hosts.
    """

    # required parameters
    reactor: IReactorTime
    origin: Origin
    max_bytes: int
    names: Names

    # internal state
    _connections: Connections = field(default_factory=Connections)
    _pool: HTTPConnectionPool = field(init=False)
    _agent: Agent = field(init=False)
    _known: _Known | None = None
    _connected_at: float | None = None

    def __post_init__(self) -> None:
        self._pool = HTTPConnectionPool(self.reactor)
        self._pool.maxPersistentPerHost = 1
        self._pool.cachedConnectionTimeout = IDLE_S
        endpoints = _Endpoints(self.reactor, _policy(self.origin.ca), self._connections, self.names)
        self._agent = Agent.usingEndpointFactory(self.reactor, endpoints, self._pool)

    @classmethod
    def from_url(cls, parts: SplitResult, *, reactor: IReactorTime, max_bytes: int) -> HttpSource:
        """Makes the source of ``https://[user:password@]host[:port]/path[?query][#ca=FILE&headers=FILE&redirects=anywhere]``.

        The query belongs to the origin; livefeed's own options stand in the fragment. The files are read here, once.

        :raises ConfigurationError: if the URL or a file cannot be used. The message repeats no secret.
        """
        return cls(reactor, Origin.from_url(parts), max_bytes, Names.of(reactor))

    def __str__(self) -> str:
        return str(self.origin.address)

    def watch(self, changed: Callable[[], None]) -> None:
        """Source API."""

    async def fetch(self) -> bytes | None:
        """Source API."""
        known, now = self._known, self.reactor.seconds()
        # A longer freshness comes from a clock that was set back, which must not keep livefeed from asking.
        if known is not None and EARLY_S < known.fresh_until - now <= MAX_FRESH_S:
            raise NotDueError("it is fresh")
        self._follow_names(now)
        try:
            return await self._ask(now)
        except Exception as error:  # a cancelled pull, too, leaves a connection in an unknown state
            self._connections.abort()
            self._connected_at = None
            self._freshen(0.0)
            if isinstance(error, ConnectError | DNSLookupError | OSError):
                raise SourceError(f"cannot connect: {first_line(error)[:_SHOWN]}") from None
            if isinstance(error, ResponseFailed | RequestTransmissionFailed):
                raise SourceError(self._why_failed(error)) from None
            raise

    def close(self) -> None:
        """Source API."""
        self._pool.closeCachedConnections()
        self._connections.abort()

    def _follow_names(self, now: float) -> None:
        """Closes connections that are old, after their names have been looked up again in the background."""
        if self._connected_at is None:
            self._connected_at = now
        if now - self._connected_at < MAX_AGE_S:
            return
        hosts = {self.origin.address.host} | ({self._known.address.host} if self._known is not None else set())
        names = [host for host in sorted(hosts) if not is_address(host)]
        are_renewed = [self.names.renew(name) for name in names]  # a list, so that all names are looked up
        if names and all(are_renewed):
            self._connected_at = now
            self._pool.closeCachedConnections()

    async def _ask(self, now: float) -> bytes | None:
        """Asks the origin, and follows its redirects.

        :param now: the time of the request, from which the freshness of the answer counts (RFC 9111, 4.2.3).
        """
        self._connections.begin()
        address = self.origin.address
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._request(address)
            fields = response.headers
            if response.code == _NOT_MODIFIED:
                # Only the address of the last answer is asked with a condition, so this is about the last document.
                if self._known is None or self._known.address != address or not self._known.validators.conditions():
                    raise SourceError("the origin answers 304 to a question without a condition")
                self._freshen(now + (fresh_s(fields) if self._known.holds else 0.0))
                return None
            if response.code == _OK:
                data = await self._read(response)
                self._known = None
                if len(data) <= self.max_bytes:
                    lifetime_s = self._fresh_s(fields, data)
                    self._known = _Known(address, Validators.of(fields), lifetime_s > 0, now + lifetime_s)
                return data
            if response.code not in _REDIRECTS:
                raise SourceError(f"the origin answers {response.code}")
            address = await self._follow(address, response)
        raise SourceError(f"the origin redirects more than {MAX_REDIRECTS} times")

    async def _request(self, address: Address) -> IResponse:
        headers = Headers()
        headers.addRawHeader(b"User-Agent", f"livefeed/{__version__}".encode())
        headers.addRawHeader(b"Accept", b"application/json, */*;q=0.5")
        headers.addRawHeader(b"Accept-Encoding", b"gzip")
        if address.origin == self.origin.address.origin:
            for name in {name.lower() for name, _ in self.origin.fields}:
                headers.removeHeader(name)
            for name, value in self.origin.fields:
                headers.addRawHeader(name, value)
        if self._known is not None and self._known.address == address:
            for name, value in self._known.validators.conditions():
                headers.addRawHeader(name, value)
        response: IResponse = await self._agent.request(b"GET", address.url.encode("ascii"), headers)
        return response

    async def _read(self, response: IResponse) -> bytes:
        coding = b",".join(response.headers.getRawHeaders(b"Content-Encoding") or ()).strip().lower()
        if coding not in _CODINGS:
            raise SourceError("the origin sends a coding that was not asked for: there are gzip and none")
        # In small chunks, the bytes of the answer are more than those of the document.
        self._connections.allowance += 2 * self.max_bytes
        return await self._body(response, self.max_bytes + 1, is_gzip=_CODINGS[coding])

    async def _body(self, response: IResponse, limit: int, *, is_gzip: bool = False) -> bytes:
        body = Body(limit, self._connections, is_gzip=is_gzip)
        response.deliverBody(body)
        return await body.whole

    async def _follow(self, address: Address, response: IResponse) -> Address:
        """Gives the target of a redirect, after its own content has been read."""
        locations = response.headers.getRawHeaders(b"Location") or []
        if len(locations) != 1:
            raise SourceError(f"the origin answers {response.code} without a Location")
        await self._body(response, _REDIRECT_BODY_BYTES)
        self._connections.allowance = max(self._connections.allowance, HEAD_BYTES)
        try:
            target = address.redirected(locations[0].decode("latin-1"))
        except ValueError as error:
            raise SourceError(f"the origin {error}") from None
        if not self.origin.may_leave and not address.is_host_of(target):
            # A compromised origin must not choose which other document of a private network is pulled and published.
            where = f"{target.scheme}://{target.host}:{target.port}"[:_SHOWN]
            raise SourceError(f"the origin redirects to another host, {where}: #redirects=anywhere would allow it")
        return target

    def _fresh_s(self, fields: Headers, data: bytes) -> float:
        """Gives the freshness lifetime of an answer in seconds; 0 if its document may not be served.

        The repair of such a document must be seen at once.
        """
        lifetime_s = fresh_s(fields)
        if lifetime_s:
            try:
                check_document(data, max_bytes=self.max_bytes)
            except DocumentError:
                return 0.0
        return lifetime_s

    def _freshen(self, until: float) -> None:
        if self._known is not None:
            self._known.fresh_until = until

    def _why_failed(self, error: ResponseFailed | RequestTransmissionFailed) -> str:
        reasons = [reason.value for reason in error.reasons]
        connections = self._connections
        for is_so, why in (
            (connections.interim > MAX_INTERIM, f"the origin sends more than {MAX_INTERIM} interim answers (1xx)"),
            (connections.overrun, "the head of the answer is too large"),
            (connections.is_tls, "what answers speaks TLS: is the URL one of https:?"),
        ):
            if is_so:
                return why
        for reason in reasons:
            if isinstance(reason, VerificationError):
                return "TLS: the certificate is for another host"
            if isinstance(reason, SSL.Error):
                parts: Any = reason.args[0] if reason.args else ()
                words = ", ".join(str(part[-1]) for part in parts)
                hint = next((hint for why, hint in _HINTS.items() if why in words), "")
                return f"TLS: {words or 'the connection was cut'}"[:200] + hint
            if not isinstance(reason, ConnectionError | OSError) and not _is_loss(reason):
                return "the answer is not HTTP"
        return "the connection was lost"


_HINTS = {
    "certificate verify failed": "; #ca=FILE at the end of the URL names the CA that is trusted",
    "wrong version number": "; is the URL one of http:?",
}
"""Hints for the operator, by OpenSSL's messages."""


def _is_loss(error: BaseException) -> bool:
    """Tells whether an error is one of Twisted's for a connection that has ended."""
    return type(error).__module__ == "twisted.internet.error"


def _policy(ca: bytes | None) -> IPolicyForHTTPS:
    """Makes the policy that verifies an origin's certificate and name.

    :param ca: the CAs in PEM form; ``None`` for those of the system.
    :raises ConfigurationError: if there are no certificates in it.
    """
    if ca is None:
        return HostnameCachingHTTPSPolicy(_Policy(platformTrust()))
    try:
        certificates = x509.load_pem_x509_certificates(ca)
    except ValueError:
        raise ConfigurationError("#ca=: there is no certificate in PEM form in the file", "source") from None
    roots = trustRootFromCertificates([Certificate(X509.from_cryptography(each)) for each in certificates])
    return HostnameCachingHTTPSPolicy(_Policy(roots))
