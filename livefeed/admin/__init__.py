"""The operator's side.

- ``metrics``: the metrics, in the text format of Prometheus.
"""
