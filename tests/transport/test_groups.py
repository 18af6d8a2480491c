"""Connections without TLS that are written the same data."""

from __future__ import annotations

from tests.helpers.connection_contracts import GroupContract


class GroupTests(GroupContract):
    """Without TLS."""

    __test__ = True
