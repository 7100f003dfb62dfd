#!/usr/bin/python3
"""Faults under a running chat: 100 messages a second between real clients on two edges while something dies. What is checked, always:

  - every message a client handed to a living edge arrives or comes back as an error, exactly once (no other stanza-id, no repeat);
  - a client whose own edge was killed may lose only the tail it had not heard about: what arrived is a prefix of what it sent on
    that connection (without stream management its own receipts are the measure);
  - order per pair is kept;
  - sent = delivered + stored + bounced + that tail.

usage: chat.py [--repeat N] [--seed S] [NAME...]"""
import argparse
import asyncio
import os
import random
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, Closed, RawClient, body, condition  # noqa: E402

SID = "urn:xmpp:sid:0"
RECEIPTS = "urn:xmpp:receipts"
STATES = "http://jabber.org/protocol/chatstates"
PAIRS, RATE = 10, 100
LOST = (Closed, ConnectionError, OSError, asyncio.TimeoutError, ssl.SSLError, AssertionError)


class User:
    """One account with one device that stays logged in: reconnects, to the next edge, until told to stop."""

    def __init__(self, load, name, edge):
        self.load, self.name, self.edge = load, name, edge
        self.client = None
        self.online = asyncio.Event()
        self.incarnation = 0
        self.task = asyncio.create_task(self.live())

    def connected(self):
        return self.online.is_set()

    async def live(self):
        while not self.load.over:
            node = self.load.cluster.edges[self.edge % len(self.load.cluster.edges)]
            client = RawClient(node.c2s)
            try:
                # A user's presence comes last: offline messages may be among what login reads, so read by hand.
                await client.login(self.name, available=False)
                client.send("<presence/>")
                self.incarnation += 1
                self.client = client
                self.online.set()
                while not self.load.over:
                    self.on_element(await client.get(3600))
            except LOST:
                pass
            finally:
                self.online.clear()
                self.client = None
                if client.writer:
                    client.abort()
            self.edge += 1
            await asyncio.sleep(0.2)

    def on_element(self, element):
        if element.tag != f"{{{CLIENT}}}message":
            return
        receipt = element.find(f"{{{RECEIPTS}}}received")
        if receipt is not None:
            self.load.confirmed.add(receipt.get("id"))
        elif element.find(f"{{{STATES}}}composing") is not None:
            self.load.states.add(element.get("id"))
        elif element.get("type") == "error":
            self.load.on_bounce(element.get("id"), condition(element))
        elif body(element):
            self.load.on_delivery(self, element)
            self.client.send(f"<message to='{element.get('from').split('/')[0]}' type='chat' id='r{element.get('id')}'>"
                             f"<received xmlns='{RECEIPTS}' id='{element.get('id')}'/><store xmlns='urn:xmpp:hints'/></message>")


class Load:
    def __init__(self, cluster, pairs=PAIRS, rate=RATE):
        self.cluster, self.rate = cluster, rate
        self.over = False
        self.sent = {}        # id -> (pair, sequence, sender incarnation)
        self.delivered = {}   # id -> stanza-id
        self.order = {}       # pair -> sequence numbers in order of arrival
        self.bounced, self.confirmed = {}, set()
        self.states = set()   # chat states that arrived
        self.duplicates, self.wrong = [], []
        self.run_id = os.urandom(3).hex()
        self.pairs = []
        for i in range(pairs):
            names = [f"f{self.run_id}{side}{i}" for side in "ab"]
            for name in names:
                cluster.add_account(name)
            # senders on even edges, recipients on odd ones
            self.pairs.append((User(self, names[0], 0), User(self, names[1], 1)))

    async def start(self):
        await asyncio.wait_for(asyncio.gather(*(u.online.wait() for pair in self.pairs for u in pair)), 90)
        self.sender = asyncio.create_task(self.send())

    async def send(self):
        sequence, began, count = 0, time.monotonic(), 0
        while not self.over:
            for index, (a, b) in enumerate(self.pairs):
                count += 1
                await asyncio.sleep(max(0, began + count / self.rate - time.monotonic()))
                if self.over:
                    return
                if not a.connected():
                    continue
                ident = f"{self.run_id}-{index}-{sequence}"
                self.sent[ident] = (index, sequence, a.incarnation)
                try:
                    a.client.message(f"{b.name}@localhost", f"{sequence}", ident=ident)
                except LOST:
                    pass
            sequence += 1

    def on_delivery(self, user, element):
        ident, stanza_id = element.get("id"), element.find(f"{{{SID}}}stanza-id")
        stanza_id = None if stanza_id is None else stanza_id.get("id")
        if ident not in self.sent:
            self.wrong.append(f"unknown message {ident}")
        elif ident in self.delivered:
            if self.delivered[ident] != stanza_id:
                self.wrong.append(f"{ident} came again with another stanza-id")
            self.duplicates.append(ident)
        else:
            self.delivered[ident] = stanza_id
            self.order.setdefault(self.sent[ident][0], []).append(self.sent[ident][1])

    def on_bounce(self, ident, why):
        if ident and not ident.startswith("r"):
            self.bounced[ident] = why

    def missing(self):
        return [i for i in self.sent if i not in self.delivered and i not in self.bounced]

    async def finish(self, settle=40):
        """Stops sending, waits until everything has arrived or nothing moves any more, and judges."""
        self.sender.cancel()
        deadline, last, last_change = time.monotonic() + settle, None, time.monotonic()
        while time.monotonic() < deadline and self.missing():
            if len(self.missing()) != last:
                last, last_change = len(self.missing()), time.monotonic()
            if time.monotonic() - last_change > 12:
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        self.over = True
        for pair in self.pairs:
            for user in pair:
                user.task.cancel()
        await asyncio.gather(*(u.task for p in self.pairs for u in p), return_exceptions=True)

    def judge(self, senders_died=False):
        problems = list(self.wrong)
        tail = 0
        last_of = {}  # (pair, incarnation) -> greatest delivered sequence
        for ident, (pair, sequence, incarnation) in self.sent.items():
            if ident in self.delivered or ident in self.bounced:
                key = (pair, incarnation)
                last_of[key] = max(last_of.get(key, -1), sequence)
        final = {index: a.incarnation for index, (a, _) in enumerate(self.pairs)}
        for ident in self.missing():
            pair, sequence, incarnation = self.sent[ident]
            if senders_died and incarnation < final[pair] and sequence > last_of.get((pair, incarnation), -1):
                tail += 1  # never reached a router: the connection died with it, and nobody said otherwise
            else:
                problems.append(f"lost: {ident}")
        for pair, sequences in self.order.items():
            if sequences != sorted(sequences):
                at = next(i for i in range(1, len(sequences)) if sequences[i] < sequences[i - 1])
                problems.append(f"pair {pair} out of order: {sequences[max(0, at - 3):at + 3]}")
        both = set(self.delivered) & set(self.bounced)
        if both:
            problems.append(f"delivered and bounced: {sorted(both)[:3]}")
        summary = (f"sent {len(self.sent)} = delivered {len(self.delivered)} + bounced {len(self.bounced)} + unsent tail {tail}"
                   f" (+ lost {len([p for p in problems if p.startswith('lost')])}); repeats with the same stanza-id {len(self.duplicates)}")
        return problems, summary


# ---- the faults; each returns what judge needs to know

def pick(nodes):
    return random.choice(nodes)


async def kill_router(load):
    pick(load.cluster.routers).kill()


async def kill_router_twice(load):
    for _ in range(2):
        pick(load.cluster.routers).kill()
        await asyncio.sleep(random.uniform(0.5, 3))


async def kill_archive(load):
    pick(load.cluster.archives).kill()


async def kill_sender_edge(load):
    load.cluster.edges[0].kill()
    return {"senders_died": True}


async def kill_recipient_edge(load):
    load.cluster.edges[1].kill()
    return {"senders_died": True}  # after it, users have moved about: either may be a sender's


async def restart_postgres(load):
    await asyncio.to_thread(load.cluster.postgres.restart, "immediate")


async def restart_redis(load):
    await asyncio.to_thread(load.cluster.redis.restart)


async def flush_redis(load):
    await asyncio.to_thread(load.cluster.redis.command, "FLUSHALL")


async def redis_then_router(load):
    await asyncio.to_thread(load.cluster.redis.restart)
    pick(load.cluster.routers).kill()


async def router_joins_and_leaves(load):
    cluster = load.cluster
    node = await asyncio.to_thread(cluster.add_router)
    await asyncio.sleep(5)
    owned = cluster.postgres.query(f"SELECT count(*) FROM router.shard WHERE owner = '{node.name}'")
    code = await asyncio.to_thread(node.terminate)
    cluster.routers.remove(node)
    assert int(owned) > 0, "the new router got no shards"
    assert code == 0, f"drain ended with {code}"
    left = cluster.postgres.query(f"SELECT count(*) FROM router.shard WHERE owner = '{node.name}'")
    assert left == "0", f"{left} shards are still with it"


async def freeze_router(load):
    """SIGSTOP for longer than its lease (T10): it must find itself fenced."""
    pick(load.cluster.routers).freeze(6)
    await asyncio.sleep(6)


def incarnations(load):
    return [user.incarnation for pair in load.pairs for user in pair]


async def talks_both_ways(load, seconds=10):
    """Every pair still does: a message that is sent from now on arrives, and its receipt comes back."""
    known, deadline = set(load.sent), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if {load.sent[i][0] for i in load.confirmed if i in load.sent and i not in known} == set(range(len(load.pairs))):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("after the fault somebody is online and hears nothing, or is not heard")


async def freeze_edge(load):
    """SIGSTOP until every router has given the edge up and ended its sessions: clients never notice, so everything must go on."""
    before = incarnations(load)
    pick(load.cluster.edges).freeze(20)
    await asyncio.sleep(24)
    await talks_both_ways(load)
    assert incarnations(load) == before, "somebody was disconnected"


async def quiet_pair(load):
    """Two users who send nothing durable: nothing waits for a commit in front of what they say."""
    names = [f"q{load.run_id}{side}" for side in "ab"]
    for name in names:
        await asyncio.to_thread(load.cluster.add_account, name)
    users = [User(load, name, edge) for edge, name in enumerate(names)]
    await asyncio.wait_for(asyncio.gather(*(user.online.wait() for user in users)), 30)
    return users


async def postgres_away(load):
    """Longer than the lease and than messages.commit_timeout: what needs no disk goes on, the rest arrives later or comes back (P6, G01)."""
    a, b = await quiet_pair(load)
    before = incarnations(load)
    await asyncio.to_thread(load.cluster.postgres.stop)
    for second in range(15):
        await asyncio.sleep(1)
        a.client.send(f"<message to='{b.name}@localhost' type='chat' id='s{second}'><composing xmlns='{STATES}'/></message>")
    await asyncio.sleep(0.5)
    missing = {f"s{second}" for second in range(15)} - load.states
    await asyncio.to_thread(load.cluster.postgres.start)
    assert not missing, f"chat states did not arrive: {sorted(missing)}"
    await talks_both_ways(load, 20)
    assert incarnations(load) == before, "somebody was disconnected"
    assert set(load.bounced.values()) <= {"internal-server-error"}, f"bounced with {set(load.bounced.values())}"
    for user in (a, b):
        user.task.cancel()


async def kill_router_and_archive(load):
    pick(load.cluster.routers).kill()
    pick(load.cluster.archives).kill()


FAULTS = {f.__name__: f for f in (kill_router, kill_archive, kill_sender_edge, kill_recipient_edge, restart_postgres, restart_redis, flush_redis,
                                  redis_then_router, router_joins_and_leaves, freeze_router, kill_router_twice, kill_router_and_archive,
                                  freeze_edge, postgres_away)}
SHORT = ("kill_router", "kill_archive", "kill_sender_edge", "kill_recipient_edge", "restart_postgres", "restart_redis",
         "router_joins_and_leaves", "freeze_router", "freeze_edge", "postgres_away")
CONFIG = {"freeze_edge": {"all": {"bus": {"peer_timeout": "5s", "ping_interval": "1s"}}}}  # such a fault has a cluster of its own


async def one(cluster, name):
    load = Load(cluster)
    await load.start()
    await asyncio.sleep(random.uniform(1.5, 2.5))
    told = await FAULTS[name](load) or {}
    await asyncio.sleep(3)
    await load.finish()
    problems, summary = load.judge(**told)
    if len(load.sent) < 250:
        problems.append(f"only {len(load.sent)} messages were sent")
    for node in cluster.nodes():
        await asyncio.to_thread(node.wait_ready, 30)
    return problems + cluster.problems(), summary


def report(name, problems, summary=""):
    print(f"{'FAIL' if problems else 'ok  '}  {name}{summary}", *problems[:6], sep="\n      ", flush=True)
    return not problems


def run_group(names, config, repeat):
    """The faults in one cluster, one after the other; yields whether each was survived."""
    with Cluster(edges=2, routers=2, archives=2, config=config) as cluster:
        for name in list(names) * repeat:
            try:
                problems, summary = asyncio.run(asyncio.wait_for(one(cluster, name), 180))
            except Exception as exc:  # noqa: BLE001
                problems, summary = [f"{type(exc).__name__}: {exc}"] + cluster.problems(), "no result"
            yield report(name, problems, f": {summary}")
        codes = cluster.stop_nodes()
        yield report("everything drains and no sanitizer complains",
                     cluster.problems() + [f"{n} drained with {c}" for n, c in codes.items() if c != 0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    names = args.names or (SHORT if args.repeat == 1 else list(FAULTS))
    print(f"seed {args.seed}", flush=True)
    random.seed(args.seed)
    shared = [name for name in names if name not in CONFIG]
    groups = [(shared, None)] if shared else []
    groups += [([name], CONFIG[name]) for name in names if name in CONFIG]
    results = [result for group, config in groups for result in run_group(group, config, args.repeat)]
    passed, failed = results.count(True), results.count(False)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
