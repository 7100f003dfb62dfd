"""PostgreSQL and Redis die, fail over, hang, run full, lose everything, or their disks do: T03, T04, T05, T11, T12."""
import asyncio
import os
import random
import signal
import subprocess
import time

from catalogue import fault, pick
from judge import QUEUES_GONE, STORE_AWAY
from load import STATES, PlainUser

# ---- T03: PostgreSQL


@fault("T03", quick=True, allows=STORE_AWAY)
async def restart_postgres(load):
    deaths = [node.deaths for node in load.cluster.nodes()]
    await asyncio.to_thread(load.cluster.postgres.restart, "immediate")
    await asyncio.sleep(3)
    assert [node.deaths for node in load.cluster.nodes()] == deaths, "a service was restarted"


class QuietUser(PlainUser):
    """Sends nothing durable, so nothing waits for a commit in front of what it says."""
    states = None

    async def read(self, client):
        self.states = set()
        while not self.load.over:
            element = await client.get(3600)
            if element.find(f"{{{STATES}}}composing") is not None:
                self.states.add(element.get("id"))


async def volatile_goes_on(load, seconds):
    """Chat states between two users without anything durable arrive, one a second (P6); returns those that did not."""
    names = [f"q{os.urandom(3).hex()}{side}" for side in "ab"]
    for name in names:
        await asyncio.to_thread(load.cluster.add_account, name)
    a, b = (QuietUser(load, name, edge) for edge, name in enumerate(names))
    await asyncio.wait_for(asyncio.gather(a.online.wait(), b.online.wait()), 30)
    return a, b


@fault("T03", quick=True, allows=STORE_AWAY)
async def postgres_away(load):
    """Longer than the lease and than messages.commit_timeout: what needs no disk goes on, the rest arrives later or comes back (G01)."""
    a, b = await volatile_goes_on(load, 15)
    try:
        await asyncio.to_thread(load.cluster.postgres.stop_primary)
        try:
            for second in range(15):
                await asyncio.sleep(1)
                a.client.send(f"<message to='{b.name}@localhost' type='chat' id='s{second}'><composing xmlns='{STATES}'/></message>")
            await asyncio.sleep(0.5)
            missing = {f"s{second}" for second in range(15)} - b.states
        finally:
            await asyncio.to_thread(load.cluster.postgres.start)
        assert not missing, f"chat states did not arrive: {sorted(missing)}"
        await load.everybody_talks(30)
    finally:
        for user in (a, b):
            user.task.cancel()


# ---- T04: failover of PostgreSQL

async def fail_over(load, harm, heal=lambda: None):
    postgres = load.cluster.postgres
    old = postgres.primary
    try:
        await asyncio.to_thread(harm, old)
        await asyncio.sleep(random.uniform(0.2, 2))
        await asyncio.to_thread(postgres.promote)
        began = time.monotonic()
        await load.everybody_talks(60)
        load.notes.append(f"everybody talks {time.monotonic() - began:.1f} s after the promotion")
        return old
    finally:
        heal()


@fault("T04", quick=True, allows=STORE_AWAY)
async def promote_after_kill(load):
    old = await fail_over(load, lambda old: old.kill())
    await asyncio.to_thread(load.cluster.postgres.rebuild, old)


@fault("T04", needs=("network",), allows=STORE_AWAY)  # not quick: it takes half a minute
async def promote_beside_a_primary_cut_off(load):
    """The old primary lives on, unreachable; then it is back on the network, still a primary in its own eyes. Nobody may use it (G06)."""
    old = await fail_over(load, lambda old: load.net.port(old.port))
    load.net.heal()
    for node in load.cluster.routers[:1] + load.cluster.archives[:1]:
        node.kill()  # one that has not seen the promotion with its own eyes
    await asyncio.sleep(4)
    await load.everybody_talks(40)
    strangers = old.query("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'starling%' AND query ~* 'insert|update|lease|append'"
                          " AND state = 'active' AND wait_event = 'SyncRep'")
    load.notes.append(f"{strangers} statements hang at the old primary")
    await asyncio.to_thread(load.cluster.postgres.rebuild, old)


# ---- T05: Redis

LIVE = 3  # seconds within which every message of live sessions arrives (G08), on an idle machine


@fault("T05", quick=True)
async def redis_shutdown(load):
    redis = load.cluster.redis

    async def away():
        await asyncio.to_thread(redis.command, "SHUTDOWN", "NOSAVE")
        await asyncio.sleep(random.uniform(0, 4))
        assert redis.process.poll() is not None, "Redis did not end"
        await asyncio.to_thread(redis.restart)

    await during(load, away(), 6)


@fault("T05", quick=True)
async def redis_kill(load):
    await during(load, asyncio.to_thread(load.cluster.redis.restart), 6)


@fault("T05")
async def redis_pause(load):
    redis = load.cluster.redis
    assert await asyncio.to_thread(redis.command, "CLIENT", "PAUSE", "30000", "ALL") == "OK"
    await during(load, silent(redis, 28, "PING"), 32)


@fault("T05", quick=True)
async def redis_flushall(load):
    assert await asyncio.to_thread(load.cluster.redis.command, "FLUSHALL") == "OK"
    await load.goes_on(6, LIVE)


@fault("T05", quick=True)
async def redis_sleeps(load):
    await during(load, silent(load.cluster.redis, 9, "DEBUG", "SLEEP", "10"), 12)


async def silent(redis, seconds, *command):
    """Its answer to this command takes as long."""
    began = time.monotonic()
    await asyncio.to_thread(redis.command, *command)
    assert time.monotonic() - began > seconds, "Redis answered"


async def during(load, harm, seconds):
    """Live chats go on while the harm is done and for some time after it."""
    task = asyncio.create_task(harm)
    try:
        await load.goes_on(seconds, LIVE, task)
    finally:
        await task


@fault("T05", quick=True)
async def redis_full(load):
    redis = load.cluster.redis
    try:
        assert await asyncio.to_thread(redis.command, "CONFIG", "SET", "maxmemory", "1mb") == "OK"
        await load.goes_on(6, LIVE)
        assert "OOM" in await asyncio.to_thread(redis.command, "SET", "starling-faults", "x" * 2000), "it takes writes"
        await load.everybody_talks(30)
    finally:
        await asyncio.to_thread(redis.command, "CONFIG", "SET", "maxmemory", "0")


@fault("T05", allows=QUEUES_GONE)
async def redis_kill_and_router(load):
    """With Redis and a router gone at once, the queues of its sessions are gone: resumes may say item-not-found. Half of the clients have just lost
    their connections, so nobody but the router knows their sessions. Clients with stream management only: what the kernel of another one has
    acknowledged and it has not read yet would be lost to it."""
    clients = [user.client for user in load.users if user.client and user.is_managed]
    for client in random.sample(clients, len(clients) // 2):
        client.abort()
    await asyncio.sleep(random.uniform(0, 0.2))
    await asyncio.to_thread(load.cluster.redis.stop)
    pick(load.cluster.routers).kill()
    await asyncio.sleep(1)
    await asyncio.to_thread(load.cluster.redis.start)


@fault("T05")
async def redis_flushall_then_kill_edge(load):
    assert await asyncio.to_thread(load.cluster.redis.command, "FLUSHALL") == "OK"
    await asyncio.sleep(random.uniform(0, 3))
    load.edge_in_use().kill()


@fault("T05", kind="sentinel", needs=("sentinel",))
async def redis_fails_over(load):
    """The primary is killed, Sentinels choose another one; what it had not got is written again by its owners. Then a router dies on top of it."""
    redis = load.cluster.redis
    old = await asyncio.to_thread(redis.primary)
    old.stop()
    began = time.monotonic()
    while await asyncio.to_thread(redis.primary) is old:
        assert time.monotonic() < began + 30, "the Sentinels chose nobody"
        await asyncio.sleep(0.2)
    load.notes.append(f"another primary after {time.monotonic() - began:.1f} s")
    await asyncio.sleep(5)
    await load.everybody_talks(30)
    pick(load.cluster.routers).kill()
    await asyncio.sleep(4)
    await asyncio.to_thread(redis.start_again, old)


# ---- T11: no room on the disk

def fill(folder):
    """Takes all the room there is; returns the file that has it."""
    path = os.path.join(folder, "filler")
    with open(path, "wb", buffering=0) as out:
        try:
            while True:
                out.write(b"\0" * 65536)
        except OSError:
            pass
        try:
            while True:
                out.write(b"\0" * 512)
        except OSError:
            return path


@fault("T11", kind="disk", needs=("mount",), allows=STORE_AWAY)
async def disk_full_postgres(load):
    """PostgreSQL writes errors, or panics and cannot come back before there is room; nothing that it did not keep is acknowledged (G05)."""
    postgres, folder = load.cluster.postgres, os.path.join(load.cluster.folder, "disk")
    deaths = [node.deaths for node in load.cluster.nodes()]
    filler = await asyncio.to_thread(fill, folder)
    try:
        began = time.monotonic()
        while time.monotonic() < began + 30 and not refused(postgres):
            await asyncio.sleep(0.5)
        assert refused(postgres), "the disk was never too small"
        await asyncio.sleep(5)
    finally:
        os.remove(filler)
    await asyncio.sleep(1)
    if not postgres.is_alive():
        load.notes.append("PostgreSQL had to be started again")
        await asyncio.to_thread(postgres.start)
    await load.everybody_talks(60)
    assert [node.deaths for node in load.cluster.nodes()] == deaths, "a service was restarted"


def refused(postgres):
    with open(postgres.log, errors="replace") as log:
        return "No space left on device" in log.read()


@fault("T11", kind="disk", needs=("mount",))
async def disk_full_logs(load):
    """The logs' disk is full: records are dropped and counted, nobody waits (H08)."""
    filler = await asyncio.to_thread(fill, os.path.join(load.cluster.folder, "logs"))
    try:
        for edge in load.cluster.edges[:2]:
            edge.kill()  # something to write about
            await asyncio.sleep(3)
        await load.everybody_talks(30)
        dropped = sum(value for node in load.cluster.nodes() for key, value in node.metrics().items() if key.endswith("log_dropped_total"))
        assert dropped > 0, "no record was dropped"
        load.notes.append(f"{dropped:.0f} records dropped")
    finally:
        os.remove(filler)


# ---- T12: the disk answers with errors

async def inject(load, what, seconds):
    """strace on PostgreSQL, postmaster, children and theirs, until one has panicked."""
    postgres = load.cluster.postgres
    server = getattr(postgres, "primary", postgres)
    with open(server.log, errors="replace") as log:
        before = log.read().count("PANIC")
    attach = [argument for pid in server.pids() for argument in ("-p", str(pid))]
    process = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={what.split(':')[0]}", "-e", f"inject={what}", *attach],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    count = before
    try:
        deadline = time.monotonic() + seconds
        while count == before and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            with open(server.log, errors="replace") as log:
                count = log.read().count("PANIC")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            process.kill()
    load.notes.append(f"{count - before} panics")
    assert count > before, "PostgreSQL met no error"
    await load.everybody_talks(40)


@fault("T12", needs=("ptrace",), allows=STORE_AWAY)
async def fsync_fails(load):
    await inject(load, "fsync,fdatasync:error=EIO:when=3", 20)


@fault("T12", needs=("ptrace",), allows=STORE_AWAY)
async def write_finds_no_space(load):
    await inject(load, "pwrite64:error=ENOSPC:when=4", 20)
