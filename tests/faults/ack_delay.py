#!/usr/bin/python3
"""How long an <a/> takes: one sender, <r/> behind each message, the time from the write to the <a/> that covers it. An ack means a commit.
usage: ack_delay.py [RATE...]     messages a second"""
import asyncio
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient  # noqa: E402


async def ack_delay(cluster, count=1000, rate=200):
    """One sender, `count` messages, <r/> behind each. The time from the write to the <a/> that covers the message."""
    names = [f"d{os.urandom(3).hex()}{side}" for side in "ab"]
    for name in names:
        cluster.add_account(name)
    a = await RawClient(cluster.edges[0].c2s).login_managed(names[0])
    b = await RawClient(cluster.edges[1].c2s).login_managed(names[1])
    written, delays, got = [], [], 0

    def on_acked(texts):
        for _ in texts:
            delays.append(time.perf_counter() - written[len(delays)])

    async def read(client, is_enough):
        nonlocal got
        while not is_enough():
            try:
                got += (await client.get(0.2)).tag == f"{{{CLIENT}}}message"
            except asyncio.TimeoutError:
                pass  # nothing but acks

    a.request()
    await read(a, lambda: not a.sm.unacked)
    a.on_acked = on_acked
    readers = [asyncio.create_task(f) for f in (read(a, lambda: len(delays) >= count), read(b, lambda: got >= count))]
    began = time.perf_counter()
    for i in range(count):
        await asyncio.sleep(max(0, began + i / rate - time.perf_counter()))
        written.append(time.perf_counter())
        a.message(f"{names[1]}@localhost", f"number {i}", ident=f"d{i}")
        a.request()
    await asyncio.wait_for(asyncio.gather(*readers), 30)
    for client in (a, b):
        await client.close()
    return sorted(d * 1000 for d in delays[:count])


def measure(cluster, rate=200):
    delays = asyncio.run(ack_delay(cluster, rate=rate))
    at = {p: delays[min(len(delays) - 1, int(len(delays) * p / 100))] for p in (50, 90, 99)}
    return f"{len(delays)} messages at {rate}/s: p50 {at[50]:.2f} ms, p90 {at[90]:.2f} ms, p99 {at[99]:.2f} ms, longest {delays[-1]:.2f} ms"


if __name__ == "__main__":
    with Cluster(edges=2, routers=2, archives=2) as the_cluster:
        for the_rate in [int(argument) for argument in sys.argv[1:]] or (50, 200, 400):
            print(measure(the_cluster, the_rate), flush=True)
