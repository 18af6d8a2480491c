"""From descriptions of addresses to endpoints: livefeed's own ``tls:PORT``, and every endpoint of Twisted."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet import tcp
from twisted.internet.defer import Deferred, execute
from twisted.internet.endpoints import SSL4ServerEndpoint, serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from livefeed import clocks
from livefeed.exceptions import ConfigurationError
from livefeed.process.descriptions import (
    MAX_PORT,
    MAX_PORT_DIGITS,
    TLS_FOLDER_FORM,
    TLS_FORM,
    mistake_in,
    mistake_in_tls,
    split_description,
)
from livefeed.process.socket_file import SocketFileEndpoint
from livefeed.tls.options import ServedCertificates, Validity, require_callbacks
from livefeed.tls.reloading import Certificates, EndpointCertificates, FolderSource, PairSource

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 1024
"""Number of connections that may wait to be accepted. Twisted's 50 are used up at once when all clients reconnect."""

_NOT_INHERITED = (
    "systemd has not passed this socket on; start livefeed by a .socket unit (its [Socket] section needs ListenStream=)"
)
_MAX_BACKLOG_DIGITS = 7
_log = Logger()

# Number of unnamed parts before the length of the queue, by Twisted's parsers.
_BEFORE_BACKLOG = {"tcp": 2, "tcp6": 1, "unix": 2, "ssl": 5}


class ListeningReactor(Protocol):
    """The part of a reactor that server endpoints use: the reactor itself, or livefeed's ``PoolReactor``."""

    def seconds(self) -> float:
        """Gives the time of a monotonic clock, in seconds."""

    def listenTCP(self, *args: Any, **kwargs: Any) -> Any:
        """Listens on a TCP port."""

    def listenSSL(self, *args: Any, **kwargs: Any) -> Any:
        """Listens on a TCP port, with TLS."""

    def listenUNIX(self, *args: Any, **kwargs: Any) -> Any:
        """Listens on a Unix socket."""


def make_endpoint(
    reactor: ListeningReactor,
    description: str,
    certificate: Callable[[], PairSource],
    setting: str = "listen",
    served: ServedCertificates | None = None,
) -> IStreamServerEndpoint:
    """Makes the endpoint of a description.

    ``tls:`` is livefeed's own, followed by a port or, as in Twisted, by a folder of certificates. Twisted makes the
    endpoints of all other kinds.

    :param reactor: listens.
    :param description: such as ``tls:8443:interface=127.0.0.1``; a colon within a part has a backslash before it.
    :param certificate: gives the files to use if the description names none.
    :param setting: the setting that contains the description; errors name it.
    :param served: reads the files of certificates, and is told the certificates of the endpoint if it knows them.
    :raises ConfigurationError: if there is no such endpoint, or its certificate cannot be used.
    """
    kind, *parts = split_description(description)
    served = ServedCertificates() if served is None else served
    mistake = mistake_in(description)
    if mistake:
        raise ConfigurationError(f"{description}: {mistake}", setting)
    if kind in ("tls", "ssl"):
        require_callbacks(setting)
    if kind == "tls":
        if parts and parts[0].isdecimal():
            certificates, endpoint = _tls(reactor, parts, certificate, setting, served)
        elif parts and served.files.is_folder(Path(parts[0]).absolute()):
            certificates, endpoint = _tls_folder(reactor, parts, setting, served)
        else:
            why = f"tls: is followed by a port, as in {TLS_FORM}, or by a folder"
            raise ConfigurationError(f"{description}: {why}", setting)
        served.note_host(description, certificates.host())
        return endpoint
    return _of_twisted(reactor, description, setting, served)


def _of_twisted(
    reactor: ListeningReactor, description: str, setting: str, served: ServedCertificates
) -> IStreamServerEndpoint:
    """Makes an endpoint of a kind that Twisted or one of its plug-ins has."""
    kind, *parts = split_description(description)
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description + _backlog(kind, parts))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{description}: {error.filename}: {error.strerror}", setting) from None
    except Exception as error:  # the parsers of Twisted and of its plug-ins may raise anything
        # Python's messages about a text instead of a number, and about missing parts, do not help an operator.
        said = str(error) if not str(error).startswith("invalid literal") else "one of its parts must be a number"
        said = said if not isinstance(error, TypeError) else "a part is missing, or one is too many"
        said = said if not (kind == "systemd" and isinstance(error, LookupError)) else _NOT_INHERITED
        why = f"{description}: this is not an endpoint, such as {TLS_FORM} or tcp:8080: {said}"
        raise ConfigurationError(why, setting) from None
    if kind == "ssl":
        with suppress(OSError, ValueError):  # no reason not to serve: Twisted has read it
            served.replace(endpoint, [Validity.read(_ssl_file(parts))])
    return SocketFileEndpoint(endpoint, _socket_file(parts)) if kind == "unix" else endpoint


@implementer(IStreamServerEndpoint)
@dataclass(frozen=True, slots=True)
class BothFamiliesEndpoint:
    """Serves IPv6 and IPv4 by one socket of Twisted's transport, independent of ``net.ipv6.bindv6only``.

    :ivar reactor: Twisted's own.
    :ivar port: number of the port.
    :ivar tls: the TLS configuration.
    :ivar backlog: number of connections that may wait to be accepted.
    """

    reactor: PosixReactorBase
    port: int
    tls: EndpointCertificates
    backlog: int = BACKLOG

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """IStreamServerEndpoint API."""
        return execute(self._listen, protocolFactory)

    def _listen(self, factory: Any) -> IListeningPort:
        wrapped = TLSMemoryBIOFactory(self.tls, False, factory)
        port = _BothFamiliesPort(self.port, wrapped, self.backlog, "::", self.reactor)
        port._type = "TLS"  # noqa: SLF001 - what the reactor's listenSSL does
        port.startListening()
        return port


class _BothFamiliesPort(tcp.Port):
    def createInternetSocket(self) -> socket.socket:
        """tcp.Port API. The option must be set before the socket is bound (ipv6(7))."""
        sock: socket.socket = super().createInternetSocket()
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        return sock


def _tls(
    reactor: ListeningReactor,
    parts: list[str],
    certificate: Callable[[], PairSource],
    setting: str,
    served: ServedCertificates,
) -> tuple[Certificates, IStreamServerEndpoint]:
    port = int(parts[0])
    options = [part.partition("=")[::2] for part in parts[1:]]
    why = mistake_in_tls(options)
    if why or port > MAX_PORT:
        raise ConfigurationError(f"tls:{':'.join(parts)} is not {TLS_FORM}{why}", setting)
    # Absolute, since a daemon changes its working directory.
    certs, keys = ([Path(value).absolute() for name, value in options if name == wanted] for wanted in ("cert", "key"))
    source = PairSource(tuple(zip(certs, keys, strict=True)), setting) if certs else certificate()
    certificates = Certificates.load(source, served.files, clocks.wall(), served.tickets)
    tls = EndpointCertificates(certificates, served, is_default=not certs)
    return certificates, _on(reactor, port, tls, dict(options).get("interface"))


def _tls_folder(
    reactor: ListeningReactor, parts: list[str], setting: str, served: ServedCertificates
) -> tuple[Certificates, IStreamServerEndpoint]:
    """Makes the endpoint of a folder. Names and order of the parts are those of Twisted's own ``tls:``."""
    unnamed = (part for part in parts[1:] if "=" not in part)
    options = {"path": parts[0], **dict(zip(("port", "backlog", "interface"), unnamed, strict=False))}
    options.update(part.partition("=")[::2] for part in parts[1:] if "=" in part)
    port, backlog = options.get("port", "443"), options.get("backlog", str(BACKLOG))
    wrong = (
        len(options) < len(parts)
        or not options.keys() <= {"path", "port", "backlog", "interface"}
        or not (port.isdecimal() and len(port) <= MAX_PORT_DIGITS and int(port) <= MAX_PORT)
        or not (backlog.isdecimal() and len(backlog) < _MAX_BACKLOG_DIGITS)
    )
    if wrong:
        raise ConfigurationError(f"tls:{':'.join(parts)} is not {TLS_FOLDER_FORM}", setting)
    source = FolderSource(Path(options["path"]).absolute(), setting)
    certificates = Certificates.load(source, served.files, clocks.wall(), served.tickets)
    certificates.log_notes()
    if certificates.contexts:
        _log.info("{path}: read certificates for {names}", path=source.path, names=certificates.names())
    tls = EndpointCertificates(certificates, served)
    return certificates, _on(reactor, int(port), tls, options.get("interface"), int(backlog))


def _on(
    reactor: ListeningReactor,
    port: int,
    tls: EndpointCertificates,
    interface: str | None,
    backlog: int = BACKLOG,
) -> IStreamServerEndpoint:
    """Makes an endpoint that listens on a port with TLS; by default on all addresses."""
    if interface is None:
        # IPv6 and IPv4: phones often have nothing but IPv6.
        interface = "::" if _dual_stack() else ""
        if interface and isinstance(reactor, PosixReactorBase):
            return BothFamiliesEndpoint(reactor, port, tls, backlog)
    # Despite its name, it takes addresses of IPv6 as well.
    return SSL4ServerEndpoint(reactor, port, tls, backlog, interface)


def _backlog(kind: str, parts: list[str]) -> str:
    """Gives the suffix that sets the length of the queue; ``""`` if the description sets it, or cannot."""
    before = _BEFORE_BACKLOG.get(kind)
    if before is None or not parts or any(part.startswith("backlog=") for part in parts):
        return ""
    return "" if sum("=" not in part for part in parts) > before else f":backlog={BACKLOG}"


def _ssl_file(parts: list[str]) -> Path:
    """Gives the certificate's file from the parts of an ``ssl:`` description that Twisted has accepted."""
    # The order of the unnamed parts, by Twisted's parser.
    options = dict(zip(("port", "privateKey", "certKey"), (part for part in parts if "=" not in part), strict=False))
    options.update(part.partition("=")[::2] for part in parts if "=" in part)
    return Path(options.get("certKey") or options.get("privateKey") or "server.pem")


def _socket_file(parts: list[str]) -> Path:
    """Gives the path from the parts of a ``unix:`` description that Twisted has accepted."""
    named = (part.partition("=") for part in parts)
    return next((Path(value) for name, _, value in named if name == "address"), Path(parts[0]))


def _dual_stack() -> bool:
    """Tells whether one socket can serve IPv6 and IPv4. Many machines have IPv6 built in, but switched off."""
    if not socket.has_dualstack_ipv6():
        return False
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::", 0))
        except OSError:
            return False
    return True
