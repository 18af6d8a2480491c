"""Starting: the commands that run livefeed, its endpoints, and the messages about wrong options."""

from __future__ import annotations

import hashlib
import os
import re
import select
import signal
import socket
import ssl
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from livefeed.tls.development import development_certificate
from tests.authority import Holder
from tests.integration.harness import (
    HOST,
    PYTHON_M_TWISTED,
    TCP,
    TEXT,
    TLS,
    TWIST,
    TWISTD,
    WAIT_S,
    Livefeed,
    Wire,
    free_port,
    handshake,
    run,
)

if TYPE_CHECKING:
    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

REQUEST = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"


def assert_refused(code: int, output: str, *mentioned: str) -> None:
    assert code != 0
    assert "Traceback" not in output
    assert "Unhandled" not in output
    for words in mentioned:
        assert words in output, output


@pytest.mark.startup
class TestOptions:
    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--source", "gopher://127.0.0.1/feed"),
            ("--source", "results.json"),
            ("--source", "file:"),
            ("--source", "redis://127.0.0.1/results"),
            ("--source", "redis://127.0.0.1:port/0/results"),
            ("--interval", "0"),
            ("--interval", "-1"),
            ("--interval", "nan"),
            ("--interval", "soon"),
            ("--feed", "a/b"),
            ("--feed", ""),
            ("--feed", "-"),
            ("--feed", "name\n"),
            ("--push", "never"),
            ("--max-bytes", "0"),
            ("--max-bytes", "many"),
            ("--allow-origin", "example.org"),
            ("--allow-origin", "https://example.org/page"),
            ("--listen", "tls:99999"),
            ("--listen", "tls:8443:interfaces=127.0.0.1"),
            ("--listen", "nonsense:1"),
            ("--listen", "tcp:port"),
            ("--listen", ""),
            ("--cert", "only.pem"),
            ("--key", "only.pem"),
        ],
    )
    def test_a_bad_value_is_refused(self, tmp_path: Path, option: str, value: str) -> None:
        """A value that can never work ends the start with a message that names the option."""
        listen = () if option == "--listen" else ("--listen", TCP)
        code, output = run(tmp_path, *listen, option, value)
        assert_refused(code, output, option)

    def test_an_unknown_option_is_refused(self, tmp_path: Path) -> None:
        """A word that is no option is named."""
        code, output = run(tmp_path, "--colour", "red")
        assert_refused(code, output, "--colour")

    def test_credentials_of_a_bad_source_are_not_repeated(self, tmp_path: Path) -> None:
        """A message about a source's URL holds no password."""
        for url in ("redis://user:hush@127.0.0.1/", "redis://user:hush@127.0.0.1:x/0/key", "rediss://:hush@h/0/"):
            code, output = run(tmp_path, "--listen", TCP, "--source", url)
            assert_refused(code, output, "--source")
            assert "hush" not in output

    def test_a_certificate_file_that_is_missing_is_named(
        self, tmp_path: Path, certificate: DevelopmentCertificate
    ) -> None:
        """A file that is not there is named, with the option that it was given by."""
        missing = tmp_path / "missing.pem"
        code, output = run(tmp_path, "--listen", TLS, "--cert", str(missing), "--key", str(certificate.key))
        assert_refused(code, output, "--cert", str(missing))
        code, output = run(tmp_path, "--listen", TLS, "--cert", str(certificate.cert), "--key", str(missing))
        assert_refused(code, output, "--key", str(missing))

    def test_a_certificate_file_that_is_none_is_named(
        self, tmp_path: Path, certificate: DevelopmentCertificate
    ) -> None:
        """A file of something else is named, with the option that it was given by."""
        other = tmp_path / "other.pem"
        other.write_text("-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n")
        code, output = run(tmp_path, "--listen", TLS, "--cert", str(other), "--key", str(certificate.key))
        assert_refused(code, output, "--cert", str(other))
        code, output = run(tmp_path, "--listen", TLS, "--cert", str(certificate.cert), "--key", str(other))
        assert_refused(code, output, "--key", str(other))

    def test_the_key_of_another_certificate_is_refused(
        self, tmp_path: Path, certificate: DevelopmentCertificate
    ) -> None:
        """A key that is not the certificate's is named."""
        other = development_certificate(tmp_path / "others")
        code, output = run(tmp_path, "--listen", TLS, "--cert", str(certificate.cert), "--key", str(other.key))
        assert_refused(code, output, "--key", str(other.key))

    @pytest.mark.parametrize("command", [TWISTD, TWIST], ids=["twistd", "twist"])
    @pytest.mark.parametrize("kind", ["tls", "tcp"])
    def test_a_port_in_use_is_refused(self, tmp_path: Path, kind: str, command: tuple[str, ...]) -> None:
        """A port that is in use ends the start, and the message names the endpoint."""
        with closing(socket.create_server((HOST, 0))) as sock:
            endpoint = f"{kind}:{sock.getsockname()[1]}:interface={HOST}"
            code, output = run(tmp_path, "--listen", endpoint, command=command)
        assert_refused(code, output, "--listen", endpoint, "in use; another process listens there: `ss -ltnp` names it")

    def test_a_low_port_without_the_capability(self, tmp_path: Path) -> None:
        """The message names the capability, and an alternative."""
        if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) < 1024:
            pytest.skip("every user may listen on this port here")
        # PR_CAPBSET_DROP of CAP_NET_BIND_SERVICE: root has it no more either, behind an exec. Others never had it.
        launcher = (
            "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 10, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
        )
        endpoint = f"tcp:1023:interface={HOST}"
        code, output = run(tmp_path, "--listen", endpoint, command=(sys.executable, "-c", launcher, *TWISTD))
        assert code == 1
        why = "Permission denied; ports below 1024 take CAP_NET_BIND_SERVICE"
        assert_refused(code, output, f"livefeed: --listen: {endpoint}: {why}", "above 1023")

    def test_a_socket_that_cannot_be_made_is_refused(self, tmp_path: Path) -> None:
        """A path in a directory that is not there ends the start, also where another endpoint works."""
        endpoint = f"unix:{tmp_path}/missing/socket"
        code, output = run(tmp_path, "--listen", TCP, "--listen", endpoint)
        assert_refused(code, output, "--listen", endpoint)
        assert "listening on" not in output

    @pytest.mark.parametrize("command", [TWISTD, TWIST], ids=["twistd", "twist"])
    @pytest.mark.parametrize("option", ["--admin", "--state-dir"])
    def test_nothing_is_announced_before_all_is_there(
        self, tmp_path: Path, option: str, command: tuple[str, ...]
    ) -> None:
        """A start that fails has not said before that livefeed listens."""
        (tmp_path / "file").write_bytes(b"")
        token = tmp_path / "token"
        token.write_text("0123456789abcdef\n")
        token.chmod(0o600)
        with closing(socket.create_server((HOST, 0))) as sock:
            value = f"tcp:{sock.getsockname()[1]}:interface={HOST}" if option == "--admin" else "file"
            code, output = run(tmp_path, "--listen", TCP, "--admin-token", str(token), option, value, command=command)
        assert_refused(code, output, f"{option}: ")
        assert "listening on" not in output

    def test_a_state_directory_that_is_a_file_is_refused(self, tmp_path: Path) -> None:
        """A path below a file is refused as well; the message names the file."""
        (tmp_path / "state").write_text("")
        for name in ("state", "state/below"):
            code, output = run(tmp_path, "--listen", TCP, "--state-dir", name)
            assert_refused(
                code, output, "livefeed: --state-dir: ", f"/{name}: there is a file where a folder should be"
            )

    def test_help_and_version_need_nothing(self, tmp_path: Path) -> None:
        """--help tells every option, --version the version, and both end well."""
        code, output = run(tmp_path, "--help")
        assert code == 0
        for option in ("source", "feed", "interval", "listen", "cert", "key", "push", "allow-origin", "max-bytes"):
            assert f"--{option}" in output
        code, output = run(tmp_path, "--version")
        assert code == 0
        assert re.fullmatch(r"livefeed \d+\.\d+\S*\n", output)


@pytest.mark.startup
class TestSettingsFile:
    @pytest.mark.parametrize("command", [TWISTD, TWIST], ids=["twistd", "twist"])
    @pytest.mark.parametrize(
        ("text", "refusal"),
        [
            ("\ufeffinterval = 'x'", "interval: 'x' is not a number of seconds from 0.05 to 3600"),
            ("[feeds.a]\nsource = 'demo:'\ninterval = 'x'", "feeds.a.interval: 'x' is not a number of seconds from "),
            ("[feeds.a]\nsource = 'redis://u:hush@h'", "feeds.a.source: the database, a number, is missing"),
            ("[feeds.a]\nsource = 'demo:'\nallow_origin = ['a']", "feeds.a.allow_origin: 'a' is not an origin"),
            ("colour = 'red'", "colour: there is no such setting"),
            ("listen = ['tcp:port']", "listen: tcp:port: "),
            ("listen = ['tls:0']\ncert = 'c.pem'\nkey = 'k.pem'", "cert: {folder}/c.pem: No such file or directory"),
            ("source = redis://:hush@h/0/k", "is not TOML: "),
        ],
    )
    def test_what_cannot_be_is_refused(self, tmp_path: Path, command: tuple[str, ...], text: str, refusal: str) -> None:
        """The refusal is one line with the file, the line and the key, and the exit code is 1."""
        folder = tmp_path / "etc"
        folder.mkdir()
        (folder / "livefeed.toml").write_text(text)
        code, output = run(tmp_path, "--config", "etc/livefeed.toml", command=command)
        assert code == 1
        begin = rf"livefeed: etc/livefeed\.toml:[0-9]: {re.escape(refusal.format(folder=folder))}"
        assert re.match(begin, output), output
        assert len(output.splitlines()) == 1, output
        assert "hush" not in output

    def test_files_that_cannot_be_read_are_refused(self, tmp_path: Path) -> None:
        """Missing files, files that are too large, and files that are not text."""
        (tmp_path / "large.toml").write_text("#" * 1_048_577)
        (tmp_path / "binary.toml").write_bytes(b"\xff\xff")
        (tmp_path / "utf16.toml").write_bytes("interval = 1".encode("utf-16"))
        for name, why in (
            ("missing.toml", "cannot be read: No such file or directory"),
            (".", "cannot be read: Is a directory"),
            ("large.toml", "is larger than 1048576 bytes"),
            ("binary.toml", "is not UTF-8, at byte 0"),
            ("utf16.toml", "is not UTF-8, at byte 0; it seems to be UTF-16: save it as UTF-8"),
        ):
            assert run(tmp_path, "--config", name) == (1, f"livefeed: {name}: {why}\n")

    def test_a_variable_that_cannot_be_is_refused(self, tmp_path: Path) -> None:
        """The refusal names the variable."""
        code, output = run(tmp_path, variables={"LIVEFEED_PUSH": "never"})
        assert (code, output) == (1, "livefeed: LIVEFEED_PUSH: 'never' is not tick or change\n")

    def test_a_port_in_use_is_refused_by_its_place(self, tmp_path: Path) -> None:
        """The message names the place of the endpoint in the file, and no option."""
        with closing(socket.create_server((HOST, 0))) as sock:
            endpoint = f"tcp:{sock.getsockname()[1]}:interface={HOST}"
            (tmp_path / "livefeed.toml").write_text(f"listen = ['{endpoint}']")
            code, output = run(tmp_path, "--config", "livefeed.toml")
        assert_refused(code, output, f"livefeed: livefeed.toml:1: listen: {endpoint}: ", "in use")

    def test_is_read_before_privileges_are_given_up(self, start: Start, tmp_path: Path) -> None:
        """The file, with its passwords, may be readable by root alone."""
        folders = (*Path(__file__).parents, *Path(sys.prefix).parents)
        if os.getuid() != 0 or not all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders):
            pytest.skip("only root has privileges to give up, and only where others may read the sources")
        path = tmp_path / "livefeed.toml"
        path.write_text("feed = 'results'")
        path.chmod(0o600)
        livefeed = start("--config", "livefeed.toml", command=(*TWISTD, "--uid", "65534", "--gid", "65534"))
        status = Path(f"/proc/{livefeed.pid}/status").read_text()
        assert re.search(r"^Uid:\t65534\t65534\t", status, re.MULTILINE)
        assert livefeed.http.get("/results").status_code == 200
        assert livefeed.terminate() == 0

    def test_the_command_line_counts_most(self, start: Start, tmp_path: Path) -> None:
        """Then the environment, then the file."""
        (tmp_path / "livefeed.toml").write_text("feed = 'of_file'\ninterval = 'no number'")
        code, output = run(tmp_path, "--config", "livefeed.toml", variables={"LIVEFEED_INTERVAL": "soon"})
        assert_refused(code, output, "LIVEFEED_INTERVAL: 'soon'")
        livefeed = start("--config", "livefeed.toml", "--interval", "0.5", listen=(TCP,))
        assert livefeed.http.get("/-/feeds.json").json()["feeds"][0]["interval_s"] == 0.5
        assert livefeed.http.get("/of_file").status_code == 200


@pytest.mark.startup
class TestDevelopmentCertificate:
    def test_is_made_once_and_used_again(self, tmp_path: Path) -> None:
        """Without --cert one is made in the data home, logged, kept to its owner, and used by the next start."""
        served, logs, seen = [], [], []
        directory = tmp_path / "data" / "livefeed" / "certs"
        for _ in range(2):
            with Livefeed(directory=tmp_path, certificate=None) as livefeed:
                context = ssl.create_default_context(cafile=directory / "ca.pem")
                with (
                    livefeed.tcp_socket() as sock,
                    context.wrap_socket(sock, server_hostname="localhost") as secure,
                ):
                    certificate = secure.getpeercert(binary_form=True)
                assert certificate is not None
                served.append(certificate)
                logs.append(livefeed.log())
                seen.append({path.name: path.read_bytes() for path in directory.iterdir()})
        assert served[0] == served[1]
        assert seen[0] == seen[1]
        fingerprint = hashlib.sha256(served[0]).hexdigest().upper()
        spaced = ":".join(re.findall("..", fingerprint))
        for log in logs:
            assert str(directory / "cert.pem") in log
            assert spaced in log
        for name in ("key.pem", "ca.key"):
            assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600

    def test_is_not_made_where_none_is_needed(self, tmp_path: Path) -> None:
        """Plain endpoints, and ones with a certificate of their own, leave the data home alone."""
        with Livefeed(directory=tmp_path, certificate=None, listen=(TCP,)):
            assert not (tmp_path / "data").exists()

    def test_that_cannot_be_made_is_refused(self, tmp_path: Path) -> None:
        """If there is no place for it, the message names the place and the remedy."""
        (tmp_path / "data").write_text("a file in the place of the directory")
        code, output = run(tmp_path, "--listen", TLS)
        assert_refused(code, output, str(tmp_path / "data"), "--cert")


@pytest.mark.processes
class TestCommands:
    @pytest.mark.parametrize("command", [TWIST, PYTHON_M_TWISTED], ids=["twist", "python -m twisted"])
    def test_the_other_commands_serve_too(self, start: Start, command: tuple[str, ...]) -> None:
        """The other commands run the same service as twistd, and end as cleanly."""
        livefeed = start(command=command)
        assert livefeed.http.get("/feed").status_code == 200
        with livefeed.websocket() as subscriber:
            assert subscriber.recv(timeout=WAIT_S)
        assert livefeed.terminate() == 0

    @pytest.mark.startup
    def test_a_daemon_that_cannot_listen_says_so(self, tmp_path: Path) -> None:
        """The command ends with exit code 1 and the reason, and leaves nothing behind."""
        pidfile = tmp_path / "twistd.pid"
        with socket.create_server((HOST, 0)) as taken:
            code, output = run(
                tmp_path,
                *("--listen", f"tcp:{taken.getsockname()[1]}:interface={HOST}"),
                command=(TWISTD[0], f"--pidfile={pidfile}", f"--logfile={tmp_path / 'twistd.log'}"),
            )
        assert (code, pidfile.exists()) == (1, False), output
        assert "--listen" in output
        assert "Address already" in output

    @pytest.mark.parametrize("where", ["options", "file"])
    def test_a_daemon_serves_a_file_by_its_relative_path(self, tmp_path: Path, where: str) -> None:
        """Detached, livefeed finds a file that was named from where it was started, logs, and stops on SIGTERM."""
        document = b'{"relative": 1.0}'
        directory = tmp_path / "some where"
        directory.mkdir()
        (directory / "document.json").write_bytes(document)
        (directory / "a.toml").write_text('push = "change"\nsource = "file:document.json"')
        port = free_port()
        pidfile, logfile = tmp_path / "twistd.pid", tmp_path / "twistd.log"
        code, output = run(
            directory,
            *("--listen", f"tcp:{port}:interface={HOST}"),
            *({"options": ("--source", "file:document.json", "--push=change"), "file": ("--config", "a.toml")}[where]),
            command=(TWISTD[0], f"--pidfile={pidfile}", f"--logfile={logfile}"),
        )
        # The command ends when the daemon has started, so that it listens by now.
        assert code == 0, output
        daemon = os.pidfd_open(int(pidfile.read_text()))
        ended = select.poll()
        ended.register(daemon, select.POLLIN)
        try:
            with httpx.Client(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=WAIT_S) as client:
                # The push is the event that tells of the first pull.
                with socket.create_connection((HOST, port), timeout=WAIT_S) as sock:
                    wire = Wire(sock)
                    wire.send(handshake())
                    assert wire.response().status == 101
                    assert wire.frame() == (TEXT, document)
                assert client.get("/feed").content == document
            signal.pidfd_send_signal(daemon, signal.SIGTERM)
            assert ended.poll(5000), logfile.read_text()
        finally:
            if not ended.poll(0):
                signal.pidfd_send_signal(daemon, signal.SIGKILL)
            os.close(daemon)
        log = logfile.read_text()
        assert "listening on tcp:" in log
        assert f"file:{directory}/document.json" in log
        assert "Server Shut Down" in log
        assert "Traceback" not in log
        assert not pidfile.exists()


class TestEndpoints:
    def test_plain_http_and_tls_at_once(self, start: Start) -> None:
        """Two endpoints serve the same versions."""
        livefeed = start("--push=change", listen=(TCP, TLS))
        assert set(livefeed.ports) == {"http", "https"}
        for scheme in livefeed.ports:
            with livefeed.wire(scheme) as wire:
                wire.send(REQUEST)
                response = wire.response()
                assert response.status == 200
                assert response.headers["Livefeed-State"] == "live"
        with livefeed.websocket() as subscriber:
            assert subscriber.recv(timeout=WAIT_S)

    def test_a_unix_socket(self, start: Start, tmp_path: Path) -> None:
        """A socket in the file system serves the document, and is gone afterwards."""
        path = tmp_path / "socket"
        livefeed = start(listen=(f"unix:{path}",))
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://localhost", timeout=WAIT_S) as client:
            assert client.get("/feed").status_code == 200
            assert client.get("/").status_code == 200
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(WAIT_S)
            sock.connect(str(path))
            wire = Wire(sock)
            wire.send(b"POST /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
            assert wire.response().status == 405
            assert wire.rest() == b""
        assert livefeed.terminate() == 0
        assert not path.exists()

    def test_twisteds_own_ssl(self, start: Start, certificate: DevelopmentCertificate) -> None:
        """Twisted's own TLS endpoint serves the document and the WebSocket."""
        endpoint = f"ssl:0:interface={HOST}:privateKey={certificate.key}:certKey={certificate.cert}"
        livefeed = start(listen=(endpoint,))
        assert livefeed.http.get("/feed").status_code == 200
        with livefeed.websocket() as subscriber:
            assert subscriber.recv(timeout=WAIT_S)
        assert livefeed.terminate() == 0

    def test_a_certificate_of_an_endpoints_own(self, tmp_path: Path, certificate: DevelopmentCertificate) -> None:
        """An endpoint can name its files, and then no other certificate is asked for."""
        endpoint = f"{TLS}:cert={certificate.cert}:key={certificate.key}"
        with Livefeed(directory=tmp_path, certificate=None, listen=(endpoint,)) as livefeed:
            context = ssl.create_default_context(cafile=certificate.ca)
            with (
                livefeed.tcp_socket() as sock,
                context.wrap_socket(sock, server_hostname=HOST) as secure,
            ):
                wire = Wire(secure)
                wire.send(REQUEST)
                assert wire.response().status == 200
            assert not (tmp_path / "data").exists()

    def test_a_folder_of_certificates(self, tmp_path: Path) -> None:
        """Each name has its own certificate; unknown names, which clients can make up in any number, are not logged."""
        folder, root = tmp_path / "certificates", Holder("root")
        folder.mkdir()
        (tmp_path / "root.pem").write_bytes(root.issue(root))
        for name in ("a.test", "b.test"):
            holder = Holder(name)
            (folder / f"{name}.pem").write_bytes(root.issue(holder, [name]) + holder.pem())
        context = ssl.create_default_context(cafile=tmp_path / "root.pem")
        with Livefeed(directory=tmp_path, certificate=None, listen=(f"tls:{folder}:0:interface={HOST}",)) as livefeed:
            for name in ("a.test", "b.test"):
                with livefeed.tcp_socket() as sock, context.wrap_socket(sock, server_hostname=name) as secure:
                    wire = Wire(secure)
                    wire.send(REQUEST)
                    assert wire.response().status == 200
            mark = livefeed.mark()
            for number in range(20):
                with livefeed.tcp_socket() as sock, pytest.raises(ssl.SSLCertVerificationError):
                    context.wrap_socket(sock, server_hostname=f"{number}.test")
            livefeed.process.signal(signal.SIGHUP)
            livefeed.wait_for_log(r"reloaded \(changes: 0", start=mark)
            assert len(livefeed.log(mark).splitlines()) == 1, livefeed.log(mark)
            assert not (tmp_path / "data").exists()

    @pytest.mark.startup
    def test_a_folder_with_a_ca_is_refused(self, tmp_path: Path, certificate: DevelopmentCertificate) -> None:
        """The refusal is one line; Twisted's own endpoint would search the folder forever."""
        code, output = run(tmp_path, "--listen", f"tls:{certificate.ca.parent}:0")
        assert code == 1
        assert output.startswith(
            f"livefeed: --listen: {certificate.ca}: a CA that has signed itself is not for a server"
        )
        assert len(output.splitlines()) == 1, output
