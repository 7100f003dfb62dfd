#!/usr/bin/python3
"""Faults under clients that follow XEP-0198 to the letter: numbered messages with a digest of their body between users on three edges, while
something dies. A client whose connection is lost or silent resumes on the next edge, sends again what is above the server's h, and acknowledges
what it was asked about. What is checked, always:

  - what was acknowledged to its sender (P1), and in the end everything that was sent (P5), is delivered or bounced;
  - nothing comes twice to a client whose resumes succeed, also not with the same stanza-id (P2);
  - order per pair is kept (P3), and bodies are what was sent;
  - every resume succeeds, on whichever edge (P4), unless the fault takes the sessions with it.

usage: sm.py [--users N] [--rate N] [--repeat N] [--seed S] [--ack-delay] [NAME...]"""
import argparse
import asyncio
import hashlib
import logging
import os
import random
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, SM, AckTooHigh, Closed, RawClient, StreamError, body, condition, sm_condition  # noqa: E402

logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it reports what is written to a connection that is lost
SID = "urn:xmpp:sid:0"
LOST = (Closed, ConnectionError, OSError, asyncio.TimeoutError, ssl.SSLError)
SILENCE = 2.5   # seconds until a client asks, and once more until it gives the connection up
EXPECTED_ENDS = {"reset", "conflict", "system-shutdown", "internal-server-error", "connection-timeout", "remote-connection-failed"}


class User:
    """One account with one device that never gives up: when its connection is lost, it resumes on the next edge."""

    def __init__(self, load, name, edge):
        self.load, self.name, self.edge = load, name, edge
        self.partner, self.pair, self.sequence = None, None, 0
        self.client = self.sm = None
        self.again = []           # left unacknowledged by a session that could not be resumed
        self.lost_at = None
        self.online = asyncio.Event()
        self.failed_resumes = 0   # from the first one on, the same stanza-id may come again
        self.task = asyncio.create_task(self.live())

    async def live(self):
        while not self.load.over:
            edges = self.load.cluster.edges
            client = RawClient(edges[self.edge % len(edges)].c2s)
            client.on_acked = self.load.on_acked
            try:
                await asyncio.wait_for(self.enter(client), 15)
                self.client = client
                self.online.set()
                if self.lost_at:
                    self.load.gaps.append(time.monotonic() - self.lost_at)
                    self.lost_at = None
                await self.read(client)
            except StreamError as error:
                if error.condition not in EXPECTED_ENDS:
                    self.load.wrong.append(f"{self.name}: stream error {error.condition}")
            except LOST:
                pass
            except (AssertionError, AckTooHigh) as error:
                self.load.on_refusal(self, error)
            finally:
                if self.client:
                    self.lost_at = time.monotonic()
                self.online.clear()
                self.client = None
                await self.leave(client)
            self.edge += 1
            await asyncio.sleep(0.2)

    async def leave(self, client):
        """At the end of a run politely, else as a lost connection."""
        if not client.writer:
            return
        if self.load.over and client.sm:
            client.ack()
            await client.close()
        else:
            client.abort()

    async def enter(self, client):
        await client.authenticate(self.name)
        if self.sm:
            self.load.resumes += 1
            element = await client.resume(self.sm)
            if element.tag == f"{{{SM}}}resumed":
                return
            if sm_condition(element) != "item-not-found":
                raise Closed(f"not now: {sm_condition(element)}")
            self.failed_resumes += 1
            self.load.on_failed_resume(self, element.get("h"))
            self.again += [t for t in self.sm.unacked if t.startswith("<message")]
            self.sm = None
        # A new session: what the former one left unacknowledged goes first.
        await client.bind()
        assert client.jid, "bind failed"
        element = await client.enable()
        assert element.tag == f"{{{SM}}}enabled", f"enable: {sm_condition(element)}"
        self.sm = client.sm
        for text in self.again:
            client.send(text)
        self.again = []
        client.send("<presence/>")

    async def read(self, client):
        asked = False
        while not self.load.over:
            try:
                element = await client.get(SILENCE)
                asked = False
            except asyncio.TimeoutError:
                if asked:
                    return
                asked = True
                client.request()
                continue
            if element.tag == f"{{{CLIENT}}}message":
                self.load.on_message(self, element)

    def send_next(self):
        text = self.load.next_message(self)
        try:
            self.client.send(text)
            if self.sequence % 5 == 0:
                self.client.request()
        except LOST:
            pass


class Load:
    def __init__(self, cluster, users, rate):
        self.cluster, self.rate = cluster, rate
        self.over = False
        self.sent = {}       # id -> (pair, sequence, body)
        self.acked = set()
        self.delivered = {}  # id -> stanza-id
        self.order = {}      # pair -> sequence numbers in order of arrival
        self.bounced = {}
        self.duplicates, self.excused, self.wrong, self.refusals, self.gaps = [], [], [], [], []
        self.resumes = self.failed_resumes = self.blind = 0
        self.run_id = os.urandom(3).hex()
        self.users = []
        for i in range(users // 2 * 2):
            name = f"s{self.run_id}u{i}"
            cluster.add_account(name)
            self.users.append(User(self, name, i))
        for i, user in enumerate(self.users):
            user.pair, user.partner = i, self.users[i ^ 1]

    async def start(self):
        await asyncio.wait_for(asyncio.gather(*(u.online.wait() for u in self.users)), 120)
        self.sender = asyncio.create_task(self.send())

    async def send(self):
        began, count = time.monotonic(), 0
        while not self.over:
            for user in self.users:
                count += 1
                await asyncio.sleep(max(0, began + count / self.rate - time.monotonic()))
                if not self.over and user.online.is_set() and len(user.sm.unacked) < 200:
                    user.send_next()

    def next_message(self, user):
        filler = random.randbytes(random.choice((8, 40, 400))).hex()
        text = f"{user.sequence}:{filler}"
        text += ":" + hashlib.sha256(text.encode()).hexdigest()
        ident = f"{self.run_id}-{user.pair}-{user.sequence}"
        self.sent[ident] = (user.pair, user.sequence, text)
        user.sequence += 1
        return f"<message to='{user.partner.name}@localhost' type='chat' id='{ident}'><body>{text}</body></message>"

    def on_acked(self, texts):
        for text in texts:
            if text.startswith("<message"):
                self.acked.add(text.split(" id='", 1)[1].split("'", 1)[0])

    def on_failed_resume(self, user, h):
        self.failed_resumes += 1
        if h is None:
            self.blind += 1

    def on_refusal(self, user, error):
        """Login refused for the moment (temporary-auth-failure and the like), or h that cannot be."""
        if isinstance(error, AckTooHigh):
            self.wrong.append(f"{user.name}: {error}")
        else:
            self.refusals.append(str(error))

    def on_message(self, user, element):
        ident = element.get("id")
        if element.get("type") == "error":
            self.bounced[ident] = condition(element)
            return
        if not body(element) or ident not in self.sent:
            self.wrong.append(f"{user.name}: unknown message {ident}")
            return
        stanza_id = element.find(f"{{{SID}}}stanza-id")
        stanza_id = None if stanza_id is None else stanza_id.get("id")
        pair, sequence, text = self.sent[ident]
        if body(element) != text or hashlib.sha256(text.rpartition(":")[0].encode()).hexdigest() != body(element).rpartition(":")[2]:
            self.wrong.append(f"{ident}: another body")
        if user.partner.pair != pair:
            self.wrong.append(f"{ident} reached {user.name}")
        if ident not in self.delivered:
            self.delivered[ident] = stanza_id
            self.order.setdefault(pair, []).append(sequence)
        elif user.failed_resumes and self.delivered[ident] == stanza_id or self.blind:
            self.excused.append(ident)
        else:
            self.duplicates.append(f"{ident} (stanza-id {self.delivered[ident]}, then {stanza_id})")

    def missing(self):
        return [i for i in self.sent if i not in self.delivered and i not in self.bounced]

    def unacked(self):
        return [u for u in self.users if u.sm is None or any(t.startswith("<message") for t in u.sm.unacked)]

    async def finish(self, settle=45):
        """Stops sending, waits until everything has arrived and is acknowledged or nothing moves any more."""
        self.sender.cancel()
        deadline, last, last_change = time.monotonic() + settle, None, time.monotonic()
        while time.monotonic() < deadline and (self.missing() or self.unacked()):
            for user in self.unacked():
                if user.client:
                    try:
                        user.client.request()
                    except LOST:
                        pass
            state = (len(self.missing()), len(self.unacked()))
            if state != last:
                last, last_change = state, time.monotonic()
            if time.monotonic() - last_change > 15:
                break
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.5)
        stuck = self.unacked()
        self.over = True
        for user in self.users:
            user.task.cancel()
        await asyncio.gather(*(u.task for u in self.users), return_exceptions=True)
        left = await asyncio.to_thread(self.left_in_the_log)
        return ([f"never acknowledged to {u.name}: {len(u.sm.unacked) if u.sm else 'no session'}" for u in stuck]
                + ([f"{left} messages would come again at the next login"] if left else []))

    def left_in_the_log(self, seconds=6):
        """Entries above the watermark of their owner, although every client has acknowledged what it got."""
        for _ in range(int(seconds / 0.3)):
            left = self.cluster.postgres.query(
                "SELECT count(*) FROM archive.message m JOIN router.account a ON a.id = m.owner LEFT JOIN archive.cursor c ON c.owner = m.owner"
                f" WHERE a.bare LIKE 's{self.run_id}u%' AND m.id > coalesce(c.watermark, 0)")
            if left == "0":
                break
            time.sleep(0.3)
        return int(left)

    def judge(self, sessions_may_end=False):
        problems = list(self.wrong) + [f"twice: {i}" for i in self.duplicates]
        lost = self.missing()
        for ident in lost:
            problems.append(f"lost{' although acknowledged' if ident in self.acked else ''}: {ident} to {self.users[self.sent[ident][0]].partner.name}")
        for pair, sequences in self.order.items():
            if sequences != sorted(sequences):
                at = next(i for i in range(1, len(sequences)) if sequences[i] < sequences[i - 1])
                problems.append(f"pair {pair} out of order: {sequences[max(0, at - 3):at + 3]}")
        both = set(self.delivered) & set(self.bounced)
        if both:
            problems.append(f"delivered and bounced: {sorted(both)[:3]}")
        if self.failed_resumes and not sessions_may_end:
            problems.append(f"{self.failed_resumes} resumes found no session")
        gap = f", away at most {max(self.gaps):.1f} s" if self.gaps else ""
        summary = (f"sent {len(self.sent)} = delivered {len(self.delivered)} + bounced {len(self.bounced)} + lost {len(lost)};"
                   f" twice {len(self.duplicates)}; resumes {self.resumes}, of these not found {self.failed_resumes} ({self.blind} without h),"
                   f" then repeated {len(self.excused)}{gap}")
        if self.refusals:
            summary += f"; logins refused {len(self.refusals)}"
        return problems, summary


# ---- the faults; each returns what judge needs to know

def pick(nodes):
    return random.choice(nodes)


async def kill_edge(load):
    pick(load.cluster.edges).kill()


async def kill_router(load):
    pick(load.cluster.routers).kill()


async def kill_archive(load):
    pick(load.cluster.archives).kill()


async def kill_edge_and_router(load):
    pick(load.cluster.edges).kill()
    await asyncio.sleep(random.choice((0, 0, random.uniform(0, 1.5))))
    pick(load.cluster.routers).kill()


async def kill_router_then_edge(load):
    pick(load.cluster.routers).kill()
    await asyncio.sleep(random.uniform(0, 1.5))
    pick(load.cluster.edges).kill()


async def kill_edges_in_a_row(load):
    for node in random.sample(load.cluster.edges, len(load.cluster.edges)):
        node.kill()
        await asyncio.sleep(random.uniform(0.3, 2))


async def kill_everything(load):
    for node in load.cluster.nodes():
        node.kill()


async def restart_postgres(load):
    await asyncio.to_thread(load.cluster.postgres.restart, "immediate")


async def redis_kill(load):
    await asyncio.to_thread(load.cluster.redis.restart)


async def redis_flushall(load):
    await asyncio.to_thread(load.cluster.redis.command, "FLUSHALL")


async def redis_kill_and_router(load):
    """With Redis and a router gone at once, the queues of its sessions are gone: resumes may say item-not-found."""
    await asyncio.to_thread(load.cluster.redis.stop)
    pick(load.cluster.routers).kill()
    await asyncio.sleep(1)
    await asyncio.to_thread(load.cluster.redis.start)
    return {"sessions_may_end": True}


async def redis_flushall_then_kill_edge(load):
    await redis_flushall(load)
    await asyncio.sleep(random.uniform(0, 3))
    await kill_edge(load)


async def freeze_edge(load):
    """SIGSTOP: its clients resume elsewhere while it still holds their connections."""
    pick(load.cluster.edges).freeze(6)
    await asyncio.sleep(6)


async def freeze_router(load):
    """SIGSTOP for longer than its lease: it must find itself fenced."""
    pick(load.cluster.routers).freeze(6)
    await asyncio.sleep(6)


async def rolling_restart(load):
    cluster = load.cluster
    for node in cluster.edges + cluster.routers + cluster.archives:
        code = await asyncio.to_thread(node.terminate)
        node.start()
        await asyncio.to_thread(node.wait_ready, 30)
        if code != 0:
            load.wrong.append(f"{node.name} drained with {code}")
        await asyncio.sleep(0.5)


def failpoint(kind, name, passages):
    """The next process of one node dies at the given passage of the failpoint, under load. Users move to an edge when the others die."""
    async def fault(load):
        node = pick(getattr(load.cluster, kind))
        before, delay = node.deaths, node.restart_delay
        node.restart_delay = 1.0
        node.env["STARLING_FAILPOINT"] = f"{name}:{random.randint(passages // 2, passages)}"
        node.kill()
        if kind == "edges":
            await asyncio.sleep(3)
            for other in load.cluster.edges:
                if other is not node:
                    other.kill()
        try:
            for deaths in (1, 2):
                for _ in range(300):
                    if node.deaths >= before + deaths:
                        break
                    await asyncio.sleep(0.05)
                else:
                    load.wrong.append(f"{node.name}: failpoint {name} did not fire")
        finally:
            node.env.pop("STARLING_FAILPOINT", None)
            node.restart_delay = delay
            if node.deaths < before + 2:
                node.kill()
    return fault


FAULTS = {f.__name__: f for f in (kill_edge, kill_router, kill_archive, kill_edge_and_router, kill_router_then_edge, kill_edges_in_a_row,
                                  kill_everything, restart_postgres, redis_kill, redis_flushall, redis_kill_and_router,
                                  redis_flushall_then_kill_edge, freeze_edge, freeze_router, rolling_restart)}
FAULTS.update({
    "append_before_commit": failpoint("archives", "append-before-commit", 40),
    "append_after_commit": failpoint("archives", "append-after-commit", 40),
    "append_before_reply": failpoint("archives", "append-before-reply", 40),
    "edge_before_input": failpoint("edges", "edge.input", 60),
    "edge_before_delivery": failpoint("edges", "edge.deliver", 60),
})
SHORT = ("kill_edge", "kill_router", "kill_archive", "kill_edge_and_router", "restart_postgres", "redis_kill")


async def one(cluster, name, users, rate):
    load = Load(cluster, users, rate)
    await load.start()
    await asyncio.sleep(random.uniform(1.5, 3))
    told = await FAULTS[name](load) or {}
    await asyncio.sleep(3)
    stuck = await load.finish()
    problems, summary = load.judge(**told)
    if len(load.sent) < 2 * rate:
        problems.append(f"only {len(load.sent)} messages were sent")
    for node in cluster.nodes():
        await asyncio.to_thread(node.wait_ready, 30)
    return problems + stuck + cluster.problems(), summary


# ---- how long an <a/> takes

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


def report(name, problems, summary):
    if problems:
        print(f"FAIL  {name}: {summary}", *problems[:8], sep="\n      ", flush=True)
    else:
        print(f"ok    {name}: {summary}", flush=True)
    return not problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--rate", type=int, default=100, help="messages a second, all users together")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--ack-delay", action="store_true", help="only measure the delay of <a/>")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    names = args.names or (SHORT if args.repeat == 1 else list(FAULTS))
    results = []
    print(f"seed {args.seed}", flush=True)
    random.seed(args.seed)
    with Cluster(edges=3, routers=2, archives=2) as cluster:
        if args.ack_delay:
            for rate in (50, 200, 400):
                print(f"      delay of <a/>: {measure(cluster, rate)}", flush=True)
            names = []
        for _ in range(args.repeat):
            for name in names:
                try:
                    problems, summary = asyncio.run(asyncio.wait_for(one(cluster, name, args.users, args.rate), 240))
                except Exception as exc:  # noqa: BLE001
                    problems, summary = [f"{type(exc).__name__}: {exc}"] + cluster.problems(), "no result"
                results.append(report(name, problems, summary))
        codes = cluster.stop_nodes()
        problems = cluster.problems() + [f"{n} drained with {c}" for n, c in codes.items() if c != 0]
        results.append(report("everything drains and no sanitizer complains", problems, f"{len(codes)} processes"))
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
