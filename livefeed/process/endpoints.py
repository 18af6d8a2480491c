"""Where to listen: ``tls:PORT``, which is livefeed's own, and every endpoint that Twisted knows."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred, execute
from twisted.internet.endpoints import SSL4ServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.posixbase import PosixReactorBase
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.systemd import ListenFDs
from zope.interface import implementer

from livefeed import clocks
from livefeed.exceptions import ConfigurationError, closest
from livefeed.tls.folder import CertificateFolder
from livefeed.tls.options import ServedCertificates, Validity, require_callbacks, server_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.ssl import CertificateOptions

BACKLOG = 1024
"""How many connections may wait to be accepted. Twisted's 50 are gone in a moment when everybody comes back."""

MAX_PORT = 65535
_MAX_DIGITS = 5
_MAX_BACKLOG_DIGITS = 7
_PORTED = ("tls", "tcp", "tcp4", "tcp6", "ssl")
_SEVERAL = re.compile(r"[a-z0-9]+:[0-9]*[ ,;]")
_BARE_IPV6 = re.compile(r":interface=\[?[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}(?::|\]|\Z)")
# What there is by name in a description, by Twisted's parsers.
_PARTS = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "interface", "backlog"),
    "unix": ("address", "mode", "backlog", "lockfile"),
    "ssl": ("port", "privateKey", "certKey", "sslmethod", "interface", "backlog", "extraCertChain", "dhParameters"),
    "systemd": ("domain", "index", "name"),
}
_EXAMPLES = {
    "tcp": "tcp:8080:interface=127.0.0.1",
    "tcp6": "tcp6:8080:interface=\\:\\:1",
    "unix": "unix:/run/livefeed/livefeed.sock",
    "ssl": "ssl:8443:privateKey=key.pem:certKey=cert.pem",
    "systemd": "systemd:domain=INET6:index=0",
}
_URL = re.compile(r"(?P<scheme>https?):(?://)?(?:[^/:]*:)?(?P<port>[0-9]{1,5})/?", re.IGNORECASE)
_WITHOUT_KIND = re.compile(r"(?:(?P<address>[0-9]{1,3}(?:\.[0-9]{1,3}){3}|localhost)?:)?(?P<port>[0-9]{1,5})")
# How many parts without a name may stand before the one that is the length of the queue, by Twisted's parsers.
_BEFORE_BACKLOG = {"tcp": 2, "tcp6": 1, "unix": 2, "ssl": 5}

_FORM = "tls:PORT[:interface=ADDRESS][:cert=FILE:key=FILE]"
_FOLDER_FORM = "tls:FOLDER[:PORT][:interface=ADDRESS]"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The PEM files of a server's certificate and its private key."""

    cert: Path
    key: Path


def make_endpoint(
    reactor: Any,
    description: str,
    certificate: Callable[[], CertificateFiles],
    setting: str = "listen",
    served: ServedCertificates | None = None,
) -> IStreamServerEndpoint:
    """Gives the endpoint that a description names.

    ``tls:`` is livefeed's own, followed by a number or, as Twisted has it, by a folder of certificates. Every other
    kind is passed on to Twisted.

    :param reactor: what will listen.
    :param description: such as ``tls:8443:interface=127.0.0.1``; a colon within a part has a backslash before it.
    :param certificate: gives the files to use where the description names none.
    :param setting: what it is set by, which errors name.
    :param served: takes note of the certificates that are served with, where their files are known.
    :raises ConfigurationError: if there is no such endpoint, or its certificate cannot be used.
    """
    kind, *parts = _split(description)
    served = served or ServedCertificates()
    _check(description, kind, parts, setting)
    if kind in ("tls", "ssl"):
        require_callbacks(setting)
    if kind == "tls" and parts and parts[0].isdecimal():
        return _tls(reactor, parts, certificate, setting, served)
    if kind == "tls" and not (parts and Path(parts[0]).is_dir()):
        raise ConfigurationError(f"{description}: tls: is followed by a port, as in {_FORM}, or by a folder", setting)
    if kind == "tls":
        return _tls_folder(reactor, parts, setting, served)
    try:
        if kind == "systemd":
            _find_inherited(parts)
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description + _backlog(kind, parts))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{description}: {error.filename}: {error.strerror}", setting) from None
    except Exception as error:  # whatever the parsers of Twisted and of its plugins may raise
        # Python's own words for a text in the place of a number, and for parts that are missing, are of no use.
        said = str(error) if not str(error).startswith("invalid literal") else "one of its parts must be a number"
        said = said if not isinstance(error, TypeError) else "a part is missing, or one is too many"
        why = f"{description}: this is not an endpoint, such as {_FORM} or tcp:8080: {said}"
        raise ConfigurationError(why, setting) from None
    if kind == "ssl":
        with suppress(OSError, ValueError):  # no reason not to serve: Twisted has read it
            served.replace(endpoint, [Validity.read(_ssl_file(parts))])
    return SocketFileEndpoint(endpoint, _socket_file(parts)) if kind == "unix" else endpoint


@implementer(IStreamServerEndpoint)
@dataclass(frozen=True, slots=True)
class SocketFileEndpoint:
    """Listens on a Unix socket; takes its file over if no process accepts connections there any more.

    A process that was killed leaves the file behind, and a lock that names its id. In a container the ids repeat: the
    lock then seems to be held by a process that runs, which can be the new one itself.

    :ivar endpoint: what listens, once the file is out of the way.
    :ivar path: where the file is.
    """

    endpoint: IStreamServerEndpoint
    path: Path

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """IStreamServerEndpoint API."""
        return execute(self._make_room).addCallback(lambda _: self.endpoint.listen(protocolFactory))

    def _make_room(self) -> None:
        lock = self.path.with_name(f"{self.path.name}.lock")
        try:
            if not stat.S_ISSOCK(self.path.lstat().st_mode):
                other = OSError(errno.EADDRINUSE, "there is something else by this name, which is no socket")
                raise CannotListenError(None, self.path, other)
            accepted = _accepts(self.path)
        except FileNotFoundError:
            _unlink_own_lock(lock)
            return
        except OSError:
            return  # such as a socket of another kind, or of another user
        if accepted:
            in_use = OSError(errno.EADDRINUSE, "another process accepts connections on this socket")
            raise CannotListenError(None, self.path, in_use)
        # Between bind(2) and listen(2) of a process that starts at the same moment it looks the same. That takes
        # microseconds, and two processes on one path are a mistake anyway.
        self.path.unlink(missing_ok=True)
        if lock.is_symlink():
            lock.unlink(missing_ok=True)


def _accepts(path: Path) -> bool:
    """Tells whether a process listens on a socket, also one whose queue is full.

    :raises OSError: if that cannot be known.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True
    return True


def _unlink_own_lock(lock: Path) -> None:
    """Removes a lock without a socket that names this process, which has not locked anything yet."""
    try:
        if lock.readlink() == Path(str(os.getpid())):
            lock.unlink(missing_ok=True)
    except OSError:
        return


@implementer(IStreamServerEndpoint)
@dataclass(frozen=True, slots=True)
class BothFamiliesEndpoint:
    """Serves IPv6 and IPv4 by one socket of Twisted's transport, whatever ``net.ipv6.bindv6only`` says.

    :ivar reactor: Twisted's own.
    :ivar port: the port's number.
    :ivar tls: how TLS is spoken.
    :ivar backlog: so many connections may wait to be accepted.
    """

    reactor: Any
    port: int
    tls: CertificateOptions | CertificateFolder
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


def _check(description: str, kind: str, parts: list[str], setting: str) -> None:
    """Refuses what is a common mistake, of which the parsers would say something else, or nothing."""
    first = parts[0] if parts else ""
    why = _instead(description)
    if why:
        pass
    elif kind in _PORTED and first.isdecimal() and (len(first) > _MAX_DIGITS or int(first) > MAX_PORT):
        why = f"a port is a number from 0 to {MAX_PORT}"
    elif kind in _PORTED and _SEVERAL.match(description):
        why = (
            "this is more than one endpoint: repeat the option, put white space between them in the variable, or give "
        )
        why += "a list in the file"
    elif kind in _PORTED and _BARE_IPV6.search(description):
        why = "the colons of an address have a backslash before them, as in interface=\\:\\:1"
    elif kind == "unix" and Path(first).is_dir():
        why = "this is a folder; unix: is followed by the path of the socket, as in unix:/run/livefeed/livefeed.sock"
    elif kind in _PARTS:
        why = _wrong_part(kind, parts)
    if why:
        raise ConfigurationError(f"{description}: {why}", setting)


def _instead(description: str) -> str:
    """Tells how a port or a URL is written as an endpoint, if that is what a description is."""
    found = _WITHOUT_KIND.fullmatch(description)
    if found is not None:
        address = "127.0.0.1" if found["address"] == "localhost" else found["address"]
        rest = f"{found['port']}:interface={address}" if address else found["port"]
        return f"there is no kind in front; did you mean tls:{rest}, or tcp:{rest} for plain HTTP?"
    found = _URL.fullmatch(description)
    if found is not None:
        kind = "tls" if found["scheme"].lower() == "https" else "tcp"
        return f"this is a URL; did you mean {kind}:{found['port']}?"
    return ""


def _wrong_part(kind: str, parts: list[str]) -> str:
    """Tells which part of a description for Twisted is wrong, in other words than those of its functions."""
    example = f"as in {_EXAMPLES[kind]}"
    # The path of a socket may have an escaped = in it.
    for name, is_named, _ in (part.partition("=") for part in parts[kind == "unix" :]):
        if is_named and name.isidentifier() and name not in _PARTS[kind]:
            return f"{kind}: has no part {name}={closest(f'{name}=', (f'{each}=' for each in _PARTS[kind]))}"
    if "port" in _PARTS[kind]:
        named = (part.removeprefix("port=") for part in parts if part.startswith("port="))
        port = next(named, parts[0] if parts else "")
        if not port.isdecimal() or not port.isascii():
            return f"{kind}: is followed by a port, a number from 0 to {MAX_PORT}, {example}"
    if len(parts) > len(_PARTS[kind]):
        return f"{kind}: has {len(_PARTS[kind])} parts at most, {example}"
    return ""


def port_of(description: str) -> tuple[str, str] | None:
    """Gives the URL scheme and port of a description, for showing; ``None`` where there is no port to name."""
    kind, *parts = _split(description)
    schemes = {"tls": "https", "ssl": "https", "tcp": "http", "tcp6": "http"}
    if kind in schemes and parts and parts[0].isdecimal():
        return schemes[kind], parts[0]
    if kind == "tls" and len(parts) > 1 and parts[1].isdecimal():
        return schemes[kind], parts[1]
    return None


def _wrong_tls(options: dict[str, str], *, twice: bool) -> str:
    """Gives the end of a message about the parts of ``tls:PORT``; nothing if they can be."""
    allowed = ("interface", "cert", "key")
    for name, value in options.items():
        if name not in allowed:
            return f": there is no part {name}={closest(f'{name}=', (f'{each}=' for each in allowed))}"
        if not value:
            return f": {name}= has no value"
    for name, other in (("cert", "key"), ("key", "cert")):
        if name in options and other not in options:
            return f": {name}= takes {other}= as well"
    return ": a part is there twice" if twice else ""


def _tls(
    reactor: Any,
    parts: list[str],
    certificate: Callable[[], CertificateFiles],
    setting: str,
    served: ServedCertificates,
) -> IStreamServerEndpoint:
    port = int(parts[0])
    options = dict(part.partition("=")[::2] for part in parts[1:])
    why = _wrong_tls(options, twice=len(options) < len(parts) - 1)
    if why or port > MAX_PORT:
        raise ConfigurationError(f"tls:{':'.join(parts)} is not {_FORM}{why}", setting)
    own = "cert" in options
    files = CertificateFiles(Path(options["cert"]), Path(options["key"])) if own else certificate()
    try:
        tls = server_options(files.cert, files.key)
    except ConfigurationError as error:
        raise ConfigurationError(error.why, setting if own else error.setting) from None
    served.replace(tls, [Validity.read(files.cert)])
    return _on(reactor, port, tls, options.get("interface"))


def _tls_folder(reactor: Any, parts: list[str], setting: str, served: ServedCertificates) -> IStreamServerEndpoint:
    """Gives what Twisted's own ``tls:`` is: its parts have the same names and the same places."""
    unnamed = (part for part in parts[1:] if "=" not in part)
    options = {"path": parts[0], **dict(zip(("port", "backlog", "interface"), unnamed, strict=False))}
    options.update(part.partition("=")[::2] for part in parts[1:] if "=" in part)
    port, backlog = options.get("port", "443"), options.get("backlog", str(BACKLOG))
    wrong = (
        len(options) < len(parts)
        or not options.keys() <= {"path", "port", "backlog", "interface"}
        or not (port.isdecimal() and len(port) <= _MAX_DIGITS and int(port) <= MAX_PORT)
        or not (backlog.isdecimal() and len(backlog) < _MAX_BACKLOG_DIGITS)
    )
    if wrong:
        raise ConfigurationError(f"tls:{':'.join(parts)} is not {_FOLDER_FORM}", setting)
    try:
        # A daemon leaves the folder that it is started in.
        folder = CertificateFolder(Path(options["path"]).absolute(), reactor.seconds, clocks.wall, served)
    except ConfigurationError as error:
        raise ConfigurationError(error.why, setting) from None
    return _on(reactor, int(port), folder, options.get("interface"), int(backlog))


def _on(
    reactor: Any,
    port: int,
    tls: CertificateOptions | CertificateFolder,
    interface: str | None,
    backlog: int = BACKLOG,
) -> IStreamServerEndpoint:
    """Gives what listens on a port with TLS; by default on all addresses."""
    if interface is None:
        # Everybody, over IPv6 as well as IPv4: phones often have nothing but IPv6.
        interface = "::" if _dual_stack() else ""
        if interface and isinstance(reactor, PosixReactorBase):
            return BothFamiliesEndpoint(reactor, port, tls, backlog)
    # For all its name, it takes addresses of IPv6, too.
    return SSL4ServerEndpoint(reactor, port, tls, backlog, interface)


def _backlog(kind: str, parts: list[str]) -> str:
    """Gives what is added to a description for Twisted that leaves the length of the queue open."""
    before = _BEFORE_BACKLOG.get(kind)
    if before is None or not parts or any(part.startswith("backlog=") for part in parts):
        return ""
    return "" if sum("=" not in part for part in parts) > before else f":backlog={BACKLOG}"


def _find_inherited(parts: list[str]) -> None:
    """Looks for the socket that a ``systemd:`` description means; Twisted says only that an index is out of range.

    :raises ValueError: if systemd has not passed it on.
    """
    passed = ListenFDs.fromEnvironment()
    names = passed.inheritedNamedDescriptors()
    count = len(passed.inheritedDescriptors())
    for name, _, value in (part.partition("=") for part in parts):
        missing = (name == "index" and value.isdecimal() and int(value) >= count) or (
            name == "name" and value not in names
        )
        if missing:
            remedy = "start livefeed by a .socket unit (its [Socket] section needs ListenStream=)"
            raise ValueError(f"systemd has passed on {count} sockets, and not this one; {remedy}")


def _ssl_file(parts: list[str]) -> Path:
    """Gives the file of the certificate in the parts of an ``ssl:`` description, which Twisted has accepted."""
    # Their places without names, by Twisted's parser: port, privateKey, certKey.
    options = dict(zip(("port", "privateKey", "certKey"), (part for part in parts if "=" not in part), strict=False))
    options.update(part.partition("=")[::2] for part in parts if "=" in part)
    return Path(options.get("certKey") or options.get("privateKey") or "server.pem")


def _socket_file(parts: list[str]) -> Path:
    """Gives the path in the parts of a ``unix:`` description, which Twisted has accepted."""
    named = (part.partition("=") for part in parts)
    return next((Path(value) for name, _, value in named if name == "address"), Path(parts[0]))


def _dual_stack() -> bool:
    """Tells whether one socket can serve IPv6 and IPv4: many a machine has IPv6 built in, but switched off."""
    if not socket.has_dualstack_ipv6():
        return False
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::", 0))
        except OSError:
            return False
    return True


def _split(description: str) -> list[str]:
    """Splits at the colons that are not escaped, and takes the escapes away."""
    parts = [""]
    characters = iter(description)
    for character in characters:
        if character == ":":
            parts.append("")
        else:
            parts[-1] += next(characters, "") if character == "\\" else character
    return parts
