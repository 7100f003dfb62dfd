#!/usr/bin/python3
"""One presence to many contacts on four edges: how many frames the bus carries for it (DESIGN 3.6). Every contact must get it, once.

    tests/load/fanout_frames.py [--contacts 1000] [--routers 1]      STARLING_BUILD=build/release is what it is meant for

With one router each edge gets one frame; with more, one from each router that is home of contacts there, and each such router one from the sender's."""
import argparse
import asyncio
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), HERE]
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient  # noqa: E402
from servers import SALT, verifiers  # noqa: E402

EDGES, AT_ONCE = 4, 40
PRESENCE = f"{{{CLIENT}}}presence"


def add_accounts(cluster, count):
    """As tests/load/servers.py does: thousands in one statement."""
    rows = ", ".join(f"({i}::smallint, 10000, '\\x{SALT.hex()}'::bytea, '\\x{stored.hex()}'::bytea, '\\x{server.hex()}'::bytea)"
                     for i, (_, stored, server) in enumerate(verifiers(10000)))
    cluster.postgres.query(f"WITH made AS (INSERT INTO router.account (bare) SELECT 'fan' || i || '@localhost' FROM generate_series(0, {count - 1}) i RETURNING id)"
                           " INSERT INTO router.credential (owner, digest, iterations, salt, stored_key, server_key)"
                           f" SELECT id, v.* FROM made, (VALUES {rows}) v")


def figures(cluster):
    """Counters of the routers' fan-out, and what each edge received from the bus."""
    names = ("fanout_frames_total", "fanout_recipients_total", "route_many_frames_total", "route_many_singles_total")
    found = {n: sum(v for r in cluster.routers for k, v in r.metrics().items() if k.endswith(n)) for n in names}
    for edge in cluster.edges:
        found[f"records to {edge.name}"] = sum(v for k, v in edge.metrics().items() if "bus_records_total" in k and 'dir="in"' in k)
    return found


async def settled(cluster):
    """Figures, once nothing moves any more: what an idle bus says in between is not ours."""
    before = await asyncio.to_thread(figures, cluster)
    while True:
        await asyncio.sleep(1)
        now = await asyncio.to_thread(figures, cluster)
        if now == before:
            return now
        before = now


async def many(function, items):
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(item):
        async with gate:
            return await function(item)
    return await asyncio.gather(*(one(i) for i in items))


async def gather_contacts(cluster, star, count):
    async def log_in(i):
        fan = await RawClient(cluster.edges[i % EDGES].c2s).login(f"fan{i}")
        fan.send(f"<presence type='subscribe' to='{star.jid.split('/')[0]}'/>")
        return fan
    fans = await many(log_in, range(count))
    wanted = {f.jid.split("/")[0] for f in fans}
    while wanted:
        asked = await star.get_where(lambda e: e.get("type") == "subscribe", 30)
        star.send(f"<presence type='subscribed' to='{asked.get('from')}'/>")
        wanted.discard(asked.get("from"))
    await many(lambda f: f.get_where(lambda e: e.tag == PRESENCE and e.get("from") == star.jid, 30), fans)
    return fans


async def measure(cluster, count):
    star = await RawClient(cluster.edges[0].c2s).login("star")
    began = time.monotonic()
    fans = await gather_contacts(cluster, star, count)
    print(f"{count} contacts on {EDGES} edges are there after {time.monotonic() - began:.0f} s", flush=True)
    before = await settled(cluster)
    began = time.monotonic()
    star.send("<presence id='fan'><show>away</show><status>hello to all of you</status></presence>")
    for fan in fans:
        got = await fan.get_where(lambda e: e.tag == PRESENCE and e.get("from") == star.jid, 30)
        assert got.get("id") == "fan" and got.get("to") == fan.jid.split("/")[0], got.attrib
    seconds = time.monotonic() - began
    after = await settled(cluster)
    for fan in fans:
        fan.send("<iq type='get' id='end'><ping xmlns='urn:xmpp:ping'/></iq>")
        while (element := await fan.get()).get("id") != "end":
            assert element.get("from") != star.jid, "it came twice"
    return seconds, {k: int(v - before[k]) for k, v in after.items()}


def check(told, count, routers):
    assert told["fanout_recipients_total"] == count and told["route_many_singles_total"] == 0, told
    assert told["fanout_frames_total"] <= EDGES * routers and told["route_many_frames_total"] <= routers - 1, told
    for name, records in told.items():  # one more for what the sender's own session gets
        assert not name.startswith("records") or records <= routers + 2, told


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--contacts", type=int, default=1000)
    options.add_argument("--routers", type=int, default=1)
    given = options.parse_args()
    with Cluster(edges=EDGES, routers=given.routers, archives=1, hosts=[{"domain": "localhost"}],
                 config={"router": {"roster": {"max_items": 100000}}, "edge": {"c2s": {"max_attempts_per_minute": 1000000, "max_connections_per_address": 100000}}}) as cluster:
        cluster.add_account("star")
        add_accounts(cluster, given.contacts)
        seconds, told = asyncio.run(measure(cluster, given.contacts))
        print(f"seen by all after {seconds * 1000:.0f} ms: {told}")
        check(told, given.contacts, given.routers)
        assert not cluster.problems(), cluster.problems()
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
