"""The tick: from the bytes of a source to a snapshot.

- ``overlay``: an editor's values, put into each document of the source.
- ``puller``: asks the source at each tick, asks the gate, and publishes.
"""
