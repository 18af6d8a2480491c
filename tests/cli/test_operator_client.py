"""Requests to the operator's socket, and the search for it."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import operator_client
from livefeed.cli.operator_client import Answer, ChoiceError, NotRunningError, OperatorClient, find_socket
from livefeed.exceptions import CommandError
from tests.helpers.operators_socket import operators_socket

MORE = "`livefeed explain rule-refused` says more"


class ClientTestCase(SynchronousTestCase):
    """A folder for sockets."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.path = self.folder / "admin.sock"


class RequestTests(ClientTestCase):
    """Requests and their answers."""

    def failure(self, timeout_s: float = 10) -> CommandError:
        error: CommandError = self.assertRaises(CommandError, OperatorClient(self.path, timeout_s).get, "/status")
        return error

    def test_get_and_post(self) -> None:
        """The path and the arguments arrive, and the report comes back."""
        client = OperatorClient(self.path, 10)
        with operators_socket(self.path, (200, {"a": 1})) as requests:
            self.assertEqual(client.get("/status").report(), {"a": 1})
            self.assertEqual(client.post("/-/reload", {"b": 2}).report(), {"a": 1})
        self.assertEqual(requests, [("GET", "/status", b""), ("POST", "/-/reload", b'{"b": 2}')])

    def test_refusals(self) -> None:
        """The reason is passed on; an answer without one has its status."""
        for body, why in (
            (b'{"detail": "it is broken"}', "it is broken"),
            (b"[]", "livefeed has answered 409"),
            (b'{"detail": "It is held.", "type": "/-/problems/rule-refused"}', f"It is held; {MORE}"),
            (b'{"detail": "It is held."}', "It is held."),
            (b'{"detail": "it is held", "type": "/-/problems/rule-refused"}', f"it is held; {MORE}"),
            (b'{"detail": "it is broken", "type": "/-/problems/command-failed"}', "it is broken"),
            (b'{"detail": "it is broken", "type": "/-/problems/of-another-release"}', "it is broken"),
            (b'{"detail": "it is broken", "type": 7}', "it is broken"),
            (b"<html>", "livefeed has answered 409, without JSON"),
        ):
            error = self.assertRaises(CommandError, Answer(409, body).report)
            self.assertEqual(str(error), why)

    def test_nobody_there(self) -> None:
        """No file, no folder, and a file that a killed process has left."""
        for path in (self.path, self.path / "below", self.folder / "left"):
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(str(self.folder / "left"))
            self.assertRaises(NotRunningError, OperatorClient(path, 10).get, "/status")
            (self.folder / "left").unlink()
            self.path.touch()
        self.assertRaises(NotRunningError, OperatorClient(self.path, 10).get, "/status")

    def test_silence(self) -> None:
        """The time is limited."""
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(self.path))
            silent.listen()
            self.assertIn("has not answered within 0.01 s; --timeout", str(self.failure(0.01)))

    def test_silence_after_a_command(self) -> None:
        """The command is not taken back: the operator is told to look."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
            listener.listen()
            error = self.assertRaises(CommandError, OperatorClient(self.path, 0.01).post, "/-/upgrade", {})
        self.assertIn("it may still carry the command out: `livefeed ctl status`", str(error))

    def test_end_before_the_answer(self) -> None:
        """A livefeed that is killed meanwhile answers nothing; the operator is told where to look."""
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        theirs.shutdown(socket.SHUT_WR)

        def connect(connection: operator_client._Connection) -> None:
            connection.sock = ours

        self.patch(operator_client._Connection, "connect", connect)
        self.assertIn("has ended before it answered; `livefeed ctl status`", str(self.failure()))

    def test_too_large(self) -> None:
        """The size is limited."""
        self.patch(operator_client, "MAX_ANSWER_BYTES", 10)
        with operators_socket(self.path, (200, b"x" * 11)):
            self.assertIn("the answer is larger than 10 bytes", str(self.failure()))

    def test_no_http(self) -> None:
        """Something else listens there."""
        with operators_socket(self.path, (99999, b"x")):
            self.assertTrue(str(self.failure()).startswith(f"{self.path}: "))

    def test_no_permission(self) -> None:
        """The message says who may."""

        def connect(_: object) -> None:
            raise PermissionError

        self.patch(operator_client._Connection, "connect", connect)
        self.assertIn("the group of --admin-group may", str(self.failure()))


class SearchTests(ClientTestCase):
    """The search for the only instance, or the chosen one."""

    def setUp(self) -> None:
        super().setUp()
        self.environment = {"RUNTIME_DIRECTORY": str(self.folder)}
        self.patch(operator_client, "FOR_ALL", self.folder / "for-all")
        self.uid = os.geteuid()

    def find(self, instance: str | None = None, runtime_dir: Path | None = None, **more: str) -> Path:
        environment = self.environment | more
        return find_socket(environment, 4_000_000, instance=instance, runtime_dir=runtime_dir)

    def test_only_one(self) -> None:
        """It is found, also beside folders of ended ones, and in the place for all users."""
        (self.folder / "ended").mkdir()
        for place in (self.folder / "a", self.folder / "for-all" / "b"):
            with operators_socket(place / "admin.sock", (200, {})):
                self.assertEqual(self.find(), place / "admin.sock")

    def test_none(self) -> None:
        """The message names the places that were searched."""
        error = self.assertRaises(NotRunningError, self.find)
        self.assertIn(f"{self.folder}, /tmp/livefeed-4000000, {self.folder}/for-all", str(error))

    def test_several(self) -> None:
        """They are listed; one is chosen by its name, on the command line or by a variable."""
        with (
            operators_socket(self.folder / "a" / "admin.sock", (200, {})),
            operators_socket(self.folder / "b" / "admin.sock", (200, {})),
        ):
            error = self.assertRaises(ChoiceError, self.find)
            self.assertIn(f"a ({self.folder}/a), b ({self.folder}/b)", str(error))
            chosen = self.folder / "b" / "admin.sock"
            self.assertEqual(self.find("b"), chosen)
            self.assertEqual(self.find(LIVEFEED_INSTANCE="b"), chosen)
            self.assertEqual(self.find("b", LIVEFEED_INSTANCE="a", LIVEFEED_RUNTIME_DIR="/x"), chosen)
            self.assertRaises(NotRunningError, self.find, "c")

    def test_several_of_one_name(self) -> None:
        """The name would choose one of them by chance, so the message offers the folder."""
        with (
            operators_socket(self.folder / "a" / "admin.sock", (200, {})),
            operators_socket(self.folder / "for-all" / "a" / "admin.sock", (200, {})),
        ):
            error = self.assertRaises(ChoiceError, self.find)
        self.assertIn(f"`livefeed ctl status --runtime-dir {self.folder}/a`", str(error))

    def test_chosen_folder(self) -> None:
        """It is not searched for, so that the message names it."""
        self.assertEqual(self.find(runtime_dir=Path("/x")), Path("/x/admin.sock"))
        self.assertEqual(self.find(LIVEFEED_RUNTIME_DIR="/x"), Path("/x/admin.sock"))

    def test_folders_of_other_users(self) -> None:
        """A folder that another user has made is not searched: its livefeed could be anything."""
        with operators_socket(self.folder / "a" / "admin.sock", (200, {})):
            self.assertTrue(self.find())
            os.chown(self.folder, 4_000_001, -1)
            self.assertRaises(NotRunningError, self.find)
            os.chown(self.folder, 4_000_000, -1)
            self.assertTrue(self.find())
