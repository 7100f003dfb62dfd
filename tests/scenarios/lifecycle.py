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
from runner import limit, run  # noqa: E402
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
                       f"redis u:{{{name}@localhost}}", "redis live:", f"redis p:{{{name}@localhost}}"):
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


async def nobody_takes(name, boss):
    """C30: by none of the ways there are."""
    assert condition(await register(name)) == "conflict"
    answer = await command(boss, "add-user", fields(accountjid=f"{name}@localhost", password="x", password_verify="x"))
    assert condition(answer) == "conflict", condition(answer)
    made = cluster.ctl("account", "add", f"{name}@localhost", "--password-file", "-", stdin="x\n", check=False)
    assert made.returncode == 4, (made.returncode, made.stderr)


async def test_a_new_account_of_that_name_inherits_nothing():
    """C30"""
    boss, name, contact = await client().login("boss"), user("again"), user("contact")
    jid = f"{name}@localhost"
    c, other = await furnish(name, contact)
    fast = Sasl2Client(cluster.edges[0].c2s)
    await fast.secure()
    token = token_of(await fast.scram2(name, inline=bind() + wish()))
    await fast.close()
    old = account_id(name)
    assert (await c.iq("set", f"<query xmlns='{REGISTER}'><remove/></query>")).get("type") == "result"
    other.message(jid, "to nobody")
    await erased(old)
    await nobody_takes(name, boss)
    sql("UPDATE router.tombstone SET until = current_date")
    assert (await register(name, "another")).get("type") == "result"
    assert account_id(name) != old
    c = await client(1).login(name, "another")
    assert len((await c.iq("get", f"<query xmlns='{ROSTER}'/>"))[0]) == 0
    private = await c.iq("get", "<query xmlns='jabber:iq:private'><x xmlns='test:lifecycle'/></query>")
    assert private[0][0].text is None
    assert len((await c.iq("get", "<blocklist xmlns='urn:xmpp:blocking'/>"))[0]) == 0
    vcard = await c.iq("get", "<vCard xmlns='vcard-temp'/>")
    assert condition(vcard) == "item-not-found" or len(vcard[0]) == 0, vcard
    heard = await c.get_where(is_message)
    assert body(heard) == "Welcome & have fun", "no message of the former one"
    thief = Sasl2Client(cluster.edges[0].c2s, ident=fast.ident)
    await thief.secure()
    assert (await thief.token2(name, token, inline=bind())).tag.endswith("}failure")
    await thief.close()
    assert sql(f"SELECT count(*) FROM router.fast_client WHERE owner = {account_id(name)}") == "0"
    for one in (c, other, boss):
        await one.close()


@limit(120)
async def test_an_erasure_is_not_forgotten():
    """archive-svc is away when the account goes, and then its router dies, too."""
    name, contact = user("doomed"), user("contact")
    c, other = await furnish(name, contact)
    c.send("<presence><priority>-1</priority></presence>")
    await make_offline_messages(name, other)
    ident = account_id(name)
    cluster.archives[0].kill(restart=False)
    cluster.ctl("account", "delete", f"{name}@localhost")
    await c.expect_error("not-authorized")
    await asyncio.sleep(2)
    assert sql(f"SELECT state FROM router.account WHERE id = {ident}") == "2"
    assert int(sql(f"SELECT count(*) FROM archive.message WHERE owner = {ident}")) >= 3
    assert condition(await register(name)) == "conflict", "the name is blocked meanwhile"
    for router in cluster.routers:
        router.kill()
    await other.close()
    cluster.archives[0].start()
    cluster.archives[0].wait_ready()
    for router in cluster.routers:
        router.wait_ready()
    await erased(ident)
    await until(lambda: not traces(name, ident), 15)


async def test_sessions_nobody_has_in_memory_are_erased():
    """Redis keeps what a killed router knew; and while it is away the erasure waits."""
    name = user("doomed")
    detached = await client(1).login_managed(name, resource="gone")
    detached.abort()
    ident = account_id(name)
    await until(lambda: any(trace.startswith("redis s:") for trace in traces(name, ident)))
    for router in cluster.routers:
        router.kill()
    for router in cluster.routers:
        router.wait_ready()
    cluster.ctl("account", "delete", f"{name}@localhost")
    await erased(ident)
    await until(lambda: not traces(name, ident), 10)
    boss, name = await client().login("boss"), user("doomed")
    ident = account_id(name)
    cluster.redis.stop()
    await done(boss, "delete-user", fields(accountjids=f"{name}@localhost"))
    await asyncio.sleep(1.5)
    assert sql(f"SELECT state FROM router.account WHERE id = {ident}") == "2"
    cluster.redis.start()
    await erased(ident)
    await boss.close()


async def test_a_login_is_a_day_and_no_more():
    boss, name = await client().login("boss"), user()
    jid = f"{name}@localhost"
    kinds = sql("SELECT column_name || ' ' || data_type FROM information_schema.columns"
                " WHERE table_schema = 'router' AND table_name = 'account'").splitlines()
    assert "last_login date" in kinds and not any("time" in kind for kind in kinds), kinds
    assert values_of(await done(boss, "get-user-lastlogin", fields(accountjids=jid)))["lastlogin"] == [None]
    sql(f"UPDATE router.account SET counted_from = counted_from - 50, inactive_stage = 1 WHERE bare = '{jid}'")
    c = await client(1).login(name)
    today = sql("SELECT current_date")
    await until(lambda: sql(f"SELECT last_login, current_date - counted_from, inactive_stage FROM router.account WHERE bare = '{jid}'")
                == f"{today}|0|0")
    version = sql(f"SELECT xmin FROM router.account WHERE bare = '{jid}'")
    other = Sasl2Client(cluster.edges[0].c2s)
    await other.secure()
    assert (await other.scram2(name, inline=bind())).tag.endswith("}success")
    await asyncio.sleep(3)
    assert sql(f"SELECT xmin FROM router.account WHERE bare = '{jid}'") == version, "written once a day"
    assert values_of(await done(boss, "get-user-lastlogin", fields(accountjids=jid)))["lastlogin"] == [today]
    assert condition(await command(boss, "get-user-lastlogin", fields(accountjids="nobody@localhost"))) == "item-not-found"
    assert today in cluster.ctl("account", "list", "localhost").stdout
    for one in (boss, c, other):
        await one.close()


async def test_new_accounts_are_welcomed_and_administrators_told():
    boss = await client().login("boss")
    names = [fresh("new") for _ in range(3)]
    assert (await register(names[0])).get("type") == "result"
    heard = await boss.get_where(lambda e: is_message(e) and names[0] in (body(e) or ""))
    assert heard.get("from") == "localhost" and body(heard) == f"{names[0]}@localhost was registered", body(heard)
    await done(boss, "add-user", fields(accountjid=f"{names[1]}@localhost", password="secret", password_verify="secret"))
    cluster.add_account(names[2])
    for name in names:
        await until(lambda name=name: sql(f"SELECT count(*) FROM archive.message WHERE owner = {account_id(name)}") == "1")
        c = await client(1).login(name)
        heard = await c.get_where(is_message)
        assert heard.get("from") == "localhost" and body(heard) == "Welcome & have fun", body(heard)
        assert heard.findtext(f"{{{CLIENT}}}subject") == "Hello"
        assert heard.find("{urn:xmpp:sid:0}stanza-id").get("by") == f"{name}@localhost"
        await c.close()
        assert sql(f"SELECT count(*) FROM router.account_notice WHERE owner = {account_id(name)}") == "0"
    c = await client(0).login(names[0])
    c.send("<iq type='get' id='last'><query xmlns='jabber:iq:last'/></iq>")
    seen = await c.get_where(lambda e: is_message(e) or e.get("id") == "last")
    assert not is_message(seen), "welcomed twice"
    await c.close()
    await boss.close()


async def test_registration_changes_nobody_else():
    """C28"""
    victim, name = user("victim"), user()
    before = sql(f"SELECT md5(string_agg(stored_key::text, '')) FROM router.credential WHERE owner = {account_id(victim)}")
    c = await client().login(name)
    for payload, to, wanted in (
            (f"<username>{victim}</username><password>stolen</password>", "localhost", {"forbidden"}),
            (f"<username>{victim.upper()}</username><password>stolen</password>", None, {"forbidden"}),
            (f"<username>{name}</username><password>stolen</password>", f"{victim}@localhost", {"service-unavailable", "forbidden"}),
            ("<remove/>", f"{victim}@localhost", {"service-unavailable", "forbidden"}),
            (f"<remove/><username>{victim}</username>", "localhost", {"bad-request"})):
        answer = await c.iq("set", f"<query xmlns='{REGISTER}'>{payload}</query>", to)
        assert condition(answer) in wanted, (payload, to, condition(answer))
    # As somebody else: the stream ends, and so nothing is done.
    c.send(f"<iq type='set' id='spoof' from='{victim}@localhost'><query xmlns='{REGISTER}'><remove/></query></iq>")
    await c.expect_error("invalid-from")
    c = client()
    await c.secure()
    stale = f"<x xmlns='{DATA}' type='submit'>{fields(username=victim, password='stolen', ocr='x', challenge='long-gone')}</x>"
    for payload, wanted in (("<remove/>", "registration-required"), (stale, "not-acceptable"),
                            (f"<username>{victim}</username>", "not-acceptable")):
        answer = await c.iq("set", f"<query xmlns='{REGISTER}'>{payload}</query>")
        assert condition(answer) == wanted, (payload, condition(answer))
    await c.close()
    assert condition(await register(victim, "stolen")) == "conflict"
    plain = client()  # without TLS it is not even offered
    await plain.connect()
    features = await plain.open()
    assert not any("register" in e.tag for e in features), [e.tag for e in features]
    plain.send(f"<iq type='set' id='r'><query xmlns='{REGISTER}'><username>{fresh()}</username><password>x</password></query></iq>")
    await plain.expect_error("not-authorized")
    after = sql(f"SELECT md5(string_agg(stored_key::text, '')) FROM router.credential WHERE owner = {account_id(victim)}")
    assert before == after
    await (await client().login(victim)).close()


async def test_names_that_look_like_others_cannot_be_registered():
    """C33: the same normal form is the same name; letters of other scripts among Latin ones are not acceptable; what looks like an account of the
    host is a conflict, whoever made that one, until it is erased, and also when it is from before there were marks. An administrator may."""
    boss, name = await client().login("boss"), user("paypal")
    for other in (name.upper(), "\uff50" + name[1:], name.replace("l", "\uff4c")):
        assert condition(await register(other)) == "conflict", other
    for other in ("p\u0430ypal", "payp\u0430l" + name, "\u03c1aypal"):
        assert condition(await register(other)) == "not-acceptable", other
    for other in ("pay\u200dpal", "pay pal", "pay@pal", "pay\u2028pal", "\u0627abc\u0378", "x" * 1024):
        assert condition(await register(other)) in ("jid-malformed", "not-acceptable"), other
    assert (await register("\u043f\u0430\u0443\u0440\u0430\u04cf")).get("type") == "result", "a name in one script is one"
    await done(boss, "add-user", fields(accountjid="p\u0430ypal@localhost", password="x", password_verify="x"))

    look_alike = name.replace("paypal", "paypa1")
    assert condition(await register(look_alike)) == "conflict"  # of one that starlingctl made
    assert sql(f"SELECT count(*) FROM router.account WHERE bare = '{look_alike}@localhost'") == "0"
    first, second = name + "modern", name + "modem"
    assert (await register(first)).get("type") == "result"
    assert condition(await register(second, edge=1)) == "conflict"  # of one that was registered
    await done(boss, "add-user", fields(accountjid=f"{look_alike}@localhost", password="x", password_verify="x"))
    cluster.add_account(second, "secret")
    await (await client().login(second)).close()
    made = name + "burn"
    await done(boss, "add-user", fields(accountjid=f"{made}@localhost", password="x", password_verify="x"))
    assert condition(await register(name + "bum")) == "conflict"  # of one that an administrator made
    assert sql(f"SELECT count(DISTINCT look_alike) FROM router.account WHERE bare IN ('{name}@localhost', '{look_alike}@localhost')") == "1"
    await boss.close()


async def test_accounts_from_before_get_marks_of_their_look_alikes():
    """C33: what an older version has made (NULL) is found at the start of a router; afterwards its look-alikes are refused."""
    name = user("old-modern")
    sql(f"UPDATE router.account SET look_alike = NULL WHERE bare = '{name}@localhost'")
    cluster.routers[1].kill()
    await until(lambda: sql(f"SELECT look_alike IS NULL FROM router.account WHERE bare = '{name}@localhost'") == "f", 40)
    await asyncio.to_thread(cluster.routers[1].wait_ready)
    assert condition(await register(name.replace("rn", "m"))) == "conflict"


def audit():
    lines = []
    for router in cluster.routers:
        with open(router.log) as file:
            lines += [line for line in file if "category=audit" in line]
    return lines


async def test_only_administrators_administrate():
    """C29: not a user, not a namesake elsewhere, not somebody who says to be one."""
    victim, name = user("victim"), user()
    cluster.add_account("boss", "secret", "any.localhost")
    other, namesake = await client(1).login(name), await client(0, "any.localhost").login("boss", mechanism="PLAIN")
    before = set(audit())
    form = fields(accountjids=[f"{victim}@localhost", f"{name}@localhost"], announcement="Fear me")
    for c in (other, namesake):
        for command_name in ("delete-user", "disable-user", "get-user-lastlogin", "announce"):
            assert condition(await command(c, command_name, form)) == "forbidden", command_name
    noted = [line for line in audit() if line not in before]
    assert len(noted) == 8 and all("outcome=forbidden" in line for line in noted), noted
    assert sum("by=boss@any.localhost" in line for line in noted) == 4, noted
    node = f"node='{ADMIN}#delete-user'"
    other.send(f"<iq type='set' id='spoof' from='boss@localhost/x' to='localhost'><command xmlns='{COMMANDS}' {node}>"
               f"<x xmlns='{DATA}' type='submit'>{form}</x></command></iq>")
    await other.expect_error("invalid-from")
    await namesake.close()
    assert sql(f"SELECT state FROM router.account WHERE bare = '{victim}@localhost'") == "0"


async def test_several_accounts_in_one_command():
    boss = await client().login("boss")
    names = [user() for _ in range(4)]
    jids = [f"{name}@localhost" for name in names]
    sessions = [await client(i % 2).login(name) for i, name in enumerate(names)]
    answer = await done(boss, "disable-user", fields(accountjids=jids + ["nobody@localhost"]))
    note = answer.find(f"{{{COMMANDS}}}note")
    assert note.get("type") == "warn" and note.text == "Not done for nobody@localhost", note.text
    for c in sessions:
        await c.expect_error("not-authorized")
    await done(boss, "reenable-user", fields(accountjids=jids))
    await (await client().login(names[3])).close()
    idents = [account_id(name) for name in names]
    before = set(audit())
    assert condition(await command(boss, "delete-user", fields(accountjids=[jids[0], "boss@localhost"]))) == "not-allowed"
    await done(boss, "delete-user", fields(accountjids=jids))
    noted = [line for line in audit() if line not in before and "outcome=done" in line]
    assert all(any(f"target={jid}" in line for line in noted) for jid in jids), noted
    for ident in idents:
        await erased(ident)
    assert condition(await command(boss, "delete-user", fields(accountjids=jids))) == "item-not-found"
    await boss.close()


async def test_announcements_reach_who_is_online():
    boss = await client().login("boss")
    users = [await client(i % 2).login(user()) for i in range(6)]  # homes on both routers, but for 1 in 32
    away = user()
    cluster.add_account("guest", "secret", "any.localhost")
    guest = await client(0, "any.localhost").login("guest", mechanism="PLAIN")
    await done(boss, "announce", fields(subject="Soon", announcement=["We go down", "for a <b>".replace("<", "&lt;").replace(">", "&gt;")]))
    for c in users + [boss]:
        heard = await c.get_where(lambda e: is_message(e) and e.get("type") == "headline")
        assert heard.get("from") == "localhost" and body(heard) == "We go down\nfor a <b>", body(heard)
    for c in (guest, await client().login(away)):
        await c.iq("get", "<query xmlns='jabber:iq:version'/>", c.domain)
        c.send("<iq type='get' id='last'><query xmlns='jabber:iq:last'/></iq>")
        while True:
            seen = await c.get_where(lambda e: is_message(e) or e.get("id") == "last")
            if not is_message(seen):
                break
            assert seen.get("type") != "headline", body(seen)
        await c.close()
    assert condition(await command(boss, "announce", fields(subject="x"))) == "not-acceptable"
    for c in users + [boss]:
        await c.close()


def sweep():
    with open(cluster.file("http.token")) as file:
        token = file.read().strip()
    for router in cluster.routers:
        request = urllib.request.Request(f"http://127.0.0.1:{router.http}/v1/sweep-accounts", data=b"", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 202


def pass_days(days, *names):
    for name in names:
        sql(f"UPDATE router.account SET counted_from = counted_from - {days}, stage_day = stage_day - {days} WHERE bare = '{name}@localhost'")


def stage(name):
    return sql(f"SELECT state || '|' || inactive_stage FROM router.account WHERE bare = '{name}@localhost'")


def days_away(name):
    return sql(f"SELECT current_date - counted_from FROM router.account WHERE bare = '{name}@localhost'")


@limit(180)
async def test_inactive_accounts_are_warned_disabled_and_deleted():
    """Each stage at its time and once; who logs in, or is there, begins anew."""
    back, lost, there = user("back"), user("lost"), user("there")
    c = await client().login(there)
    for name in (back, lost):
        await (await client().login(name)).close()
        await until(lambda name=name: sql(f"SELECT last_login = current_date FROM router.account WHERE bare = '{name}@localhost'") == "t")
    await until(lambda: sql(f"SELECT last_login = current_date FROM router.account WHERE bare = '{there}@localhost'") == "t")
    pass_days(99, back, lost, there)
    sweep()
    await asyncio.sleep(1)
    assert stage(back) == stage(lost) == "0|0"
    pass_days(1, back, lost, there)
    # A router that has just become the home of a shard leaves its accounts alone until every session can have been announced again, each router at
    # its own time: all three are waited for together.
    deadline = asyncio.get_running_loop().time() + 80
    while (stage(back), stage(lost), days_away(there)) != ("0|1", "0|1", "0"):
        assert asyncio.get_running_loop().time() < deadline, (stage(back), stage(lost), days_away(there))
        sweep()
        await asyncio.sleep(1)
    assert stage(there) == "0|0"
    sweep()
    await asyncio.sleep(1)
    returned = await client(1).login(back)
    texts = []
    while "Use it or lose it" not in texts:
        heard = await returned.get_where(is_message)
        texts.append(body(heard))
    assert heard.get("from") == "localhost" and heard.find("{urn:xmpp:sid:0}stanza-id") is not None
    answer = asyncio.ensure_future(returned.get_where(is_message, 2))
    try:
        raise AssertionError(f"told twice: {body(await answer)}")
    except asyncio.TimeoutError:
        pass
    await until(lambda: stage(back) == "0|0")
    pass_days(29, lost)
    sweep()
    await asyncio.sleep(1)
    assert stage(lost) == "0|1", "not before its time"
    pass_days(1, lost)
    sweep()
    await until(lambda: stage(lost) == "1|2")
    shut = client()
    await shut.secure()
    assert sasl_condition(await shut.scram(lost, "secret")) == "account-disabled"
    shut.abort()
    ident = account_id(lost)
    pass_days(69, lost)
    sweep()
    await asyncio.sleep(1)
    assert stage(lost) == "1|2"
    pass_days(1, lost)
    sweep()
    await erased(ident)
    assert not traces(lost, ident), traces(lost, ident)
    assert condition(await register(lost)) == "conflict"
    await c.close()
    await returned.close()


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
