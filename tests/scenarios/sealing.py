#!/usr/bin/python3
"""What a database administrator sees of what accounts keep (nothing), what becomes of rows from before there were seals, and a change of the
storage key under running clients."""
import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import RawClient, condition  # noqa: E402
from runner import limit, run  # noqa: E402

PRIVATE, VCARD, ROSTER, BLOCKING = "jabber:iq:private", "vcard-temp", "jabber:iq:roster", "urn:xmpp:blocking"
cluster = None
counter = 0
keys = []  # contents of storage.key, the first one first


def user():
    global counter
    counter += 1
    name = f"seal{counter}"
    cluster.add_account(name, "secret")
    return name


async def login(name, resource="phone"):
    return await RawClient(cluster.edges[0].c2s).login(name, resource=resource)


async def ok(c, kind, payload):
    result = await c.iq(kind, payload)
    assert result.get("type") == "result", condition(result)
    return result


async def fill(c, mark):
    """Something of each kind, with `mark` in it: address, name, key and value."""
    await ok(c, "set", f"<query xmlns='{ROSTER}'><item jid='friend.{mark}@localhost' name='dear {mark}'><group>{mark}s</group></item></query>")
    await ok(c, "set", f"<block xmlns='{BLOCKING}'><item jid='foe.{mark}@foes.example'/></block>")
    await ok(c, "set", f"<query xmlns='{PRIVATE}'><storage xmlns='storage:{mark}'><conference jid='room.{mark}@rooms.example'/></storage></query>")
    await ok(c, "set", f"<vCard xmlns='{VCARD}'><FN>{mark} Capulet</FN></vCard>")


async def check(c, mark):
    roster = await ok(c, "get", f"<query xmlns='{ROSTER}'/>")
    assert [i.get("name") for i in roster[0]] == [f"dear {mark}"], roster
    blocked = await ok(c, "get", f"<blocklist xmlns='{BLOCKING}'/>")
    assert [i.get("jid") for i in blocked[0]] == [f"foe.{mark}@foes.example"], blocked
    kept = await ok(c, "get", f"<query xmlns='{PRIVATE}'><storage xmlns='storage:{mark}'/></query>")
    assert kept[0][0][0].get("jid") == f"room.{mark}@rooms.example", kept
    card = await ok(c, "get", f"<vCard xmlns='{VCARD}'/>")
    assert card[0][0].text == f"{mark} Capulet", card


def dump():
    """All rows of all tables, as text and as bytes."""
    bindir = sorted(os.listdir("/usr/lib/postgresql"), key=int)[-1]
    out = subprocess.run([f"/usr/lib/postgresql/{bindir}/bin/pg_dump", "--data-only", cluster.postgres.conninfo("postgres")],
                         check=True, capture_output=True).stdout.decode()
    return out + "".join(bytes.fromhex(h).decode("latin-1") + "\n" for h in re.findall(r"\\x((?:[0-9a-f]{2})+)", out))


async def test_the_database_shows_nothing():
    name, mark = user(), "montague"
    c = await login(name)
    await fill(c, mark)
    await check(c, mark)
    await c.close()
    text = dump()
    assert f"{name}@localhost" in text  # the dump is one
    assert mark not in text and "Capulet" not in text and "foes.example" not in text and "rooms.example" not in text
    clear = hashlib.sha256(f"storage:{mark}\0storage".encode()).hexdigest()[:40]
    assert bytes.fromhex(clear).decode("latin-1") not in text and clear not in text
    assert cluster.postgres.query("SELECT count(*) FROM router.account_data WHERE NOT is_sealed") == "0"


async def test_rows_cannot_change_places():
    a, b = user(), user()
    ca, cb = await login(a), await login(b)
    await fill(ca, "alpha")
    await fill(cb, "beta")
    ids = {n: cluster.postgres.query(f"SELECT id FROM router.account WHERE bare = '{n}@localhost'") for n in (a, b)}
    cluster.postgres.query(f"UPDATE router.account_data SET value = (SELECT value FROM router.account_data WHERE owner = {ids[b]} AND kind = 2)"
                           f" WHERE owner = {ids[a]} AND kind = 2")
    assert condition(await ca.iq("get", f"<vCard xmlns='{VCARD}'/>")) == "internal-server-error"
    cluster.postgres.query(f"UPDATE router.account_data SET value = (SELECT value FROM router.account_data WHERE owner = {ids[b]} AND kind = 3)"
                           f" WHERE owner = {ids[b]} AND kind = 2")
    assert condition(await cb.iq("get", f"<vCard xmlns='{VCARD}'/>")) == "internal-server-error"
    for c in (ca, cb):
        await ok(c, "set", f"<vCard xmlns='{VCARD}'><FN>new</FN></vCard>")
        await c.close()


def storage():
    return json.loads(cluster.ctl("--json", "storage").stdout)


def left(router):
    values = router.metrics()
    return sum(v for k, v in values.items() if "storage_keys_outdated" in k or "storage_rows_clear" in k)


def await_resealed(seconds=20):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if cluster.postgres.query("SELECT (SELECT count(*) FROM router.account_data WHERE NOT is_sealed) + (SELECT count(DISTINCT wrapped_by)"
                                  " FROM router.account_key)") == "1" and all(left(r) == 0 for r in cluster.routers):
            return
        time.sleep(0.2)
    raise AssertionError([r.tail(5) for r in cluster.routers])


def configure(node, key=None, others=None):
    with open(node.path) as file:
        text = re.sub(r"\n *storage_other_keys_file:.*", "", file.read())
    if others:
        text = re.sub(r"\n( *)(storage_key_file:.*)", rf"\n\1\2\n\1storage_other_keys_file: {others}", text)
    if key:
        text = re.sub(r"storage_key_file:.*", f"storage_key_file: {key}", text)
    with open(node.path, "w") as file:
        file.write(text)


async def restart(node):
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, node.terminate) == 0
    node.start()
    await loop.run_in_executor(None, node.wait_ready)


async def test_rows_from_before_are_read_and_sealed():
    with_key, without = user(), user()
    c = await login(with_key)
    await ok(c, "set", f"<query xmlns='{ROSTER}'><item jid='friend.old@localhost' name='dear old'/></query>")
    await c.close()
    key = hashlib.sha256(b"storage:old\0storage").hexdigest()[:40]
    other = hashlib.sha256(b"storage:more\0storage").hexdigest()[:40]
    book = "<storage xmlns=\"storage:old\"><conference jid=\"room.old@rooms.example\"></conference></storage>"
    for name in (with_key, without):
        cluster.postgres.query(
            "INSERT INTO router.account_data (owner, kind, key, value) SELECT id, v.kind, v.key, convert_to(v.value, 'UTF8') FROM router.account,"
            f" (VALUES (1, '\\x{key}'::bytea, '{book}'), (1, '\\x{other}'::bytea, '<storage xmlns=\"storage:more\"></storage>'),"
            f" (2, ''::bytea, '<vCard xmlns=\"vcard-temp\"><FN>old Capulet</FN></vCard>'), (3, ''::bytea, E'foe.old@foes.example\\n'))"
            f" AS v (kind, key, value) WHERE bare = '{name}@localhost'")
    # A client that is there meanwhile: with a key that it does not know of yet.
    at_home = await login(without)
    await ok(at_home, "get", f"<vCard xmlns='{VCARD}'/>")
    for router in cluster.routers:
        await restart(router)
    await asyncio.get_running_loop().run_in_executor(None, await_resealed)
    text = dump()
    assert "friend.old" not in text and "room.old" not in text and "foe.old" not in text and "old Capulet" not in text
    c = await login(with_key)
    await check(c, "old")
    await ok(at_home, "set", f"<query xmlns='{ROSTER}'><item jid='friend.old@localhost' name='dear old'/></query>")
    await check(at_home, "old")
    await ok(at_home, "set", f"<query xmlns='{PRIVATE}'><storage xmlns='storage:old'/></query>")
    rows = cluster.postgres.query(f"SELECT count(*) FROM router.account_data WHERE owner = (SELECT id FROM router.account WHERE bare = '{without}@localhost')")
    assert rows == "3", rows
    for x in (c, at_home):
        await x.close()


async def blocked():
    """The name of an account that was deleted and erased."""
    name = user()
    cluster.ctl("account", "delete", f"{name}@localhost")
    for _ in range(100):
        if cluster.postgres.query(f"SELECT count(*) FROM router.account WHERE bare = '{name}@localhost'") == "0":
            return name
        await asyncio.sleep(0.2)
    raise AssertionError(f"{name} was not erased")


def assert_blocked(name):
    made = cluster.ctl("account", "add", f"{name}@localhost", "--password-file", "-", stdin="x\n", check=False)
    assert made.returncode == 4, (made.returncode, made.stderr)


@limit(150)
async def test_the_storage_key_changes_under_running_clients():
    gone = await blocked()
    names = [user() for _ in range(6)]
    clients = [await login(n) for n in names]
    for n, c in zip(names, clients):
        await fill(c, f"x{n}")
    new = os.urandom(32).hex()
    cluster._secret("storage.new", new)
    cluster._secret("storage.others", f"\n{new}\n{keys[0]}\n")
    others, stop, turns = cluster.file("storage.others"), False, 0

    async def work(n, c):
        nonlocal turns
        while not stop:
            await check(c, f"x{n}")
            await ok(c, "set", f"<vCard xmlns='{VCARD}'><FN>x{n} Capulet</FN></vCard>")
            turns += 1
            await asyncio.sleep(0.05)

    workers = [asyncio.create_task(work(n, c)) for n, c in zip(names, clients)]
    try:
        for key, more in ((None, others), (cluster.file("storage.new"), others)):  # all can open with it, then all wrap with it
            for router in cluster.routers:
                configure(router, key, more)
                await restart(router)
        await asyncio.get_running_loop().run_in_executor(None, await_resealed)
        rows = storage()
        assert len(rows) == 2 and len({r["key"] for r in rows}) == 1 and all(len(r["others"].split()) == 2 for r in rows), rows
        assert all(r["keys_left"] == r["rows_left"] == r["unreadable"] == 0 for r in rows), rows
        assert_blocked(gone)  # C30: under the former key
        later = await blocked()
        for router in cluster.routers:  # the old one goes
            configure(router)
            await restart(router)
        assert_blocked(later)
        before = turns
        await asyncio.sleep(1)
        assert turns > before + len(names)
    finally:
        stop = True
    await asyncio.gather(*workers)
    for n, c in zip(names, clients):
        await check(c, f"x{n}")
        await c.close()
        c = await login(n, "again")
        await check(c, f"x{n}")
        await c.close()
    keys.insert(0, new)


def fingerprint():
    return cluster.postgres.query("SELECT md5(string_agg(owner || ':' || encode(wrapped, 'hex'), ',' ORDER BY owner)) FROM router.account_key")


@limit(90)
async def test_a_missing_key_is_said_and_nothing_written():
    router, before = cluster.routers[1], fingerprint()
    configure(router, cluster.file("storage.key"))  # the one from before
    router.terminate()
    router.start()
    router.supervised = False
    assert await asyncio.get_running_loop().run_in_executor(None, router.process.wait, 20) == 1
    assert "account keys are wrapped by a service key that is not given" in router.tail()
    assert "a key is missing in router.storage_key_file" in router.tail()
    assert fingerprint() == before
    c = await login(user())  # the other one serves all
    await fill(c, "other")
    await check(c, "other")
    await c.close()
    configure(router, cluster.file("storage.new"))
    router.start()
    await asyncio.get_running_loop().run_in_executor(None, router.wait_ready)


def test_nothing_was_wrong_underneath():
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    with Cluster(edges=1, routers=2) as cluster:
        with open(cluster.file("storage.key")) as secret:
            keys.append(secret.read())
        sys.exit(0 if run(sys.modules[__name__]) else 1)
