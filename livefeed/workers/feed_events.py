"""The events of a feed as messages: each change that the parent makes to its feed, for those of the workers. No I/O.

Rules: a worker that applies all events of a feed in order has the same feed. A ``picture`` takes the place of all
events before it. Numbers that JSON lacks, the infinite ones, are ``null``.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from livefeed.clocks import Moment
from livefeed.config.settings import Push  # noqa: TC001 - msgspec reads the annotations
from livefeed.document.history import DeltaForm
from livefeed.document.signature import Signed
from livefeed.document.snapshot import IDENTITY, Representation, Sequence, Snapshot
from livefeed.exceptions import LinkError
from livefeed.feed.notice import Notice
from livefeed.feed.picture import Picture
from livefeed.feed.signer import Stated
from livefeed.feed.state import State  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from livefeed.feed.feed import Feed
    from livefeed.workers.messages import Message

EVENT = "feed"
"""The type of the messages with events."""

SEEN = "seen"
"""The type of the message by which a worker confirms one event of a feed."""

PATCH = "patch"
"""The type of the message by which a worker asks for a delta, and of the answer."""

WANTED = "wanted"
"""The type of the message by which a worker tells that it uses deltas to the newest version of a feed."""

SNAPSHOT = "snapshot"
"""The type of the message by which a new parent asks for the newest version of a feed, and of the answer, which has the
facts of a picture."""

Happening = Literal["begin_tick", "publish", "skip_tick", "mark_stale", "note_held", "confirm", "codings", "picture"]

_Moment = tuple[float, float, bool]


class CodedFacts(msgspec.Struct, frozen=True):
    """A representation of a snapshot.

    :ivar coding: the name of the coding.
    :ivar digest: its digest, as in ``Repr-Digest``.
    :ivar payload: the index of the payload with its bytes.
    """

    coding: str
    digest: str
    payload: int


class SnapshotFacts(msgspec.Struct, frozen=True):
    """A snapshot, with the representations that the worker does not have.

    :ivar version: the version.
    :ivar sequence: epoch and number.
    :ivar codings: the representations. Without the one called ``identity``, the worker has the version already.
    :ivar deflated: the index of the payload with the compressed WebSocket message.
    """

    version: str
    sequence: tuple[int, int]
    codings: list[CodedFacts] = []
    deflated: int | None = None


class PictureFacts(msgspec.Struct, frozen=True):
    """A :class:`.feed.picture.Picture`, and the versions before the newest one."""

    state: State
    confirmed: _Moment | None
    heard_at_s: float | None
    tick_at_s: float | None
    failing: str | None
    has_lapsed: bool
    patience_s: float | None
    interval_s: float
    push: Push
    stale_after_s: float
    gone_after_s: float | None
    max_delta_bytes: int
    versions: list[str]
    decision: State | None = None
    decided_at_s: float | None = None
    why: str = ""
    waiting: _Moment | None = None
    kind: str = ""
    chosen: _Moment | None = None
    overlay: tuple[str, ...] = ()


class StatementFacts(msgspec.Struct, frozen=True):
    """A :class:`.feed.signer.Stated`: a signed statement, whose bytes a worker only passes on.

    :ivar version: the version that it is about.
    :ivar sequence: epoch and number of that version.
    """

    version: str
    sequence: tuple[int, int]
    statement: str
    parameters: str
    signature: bytes


STATING = frozenset(get_args(Happening)) - {"begin_tick", "codings"}
"""The events that bring the statement of the parent, or say that there is none: all that may come with another one."""


class FeedEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """``feed``: an event of a feed.

    :ivar feed: the name of the feed.
    :ivar event: the method of the feed that the parent has called; ``picture`` for the state after all of them.
    :ivar at_s: when that was, by the monotonic clock.
    :ivar snapshot: the newest snapshot; ``None`` if there is none, and in events that do not need it.
    :ivar is_tick: as in ``Feed.publish``.
    :ivar confirmed: when the snapshot was confirmed.
    :ivar patch: the index of the payload with the patch from the version before.
    :ivar splices: the index of the payload with the splices from the version before.
    :ivar why: as in ``Feed.mark_stale``.
    :ivar picture: the picture.
    :ivar statement: the newest statement, in the events :data:`STATING`; ``None`` for none.
    """

    feed: str
    event: Happening
    at_s: float
    snapshot: SnapshotFacts | None = None
    is_tick: bool = True
    confirmed: _Moment | None = None
    patch: int | None = None
    splices: int | None = None
    why: str = ""
    picture: PictureFacts | None = None
    statement: StatementFacts | None = None


class SeenFacts(msgspec.Struct, frozen=True):
    """``seen``: the worker has applied one event of a feed."""

    feed: str


class WantedFacts(msgspec.Struct, frozen=True):
    """``wanted``: a client of the worker uses deltas to a version.

    :ivar to: that version.
    :ivar form: the form of the deltas.
    """

    feed: str
    to: str
    form: DeltaForm = DeltaForm.PATCH


class PatchFacts(msgspec.Struct, frozen=True):
    """``patch``: the question for a delta, or the answer.

    :ivar base: the version from which it leads.
    :ivar to: the version to which it leads.
    :ivar found: whether there is one: the payload of the answer.
    :ivar form: its form.
    """

    feed: str
    base: str
    to: str
    found: bool = False
    form: DeltaForm = DeltaForm.PATCH


class SnapshotQuestion(msgspec.Struct, frozen=True):
    """``snapshot``: the question of a new parent.

    :ivar max_bytes: the size of the largest document that the parent takes.
    :ivar version: the version that the parent has; empty for none.
    :ivar codings: the codings in which it has that version.
    """

    feed: str
    max_bytes: int
    version: str = ""
    codings: list[str] = []


def deltas_of(message: Message, event: FeedEvent) -> dict[DeltaForm, bytes]:
    """Gives the deltas from the version before that an event brings."""
    indices = {DeltaForm.PATCH: event.patch, DeltaForm.SPLICES: event.splices}
    return {form: message.payload(index) for form, index in indices.items() if index is not None}


def statement_facts(stated: Stated | None) -> StatementFacts | None:
    """Gives a statement as facts."""
    if stated is None:
        return None
    signed = stated.signed
    sequence = sequence_facts(stated.sequence)
    return StatementFacts(stated.version, sequence, signed.statement, signed.parameters, signed.signature)


def take_statement(feed: Feed, event: FeedEvent) -> None:
    """Has a feed show the statement of an event, before the change that the event brings."""
    if event.event in STATING:
        facts = event.statement
        feed.stated = None
        if facts is not None:
            signed = Signed(facts.statement, facts.parameters, facts.signature)
            feed.stated = Stated(facts.version, Sequence(*facts.sequence), signed)


def moment_facts(moment: Moment | None) -> _Moment | None:
    """Gives a point in time as facts."""
    return None if moment is None else (moment.measured_s, moment.wall_s, moment.by_wall)


def moment_of(facts: _Moment | None) -> Moment | None:
    """Gives a point in time of facts."""
    return None if facts is None else Moment(*facts)


def picture_facts(picture: Picture, versions: list[str]) -> PictureFacts:
    """Gives a picture as facts.

    :param versions: the versions from which the parent can make deltas, the oldest first.
    """
    return PictureFacts(
        state=picture.state,
        confirmed=moment_facts(picture.confirmed),
        heard_at_s=_finite(picture.heard_at_s),
        tick_at_s=_finite(picture.tick_at_s),
        failing=picture.failing,
        has_lapsed=picture.has_lapsed,
        patience_s=_finite(picture.patience_s),
        interval_s=picture.interval_s,
        push=picture.push,
        stale_after_s=picture.stale_after_s,
        gone_after_s=_finite(picture.gone_after_s),
        max_delta_bytes=picture.max_delta_bytes,
        versions=versions,
        decision=picture.notice.state,
        decided_at_s=_finite(picture.decided_at_s),
        why=picture.notice.why,
        waiting=moment_facts(picture.notice.waiting),
        kind=picture.notice.kind,
        chosen=moment_facts(picture.notice.chosen),
        overlay=picture.notice.overlay,
    )


def picture_of(facts: PictureFacts) -> Picture:
    """Gives a picture of facts."""
    return Picture(
        state=facts.state,
        confirmed=moment_of(facts.confirmed),
        heard_at_s=-inf if facts.heard_at_s is None else facts.heard_at_s,
        tick_at_s=-inf if facts.tick_at_s is None else facts.tick_at_s,
        failing=facts.failing,
        has_lapsed=facts.has_lapsed,
        patience_s=inf if facts.patience_s is None else facts.patience_s,
        interval_s=facts.interval_s,
        push=facts.push,
        stale_after_s=facts.stale_after_s,
        gone_after_s=inf if facts.gone_after_s is None else facts.gone_after_s,
        max_delta_bytes=facts.max_delta_bytes,
        notice=Notice(
            facts.decision,
            facts.why,
            moment_of(facts.waiting),
            facts.kind,
            moment_of(facts.chosen),
            facts.overlay,
        ),
        decided_at_s=-inf if facts.decided_at_s is None else facts.decided_at_s,
    )


def _finite(number: float) -> float | None:
    return number if abs(number) < inf else None


def sequence_facts(sequence: Sequence) -> tuple[int, int]:
    """Gives a sequence as facts."""
    return sequence.epoch, sequence.number


def snapshot_facts(snapshot: Snapshot, has: Collection[str], payloads: list[bytes]) -> SnapshotFacts:
    """Gives a snapshot as facts.

    :param has: the codings in which the worker has this version already; empty if it does not have it.
    :param payloads: the payloads of the message, to which the bytes are added that the worker does not have.
    """
    codings, deflated = [], None
    for each in snapshot.representations.values():
        if each.coding not in has:
            codings.append(CodedFacts(each.coding, each.digest.decode("ascii"), len(payloads)))
            payloads.append(each.data)
    if not has and snapshot.deflated is not None:
        deflated = len(payloads)
        payloads.append(snapshot.deflated)
    return SnapshotFacts(snapshot.version, sequence_facts(snapshot.sequence), codings, deflated)


def representations_of(message: Message, facts: SnapshotFacts) -> Iterable[Representation]:
    """Gives the representations that came with a message.

    :raises LinkError: if a payload is missing.
    """
    for each in facts.codings:
        data = message.payload(each.payload)
        yield Representation.received(each.coding, data, facts.version, each.digest.encode("ascii"))


def snapshot_of(message: Message, facts: SnapshotFacts, newest: Snapshot | None) -> Snapshot:
    """Gives the snapshot of facts. Nothing is hashed or compressed.

    :param newest: the newest snapshot that the worker has; if it is of this version, it gets what it lacks.
    :raises LinkError: if the bytes of the version did not come, and the worker does not have them.
    """
    received = [*representations_of(message, facts)]
    sequence = Sequence(*facts.sequence)
    if newest is not None and newest.version == facts.version:
        newest.include(received)
        if newest.sequence == sequence:
            return newest
        return Snapshot.received(newest.version, sequence, newest.representations.values(), newest.deflated)
    if not any(each.coding == IDENTITY for each in received):
        raise LinkError(f"the version {facts.version} came without its document")
    deflated = None if facts.deflated is None else message.payload(facts.deflated)
    return Snapshot.received(facts.version, sequence, received, deflated)


def apply_plain(feed: Feed, message: Message, event: FeedEvent) -> bool:
    """Makes the change of an event that is the same for every feed that follows another one.

    :returns: whether it was made. Versions and pictures are left to the caller, which knows what it may take.
    :raises LinkError: if the event is impossible.
    """
    match event.event:
        case "begin_tick":
            feed.begin_tick(event.at_s)
        case "skip_tick":
            feed.skip_tick(event.at_s)
        case "note_held":
            feed.note_held(event.at_s, is_tick=event.is_tick)
        case "mark_stale":
            feed.mark_stale(event.why)
        case "confirm":
            confirmed = moment_of(event.confirmed)
            if confirmed is not None:
                feed.note_confirmed(confirmed, event.at_s)
        case "codings":
            facts = event.snapshot
            if facts is not None and feed.snapshot is not None and facts.version == feed.snapshot.version:
                feed.include(representations_of(message, facts))
        case _:
            return False
    return True
