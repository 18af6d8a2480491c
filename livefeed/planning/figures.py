"""The measured figures, as ``docs/benchmarks.json`` has them: only those of livefeed that a plan needs.

The file has one place in the repository, and another in the wheel.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from livefeed.exceptions import LivefeedError
from livefeed.planning.ranges import Curve, Point, Range

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = Path(__file__).parent.parent
FILES = (_PACKAGE / "data" / "benchmarks.json", _PACKAGE.parent / "docs" / "benchmarks.json")
"""The places of the file: in the wheel, and in a clone."""

DOCUMENT_BYTES = 4195
"""The size of the document in rows whose title names none."""

SIZES = {"20 KB": 20_000, "100 KB": 100_000, "1 MB": 1_000_000}
"""Bytes of the documents that titles name."""

SLOPE_US = Range(0.0005, 0.0016)
"""Microseconds for each byte of a larger message, for curves with one point: those of the kernel's copies and of the
encryption. Documents of 14,568 bytes took 35 µs instead of 19 (docs, "Pushes of deltas")."""

_OURS, _BY_SPLICES = "livefeed", "livefeed, by v2"
_CROWD = 1000
"""Subscribers from which the work for a version is a small part of the figure of a delivery."""

_PUSHED = re.compile(r"WebSocket, ([\d,]+) subscribers with TLS")
_PUSHED_LARGE = re.compile(r"WebSocket, (\d+ [KM]B) pushed to [\d,]+")
_POLLED_LARGE = re.compile(r"HTTPS, (\d+ [KM]B), \d+ connections")
_POLLED = re.compile(r"HTTPS, all heads different, [\d,]+ connections|HTTPS, [\d,]+ pollers, each once a second")
_WAITED = re.compile(r"HTTPS, [\d,]+ long polls")
_STREAMED = re.compile(r"Event streams, [\d,]+ with TLS")
_SPLICED = re.compile(r"WebSocket, [\d,]+ subscribers of the .+")
_IDLE = re.compile(r"HTTPS, [\d,]+ idle pollers")
_CONNECTED = re.compile(r"HTTPS, (?:full|resumed) handshake and one request|(?:WebSocket|Event stream), connecting")


class MissingFiguresError(LivefeedError):
    """There are no measured figures, or not enough of them."""


class Row(msgspec.Struct, frozen=True):
    """A figure of a row: processor time in microseconds, and memory in bytes."""

    cpu_us: float = 0
    memory_bytes: float = 0
    wire_bytes: float = 0


class Figures(msgspec.Struct, frozen=True):
    """The content of the file.

    :ivar rows: rows by their titles, and in each the servers by their names.
    :ivar wire: for each way to follow, the bytes of an update of the small demonstration, and their ratio to its size.
    """

    rows: dict[str, dict[str, Row]]
    wire: dict[str, tuple[float, float]]

    @classmethod
    def read(cls, files: tuple[Path, ...] = FILES) -> Figures:
        """Reads the first of the files that is there.

        :raises MissingFiguresError: if none is, or it has no such content.
        """
        for file in files:
            try:
                data = file.read_bytes()
            except OSError:
                continue
            try:
                return msgspec.json.decode(data, type=cls)
            except msgspec.MsgspecError as error:
                raise MissingFiguresError(f"{file}: {error}") from None
        raise MissingFiguresError(f"{files[0]}: there is no such file; install livefeed again")

    def pushes(self) -> Curve:
        """Gives the processor time of a push on a WebSocket, in microseconds."""
        small = [
            row.cpu_us
            for title, row in self._all(_PUSHED)
            if (found := _PUSHED.fullmatch(title)) and int(found[1].replace(",", "")) >= _CROWD
        ]
        return self._curve(small, _PUSHED_LARGE, "pushes")

    def polls(self) -> Curve:
        """Gives the processor time of a poll, in microseconds."""
        return self._curve([row.cpu_us for _, row in self._all(_POLLED)], _POLLED_LARGE, "polls")

    def long_polls(self) -> Range:
        """Gives the processor time of an answer to a request that waits, in microseconds."""
        return _range((row.cpu_us for _, row in self._all(_WAITED)), "long polls")

    def streams(self) -> Range | None:
        """Gives the processor time of an event of a stream, in microseconds; ``None`` if none was measured."""
        found = [row.cpu_us for _, row in self._all(_STREAMED) if row.cpu_us]
        return Range.of(found) if found else None

    def splices(self) -> Range | None:
        """Gives the processor time of a push of splices, in microseconds; ``None`` if none was measured."""
        found = [row.cpu_us for _, row in self._all(_SPLICED, _BY_SPLICES) if row.cpu_us]
        return Range.of(found) if found else None

    def connections(self) -> Range:
        """Gives the processor time of a new connection with its first document, in microseconds."""
        return _range((row.cpu_us for _, row in self._all(_CONNECTED)), "new connections")

    def memory(self) -> dict[str, float]:
        """Gives the memory of a connection in bytes: the most that was measured, by ``push``, ``poll`` and ``wait``."""
        return {
            kind: _range((row.memory_bytes for _, row in self._all(pattern)), f"memory ({kind})").high
            for kind, pattern in (("push", _PUSHED), ("poll", _IDLE), ("wait", _WAITED))
        }

    def _all(self, pattern: re.Pattern[str], name: str = _OURS) -> Iterator[tuple[str, Row]]:
        for title, row in self.rows.items():
            if pattern.fullmatch(title) and name in row:
                yield title, row[name]

    def _curve(self, small: list[float], large: re.Pattern[str], what: str) -> Curve:
        points = [Point(DOCUMENT_BYTES, _range(small, what))]
        for title, row in self._all(large):
            found = large.fullmatch(title)
            if found is not None and found[1] in SIZES and row.cpu_us:
                points.append(Point(SIZES[found[1]], Range(row.cpu_us, row.cpu_us)))
        return Curve(tuple(sorted(points, key=lambda each: each.size)), SLOPE_US)


def _range(values: Iterator[float] | list[float], what: str) -> Range:
    """Gives the range of all values that were measured.

    :raises MissingFiguresError: if there are none.
    """
    found = [each for each in values if each]
    if not found:
        raise MissingFiguresError(f"benchmarks.json: {what} were not measured")
    return Range.of(found)
