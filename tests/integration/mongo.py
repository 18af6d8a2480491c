"""A MongoDB for the integration tests: FerretDB, which is started here, or a server that is running already.

``LIVEFEED_TEST_MONGODB=mongodb://[user:password@]host:port`` names another server. Tests that pause, end or start it
are then skipped, since it is not ours.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, unquote, urlencode, urlsplit

import pymongo

from tests.helpers.peers import missing_peer
from tests.helpers.threaded_server import ThreadedServer, shut_down
from tests.helpers.waiting import wait_until
from tests.integration.harness import HOST, WAIT_S, Process, StoreServer, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.tls.development import DevelopmentCertificate

_ROOT = Path(__file__).resolve().parent.parent.parent
_BUILT = _ROOT / "build" / "bin" / "ferretdb"
_SERVER = os.environ.get("LIVEFEED_TEST_MONGODB", "")

DATABASE = "livefeed_test"
COLLECTION = "documents"


class MongoStore(StoreServer):
    """A server with a document that a source can follow.

    FerretDB keeps its port and its data while the store is open, also when it is ended and started again.

    :param directory: where it keeps its data.
    :param user: the user that may log in; ``""`` for a server without users.
    :param password: the user's password at the beginning.
    :param own: whether it must be a server that is ours alone.
    :param certificate: the certificate of its second port, which speaks TLS; ``None`` for no TLS.
    """

    def __init__(
        self,
        directory: Path,
        *,
        user: str = "",
        password: str = "",
        own: bool = True,
        certificate: DevelopmentCertificate | None = None,
    ) -> None:
        self._directory = directory
        self.is_ours = not _SERVER
        self._user, self._password = user, password
        self._certificate = certificate
        if self.is_ours:
            self._program = _ferretdb()
            self.port = free_port()
            self.tls_port = free_port()
        elif own or user:
            missing_peer("the server of LIVEFEED_TEST_MONGODB is not ours to pause, to end, or to give users")
        else:
            parts = urlsplit(_SERVER)
            assert parts.hostname == HOST, "tests load nothing but this machine"
            self.port = parts.port or 27017
            self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")

    def __enter__(self) -> Self:
        if self.is_ours:
            self.start()
        return self

    def start(self) -> None:
        """StoreServer API."""
        assert self._process is None, "the server runs already"
        data = self._directory / "ferretdb"
        data.mkdir(exist_ok=True)
        options = ["--handler=sqlite", f"--sqlite-url=file:{data}/", f"--state-dir={data}", "--log-level=WARN"]
        options += [f"--listen-addr={HOST}:{self.port}", "--debug-addr=-", "--telemetry=disable"]
        if self._user:
            options += ["--test-enable-new-auth", "--setup-database=admin"]
            options += [f"--setup-username={self._user}", f"--setup-password={self._password}"]
        if self._certificate is not None:
            options += [f"--listen-tls={HOST}:{self.tls_port}", f"--listen-tls-cert-file={self._certificate.cert}"]
            options += [f"--listen-tls-key-file={self._certificate.key}"]
        self._process = Process([self._program, *options], directory=self._directory)
        wait_until(self._accepts, self._process.text)

    def _accepts(self) -> bool:
        assert self._process is not None
        assert self._process.running, self._process.text()
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=1):
            return True
        return False

    def resident_bytes(self) -> int:
        """Gives how much memory the server has in use."""
        assert self._process is not None
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def client(self) -> pymongo.MongoClient[Any]:
        """Gives a client, for the caller to close."""
        credentials: dict[str, Any] = {"username": self._user, "password": self._password} if self._user else {}
        return pymongo.MongoClient(HOST, self.port, serverSelectionTimeoutMS=int(WAIT_S * 1000), **credentials)

    def set_document(self, fields: Mapping[str, Any], name: object = "results") -> None:
        """Puts a document with the ``_id`` *name* in the place of the one that there is, if any."""
        with self.client() as client:
            client[DATABASE][COLLECTION].replace_one({"_id": name}, dict(fields), upsert=True)

    def set_all(self, documents: list[dict[str, Any]], collection: str) -> None:
        """Makes a collection be these documents, which is not done at once."""
        with self.client() as client:
            client[DATABASE][collection].delete_many({})
            client[DATABASE][collection].insert_many(documents)

    def remove_document(self, name: object = "results") -> None:
        """Removes a document."""
        with self.client() as client:
            client[DATABASE][COLLECTION].delete_one({"_id": name})

    def set_password(self, password: str) -> None:
        """Gives the user another password."""
        with self.client() as client:
            client["admin"].command("updateUser", self._user, pwd=password)
        self._password = password

    def url(
        self, name: str = "results", *, credentials: str | None = None, port: int | None = None, **options: str
    ) -> str:
        """Gives the URL of a source that follows the document *name*.

        :param credentials: the text before the host, unchanged; by default, the credentials of the user.
        :param port: another port than the server's.
        """
        options = {"filter": f'{{"_id": "{name}"}}', "projection": '{"_id": 0}'} | options
        return self.url_of(COLLECTION, credentials=credentials, port=port, **options)

    def url_of(
        self, collection: str, *, credentials: str | None = None, port: int | None = None, **options: str
    ) -> str:
        """Gives the URL of a source that follows a collection."""
        if credentials is None:
            credentials = f"{quote(self._user)}:{quote(self._password)}@" if self._user else ""
        query = f"?{urlencode(options, quote_via=quote)}" if options else ""
        return f"mongodb://{credentials}{HOST}:{port or self.port}/{DATABASE}/{collection}{query}"


class Relay:
    """A relay in front of a server. It can delay the server's answers, drop them, or answer nonsense by itself.

    :ivar delay_s: the delay in seconds of each piece of an answer.
    :ivar silent: whether the relay drops everything, in both directions.
    :ivar nonsense: the bytes with which the relay answers every request itself; ``None`` for the server's own answers.
    :ivar accepted: the number of connections since the start.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._stopped = threading.Event()
        self.delay_s = 0.0
        self.silent = False
        self.nonsense: bytes | None = None
        self.accepted = 0
        self._server = ThreadedServer(self._serve)
        self.port = self._server.port
        self.cut = self._server.cut

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._stopped.set()
        self._server.close()

    def _serve(self, near: socket.socket) -> None:
        self.accepted += 1
        with socket.create_connection((HOST, self._to), timeout=WAIT_S) as far:
            far.settimeout(None)
            self._server.track(far)
            answers = threading.Thread(target=self._pass_on, args=(far, near, True), daemon=True)
            answers.start()
            self._pass_on(near, far, answers=False)
            answers.join()
            self._server.forget(far)

    def _pass_on(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.silent:
                    continue
                if self.nonsense is not None:
                    if not answers:
                        source.sendall(self.nonsense)
                    continue
                if answers and self.delay_s:
                    self._stopped.wait(self.delay_s)
                sink.sendall(data)
        shut_down(sink)
        shut_down(source)


def _ferretdb() -> str:
    installed = str(_BUILT) if _BUILT.exists() else shutil.which("ferretdb")
    if installed is None:
        missing_peer("no MongoDB: `make ferretdb` builds one with Go, LIVEFEED_TEST_MONGODB names another")
    return installed
