"""Follows with the iterator of ``websockets``, which reconnects by itself: many clients, until the process is ended.

``python -m tests.chaos.iterating URL CA COUNT RATE`` prints what each client experiences as lines of JSON.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time

from websockets.asyncio.client import connect
from websockets.client import process_exception
from websockets.exceptions import ConnectionClosed


def say(client: int, event: str, **fields: object) -> None:
    """Prints an event of a client, with the time of the monotonic clock."""
    print(json.dumps({"client": client, "event": event, "at": time.monotonic(), **fields}), flush=True)


async def follow(url: str, context: ssl.SSLContext, client: int, delay_s: float) -> None:
    """Follows as the documentation of the library advises."""
    await asyncio.sleep(delay_s)

    def note(error: Exception) -> Exception | None:
        say(client, "error", text=str(error)[:100])
        return process_exception(error)

    async for websocket in connect(url, ssl=context, proxy=None, process_exception=note):
        say(client, "open")
        try:
            async for message in websocket:
                say(client, "document", n=json.loads(message)["n"])
        except ConnectionClosed:
            pass
        say(client, "close", code=websocket.close_code)


async def main(url: str, authority: str, count: int, rate: float) -> None:
    """Runs all clients."""
    context = ssl.create_default_context(cafile=authority)
    await asyncio.gather(*(follow(url, context, client, client / rate) for client in range(count)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
