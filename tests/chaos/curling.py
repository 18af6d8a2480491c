"""Runs curl in a loop for many clients, until the process is ended.

``python -m tests.chaos.curling URL CA COUNT EVERY`` prints what each client experiences as lines of JSON. Each request
is a process and a connection of its own, so that 20 requests per second are about as much as a small machine bears.
"""

from __future__ import annotations

import asyncio
import json
import sys

from tests.chaos.iterating import say

LIMIT_S = 10


async def follow(url: str, authority: str, client: int, count: int, every_s: float) -> None:
    """Asks again and again, whatever the answer was."""
    await asyncio.sleep(every_s * client / count)
    command = ("curl", "--silent", "--show-error", "--fail", "--max-time", f"{LIMIT_S}", "--cacert", authority, url)
    loop = asyncio.get_running_loop()
    while True:
        begin = loop.time()
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        output, errors = await process.communicate()
        if process.returncode:
            say(client, "error", text=errors.decode().strip()[:100])
        else:
            say(client, "document", n=json.loads(output)["n"])
        await asyncio.sleep(max(0.0, begin + every_s - loop.time()))


async def main(url: str, authority: str, count: int, every_s: float) -> None:
    """Runs all clients."""
    await asyncio.gather(*(follow(url, authority, client, count, every_s) for client in range(count)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
