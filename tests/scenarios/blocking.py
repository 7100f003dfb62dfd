#!/usr/bin/python3
"""The blocking command (XEP-0191) over real sockets: the list on several devices, what it stops in both directions, limits, and that it is in
force after everything was restarted."""
import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, body, condition  # noqa: E402
from runner import run  # noqa: E402

BLOCKING, ERRORS = "urn:xmpp:blocking", "urn:xmpp:blocking:errors"
MAX_ITEMS = 50
cluster = None
counter = 0


def user():
    global counter
    counter += 1
    name = f"block{counter}"
    cluster.add_account(name, "secret")
    return name


def client(edge=0):
    return RawClient(cluster.edges[edge].c2s)


def items(*jids):
    return "".join(f"<item jid='{jid}'/>" for jid in jids)


async def block(c, *jids, timeout=10):
    return await c.iq("set", f"<block xmlns='{BLOCKING}'>{items(*jids)}</block>", timeout=timeout)


async def unblock(c, *jids):
    return await c.iq("set", f"<unblock xmlns='{BLOCKING}'>{items(*jids)}</unblock>")


async def blocked(c, timeout=10):
    result = await c.iq("get", f"<blocklist xmlns='{BLOCKING}'/>", timeout=timeout)
    assert result.get("type") == "result" and result[0].tag == f"{{{BLOCKING}}}blocklist"
    return [item.get("jid") for item in result[0]]


def is_message(element):
    return element.tag == f"{{{CLIENT}}}message"


async def next_push(c):
    element = await c.get_where(lambda e: e.tag == f"{{{CLIENT}}}iq" and e.get("type") == "set")
    c.send(f"<iq type='result' id='{element.get('id')}'/>")
    return element[0].tag.split("}")[1], [item.get("jid") for item in element[0]]


async def nothing_more(c, accept=lambda e: e.tag != f"{{{CLIENT}}}presence", settle=0.5):
    try:
        element = await c.get_where(accept, settle)
    except asyncio.TimeoutError:
        return
    raise AssertionError(f"unexpected {element.tag} {element.attrib}")


async def close(*clients):
    for c in clients:
        await c.close()


async def test_disco_tells_of_it():
    c = await client().login(user())
    info = await c.iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", "localhost")
    assert BLOCKING in [e.get("var") for e in info[0]]
    await c.close()


async def test_the_list_and_its_pushes():
    a = user()
    phone, desk, mute = [await client(i % 2).login(a, resource=r) for i, r in enumerate(("phone", "desk", "mute"))]
    assert await blocked(phone) == [] and await blocked(desk) == []
    assert (await block(phone, "Romeo@Montague.net", "iago@shakespeare.lit")).get("type") == "result"
    wanted = ("block", ["Romeo@Montague.net", "iago@shakespeare.lit"])
    assert await next_push(phone) == wanted and await next_push(desk) == wanted
    await nothing_more(mute, settle=0.3)
    assert await blocked(mute) == ["romeo@montague.net", "iago@shakespeare.lit"]
    assert (await unblock(desk, "romeo@montague.net")).get("type") == "result"
    for c in (phone, desk, mute):
        assert await next_push(c) == ("unblock", ["romeo@montague.net"])
    assert (await unblock(phone)).get("type") == "result"
    for c in (phone, desk, mute):
        assert await next_push(c) == ("unblock", [])
    assert await blocked(phone) == []
    await close(phone, desk, mute)


async def test_wrong_requests_and_limits():
    """C11: a full list is refused and stays as it is."""
    a = user()
    c = await client().login(a)
    assert condition(await block(c)) == "bad-request"
    assert condition(await block(c, "a@b@c")) == "jid-malformed"
    assert condition(await c.iq("set", f"<block xmlns='{BLOCKING}'><item/></block>")) == "jid-malformed"
    assert (await block(c, *[f"u{i}@spam.example" for i in range(MAX_ITEMS)])).get("type") == "result"
    assert condition(await block(c, "one@too.many")) == "resource-constraint"
    assert condition(await block(c, *[f"v{i}@spam.example" for i in range(MAX_ITEMS + 1)])) == "resource-constraint"
    assert len(await blocked(c)) == MAX_ITEMS
    assert (await block(c, "u1@spam.example")).get("type") == "result", "it is there already"
    other = await client().login(user())
    for ask in (f"<blocklist xmlns='{BLOCKING}'/>",):
        assert condition(await other.iq("get", ask, f"{a}@localhost")) == "service-unavailable"
    assert condition(await other.iq("set", f"<block xmlns='{BLOCKING}'>{items('x@y')}</block>", f"{a}@localhost")) == "service-unavailable"
    await close(c, other)


async def test_a_blocked_contact_sees_an_account_that_is_away():
    a, b = user(), user()
    ca, cb = await client(0).login(a, resource="phone"), await client(1).login(b)
    assert (await block(ca, f"{b}@localhost")).get("type") == "result"
    for to in (f"{a}@localhost", f"{a}@localhost/phone"):
        cb.message(to, "hello", ident="m")
        answer = await cb.get_where(is_message)
        assert answer.get("type") == "error" and condition(answer) == "service-unavailable" and answer.get("from") == to
        error = answer.find(f"{{{CLIENT}}}error")
        assert len(error) == 1, "nothing tells that it is blocked"
        cb.send(f"<presence to='{to}'/>")
        cb.send(f"<iq type='result' id='r' to='{to}'/>")
        assert condition(await cb.iq("get", "<ping xmlns='urn:xmpp:ping'/>", to)) == "service-unavailable"
    await nothing_more(ca)
    await nothing_more(ca, lambda e: e.get("from", "").startswith(b), 0.2)
    await unblock(ca, f"{b}@localhost")
    cb.message(f"{a}@localhost", "and now?")
    assert body(await ca.get_where(is_message)) == "and now?"
    await close(ca, cb)


async def test_nothing_leaves_for_a_blocked_contact():
    a, b = user(), user()
    ca, cb = await client(0).login(a), await client(1).login(b)
    await block(ca, f"{b}@localhost")
    ca.message(f"{b}@localhost", "hello", ident="out")
    answer = await ca.get_where(is_message)
    assert answer.get("id") == "out" and condition(answer) == "not-acceptable"
    assert answer.find(f"{{{CLIENT}}}error/{{{ERRORS}}}blocked") is not None
    refused = await ca.iq("get", "<ping xmlns='urn:xmpp:ping'/>", f"{b}@localhost")
    assert condition(refused) == "not-acceptable" and refused.find(f"{{{CLIENT}}}error/{{{ERRORS}}}blocked") is not None
    await nothing_more(cb)
    await close(ca, cb)


async def test_one_resource_and_a_whole_domain():
    a, b = user(), user()
    ca = await client(0).login(a, resource="phone")
    pc, tablet = await client(1).login(b, resource="pc"), await client(1).login(b, resource="tablet")
    await block(ca, f"{b}@localhost/pc")
    pc.message(f"{a}@localhost", "from pc")
    assert condition(await pc.get_where(is_message)) == "service-unavailable"
    tablet.message(f"{a}@localhost", "from tablet")
    assert body(await ca.get_where(is_message)) == "from tablet"
    await block(ca, "localhost")
    tablet.message(f"{a}@localhost", "again")
    assert condition(await tablet.get_where(is_message)) == "service-unavailable"
    assert (await ca.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")).get("type") == "result", "the own server"
    ca.message(f"{a}@localhost", "note to self")
    assert body(await ca.get_where(is_message)) == "note to self"
    await close(ca, pc, tablet)


async def test_it_is_in_force_after_a_restart_and_while_away():
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(1).login_managed(b)
    assert await blocked(ca) == []
    await block(ca, f"{b}@localhost")
    await next_push(ca)
    for router in cluster.routers:
        router.kill()
    for router in cluster.routers:
        router.wait_ready(60)
    cb.message(f"{a}@localhost", "hello", ident="m")
    assert condition(await cb.get_where(is_message, 40)) == "service-unavailable"
    assert (await block(ca, "other@example.org", timeout=30)).get("type") == "result"
    assert await next_push(ca) == ("block", ["other@example.org"]), "its session is remembered, too"
    await ca.close()
    cb.message(f"{a}@localhost", "hello", ident="n")
    assert condition(await cb.get_where(is_message)) == "service-unavailable"
    ca = await client(1).login(a)
    assert await blocked(ca) == [f"{b}@localhost", "other@example.org"]
    await nothing_more(ca)
    await close(ca, cb)


def test_nothing_was_wrong_underneath():
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    with Cluster(edges=2, routers=2, config={"all": {"blocking": {"max_items": MAX_ITEMS}}}) as cluster:
        sys.exit(0 if run(sys.modules[__name__]) else 1)
