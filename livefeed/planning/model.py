"""The cost of each way to follow a feed, made of the figures.

The same values are given to the calculator of the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from livefeed.planning.ranges import Curve, Point, Range

if TYPE_CHECKING:
    from livefeed.planning.figures import Figures

Content = Literal["whole", "coded", "change"]
"""The content of a message: the whole document, the document compressed, or the change."""

CHANGE = 0.025
"""The part of its document that a change of the small demonstration has, as splices: 105 of 4,304 bytes."""

DEFLATED_CHANGE = 0.65
"""The size of deflated splices divided by that of plain ones: 68 and 105 bytes there."""

CODED_SPREAD = Range(0.7, 1.5)
"""The sizes of other compressed documents, relative to that of the demonstration: rows of numbers have two thirds of
it, and texts half as much again."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to follow a feed.

    :ivar name: its name in ``--mix``.
    :ivar text: its description.
    :ivar content: the content of its messages.
    :ivar kind: a poll, a request that waits, or a push.
    :ivar head_bytes: the bytes of a message without its content.
    :ivar part: the size of its content: relative to the document, or to the plain change.
    :ivar cost_us: the processor time of a message in microseconds, by its bytes.
    :ivar memory_bytes: the process's memory for a connection.
    """

    name: str
    text: str
    content: Content
    kind: Literal["poll", "wait", "push"]
    head_bytes: float
    part: Range
    cost_us: Curve
    memory_bytes: float


@dataclass(frozen=True, slots=True)
class Model:
    """Everything that an estimate needs.

    :ivar ways: all ways, by their names.
    :ivar connection_us: the processor time of a new connection, in microseconds.
    :ivar estimated: what was not measured, and is taken from something else, as sentences.
    """

    ways: dict[str, Way]
    connection_us: Range
    estimated: tuple[str, ...]

    @classmethod
    def of(cls, figures: Figures) -> Model:
        """Makes the model of figures.

        :raises MissingFiguresError: if something is missing that nothing can replace.
        """
        pushes, polls, waits = figures.pushes(), figures.polls(), figures.long_polls()
        estimated = []
        if len(pushes.points) == 1 or len(polls.points) == 1:
            estimated.append("larger documents than 4 KB were not measured: each KB more is taken for 0.5 to 1.6 µs")
        streams = figures.streams()
        if streams is None:
            estimated.append("event streams with TLS were not measured, and are taken for WebSockets")
        splices = figures.splices()
        if splices is None:
            estimated.append("pushes of changes were not measured, and are taken for pushes of 4 KB")
        costs = {
            "poll": polls,
            "wait": _moved(pushes, waits),
            "events": pushes if streams is None else _moved(pushes, streams),
            "push": pushes,
            "splices": pushes if splices is None else _moved(pushes, splices),
        }
        memory = figures.memory()
        ways = [
            Way(
                name,
                text,
                content,
                kind,
                *_sizes(figures, measured, content),
                costs[cost],
                memory[kind],
            )
            for name, text, measured, content, kind, cost in _WAYS
            if measured in figures.wire
        ]
        return cls({way.name: way for way in ways}, figures.connections(), tuple(estimated))


_WAYS: tuple[tuple[str, str, str, Content, Literal["poll", "wait", "push"], str], ...] = (
    ("poll", "polls of the document", "polling", "whole", "poll", "poll"),
    ("poll-gzip", "polls, gzip", "polling, gzip", "coded", "poll", "poll"),
    ("poll-br", "polls, Brotli", "polling, br", "coded", "poll", "poll"),
    ("poll-splices", "polls of changes", "polling, splices", "change", "poll", "poll"),
    ("long-poll", "long polls", "polling", "whole", "wait", "wait"),
    ("sse", "event streams", "events", "whole", "push", "events"),
    ("sse-v2", "event streams, changes", "events, delta v2", "change", "push", "events"),
    ("ws", "WebSockets", "WebSocket", "whole", "push", "push"),
    ("ws-deflated", "WebSockets, deflated", "WebSocket, deflated", "coded", "push", "push"),
    ("ws-v2", "WebSockets, changes", "WebSocket, delta v2", "change", "push", "splices"),
    ("ws-v2-deflated", "WebSockets, changes, deflated", "WebSocket, delta v2, deflated", "change", "push", "splices"),
)
"""The ways: name, description, title of the measured bytes, content, kind, and curve of the processor time."""


def _sizes(figures: Figures, title: str, content: Content) -> tuple[float, Range]:
    """Gives the bytes of a message without its content, and the size of the content."""
    sent, ratio = figures.wire[title]
    document = sent / ratio
    if content == "whole":
        return max(sent - document, 0), Range(1, 1)
    if content == "coded":
        # The head is that of the same way without a coding.
        plain, plain_ratio = figures.wire[title.partition(",")[0]]
        head = max(plain - plain / plain_ratio, 0)
        part = (sent - head) / document
        return head, Range(part * CODED_SPREAD.low, part * CODED_SPREAD.high)
    part = DEFLATED_CHANGE if title.endswith("deflated") else 1.0
    return max(sent - CHANGE * part * document, 0), Range(part, part)


def _moved(curve: Curve, first: Range) -> Curve:
    """Gives a curve that begins at another cost, and grows as the first one does."""
    origin = curve.points[0].cost
    points = []
    for each in curve.points:
        grown = Range.of(max(growth, 0) for growth in (each.cost.low - origin.low, each.cost.high - origin.high))
        points.append(Point(each.size, first + grown))
    return Curve(tuple(points), curve.slope)
