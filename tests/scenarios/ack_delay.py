#!/usr/bin/python3
"""How long an <a/> takes: senders with <r/> behind each message, the time from the write to the <a/> that covers it. An ack means a commit, and a group
commit costs less than 5 ms (DESIGN 3.3); with sanitizers, this client and the databases on the same few cores the bound is looser, and still far from
what a group that waits for a timer would take.
usage: ack_delay.py            the test: 4 senders, 300 messages a second
       ack_delay.py RATE...    measures only, messages a second (STARLING_BUILD=build/release)"""
import asyncio
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, end_tasks  # noqa: E402
from runner import run  # noqa: E402

SENDERS, RATE, COUNT = 4, 300, 900
BOUND_P50_MS, BOUND_P99_MS = 25, 500
cluster = None


async def login(edge, name):
    cluster.add_account(name)
    return await RawClient(cluster.edges[edge].c2s).login_managed(name)


async def drink(client):
    """Acks and messages are worked off as they come."""
    while True:
        try:
            client.got += (await client.get(60)).tag == f"{{{CLIENT}}}message"
        except asyncio.TimeoutError:
            pass


class Sender:
    def __init__(self, client, to):
        self.client, self.to, self.written, self.delays = client, to, [], []

    async def begin(self):
        self.client.request()
        while self.client.sm.unacked:
            try:
                await self.client.get(0.1)
            except asyncio.TimeoutError:
                pass  # nothing but acks
        self.client.on_acked = self.on_acked

    def on_acked(self, texts):
        for _ in texts:
            self.delays.append((time.perf_counter() - self.written[len(self.delays)]) * 1000)

    def say(self, number):
        self.written.append(time.perf_counter())
        self.client.message(f"{self.to}@localhost", f"number {number}", ident=f"d{number}")
        self.client.request()


async def ack_delays(rate, count):
    """In milliseconds, ascending: `count` messages of all senders together, each to a recipient of its own on the other edge."""
    run_id = os.urandom(3).hex()
    senders, clients = [], []
    for i in range(SENDERS):
        recipient = await login(1, f"r{run_id}{i}")
        senders.append(Sender(await login(0, f"s{run_id}{i}"), f"r{run_id}{i}"))
        await senders[-1].begin()
        clients += [recipient, senders[-1].client]
    for client in clients:
        client.got = 0
    tasks = [asyncio.create_task(drink(client)) for client in clients]
    began = time.perf_counter()
    for i in range(count):
        await asyncio.sleep(max(0, began + i / rate - time.perf_counter()))
        senders[i % SENDERS].say(i)
    deadline = time.perf_counter() + 30
    while time.perf_counter() < deadline and not all(task.done() for task in tasks):
        if sum(len(s.delays) for s in senders) == count == sum(client.got for client in clients):
            break
        await asyncio.sleep(0.02)
    delays = sorted(delay for s in senders for delay in s.delays)
    assert len(delays) == count == sum(client.got for client in clients), f"{len(delays)} acks, {sum(c.got for c in clients)} messages"
    await end_tasks(*tasks)
    for client in clients:
        await client.close()
    return delays


def at(delays, percent):
    return delays[min(len(delays) - 1, int(len(delays) * percent / 100))]


def distribution(delays, rate):
    points = ", ".join(f"p{p} {at(delays, p):.1f} ms" for p in (10, 50, 90, 99))
    return f"      {len(delays)} messages at {rate}/s: {points}, longest {delays[-1]:.1f} ms"


async def test_an_ack_costs_little_more_than_a_commit():
    await ack_delays(100, 100)  # statements are prepared, accounts loaded
    delays = await ack_delays(RATE, COUNT)
    print(distribution(delays, RATE), flush=True)
    assert at(delays, 50) < BOUND_P50_MS, at(delays, 50)
    assert at(delays, 99) < BOUND_P99_MS, at(delays, 99)


def test_nothing_was_wrong_underneath():
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    with Cluster(edges=2, routers=2, archives=2) as cluster:
        if sys.argv[1:]:
            for the_rate in [int(argument) for argument in sys.argv[1:]]:
                print(distribution(asyncio.run(ack_delays(the_rate, 1000)), the_rate), flush=True)
        else:
            sys.exit(0 if run(sys.modules[__name__]) else 1)
