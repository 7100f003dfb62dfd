#!/usr/bin/python3
"""Presence (RFC 6121 section 4) and what section 8 says about it, over real sockets: two edges, two routers, and their deaths."""
import asyncio
import os
import sys
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, body, condition  # noqa: E402
from runner import limit, run  # noqa: E402

PRESENCE, IQ, MESSAGE = (f"{{{CLIENT}}}{name}" for name in ("presence", "iq", "message"))
ROSTER = "jabber:iq:roster"
MAX_DIRECTED = 10
cluster = None
counter = 0


def user():
    global counter
    counter += 1
    cluster.add_account(f"user{counter}")
    return f"user{counter}"


def jid(name):
    return f"{name}@localhost"


async def login(name, edge=0, resource=None, available=True, extra="", managed=False):
    c = RawClient(cluster.edges[edge % 2].c2s)
    await c.login(name, resource=resource, available=False)
    c.user = name
    if managed:
        await c.enable()
    if available:
        c.send(f"<presence>{extra}</presence>")
        await settle(c)
    return c


async def settle(c, rounds=1):
    """What came until the server has answered a ping."""
    came = []
    for _ in range(rounds):
        ident = os.urandom(6).hex()
        c.send(f"<iq type='get' id='{ident}'><ping xmlns='urn:xmpp:ping'/></iq>")
        while True:
            element = await c.get()
            if element.tag == IQ and element.get("id") == ident:
                break
            came.append(element)
        await asyncio.sleep(0.03)
    return came


def shown(elements, sender=None):
    """[(from, type)] of available and unavailable presence."""
    return [(e.get("from"), e.get("type") or "available") for e in elements
            if e.tag == PRESENCE and e.get("type") in (None, "unavailable") and (sender is None or e.get("from").startswith(sender))]


async def befriend(a, b, both=True):
    """`a` sees b's presence; with `both`, b sees a's, too. Both are available."""
    for watcher, watched in ((a, b), (b, a)) if both else ((a, b),):
        watcher.send(f"<presence type='subscribe' to='{jid(watched.user)}'/>")
        await watched.get_where(lambda e: e.get("type") == "subscribe")
        watched.send(f"<presence type='subscribed' to='{jid(watcher.user)}'/>")
        await watcher.get_where(lambda e: e.tag == PRESENCE and e.get("from") == watched.jid)
    await settle(a), await settle(b)


async def pair(both=True):
    a, b = await login(user(), 0), await login(user(), 1)
    await a.iq("get", f"<query xmlns='{ROSTER}'/>"), await b.iq("get", f"<query xmlns='{ROSTER}'/>")
    await befriend(a, b, both)
    return a, b


async def wait_for(c, sender, kind, timeout=10):
    return await c.get_where(lambda e: e.tag == PRESENCE and e.get("from") == sender and e.get("type") == kind, timeout)


async def close(*clients):
    for c in clients:
        await c.close()


# ---- 4.2 to 4.5

async def test_initial_presence_reaches_subscribers_and_brings_theirs():
    a, b = await pair()
    c = await login(user(), 1)  # a stranger
    await close(a)
    assert shown([await wait_for(b, a.jid, "unavailable")]) and not shown(await settle(b))
    a = await login(a.user, 0, "second", extra="<show>dnd</show><status>busy</status><priority>3</priority>")
    got = await wait_for(b, a.jid, None)
    assert got.findtext(f"{{{CLIENT}}}show") == "dnd" and got.findtext(f"{{{CLIENT}}}status") == "busy" and got.get("to") == jid(b.user)
    came = shown(await settle(a, 2), jid(b.user))
    assert came in ([], [(b.jid, "available")])  # the answer to the probe, if login has not read it yet
    assert not shown(await settle(c, 2))
    await close(a, b, c)


async def test_probes_bring_what_contacts_said_last():
    a, b = await pair()
    b.send("<presence><show>xa</show></presence>")
    await wait_for(a, b.jid, None)
    desk = await login(b.user, 0, "desk", extra="<priority>-5</priority>")
    phone = await login(a.user, 1, "phone", available=False)
    phone.send("<presence/>")
    seen = {}
    while len(seen) < 2:
        e = await phone.get_where(lambda e: e.tag == PRESENCE and e.get("from").startswith(jid(b.user)))
        seen[e.get("from")] = (e.findtext(f"{{{CLIENT}}}show"), e.findtext(f"{{{CLIENT}}}priority"), e.get("to"))
    assert seen == {b.jid: ("xa", None, phone.jid), desk.jid: (None, "-5", phone.jid)}, seen
    assert not shown(await settle(a, 2), jid(b.user))[1:], "only the session that asks is answered"
    await close(a, b, desk, phone)


async def test_later_presence_is_told_but_not_probed():
    a, b = await pair()
    for show in ("away", "chat", "dnd"):
        a.send(f"<presence><show>{show}</show></presence>")
        assert (await wait_for(b, a.jid, None)).findtext(f"{{{CLIENT}}}show") == show
    assert not shown(await settle(a, 2), jid(b.user))
    await close(a, b)


async def test_unavailable_is_told_once_with_its_words():
    a, b = await pair()
    a.send("<presence type='unavailable'><status>gone</status></presence>")
    assert (await wait_for(b, a.jid, "unavailable")).findtext(f"{{{CLIENT}}}status") == "gone"
    await close(a)
    assert not shown(await settle(b, 3))
    await close(b)


async def test_a_lost_connection_is_told_once():
    a, b = await pair()
    a.abort(reset=True)
    await wait_for(b, a.jid, "unavailable")
    assert not shown(await settle(b, 3))
    await close(b)


async def test_one_way_subscriptions_are_one_way():
    a, b = await pair(both=False)  # a sees b
    a.send("<presence><show>away</show></presence>")
    await settle(a, 2)
    assert not shown(await settle(b, 2), jid(a.user))
    b.send("<presence><show>away</show></presence>")
    await wait_for(a, b.jid, None)
    await close(a, b)


async def test_a_negative_priority_is_seen_but_gets_no_messages():
    """4.7.2.3, 8.5.2.1."""
    a, b = await pair()
    a.send("<presence><priority>-1</priority></presence>")
    assert (await wait_for(b, a.jid, None)).findtext(f"{{{CLIENT}}}priority") == "-1"
    b.send("<presence><show>away</show></presence>")
    await wait_for(a, b.jid, None)
    b.message(jid(a.user), "later")
    assert not [e for e in await settle(a, 2) if e.tag == MESSAGE]
    a.send("<presence/>")
    assert body(await a.get_where(lambda e: e.tag == MESSAGE)) == "later"
    await close(a, b)


# ---- 4.3.2 and leaks (C09)

async def test_strangers_learn_nothing_from_probes():
    a, b, away = await login(user(), 0), await login(user(), 1), user()
    for target in (jid(b.user), jid(away), "nobody@localhost", b.jid):
        a.send(f"<presence type='probe' to='{target}'/>")
    assert not [e for e in await settle(a, 3) if e.tag == PRESENCE]
    assert not [e for e in await settle(b, 2) if e.tag == PRESENCE]
    await close(a, b)


async def test_subscribers_are_answered():
    a, b = await pair(both=False)
    a.send(f"<presence type='probe' to='{jid(b.user)}'/>")
    await wait_for(a, b.jid, None)
    await close(b)
    await wait_for(a, b.jid, "unavailable")
    a.send(f"<presence type='probe' to='{jid(b.user)}'/>")
    await wait_for(a, jid(b.user), "unavailable")
    await close(a)


# ---- 4.6

async def test_directed_presence_ends_with_the_session():
    """C36: who was shown a presence hears its end."""
    for how in ("close", "abort", "unavailable"):
        a, b = await login(user(), 0), await login(user(), 1)
        a.send(f"<presence to='{b.jid}'><show>chat</show></presence>")
        assert (await wait_for(b, a.jid, None)).get("to") == b.jid
        a.send("<presence><show>away</show></presence>")
        assert not shown(await settle(b, 3)), "broadcasts are not for a stranger"
        if how == "abort":
            a.abort()
        elif how == "close":
            await close(a)
        else:
            a.send("<presence type='unavailable'/>")
        await wait_for(b, a.jid, "unavailable")
        assert not shown(await settle(b, 3))
        await close(*((a, b) if how == "unavailable" else (b,)))


async def test_directed_presence_may_be_taken_back():
    a, b = await login(user(), 0), await login(user(), 1)
    a.send(f"<presence to='{jid(b.user)}'/>")
    await wait_for(b, a.jid, None)
    a.send(f"<presence to='{jid(b.user)}' type='unavailable'/>")
    await wait_for(b, a.jid, "unavailable")
    await close(a)
    assert not shown(await settle(b, 3))
    await close(b)


async def test_an_end_shown_to_bare_and_full_jid_leaves_the_stream_alone():
    """Both are told in one go, and each is a number of the same session (XEP-0198)."""
    for edge in (0, 1):
        a, b = await login(user(), 0), await login(user(), edge, managed=True)
        a.send(f"<presence to='{jid(b.user)}'/>")
        a.send(f"<presence to='{b.jid}'/>")
        assert shown([await wait_for(b, a.jid, None) for _ in range(2)])
        await close(a)
        for _ in range(2):
            await wait_for(b, a.jid, "unavailable")
        assert not shown(await settle(b, 3)), "the stream lives on"
        await close(b)


async def test_directed_presence_is_limited():
    """C36."""
    a = await login(user(), 0)
    for i in range(MAX_DIRECTED):
        a.send(f"<presence to='nobody{i}@localhost'/>")
    assert not [e for e in await settle(a) if e.get("type") == "error"]
    a.send("<presence to='one-more@localhost'/>")
    assert condition(await a.get_where(lambda e: e.get("type") == "error")) == "not-acceptable"
    await close(a)


# ---- section 8: what happens to presence (messages and IQs: chat.py)

async def test_presence_by_form_of_address():
    """8.5.2.1.2, 8.5.3.1, 8.5.3.2, 8.5.1."""
    a, b = await login(user(), 0), await login(user(), 1, "here")
    silent = await login(b.user, 0, "silent", available=False)
    second = await login(b.user, 0, "second", extra="<priority>-1</priority>")
    await settle(b)
    a.send(f"<presence to='{jid(b.user)}' id='bare'/>")  # to all available resources, whatever their priority
    for c in (b, second):
        assert (await wait_for(c, a.jid, None)).get("id") == "bare"
    a.send(f"<presence to='{silent.jid}' id='match'/>")  # a full JID that is connected
    assert (await wait_for(silent, a.jid, None)).get("id") == "match"
    a.send(f"<presence to='{jid(b.user)}/nowhere'/>")  # dropped
    a.send("<presence to='nobody@localhost'/>")
    a.send("<presence to='nobody@localhost/x' type='unavailable'/>")
    assert not [e for e in await settle(a, 2) if e.tag == PRESENCE]
    for c in (b, second, silent):
        assert not shown(await settle(c, 2), jid(a.user))
    await close(a, b, second, silent)


async def test_subscription_stanzas_to_a_full_jid_mean_the_bare_one():
    a, b = await login(user(), 0), await login(user(), 1)
    a.send(f"<presence type='subscribe' to='{b.jid}'/>")
    got = await b.get_where(lambda e: e.get("type") == "subscribe")
    assert got.get("from") == jid(a.user) and got.get("to") == jid(b.user)
    await close(a, b)


async def test_iqs_of_strangers_tell_nothing():
    """8.5.3.2, C09: the same for a resource that is not there, of a user who is, is not, or never was."""
    a, b, away = await login(user(), 0), await login(user(), 1, "secret-name"), user()
    seen = set()
    for target in (jid(b.user), f"{jid(b.user)}/guess", jid(away), f"{jid(away)}/guess", "nobody@localhost", "nobody@localhost/guess"):
        answer = await a.iq("get", "<query xmlns='jabber:iq:last'/>", target)
        seen.add((condition(answer), answer.find(f"{{{CLIENT}}}error").get("type")))
    assert seen == {("service-unavailable", "cancel")}, seen
    await close(a, b)


# ---- deaths

async def ready():
    for node in cluster.nodes():
        await asyncio.to_thread(node.wait_ready)


@limit(120)
async def test_the_death_of_all_routers_changes_nobodys_presence():
    a, b = await pair()
    a.send("<presence><show>dnd</show></presence>")
    await wait_for(b, a.jid, None)
    for router in cluster.routers:
        router.kill()
    await ready()
    came = shown(await settle(b, 2), jid(a.user)) + shown(await settle(a, 2), jid(b.user))
    assert not [kind for _, kind in came if kind == "unavailable"], came
    phone = await login(b.user, 0, "phone", available=False)
    phone.send("<presence/>")
    assert (await wait_for(phone, a.jid, None)).findtext(f"{{{CLIENT}}}show") == "dnd", "what it had said is not forgotten"
    a.abort()
    await wait_for(b, a.jid, "unavailable", 20)
    assert not shown(await settle(b, 3), a.jid)
    await close(b, phone)


@limit(120)
async def test_the_death_of_an_edge_is_told_once():
    a, b = await pair()
    stranger = await login(user(), 1)
    a.send(f"<presence to='{jid(stranger.user)}'/>")
    await wait_for(stranger, a.jid, None)
    cluster.edges[0].kill()
    await wait_for(b, a.jid, "unavailable", 30)
    await wait_for(stranger, a.jid, "unavailable", 30)
    await ready()
    assert not shown(await settle(b, 3), a.jid) and not shown(await settle(stranger, 2), a.jid)
    await close(b, stranger)


@limit(180)
async def test_the_death_of_an_edge_and_all_routers_leaves_no_ghost():
    """Nobody is left who could announce the session: the next home finds it in Redis and tells its end."""
    a, b = await pair()
    stranger = await login(user(), 1)
    a.send(f"<presence to='{jid(stranger.user)}'/>")
    await wait_for(stranger, a.jid, None)
    cluster.edges[0].kill()
    for router in cluster.routers:
        router.kill()
    await ready()
    await wait_for(b, a.jid, "unavailable", 60)
    await wait_for(stranger, a.jid, "unavailable", 60)
    assert not shown(await settle(b, 3), a.jid)
    await close(b, stranger)


@limit(60)
async def test_a_detached_session_stays_available_until_its_time_is_over():
    """XEP-0198: the connection is lost, not the session."""
    b = await login(user(), 1)
    a = await login(user(), 0, managed=True)
    await befriend(b, a, both=False)
    a.abort()
    await asyncio.sleep(1)
    assert not shown(await settle(b), a.jid)
    await wait_for(b, a.jid, "unavailable", 20)
    assert not shown(await settle(b, 3), a.jid)
    await close(b)


@limit(240)
async def test_sessions_that_end_during_a_takeover_are_told():
    """A router dies, and a moment later half of the sessions end: every subscriber hears of exactly those."""
    pairs = [await pair() for _ in range(12)]
    victim = cluster.routers[0]
    victim.kill(restart=False)
    await asyncio.sleep(0.3)
    for a, _ in pairs[::2]:
        a.abort()
    for a, _ in pairs[1::2]:
        a.send("<presence><show>away</show></presence>")

    async def check(i, a, b):
        if i % 2 == 0:
            await wait_for(b, a.jid, "unavailable", 60)
        else:
            got = await b.get_where(lambda e: e.tag == PRESENCE and e.get("from") == a.jid, 60)
            assert got.get("type") is None and got.findtext(f"{{{CLIENT}}}show") == "away", ET.tostring(got)

    await asyncio.gather(*(check(i, a, b) for i, (a, b) in enumerate(pairs)))
    victim.start()
    await ready()
    for i, (a, b) in enumerate(pairs):
        rest = shown(await settle(b, 2), a.jid)
        assert not [kind for _, kind in rest if kind == "unavailable"], f"{i}: {rest}"
        await close(b)
        if i % 2:
            await close(a)


@limit(150)
async def test_a_router_that_wakes_up_late_tells_nobody_that_sessions_ended():
    """Its shards have moved while it slept: it must not speak for sessions that live on elsewhere."""
    pairs = [await pair() for _ in range(8)]
    managed = [await login(user(), i, managed=True) for i in range(4)]
    for i, c in enumerate(managed):
        await befriend(pairs[i][1], c, both=False)
    for _ in range(2):
        for router in cluster.routers:
            router.freeze(9)
            await asyncio.sleep(14)
            await ready()
            for a, b in pairs:
                came = shown(await settle(b, 2)) + shown(await settle(a, 2))
                assert not [e for e in came if e[1] == "unavailable"], came
    for i, (a, b) in enumerate(pairs):
        a.send(f"<presence><status>{i}</status></presence>")
        got = await wait_for(b, a.jid, None)
        assert got.findtext(f"{{{CLIENT}}}status") == str(i)
        await close(a, b)
    await close(*managed)


# ---- DESIGN 3.6

@limit(240)
async def test_a_presence_to_many_is_one_frame_for_each_edge():
    star = await login(user(), 0)
    fans = []
    for i in range(40):
        fan = await login(user(), i)
        fan.send(f"<presence type='subscribe' to='{jid(star.user)}'/>")
        fans.append(fan)
    for fan in fans:
        star.send(f"<presence type='subscribed' to='{jid(fan.user)}'/>")
    for fan in fans:
        await wait_for(fan, star.jid, None)
    await asyncio.sleep(0.5)

    def figures():
        names = ("fanout_frames_total", "fanout_recipients_total", "route_many_frames_total", "route_many_singles_total")
        return {n: sum(value for r in cluster.routers for key, value in r.metrics().items() if key.endswith(n)) for n in names}

    before = figures()
    star.send("<presence><show>away</show><status>hello to all of you</status></presence>")
    for fan in fans:
        assert (await wait_for(fan, star.jid, None)).get("to") == jid(fan.user)
    after = {n: value - before[n] for n, value in figures().items()}
    assert after["fanout_recipients_total"] == 40 and after["route_many_singles_total"] == 0, after
    assert after["fanout_frames_total"] <= 4 and after["route_many_frames_total"] <= 1, after
    await close(star, *fans)


def test_nothing_was_wrong_underneath():
    """Drains every process: exit code 0, no sanitizer report."""
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    with Cluster(edges=2, routers=2, archives=1,
                 config={"router": {"presence": {"max_directed": MAX_DIRECTED}, "sm": {"resume_timeout": "4s"}}}) as cluster:
        sys.exit(0 if run(sys.modules[__name__], context=None) else 1)
