"""A recording of a terminal and of what watchers see meanwhile, as a moving picture: an SVG without a script."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from html import escape

COLUMNS = 100
"""The characters of a line of the terminal."""

LINES = 15
"""The lines of the terminal. A scene that has more shows the first ones."""

LEFT, LINE, WIDTH = 24, 20, 900
TERMINAL, WATCHERS = 44, 44 + LINES * LINE + 30
HEIGHT = WATCHERS + 132

READ_S = 0.35
"""Seconds for which a line of a scene is shown, so that a person can read it."""

LEAST_S = 4.0
"""The seconds of the shortest scene."""

STYLE = """
text { font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #d7dde5; white-space: pre }
.frame { fill: #10151c } .bar { fill: #1b232e } .card { fill: #1b232e } .note { fill: #8b98a8 }
.title { fill: #8b98a8; font-size: 13px } .prompt { fill: #6cc7a0 } .command { fill: #ffffff; font-weight: 600 }
.count { font-size: 20px; font-weight: 600; fill: #ffffff } .state { font-size: 12px; fill: #10151c; font-weight: 600 }
.live { fill: #6cc7a0 } .held { fill: #f2b84b } .withdrawn { fill: #ef7d7d } .ended { fill: #9db4d6 }
"""


@dataclass(frozen=True)
class Seen:
    """What a watcher sees.

    :ivar state: the state of the feed.
    :ivar shown: the lines of the document, at most two; none if there is no document.
    """

    watcher: str
    state: str
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """Commands with their output, and what the watchers see afterwards.

    :ivar heading: the line above the terminal.
    """

    heading: str
    commands: tuple[tuple[str, str], ...]
    seen: tuple[Seen, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Gives the lines of the terminal, each with its class."""
        lines: list[tuple[str, str]] = []
        for command, output in self.commands:
            first, *others = textwrap.wrap(command, COLUMNS - 2, break_on_hyphens=False) or [""]
            lines += [("command", "$ " + first), *(("command", "  " + each) for each in others)]
            lines += [("output", shortened(each)) for each in output.splitlines() if each.strip()]
        return lines[:LINES]

    def seconds(self) -> float:
        """Gives the time for which it is shown."""
        return max(LEAST_S, 1.5 + READ_S * len(self.lines()))


def shortened(line: str) -> str:
    """Gives a line of output as long as the terminal shows it."""
    return line if len(line) <= COLUMNS else line[: COLUMNS - 1] + "…"


@dataclass
class Recording:
    """The scenes, one after the other.

    :ivar title: what is shown, for people who hear it.
    """

    title: str
    scenes: list[Scene] = field(default_factory=list)

    def svg(self, still: int = 0) -> str:
        """Gives the moving picture.

        :param still: the number of the scene that is shown where people want no motion.
        """
        whole_s = sum(each.seconds() for each in self.scenes)
        style, groups, at_s = [STYLE], [], 0.0
        for number, scene in enumerate(self.scenes):
            start, end = (100 * each / whole_s for each in (at_s, at_s + scene.seconds()))
            at_s += scene.seconds()
            before = f"0% {{ visibility: hidden }} {start:.3f}%" if number else "0%"
            style.append(
                f"@keyframes k{number} {{ {before} {{ visibility: visible }} "
                f"{end:.3f}%, 100% {{ visibility: hidden }} }} "
                f"#s{number} {{ visibility: hidden; animation: k{number} {whole_s:.1f}s step-end infinite }}"
            )
            groups.append(f'<g id="s{number}">{_drawn(scene)}</g>')
        style.append(
            "@media (prefers-reduced-motion: reduce) { g[id] { animation: none !important } "
            f"#s{still} {{ visibility: visible !important }} }}"
        )
        spoken = " ".join(f"{each.heading}: {_spoken(each)}." for each in self.scenes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'role="img" aria-labelledby="title about">\n<title id="title">{escape(self.title)}</title>\n'
            f'<desc id="about">{escape(spoken)}</desc>\n<style>{"".join(style)}</style>\n'
            f'<rect class="frame" width="{WIDTH}" height="{HEIGHT}" rx="10"/>'
            f'<rect class="bar" width="{WIDTH}" height="32" rx="10"/>\n' + "\n".join(groups) + "\n</svg>\n"
        )


def _spoken(scene: Scene) -> str:
    states = sorted({each.state for each in scene.seen})
    shown = sorted({", ".join(each.shown) or "nothing" for each in scene.seen})
    return f"the watchers see the state {' and '.join(states)}, and {' and '.join(shown)}"


def _text(x: int, y: int, words: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{named} xml:space="preserve">{escape(words)}</text>'


def _drawn(scene: Scene) -> str:
    parts = [_text(LEFT, 21, scene.heading, "title")]
    for number, (kind, words) in enumerate(scene.lines()):
        parts.append(_text(LEFT, TERMINAL + LINE * (number + 1), words, kind))
    width = (WIDTH - 2 * LEFT + 12) // len(scene.seen)
    for number, seen in enumerate(scene.seen):
        x, wide = LEFT + number * width, 8 * len(seen.state) + 20
        parts += [
            f'<rect class="card" x="{x}" y="{WATCHERS}" width="{width - 12}" height="108" rx="8"/>',
            _text(x + 12, WATCHERS + 26, seen.watcher, "title"),
            f'<rect class="{seen.state}" x="{x + 12}" y="{WATCHERS + 38}" width="{wide}" height="20" rx="10"/>',
            _text(x + 22, WATCHERS + 52, seen.state, "state"),
        ]
        first, *others = seen.shown or ("nothing",)
        parts.append(_text(x + 12, WATCHERS + 82, first, "count" if seen.shown else "note"))
        parts += [_text(x + 12, WATCHERS + 100, each, "note") for each in others]
    return "".join(parts)
