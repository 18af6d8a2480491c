"""The desk on the operator's port: its commands, and what it shows of documents."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.access import Access
from livefeed.admin.commands import OF_THE_DESK, Commands
from livefeed.admin.desk import DeskCommands, DesksResource
from livefeed.admin.site import CommandResource, OperatorRoot, OperatorSite
from livefeed.document.snapshot import version_of
from livefeed.feed.feed import Feed
from livefeed.intake.puller import Puller
from livefeed.testing import MemorySource, Response
from tests.helpers.desks import RecordingAudit, desk_of

JSON = b"Content-Type: application/json"


class Served:
    """A feed with a desk, which is pulled from a list."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.feed = Feed(name, clock=clock)
        self.audit = RecordingAudit()
        self.desk = desk_of(self.feed, audit=self.audit)
        self.source = MemorySource()
        self.puller = Puller(self.feed, self.source, clock=clock, max_bytes=100, desk=self.desk)

    async def pull(self, data: bytes) -> None:
        self.source.answers.append(data)
        await self.puller.tick()


class DeskTests(SynchronousTestCase):
    """A site with the desks of two feeds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.feeds = {name: Served(name, self.clock) for name in ("results", "turnout")}
        commands = Commands()
        DeskCommands(self.feeds).register(commands)
        paths: dict[str, Any] = {f"-/{name}": CommandResource(name, commands) for name in OF_THE_DESK}
        paths["-/desk"] = DesksResource(self.feeds)
        self.site = OperatorSite(OperatorRoot(Access(self.clock), paths), reactor=self.clock)

    def ask(self, line: bytes, *fields: bytes, content: bytes | None = None) -> Response:
        channel = self.site.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        length = [] if content is None else [JSON, b"Content-Length: %d" % len(content)]
        head = [line + b" HTTP/1.1", b"Host: localhost", *fields, *length, b"", b""]
        channel.dataReceived(b"\r\n".join(head) + (content or b""))
        return Response.parse(transport.value())

    def command(self, name: str, **arguments: Any) -> tuple[int, Any]:
        answer = self.ask(b"POST /-/" + name.encode(), content=json.dumps(arguments).encode())
        return answer.status, json.loads(answer.body)

    def pull(self, data: bytes) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.feeds["results"].pull(data)))

    def test_commands(self) -> None:
        """Each has the feed's state as its answer, and the operator is named in the audit."""
        self.pull(b"1")
        status, answer = self.command("hold", feed="results", reason="a recount")
        self.assertEqual((status, answer["feed"], answer["state"]), (200, "results", "held"))
        self.assertEqual(answer["decision"]["by"], "token@192.168.1.1")
        self.assertEqual(self.feeds["results"].audit.entries[0]["by"], "token@192.168.1.1")
        self.pull(b"2")
        for name, arguments, state in (
            ("release", {"once": True, "version": version_of(b"2")}, "held"),
            ("rollback", {}, "held"),
            ("unpin", {}, "live"),
            ("pin", {"version": version_of(b"1")}, "held"),
            ("end", {}, "ended"),
            ("resume", {}, "live"),
            ("withdraw", {}, "withdrawn"),
        ):
            status, answer = self.command(name, feed="results", **arguments)
            self.assertEqual((status, answer["state"]), (200, state), answer)

    def test_each_command_has_an_effect(self) -> None:
        """All that are offered are known to the desk."""
        for name in OF_THE_DESK:
            status, answer = self.command(name, feed="results", nothing=1)
            self.assertEqual((status, "has no argument 'nothing'" in answer["detail"]), (409, True), (name, answer))

    def test_caller_is_not_an_argument(self) -> None:
        """Nobody gives another name."""
        self.command("hold", feed="results", by="somebody else")
        self.assertEqual(self.feeds["results"].audit.entries[0]["by"], "token@192.168.1.1")

    def test_feed(self) -> None:
        """It may be left out if there is one."""
        status, answer = self.command("hold")
        self.assertEqual((status, answer["detail"]), (409, "there are several feeds: name one of results, turnout"))
        del self.feeds["turnout"]
        self.assertEqual(self.command("hold")[0], 200)
        status, answer = self.command("hold", feed="reslts")
        self.assertEqual((status, answer["detail"]), (409, "there is no feed 'reslts'; there are: results"))

    def test_wrong_arguments(self) -> None:
        """The answer says which, and nothing has changed."""
        for name, arguments, why in (
            ("hold", {"reasn": "x"}, "the command hold has no argument 'reasn'; did you mean reason?"),
            ("hold", {"once": True}, "no argument 'once'"),
            ("hold", {"reason": 1}, "'reason' is not a text"),
            ("release", {"once": 1}, "'once' is not true or false"),
            ("release", {"rule": "votes", "for_s": True}, "'for_s' is not a number"),
            ("release", {"rule": "votes"}, "'rule' and 'for_s' go together"),
            ("release", {"rule": "votes", "for_s": 60}, "the feed has no rule votes"),
            ("pin", {}, "needs the argument 'version'"),
            ("pin", {"version": "x" * 257}, "more than 256 characters"),
        ):
            status, answer = self.command(name, feed="results", **arguments)
            self.assertEqual(status, 409)
            self.assertIn(why, answer["detail"])
        self.assertIsNone(self.feeds["results"].desk.decision)

    def test_overlay(self) -> None:
        """Values are texts of JSON, so that every digit arrives; they may be longer than other arguments."""
        self.pull(b'{"a":1}')
        answer: Any = None
        for value in ("1.50", json.dumps("x" * 80)):
            status, answer = self.command(
                "overlay", feed="results", action="set", pointer="/a", value=value, expect="1.0", reason="by phone"
            )
            self.assertEqual((status, answer["overlay"][0]["value"]), (200, value))
            assert self.feeds["results"].feed.snapshot is not None
            self.assertEqual(self.feeds["results"].feed.snapshot.data, b'{"a":%b}' % value.encode())
        self.assertEqual(
            (answer["overlay"][0]["by"], answer["overlay"][0]["reason"]), ("token@192.168.1.1", "by phone")
        )
        self.assertEqual(json.loads(self.ask(b"GET /-/desk/results").body)["overlay"], answer["overlay"])
        for arguments, why in (
            ({}, "the command overlay needs the argument 'action'"),
            ({"action": "set", "pointer": "/a", "value": 1}, "'value' is not a text"),
            ({"action": "set", "pointer": "/a", "value": "x" * 300}, "the value is not JSON"),
            ({"action": "set", "pointer": "/" + "a" * 2000, "value": "1"}, "1024 are the most"),
            ({"action": "drop", "pointer": "/b"}, "no entry for '/b'"),
        ):
            status, answer = self.command("overlay", feed="results", **arguments)
            self.assertEqual(status, 409)
            self.assertIn(why, answer["detail"])

    def test_preview_of_an_overlay(self) -> None:
        """It tells the effect, and has none."""
        self.pull(b'{"a":1}')
        change = {"feed": "results", "action": "set", "pointer": "/a", "value": "2"}
        status, answer = self.command("overlay", **change, preview=True)
        self.assertEqual((status, answer["effect"], answer["overlay"][0]["changes"]), (200, "shown", 1))
        self.assertEqual(json.loads(self.ask(b"GET /-/desk/results").body)["overlay"], [])
        status, answer = self.command("overlay", **change, preview="yes")
        self.assertEqual((status, "'preview' is not true or false" in answer["detail"]), (409, True))

    def test_report(self) -> None:
        """It has everything at the desk of a feed."""
        self.pull(b"1")
        self.command("hold", feed="results")
        self.pull(b"2")
        report = json.loads(self.ask(b"GET /-/desk/results").body)
        self.assertEqual(report["shown"]["version"], version_of(b"1"))
        self.assertEqual(report["waiting"]["version"], version_of(b"2"))
        self.assertEqual([each["version"] for each in report["versions"]], [version_of(b"1")])
        for path in (b"/-/desk", b"/-/desk/other", b"/-/desk/results/other"):
            self.assertEqual(self.ask(b"GET " + path).status, 404)

    def test_documents(self) -> None:
        """Each has its version as the tag, and no cache keeps it."""
        self.assertEqual(self.ask(b"GET /-/desk/results/shown").status, 404)
        self.pull(b"1")
        self.command("hold", feed="results")
        self.assertEqual(self.ask(b"GET /-/desk/results/waiting").status, 404)
        self.pull(b"2")
        for which, data in ((b"shown", b"1"), (b"waiting", b"2")):
            answer = self.ask(b"GET /-/desk/results/" + which)
            tag = f'"{version_of(data)}"'
            self.assertEqual((answer.body, answer.headers["etag"]), (data, tag))
            self.assertEqual(answer.headers["cache-control"], "no-store")
            again = self.ask(b"GET /-/desk/results/" + which, b"If-None-Match: " + tag.encode())
            self.assertEqual((again.status, again.body), (304, b""))
