"""Serves one live JSON document, or a few, to tens of thousands of watchers, over HTTPS and WebSocket."""

__version__ = "0.2.0"
