"""Follows a feed with a front end of ``livefeed.client``, ``asyncio`` or ``twisted``, and prints each update as JSON.

A WebSocket that cannot be had is tried again after a second.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from livefeed.client import protocol

# Each front end is imported only where it is used: that for asyncio does without Twisted.
# ruff: noqa: PLC0415

if TYPE_CHECKING:
    from livefeed.client.update import Update


def tell(update: Update[Any]) -> None:
    """Prints an update."""
    names = ("data", "version", "sequence", "state", "line", "verified", "problem")
    print(json.dumps({name: getattr(update, name) for name in names}), flush=True)


def main(front_end: str, url: str) -> None:
    """Follows until the process is killed."""
    protocol.TRY_AGAIN_S = protocol.MAX_TRY_AGAIN_S = 1.0
    if front_end == "asyncio":
        import asyncio

        from livefeed.client.asyncio import follow

        async def work() -> None:
            async with follow(url) as feed:
                async for update in feed:
                    tell(update)

        asyncio.run(work())
    else:
        from twisted.internet import reactor

        from livefeed.client.twisted import Follower

        follower = Follower(reactor, url, tell)
        follower.startService()
        run: Any = reactor
        run.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
