"""The servers that are compared: each has one core, and serves one document at ``/feed``."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.tls.development import DevelopmentCertificate

HOST = "127.0.0.1"
SERVER_CORE, LOAD_CORE = 0, 1
START_S = 30
CIPHERSUITE = "TLS_AES_128_GCM_SHA256"
"""The cipher suite of all servers in TLS 1.3. livefeed and Go prefer it by default; OpenSSL prefers a slower one."""

Kind = Literal["request", "websocket", "events"]
KINDS_OF_FOLLOWING: tuple[Kind, ...] = ("request", "websocket", "events")
"""Requests that wait for the next version, WebSockets, and event streams."""

FEEDS = ("one", "two", "three", "four", "five")

UNIT = ("PYTHONMALLOC=malloc", "GLIBC_TUNABLES=glibc.malloc.hugetlb=1")
"""Variables of livefeed's environment, as in the unit in ``docs/operations.md``."""


@dataclass
class Setting:
    """The setting that all servers are started with.

    :ivar directory: the directory that they may write to.
    :ivar document: the file that they serve.
    :ivar other: the directory of another checkout of livefeed, to be compared with this one; ``None`` if there is none.
    """

    directory: Path
    document: Path
    certificate: DevelopmentCertificate
    other: Path | None = None


@dataclass
class Server:
    """A server that runs.

    :ivar name: its name in the tables.
    :ivar port: of HTTPS.
    :ivar plain_port: of HTTP; 0 if it has none.
    :ivar publish: makes a new version of the document; ``None`` if it is read from the file.
    """

    followed_by: ClassVar[tuple[Kind, ...]] = ()
    """The ways in which clients can be sent each new version."""

    name: str
    setting: Setting
    port: int = 0
    plain_port: int = 0
    subscribe_path: str = "/feed.ws"
    events_path: str = "/feed.sse"
    wait_path: str = "/feed"
    wait_line: str = "Prefer: wait=50\r\n"
    publish: Callable[[bytes], None] | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Starts the processes."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.port, self.plain_port = free_ports(2)
        self.start()
        try:
            wait_for_port(self.port, self.processes)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the processes."""
        self.resume()  # a paused process does not handle SIGTERM
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def pause(self) -> None:
        """Stops the processes where they are, so that they take nothing of the core that all servers share."""
        self._signal(signal.SIGSTOP, self.pids())

    def resume(self) -> None:
        """Lets the processes go on: first those that others look after, which would take them for hung."""
        self._signal(signal.SIGCONT, self.pids()[::-1])

    def _signal(self, number: signal.Signals, pids: list[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    @property
    def slug(self) -> str:
        """The name, as part of a path."""
        return re.sub(r"\W+", "-", self.name)

    def run(self, *arguments: str | Path, directory: Path | None = None) -> None:
        """Starts a process on the servers' core."""
        log = (self.setting.directory / f"{self.slug}.log").open("ab")
        with log:
            process = subprocess.Popen(
                ["taskset", "-c", str(SERVER_CORE), *map(str, arguments)],
                cwd=directory or self.setting.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "GOMAXPROCS": "1"},
            )
        self.processes.append(process)

    def pids(self) -> list[int]:
        """Gives the processes, and theirs."""
        # One that has ended and was waited for has a number that may be another's by now.
        found, queue = [], [process.pid for process in self.processes if process.returncode is None]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with suppress(FileNotFoundError):  # a thread that has ended meanwhile
                    queue += [int(child) for child in task.read_text().split()]
        return found

    def cpu_seconds(self) -> float:
        """Gives the processor time that they have taken."""
        return sum(map(_cpu_seconds, self.pids()))

    def first_cpu_seconds(self) -> float:
        """Gives the processor time of the process that was started first: the parent, if there are workers."""
        return _cpu_seconds(self.processes[0].pid)

    def memory_bytes(self) -> int:
        """Gives the memory in bytes that they have in use, with shared memory counted once."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total


class Livefeed(Server):
    """livefeed, with one of its transports."""

    followed_by = KINDS_OF_FOLLOWING
    transport = "fast"
    source: str | None = None
    workers = 0

    def root(self) -> Path:
        """Gives the directory with the source code."""
        return Path(__file__).parents[2]

    def start(self) -> None:
        certificate = self.setting.certificate
        pauses = self.setting.directory / "pauses"
        arguments: list[str | Path] = [sys.executable, "-m", "tests.bench.paused", pauses]
        arguments += ["--nodaemon", "--pidfile=", "livefeed"]
        arguments += [*self.source_arguments(), "--transport", self.transport]
        arguments += ["--listen", f"tls:{self.port}:interface={HOST}"]
        arguments += ["--listen", f"tcp:{self.plain_port}:interface={HOST}"]
        arguments += ["--cert", certificate.cert, "--key", certificate.key]
        arguments += self.more_arguments()
        root = self.root()
        self.run("env", f"PYTHONPATH={root}", *UNIT, *arguments, directory=root)

    def source_arguments(self) -> list[str]:
        """Gives the options that name the sources."""
        return ["--source", self.source or f"file:{self.setting.document}"]

    def more_arguments(self) -> list[str]:
        """Gives the options that not every livefeed has."""
        return ["--instance", f"bench-{self.port}", *(["--workers", str(self.workers)] if self.workers else [])]

    def longest_pause_ms(self) -> float:
        """Gives how long the garbage collector has stopped it at most, since it was last asked."""
        pauses = self.setting.directory / "pauses"
        longest = float(pauses.read_text()) if pauses.exists() else 0.0
        pauses.unlink(missing_ok=True)
        return longest


class LivefeedDemo(Livefeed):
    """livefeed with its small demonstration, of which each second a little changes."""

    source = "demo:?kind=small"


class LivefeedAnnounced(Livefeed):
    """livefeed that reads a file only when the file changes.

    With a tick each second, some ticks would come between two changes: subscribers by delta would be sent heartbeats,
    and others the same document again.
    """

    def more_arguments(self) -> list[str]:
        return [*super().more_arguments(), "--interval", "3600"]


class LivefeedFeeds(LivefeedAnnounced):
    """livefeed with several feeds, each of which is a file."""

    def files(self) -> dict[str, Path]:
        """Gives the file of each feed, by the feed's name."""
        directory = self.setting.directory / self.slug
        directory.mkdir(exist_ok=True)
        return {name: directory / f"{name}.json" for name in FEEDS}

    def source_arguments(self) -> list[str]:
        config = self.setting.directory / f"{self.slug}.toml"
        files = self.files()
        for path in files.values():
            path.write_bytes(self.setting.document.read_bytes())
        config.write_text("".join(f'[feeds.{name}]\nsource = "file:{path}"\n' for name, path in files.items()))
        return ["--config", str(config)]


class OtherLivefeed(Livefeed):
    """livefeed from another checkout, with the interpreter and the packages of this one."""

    def root(self) -> Path:
        assert self.setting.other is not None
        return self.setting.other

    def more_arguments(self) -> list[str]:
        return []


class LivefeedWorkers(Livefeed):
    """livefeed with workers, which share the servers' core with their parent."""

    workers = 2

    def start(self) -> None:
        log = self.setting.directory / f"{self.slug}.log"
        known = log.stat().st_size if log.exists() else 0
        super().start()
        # The port takes connections as soon as the parent has bound it.
        deadline = time.monotonic() + START_S
        while log.read_bytes()[known:].count(b" is ready (process ") < self.workers:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: its workers are not ready after {START_S} s")
            time.sleep(0.05)

    def connections(self) -> list[int]:
        """Gives the number of open files of each worker; few of them are not connections."""
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in sorted(self.pids()[1:])]


class LivefeedWorker(LivefeedWorkers):
    """livefeed with one worker: the difference to one process is that of the code, and not of the shared core."""

    workers = 1


class LivefeedTwisted(Livefeed):
    """livefeed on Twisted's own transport."""

    transport = "twisted"


class TwistedWeb(Server):
    """twisted.web as its documentation has it."""

    def start(self) -> None:
        certificate = self.setting.certificate
        here = Path(__file__).parent
        self.run(
            sys.executable, here / "twisted_web.py", str(self.port), str(self.plain_port),
            certificate.cert, certificate.key, self.setting.document, CIPHERSUITE,
        )  # fmt: skip


class Go(Server):
    """Go's net/http."""

    def start(self) -> None:
        certificate = self.setting.certificate
        binary = self.setting.directory / "gobench"
        if not binary.exists():
            source = Path(__file__).parent / "go"
            subprocess.run(["go", "build", "-o", str(binary), "."], cwd=source, check=True)
        for port, kind in ((self.port, "tls"), (self.plain_port, "tcp")):
            self.run(binary, f"{HOST}:{port}", kind, certificate.cert, certificate.key, self.setting.document)


NGINX = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
worker_rlimit_nofile 100000;
{modules}
events {{ worker_connections 30000; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_timeout 75;
    keepalive_requests 1000000000;
    open_file_cache max=10;
    sendfile on;
    gzip_static {gzip_static};
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_conf_command Ciphersuites {ciphersuite};
    server {{
        listen {host}:{port} ssl backlog=4096;
        listen {host}:{plain_port} backlog=4096;
        location = /feed {{
            root {directory}/www;
            add_header Cache-Control "public, max-age=1";
            add_header Access-Control-Allow-Origin "*";
        }}
        {extra}
    }}
}}
"""


class Nginx(Server):
    """nginx, one worker, a static file."""

    modules = ""
    extra = ""

    def start(self) -> None:
        directory, certificate = self.setting.directory / self.slug, self.setting.certificate
        (directory / "www").mkdir(parents=True, exist_ok=True)
        shutil.copy(self.setting.document, directory / "www" / "feed")
        subprocess.run(["gzip", "-kf", str(directory / "www" / "feed")], check=True)
        configuration = directory / "nginx.conf"
        configuration.write_text(
            NGINX.format(
                directory=directory, cert=certificate.cert, key=certificate.key, host=HOST, port=self.port,
                plain_port=self.plain_port, modules=self.modules, extra=self.extra, gzip_static="on",
                ciphersuite=CIPHERSUITE,
            )
        )  # fmt: skip
        os.chmod(self.setting.directory, 0o755)
        self.run("nginx", "-p", directory, "-c", configuration, "-g", "user root;")


class Nchan(Nginx):
    """nginx with nchan: a publisher's location, and subscribers on WebSockets."""

    followed_by = KINDS_OF_FOLLOWING
    modules = "load_module /usr/lib/nginx/modules/ngx_nchan_module.so;"
    extra = """
        location = /publish {
            nchan_publisher; nchan_channel_id feed; nchan_message_buffer_length 1; client_max_body_size 8m;
        }
        location = /feed.ws {
            nchan_subscriber websocket; nchan_channel_id feed; nchan_subscriber_first_message oldest;
        }
        location = /feed.sse {
            nchan_subscriber eventsource; nchan_channel_id feed; nchan_subscriber_first_message oldest;
        }
        location = /feed.wait {
            nchan_subscriber longpoll; nchan_channel_id feed; nchan_subscriber_first_message oldest;
        }
    """

    def start(self) -> None:
        super().start()
        self.publish = self._publish
        self.wait_path, self.wait_line = "/feed.wait", ""

    def _publish(self, document: bytes) -> None:
        head = b"POST /publish HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(document)
        with socket.create_connection((HOST, self.plain_port), timeout=30) as sock:
            sock.sendall(head + document)
            while sock.recv(65536):
                pass


class VarnishHitch(Server):
    """Varnish, with hitch in front of it for TLS, and nginx's file behind it."""

    def start(self) -> None:
        directory, certificate = self.setting.directory / self.slug, self.setting.certificate
        directory.mkdir(exist_ok=True)
        self._origin = Nginx(f"{self.name}, origin", self.setting)
        self._origin.__enter__()
        pem = directory / "both.pem"
        pem.write_bytes(certificate.key.read_bytes() + certificate.cert.read_bytes())
        vcl = directory / "default.vcl"
        vcl.write_text(
            f'vcl 4.1; backend default {{ .host = "{HOST}"; .port = "{self._origin.plain_port}"; }}\n'
            # By itself it takes nothing from memory for a request that has cookies.
            "sub vcl_recv { unset req.http.Cookie; }\n"
            "sub vcl_backend_response { set beresp.ttl = 1h; }\n"
        )
        # While it is paused, its two processes hear nothing of each other.
        self.run("varnishd", "-F", "-n", directory / "work", "-a", f"{HOST}:{self.plain_port}", "-f", vcl,
                 "-s", "malloc,64m", "-p", "cli_timeout=3600")  # fmt: skip
        wait_for_port(self.plain_port, self.processes)
        configuration = directory / "hitch.conf"
        configuration.write_text(f'ciphersuites = "{CIPHERSUITE}"\n')
        self.run("hitch", f"--config={configuration}", f"--frontend=[{HOST}]:{self.port}",
                 f"--backend=[{HOST}]:{self.plain_port}", "--workers=1", "--user=nobody", pem)  # fmt: skip

    def pause(self) -> None:
        super().pause()
        self._origin.pause()

    def resume(self) -> None:
        if hasattr(self, "_origin"):
            self._origin.resume()
        super().resume()

    def stop(self) -> None:
        super().stop()
        if hasattr(self, "_origin"):
            self._origin.stop()


ONE_WORKER, TWO_WORKERS, OTHER = "livefeed, one worker", "livefeed, two workers", "livefeed, the other"

KINDS: dict[str, tuple[type[Server], tuple[str, ...]]] = {
    "livefeed": (Livefeed, ()),
    "nginx": (Nginx, ("nginx",)),
    "Go net/http": (Go, ("go",)),
    "nginx + nchan": (Nchan, ("nginx", "/usr/lib/nginx/modules/ngx_nchan_module.so")),
    "varnish behind hitch": (VarnishHitch, ("nginx", "varnishd", "hitch")),
    "twisted.web": (TwistedWeb, ()),
    "livefeed, Twisted's transport": (LivefeedTwisted, ()),
    ONE_WORKER: (LivefeedWorker, ()),
    TWO_WORKERS: (LivefeedWorkers, ()),
    OTHER: (OtherLivefeed, ()),
}
"""The servers, in the order of their turns, and what must be installed for each."""


COMPARED = tuple(name for name in KINDS if name not in (ONE_WORKER, TWO_WORKERS, OTHER))
"""The servers of the tables that compare livefeed with others: one process has one core."""


def missing(name: str) -> list[str]:
    """Gives the programs and files that a server needs and that are not installed."""
    return [need for need in KINDS[name][1] if not (Path(need).exists() if "/" in need else shutil.which(need))]


def missing_tools(names: list[str], *, wrk: bool = True) -> list[str]:
    """Gives the missing tools of the bench itself for these servers: gzip makes nginx's coded file.

    :param wrk: whether wrk makes the load.
    """
    is_nginx = any("nginx" in KINDS[name][1] for name in names)
    needed = ["taskset"] + ["wrk"] * wrk + ["gzip"] * is_nginx
    return [need for need in needed if not shutil.which(need)]


def _cpu_seconds(pid: int) -> float:
    # As clock_getcpuclockid(3) makes it: the process's own clock, in nanoseconds, where /proc has hundredths.
    return time.clock_gettime(~pid << 3 | 2)


def free_ports(count: int) -> list[int]:
    """Gives ports that no socket listens on now.

    They are below the ports that the kernel gives to connections by itself, which could otherwise take them first.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(10_000, 32_768)
        with suppress(OSError), closing(socket.create_server((HOST, port))):
            ports += [port] * (port not in ports)
    return ports


def wait_for_port(port: int, processes: list[subprocess.Popen[bytes]]) -> None:
    """Returns when a port takes connections."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        for process in processes:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} has ended with exit code {process.returncode}")
        with closing(socket.socket()) as sock:
            sock.settimeout(1)
            if sock.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")
