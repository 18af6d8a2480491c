"""``recording:``: the versions of a recording, one after another, at their times or faster.

- ``playing``: the position in a recording, by a clock, a speed and pauses.
- ``reading``: the next versions, read ahead in threads.
- ``source``: the source, its URL, and the commands of an operator.
"""

from livefeed.sources.recording.source import RecordingSource

__all__ = ["RecordingSource"]
