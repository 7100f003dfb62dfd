"""Two faults at once, chosen at random from those that one cluster can take: T22. The line of a run names both, its seed brings the same two back."""
import asyncio
import dataclasses
import random
from typing import Callable

from catalogue import fault
from judge import DRAINS, NOTHING, QUEUES_GONE, STALLS, STORE_AWAY, Allowance
from network import POSTGRES, REDIS, RESET, have_namespace


@dataclasses.dataclass
class Harm:
    """One of the two. It ends when it has undone itself, except for rules of the network: those are lifted when both have ended."""
    name: str
    run: Callable            # (load, a node of `kind` or None)
    kind: str = ""           # of nodes; the two faults never meet at one
    of: str = ""             # what there is one of: only one fault may have it
    cuts: bool = False       # needs the network namespace
    takes_redis: bool = False
    moves_shards: bool = False
    allows: Allowance = NOTHING


async def kill(_, node):
    node.kill()


async def kill_twice(_, node):
    node.kill()
    await asyncio.sleep(random.uniform(0.3, 3))
    node.kill()


def freeze(seconds):
    async def frozen(_, node):
        node.freeze(seconds)
        await asyncio.sleep(seconds + 1)
    return frozen


async def drain(_, node):
    await asyncio.to_thread(node.terminate)
    node.start()


def from_router(direction="", verdict="drop"):
    async def cut(load, node):
        load.net.pair(node, random.choice(load.cluster.routers), direction=direction, verdict=verdict)
        await asyncio.sleep(random.uniform(3, 20))
    return cut


def from_store(store):
    async def cut(load, node):
        load.net.store(node, store)
        await asyncio.sleep(random.uniform(3, 9))
    return cut


async def routers_apart(load, _):
    load.net.pair(*load.cluster.routers[:2])
    await asyncio.sleep(random.uniform(3, 20))


async def lossy(load, _):
    nodes = load.cluster.nodes()
    for i, a in enumerate(nodes):
        for b in nodes[i + 1:]:
            load.net.pair(a, b, only="numgen random mod 10 == 0")
    await asyncio.sleep(15)


async def restart_postgres(load, _):
    await asyncio.to_thread(load.cluster.postgres.restart, "immediate")


async def promote(load, _):
    postgres = load.cluster.postgres
    old = postgres.primary
    await asyncio.to_thread(old.kill)
    await asyncio.sleep(random.uniform(0.2, 2))
    await asyncio.to_thread(postgres.promote)
    await asyncio.sleep(3)
    await asyncio.to_thread(postgres.rebuild, old)


def redis(*command, away=False):
    async def harm(load, _):
        server = load.cluster.redis
        if command:
            await asyncio.to_thread(server.command, *command)
        if away:
            await asyncio.sleep(random.uniform(0, 4))
            await asyncio.to_thread(server.restart)
    return harm


HARMS = [
    Harm("kill_edge", kill, "edges"),
    Harm("kill_edge_twice", kill_twice, "edges"),
    Harm("kill_router", kill, "routers", moves_shards=True),
    Harm("kill_router_twice", kill_twice, "routers", moves_shards=True),
    Harm("kill_archive", kill, "archives"),
    Harm("freeze_edge_15", freeze(15), "edges", allows=STALLS),
    Harm("freeze_router_1", freeze(1), "routers", allows=STALLS),
    Harm("freeze_router_15", freeze(15), "routers", moves_shards=True, allows=STALLS),
    Harm("freeze_archive_15", freeze(15), "archives", allows=STALLS),
    Harm("drain_edge", drain, "edges", allows=DRAINS),
    Harm("drain_router", drain, "routers", moves_shards=True),
    Harm("drain_archive", drain, "archives"),
    Harm("edge_cut_off", from_router(), "edges", cuts=True, allows=STALLS),
    Harm("edge_cut_off_one_way", from_router(direction="original"), "edges", cuts=True, allows=STALLS),
    Harm("edge_reset", from_router(verdict=RESET), "edges", cuts=True, allows=STALLS),
    Harm("archive_cut_off", from_router(), "archives", cuts=True, allows=STALLS),
    Harm("routers_apart", routers_apart, cuts=True, allows=STALLS),
    Harm("lossy", lossy, cuts=True, allows=STALLS),
    Harm("router_without_postgres", from_store(POSTGRES), "routers", cuts=True, moves_shards=True, allows=STALLS),
    Harm("router_without_redis", from_store(REDIS), "routers", cuts=True, takes_redis=True),
    Harm("archive_without_postgres", from_store(POSTGRES), "archives", cuts=True, allows=STALLS),
    Harm("restart_postgres", restart_postgres, of="postgres", allows=STORE_AWAY),
    Harm("promote", promote, of="postgres", allows=STORE_AWAY),
    Harm("redis_kill", redis(away=True), of="redis", takes_redis=True),
    Harm("redis_shutdown", redis("SHUTDOWN", "NOSAVE", away=True), of="redis", takes_redis=True),
    Harm("redis_flushall", redis("FLUSHALL"), of="redis", takes_redis=True),
    Harm("redis_sleeps", redis("DEBUG", "SLEEP", "10"), of="redis", takes_redis=True),  # longer than a next home waits for it
]


def choose(may_cut):
    while True:
        two = random.sample([harm for harm in HARMS if may_cut or not harm.cuts], 2)
        if not two[0].of or two[0].of != two[1].of:
            return two


def nodes_for(load, two):
    nodes = []
    for harm in two:
        kind = getattr(load.cluster, harm.kind) if harm.kind else [None]
        nodes.append(random.choice([node for node in kind if node is None or node not in nodes]))
    return nodes


async def two_at_once(load):
    return await both(load, choose(have_namespace()), random.uniform(0, 3))


async def freeze_router_with_commits_in_doubt(load):
    """The router sleeps while PostgreSQL owes it answers; when it wakes, another one is home, and it must not touch in Redis what is not its own."""
    return await both(load, [harm for name in ("restart_postgres", "freeze_router_15") for harm in HARMS if harm.name == name], 2)


def allowance(two):
    """What clients may meet beyond what each fault alone does to them."""
    allows = two[0].allows | two[1].allows
    for a, b in (two, two[::-1]):
        if a.takes_redis and b.moves_shards:
            allows |= QUEUES_GONE  # Redis and a home lost at once (ARCHITECTURE, known limits)
        if a.run is routers_apart and b.moves_shards:
            allows |= STORE_AWAY  # a router that starts behind the cut is met by nobody: what is for its accounts cannot be handed over
    if two[0].kind == two[1].kind == "archives":
        allows |= STORE_AWAY  # there are two of them
    return allows


async def both(load, two, pause):
    nodes = nodes_for(load, two)
    load.notes.append(f"{two[0].name} ({nodes[0].name if nodes[0] else '-'}), after {pause:.1f} s {two[1].name} ({nodes[1].name if nodes[1] else '-'})")
    load.allows = allowance(two)

    async def second():
        await asyncio.sleep(pause)
        await two[1].run(load, nodes[1])

    await asyncio.gather(two[0].run(load, nodes[0]), second())
    if any(harm.cuts for harm in two):
        assert load.net.heal() > 0, "no packet met a rule: nothing was cut"
    await load.everybody_talks(60)


for _number in range(1, 6):
    fault("T22", name=f"two_at_once_{_number}")(two_at_once)
fault("T22")(freeze_router_with_commits_in_doubt)
