"""The settings on their way to a worker: nothing secret goes, and everything that clients notice arrives."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.settings import FeedSettings, Settings
from livefeed.exceptions import ConfigurationError, LinkError
from livefeed.tls.folder import MAX_FILE_BYTES
from livefeed.tls.tickets import TicketKeys
from livefeed.workers.configuration import memory_file, read_files, settings_of, welcome_of, with_files
from livefeed.workers.messages import Decoder, Message, Welcome, encode


def sent(message: Message) -> Message:
    """Gives the message as the worker receives it."""
    (received,) = Decoder().feed(encode(message))
    return received


class SettingsTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def test_settings_arrive(self) -> None:
        """Settings are the same in a worker, except for its own limits and for what only the parent uses."""
        settings = Settings(
            feeds=(
                FeedSettings(feed="a", source="redis://:hush@h/0/k", allow_origin=("https://a.example",), interval=0.5),
                FeedSettings(feed="b", gone_after=7.0, places={"gone_after": "livefeed.toml"}),
            ),
            listen=("tcp:1", "unix:/run/x.sock"),
            state_dir=Path("/var/lib/x"),
            runtime_dir=Path("/run/x"),
            admin=("tcp:9",),
            admin_token=Path("/etc/token"),
            admin_group="ops",
            accept_rate="none",
            workers="auto",
            orphan_after=60.0,
        )
        message = sent(welcome_of(settings, {}, limits={"max_connections": 500}, want=("a",)))
        welcome = message.read(Welcome)
        self.assertNotIn("hush", msgspec.json.encode(message.facts).decode())
        self.assertEqual((welcome.want, welcome.orphan_after_s, welcome.ticket_key), (["a"], 60.0, None))
        received = settings_of(message, welcome)
        expected = msgspec.structs.replace(
            settings,
            feeds=(msgspec.structs.replace(settings.feeds[0], source="demo:"), settings.feeds[1]),
            state_dir=None,
            runtime_dir=None,
            admin=(),
            admin_token=None,
            admin_group=None,
            max_connections=500,
        )
        self.assertEqual(received, expected)

    def test_settings_that_cannot_be_read(self) -> None:
        """Those of another release end the link in words."""
        message = sent(welcome_of(Settings(), {}, limits={"max_connections": 1}))
        for name, value in (("transport", "slow"), ("cert", 3), ("unknown", 1)):
            welcome = msgspec.structs.replace(
                message.read(Welcome), settings={**message.facts["settings"], name: value}
            )
            with self.assertRaisesRegex(LinkError, "the settings cannot be read"):
                settings_of(message, welcome)
        with self.assertRaisesRegex(LinkError, "the settings cannot be read"):
            settings_of(message, msgspec.structs.replace(message.read(Welcome), limits={"nothing": 1}))

    def test_certificates_arrive_as_bytes(self) -> None:
        """A worker needs no right to read the files: it has them in memory, in the settings and in descriptions."""
        cert, key = self.file("cert.pem", b"CERT"), self.file("key.pem", b"KEY")
        odd = self.file("a:b.pem", b"ODD")
        escaped = str(odd).replace(":", "\\:")
        settings = Settings(
            cert=cert,
            key=key,
            listen=(
                "tls:8443",
                f"tls:1:cert={escaped}:key={key}",
                f"ssl:1:privateKey={key}:certKey={cert}",
                f"haproxy:tls:1:cert={cert}:key={key}",
                f"tls:{self.folder}:443",
                f"unix:{cert}",
            ),
        )
        files = read_files(settings)
        self.assertEqual(files, {str(cert): b"CERT", str(key): b"KEY", str(odd): b"ODD"})
        keys = TicketKeys.new()
        message = sent(welcome_of(settings, files, keys))
        welcome = message.read(Welcome)
        assert welcome.ticket_key is not None
        self.assertEqual(message.payload(welcome.ticket_key), keys.data)
        for path in files:
            Path(path).unlink()
        received = settings_of(message, welcome)
        assert received.cert is not None
        assert received.key is not None
        self.assertEqual((received.cert.read_bytes(), received.key.read_bytes()), (b"CERT", b"KEY"))
        self.assertEqual(received.listen[0], "tls:8443")
        self.assertEqual(received.listen[4:], settings.listen[4:])
        _, _, of_cert, of_key = received.listen[1].split(":")
        self.assertEqual(Path(of_cert.removeprefix("cert=")).read_bytes(), b"ODD")
        self.assertEqual(of_key, f"key={received.key}")
        self.assertEqual(received.listen[2], f"ssl:1:privateKey={received.key}:certKey={received.cert}")

    def test_other_colons_stay_escaped(self) -> None:
        """A description keeps its other parts as they were."""
        settings = Settings(listen=("tls:1:cert=/c:key=/k:interface=\\:\\:1",))
        changed = with_files(settings, {"/c": Path("/x:y")})
        self.assertEqual(changed.listen, ("tls:1:cert=/x\\:y:key=/k:interface=\\:\\:1",))

    def test_files_that_are_no_certificates(self) -> None:
        """A file by mistake is refused before it is sent."""
        large = self.file("large", b"x" * (MAX_FILE_BYTES + 1))
        with self.assertRaisesRegex(ConfigurationError, "large: a file of certificates has 1048576 bytes"):
            read_files(Settings(cert=large, key=large))
        with self.assertRaises(FileNotFoundError):
            read_files(Settings(cert=Path("/nowhere/a"), key=Path("/nowhere/b")))

    def test_memory_files(self) -> None:
        """No path of a disk leads to them."""
        path = memory_file("/etc/key.pem", b"KEY")
        self.assertIn("memfd:key.pem", str(path.readlink()))
        self.assertEqual([path.read_bytes(), path.read_bytes()], [b"KEY", b"KEY"])
