"""The subcommand that verifies signed statements, without a server."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import verify
from livefeed.cli.main import main
from livefeed.client import asyncio as client_asyncio
from livefeed.client import trust
from livefeed.client.actions import Failed
from livefeed.client.answers import Answer
from livefeed.client.http import Requests
from livefeed.client.update import Line, Shown, State, Update
from tests.helpers.missing import missing
from tests.helpers.signers import KEYS, statement_about

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DOCUMENT = b'{"seats": 42}'
WALL = 1_764_000_002.5
URL = "http://h/live/feed"


def answer(status: int = 200, content: bytes = DOCUMENT, **more: Any) -> Answer:
    """Gives a signed answer."""
    signed = statement_about(DOCUMENT, **more)
    return Answer(status, {name.decode().lower(): value.decode() for name, value in signed.fields()}, content)


class FakeFeed:
    """A feed whose updates a test has prepared; then there are no more, or it is silent."""

    def __init__(self, updates: list[Shown | None]) -> None:
        self.updates = updates

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[Update[Any]]:
        for each in self.updates:
            if each is None:
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(3600)
            else:
                yield Update.of(each, None, 0.25)


class VerifyTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "keys.json"
        self.path.write_bytes(KEYS.key_set())
        self.answers: dict[str, Answer | Failed] = {"/live/feed": answer()}
        self.asked: list[str] = []
        self.endpoints: list[tuple[str, int]] = []
        self.patch(verify, "wall", lambda: WALL)
        trust_of = trust.trust_of
        self.patch(verify, "trust_of", lambda *given: replace(trust_of(*given), wall=lambda: WALL))
        this = self

        def get(requests: Requests, fields: dict[str, str]) -> Answer | Failed:
            this.asked.append(requests.address.url)
            this.endpoints.append(requests.address.endpoint)
            return this.answers[requests.address.target]

        self.patch(Requests, "get", get)

    def verify(self, *options: str, url: str = URL, code: int = 0) -> tuple[str, str]:
        """Runs the command, and gives what it prints."""
        output, errors = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", output)
        self.patch(sys, "stderr", errors)
        self.assertEqual(main(["verify", url, *options]), code, errors.getvalue())
        return output.getvalue(), errors.getvalue()

    def with_file(self, *options: str, **more: Any) -> tuple[str, str]:
        return self.verify("--keys", str(self.path), *options, **more)

    def test_verified(self) -> None:
        """The output names version, order, state, age and key."""
        output, errors = self.with_file()
        self.assertEqual(
            output,
            f"{URL}: verified: version a7adb13d1800d31e4a0a89b4e6abc9ab, sequence 7.1, live; "
            f"signed 2 s ago by {KEYS.key_id}\n",
        )
        self.assertEqual(errors, "")

    def test_other_endpoint(self) -> None:
        """The document and the keys of its server come from there; keys of another server do not."""
        self.answers["/-/keys"] = Answer(200, {}, KEYS.key_set())
        self.verify("--connect", "127.0.0.1:8080")
        self.assertEqual(self.endpoints, [("127.0.0.1", 8080)] * 2)
        self.endpoints.clear()
        self.verify("--connect", "127.0.0.1:8080", "--keys", "http://other/-/keys")
        self.assertEqual(self.endpoints, [("other", 80), ("127.0.0.1", 8080)])
        self.endpoints.clear()
        self.answers["/-/feeds.json"] = Answer(200, {}, b'{"feeds": [{"path": "/live/feed"}]}')
        self.with_file("--connect", "127.0.0.1:8080", url="http://h/")
        self.assertEqual(self.endpoints, [("127.0.0.1", 8080)] * 2)

    def test_keys_of_the_server(self) -> None:
        """Without keys, those of the server are taken, with a warning."""
        self.answers["/-/keys"] = Answer(200, {}, KEYS.key_set())
        _, errors = self.verify()
        self.assertIn("the keys are those of the server itself", errors)
        self.assertEqual(self.asked[0], "http://h/-/keys")
        self.verify("--keys", "http://other/-/keys")
        self.assertIn("http://other/-/keys", self.asked)

    def test_not_verified(self) -> None:
        """The reason is on standard error, and nothing on standard output."""
        for found, options, why in (
            (Answer(200, {}, DOCUMENT), (), "it is not signed"),
            (answer(content=b"{}"), (), "not the document that was signed"),
            (Answer(200, {"content-type": "text/html"}, b"<html>"), (), f"{URL} is a page, not a document"),
            (answer(), ("--feed", "other"), "for the feed 'feed', and not for 'other'"),
            (answer(created=1_763_999_900), (), "the newest signed statement is of"),
            (answer(created=1_763_999_980), ("--tolerance", "1"), "the newest signed statement is of"),
        ):
            self.answers["/live/feed"] = found
            output, errors = self.with_file(*options, code=1)
            self.assertEqual(output, "")
            self.assertTrue(errors.startswith(f"livefeed: {URL} is NOT verified: "), errors)
            self.assertIn(why, errors)

    def test_only_feed(self) -> None:
        """The URL of a server stands for its only feed."""
        self.answers["/-/feeds.json"] = Answer(200, {}, b'{"feeds": [{"path": "/live/feed"}]}')
        self.assertIn(f"{URL}: verified", self.with_file(url="http://h/")[0])
        self.answers["/-/feeds.json"] = Answer(404, {}, b"")
        self.assertIn("has no list of feeds", self.with_file(url="http://h/", code=3)[1])

    def test_nothing_to_verify(self) -> None:
        """Without a document or keys there is nothing to say."""
        self.answers["/live/feed"] = Failed("nothing listens at h")
        self.assertIn("nothing listens at h", self.with_file(code=3)[1])
        self.answers["/live/feed"] = answer(410)
        self.assertIn("is answered with status 410", self.with_file(code=3)[1])
        self.answers["/-/keys"] = answer(404)
        self.assertIn("there are no keys", self.verify(code=3)[1])
        self.path.write_bytes(b"{}")
        self.assertIn("is no set of keys", self.with_file(code=3)[1])
        self.path.unlink()
        self.assertIn("No such file", self.with_file(code=3)[1])

    def test_wrong_use(self) -> None:
        """A part, a URL that is none, and a time that is none are refused."""
        self.assertIn("a part of a document is not signed", self.verify(url=f"{URL}#/seats", code=2)[1])
        self.assertIn("is no URL of a feed", self.verify(url="x", code=2)[1])
        self.assertRaises(SystemExit, self.with_file, "--tolerance", "-1")

    def follow(self, *updates: Shown | None, code: int) -> tuple[str, str]:
        self.patch(client_asyncio, "follow", lambda url, **more: FakeFeed([*updates]))
        output, errors = self.with_file("--follow", code=code)
        return output.partition("\n")[2], errors

    def test_missing_package(self) -> None:
        """The message has the command that installs it."""
        with missing("websockets", *(f"livefeed.client.{name}" for name in ("asyncio", "driver", "websocket"))):
            _, errors = self.with_file("--follow", code=1)
        self.assertRegex(errors, r"^livefeed: livefeed verify --follow needs .*livefeed\[client\]")
        self.assertEqual(self.asked, [])

    def test_follow(self) -> None:
        """Each version and state is a line; the end is what cannot be verified, or Ctrl-C."""
        live = Shown(DOCUMENT, "ab", "7.1", State.LIVE, Line.OPEN, signed=True)
        offline = replace(live, line=Line.OFFLINE, problem="it is away")
        held = replace(live, state=State.HELD)
        bad = replace(held, distrust="a document is not shown: it is not signed")
        output, errors = self.follow(live, live, offline, held, Shown(), bad, held, code=1)
        self.assertEqual(output, "verified: version ab, sequence 7.1, live\nverified: version ab, sequence 7.1, held\n")
        self.assertEqual(
            errors, "livefeed: it is away\nlivefeed: NOT verified: a document is not shown: it is not signed\n"
        )
        self.follow(live, None, code=130)
        self.follow(live, code=0)
