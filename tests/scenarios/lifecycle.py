#!/usr/bin/python3
"""An account from its welcome to its tombstone, over real sockets with two routers: days of logins, inactive accounts, notices, what remains
after the end (nothing), and who may do what to whom (C28, C29, C30)."""
import asyncio
import os
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, body, condition, sasl_condition  # noqa: E402
from runner import run  # noqa: E402
from sasl2client import Sasl2Client, bind, token_of, wish  # noqa: E402

COMMANDS, DATA, ADMIN = "http://jabber.org/protocol/commands", "jabber:x:data", "http://jabber.org/protocol/admin"
REGISTER, ROSTER = "jabber:iq:register", "jabber:iq:roster"
cluster = None
counter = 0


def fresh(prefix="life"):
    global counter
    counter += 1
    return f"{prefix}{counter}"


def user(prefix="life"):
    name = fresh(prefix)
    cluster.add_account(name, "secret")
    return name


def client(edge=0, domain="localhost"):
    return RawClient(cluster.edges[edge].c2s, domain=domain)


def presence(kind):
    return lambda e: e.tag == f"{{{CLIENT}}}presence" and e.get("type") == kind


def is_message(e):
    return e.tag == f"{{{CLIENT}}}message"


def fields(**values):
    names = {"password_verify": "password-verify"}
    text = ""
    for key, value in values.items():
        several = value if isinstance(value, list) else [value]
        text += f"<field var='{names.get(key, key)}'>" + "".join(f"<value>{v}</value>" for v in several) + "</field>"
    return text


async def command(c, name, form=None, to="localhost", timeout=20):
    payload = "" if form is None else f"<x xmlns='{DATA}' type='submit'>{form}</x>"
    return await c.iq("set", f"<command xmlns='{COMMANDS}' node='{ADMIN}#{name}'>{payload}</command>", to, timeout=timeout)


async def done(c, name, form=None):
    result = await command(c, name, form)
    assert result.get("type") == "result", (name, condition(result))
    assert result[0].get("status") == "completed", result[0].attrib
    return result[0]


def values_of(element):
    return {f.get("var"): [v.text for v in f] for f in element.iter(f"{{{DATA}}}field")}


async def register(name, password="secret", edge=0):
    """In-band, before authentication. Returns the answer."""
    c = client(edge)
    await c.secure()
    answer = await c.iq("set", f"<query xmlns='{REGISTER}'><username>{name}</username><password>{password}</password></query>")
    await c.close()
    return answer


def sql(text):
    return cluster.postgres.query(text)


def account_id(name):
    return sql(f"SELECT id FROM router.account WHERE bare = '{name}@localhost'")


async def until(check, seconds=20):
    deadline = asyncio.get_running_loop().time() + seconds
    while not check():
        assert asyncio.get_running_loop().time() < deadline, check
        await asyncio.sleep(0.1)


async def erased(ident):
    await until(lambda: sql(f"SELECT count(*) FROM router.account WHERE id = {ident}") == "0", 30)


def everything_in_postgres():
    """Each table of both schemas with its rows as text, bytea also as what it would be as text."""
    tables = sql("SELECT table_schema || '.' || table_name FROM information_schema.tables"
                 " WHERE table_schema IN ('router', 'archive') AND table_type = 'BASE TABLE'").split()
    assert {"router.account", "router.roster", "archive.message", "archive.session_input", "router.tombstone"} <= set(tables), tables
    return {table: sql(f"SELECT row_to_json(t)::text FROM {table} t").splitlines() for table in tables}


def owners_of(table):
    return sql(f"SELECT column_name FROM information_schema.columns WHERE table_schema || '.' || table_name = '{table}'"
               " AND column_name = 'owner' AND data_type = 'bigint'")


def everything_in_redis():
    def ask_redis(*args):
        out = subprocess.run(["redis-cli", "-s", cluster.redis.socket, *args], capture_output=True, check=True)
        return out.stdout.decode(errors="replace").strip()  # values are binary

    found = {}
    for key in ask_redis("KEYS", "*").split():
        kind = ask_redis("TYPE", key)
        if kind == "none":
            continue
        ask = {"string": ("GET", key), "hash": ("HGETALL", key), "list": ("LRANGE", key, "0", "-1"), "set": ("SMEMBERS", key),
               "zset": ("ZRANGE", key, "0", "-1")}[kind]
        found[key] = ask_redis(*ask)
    return found


def traces(name, ident):
    """Where the account is still found: by its name (in text, or as bytes in hex), or by its id."""
    found = []
    marks = (name, name.encode().hex())
    for table, rows in everything_in_postgres().items():
        found += [f"{table}: {row[:200]}" for row in rows if any(mark in row for mark in marks)]
        if owners_of(table) and sql(f"SELECT count(*) FROM {table} WHERE owner = {ident}") != "0":
            found.append(f"{table}: rows of owner {ident}")
    for key, value in everything_in_redis().items():
        if name in key or name in value:
            found.append(f"redis {key}")
    return found


async def subscribe_both(a, b, bare_a, bare_b):
    for c, other, to in ((a, b, bare_b), (b, a, bare_a)):
        c.send(f"<presence type='subscribe' to='{to}'/>")
        request = await other.get_where(presence("subscribe"))
        other.send(f"<presence type='subscribed' to='{request.get('from')}'/>")
        await c.get_where(presence("subscribed"))


async def furnish(name, contact):
    """Gives the account one of everything. Returns its live client and its contact's."""
    jid = f"{name}@localhost"
    c, other = await client().login(name, resource="live"), await client(1).login(contact)
    for one in (c, other):
        await one.iq("get", f"<query xmlns='{ROSTER}'/>")
    await subscribe_both(c, other, jid, f"{contact}@localhost")
    for payload in ("<query xmlns='jabber:iq:private'><x xmlns='test:lifecycle'>private</x></query>",
                    "<vCard xmlns='vcard-temp'><FN>Somebody</FN></vCard>",
                    "<block xmlns='urn:xmpp:blocking'><item jid='eve@evil.example'/></block>"):
        assert (await c.iq("set", payload)).get("type") == "result"
    fast = Sasl2Client(cluster.edges[1].c2s)
    await fast.secure()
    assert token_of(await fast.scram2(name, inline=bind() + wish()))
    detached = await client(1).login_managed(name, resource="gone")
    detached.answers_requests = False
    other.message(f"{jid}/gone", "to a session that has lost its connection")
    await detached.get_where(is_message)
    detached.abort()
    await fast.close()
    return c, other


async def make_offline_messages(name, other):
    for i in range(3):
        other.message(f"{name}@localhost", f"kept {i}")
    ident = account_id(name)
    await until(lambda: int(sql(f"SELECT count(*) FROM archive.message WHERE owner = {ident}")) >= 3)


async def test_erase_leaves_nothing_but_a_tombstone():
    """C30: with every kind of thing an account may own, ended by each of the ways there are."""
    boss = await client().login("boss")

    async def cancel(c, jid):
        assert (await c.iq("set", f"<query xmlns='{REGISTER}'><remove/></query>")).get("type") == "result"

    async def by_admin(c, jid):
        await done(boss, "delete-user", fields(accountjids=jid))

    async def by_tool(c, jid):
        cluster.ctl("account", "delete", jid)

    for end in (cancel, by_admin, by_tool):
        name, contact = user("doomed"), user("contact")
        c, other = await furnish(name, contact)
        ident = account_id(name)
        c.send("<presence><priority>-1</priority></presence>")
        await make_offline_messages(name, other)
        before = traces(name, ident)
        for wanted in ("router.account:", "router.credential:", "router.roster:", "router.account_key:", "router.account_data:",
                       "router.fast_client:", "archive.session_input:", "archive.message_", f"redis s:{{{name}@localhost}}",
                       f"redis q:{{{name}@localhost}}", "redis live:", f"redis p:{{{name}@localhost}}"):
            assert any(trace.startswith(wanted) for trace in before), (end.__name__, wanted, before)
        await end(c, f"{name}@localhost")
        await c.expect_error("not-authorized")
        for kind in ("unsubscribe", "unsubscribed"):
            heard = await other.get_where(presence(kind))
            assert heard.get("from") == f"{name}@localhost", heard.attrib
        await erased(ident)
        await until(lambda: not traces(name, ident), 10)
        items = (await other.iq("get", f"<query xmlns='{ROSTER}'/>"))[0]
        assert [i.get("subscription") for i in items] == ["none"], [i.attrib for i in items]
        stones = sql("SELECT octet_length(name), until - current_date FROM router.tombstone").split()
        assert stones and all(stone == "32|30" for stone in stones), stones
        await other.close()
    await boss.close()


def test_nothing_was_wrong_underneath():
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


CONFIG = {
    "admin": {"accounts": ["boss@localhost"]},
    "accounts": [{"host": "localhost", "inactive_warn_days": 100, "inactive_disable_days": 130, "inactive_delete_days": 200,
                  "inactive_text": "Use it or lose it", "welcome_subject": "Hello", "welcome_text": "Welcome & have fun", "tell_admins": True}],
}

if __name__ == "__main__":
    with Cluster(edges=2, routers=2, config={"all": CONFIG}) as cluster:
        cluster.add_account("boss", "secret")
        sys.exit(0 if run(sys.modules[__name__]) else 1)
