#!/usr/bin/python3
"""The well-behaved pair: two users on one edge who send each other a message every 100 ms until standard input ends; then a line of JSON:
what was sent, what arrived, and how long it took. A process of its own, so that a busy test does not slow the clock that measures.

usage: pair.py PORT ADDRESS USER USER"""
import asyncio
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from rawclient import RawClient, body  # noqa: E402

INTERVAL = 0.1


class Side:
    def __init__(self, port, address, user):
        self.client = RawClient(port, source=address)
        self.user = user
        self.sent, self.delays, self.bodies = {}, [], []

    async def talk(self, other, over):
        while not over.is_set():
            number = str(len(self.sent))
            self.sent[number] = time.monotonic()
            self.client.message(f"{other.user}@localhost", number)
            await asyncio.sleep(INTERVAL)

    async def listen(self, other):
        while True:
            text = body(await self.client.get(3600))
            if text is not None:
                self.bodies.append(text)
                self.delays.append(time.monotonic() - other.sent[text])


async def main(port, address, *users):
    a, b = (Side(int(port), address, user) for user in users)
    for side in (a, b):
        await side.client.login(side.user)
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, over.set)
    listeners = [asyncio.create_task(a.listen(b)), asyncio.create_task(b.listen(a))]
    print("ready", flush=True)
    broken = ""
    talkers = asyncio.gather(a.talk(b, over), b.talk(a, over))
    done, _ = await asyncio.wait([talkers, *listeners], return_when=asyncio.FIRST_COMPLETED)
    if talkers in done:
        for _ in range(100):  # what is still under way
            if len(a.bodies) >= len(b.sent) and len(b.bodies) >= len(a.sent):
                break
            await asyncio.sleep(0.1)
    for task in done | set(listeners):
        if task.done() and task.exception():
            broken = repr(task.exception())
    delays = sorted(a.delays + b.delays)
    in_order = a.bodies == list(b.sent) and b.bodies == list(a.sent)
    print(json.dumps({"sent": len(a.sent) + len(b.sent), "arrived": len(delays), "in_order": in_order, "broken": broken,
                      "median": delays[len(delays) // 2] if delays else None, "p99": delays[len(delays) * 99 // 100] if delays else None,
                      "worst": delays[-1] if delays else None}), flush=True)
    os._exit(0)


asyncio.run(main(*sys.argv[1:]))
