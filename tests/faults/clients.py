"""Clients that are slow, dead or many, and a client library among the faults: T13, T14, and what a client does with T01, T06 and T10."""
import asyncio
import os
import random
import re
import signal
import statistics
import subprocess
import time

from catalogue import fault, pick
from judge import STALLS, slowness
from load import LOST, SILENCE
from network import have_namespace
from rawclient import CLIENT, RawClient, body

# ---- T13: slow and dead clients


async def calm(load, seconds=5):
    """The delays of the load without the harm."""
    load.delays.clear()
    await asyncio.sleep(seconds)
    return load.p99()


async def harmed(load, seconds=10):
    load.delays.clear()
    await asyncio.sleep(seconds)
    return load.p99()


async def compare(load, before, among):
    """After the harm, so that what the machine does besides is not taken for it: the calm before and the calm after it are its measure."""
    await asyncio.sleep(1)
    after = await calm(load)
    load.notes.append(f"99 % within {before * 1000:.0f} ms before, {among * 1000:.0f} ms among them, {after * 1000:.0f} ms after them")
    assert among < max(2 * before, 2 * after, 0.25 * slowness()), "others are slower than twice"


async def addressees(load, count):
    """Sessions that have stream management and 64 messages of 4 KiB on the way to them, from a sender of their own."""
    names = [f"z{os.urandom(3).hex()}{i}" for i in range(count + 1)]
    for name in names:
        await asyncio.to_thread(load.cluster.add_account, name)
    sender = await RawClient(load.cluster.edges[0].c2s).login(names[-1])
    clients = [await RawClient(load.cluster.edges[i % len(load.cluster.edges)].c2s).login_managed(name) for i, name in enumerate(names[:-1])]
    return sender, clients, names[:-1]


async def flood(sender, names, count=64):
    for i in range(count):
        for name in names:
            sender.message(f"{name}@localhost", f"{i}:" + "y" * 4000)
        await sender.writer.drain()
        await asyncio.sleep(0.05)


@fault("T13")
async def zero_windows(load):
    """Sockets that read nothing: strangers who only connected, and users who are written to."""
    before = await calm(load)
    strangers = []
    sender, clients, names = await addressees(load, 20)
    try:
        for client in clients:
            client.writer.transport.pause_reading()
        for i in range(load.options.sockets):
            _, writer = await asyncio.open_connection("127.0.0.1", load.cluster.edges[i % 3].c2s, local_addr=(f"127.0.2.{1 + i % 200}", 0), limit=1)
            writer.transport.pause_reading()
            writer.write(b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost'"
                         b" version='1.0'>")
            strangers.append(writer)
        task = asyncio.create_task(flood(sender, names))
        among = await harmed(load)
        await asyncio.wait_for(task, 30)
        load.notes.append(f"{len(strangers)} strangers, {len(clients)} users who do not read")
    finally:
        for writer in strangers:
            writer.transport.abort()
        for client in [sender, *clients]:
            client.abort()
    await compare(load, before, among)


@fault("T13", needs=("network",))
async def nat_loss(load):
    """A quarter of the clients vanish behind a NAT that forgot them: no RST, no FIN. They come back from another port, and resume."""
    victims = [user for user in random.sample(load.users, len(load.users) // 4) if user.client]
    ends = [[user.client.writer.get_extra_info(end)[1] for end in ("sockname", "peername")] for user in victims]
    load.net.rule("tcp sport . tcp dport { " + ", ".join(f"{mine} . {edge}" for mine, edge in ends) + " }")
    load.net.rule("tcp dport . tcp sport { " + ", ".join(f"{mine} . {edge}" for mine, edge in ends) + " }")
    await asyncio.sleep(4 * SILENCE + 2)
    assert all(user.online.is_set() for user in victims if user.is_managed), "somebody could not resume"
    assert load.net.heal() > 0, "no packet met a rule: nobody vanished"
    load.notes.append(f"{len(victims)} clients vanished")


@fault("T13")
async def stopped_clients(load):
    """Client processes are stopped for 15 s while they are written to, then go on: each gets everything, once."""
    count = 40
    readers = [await Library.start(load, f"stopped{i}", count) for i in range(3)]
    before = await calm(load)
    sender = await RawClient(load.cluster.edges[0].c2s).login_managed(await account(load))
    try:
        for reader in readers:
            os.kill(reader.process.pid, signal.SIGSTOP)
        for i in range(count):
            for reader in readers:
                sender.message(f"{reader.name}@localhost", str(i))
        sender.request()
        await asyncio.sleep(5)
        among = await harmed(load)
        for reader in readers:
            os.kill(reader.process.pid, signal.SIGCONT)
        for reader in readers:
            await reader.finish(60)
        await compare(load, before, among)
    finally:
        sender.abort()
        for reader in readers:
            reader.stop()


# ---- T14: everybody comes back at once

class Visitor:
    """Only logs in, keeps nothing, does not wait before it tries again. Handshakes start in hundreds: the client side must not be what is slow."""

    def __init__(self, load, name, number):
        self.load, self.name, self.number = load, name, number
        self.edge, self.attempts, self.client = 0, 0, None

    async def enter(self):
        while True:
            edges = self.load.cluster.edges
            client = RawClient(edges[self.edge % len(edges)].direct, direct=True, source=f"127.0.3.{1 + self.number % 200}")
            self.attempts += 1
            try:
                await asyncio.wait_for(client.login(self.name, available=False), 60)
                self.client = client
                return
            except (*LOST, AssertionError):
                if client.writer:
                    client.abort()
                self.edge += 1
                await asyncio.sleep(0)

    async def until_lost(self):
        try:
            while True:
                await self.client.get(3600)
        except LOST:
            self.client.abort()
            self.edge += 1


@fault("T14")
async def reconnect_storm(load):
    """All clients of an edge come to the others at once when it is killed, without back-off. The rest goes on, and in the end everybody is in (P7)."""
    edge = load.cluster.edges[0]
    names = [await account(load) for _ in range(-(-load.options.storm // 4))]  # four devices each: router.max_resources counts the dead ones, too
    visitors = [Visitor(load, names[i % len(names)], i) for i in range(load.options.storm)]
    began = time.monotonic()
    for start in range(0, len(visitors), 50):
        await asyncio.wait_for(asyncio.gather(*(v.enter() for v in visitors[start:start + 50])), 120)
    calm = time.monotonic() - began
    stayed = [user for user in load.users if user.client and user.edge % len(load.cluster.edges) != 0]
    before = {user: user.incarnation for user in stayed}
    edge.kill()
    await asyncio.gather(*(v.until_lost() for v in visitors))
    for visitor in visitors:
        visitor.attempts = 0
    began = time.monotonic()
    await asyncio.wait_for(asyncio.gather(*(v.enter() for v in visitors)), 120 + calm)
    storm = time.monotonic() - began
    delay = load.longest_delay(began, among={user.pair for user in stayed})
    reconnected = sum(user.incarnation > before[user] for user in stayed)
    load.notes.append(f"{len(visitors)} clients: in one after the other {calm:.1f} s, all back after {storm:.1f} s,"
                      f" {statistics.mean(v.attempts for v in visitors):.1f} attempts each; {reconnected} of"
                      f" {len(stayed)} others reconnected, meanwhile all of theirs within {delay:.1f} s")
    for visitor in visitors:
        visitor.client.abort()
    await load.everybody_talks(60)
    assert not reconnected, "others lost their connections"
    assert delay <= 5 * slowness(), "others had to wait"


# ---- a client library

async def account(load):
    name = f"c{os.urandom(4).hex()}"
    await asyncio.to_thread(load.cluster.add_account, name)
    return name


class Library:
    """A slixmpp client in a process of its own that reads numbered messages and resumes on the next edge (slix.py)."""

    @classmethod
    async def start(cls, load, label, count):
        self = cls()
        self.name, self.label = await account(load), label
        ports = [str(edge.c2s) for edge in load.cluster.edges]
        self.process = await asyncio.create_subprocess_exec(
            "/usr/bin/python3", os.path.join(os.path.dirname(__file__), "slix.py"), self.name, str(count), load.cluster.file("ec.crt"), *ports,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        line = b"-"
        while line and line != b"ready\n":  # libraries may have something to say, too
            line = await asyncio.wait_for(self.process.stdout.readline(), 30)
        assert line, "slixmpp did not start"
        return self

    async def finish(self, seconds):
        try:
            out, _ = await asyncio.wait_for(self.process.communicate(), seconds)
        except asyncio.TimeoutError:
            raise AssertionError(f"slixmpp ({self.label}) did not get everything in {seconds} s") from None
        assert self.process.returncode == 0, f"slixmpp ({self.label}): {out.decode()[-1000:]}"
        return out.decode().count("resumed")

    def stop(self):
        if self.process.returncode is None:
            for number in (signal.SIGCONT, signal.SIGKILL):
                self.process.send_signal(number)


async def edge_of_library(load, library):
    """The edge it is connected to, found by its socket."""
    for _ in range(60):
        out = await asyncio.to_thread(subprocess.run, ["ss", "-Htnp", "state", "established"], capture_output=True, text=True)
        ports = {int(port) for line in out.stdout.splitlines() if f"pid={library.process.pid}," in line for port in re.findall(r":(\d+)\s", line + " ")}
        if found := [edge for edge in load.cluster.edges if edge.c2s in ports]:
            return found[0]
        await asyncio.sleep(0.5)
    raise AssertionError("slixmpp is connected to no edge")


async def harm_edge_of_library(load, library, kind, network_seconds):
    edge = await edge_of_library(load, library)
    router = pick(load.cluster.routers)
    if kind == "edge":
        edge.kill()
    elif kind == "router":
        router.kill()
    elif kind == "both":
        edge.kill()
        router.kill()
    elif kind == "stop":
        edge.freeze(15)
        await asyncio.sleep(15)
    elif kind == "partition":
        for one in load.cluster.routers:
            load.net.pair(edge, one)
        await asyncio.sleep(network_seconds)
        load.net.heal()
    await asyncio.sleep(4)


def two_clients(network_seconds):
    async def survive(load):
        """A slixmpp client and a raw one, which is the first pair of the load, live through everything that happens to their edge and router,
        and read every message exactly once."""
        steps = ["edge", "router", "both", "stop"] + (["partition"] if have_namespace() else [])
        library = await Library.start(load, "two clients", 0)
        sender = load.users[0]
        texts, sending = 0, True

        async def send():
            nonlocal texts
            while sending or texts < 50:
                if sender.online.is_set():
                    sender.client.message(f"{library.name}@localhost", str(texts))
                    texts += 1
                    if texts % 10 == 0:
                        sender.client.request()  # else too much is unacknowledged for it to send what load wants
                await asyncio.sleep(0.1)

        task = asyncio.create_task(send())
        try:
            for step in steps:
                await harm_edge_of_library(load, library, step, network_seconds)
                await load.everybody_talks(40)
            sending = False
            await task
            while not sender.online.is_set():
                await asyncio.sleep(0.1)
            sender.client.message(f"{library.name}@localhost", f"end {texts}")
            resumed = await library.finish(60)
            load.notes.append(f"slixmpp read {texts} messages, resumed {resumed} times; {len(steps)} kinds of harm")
            assert resumed >= 3, f"it resumed {resumed} times only"
        finally:
            task.cancel()
            library.stop()
    return survive


fault("T01", name="two_clients", quick=False, allows=STALLS)(two_clients(60))
fault("T01", name="two_clients_5", quick=False, allows=STALLS)(two_clients(5))
