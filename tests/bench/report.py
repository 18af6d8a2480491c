"""What the bench gives: a table, and a plot without a plotting library."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bench.load import Measured

Medians = dict[str, dict[str, "Measured"]]

BAR, GAP, LEFT, WIDTH = 16, 6, 220, 760


def table(medians: Medians, ours: str) -> str:
    """Gives the figures as Markdown, one table a row of the bench."""
    lines: list[str] = []
    for title, by_name in medians.items():
        if not any(measured.cpu_us for measured in by_name.values()):
            lines += ["", f"**{title}**", "", "| server | KB each |", "|---|---|"]
            lines += [f"| {name} | {measured.memory_bytes / 1024:.1f} |" for name, measured in by_name.items()]
            continue
        fan_out = any(measured.memory_bytes for measured in by_name.values())
        what = (
            ("deliveries/s", "first to last, ms", "poll p99, ms") if fan_out else ("requests/s", "p50, ms", "p99, ms")
        )
        lines += [
            "",
            f"**{title}**",
            "",
            f"| server | {what[0]} | CPU, µs each | ours / its CPU | {what[1]} | {what[2]} | KB each |",
        ]
        lines.append("|---|---|---|---|---|---|---|")
        own = by_name.get(ours)
        for name, measured in by_name.items():
            ratio = f"{own.cpu_us / measured.cpu_us:.2f}" if own and measured.cpu_us else ""
            memory = f"{measured.memory_bytes / 1024:.1f}" if measured.memory_bytes else ""
            errors = f" ({measured.errors} errors)" if measured.errors else ""
            lines.append(
                f"| {name}{errors} | {measured.rate:,.0f} | {measured.cpu_us:.1f} | {ratio} "
                f"| {measured.p50_ms:.1f} | {measured.p99_ms:.1f} | {memory} |"
            )
    return "\n".join(lines)


def plot(medians: Medians, ours: str) -> str:
    """Gives an SVG of the processor time that each request or delivery costs."""
    parts: list[str] = []
    y = 10
    for title, by_name in medians.items():
        if not any(measured.cpu_us for measured in by_name.values()):
            continue
        parts.append(f'<text x="10" y="{y + 14}" class="title">{escape(title)}: CPU, µs each</text>')
        y += 24
        scale = (WIDTH - LEFT - 70) / max(1, *(measured.cpu_us for measured in by_name.values()))
        for name, measured in by_name.items():
            kind = "ours" if name == ours else "other"
            width = max(measured.cpu_us * scale, 1)
            parts.append(f'<text x="{LEFT - 8}" y="{y + 12}" class="name">{escape(name)}</text>')
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" class="{kind}"/>')
            parts.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 12}">{measured.cpu_us:.1f}</text>')
            y += BAR + GAP
        y += 14
    style = (
        "text{font:12px sans-serif;fill:#333}.title{font-weight:bold}.name{text-anchor:end}"
        ".ours{fill:#1a7f37}.other{fill:#9aa4ae}rect.ground{fill:#fff}"
    )
    ground = f'<rect class="ground" width="{WIDTH}" height="{y}"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">'
        f"<style>{style}</style>{ground}{''.join(parts)}</svg>\n"
    )
