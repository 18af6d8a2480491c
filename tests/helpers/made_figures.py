"""Figures of benchmarks that no machine has measured."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from livefeed.planning.figures import Figures

ROWS: dict[str, Any] = {
    "WebSocket, 100 subscribers with TLS": {"livefeed": {"cpu_us": 80}},
    "WebSocket, 1,000 subscribers with TLS": {"livefeed": {"cpu_us": 22, "memory_bytes": 23_000}},
    "WebSocket, 10,000 subscribers with TLS": {"livefeed": {"cpu_us": 16, "memory_bytes": 25_000}},
    "WebSocket, 100 KB pushed to 500": {"livefeed": {"cpu_us": 90}, "axum": {"cpu_us": 70}},
    "WebSocket, 20 KB pushed to 1,000": {"livefeed": {"cpu_us": 30}},
    "WebSocket, 5 GB pushed to 1": {"livefeed": {"cpu_us": 1e6}},
    "HTTPS, all heads different, 200 connections": {"livefeed": {"cpu_us": 22}, "nginx": {"cpu_us": 21}},
    "HTTPS, all heads different, 2,000 connections": {"livefeed": {"cpu_us": 31}},
    "HTTPS, 15,000 pollers, each once a second": {"livefeed": {"cpu_us": 40}},
    "HTTPS, 1 MB, 50 connections": {"livefeed": {"cpu_us": 400}},
    "HTTPS, 5,000 long polls": {"livefeed": {"cpu_us": 57, "memory_bytes": 22_000}},
    "HTTPS, 5,000 idle pollers": {"livefeed": {"memory_bytes": 23_500}},
    "HTTPS, resumed handshake and one request": {"livefeed": {"cpu_us": 350}},
}
WIRE = {
    "polling": [5000, 1.25],
    "polling, gzip": [2000, 0.5],
    "events": [4040, 1.01],
    "events, delta v2": [400, 0.1],
    "WebSocket": [4004, 1.001],
    "WebSocket, delta v2": [340, 0.085],
    "WebSocket, delta v2, deflated": [230, 0.0575],
}


def figures(**more: Any) -> Figures:
    """Gives figures with other rows besides; ``None`` removes one."""
    rows = {title: row for title, row in {**ROWS, **more}.items() if row is not None}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "benchmarks.json"
        file.write_text(json.dumps({"rows": rows, "wire": WIRE, "crowd": [], "runs": {}}))
        return Figures.read((Path(directory) / "none.json", file))
