"""What the suites of stream management share: accounts and clients of `managed.cluster`, resuming, a device that never gives up."""
import asyncio
import functools
import logging
import ssl
import time

from cluster import Cluster
from rawclient import CLIENT, SM, Closed, RawClient, body, end_tasks, sm_condition
from runner import run

PRESENCE, MESSAGE = f"{{{CLIENT}}}presence", f"{{{CLIENT}}}message"
LOST = (Closed, ConnectionError, OSError, asyncio.TimeoutError, ssl.SSLError)
logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it reports what is written to a connection that is lost

cluster = None
others = {}  # clusters of their own for some tests
counter = 0


def user():
    """A fresh account each time, in the cluster of the moment."""
    global counter
    counter += 1
    cluster.add_account(f"user{counter}")
    return f"user{counter}"


def in_own_cluster(name, config, hosts=None):
    """Decorates tests that run in a cluster of their own, which the first one of them starts."""
    def decorate(test):
        @functools.wraps(test)
        async def inside():
            global cluster
            usual = cluster
            cluster = others[name] = others.get(name) or Cluster(edges=2, routers=2, archives=1, config=config, hosts=hosts)
            try:
                for node in cluster.nodes():
                    await asyncio.to_thread(node.wait_ready)
                await test()
            finally:
                cluster = usual
        inside.timeout = getattr(test, "timeout", 60) + 30
        return inside
    return decorate


in_impatient = in_own_cluster("impatient", {  # sessions wait 4 s and queues are short
    "router": {"sm": {"resume_timeout": "4s", "max_unacked_stanzas": 100, "ack_patience": "3s", "max_unacked_bytes": "64KiB"},
               "messages": {"catch_up_page_entries": 40, "catch_up_page_bytes": "16KiB"}},
    "edge": {"c2s": {"sm_ack_timeout": "5s"}}})

def client(edge=0):
    return RawClient(cluster.edges[edge % len(cluster.edges)].c2s)


def name_of(c):
    return c.sm.jid.split("@")[0]


def is_message(element):
    return element.tag == MESSAGE


async def next_message(c, timeout=10):
    return await c.get_where(is_message, timeout)


async def bodies(c, count, timeout=15):
    return [body(await next_message(c, timeout)) for _ in range(count)]


async def nothing_more(c, accept=is_message, settle=0.5):
    try:
        element = await c.get_where(accept, settle)
    except asyncio.TimeoutError:
        return
    raise AssertionError(f"unexpected {element.tag} {element.attrib} {body(element)}")


async def resume(old, edge, h=None, wanted="resumed"):
    """A new connection that takes over the session of `old`; returns it, or <failed/> if that is wanted."""
    sm = old.sm
    c = await client(edge).authenticate(name_of(old))
    element = await c.resume(sm, h)
    assert element.tag == f"{{{SM}}}{wanted}", f"{element.tag} {element.attrib} {sm_condition(element)}"
    if wanted == "resumed":
        assert element.get("previd") == sm.ident
        old.sm = None
        return c
    c.failed = element
    return c


async def acked(c, timeout=10):
    """Asks until everything sent is acknowledged. Stanzas that come meanwhile are returned."""
    came, deadline = [], time.monotonic() + timeout
    while c.sm.unacked:
        assert time.monotonic() < deadline, f"{len(c.sm.unacked)} stanzas are not acknowledged"
        c.request()
        try:
            came.append(await c.get(0.3))
        except asyncio.TimeoutError:
            pass
    return came


def stored(name):
    return int(cluster.postgres.query("SELECT count(*) FROM archive.message m JOIN router.account a ON a.id = m.owner"
                                      f" WHERE a.bare = '{name}@localhost'"))


async def wait_all_ready(seconds=30):
    for node in cluster.nodes():
        await asyncio.to_thread(node.wait_ready, seconds)


class Device:
    """Reads all the time; when its connection is lost or silent, it resumes on the next edge. What is sent meanwhile goes after that."""

    def __init__(self, c, edge):
        self.c, self.sm, self.edge, self.name = c, c.sm, edge, name_of(c)
        self.messages, self.other, self.failed, self.resumes = [], [], None, 0
        self.task = asyncio.create_task(self.live())

    def send(self, text):
        if self.c:
            self.c.send(text)
        else:
            self.sm.on_sent(text)

    def message(self, to, text):
        self.send(f"<message to='{to}@localhost' type='chat'><body>{text}</body></message>")

    async def live(self):
        while not self.failed:
            silent = 0
            try:
                while silent < 2:
                    try:
                        element = await self.c.get(2)
                        silent = 0
                    except asyncio.TimeoutError:
                        silent += 1
                        self.c.request()
                        continue
                    (self.messages if is_message(element) else self.other).append(element)
            except LOST:
                pass
            old, self.c = self.c, None
            old.abort()
            await self.reconnect()

    async def reconnect(self):
        while True:
            self.edge += 1
            c = client(self.edge)
            try:
                await asyncio.wait_for(c.authenticate(self.name), 8)
                element = await c.resume(self.sm)
            except (*LOST, AssertionError):
                await asyncio.sleep(0.2)
                continue
            self.resumes += 1
            self.c, self.failed = c, element if element.tag.endswith("}failed") else None
            return

    async def has(self, count, timeout=30):
        deadline = time.monotonic() + timeout
        while len(self.messages) < count and time.monotonic() < deadline and not self.failed:
            await asyncio.sleep(0.05)
        assert not self.failed, f"resume failed: {sm_condition(self.failed)}"
        assert len(self.messages) >= count, f"{len(self.messages)} messages instead of {count}: {[body(m) for m in self.messages][-5:]}"

    async def close(self):
        await end_tasks(self.task)
        if self.c:
            await self.c.close()


def run_all(module):
    """Runs a suite in a cluster of two edges, two routers and an archive-svc; true if everything passed."""
    global cluster
    with Cluster(edges=2, routers=2, archives=1) as cluster:
        try:
            return run(module)
        finally:
            for other in others.values():
                other.close()


def nothing_was_wrong_underneath():
    """Drains every process: exit code 0, no sanitizer report."""
    for one in (cluster, *others.values()):
        codes = one.stop_nodes()
        assert all(code == 0 for code in codes.values()), codes
        assert not one.problems(), one.problems()
