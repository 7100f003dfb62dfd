#!/usr/bin/python3
"""Ad-hoc commands (XEP-0050), service administration (XEP-0133) and reports to administrators (XEP-0377) over real sockets with two routers:
what an administrator does takes effect wherever the account's home is, what others try is refused and noted."""
import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, body, condition, sasl_condition  # noqa: E402
from runner import run  # noqa: E402

COMMANDS, DATA, ADMIN = "http://jabber.org/protocol/commands", "jabber:x:data", "http://jabber.org/protocol/admin"
ITEMS, INFO = "http://jabber.org/protocol/disco#items", "http://jabber.org/protocol/disco#info"
NAMES = {"add-user", "delete-user", "disable-user", "reenable-user", "end-user-session", "change-user-password", "get-registered-users-num",
         "get-disabled-users-num", "get-online-users-num", "get-registered-users-list", "get-user-lastlogin", "announce"}
cluster = None
counter = 0


def user():
    global counter
    counter += 1
    name = f"adhoc{counter}"
    cluster.add_account(name, "secret")
    return name


def client(edge=0, domain="localhost"):
    return RawClient(cluster.edges[edge].c2s, domain=domain)


async def admin():
    return await client().login("boss")


def fields(**values):
    names = {"password_verify": "password-verify"}
    return "".join(f"<field var='{names.get(k, k)}'><value>{v}</value></field>" for k, v in values.items())


async def command(c, name, form=None, to="localhost", action="", session="", timeout=20):
    payload = "" if form is None else f"<x xmlns='{DATA}' type='submit'>{form}</x>"
    attributes = (f" action='{action}'" if action else "") + (f" sessionid='{session}'" if session else "")
    return await c.iq("set", f"<command xmlns='{COMMANDS}' node='{ADMIN}#{name}'{attributes}>{payload}</command>", to, timeout=timeout)


async def done(c, name, form=None):
    result = await command(c, name, form)
    assert result.get("type") == "result", (name, condition(result))
    assert result[0].get("status") == "completed", result[0].attrib
    return {f.get("var"): [v.text for v in f] for f in result[0].iter(f"{{{DATA}}}field")}


def audit():
    lines = []
    for router in cluster.routers:
        with open(router.log) as file:
            lines += [line for line in file if "category=audit" in line]
    return lines


async def test_commands_are_found_by_who_may_run_them():
    boss, other = await admin(), await client(1).login(user())
    for c, wanted in ((boss, NAMES), (other, set())):
        items = (await c.iq("get", f"<query xmlns='{ITEMS}' node='{COMMANDS}'/>", "localhost"))[0]
        assert {item.get("node").partition("#")[2] for item in items} == wanted
        info = (await c.iq("get", f"<query xmlns='{INFO}'/>", "localhost"))[0]
        assert COMMANDS in [f.get("var") for f in info]
    info = (await boss.iq("get", f"<query xmlns='{INFO}' node='{ADMIN}#add-user'/>", "localhost"))[0]
    assert info[0].get("category") == "automation" and info[0].get("type") == "command-node"
    assert condition(await other.iq("get", f"<query xmlns='{INFO}' node='{ADMIN}#add-user'/>", "localhost")) == "forbidden"
    assert condition(await boss.iq("get", f"<query xmlns='{INFO}' node='none'/>", "localhost")) == "item-not-found"
    await boss.close()
    await other.close()


async def test_others_may_not_and_it_is_noted():
    victim, name = user(), user()
    other = await client(1).login(name)
    cluster.add_account("boss", "secret", "any.localhost")
    namesake = await client(0, "any.localhost").login("boss", mechanism="PLAIN")
    before = len(audit())
    tried = 0
    for c, to in ((other, "localhost"), (namesake, "any.localhost"), (namesake, "localhost")):
        for command_name in sorted(NAMES):
            refused = await command(c, command_name, fields(accountjids=f"{victim}@localhost", accountjid=f"{victim}@localhost", password="x"), to)
            assert condition(refused) == "forbidden", (command_name, condition(refused))
            tried += 1
    noted = audit()[before:]
    assert len(noted) == tried and all("outcome=forbidden" in line for line in noted), len(noted)
    still = await client().login(victim)
    for c in (other, namesake, still):
        await c.close()


async def test_forms_and_actions():
    boss = await admin()
    asked = (await command(boss, "add-user"))[0]
    assert asked.get("status") == "executing" and asked.get("sessionid")
    form = asked.find(f"{{{DATA}}}x")
    assert form.get("type") == "form" and [f.get("var") for f in form.iter(f"{{{DATA}}}field")][0] == "FORM_TYPE"
    canceled = (await command(boss, "add-user", action="cancel", session=asked.get("sessionid")))[0]
    assert canceled.get("status") == "canceled" and canceled.get("sessionid") == asked.get("sessionid")
    for action in ("prev", "unheard-of"):
        assert condition(await command(boss, "add-user", action=action)) == "bad-request"
    assert condition(await command(boss, "no-such-command")) == "item-not-found"
    many = "".join(f"<field var='f{i}'/>" for i in range(101))
    assert condition(await command(boss, "add-user", many)) == "bad-request"
    await boss.close()


async def test_an_account_from_its_beginning_to_its_end():
    boss, name = await admin(), "newcomer"
    jid = f"{name}@localhost"
    before = int((await done(boss, "get-registered-users-num"))["registeredusersnum"][0])
    await done(boss, "add-user", fields(accountjid=jid, password="first", password_verify="first"))
    assert condition(await command(boss, "add-user", fields(accountjid=jid, password="x", password_verify="x"))) == "conflict"
    assert int((await done(boss, "get-registered-users-num"))["registeredusersnum"][0]) == before + 1
    assert jid in (await done(boss, "get-registered-users-list", fields(max_items="none")))["registereduserjids"]
    c = await client(1).login(name, "first")
    await done(boss, "change-user-password", fields(accountjid=jid, password="second"))
    await c.close()
    old = client()
    await old.secure()
    assert sasl_condition(await old.scram(name, "first")) == "not-authorized"
    old.abort()
    c = await client(1).login(name, "second")
    await done(boss, "end-user-session", fields(accountjids=jid))
    await c.expect_error("policy-violation")
    c = await client(0).login(name, "second")
    await done(boss, "disable-user", fields(accountjids=jid))
    await c.expect_error("not-authorized")
    assert (await done(boss, "get-disabled-users-num"))["disabledusersnum"] == ["1"]
    shut = client()
    await shut.secure()
    assert sasl_condition(await shut.scram(name, "second")) == "account-disabled"
    shut.abort()
    await done(boss, "reenable-user", fields(accountjids=jid))
    c = await client(1).login(name, "second")
    await done(boss, "delete-user", fields(accountjids=jid))
    await c.expect_error("not-authorized")
    assert condition(await command(boss, "delete-user", fields(accountjids=jid))) == "item-not-found"
    assert condition(await command(boss, "add-user", fields(accountjid=jid, password="x", password_verify="x"))) == "conflict", "C30"
    lines = [line for line in audit() if "outcome=done" in line]
    for command_name in ("add-user", "change-user-password", "end-user-session", "disable-user", "reenable-user", "delete-user"):
        assert any(f"#{command_name}" in line and f"target={jid}" in line and "by=boss@localhost" in line for line in lines), command_name
    assert not any("second" in line or "first" in line for line in audit()), "no password in a log"
    await boss.close()


async def test_what_makes_no_sense_is_refused():
    boss = await admin()
    for command_name, form, wanted in (
            ("delete-user", fields(accountjids="boss@localhost"), "not-allowed"),
            ("disable-user", fields(accountjids="boss@localhost"), "not-allowed"),
            ("delete-user", fields(accountjids="x@elsewhere.example"), "item-not-found"),
            ("delete-user", fields(accountjids="nobody@localhost"), "item-not-found"),
            ("delete-user", fields(accountjids="a@b@c"), "jid-malformed"),
            ("delete-user", "", "bad-request"),
            ("add-user", fields(accountjid="x@localhost", password="1", password_verify="2"), "not-acceptable"),
            ("add-user", fields(accountjid="x@localhost"), "not-acceptable"),
            ("get-registered-users-list", fields(max_items="0"), "not-acceptable")):
        refused = await command(boss, command_name, form)
        assert condition(refused) == wanted, (command_name, form, condition(refused))
    await boss.close()


async def test_accounts_online_are_counted_over_all_routers():
    boss = await admin()

    async def count():
        return int((await done(boss, "get-online-users-num"))["onlineusersnum"][0])

    async def becomes(wanted):
        deadline = asyncio.get_running_loop().time() + 15
        while await count() != wanted:
            assert asyncio.get_running_loop().time() < deadline, (await count(), wanted)
            await asyncio.sleep(0.3)

    await becomes(1)
    clients = [await client(i % 2).login(user()) for i in range(8)]  # homes on both routers, but for 1 in 128
    clients.append(await client(0).login(f"adhoc{counter}", resource="second"))
    await becomes(9)
    for c in clients:
        await c.close()
    await becomes(1)
    await boss.close()


async def test_reports_reach_administrators():
    a = user()
    boss, c = await admin(), await client(1).login(a)
    report = "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'><text>buy &lt;now&gt;</text></report>"
    answer = await c.iq("set", f"<block xmlns='urn:xmpp:blocking'><item jid='eve@evil.example'>{report}</item></block>")
    assert answer.get("type") == "result"
    heard = await boss.get_where(lambda e: e.tag == f"{{{CLIENT}}}message")
    assert heard.get("from") == "localhost"
    assert body(heard) == f"{a}@localhost has blocked and reported eve@evil.example (urn:xmpp:reporting:spam): buy <now>"
    await boss.close()
    await c.iq("set", f"<block xmlns='urn:xmpp:blocking'><item jid='mallory@evil.example'>{report}</item></block>")
    await c.close()
    boss = await admin()
    heard = await boss.get_where(lambda e: e.tag == f"{{{CLIENT}}}message")
    assert "mallory@evil.example" in body(heard), "kept while nobody was there"
    await boss.close()


def test_nothing_was_wrong_underneath():
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    with Cluster(edges=2, routers=2, config={"all": {"admin": {"accounts": ["boss@localhost"]}}}) as cluster:
        cluster.add_account("boss", "secret")
        sys.exit(0 if run(sys.modules[__name__]) else 1)
