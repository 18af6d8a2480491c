"""The settings on their way to a worker: nothing secret goes, and everything that clients notice arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.settings import FeedSettings, Settings
from livefeed.exceptions import ConfigurationError, LinkError
from livefeed.workers.configuration import (
    files_of,
    memory_file,
    settings_for_workers,
    settings_of,
    with_memory_files,
)
from livefeed.workers.messages import PROTOCOL, Decoder, Message, Welcome, encode, message_of


def sent(settings: Settings, payloads: tuple[bytes, ...] = (), **facts: Any) -> tuple[Message, Welcome]:
    """Gives the welcome with these settings as a worker receives it."""
    welcome = Welcome(PROTOCOL, "1", 7, settings_for_workers(settings), **facts)
    (received,) = Decoder().feed(encode(message_of("welcome", welcome, payloads)))
    return received, received.read(Welcome)


class SettingsTests(SynchronousTestCase):
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
            cert=(Path("/a"), Path("/b")),
            key=(Path("/c"), Path("/d")),
        )
        message, welcome = sent(settings, limits={"max_connections": 500})
        self.assertNotIn("hush", msgspec.json.encode(message.facts).decode())
        received = settings_of(welcome)
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
        message, welcome = sent(Settings())
        for name, value in (("transport", "slow"), ("cert", 3), ("unknown", 1)):
            wrong = msgspec.structs.replace(welcome, settings={**message.facts["settings"], name: value})
            with self.assertRaisesRegex(LinkError, "the settings cannot be read"):
                settings_of(wrong)
        with self.assertRaisesRegex(LinkError, "the settings cannot be read"):
            settings_of(msgspec.structs.replace(welcome, limits={"nothing": 1}))


class FileTests(SynchronousTestCase):
    def test_certificates_arrive_as_bytes(self) -> None:
        """A worker needs no right to read them."""
        message, welcome = sent(Settings(), (b"CERT", b"KEY"), certificates={"/nowhere/c": 0, "/nowhere/k": 1})
        files = files_of(message, welcome)
        self.assertEqual(files.read(Path("/nowhere/c")), b"CERT")
        with self.assertRaises(ConfigurationError):
            files.read(Path("/etc/hostname"))
        with self.assertRaisesRegex(LinkError, "a message welcome has 2 payloads"):
            files_of(message, msgspec.structs.replace(welcome, certificates={"/nowhere/c": 2}))

    def test_endpoints_of_twisted(self) -> None:
        """They read their files by themselves, which are in memory then. Other descriptions stay."""
        message, welcome = sent(Settings(), (b"CERT", b"KEY"), certificates={"/a:b/c": 0, "/k": 1})
        files = files_of(message, welcome)
        for description in ("tls:1:cert=/k:key=/k", "tcp:1", "unix:/k"):
            self.assertEqual(with_memory_files(description, files), description)
        changed = with_memory_files("ssl:1:privateKey=/k:certKey=/a\\:b/c:interface=\\:\\:1", files)
        kind, port, key, cert, rest = changed.split(":", 4)
        self.assertEqual((kind, port, rest), ("ssl", "1", "interface=\\:\\:1"))
        self.assertEqual(Path(key.removeprefix("privateKey=")).read_bytes(), b"KEY")
        self.assertEqual(Path(cert.removeprefix("certKey=")).read_bytes(), b"CERT")
        changed = with_memory_files("haproxy:ssl:1:/k:/other", files)
        self.assertEqual(Path(changed.split(":")[3]).read_bytes(), b"KEY")
        self.assertEqual(changed.split(":")[4], "/other")

    def test_memory_files(self) -> None:
        """No path of a disk leads to them."""
        path = memory_file("/etc/key.pem", b"KEY")
        self.assertIn("memfd:key.pem", str(path.readlink()))
        self.assertEqual([path.read_bytes(), path.read_bytes()], [b"KEY", b"KEY"])
