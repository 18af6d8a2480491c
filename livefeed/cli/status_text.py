"""The text of ``livefeed ctl status``."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from livefeed.cli.desk_text import HIDING, STATES, UNKNOWN_STATE, notes, short, version
from livefeed.cli.tables import Cell, Painter, count, duration, printable
from livefeed.cli.times import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOON_DAYS = 14
_DAY_S = 86_400
_NEAR = 0.9

_DISPENSABLE = (7, 6, 5, 8)
"""The columns that a narrow terminal does without: the ways to follow, since another one has the watchers of all ways,
and then the source."""


def status_lines(
    report: dict[str, Any], painter: Painter, now: datetime, answers_per_s: float | None = None
) -> list[str]:
    """Gives the lines of a report of ``/status``.

    :param report: the report.
    :param now: the present time, for the days until a certificate expires.
    :param answers_per_s: requests that were answered per second; ``None`` if it is unknown.
    """
    lines = [_head(report, painter), ""]
    feeds = report.get("feeds") or []
    table = painter.table(
        [
            Cell("FEED", "faint"),
            Cell("STATE", "faint"),
            Cell("AGE", "faint", is_right=True),
            Cell("VERSION", "faint"),
            Cell("WATCHERS", "faint", is_right=True),
            Cell("WEBSOCKET", "faint", is_right=True),
            Cell("EVENTS", "faint", is_right=True),
            Cell("LONG POLLS", "faint", is_right=True),
            Cell("SOURCE", "faint"),
        ],
        [_feed_row(feed) for feed in feeds],
        _DISPENSABLE,
    )
    lines.append(table[0])
    for feed, line in zip(feeds, table[1:], strict=True):
        lines.append(line)
        lines += _notes(feed, painter, now)
    lines.append("")
    lines += _facts(report, painter, now, answers_per_s)
    return lines


def _head(report: dict[str, Any], painter: Painter) -> str:
    if report.get("draining"):
        readiness = painter.paint("draining", "warning")
    elif report.get("ready"):
        readiness = painter.paint("ready", "good")
    else:
        readiness = painter.paint("not ready", "bad")
    name = painter.paint(f"livefeed {printable(str(report.get('livefeed')))}", "strong")
    instance = printable(str(report.get("instance")))
    return (
        f"{name}  {readiness}  instance {instance}, process {report.get('pid')}, up {duration(report.get('uptime_s'))}"
    )


def _feed_row(feed: dict[str, Any]) -> list[Cell]:
    state = str(feed.get("state"))
    watchers = feed.get("watchers") or {}
    return [
        Cell(str(feed.get("name")), "strong"),
        Cell(state, STATES.get(state, UNKNOWN_STATE)),
        Cell(duration(feed.get("age_s")), is_right=True),
        Cell(version(feed.get("version"))),
        Cell(count(sum(watchers.values())), is_right=True),
        *(Cell(count(watchers.get(way)), is_right=True) for way in ("websocket", "events", "waiting")),
        Cell(str(feed.get("source") or "-")),
    ]


def _notes(feed: dict[str, Any], painter: Painter, now: datetime) -> Iterator[str]:
    """Gives the lines below a feed.

    They have the reason of its state, or the last error of a feed that is live again, and everything about its desk.
    """
    state, reason, error = str(feed.get("state")), feed.get("reason"), feed.get("last_error")
    about_desk = list(notes(feed, now))
    if about_desk and state in HIDING:
        pass  # they say more than the reason
    elif reason:
        colour = "warning" if state == "live" else STATES.get(state, UNKNOWN_STATE)
        yield "  " + painter.paint(printable(str(reason)), colour)
    elif error:
        since_s = error.get("recovered_since_s")
        recovered = "" if since_s is None else f"recovered {duration(since_s)} ago; "
        text = f"{recovered}last error at {clock(error.get('at'), now)}: {short(error.get('why'))}"
        yield "  " + painter.paint(text, "faint")
    for text, colour in about_desk:
        yield "  " + painter.paint(text, colour)


def _facts(report: dict[str, Any], painter: Painter, now: datetime, answers_per_s: float | None) -> Iterator[str]:
    width = len("certificate")
    if listen := report.get("listen"):
        yield f"{'listen':{width}}  {printable(', '.join(map(str, listen)))}"
    connections = report.get("connections") or {}
    if connections.get("open") is not None:
        is_near = connections["open"] > _NEAR * (connections.get("most") or float("inf"))
        text = f"{count(connections['open'])} of {count(connections.get('most'))}"
        if connections.get("refused"):
            text += f", {count(connections['refused'])} were refused"
        yield f"{'connections':{width}}  {painter.paint(text, 'warning' if is_near else 'plain')}"
    rate = "" if answers_per_s is None else f", {count(answers_per_s)} per second now"
    yield f"{'answers':{width}}  {count(report.get('answers'))}{rate}"
    if workers := report.get("workers"):
        states = Counter(str(worker.get("state")) for worker in workers)
        shown = ", ".join(f"{count(number)} {printable(state)}" for state, number in states.items())
        yield f"{'workers':{width}}  {painter.paint(shown, 'plain' if [*states] == ['ready'] else 'warning')}"
    for certificate in report.get("certificates") or []:
        days = (datetime.fromisoformat(str(certificate.get("expires_at"))) - now).total_seconds() / _DAY_S
        if days < 0:
            text, colour = "has expired", "bad"
        else:
            text, colour = f"expires in {duration(days * _DAY_S)}", "warning" if days < _SOON_DAYS else "plain"
        yield f"{'certificate':{width}}  {printable(str(certificate.get('file')))} {painter.paint(text, colour)}"  # type: ignore[arg-type]
    for why in report.get("certificate_refusals") or []:
        text = f"is not renewed, and the one before is used: {short(why)}"
        yield f"{'certificate':{width}}  {painter.paint(text, 'bad')}"
    # The reasons of feeds stand at the feeds, unless a decision hides them there.
    explained = tuple(
        f'feed "{feed.get("name")}" is '
        for feed in report.get("feeds") or []
        if feed.get("state") not in HIDING or feed.get("failing")
    )
    for reason in report.get("not_ready_because") or []:
        if not str(reason).startswith(explained):
            yield f"{'not ready':{width}}  {painter.paint(printable(str(reason)), 'bad')}"
