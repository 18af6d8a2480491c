"""``demo:``: an election night that repeats, computed from the time of day.

- ``country``: the parties, and the districts on their map.
- ``election``: a night of twelve minutes with a hundred districts.
- ``seats``: the method of Sainte-Laguë.
- ``small``: a night of three hours with a document of 4 KB, which changes a little each second.
- ``source``: the source, and its URL.
"""

from livefeed.sources.demo.source import DemoSource

__all__ = ["DemoSource"]
