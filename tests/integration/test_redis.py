"""Features of the Redis family alone: fail-overs, slots that move, announced changes, verified TLS."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.helpers.waiting import wait_until
from tests.integration.harness import HOST, WAIT_S, Polling, Process, Redis, free_port, redis_server
from tests.integration.stores.redis import ClusterStore, SentinelStore, StringStore, TLSStore, tls_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed

pytestmark = pytest.mark.sources

FAST = ("--interval", "0.2")
RARELY = ("--interval", "3600")
STALE = 'feed "feed" is (?:still )?stale'
ANNOUNCED = "changes are announced by"


class QuickSentinelStore(SentinelStore):
    """A group that fails over as soon as it can."""

    down_after_ms = 500


def is_master(redis: Redis) -> bool:
    """Tells whether a server is a master. While it becomes one, it cuts its connections."""
    try:
        return bool(redis.command("ROLE")[0] == b"master")
    except (AssertionError, OSError):
        return False


def passes_by(livefeed: Livefeed, polling: Polling) -> None:
    """Fails if a watcher has seen an error, or documents in another order than that of their numbers."""
    assert polling.failures == []
    assert {answer.status for answer in polling.answers} == {200}
    documents = [answer.body for answer in polling.answers]
    assert documents == sorted(documents)
    livefeed.assert_unbroken()
    assert not any(secret in livefeed.log() for secret in SentinelStore.secrets)


class TestSentinel:
    @pytest.fixture
    def group(self, tmp_path: Path) -> Iterator[QuickSentinelStore]:
        with QuickSentinelStore(tmp_path) as group:
            group.start()
            group.put(1)
            wait_until(lambda: group.replica.command("GET", "results"), "the replica has not got it")
            for sentinel in group.sentinels:
                wait_until(lambda sentinel=sentinel: self._knows_all(sentinel), "sentinels do not know each other")  # type: ignore[misc]
            yield group

    def _knows_all(self, sentinel: Redis) -> bool:
        state = sentinel.command("SENTINEL", "MASTER", "main")
        known = dict(zip(state[::2], state[1::2], strict=True))
        return bool(known[b"num-slaves"] == b"1" and known[b"num-other-sentinels"] == b"2")

    def test_fail_over(self, group: QuickSentinelStore, start: Start) -> None:
        """The source follows a replica as soon as it has replaced the dead master."""
        livefeed = start("--source", group.source(None), *FAST)
        with Polling(livefeed, pause_s=0.02) as polling:
            polling.wait_for(lambda answer: answer.state == "live")
            group.master.kill()
            polling.wait_for(lambda answer: answer.state == "stale")
            wait_until(lambda: is_master(group.replica), "no fail-over")
            group.replica.command("SET", "results", group.document(2))
            polling.wait_for(lambda answer: answer.state == "live" and answer.body == group.document(2))
            assert polling.states == ["live", "stale", "live"]
        passes_by(livefeed, polling)

    def test_switch(self, group: QuickSentinelStore, start: Start) -> None:
        """A master that steps down is left at once; the rights are those that the documentation names."""
        for sentinel in group.sentinels:
            rights = "resetchannels +sentinel|get-master-addr-by-name +subscribe &+switch-master"
            sentinel.command("ACL", "SETUSER", "livefeed", "on", ">sentry", *rights.split())
        for node in (group.master, group.replica):
            rights = "resetchannels ~results +getrange +select +role"
            node.command("ACL", "SETUSER", "livefeed", "on", ">hush", *rights.split())
        source = group.source(None).replace("//:hush@", "//livefeed:hush@")
        livefeed = start("--source", f"{source}&sentinel-user=livefeed", *FAST)
        livefeed.wait_for_log(r"announced by .* on \+switch-master")
        with Polling(livefeed, pause_s=0.02) as polling:
            polling.wait_for(lambda answer: answer.state == "live")
            group.sentinels[0].command("SENTINEL", "FAILOVER", "main")
            wait_until(lambda: is_master(group.replica), "no fail-over")
            group.replica.command("SET", "results", group.document(2))
            polling.wait_for(lambda answer: answer.state == "live" and answer.body == group.document(2))
        passes_by(livefeed, polling)


class TestCluster:
    def test_slot_that_moves(self, tmp_path: Path, start: Start) -> None:
        """While the key moves to another node, and then the slot, the document is followed without a failed pull."""
        with ClusterStore(tmp_path) as cluster:
            cluster.start()
            cluster.put(1)
            for node in cluster.nodes:
                rights = ("resetchannels", "~results", "+getrange", "+asking")
                node.command("ACL", "SETUSER", "livefeed", "on", ">hush", *rights)
            livefeed = start("--source", cluster.source(None).replace("//", "//livefeed:hush@"), *FAST)
            target, _, source = cluster.nodes
            slot = str(source.command("CLUSTER", "KEYSLOT", "results"))
            ids = {node: node.command("CLUSTER", "MYID") for node in cluster.nodes}
            with Polling(livefeed, pause_s=0.02) as polling:
                polling.wait_for(lambda answer: answer.state == "live", count=2)
                target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
                source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
                source.command("MIGRATE", HOST, str(target.port), "results", "0", "5000")
                polling.wait_for(lambda _: True, count=30)
                for node in cluster.nodes:
                    node.command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
                target.command("SET", "results", cluster.document(2))
                polling.wait_for(lambda answer: answer.body == cluster.document(2))
                assert polling.states == ["live"]
            passes_by(livefeed, polling)
            assert not re.search(STALE, livefeed.log())

    def test_seed_that_is_gone(self, tmp_path: Path, start: Start) -> None:
        """Another one is asked, and the feed is live from the start."""
        with ClusterStore(tmp_path) as cluster:
            cluster.start()
            cluster.put(1)
            cluster.nodes[0].kill()
            livefeed = start("--source", cluster.source(None), *FAST)
            assert not re.search(STALE, livefeed.log())
            assert livefeed.http.get("/feed").content == cluster.document(1)


class TestReplica:
    """A replica that is pulled from by its own address, without sentinels."""

    rights = ("resetchannels", "~results", "+getrange", "+select")

    @pytest.fixture
    def servers(self, tmp_path: Path) -> Iterator[tuple[Redis, Redis]]:
        """Gives a master, and its replica, which has the document."""
        for name in ("master", "replica"):
            (tmp_path / name).mkdir()
        with Redis(tmp_path / "master", "--repl-diskless-sync-delay", "0") as master:
            master.command("SET", "results", "[1]")
            with Redis(tmp_path / "replica", "--replicaof", HOST, str(master.port)) as replica:
                wait_until(lambda: replica.command("GET", "results"), "the replica has not got it")
                yield master, replica

    def source(self, replica: Redis, *rights: str) -> str:
        """Gives the source for a user with these additional rights."""
        replica.command("ACL", "SETUSER", "livefeed", "on", ">hush", *self.rights, *rights)
        return replica.url("results", "livefeed:hush@")

    def test_lost_master(self, servers: tuple[Redis, Redis], start: Start) -> None:
        """The feed is stale while the replica answers without its master, and live when that is back."""
        master, replica = servers
        livefeed = start("--source", self.source(replica, "+info"), *FAST)
        with Polling(livefeed, pause_s=0.02) as polling:
            polling.wait_for(lambda answer: answer.state == "live")
            master.kill()
            polling.wait_for(lambda answer: answer.state == "stale")
            assert replica.command("GET", "results") == b"[1]"
            why = f"the replica has lost its master {HOST}:{master.port}: master_link_status is down, for [0-9]+ s"
            livefeed.wait_for_log(f"{STALE}: .*: {why}")
            polling.wait_for(lambda answer: answer.state == "stale", count=30)
            # One that is started meanwhile has no document at all.
            other = start("--source", self.source(replica, "+info"), *FAST, live=False)
            other.wait_for_log(f"{STALE}: .*: {why}")
            assert other.http.get("/feed").status_code == 503
            master.start()
            master.command("SET", "results", "[2]")
            polling.wait_for(lambda answer: answer.state == "live" and answer.body == b"[2]")
            assert polling.states == ["live", "stale", "live"]
            other.wait_for_log('feed "feed" is live')
        assert polling.failures == []
        assert livefeed.log().count("has lost its master") == 1

    def test_without_the_right(self, servers: tuple[Redis, Redis], start: Start) -> None:
        """The replica is believed, and the log says once that this could not be known."""
        master, replica = servers
        livefeed = start("--source", self.source(replica), *FAST)
        livefeed.wait_for_log("whether .* is a replica that has lost its master cannot be known, .*: NOPERM .*info")
        with Polling(livefeed, pause_s=0.02) as polling:
            master.kill()
            wait_until(lambda: b"master_link_status:down" in replica.command("INFO", "replication"), "it is not lost")
            polling.wait_for(lambda answer: answer.state == "live", count=30)
            assert polling.states == ["live"]
        assert livefeed.log().count("cannot be known") == 1


class TestAnnouncements:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[StringStore]:
        with StringStore(tmp_path) as store:
            store.start()
            store.put(1)
            yield store

    def test_channel(self, store: StringStore, start: Start) -> None:
        """Announced changes reach subscribers although the tick is hours away; also after a lost connection."""
        livefeed = start("--source", f"{store.source(store.port)}?announce=news", *RARELY)
        livefeed.wait_for_log(ANNOUNCED)
        with livefeed.websocket() as subscriber:
            assert subscriber.recv(timeout=WAIT_S) == store.document(1).decode()
            for number in (2, 3):
                store.put(number)
                assert store.redis.command("PUBLISH", "news", "") == 1
                assert subscriber.recv(timeout=WAIT_S) == store.document(number).decode()
            # A change while no connection listens is not missed.
            mark = livefeed.mark()
            store.put(4)
            store.redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            livefeed.wait_for_log(ANNOUNCED, start=mark)
            assert subscriber.recv(timeout=WAIT_S) == store.document(4).decode()
        assert livefeed.terminate() == 0
        wait_until(lambda: store.redis.command("PUBLISH", "news", "") == 0, "somebody still listens")

    def test_keyspace(self, store: StringStore, start: Start) -> None:
        """A SET alone is enough where the server tells of it, and the rights are those that the documentation names."""
        store.redis.command("CONFIG", "SET", "notify-keyspace-events", "KA")
        rights = ("resetchannels", "~results", "+getrange", "+select", "+info", "+subscribe", "+config|get")
        store.redis.command("ACL", "SETUSER", "livefeed", "on", ">hush", *rights, "&__keyspace@0__:results")
        source = store.source(store.port).replace("//", "//livefeed:hush@")
        livefeed = start("--source", f"{source}?announce=keyspace", *RARELY)
        livefeed.wait_for_log(ANNOUNCED)
        with livefeed.websocket() as subscriber:
            assert subscriber.recv(timeout=WAIT_S) == store.document(1).decode()
            for number in (2, 3):
                store.put(number)
                assert subscriber.recv(timeout=WAIT_S) == store.document(number).decode()
        assert "notify-keyspace-events" not in livefeed.log()
        assert "cannot be known" not in livefeed.log()

    def test_server_that_does_not_tell(self, store: StringStore, start: Start) -> None:
        """That is said once, and the ticks go on."""
        livefeed = start("--source", f"{store.source(store.port)}?announce=keyspace", *FAST)
        livefeed.wait_for_log(r"notify-keyspace-events must have K and \$")
        with livefeed.websocket() as subscriber:
            store.put(2)
            while subscriber.recv(timeout=WAIT_S) != store.document(2).decode():
                pass

    def test_cluster(self, tmp_path: Path, start: Start) -> None:
        """Events of the key are told by the node that has it."""
        with ClusterStore(tmp_path) as cluster:
            cluster.start()
            cluster.put(1)
            for node in cluster.nodes:
                node.command("CONFIG", "SET", "notify-keyspace-events", "K$")
            livefeed = start("--source", f"{cluster.source(None)}?announce=keyspace", *RARELY)
            livefeed.wait_for_log(f"{ANNOUNCED} {HOST}:{cluster.nodes[2].port} on __keyspace@0__:results")
            with livefeed.websocket() as subscriber:
                assert subscriber.recv(timeout=WAIT_S) == cluster.document(1).decode()
                cluster.put(2)
                assert subscriber.recv(timeout=WAIT_S) == cluster.document(2).decode()


class TestTLS:
    """livefeed does not talk to a server that it cannot verify, and does not send it the password."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[TLSStore]:
        with TLSStore(tmp_path) as store:
            store.start()
            store.put(1)
            yield store

    def test_what_is_not_verified(self, store: TLSStore, start: Start, tmp_path: Path) -> None:
        """Another CA, the system's CAs, another host, and a server without TLS are refused, each in its own words."""
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(other))
        good = store.source(store.port)
        refused = {
            "another-ca": (good.replace(str(store.ca), str(other)), "TLS: certificate verify failed"),
            "system-ca": (good.partition("?")[0], "TLS: certificate verify failed"),
            "another-host": (good.replace(HOST, "localhost"), "the certificate is not one for this host"),
            "no-tls": (good.replace(f":{store.port}/", f":{store.redis.port}/"), "no answer within 1 s"),
        }
        config = tmp_path / "livefeed.toml"
        config.write_text("".join(f'[feeds.{feed}]\nsource = "{source}"\n' for feed, (source, _) in refused.items()))
        livefeed = start("--config", str(config), live=False)
        for feed, (_, why) in refused.items():
            livefeed.wait_for_log(f'feed "{feed}" is (?:still )?stale: .*(?:{why})')
            assert livefeed.http.get(f"/{feed}").status_code == 503
        assert "hush" not in livefeed.log()
        users = store.redis.command("ACL", "LOG")
        assert users == [], "the password was told, or tried"

    def test_sentinels(self, tmp_path: Path, start: Start) -> None:
        """Sentinels and the master that they name are both talked to with TLS."""
        ca, files = tls_files(tmp_path)
        master_port, sentinel_port = free_port(), free_port()
        common = (*files, "--tls-auth-clients", "no", "--tls-replication", "yes")
        config = tmp_path / "sentinel.conf"
        settings = "".join(f"{name[2:]} {value}\n" for name, value in zip(common[::2], common[1::2], strict=True))
        config.write_text(
            f"port 0\ntls-port {sentinel_port}\nbind {HOST}\n{settings}sentinel monitor main {HOST} {master_port} 1\n"
        )
        with Redis(tmp_path, *common, "--tls-port", str(master_port)) as master:
            master.command("SET", "results", "[1]")
            sentinel = Process([redis_server(), str(config), "--sentinel"], directory=tmp_path)
            try:
                sentinel.wait_for(r"\+monitor")
                livefeed = start("--source", f"rediss+sentinel://{HOST}:{sentinel_port}/main/0/results?ca={ca}", *FAST)
                assert livefeed.http.get("/feed").content == b"[1]"
            finally:
                sentinel.close()

    def test_cluster(self, tmp_path: Path, start: Start) -> None:
        """The node that has the key is talked to with TLS, like the one that names it."""
        ca, files = tls_files(tmp_path)
        with ExitStack() as stack:
            nodes, ports = [], []
            for name in ("one", "two"):
                (tmp_path / name).mkdir()
                ports.append(free_port())
                options = (*files, "--tls-auth-clients", "no", "--tls-cluster", "yes", "--cluster-enabled", "yes")
                node = Redis(
                    tmp_path / name, *options, "--tls-port", str(ports[-1]), "--cluster-port", str(free_port())
                )
                nodes.append(stack.enter_context(node))
            one, two = nodes
            two.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            one.command("CLUSTER", "MEET", HOST, str(ports[1]), two._options[-1])
            for node in nodes:
                wait_until(
                    lambda node=node: b"cluster_state:ok" in node.command("CLUSTER", "INFO"),  # type: ignore[misc]
                    "the cluster is not ok",
                )
            two.command("SET", "results", "[1]")
            livefeed = start("--source", f"rediss+cluster://{HOST}:{ports[0]}/results?ca={ca}", *FAST)
            assert livefeed.http.get("/feed").content == b"[1]"

    def test_certificate_of_the_client(self, tmp_path: Path, start: Start) -> None:
        """A server that requires a certificate gets the configured one."""
        store = TLSStore(tmp_path)
        ca = trustme.CA()
        mine = ca.issue_cert("livefeed.example")
        ca.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
        mine.cert_chain_pems[0].write_to_path(str(tmp_path / "mine.pem"))
        mine.private_key_pem.write_to_path(str(tmp_path / "mine.key"))
        with (tmp_path / "redis-ca.pem").open("ab") as file:
            file.write(ca.cert_pem.bytes())
        store.redis = Redis(tmp_path, *store.options, "--tls-auth-clients", "yes")
        with store:
            store.start()
            store.put(1)
            livefeed = start("--source", store.source(store.port), *FAST, live=False)
            livefeed.wait_for_log(STALE)
            livefeed.terminate()
            files = f"&client-cert={tmp_path}/mine.pem&client-key={tmp_path}/mine.key"
            livefeed = start("--source", f"{store.source(store.port)}{files}", *FAST)
            assert livefeed.http.get("/feed").content == store.document(1)
