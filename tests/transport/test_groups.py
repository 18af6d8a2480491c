"""Connections without TLS that are written the same data."""

from __future__ import annotations

from tests.helpers.connection_contracts import GroupContract


class GroupTests(GroupContract):
    """Groups of connections without TLS."""

    __test__ = True
