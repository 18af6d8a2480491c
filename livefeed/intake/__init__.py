"""The tick: from the bytes of a source to a snapshot.

- ``puller``: asks the source at each tick, asks the gate, and publishes.
"""
