"""A document that no reader reads, since it is nested too deeply.

100,000 levels are enough for Python 3.11 to 3.13. From 3.14 on, the size of the stack counts.
"""

from __future__ import annotations

LEVELS = 1_000_000
DEEP = b"[" * LEVELS + b"]" * LEVELS
