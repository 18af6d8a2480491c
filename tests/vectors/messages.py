"""The sections of messages: what a client of ``livefeed.delta.v2`` shows after one message, and after several in order.

The items that it shows are written here by hand. ``tests/document/test_vectors.py`` has a client of its own that finds
the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from livefeed.document.snapshot import version_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Case = dict[str, object]

AT, AGE_MS, NEXT_MS = "2026-11-23T20:15:07.004Z", 40, 960
FEED, PART, OTHER = "/results", "/results/parties/0", "/other"
FIRST, SECOND, THIRD = '{"seats":1,"é":"😀"}', '{"seats":2,"é":"😀"}', '{"seats":2,"é":"😁"}'
PARTY, PARTY_2 = '{"votes":10}', '{"votes":11}'
TEXTS = {
    f"document {number} of the messages": text
    for number, text in enumerate((FIRST, SECOND, THIRD, PARTY, PARTY_2, "10"), 1)
}
TO_SECOND: list[str | int] = [9, "2", 13]
TO_PARTY_2: list[str | int] = [9, "11", 1]
UNKNOWN = "f" * 32
GONE = 404
"""The status of a refusal that says that there is no document."""
STATES = ("live", "stale", "held", "ended")
HIDING = ("expired", "withdrawn")


def _message(kind: str, path: str, text: str, state: str = "live", /, **more: object) -> Case:
    """Gives a message about the version of a text.

    :param more: further members, and such that replace others.
    """
    facts: Case = {
        "type": kind,
        "path": path,
        "version": version_of(text.encode()),
        "sequence": "1795000000250.7",
        "state": state,
        "at": AT,
        "age": AGE_MS,
        "next": NEXT_MS,
    }
    return facts | more


def _document(path: str, text: str, state: str = "live", /, **more: object) -> Case:
    return _message("document", path, text, state, text=text, **more)


def _splices(path: str, old: str, new: str, elements: list[Any], state: str = "live") -> Case:
    return _message("splices", path, new, state, **{"from": version_of(old.encode()), "splices": elements})


def _heartbeat(path: str, text: str, state: str = "live", /, **more: object) -> Case:
    return _message("heartbeat", path, text, state, **more)


def _missing(path: str, state: str = "live") -> Case:
    facts = _message("missing", path, "", state)
    del facts["version"]
    return facts


def _refused(path: str, status: int, retry: int | None) -> Case:
    return {"type": "refused", "path": path, "status": status, "detail": "The reason for people.", "retry": retry}


def _shown(path: str, text: str | None, state: str | None = "live") -> Case:
    return {
        "path": path,
        "text": text,
        "state": state,
        "version": None if text is None else version_of(text.encode()),
    }


def _have(texts: dict[str, str | None]) -> Case:
    return {path: None if text is None else version_of(text.encode()) for path, text in texts.items()}


def _case(name: str, texts: dict[str, str | None], message: Case, *shown: Case, sends: tuple[Case, ...] = ()) -> Case:
    """Gives a case.

    :param texts: what the client follows and has, shown as live.
    :param shown: what it shows after the message, of each item.
    :param sends: what it asks for because of the message.
    """
    return {"name": name, "have": _have(texts), "message": message, "shown": [*shown], "sends": [*sends]}


def _whole(path: str) -> tuple[Case, ...]:
    """Gives the question for a whole document."""
    return ({"follow": path, "have": None},)


def messages() -> Iterator[Case]:
    """Gives single messages. ``have`` are the items that the client follows, and their versions, shown as live."""
    for state in STATES:
        yield _case(f"a document, {state}", {FEED: None}, _document(FEED, FIRST, state), _shown(FEED, FIRST, state))
        yield _case(
            f"splices, {state}",
            {FEED: FIRST},
            _splices(FEED, FIRST, SECOND, TO_SECOND, state),
            _shown(FEED, SECOND, state),
        )
        yield _case(f"a heartbeat, {state}", {FEED: FIRST}, _heartbeat(FEED, FIRST, state), _shown(FEED, FIRST, state))
    for state in HIDING:
        yield _case(
            f"a heartbeat, {state}, about another version",
            {FEED: FIRST},
            _heartbeat(FEED, SECOND, state),
            _shown(FEED, None, state),
        )
    yield from _of_parts()
    yield from _unknown()
    yield from _wrong()
    yield from _refusals()


def _of_parts() -> Iterator[Case]:
    for state in STATES:
        yield _case(
            f"a heartbeat of the whole holds for a part, {state}",
            {PART: PARTY, OTHER: FIRST, "/results2": FIRST, "/result": FIRST},
            _heartbeat(FEED, SECOND, state),
            _shown(PART, PARTY, state),
            *(_shown(path, FIRST) for path in (OTHER, "/results2", "/result")),
        )
    for state in HIDING:
        yield _case(
            f"a heartbeat of the whole hides a part, {state}",
            {PART: PARTY, FEED: FIRST},
            _heartbeat(FEED, FIRST, state),
            _shown(PART, None, state),
            _shown(FEED, None, state),
        )
    yield _case(
        "a heartbeat of a part holds for the part alone",
        {PART: PARTY, FEED: FIRST, f"{PART}/votes": "10"},
        _heartbeat(PART, PARTY, "stale"),
        _shown(PART, PARTY, "stale"),
        _shown(FEED, FIRST),
        _shown(f"{PART}/votes", "10"),
    )
    yield _case("a part is missing", {PART: PARTY}, _missing(PART), _shown(PART, None))
    escaped = "/results/a~1b/c~0d/é/%41"
    yield _case(
        "a path has the plain form of its pointer",
        {escaped: None},
        _document(escaped, "1.50"),
        _shown(escaped, "1.50"),
    )
    yield _case(
        "a message about an item that is not followed", {FEED: FIRST}, _document(PART, PARTY), _shown(FEED, FIRST)
    )


def _unknown() -> Iterator[Case]:
    yield _case(
        "a state that does not exist yet is not live",
        {FEED: FIRST},
        _heartbeat(FEED, FIRST, "paused"),
        _shown(FEED, FIRST, "paused"),
    )
    yield _case(
        "a document in a state that does not exist yet",
        {FEED: None},
        _document(FEED, FIRST, "paused"),
        _shown(FEED, FIRST, "paused"),
    )
    yield _case(
        "a type that does not exist yet",
        {FEED: FIRST},
        _message("signature", FEED, SECOND, "stale"),
        _shown(FEED, FIRST),
    )
    yield _case(
        "members that do not exist yet",
        {FEED: None},
        _document(FEED, FIRST, watchers=[7, {"a": None}], zero=0),
        _shown(FEED, FIRST),
    )
    yield _case(
        "a document that is held, with the reason and the time",
        {FEED: None},
        _document(FEED, FIRST, "held", waiting=61_000, reason='We check 5 % of "district 7" \\ é'),
        _shown(FEED, FIRST, "held"),
    )
    yield _case(
        "a heartbeat while a newer document begins to wait",
        {FEED: FIRST},
        _heartbeat(FEED, FIRST, "held", waiting=0),
        _shown(FEED, FIRST, "held"),
    )
    yield _case(
        "a document with the values of an editor",
        {FEED: None},
        _document(FEED, FIRST, overlay=["/seats", "/é"]),
        _shown(FEED, FIRST),
    )
    yield _case(
        "a heartbeat while the whole document is an editor's",
        {FEED: FIRST},
        _heartbeat(FEED, FIRST, overlay=[""]),
        _shown(FEED, FIRST),
    )
    yield _case(
        "ages that are not known",
        {FEED: FIRST},
        _heartbeat(FEED, FIRST, "stale", at=None, age=None),
        _shown(FEED, FIRST, "stale"),
    )


def _wrong() -> Iterator[Case]:
    ask, same = _whole(FEED), _shown(FEED, FIRST)
    have: dict[str, str | None] = {FEED: FIRST}
    other = version_of(SECOND.encode())
    yield _case("the text has another hash", have, _document(FEED, SECOND, version=UNKNOWN), same, sends=ask)
    yield _case(
        "the text has a byte order mark that the version has not",
        have,
        _document(FEED, "\ufeff" + SECOND, version=other),
        same,
        sends=ask,
    )
    for name, elements in (("out of range", [9, "2", 14]), ("with another hash", [9, "3", 13]), ("malformed", [True])):
        message = _splices(FEED, FIRST, SECOND, elements)
        yield _case(f"splices {name}", have, message, same, sends=ask)
    yield _case(
        "splices from a version that the client does not have",
        have,
        _splices(FEED, THIRD, SECOND, TO_SECOND),
        same,
        sends=ask,
    )
    yield _case(
        "splices for a client that has nothing",
        {FEED: None},
        _splices(FEED, FIRST, SECOND, TO_SECOND),
        _shown(FEED, None, None),
        sends=ask,
    )


def _refusals() -> Iterator[Case]:
    for status, retry in ((403, None), (404, None), (404, 1000), (429, None), (503, 1000), (503, None), (599, 1000)):
        yield _case(
            f"an item is refused with {status}, " + ("for good" if retry is None else "and may be asked for again"),
            {FEED: FIRST, PART: None},
            _refused(PART, status, retry),
            _shown(FEED, FIRST),
            _shown(PART, None, None),
        )
        kept = None if status == GONE else PARTY
        yield _case(
            f"an item that is shown is refused with {status}, "
            + ("for good" if retry is None else "and may be asked for again"),
            {FEED: FIRST, PART: PARTY},
            _refused(PART, status, retry),
            _shown(FEED, FIRST),
            _shown(PART, kept),
        )


def lifetimes() -> Iterator[Case]:
    """Gives messages, and the milliseconds for which the client shows the documents without another one."""
    for lifetime in (0, 750, 599_750, 604_799_750, 30 * 86_400_000):
        yield _lived(f"a document for {lifetime} ms", {FEED: None}, _document(FEED, FIRST, lifetime=lifetime), lifetime)
    yield _lived(
        "splices",
        {FEED: FIRST},
        _splices(FEED, FIRST, SECOND, TO_SECOND) | {"lifetime": 20_000},
        20_000,
    )
    yield _lived("a heartbeat", {FEED: FIRST}, _heartbeat(FEED, FIRST, "stale", lifetime=20_000), 20_000)
    yield _lived("a document without a limit", {FEED: None}, _document(FEED, FIRST), None)
    yield _lived("a heartbeat without a limit", {FEED: FIRST}, _heartbeat(FEED, FIRST, "ended", lifetime=None), None)
    for wrong in ("20000", -1, [20_000], True):
        name = f"a lifetime that is no time, {wrong!r}"
        yield _lived(name, {FEED: FIRST}, _heartbeat(FEED, FIRST, lifetime=wrong), None)
    yield _lived(
        "a heartbeat of the whole, for a part", {PART: PARTY}, _heartbeat(FEED, SECOND, lifetime=20_000), 20_000
    )
    yield _lived("a message about another item", {FEED: FIRST}, _heartbeat(OTHER, FIRST, lifetime=20_000), None)


def _lived(name: str, texts: dict[str, str | None], message: Case, lifetime: int | None) -> Case:
    return {"name": name, "have": _have(texts), "message": message, "shown_ms": lifetime}


def _sequence(name: str, texts: dict[str, str | None], *steps: tuple[Any, ...]) -> Case:
    """Gives a sequence of messages.

    :param steps: each a message, and after it what the client shows of each item, or sends.
    """
    told: list[Case] = []
    for message, *after in steps:
        shown = [each for each in after if "text" in each]
        told.append({"message": message, "shown": shown, "sends": [each for each in after if "follow" in each]})
    return {"name": name, "have": _have(texts), "steps": told}


def sequences() -> Iterator[Case]:
    """Gives sequences of messages on one connection, and after each the items that the client shows."""
    yield _sequence(
        "a night from the beginning to the end",
        {FEED: None},
        (_document(FEED, FIRST), _shown(FEED, FIRST)),
        (_splices(FEED, FIRST, SECOND, TO_SECOND), _shown(FEED, SECOND)),
        (_heartbeat(FEED, SECOND), _shown(FEED, SECOND)),
        (_heartbeat(FEED, SECOND, "stale"), _shown(FEED, SECOND, "stale")),
        (_document(FEED, THIRD), _shown(FEED, THIRD)),
        (_heartbeat(FEED, THIRD, "held"), _shown(FEED, THIRD, "held")),
        (_document(FEED, FIRST, "ended"), _shown(FEED, FIRST, "ended")),
        (_heartbeat(FEED, FIRST, "ended"), _shown(FEED, FIRST, "ended")),
    )
    for state in HIDING:
        yield _sequence(
            f"a document that is {state} is forgotten",
            {FEED: FIRST},
            (_heartbeat(FEED, FIRST, state), _shown(FEED, None, state)),
            (_heartbeat(FEED, SECOND, state), _shown(FEED, None, state)),
            (_splices(FEED, FIRST, SECOND, TO_SECOND), _shown(FEED, None, state), *_whole(FEED)),
            (_document(FEED, SECOND), _shown(FEED, SECOND)),
        )
        yield _sequence(
            f"a part that is {state} stays so until a message of its own",
            {PART: PARTY},
            (_heartbeat(FEED, FIRST, state), _shown(PART, None, state)),
            (_heartbeat(FEED, FIRST), _shown(PART, None, state)),
            (_document(PART, PARTY), _shown(PART, PARTY)),
            (_heartbeat(FEED, FIRST, "stale"), _shown(PART, PARTY, "stale")),
        )
    yield _sequence(
        "a part goes and comes back the same",
        {PART: PARTY},
        (_missing(PART), _shown(PART, None)),
        (_heartbeat(FEED, FIRST, "stale"), _shown(PART, None)),
        (_missing(PART, "stale"), _shown(PART, None, "stale")),
        (_document(PART, PARTY), _shown(PART, PARTY)),
        (_heartbeat(FEED, FIRST, "stale"), _shown(PART, PARTY, "stale")),
    )
    yield _sequence(
        "a part goes and comes back changed",
        {PART: PARTY},
        (_missing(PART), _shown(PART, None)),
        (_document(PART, PARTY_2), _shown(PART, PARTY_2)),
        (_missing(PART), _shown(PART, None)),
        (_document(PART, PARTY), _shown(PART, PARTY)),
        (_splices(PART, PARTY, PARTY_2, TO_PARTY_2), _shown(PART, PARTY_2)),
    )
    yield _sequence(
        "a client comes back with the newest version",
        {FEED: FIRST},
        (_heartbeat(FEED, FIRST, "stale"), _shown(FEED, FIRST, "stale")),
        (_splices(FEED, FIRST, SECOND, TO_SECOND), _shown(FEED, SECOND)),
    )
    yield _sequence(
        "a client comes back with a version that is forgotten",
        {FEED: SECOND},
        (_document(FEED, FIRST), _shown(FEED, FIRST)),
        (_splices(FEED, FIRST, SECOND, TO_SECOND), _shown(FEED, SECOND)),
    )
    yield _sequence(
        "splices that went wrong are mended by a document",
        {FEED: FIRST},
        (_splices(FEED, FIRST, SECOND, [9, "9", 13]), _shown(FEED, FIRST), *_whole(FEED)),
        (_document(FEED, SECOND), _shown(FEED, SECOND)),
    )
    yield _sequence(
        "a part that was refused keeps its state until a message of its own",
        {PART: PARTY},
        (_refused(PART, 503, 1000), _shown(PART, PARTY)),
        (_heartbeat(FEED, FIRST, "held"), _shown(PART, PARTY)),
        (_heartbeat(PART, PARTY, "stale"), _shown(PART, PARTY, "stale")),
        (_heartbeat(FEED, FIRST, "held"), _shown(PART, PARTY, "held")),
        (_refused(PART, 503, 1000), _shown(PART, PARTY, "held")),
        (_splices(PART, PARTY, PARTY_2, TO_PARTY_2), _shown(PART, PARTY_2)),
        (_heartbeat(FEED, FIRST, "held"), _shown(PART, PARTY_2, "held")),
    )
    for state in HIDING:
        yield _sequence(
            f"a part that was refused is {state} with the whole",
            {PART: PARTY},
            (_refused(PART, 503, 1000), _shown(PART, PARTY)),
            (_heartbeat(FEED, FIRST, state), _shown(PART, None, state)),
            (_heartbeat(FEED, FIRST), _shown(PART, None, state)),
            (_document(PART, PARTY), _shown(PART, PARTY)),
        )
    yield _sequence(
        "a part that is not found, and comes back",
        {PART: PARTY},
        (_refused(PART, 404, 60_000), _shown(PART, None)),
        (_heartbeat(FEED, FIRST, "held"), _shown(PART, None)),
        (_document(PART, PARTY, "held"), _shown(PART, PARTY, "held")),
    )
    yield _sequence(
        "several items on one connection",
        {FEED: None, PART: None, OTHER: FIRST},
        (_document(FEED, FIRST), _shown(FEED, FIRST), _shown(PART, None, None), _shown(OTHER, FIRST)),
        (_document(PART, PARTY), _shown(FEED, FIRST), _shown(PART, PARTY), _shown(OTHER, FIRST)),
        (_heartbeat(OTHER, FIRST, "stale"), _shown(FEED, FIRST), _shown(PART, PARTY), _shown(OTHER, FIRST, "stale")),
        (
            _splices(PART, PARTY, PARTY_2, TO_PARTY_2),
            _shown(FEED, FIRST),
            _shown(PART, PARTY_2),
            _shown(OTHER, FIRST, "stale"),
        ),
        (
            _heartbeat(FEED, FIRST, "held"),
            _shown(FEED, FIRST, "held"),
            _shown(PART, PARTY_2, "held"),
            _shown(OTHER, FIRST, "stale"),
        ),
    )
