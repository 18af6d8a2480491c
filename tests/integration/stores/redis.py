"""The Redis family: one server in three dresses, a group with sentinels, a cluster."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

import trustme

from tests.helpers.peers import peer
from tests.helpers.waiting import wait_until
from tests.integration.harness import HOST, Process, Redis, RedisError, free_port, redis_server
from tests.integration.store import LARGE, Store, registered

if TYPE_CHECKING:
    from pathlib import Path

FLOOD = b"$10485760\r\n"


def tls_files(directory: Path) -> tuple[Path, tuple[str, ...]]:
    """Makes a CA and a certificate, and gives the CA's file and the settings of a server that has them.

    The server is Debian's, since the one that the tests bring along has no TLS.
    """
    peer("redis-server", "redis-server")
    ca = trustme.CA()
    server = ca.issue_cert(HOST)
    paths = [directory / name for name in ("redis-ca.pem", "redis.pem", "redis.key")]
    for blob, path in zip((ca.cert_pem, server.cert_chain_pems[0], server.private_key_pem), paths, strict=True):
        blob.write_to_path(str(path))
    names = ("--tls-ca-cert-file", "--tls-cert-file", "--tls-key-file")
    return paths[0], tuple(word for pair in zip(names, map(str, paths), strict=True) for word in pair)


@registered("redis")
class StringStore(Store):
    """A string in one server, as it is without options."""

    has_middle = True
    flood = FLOOD
    options: tuple[str, ...] = ()

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.redis = Redis(directory, *self.options)

    @property
    def servers(self) -> list[Redis]:
        """Store API."""
        return [self.redis]

    def source(self, port: int | None) -> str:
        """Store API."""
        return f"redis://{HOST}:{port}/0/results"

    def put(self, number: int) -> None:
        """Store API."""
        self.redis.command("SET", "results", self.document(number))

    def put_large(self) -> None:
        """Store API."""
        self.redis.command("SET", "results", LARGE)

    def remove(self) -> None:
        """Store API."""
        self.redis.command("DEL", "results")


@registered("rediss")
class TLSStore(StringStore):
    """A string behind TLS, with a user that may only read it."""

    has_password = True
    secrets = ("hush/hush", "hush%2Fhush")

    def __init__(self, directory: Path) -> None:
        self.ca, files = tls_files(directory)
        self._tls_port = free_port()
        self.options = ("--tls-port", str(self._tls_port), *files, "--tls-auth-clients", "no")
        super().__init__(directory)

    @property
    def port(self) -> int:
        """Store API."""
        return self._tls_port

    def source(self, port: int | None) -> str:
        """Store API."""
        return f"rediss://watcher:hush%2Fhush@{HOST}:{port}/0/results?ca={self.ca}"

    def start(self) -> None:
        """Store API."""
        super().start()
        self.redis.command("ACL", "SETUSER", "watcher", "on", ">hush/hush", "~results", "+getrange", "+select", "+info")

    def lock_out(self) -> None:
        """Store API."""
        self.redis.command("ACL", "SETUSER", "watcher", "resetpass", ">another")
        self.redis.command("CLIENT", "KILL", "USER", "watcher")

    def let_in(self) -> None:
        """Store API."""
        self.redis.command("ACL", "SETUSER", "watcher", "resetpass", ">hush/hush")


@registered("redis+unix")
class HashStore(StringStore):
    """A hash behind a Unix socket, with a password for all."""

    has_middle = False
    has_password = True
    secrets = ("hush@hush", "hush%40hush")

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "redis.sock"
        self.options = ("--unixsocket", str(self.socket))
        super().__init__(directory)
        self.redis.password = "hush@hush"

    def source(self, port: int | None) -> str:
        """Store API."""
        return f"redis+unix://:hush%40hush@{self.socket}?key=results&type=hash&fields=json"

    def document(self, number: int) -> bytes:
        """Store API."""
        return b'{"n":%d,"totals": {"a" : 1.50} ,"\xc3\xbc":"\xc3\xbc\\u00fc"}' % number

    def put(self, number: int) -> None:
        """Store API."""
        fields = (b"\xc3\xbc", b'"\xc3\xbc\\u00fc"', "n", str(number), "totals", b' {"a" : 1.50} ')
        # By another name, so that it is never seen half there, or large.
        self.redis.command("DEL", "new")
        self.redis.command("HSET", "new", *(fields if number % 2 else fields[2:] + fields[:2]))
        self.redis.command("RENAME", "new", "results")

    def put_large(self) -> None:
        """Store API."""
        self.redis.command("HSET", "results", "large", LARGE)

    def lock_out(self) -> None:
        """Store API."""
        self.redis.command("CONFIG", "SET", "requirepass", "another")
        self.redis.password = "another"
        self.redis.command("CLIENT", "KILL", "TYPE", "normal")

    def let_in(self) -> None:
        """Store API."""
        self.redis.command("CONFIG", "SET", "requirepass", "hush@hush")
        self.redis.password = "hush@hush"


class Sentinel(Redis):
    """A sentinel that looks after one group, called ``main``."""

    def __init__(self, directory: Path, master: int, *, down_after_ms: int, password: str) -> None:
        directory.mkdir()
        super().__init__(directory)
        self._file = directory / "sentinel.conf"
        self._file.write_text(
            f"port {self.port}\nbind {HOST}\nrequirepass sentry\nsentinel sentinel-pass sentry\n"
            f"sentinel monitor main {HOST} {master} 2\n"
            f"sentinel auth-pass main {password}\n"
            f"sentinel down-after-milliseconds main {down_after_ms}\n"
            "sentinel failover-timeout main 3000\n"
        )
        self.password = "sentry"

    def start(self) -> None:
        """Starts it, and returns when it takes connections."""
        self._process = Process([redis_server(), str(self._file), "--sentinel"], directory=self._directory)
        self._process.wait_for(r"\+monitor|Sentinel ID is")
        wait_until(self._answers, "the sentinel does not answer")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.command("PING") is not None
        return False


@registered("redis+sentinel")
class SentinelStore(Store):
    """A master, a replica and three sentinels. Nothing fails over here: all of it hangs and dies together."""

    secrets = ("hush", "sentry")
    down_after_ms: ClassVar[int] = 60_000

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.master = self._node("master")
        self.replica = self._node("replica", "--replicaof", HOST, str(self.master.port))
        self.sentinels = [
            Sentinel(directory / f"sentinel-{n}", self.master.port, down_after_ms=self.down_after_ms, password="hush")
            for n in range(3)
        ]

    def _node(self, name: str, *options: str) -> Redis:
        (self.directory / name).mkdir()
        settings = ("--masterauth", "hush", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
        return Redis(self.directory / name, *settings, *options, password="hush")

    @property
    def servers(self) -> list[Redis]:
        """Store API."""
        return [self.master, self.replica, *self.sentinels]

    def source(self, port: int | None) -> str:
        """Store API."""
        sentinels = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:hush@{sentinels}/main/0/results?sentinel-password=sentry"

    def document(self, number: int) -> bytes:
        """Store API."""
        return b'{"n": %d, "a": 1.50} \n' % number

    def put(self, number: int) -> None:
        """Store API."""
        self.master.command("SET", "results", self.document(number))

    def put_large(self) -> None:
        """Store API."""
        self.master.command("SET", "results", LARGE)

    def remove(self) -> None:
        """Store API."""
        self.master.command("DEL", "results")


@registered("redis+cluster")
class ClusterStore(Store):
    """Three masters. The seeds are the two that do not have the key."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.nodes: list[Redis] = []
        for number in range(3):
            (directory / f"node-{number}").mkdir()
            settings = ("--cluster-enabled", "yes", "--cluster-node-timeout", "20000", "--cluster-port")
            self.nodes.append(Redis(directory / f"node-{number}", *settings, str(free_port())))
        self._is_made = False

    @property
    def servers(self) -> list[Redis]:
        """Store API."""
        return self.nodes

    def source(self, port: int | None) -> str:
        """Store API."""
        seeds = ",".join(f"{HOST}:{node.port}" for node in self.nodes[:2])
        return f"redis+cluster://{seeds}/results"

    def start(self) -> None:
        """Store API."""
        super().start()
        if not self._is_made:
            self._is_made = True
            for node, (first, last) in zip(self.nodes, ((10923, 16383), (5461, 10922), (0, 5460)), strict=True):
                node.command("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
            for epoch, node in enumerate(self.nodes, start=1):
                node.command("CLUSTER", "SET-CONFIG-EPOCH", str(epoch))
            first_node, *others = self.nodes
            for node in others:
                bus = node._options[-1]
                first_node.command("CLUSTER", "MEET", HOST, str(node.port), bus)
        for node in self.nodes:
            wait_until(lambda node=node: self._is_ok(node), "the cluster is not ok")  # type: ignore[misc]

    def _is_ok(self, node: Redis) -> bool:
        info = node.command("CLUSTER", "INFO")
        return b"cluster_state:ok" in info and b"cluster_known_nodes:3" in info

    def document(self, number: int) -> bytes:
        """Store API."""
        return b'{"n": %d, "a": 1.50} \n' % number

    def put(self, number: int) -> None:
        """Store API."""
        self.command("SET", "results", self.document(number))

    def put_large(self) -> None:
        """Store API."""
        self.command("SET", "results", LARGE)

    def remove(self) -> None:
        """Store API."""
        self.command("DEL", "results")

    def command(self, *arguments: str | bytes) -> Any:
        """Sends a command to the node that has the key."""
        for node in self.nodes:
            with contextlib.suppress(RedisError):
                return node.command(*arguments)
        raise AssertionError("no node takes it")
