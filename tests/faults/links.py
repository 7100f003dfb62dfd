"""The network between our processes is cut, flaps, loses, is slow: T06 to T09."""
import asyncio
import random
import time

from catalogue import fault, pick
from judge import NOTHING, QUEUES_GONE, STALLS, STORE_AWAY
from network import POSTGRES, REDIS, RESET


async def nodes_of_a_pair(load, seconds=30):
    """An edge and a router that have something to say to each other: after a fault before this one a router may still be without accounts."""
    pair = load.edge_in_use(), pick(load.cluster.routers)
    query = f"SELECT count(*) FROM router.shard WHERE owner = '{pair[1].name}'"
    for _ in range(seconds * 2):
        if await asyncio.to_thread(load.cluster.postgres.query, query) != "0":
            return pair
        await asyncio.sleep(0.5)
    raise AssertionError(f"{pair[1].name} got no shards in {seconds} s")


async def healed(load, seconds=30):
    packets = load.net.heal()
    assert packets > 0, "no packet met a rule: nothing was cut"
    load.notes.append(f"{packets} packets, longest delay {load.longest_delay(0):.1f} s")
    await load.everybody_talks(seconds)
    load.notes[-1] += f", after it {load.longest_delay(0):.1f} s"


def partition(seconds):
    """An edge and a router do not hear each other, silently. Their clients go to another edge or wait; nothing they sent is acknowledged (F06)."""
    async def cut(load):
        load.net.pair(*await nodes_of_a_pair(load))
        await asyncio.sleep(seconds)
        await healed(load)
    return cut


for _seconds in (5, 60, 600):
    fault("T06", name=f"partition_{_seconds}", needs=("network",), quick=_seconds < 10, is_long=_seconds > 60, allows=STALLS)(partition(_seconds))


@fault("T06", needs=("network",), quick=True, allows=STALLS)
async def partition_one_way(load):
    pair = await nodes_of_a_pair(load)
    load.net.pair(*random.sample(pair, 2), direction="original")
    await asyncio.sleep(5)
    await healed(load)


@fault("T06", needs=("network",), allows=STALLS)
async def partition_one_way_30(load):
    """Longer than bus.peer_timeout of one side, while the other side still hears it."""
    pair = await nodes_of_a_pair(load)
    load.net.pair(*random.sample(pair, 2), direction="original")
    await asyncio.sleep(30)
    await healed(load)


@fault("T06", needs=("network",), quick=True, allows=STALLS)
async def partition_reset(load):
    load.net.pair(*await nodes_of_a_pair(load), verdict=RESET)
    await asyncio.sleep(5)
    await healed(load)


@fault("T06", needs=("network",), allows=STALLS)
async def edge_alone(load):
    """An edge reaches no router at all."""
    edge = load.edge_in_use()
    for router in load.cluster.routers:
        load.net.pair(edge, router)
    await asyncio.sleep(20)
    await healed(load)


@fault("T06", needs=("network",), allows=STALLS)
async def routers_apart(load):
    load.net.pair(*load.cluster.routers[:2])
    await asyncio.sleep(random.choice((5, 20)))
    await healed(load)


# ---- T07: from the databases

def without(stores, seconds=8, everybody=False):
    async def cut(load):
        nodes = load.cluster.routers + load.cluster.archives if everybody else [pick(load.cluster.routers)]
        for node in nodes:
            for store in stores:
                load.net.store(node, store)
        await asyncio.sleep(seconds)
        await healed(load, 45)
    return cut


for _name, _stores in (("postgres", (POSTGRES,)), ("redis", (REDIS,)), ("both", (POSTGRES, REDIS))):
    # The fault of one router is over before commit_timeout. One that hands over cannot tell a Redis it does not reach what it delivered meanwhile.
    _one = {"postgres": STALLS, "redis": NOTHING, "both": STALLS | QUEUES_GONE}[_name]
    _all = NOTHING if _name == "redis" else STORE_AWAY
    fault("T07", name=f"router_without_{_name}", needs=("network",), allows=_one)(without(_stores))
    fault("T07", name=f"all_without_{_name}", needs=("network",), allows=_all)(without(_stores, 12, True))


# ---- T08: lines that flap and lose

@fault("T08", needs=("network",), allows=STALLS)
async def flapping(load):
    """Cut and healed every 200 ms."""
    pairs = [(edge, router) for edge in load.cluster.edges[:2] for router in load.cluster.routers]
    deadline = time.monotonic() + (10 if load.options.quick else 60)
    while time.monotonic() < deadline:
        for pair in pairs:
            load.net.pair(*pair)
        await asyncio.sleep(0.2)
        load.net.heal()
        await asyncio.sleep(0.2)
    await load.everybody_talks(30)


@fault("T08", needs=("network",), allows=STALLS)
async def loss_10(load):
    """Each tenth packet between edges and routers, and between routers and archives, is lost."""
    nodes = load.cluster.nodes()
    for i, a in enumerate(nodes):
        for b in nodes[i + 1:]:
            load.net.pair(a, b, only="numgen random mod 10 == 0")
    await asyncio.sleep(20)
    await healed(load)


# ---- T09: slow lines

async def slow(load, delay, jitter, bytes_per_second, seconds=20):
    for line in load.cluster.lines:
        line.delay, line.jitter, line.bytes_per_second = delay, jitter, bytes_per_second
    try:
        await asyncio.sleep(seconds)
        load.notes.append(f"99 % within {load.p99():.1f} s")
    finally:
        for line in load.cluster.lines:
            line.delay, line.jitter, line.bytes_per_second = 0, 0, None
    await load.everybody_talks(40)


@fault("T09", kind="proxied", allows=STALLS)
async def slow_line(load):
    """256 kbit/s for each connection of the bus, 100 ms away."""
    await slow(load, 0.1, 0, 32000)


@fault("T09", kind="proxied", allows=STALLS)
async def far_lines_overtake(load):
    """50 to 250 ms away; connections overtake each other."""
    await slow(load, 0.05, 0.2, None)


@fault("T09", needs=("network",), allows=STORE_AWAY)
async def slow_loopback(load):
    """Everything, clients and databases too, through 256 kbit/s with a queue of 400 ms (tbf): most of it waits or is lost, so the load is small."""
    rate, load.rate = load.rate, 10
    await asyncio.to_thread(load.net.tbf, "256kbit")
    try:
        await asyncio.sleep(10)
    finally:
        await asyncio.to_thread(load.net.tbf, None)
        load.rate = rate
    await load.everybody_talks(40)
