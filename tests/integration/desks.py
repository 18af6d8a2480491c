"""The commands of the desk of a livefeed that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.harness import Livefeed

RULES = """
[feeds.feed]
source = "{source}"
interval = 0.2

[feeds.feed.rules.votes]
never_falls = ["/votes"]
"""
"""Settings of a feed whose votes never fall."""


def command(livefeed: Livefeed, name: str, status: int = 200, **arguments: Any) -> Any:
    """Gives a command to the desk of the only feed, and gives its answer.

    :param status: the status that the answer must have.
    """
    with livefeed.operator() as client:
        answer = client.post(f"/-/{name}", json=arguments)
    assert answer.status_code == status, answer.text
    return answer.json()


def desk(livefeed: Livefeed) -> Any:
    """Gives the report about the desk."""
    with livefeed.operator() as client:
        return client.get("/-/desk/feed").json()
