"""Requests to the operator's socket: which livefeed runs on this machine, and its answers.

Rules: no Twisted, which would take most of the time of a command. A livefeed of another user may answer anything: what
it sends is limited in size and time.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import socket
import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from livefeed.exceptions import CommandError, SecretFileError
from livefeed.process.runtime_dir import ADMIN_SOCKET, base_dirs
from livefeed.secret_files import read_secret
from livefeed.web.operator_problems import ALL
from livefeed.web.problem_type import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Size of the largest answer that is read. The status of 64 feeds and 64 workers has 100 KB."""

MAX_INSTANCES = 256
"""Number of folders in one place that are searched for instances."""

FOR_ALL = Path("/run/livefeed")
"""Where the service manager and root put instances, which other users may be allowed to reach by their group."""

MAX_TOKEN_BYTES = 4096
"""Size of the largest file of a token. A larger file was named by mistake."""

_TOKEN = re.compile(rb"[!-~]+")
_UNSPECIFIC = ("command-failed", "internal-error", "method-not-allowed", "not-found")
"""Types of problems that say no more than the sentence beside them."""

_LOOK = "`livefeed ctl status` shows whether a livefeed runs, and its log tells about the command"


class NotRunningError(CommandError):
    """No livefeed runs there."""


class ChoiceError(CommandError):
    """The command line is wrong, such as when several instances run, and none was chosen."""


class _Connection(http.client.HTTPConnection):
    """A connection of HTTP to a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        """HTTPConnection API."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(os.fspath(self._path))


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a livefeed.

    :ivar status: the status code.
    :ivar body: the content: JSON, for all paths that this tool asks for.
    :ivar retry_after: the value of ``Retry-After``; empty if there is none.
    """

    status: int
    body: bytes
    retry_after: str = ""

    def report(self) -> Any:
        """Gives the report in the answer.

        :raises CommandError: if the answer is a refusal, with the reason in it; or if it is not JSON.
        """
        try:
            report = json.loads(self.body)
        except (ValueError, RecursionError):
            raise CommandError(f"livefeed has answered {self.status}, without JSON") from None
        if http.client.OK <= self.status <= http.client.ACCEPTED:
            return report
        refusal = report if isinstance(report, dict) else {}
        detail, more = refusal.get("detail") or f"livefeed has answered {self.status}", _more(refusal.get("type"))
        # The detail is a sentence, and its full stop would stand before the semicolon.
        raise CommandError(f"{str(detail).removesuffix('.') if more else detail}{more}")


def _more(kind: Any) -> str:
    """Gives the end of a message: how to learn more about the type of a problem; nothing if that says no more."""
    name = kind.removeprefix(FOLDER) if isinstance(kind, str) else ""
    is_known = any(each.name == name for each in ALL) and name not in _UNSPECIFIC
    return f"; `livefeed explain {name}` says more" if is_known else ""


class Client(ABC):
    """Asks the operator's port of one livefeed.

    :ivar timeout_s: seconds that each step of an answer may take.
    """

    __slots__ = ()
    timeout_s: float

    @property
    @abstractmethod
    def place(self) -> str:
        """The place of the port, for messages."""

    @abstractmethod
    def connect(self) -> http.client.HTTPConnection:
        """Gives a connection that is not open yet."""

    @abstractmethod
    def access(self) -> Mapping[str, str]:
        """Gives the fields that each request needs."""

    def get(self, path: str) -> Answer:
        """Reads something.

        :raises CommandError: if there is no answer.
        """
        return self._ask("GET", path, None)

    def post(self, path: str, arguments: Mapping[str, Any]) -> Answer:
        """Runs a command.

        :raises CommandError: if there is no answer.
        """
        return self._ask("POST", path, json.dumps(arguments))

    def put(self, path: str, document: bytes, fields: Mapping[str, str]) -> Answer:
        """Stores a document.

        :param fields: more fields of the request, such as conditions.
        :raises CommandError: if there is no answer.
        """
        return self._ask("PUT", path, document, fields)

    def _ask(
        self, method: str, path: str, content: str | bytes | None, more: Mapping[str, str] | None = None
    ) -> Answer:
        connection = self.connect()
        fields = {} if content is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, path, content, {**self.access(), **fields, **(more or {})})
            response = connection.getresponse()
            body = response.read(MAX_ANSWER_BYTES + 1)
        except TimeoutError:
            why = f"livefeed has not answered within {self.timeout_s:g} s; --timeout allows it more"
            if content is not None:
                why += f"; it may still carry the command out: {_LOOK}"
            raise CommandError(f"{self.place}: {why}") from None
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise NotRunningError(f"no livefeed runs at {self.place}") from None
        except PermissionError:
            why = "this user may not connect; the user of livefeed, root and the group of --admin-group may"
            raise CommandError(f"{self.place}: {why}") from None
        except ssl.SSLError as error:
            raise CommandError(f"{self.place}: {getattr(error, 'verify_message', '') or error.reason}") from None
        except (ConnectionResetError, BrokenPipeError):
            raise CommandError(f"{self.place}: livefeed has ended before it answered; {_LOOK}") from None
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"{self.place}: {error or type(error).__name__}") from None
        finally:
            connection.close()
        if len(body) > MAX_ANSWER_BYTES:
            raise CommandError(f"{self.place}: the answer is larger than {MAX_ANSWER_BYTES} bytes")
        return Answer(response.status, body, response.headers.get("Retry-After", ""))


@dataclass(frozen=True, slots=True)
class OperatorClient(Client):
    """Asks one livefeed through its operator's socket.

    :ivar path: the socket.
    :ivar timeout_s: seconds that each step of an answer may take.
    """

    path: Path
    timeout_s: float

    @property
    def place(self) -> str:
        """Client API."""
        return str(self.path)

    def connect(self) -> http.client.HTTPConnection:
        """Client API."""
        return _Connection(self.path, self.timeout_s)

    def access(self) -> Mapping[str, str]:
        """Client API. The system protects the socket."""
        return {}


@dataclass(frozen=True, slots=True)
class TokenClient(Client):
    """Asks one livefeed through an endpoint of its operator's port, with a token.

    :ivar url: the base of its URLs: ``https://HOST:PORT``.
    :ivar timeout_s: seconds that each step of an answer may take.
    :ivar token: the token, which is in no message.
    :ivar context: the settings of TLS.
    """

    url: SplitResult
    timeout_s: float
    token: str = field(repr=False)
    context: ssl.SSLContext

    @property
    def place(self) -> str:
        """Client API."""
        return f"{self.url.scheme}://{self.url.netloc}"

    def connect(self) -> http.client.HTTPConnection:
        """Client API."""
        host = self.url.hostname or ""
        if self.url.scheme == "https":
            return http.client.HTTPSConnection(host, self.url.port, timeout=self.timeout_s, context=self.context)
        return http.client.HTTPConnection(host, self.url.port, timeout=self.timeout_s)

    def access(self) -> Mapping[str, str]:
        """Client API."""
        return {"Authorization": f"Bearer {self.token}"}


def parse_base(url: str) -> SplitResult:
    """Reads the URL of an endpoint of the operator's port.

    :raises ChoiceError: if it is none, or would send the token through a network without TLS.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or port is None or "@" in parts.netloc:
        raise ChoiceError("--url takes https://HOST:PORT, and no user or password")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ChoiceError("--url takes https://HOST:PORT, and nothing behind it; --feed names the feed")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ChoiceError("--url: the token would be sent without TLS; use https://, or http:// for 127.0.0.1")
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(path: Path) -> str:
    """Reads the token of the operator's port.

    :raises CommandError: if the file cannot be read, can be read by every user, or has no token.
    """
    try:
        data = read_secret(path, MAX_TOKEN_BYTES)
    except SecretFileError as error:
        raise CommandError(str(error)) from None
    token = data.strip()
    if len(data) > MAX_TOKEN_BYTES or not _TOKEN.fullmatch(token):
        raise CommandError(f"{path}: has no token: a line of visible ASCII characters, without blanks")
    return token.decode()


def find_socket(
    environment: Mapping[str, str],
    uid: int,
    *,
    instance: str | None = None,
    runtime_dir: Path | None = None,
    command: Sequence[str] = ("livefeed", "ctl", "status"),
) -> Path:
    """Gives the operator's socket of the livefeed that a command is for.

    Without a choice on the command line, that of the variables counts that also set the server's.

    :param environment: all variables.
    :param uid: the effective user.
    :param instance: the name of the instance that was chosen; ``None`` for the only one that runs.
    :param runtime_dir: the runtime directory that was chosen.
    :param command: the command line, which a message shows with a choice.
    :raises NotRunningError: if none runs.
    :raises ChoiceError: if several run, and none was chosen.
    """
    if instance is None and runtime_dir is None:
        instance = environment.get("LIVEFEED_INSTANCE") or None
        chosen = environment.get("LIVEFEED_RUNTIME_DIR")
        runtime_dir = Path(chosen) if chosen else None
    if runtime_dir is not None:
        return runtime_dir / ADMIN_SOCKET
    bases = list(dict.fromkeys([*base_dirs(environment, uid), FOR_ALL]))
    places = [base for base in bases if _is_trusted(base, uid)]
    if instance is not None:
        found = [base / instance / ADMIN_SOCKET for base in places]
        found = [path for path in found if _accepts(path)]
        if not found:
            looked = ", ".join(str(base / instance) for base in bases)
            raise NotRunningError(f"no livefeed runs as the instance {instance!r}; looked for it in {looked}")
        return found[0]
    found = [path for base in places for path in _sockets_in(base) if _accepts(path)]
    if not found:
        looked = ", ".join(map(str, bases))
        raise NotRunningError(f"no livefeed runs; looked for its socket in {looked}; --runtime-dir names another place")
    if len(found) > 1:
        raise ChoiceError(_how_to_choose([path.parent for path in found], command))
    return found[0]


def _how_to_choose(folders: Sequence[Path], command: Sequence[str]) -> str:
    """Gives the message about several livefeeds, with a command line that chooses one of them."""
    first, names = folders[0], [each.name for each in folders]
    # Two places may have instances of one name.
    choice = ("--instance", first.name) if names.count(first.name) == 1 else ("--runtime-dir", str(first))
    listed = ", ".join(f"{each.name} ({each})" for each in folders)
    example = shlex.join([*command, *choice])
    return f"several livefeeds run: {listed}; choose one with --instance or --runtime-dir, such as `{example}`"


def _is_trusted(base: Path, uid: int) -> bool:
    """Tells whether the sockets in a place are those of this user, of root, or of the service manager."""
    try:
        found = base.lstat()
    except OSError:
        return False
    # In /tmp, any user can make a folder with any name.
    return found.st_uid in (0, uid) or base == FOR_ALL


def _sockets_in(base: Path) -> Iterator[Path]:
    try:
        with os.scandir(base) as entries:
            names = sorted(entry.name for entry, _ in zip(entries, range(MAX_INSTANCES), strict=False))
    except OSError:
        return
    for name in names:
        yield base / name / ADMIN_SOCKET


def _accepts(path: Path) -> bool:
    """Tells whether a livefeed listens on a socket, also one that this user may not connect to."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except (BlockingIOError, PermissionError):
            return True
        except OSError:
            return False
    return True
