"""Embargoes on the operator's port: the wish to set a document aside, and the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.embargoes import MAX_AHEAD_S, EmbargoCommands, SetAside, set_aside, time_of
from livefeed.admin.publish_edits import Conditions, EditRefusedError
from livefeed.document.snapshot import version_of
from livefeed.document.timestamps import timestamp
from livefeed.exceptions import CommandError, SourceError
from livefeed.feed import embargoes as service
from livefeed.feed.embargo_effects import ConditionError, EmbargoEffects
from livefeed.feed.embargo_keeping import EmbargoKeeping
from livefeed.feed.embargoes import Embargoes
from livefeed.feed.feed import Feed
from livefeed.intake.timed_release import Foresight

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from livefeed.document.embargo import Embargo

NOW = 1_800_000_000.0
LATER = timestamp(NOW + 90)
NO_CONDITIONS = Conditions(None, None)


class EmbargoedFeed:
    """A feed without a store and without a state directory."""

    store = None

    def __init__(self, name: str) -> None:
        self.clock = Clock()
        self.released: list[Embargo] = []
        self.foreseen = Foresight()
        self.error: Exception | None = None
        feed = Feed(name, clock=self.clock)
        keeping = EmbargoKeeping(name, maybeDeferred, lambda: NOW)
        self.embargoes = Embargoes(feed, keeping, self.clock, EmbargoEffects(feed, self.clock, self))
        self.embargoes.open()

    def pull_soon(self) -> Deferred[Any]:
        raise AssertionError

    async def end_hold(self, embargo: Embargo) -> None:
        self.released.append(embargo)

    async def foresee(self, data: bytes | None) -> Foresight:
        if self.error is not None:
            raise self.error
        return self.foreseen


class EmbargoesTestCase(SynchronousTestCase):
    """Two feeds."""

    def setUp(self) -> None:
        self.one, self.other = EmbargoedFeed("results"), EmbargoedFeed("turnout")
        self.feeds = {"results": self.one, "turnout": self.other}
        self.commands = EmbargoCommands(self.feeds)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def refused(self, work: Coroutine[Any, Any, Any]) -> str:
        """Gives the reason of a refusal."""
        return str(self.failureResultOf(Deferred.fromCoroutine(work), CommandError, EditRefusedError).value)

    def aside(self, data: bytes = b"[1]", at: str = LATER, conditions: Conditions = NO_CONDITIONS) -> Any:
        """Sets a document aside."""
        return self.do(set_aside(self.one, data, SetAside(at, conditions, "anna", 100)))

    def run_it(self, **arguments: Any) -> Any:
        return self.do(self.commands.run({"by": "bert", **arguments}))


class TimeTests(SynchronousTestCase):
    """The time."""

    def test_refused(self) -> None:
        """The reason says what is right, and what time it is."""
        for text, status, why in (
            ("21:30", 400, "'21:30' is not a time with its offset from UTC, such as 2026-11-30T21:30:00\\+01:00"),
            (
                timestamp(NOW - 3),
                422,
                "was 3 s ago: it is 2027-01-15T08:00:00.000Z by the clock",
            ),
            (timestamp(NOW), 422, "was 0 s ago"),
            (timestamp(NOW + MAX_AHEAD_S + 1), 422, "more than a year ahead"),
        ):
            with self.assertRaisesRegex(EditRefusedError, why) as caught:
                time_of(text, NOW)
            self.assertEqual(caught.exception.kind.status, status)


class SetAsideTests(EmbargoesTestCase):
    """Documents."""

    def test_report(self) -> None:
        """All that an operator needs to find it again."""
        report = self.aside()
        self.assertEqual(
            {name: value for name, value in report.items() if name != "id"},
            {
                "feed": "results",
                "kind": "publish",
                "at": LATER,
                "in_s": 90.0,
                "by": "anna",
                "asked_at": timestamp(NOW),
                "reason": "",
                "version": version_of(b"[1]"),
                "bytes": 3,
                "if_match": None,
                "if_none_match": None,
                "failed": None,
                "live": False,
                "why": f"it is set aside until {LATER}, and nothing of it is visible before",
            },
        )
        self.assertEqual(self.one.embargoes.entries[0].data, b"[1]")

    def test_conditions(self) -> None:
        """They are kept, and evaluated at the time. A weak tag matches nothing."""
        report = self.aside(conditions=Conditions(b'"ab", W/"cd"', b"*"))
        self.assertEqual((report["if_match"], report["if_none_match"]), (("ab",), ("*",)))

    def test_refused(self) -> None:
        """An invalid document, and one too many."""
        for data, why in ((b"[1", "The document"), (b'"' + b"x" * 100 + b'"', "more than 100 bytes")):
            wish = SetAside(LATER, NO_CONDITIONS, "anna", 100)
            self.assertIn(why, self.refused(set_aside(self.one, data, wish)))
        self.patch(service, "MAX_EMBARGOES", 1)
        self.aside()
        wish = SetAside(LATER, NO_CONDITIONS, "anna", 100)
        failure = self.failureResultOf(Deferred.fromCoroutine(set_aside(self.one, b"[1]", wish)))
        assert isinstance(failure.value, EditRefusedError)
        self.assertEqual(failure.value.kind.status, 429)


class CommandTests(EmbargoesTestCase):
    """Commands."""

    def test_list(self) -> None:
        """Of all feeds, the next one first."""
        later = self.aside(at=timestamp(NOW + 200))
        sooner = self.run_it(action="release", feed="turnout", at=timestamp(NOW + 100))
        listed = self.do(self.commands.list({}))
        self.assertEqual([each["id"] for each in listed], [sooner["id"], later["id"]])
        self.assertEqual([each["kind"] for each in listed], ["release", "publish"])

    def test_cancel(self) -> None:
        """By its id, in whichever feed it is."""
        made = self.aside()
        report = self.run_it(action="cancel", id=made["id"])
        self.assertEqual((report["id"], report["feed"], report["done"]), (made["id"], "results", True))
        self.assertEqual(self.do(self.commands.list({})), [])
        why = self.refused(self.commands.run({"action": "cancel", "id": made["id"]}))
        self.assertIn("it has happened, or was cancelled", why)

    def test_similar_id(self) -> None:
        """A typing error is recognized."""
        made = self.aside()["id"]
        wrong = made[:-1] + ("0" if made[-1] != "0" else "1")
        self.assertIn(f"did you mean {made}?", self.refused(self.commands.run({"action": "cancel", "id": wrong})))

    def test_now(self) -> None:
        """What fails is kept."""
        made = self.aside()
        why = self.refused(self.commands.run({"action": "publish", "id": made["id"]}))
        self.assertIn("not store:", why)
        self.assertEqual(len(self.one.embargoes.entries), 1)
        held = self.run_it(action="release", feed="turnout", at=LATER)
        self.run_it(action="publish", id=held["id"], any_version=True)
        self.assertEqual([each.id for each in self.other.released], [held["id"]])

    def test_release(self) -> None:
        """With the version that a rule holds, so that no other one is released that a rule holds by then."""
        self.one.foreseen = Foresight("abcd", "it is pinned")
        report = self.run_it(action="release", feed="results", at=LATER, reason="agreed")
        self.assertEqual((report["if_match"], report["by"], report["reason"]), (("abcd",), "bert", "agreed"))
        self.assertEqual(report["warning"], "it is pinned; without --state-dir, a restart forgets it")

    def test_not_foreseen(self) -> None:
        """If the rules cannot be checked now, that is no reason to refuse."""
        self.one.error = SourceError("too slow")
        self.assertIsNone(self.run_it(action="release", feed="results", at=LATER)["if_match"])
        self.assertNotIn("warning", self.aside())

    def test_foreseen(self) -> None:
        """A document that a rule would hold back is accepted, with a warning: the rule may be released by then."""
        self.one.foreseen = Foresight(None, "the rule votes would hold it back now")
        self.assertEqual(self.aside()["warning"], "the rule votes would hold it back now")

    def test_condition(self) -> None:
        """The refusal says how to pass over it."""
        made = self.aside()

        async def refuse(*_: object, **__: object) -> None:
            raise ConditionError("another version is stored")

        self.patch(self.one.embargoes, "end_now", refuse)
        why = self.refused(self.commands.run({"action": "publish", "id": made["id"]}))
        self.assertEqual(why, "another version is stored; --any-version passes over that")

    def test_only_feed(self) -> None:
        """It need not be named."""
        del self.feeds["turnout"]
        self.assertEqual(self.run_it(action="release", at=LATER)["feed"], "results")

    def test_wrong(self) -> None:
        """Each refusal says what is right."""
        for arguments, why in (
            ({}, "None is none of cancel, publish, release"),
            ({"action": "cancel"}, "the id of an embargo is needed"),
            ({"action": "cancel", "id": 5}, "the id of an embargo is needed"),
            ({"action": "release", "at": LATER}, "a feed must be named; the feeds: results, turnout"),
            ({"action": "release", "at": LATER, "feed": "x"}, "there is no feed 'x'"),
            ({"action": "release", "at": LATER, "feed": ["x"]}, "there is no feed"),
            ({"action": "release", "feed": "results"}, "The time 'None' is not"),
            ({"action": "release", "feed": "results", "at": LATER, "reason": "x" * 201}, "200 characters"),
            ({"action": "release", "feed": "results", "at": LATER, "reason": 5}, "200 characters"),
        ):
            self.assertIn(why, self.refused(self.commands.run(arguments)))
