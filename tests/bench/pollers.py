"""A few pollers on connections of their own, for the latency that a poller sees while something else goes on.

``python -m tests.bench.pollers PORT SECONDS`` prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from statistics import quantiles

POLLERS = 20
PAUSE_S = 0.1
HEAD = b"GET /feed HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n"


async def poll(port: int, context: ssl.SSLContext, end: float, waits: list[float], number: int) -> None:
    """Polls for a while."""
    await asyncio.sleep(number * PAUSE_S / POLLERS)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    while (start := time.monotonic()) < end:
        writer.write(HEAD)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        waits.append((time.monotonic() - start) * 1000)
        await asyncio.sleep(PAUSE_S)
    writer.close()


async def run(port: int, seconds: float) -> None:
    """Runs all of them."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    waits: list[float] = []
    end = time.monotonic() + seconds
    results = await asyncio.gather(
        *(poll(port, context, end, waits, number) for number in range(POLLERS)), return_exceptions=True
    )
    errors = sum(isinstance(result, BaseException) for result in results)
    p99 = quantiles(waits, n=100)[98] if len(waits) > 1 else 0
    print(json.dumps({"p99_ms": p99, "max_ms": max(waits, default=0), "count": len(waits), "errors": errors}))


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), float(sys.argv[2])))
