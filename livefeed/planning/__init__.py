"""The network, processors and memory that a feed will take: ``livefeed plan``, and the calculator of the documentation.

- ``estimate``: from a demand to ranges of figures. The calculator of the documentation does the same in JavaScript.
- ``figures``: the measured figures, as ``docs/benchmarks.json`` has them.
- ``model``: the cost of each way to follow a feed, made of the figures.
- ``ranges``: a figure between two bounds, and one that depends on the size of a message.

Rule: a figure that was measured is read from the file, and each other one is a constant with its reason.
"""
