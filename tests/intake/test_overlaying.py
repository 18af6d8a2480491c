"""A change of the overlay shows another document at once, and is judged like a document of the source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.comparisons import NeverFalls
from livefeed.document.overlaid import apply
from livefeed.document.overlay import Edit
from livefeed.document.requirements import Required
from livefeed.document.rules import Rules, RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.exceptions import CommandError, SourceError, StartError
from livefeed.feed.state import State
from livefeed.intake.overlaying import OverlayChange
from livefeed.storage.desk_file import DeskRecord
from livefeed.testing import RecordingSubscriber
from tests.helpers.overlaid_feeds import OverlaidFeed

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.document.overlay import Entry

NORTH = "/{name=North}/votes"


def night(north: int, south: int = 7, *, turned: bool = False) -> bytes:
    """Gives a document of two districts, in one of two orders."""
    districts = [{"name": "North", "votes": north}, {"name": "South", "votes": south}]
    return json.dumps(districts[::-1] if turned else districts).encode()


class OverlayTestCase(SynchronousTestCase):
    """One feed."""

    def setUp(self) -> None:
        self.night = self.start()

    def start(self, **settings: Any) -> OverlaidFeed:
        """Starts a feed."""
        feed = OverlaidFeed(**settings)
        self.addCleanup(feed.close)
        return feed

    def refused(self, *change: str | None) -> str:
        """Gives the reason for which a change of the overlay is refused."""
        with self.assertRaises(CommandError) as caught:
            self.night.edit(*change)  # type: ignore[arg-type]
        return str(caught.exception)


class ChangeTests(OverlayTestCase):
    """Changes of the overlay and of the source."""

    def test_it_takes_effect_at_once(self) -> None:
        self.night.pull(night(12))
        watcher = RecordingSubscriber()
        self.night.feed.subscribe(watcher, repeats=False)
        answer = self.night.edit("set", NORTH, "99")
        self.assertEqual(self.night.shown, night(99))
        self.assertEqual(self.night.marks, ("/0/votes",))
        self.assertIs(self.night.feed.state, State.LIVE)
        self.assertEqual([each.data for each in watcher.snapshots], [night(12), night(99)])
        assert self.night.feed.snapshot is not None
        self.assertEqual(answer["version"], self.night.feed.snapshot.version)
        self.assertEqual(answer["overlay"][0]["places"], [{"pointer": "/0/votes", "hidden": "12"}])

    def test_it_stays_on_its_element_and_is_removed_without_a_trace(self) -> None:
        self.night.edit("set", NORTH, "99")
        self.night.pull(night(12))
        self.assertEqual((self.night.shown, self.night.marks), (night(99), ("/0/votes",)))
        self.night.pull(night(13, 8, turned=True))
        self.assertEqual((self.night.shown, self.night.marks), (night(99, 8, turned=True), ("/1/votes",)))
        self.night.edit("drop", NORTH)
        self.assertEqual((self.night.shown, self.night.marks), (night(13, 8, turned=True), ()))
        self.assertEqual(self.night.desk.report()["overlay"], [])

    def test_watchers_are_told_when_only_the_pointers_change(self) -> None:
        """The document is the same: the source now has the value itself."""
        self.night.pull(night(12))
        self.night.edit("set", NORTH, "99")
        self.night.pull(night(99))
        told = self.night.feed.told
        self.night.edit("drop", NORTH)
        self.assertEqual((self.night.shown, self.night.marks), (night(99), ()))
        self.assertIsNot(self.night.feed.told, told)

    def test_an_entry_that_does_not_fit_changes_nothing_and_says_so(self) -> None:
        self.night.pull(night(12))
        answer = self.night.edit("set", "/{name=West}/votes", "1")
        self.assertEqual((self.night.shown, self.night.marks), (night(12), ()))
        self.assertEqual(answer["overlay"][0]["changes"], 0)
        self.assertEqual(list(self.night.desk.overlay.alarms), ["/{name=West}/votes"])

    def test_an_expected_value(self) -> None:
        """When the source has corrected itself, its value is shown."""
        self.night.edit("set", NORTH, "99", "12")
        self.night.pull(night(12))
        self.night.pull(night(98))
        self.assertEqual((self.night.shown, self.night.marks), (night(98), ()))

    def test_all_actions(self) -> None:
        self.night.pull(b'{"a":1,"b":2}')
        self.night.edit("add", "/c", "3")
        self.night.edit("remove", "/a", None, "1")
        self.assertEqual(self.night.shown, b'{"b":2,"c":3}')
        self.assertEqual(self.night.marks, ("/a", "/c"))
        self.night.edit("clear")
        self.assertEqual(self.night.shown, b'{"a":1,"b":2}')

    def test_a_failing_source_keeps_the_last_document_for_the_overlay(self) -> None:
        self.night.pull(night(12))
        self.night.pull(b"no JSON")
        self.assertIs(self.night.feed.state, State.STALE)
        self.night.edit("set", NORTH, "99")
        self.assertEqual((self.night.shown, self.night.feed.state), (night(99), State.STALE))

    def test_refused_changes_change_nothing(self) -> None:
        self.night.pull(night(12))
        self.assertIn("no entries", self.refused("clear"))
        self.assertIn("no entries", self.refused("drop", "/a"))
        self.assertIn("the value is not JSON", self.refused("set", NORTH, "many"))
        self.assertIn("does not begin with a slash", self.refused("set", "votes", "1"))
        self.assertIn("there is no action 'put': one of set, add", self.refused("put", "/a", "1"))
        self.night.edit("set", NORTH, "99")
        self.assertIn("no entry for '/a'", self.refused("drop", "/a"))
        with self.assertRaisesRegex(CommandError, "reason"):
            self.night.run(self.night.desk.edit_overlay(OverlayChange("clear"), by="ada", reason="x" * 201))
        self.assertEqual(self.night.shown, night(99))
        self.assertEqual(len(self.night.audit.entries), 8)
        self.assertEqual(self.night.audit.entries[5]["arguments"], {"action": "set", "pointer": NORTH, "value": "99"})

    def test_a_document_that_becomes_too_large(self) -> None:
        small = self.start(max_bytes=20)
        small.pull(b'{"a":1}')
        with self.assertRaisesRegex(CommandError, "nothing has changed: the document has more than 20 bytes"):
            small.edit("set", "/a", json.dumps("x" * 20))
        self.assertEqual((small.shown, small.desk.overlay.edits), (b'{"a":1}', ()))

    def test_a_disk_that_is_full(self) -> None:
        """Nothing has changed, there neither."""
        self.night.pull(night(12))
        self.night.audit.fails = True
        with self.assertRaisesRegex(CommandError, "No space left on device"):
            self.night.edit("set", NORTH, "99")
        self.assertEqual((self.night.shown, self.night.desk.overlay.edits), (night(12), ()))
        self.night.start()
        self.assertEqual(self.night.desk.overlay.edits, ())


class DecisionTests(OverlayTestCase):
    """Overlay and decisions."""

    def test_while_the_feed_is_held_the_result_waits(self) -> None:
        self.night.pull(night(12))
        self.night.run(self.night.desk.hold(by="ada"))
        answer = self.night.edit("set", NORTH, "99")
        self.assertEqual((self.night.shown, self.night.waiting, self.night.marks), (night(12), night(99), ()))
        self.assertEqual(answer["state"], "held")
        self.night.edit("drop", NORTH)
        self.assertEqual((self.night.shown, self.night.waiting), (night(12), None))
        self.night.edit("set", NORTH, "98")
        self.night.run(self.night.desk.release(by="ada"))
        self.assertEqual((self.night.shown, self.night.marks), (night(98), ("/0/votes",)))

    def test_a_pinned_version_keeps_its_pointers(self) -> None:
        self.night.edit("set", NORTH, "99")
        self.night.pull(night(12))
        overlaid = self.night.feed.snapshot
        assert overlaid is not None
        self.night.edit("drop", NORTH)
        self.assertEqual(self.night.marks, ())
        self.night.run(self.night.desk.pin(version=overlaid.version, by="ada"))
        self.assertEqual((self.night.shown, self.night.marks), (night(99), ("/0/votes",)))
        self.night.start()
        self.assertEqual((self.night.shown, self.night.marks), (night(99), ("/0/votes",)))

    def test_commands_keep_the_overlay(self) -> None:
        """Also on the disk."""
        self.night.edit("set", NORTH, "99")
        self.night.pull(night(12))
        self.night.run(self.night.desk.withdraw(by="ada"))
        self.night.start()
        self.night.run(self.night.desk.resume(by="ada"))
        self.night.start()
        self.night.pull(night(12))
        self.assertEqual(self.night.shown, night(99))


class PreviewTests(OverlayTestCase):
    """A preview tells what a change would do, and changes nothing."""

    def preview(self, *change: str | None) -> dict[str, Any]:
        """Gives a preview, and checks that nothing has changed."""
        night = self.night
        before = night.shown, night.waiting, night.desk.overlay.edits, night.marks, len(night.audit.entries)
        try:
            wish = OverlayChange(*change)  # type: ignore[arg-type]
            return night.run(night.desk.preview_overlay(wish, by="ada"))
        finally:
            after = night.shown, night.waiting, night.desk.overlay.edits, night.marks, len(night.audit.entries)
            self.assertEqual(after, before)

    def test_before_the_first_pull(self) -> None:
        answer = self.preview("set", NORTH, "99")
        self.assertEqual((answer["effect"], answer["overlay"][0]["changes"]), ("unknown", None))

    def test_effects(self) -> None:
        self.night.pull(night(12))
        answer = self.preview("set", NORTH, "99")
        self.assertEqual((answer["effect"], answer["rule"], answer["why"]), ("shown", None, None))
        self.assertEqual(answer["overlay"][0]["places"], [{"pointer": "/0/votes", "hidden": "12"}])
        self.assertEqual(self.preview("set", NORTH, "12")["effect"], "none")
        self.assertEqual(self.preview("set", NORTH, "99", "13")["overlay"][0]["changes"], 0)
        self.night.run(self.night.desk.hold(by="ada"))
        answer = self.preview("set", NORTH, "99")
        self.assertEqual((answer["effect"], answer["state"], answer["rule"]), ("waits", "held", None))

    def test_a_rule_that_would_refuse_it(self) -> None:
        self.night = self.start(rules=RULES["complete"])
        self.night.pull(night(12))
        answer = self.preview("remove", NORTH)
        self.assertEqual((answer["effect"], answer["rule"]), ("waits", "complete"))
        self.assertIn("votes", answer["why"])

    def test_refusals(self) -> None:
        """They are those of the command."""
        self.night.pull(night(12))
        for change, why in ((("set", NORTH, "many"), "not JSON"), (("drop", NORTH), "no entries")):
            with self.assertRaisesRegex(CommandError, why):
                self.preview(*change)
        self.assertFalse(self.night.desk.turn.locked)

    def test_a_rule_that_takes_too_long(self) -> None:
        """The turn is free again."""
        self.night.pull(night(12))

        async def refusal(_: Any, __: bytes) -> None:
            raise SourceError("the check takes too long")

        self.patch(type(self.night.desk), "refusal", refusal)
        with self.assertRaisesRegex(CommandError, "the check takes too long"):
            self.preview("set", NORTH, "99")
        self.assertFalse(self.night.desk.turn.locked)


class StartTests(OverlayTestCase):
    """The overlay survives a restart."""

    def test_before_the_first_pull_the_kept_document_has_its_pointers(self) -> None:
        self.night.edit("set", NORTH, "99")
        self.night.pull(night(12))
        kept = self.night.feed.snapshot
        assert kept is not None
        self.night.start()
        self.assertEqual([each.pointer for each in self.night.desk.overlay.edits], [NORTH])
        self.night.feed.resume(self.night.feed.picture(), kept)
        self.night.desk.begin()
        self.assertEqual((self.night.shown, self.night.marks), (night(99), ("/0/votes",)))
        self.assertIsNone(self.night.desk.report()["overlay"][0]["changes"])
        self.night.pull(night(13))
        self.assertEqual((self.night.shown, self.night.marks), (night(99), ("/0/votes",)))

    def test_pointers_that_workers_know_are_kept(self) -> None:
        """Their entries may have been dropped since."""
        self.night.edit("set", NORTH, "99")
        self.night.pull(night(12))
        kept, picture = self.night.feed.snapshot, self.night.feed.picture()
        assert kept is not None
        other = self.start()
        other.feed.resume(picture, kept)
        other.desk.begin()
        self.assertEqual(other.marks, ("/0/votes",))

    def test_entries_that_this_livefeed_cannot_use_end_the_start(self) -> None:
        """Without them, the value that they hide would be shown."""
        file = self.night.desk.keeping.file
        assert file is not None
        file.write(DeskRecord(overlay=(Edit("a", "set", "1", None, "ada", 0.0),)))
        with self.assertRaisesRegex(StartError, "results.desk: the overlay: the pointer 'a' cannot be used"):
            self.night.start()


class LargeTests(OverlayTestCase):
    """The overlay of a large document is made in a thread."""

    LARGE = json.dumps({"a": 1, "b": "x" * 70_000}).encode()

    def start_with(self, in_thread: Callable[..., Deferred[Any]]) -> list[Any]:
        """Has the feed call functions in a way; gives the functions that it has called."""
        called: list[Any] = []

        def call(work: Any, *arguments: Any) -> Deferred[Any]:
            called.append(work)
            return in_thread(work, *arguments)

        self.night.desk.maker = type(self.night.desk.maker)(self.night.feed, self.night.clock, call)
        return called

    def test_in_a_thread(self) -> None:
        called = self.start_with(maybeDeferred)
        self.night.edit("set", "/a", "2")
        self.assertEqual(called, [])
        self.night.pull(self.LARGE)
        self.assertTrue(called)
        self.assertEqual(self.night.shown, self.LARGE.replace(b"1", b"2", 1))
        count = len(called)
        self.night.pull(self.LARGE)
        self.assertEqual(len(called), count)

    def test_without_a_thread(self) -> None:
        def fail(*_: Any) -> Any:
            raise OSError(11, "no thread")

        self.start_with(fail)
        self.night.pull(self.LARGE)
        self.night.edit("set", "/a", "2")
        self.assertEqual(self.night.shown, self.LARGE.replace(b"1", b"2", 1))

    def test_a_thread_that_takes_too_long(self) -> None:
        self.night.pull(self.LARGE)
        self.start_with(lambda *_: Deferred())
        failed: list[Any] = []
        change = self.night.desk.edit_overlay(OverlayChange("set", "/a", "2"), by="ada")
        Deferred.fromCoroutine(change).addErrback(failed.append)
        self.night.clock.advance(11)
        self.assertIn("nothing has changed: to put the overlay into the document takes", failed[0].getErrorMessage())
        self.assertEqual(self.night.shown, self.LARGE)


# Random orders of changes.

_COMPLETE = RuleSpec("complete", Required((parse_selector("/{name=North}/votes"),)))
_VOTES = RuleSpec("votes", NeverFalls((parse_selector("/{name=*}/votes"),)))
RULES = {
    "none": Rules(),
    "complete": Rules.compile([_COMPLETE]),
    "votes": Rules.compile([_VOTES]),
    "both": Rules.compile([_COMPLETE, _VOTES]),
}
POINTERS = ("/{name=North}/votes", "/{name=*}/votes", "/0", "/{name=South}", "/{name=West}/votes", "")
Step = tuple[str, Any]


def steps() -> st.SearchStrategy[list[Step]]:
    """Gives changes of the source, of the overlay and of the rules, and restarts."""
    documents = st.sampled_from([night(1), night(2), night(1, turned=True), night(0, 0), b"[]", b"{}", b"null"])
    values = st.sampled_from(["5", "0", '{"name":"North","votes":6}', "[]"])
    return st.lists(
        st.tuples(st.just("pull"), documents)
        | st.tuples(st.just("set"), st.tuples(st.sampled_from(POINTERS), values))
        | st.tuples(st.just("remove"), st.sampled_from(POINTERS[:-1]))
        | st.tuples(st.just("drop"), st.sampled_from(POINTERS))
        | st.tuples(st.just("rules"), st.sampled_from(sorted(RULES)))
        | st.tuples(st.sampled_from(("clear", "restart")), st.none()),
        max_size=14,
    )


@dataclass(slots=True)
class Expected:
    """The promises about overlay, source and rules, without anything that happens in between.

    :ivar source: the last document of the source; ``None`` before the first pull.
    :ivar entries: the entries of the overlay.
    :ivar rules: the rules.
    :ivar shown: the document that watchers are shown.
    :ivar marks: the overlaid pointers in it.
    :ivar waiting: the newest document, if it is held back.
    """

    rules: Rules
    source: bytes | None = None
    entries: tuple[Entry, ...] = ()
    shown: bytes | None = None
    marks: tuple[str, ...] = ()
    waiting: bytes | None = None

    def judge(self) -> None:
        """Decides about the newest document: it is shown, unless a rule refuses it. The shown one is not judged."""
        if self.source is None:
            return
        newest = apply(self.source, self.entries)
        if newest.data != self.shown and self.rules.check(self.shown, newest.data).held is not None:
            self.waiting = newest.data
        else:
            self.shown, self.marks, self.waiting = newest.data, newest.pointers, None

    def restart(self) -> None:
        """Forgets everything except overlay and rules."""
        self.source = self.shown = self.waiting = None
        self.marks = ()


def take(feed: OverlaidFeed, expected: Expected, step: Step) -> None:
    """Takes a step. A change of the overlay that is refused changes nothing."""
    kind, what = step
    match kind:
        case "pull":
            feed.pull(what)
            expected.source = what
            expected.judge()
        case "restart":
            feed.start()
            expected.restart()
        case "rules":
            feed.take_rules(RULES[what])
            expected.rules = RULES[what]
            if expected.waiting is not None:
                expected.judge()
        case _:
            try:
                feed.edit(kind, *(what if isinstance(what, tuple) else () if what is None else (what,)))
            except CommandError:
                return
            expected.entries = tuple(each.entry() for each in feed.desk.overlay.edits)
            expected.judge()


class OrderTests(SynchronousTestCase):
    """Any order of changes to overlay, source and rules."""

    @given(steps(), st.sampled_from(sorted(RULES)))
    def test_any_order(self, taken: list[Step], rules: str) -> None:
        """After each change, shown and waiting document follow from the last source, overlay and rules.

        Without rules and entries, the document of the source is left, byte for byte.
        """
        feed, expected = OverlaidFeed(RULES[rules]), Expected(RULES[rules])
        try:
            with capturedLogs():
                for step in taken:
                    take(feed, expected, step)
                    self.assertEqual((feed.shown, feed.waiting), (expected.shown, expected.waiting), step)
                    self.assertEqual(feed.marks, expected.marks, step)
                feed.take_rules(Rules())
                for each in feed.desk.overlay.edits:
                    feed.edit("drop", each.pointer)
                self.assertEqual((feed.shown, feed.waiting, feed.marks), (expected.source, None, ()))
        finally:
            feed.close()
