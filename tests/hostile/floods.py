#!/usr/bin/python3
"""Clients that send too much (C21) and clients that read nothing while much is sent to them (C22). A well-behaved pair chats on the same edge and
router all the time and must not notice, memory stays bounded, and nothing durable is lost: what was acknowledged arrives once and in order, or its
sender heard an error.

usage: floods.py [--full] [NAME...]     --full: the sizes of the rows (1 GB, the default rates); else some MB at rates a sanitizer build reaches"""
import asyncio
import contextlib
import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import BUILD, Cluster  # noqa: E402
from rawclient import CLIENT, SM, Closed, RawClient, StreamError, body, end_tasks, sm_condition  # noqa: E402
from runner import limit, run  # noqa: E402

FULL = "--full" in sys.argv
MIB = 1 << 20
# At edge-1, where floods come from: what is read of one client, and for how long it may ask for more.
BYTES_PER_SECOND, BURST, STANZA_COST, FLOOD_SECONDS = (MIB, 2 * MIB, 200, 60) if FULL else (128 << 10, 256 << 10, 200, 5)
UNREAD, WINDOW = (1024 * MIB, 40) if FULL else (48 * MIB, 10)  # sent to somebody who reads nothing; by each of four, unacknowledged
MESSAGE = f"{{{CLIENT}}}message"
SID = "urn:xmpp:sid:0"
cluster = None
names = 0


def user():
    global names
    names += 1
    cluster.add_account(f"flood{names}")
    return f"flood{names}"


def client(edge):
    return RawClient(cluster.edges[edge].c2s)


def has_sanitizer():
    with open(os.path.join(BUILD, "bin", "edge"), "rb") as binary:
        return b"__asan_init" in binary.read()


# ---- who must not notice

class Pair:
    """pair.py on edge-1. `idle` is its p99 before anything happens, `told` what it had to say at the end of the storm."""

    async def start(self):
        users = [user(), user()]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "pair.py"), str(cluster.edges[0].c2s), "127.0.0.99", *users,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        assert await asyncio.wait_for(self.process.stdout.readline(), 30) == b"ready\n", "the pair could not log in"

    async def stop(self):
        out, _ = await asyncio.wait_for(self.process.communicate(b""), 30)
        told = json.loads(out.decode().splitlines()[-1])
        assert not told["broken"] and told["arrived"] == told["sent"] and told["in_order"], told
        return told


async def idle_p99():
    pair = Pair()
    await pair.start()
    await asyncio.sleep(2)
    return (await pair.stop())["p99"]


class Memory:
    """The most that each process has held since now, in KiB."""

    def __init__(self, *nodes):
        self.before = {node: node.rss_kib() for node in nodes}
        self.most = dict(self.before)
        self.task = asyncio.create_task(self.watch())

    async def watch(self):
        while True:
            for node in self.most:
                self.most[node] = max(self.most[node], node.rss_kib())
            await asyncio.sleep(0.02)

    def grown(self):
        return {node.name: self.most[node] - self.before[node] for node in self.most}


@contextlib.asynccontextmanager
async def undisturbed(name):
    """Around the storm: the pair is as fast as ever, edge-1 and the router hold no more than they may."""
    idle = await idle_p99()
    pair = Pair()
    await pair.start()
    memory = Memory(cluster.edges[0], cluster.routers[0])
    try:
        yield
        told = await pair.stop()
    finally:
        memory.task.cancel()
        with contextlib.suppress(ProcessLookupError):
            pair.process.kill()
    grown = memory.grown()
    print(f"      {name}: others p99 {idle * 1000:.0f} ms idle, {told['p99'] * 1000:.0f} ms meanwhile (worst {told['worst'] * 1000:.0f}, {told['sent']} messages);"
          f" grew by at most {', '.join(f'{node} {kib / 1024:.1f} MiB' for node, kib in grown.items())}", flush=True)
    # 1 GB at once is as much as the machine can take in: others wait their turn, no longer.
    assert told["p99"] < max(2 * idle, 1.0 if has_sanitizer() or FULL else 0.1), told
    # What a sanitizer has freed stays in its quarantine for a while.
    assert grown["edge-1"] < (64 if has_sanitizer() else 8) * 1024, grown
    assert grown["router-1"] < (200 if has_sanitizer() else 64) * 1024, grown


# ---- C21

class Reader:
    """Reads everything that comes to an account and keeps the beginnings of bodies."""

    def __init__(self, c):
        self.c, self.got = c, []
        self.task = asyncio.create_task(self.read())

    async def read(self):
        while True:
            element = await self.c.get(3600)
            if element.tag == MESSAGE:
                self.got.append(int(body(element).partition(":")[0]))

    async def has(self, numbers, seconds):
        deadline = time.monotonic() + seconds
        while not numbers <= set(self.got) and time.monotonic() < deadline:
            assert not self.task.done(), self.task.exception()
            await asyncio.sleep(0.05)
        missing = sorted(numbers - set(self.got))
        assert not missing, f"{len(missing)} are missing: {missing[:5]}"

    async def close(self):
        await end_tasks(self.task)
        await self.c.close()


def counted(node, name, value=""):
    return sum(count for key, count in node.metrics().items() if name in key and value in key)


class Flood:
    """Offers what it is told to, as fast as that or as fast as it is read, until the stream ends."""

    def __init__(self, c, to, filler, stanzas_per_second):
        self.c, self.to, self.filler, self.rate = c, to, filler, stanzas_per_second
        self.sent, self.condition, self.acked = 0, None, set()
        c.on_acked = lambda texts: self.acked.update(int(text.split(" id='")[1].split("'")[0]) for text in texts if text.startswith("<message"))

    async def listen(self):
        try:
            while True:
                await self.c.get(3600)
        except StreamError as error:
            self.condition = error.condition
        except (Closed, OSError):
            pass

    async def run(self, seconds):
        listener, began = asyncio.create_task(self.listen()), time.monotonic()
        while not listener.done() and (past := time.monotonic() - began) < seconds:
            while self.sent < past * self.rate and not listener.done():
                self.c.message(self.to, f"{self.sent}:{self.filler}", ident=str(self.sent))
                self.sent += 1
                if self.sent % (5 if self.filler else 20) == 0:
                    self.c.request()
                    drained = asyncio.ensure_future(self.c.writer.drain())
                    await asyncio.wait([drained, listener], return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.gather(drained, return_exceptions=True)
            await asyncio.sleep(0.002)
        assert listener.done(), f"not cut off within {seconds} s"
        self.took = time.monotonic() - began


async def is_cut_off(name, filler, stanzas_per_second):
    reader = Reader(await client(1).login_managed(user()))
    node, sender = cluster.edges[0], user()
    async with undisturbed(name):
        c = await client(0).login_managed(sender)
        taken, errors = counted(node, "stanzas_in_total", '"message"'), counted(node, "stream_errors_out_total", '"policy-violation"')
        flood = Flood(c, reader.c.jid.partition("/")[0], filler, stanzas_per_second)
        talk = asyncio.create_task(flood.run(FLOOD_SECONDS * 3 + 15))
        await talk
    assert counted(node, "stream_errors_out_total", '"policy-violation"') == errors + 1
    assert flood.condition == "policy-violation", f"the client heard {flood.condition}"
    assert FLOOD_SECONDS <= flood.took < FLOOD_SECONDS * 2 + 10, f"cut off after {flood.took:.1f} s"
    c.abort()
    # The session may have been resumable: what the client does next, it must find out what was taken.
    resumed = await client(0).authenticate(sender)
    answer = await resumed.resume(c.sm)
    assert answer.tag != f"{{{SM}}}resumed", "a stream that ended with an error is no session any more"
    await reader.has(flood.acked, 30)
    assert reader.got == list(range(len(reader.got))), "twice or out of order"
    size = len(f"<message to='{flood.to}' type='chat' id='0000'><body>0000:{filler}</body></message>") + STANZA_COST
    most = (BYTES_PER_SECOND * flood.took + BURST) / size * 1.2 + 50
    print(f"      {name}: offered {flood.sent} in {flood.took:.1f} s, read {len(reader.got)} (at most {most:.0f}), acknowledged {len(flood.acked)}, then"
          f" {sm_condition(answer)} with h={answer.get('h')}", flush=True)
    assert 0 < len(reader.got) < most, f"{len(reader.got)} were read"
    assert taken < counted(node, "stanzas_in_total", '"message"')
    await resumed.close()
    await reader.close()


@limit(260)
async def test_C21_ten_thousand_stanzas_a_second():
    await is_cut_off("10,000 stanzas/s", "", 10000)


@limit(260)
async def test_C21_fifty_megabytes_a_second():
    await is_cut_off("50 MB/s", "x" * 50000, 1000)


# ---- C22

async def deaf(name, is_managed):
    """A session whose client never reads again: its own buffers are small."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", cluster.edges[0].c2s))
    c = client(0)
    c.reader, c.writer = await asyncio.open_connection(sock=sock, limit=4096)

    async def connect(_=None):
        return c
    c.connect = connect
    await (c.login_managed if is_managed else c.login)(name)
    c.writer.transport.pause_reading()
    return c


async def session_row(jid):
    rows = json.loads((await asyncio.to_thread(cluster.ctl, "--json", "sessions")).stdout)
    return next((row for row in rows if row["jid"] == jid), None)


class Sender:
    """Sends numbered messages of 50 KB, some of them unacknowledged at a time; knows what came back as an error."""

    def __init__(self, c, to, first, step):
        self.c, self.to, self.number, self.step = c, to, first, step
        self.sent, self.bounced = [], set()
        self.news = asyncio.Event()
        c.on_acked = lambda _: self.news.set()

    async def listen(self):
        while True:
            element = await self.c.get(3600)
            if element.get("type") == "error":
                self.bounced.add(int(element.get("id")))

    async def room(self, unacked):
        while len(self.c.sm.unacked) > unacked:
            self.news.clear()
            self.c.request()
            await asyncio.wait_for(self.news.wait(), 60)

    async def send(self, total):
        listener = asyncio.create_task(self.listen())
        for _ in range(total // 50000):
            await self.room(WINDOW)
            self.c.message(self.to, f"{self.number}:" + "x" * 50000, ident=str(self.number))
            self.sent.append(self.number)
            self.number += self.step
            await self.c.writer.drain()
        await self.room(0)
        await end_tasks(listener)


async def stays_bounded(name, is_managed):
    victim = user()
    c = await deaf(victim, is_managed)
    senders = [Sender(await client(1).login_managed(user()), f"{victim}@localhost", i, 4) for i in range(4)]
    cut = counted(cluster.edges[0], "transport_ends_total", '"overflow"')
    async with undisturbed(name):
        began = time.monotonic()
        await asyncio.gather(*(sender.send(UNREAD // len(senders)) for sender in senders))
        took = time.monotonic() - began
    row = await session_row(c.jid)
    sent = {number for sender in senders for number in sender.sent}
    bounced = set().union(*(sender.bounced for sender in senders))
    overflows = counted(cluster.edges[0], "transport_ends_total", '"overflow"') - cut
    print(f"      {name}: {len(sent) * 50000 / 1e6:.0f} MB in {took:.1f} s, {len(bounced)} of {len(sent)} bounced; cut off {overflows:.0f} times,"
          f" its session is now {row['state'] if row else 'ended'}", flush=True)
    # With stream management so little is on the way at a time that the edge has nothing to drop: its router gives up, for want of acks.
    assert overflows == (0 if is_managed else 1) and row is None, row
    # Without stream management, what the client's kernel has acknowledged is delivered; what it had not may come again with the same id.
    before = {} if is_managed else await left_in_the_kernel(c)
    began = time.monotonic()
    got = await all_of_it(victim, c if is_managed else None, sent - bounced - set(before))
    print(f"      {name}: read by its client in {time.monotonic() - began:.1f} s, {len(before)} before that by its kernel", flush=True)
    assert all(before.get(number, ident) == ident for number, ident in got.items()), "came again with another stanza-id"
    delivered = set(got) | set(before)
    assert delivered | bounced == sent and not delivered & bounced, f"sent {len(sent)}, delivered {len(delivered)}, bounced {len(bounced)}"
    got = list(got)
    for sender in senders:
        mine = [number for number in got if number % len(senders) == sender.sent[0]]
        assert mine == sorted(mine), "out of order"
        await sender.c.close()
    c.abort()


def number_and_id(element):
    text = body(element)
    assert len(text) > 50000 and text.endswith("x" * 50000)
    return int(text.partition(":")[0]), element.find(f"{{{SID}}}stanza-id").get("id")


async def left_in_the_kernel(c):
    """What its connection still brings when the client reads after all."""
    got = {}
    c.writer.transport.resume_reading()
    with contextlib.suppress(Closed, OSError, asyncio.TimeoutError):
        while True:
            element = await c.get(5)
            if element.tag == MESSAGE:
                number, ident = number_and_id(element)
                got[number] = ident
    return got


async def all_of_it(victim, old, wanted):
    """The client is back, and reads: it resumes, or logs in where its session has ended. Returns ids by number, in order of arrival."""
    c = await client(0).authenticate(victim)
    answer = await c.resume(old.sm) if old else None
    if answer is None or answer.tag != f"{{{SM}}}resumed":
        await c.bind()
        await c.enable()
        c.send("<presence/>")
    got = {}
    try:
        while not wanted <= set(got):
            element = await c.get(30)
            if element.tag == MESSAGE:
                number, ident = number_and_id(element)
                assert number not in got, f"{number} came twice"
                got[number] = ident
        with contextlib.suppress(asyncio.TimeoutError):
            while True:
                element = await c.get(1)
                assert element.tag != MESSAGE, f"{body(element)[:8]} came again"
    except (asyncio.TimeoutError, Closed) as error:
        raise AssertionError(f"{len(wanted - set(got))} of {len(wanted)} did not come: {sorted(wanted - set(got))[:5]}, then {error!r}") from error
    c.ack()
    await c.close()
    return got


@limit(900)
async def test_C22_a_client_with_stream_management_that_reads_nothing():
    await stays_bounded("managed", True)


@limit(900)
async def test_C22_a_client_without_stream_management_that_reads_nothing():
    await stays_bounded("plain", False)


async def test_nothing_broke():
    codes = await asyncio.to_thread(cluster.stop_nodes)
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


def adjust(name, config):
    """Floods come to edge-1; senders to whom does not read are at edge-2, and fast."""
    if name == "edge-1":
        config["c2s"] = {"bytes_per_second": BYTES_PER_SECOND, "burst_bytes": BURST, "stanza_cost_bytes": STANZA_COST, "flood_timeout": f"{FLOOD_SECONDS}s"}
    elif name == "edge-2":
        config["c2s"] = {"bytes_per_second": 64 * MIB, "burst_bytes": 64 * MIB, "max_unhandled_bytes": 2 * MIB}


if __name__ == "__main__":
    sys.argv = [word for word in sys.argv if word != "--full"]
    with Cluster(edges=2, routers=1, archives=1, adjust=adjust, hosts=[{"domain": "localhost"}]) as cluster:
        sys.exit(0 if run(sys.modules[__name__]) else 1)
