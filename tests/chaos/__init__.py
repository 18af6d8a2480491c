"""Measures what watchers notice while livefeed is reloaded, restarted and killed: ``python -m tests.chaos --help``.

- ``watchers/``: the load, a program in Go that holds tens of thousands of connections, and records their experience.
- ``records.py``: the records of that program.
- ``arithmetic.py``: the figures that follow from the records: dropped, missed, failed, back. It knows no process.
- ``load.py``: builds, starts and asks the processes of the load.
- ``server.py``: livefeed, its configuration, and the file that it publishes.
- ``scenarios.py``: the things that are done to livefeed.
- ``report.py``: the tables.
- ``independent.py``: clients of other makers; ``iterating.py`` and ``curling.py`` are two of them.
- ``experience.py``: what those experienced. It knows no process.
- ``__main__.py``: the command.
"""
