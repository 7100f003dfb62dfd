#!/usr/bin/python3
"""Rosters and subscriptions (RFC 6121 sections 2, 3 and Appendix A) over real sockets: two edges, two routers."""
import asyncio
import os
import re
import sys
import time
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, body, condition, end_tasks  # noqa: E402
from runner import limit, run  # noqa: E402

ROSTER = "jabber:iq:roster"
PRESENCE, IQ = f"{{{CLIENT}}}presence", f"{{{CLIENT}}}iq"
MAX_ITEMS = 20
cluster = None
counter = 0


def user():
    """A fresh account each time."""
    global counter
    counter += 1
    cluster.add_account(f"user{counter}")
    return f"user{counter}"


def jid(name):
    return f"{name}@localhost"


def client(edge=0):
    return RawClient(cluster.edges[edge % 2].c2s)


async def login(name, edge=0, resource=None, available=True, interested=True):
    c = await client(edge).login(name, resource=resource, available=False)
    c.user = name
    if interested:
        await get_roster(c)
    if available:
        c.send("<presence/>")
        await settle(c)
    return c


async def settle(c):
    """Everything that was on its way to `c` from its own home before now. What came is returned."""
    came = []
    ident = os.urandom(6).hex()
    c.send(f"<iq type='get' id='{ident}'><ping xmlns='urn:xmpp:ping'/></iq>")
    while True:
        element = await c.get()
        if element.tag == IQ and element.get("id") == ident:
            return came
        came.append(element)


def items_of(element):
    """{jid: (subscription, ask, approved, name, groups)} of a roster result or push."""
    return {i.get("jid"): (i.get("subscription"), i.get("ask"), i.get("approved"), i.get("name"), [g.text for g in i])
            for i in element.iter(f"{{{ROSTER}}}item")}


async def get_roster(c, ver=None):
    attribute = "" if ver is None else f" ver='{ver}'"
    return await c.iq("get", f"<query xmlns='{ROSTER}'{attribute}/>")


async def set_item(c, item):
    return await c.iq("set", f"<query xmlns='{ROSTER}'>{item}</query>")


async def next_push(c, timeout=10):
    return await c.get_where(lambda e: e.tag == IQ and e.get("type") == "set" and e.find(f"{{{ROSTER}}}query") is not None, timeout)


async def close(*clients):
    for c in clients:
        await c.close()


# ---- section 2

async def test_features_are_offered():
    c = await login(user())
    assert c.features.find("{urn:xmpp:features:rosterver}ver") is not None and c.features.find("{urn:xmpp:features:pre-approval}sub") is not None
    await close(c)


async def test_a_new_contact_reaches_every_interested_device():
    a = user()
    one, two = await login(a, 0, "one"), await login(a, 1, "two", available=False)
    deaf = await login(a, 1, "deaf", interested=False)
    result = await get_roster(one)
    assert result.get("type") == "result" and not items_of(result) and result.find(f"{{{ROSTER}}}query") is not None
    item = "<item jid='Nurse@Example.COM' name='Nurse &amp; Co'><group>Servants</group><group>\u2665</group></item>"
    assert (await set_item(one, item)).get("type") == "result"
    push = await next_push(two)
    assert push.get("to") == two.jid and push.get("from") in (None, jid(a)) and push.get("id"), push.attrib
    wanted = {"nurse@example.com": ("none", None, None, "Nurse & Co", ["Servants", "\u2665"])}
    assert items_of(push) == wanted, items_of(push)
    two.send(f"<iq type='result' id='{push.get('id')}'/>")
    assert items_of(await get_roster(two)) == wanted
    assert not [e for e in await settle(deaf) if e.tag == IQ]
    assert (await set_item(two, "<item jid='nurse@example.com'/>")).get("type") == "result"
    assert items_of(await next_push(one)) == {"nurse@example.com": ("none", None, None, None, [])} or \
        items_of(await get_roster(one)) == {"nurse@example.com": ("none", None, None, None, [])}
    assert (await set_item(two, "<item jid='nurse@example.com' subscription='remove'/>")).get("type") == "result"
    assert not items_of(await get_roster(one))
    assert condition(await set_item(two, "<item jid='nurse@example.com' subscription='remove'/>")) == "item-not-found"
    await close(one, two, deaf)


async def test_bad_sets_are_refused():
    """C10, section 2.3.3."""
    name = user()
    c = await login(name)
    long_name = "x" * 2048
    for item, wanted in (("", "bad-request"), ("<item jid='a@b'/><item jid='c@d'/>", "bad-request"), ("<item/>", "bad-request"),
                         ("<item jid='@'/>", "bad-request"), (f"<item jid='{jid(name)}'/>", "bad-request"),
                         ("<item jid='a@b'><group>G</group><group>G</group></item>", "bad-request"),
                         ("<item jid='a@b'><group></group></item>", "not-acceptable"), (f"<item jid='a@b' name='{long_name}'/>", "not-acceptable"),
                         (f"<item jid='a@b'><group>{long_name}</group></item>", "not-acceptable")):
        assert condition(await set_item(c, item)) == wanted, item
    assert not items_of(await get_roster(c))
    await close(c)


async def test_a_roster_has_a_limit():
    """C11: beyond it resource-constraint, and nothing is stored."""
    c = await login(user())
    for i in range(MAX_ITEMS):
        assert (await set_item(c, f"<item jid='c{i}@example.com'/>")).get("type") == "result"
    assert condition(await set_item(c, "<item jid='more@example.com'/>")) == "resource-constraint"
    assert (await set_item(c, "<item jid='c1@example.com' name='known'/>")).get("type") == "result"
    assert len(items_of(await get_roster(c))) == MAX_ITEMS
    await close(c)


async def test_versions_save_the_transfer():
    """Section 2.6."""
    c = await login(user())
    query = (await get_roster(c, "")).find(f"{{{ROSTER}}}query")
    assert query is not None and query.get("ver")
    await set_item(c, "<item jid='a@example.com'/>")
    ver, _ = await deltas(c, query.get("ver"), {"a@example.com": "none"})
    assert ver != query.get("ver")
    await deltas(c, ver, {})
    await set_item(c, "<item jid='b@example.com'/>")
    await deltas(c, ver, {"b@example.com": "none"})
    for unknown in ("", "-1", "x", "99999999999999999999", f"{ver}0"):
        assert set(items_of(await get_roster(c, unknown))) == {"a@example.com", "b@example.com"}, unknown
    assert (await get_roster(c)).find(f"{{{ROSTER}}}query").get("ver") is None
    await close(c)


async def deltas(c, ver, wanted):
    """Section 2.6.3: an empty result, then one push for each item that changed, the last one with the newest version."""
    result = await get_roster(c, ver)
    assert result.get("type") == "result" and len(result) == 0
    pushes = [e for e in await settle(c) if e.tag == IQ and e.get("type") == "set"]
    versions = [int(p.find(f"{{{ROSTER}}}query").get("ver")) for p in pushes]
    assert versions == sorted(set(versions)) and all(v > int(ver) for v in versions)
    got = {}
    for push in pushes:
        assert len(items_of(push)) == 1
        got.update({j: i[0] for j, i in items_of(push).items()})
    assert got == wanted, got
    return (str(versions[-1]) if versions else ver), got


async def test_a_device_that_was_away_gets_what_it_missed():
    """Section 2.6.3, over both edges: changes of another device, of subscriptions, and removals."""
    a, b = user(), user()
    phone, cb = await login(a, 0, "phone"), await login(b, 1)
    for name in ("keep", "gone", "back"):
        await set_item(phone, f"<item jid='{name}@example.com'/>")
    desk = await client(1).login(a, resource="desk", available=False)
    ver = (await get_roster(desk, "")).find(f"{{{ROSTER}}}query").get("ver")
    await close(desk)
    await set_item(phone, "<item jid='gone@example.com' subscription='remove'/>")
    await set_item(phone, "<item jid='back@example.com' subscription='remove'/>")
    await set_item(phone, "<item jid='back@example.com' name='Back'/>")
    phone.send(f"<presence type='subscribe' to='{jid(b)}'/>")
    await cb.get_where(lambda e: e.get("type") == "subscribe")
    cb.send(f"<presence type='subscribed' to='{jid(a)}'/>")
    await phone.get_where(lambda e: e.tag == PRESENCE and e.get("type") == "subscribed")
    await settle(phone)
    desk = await client(1).login(a, resource="desk", available=False)
    newest, _ = await deltas(desk, ver, {"gone@example.com": "remove", "back@example.com": "none", jid(b): "to"})
    await deltas(desk, newest, {})
    assert not [e for e in await settle(phone) if e.get("type") == "set"]
    await close(desk, phone, cb)


async def test_nobody_changes_or_reads_somebody_elses_roster():
    """C13, section 2.1.5; and the answer does not tell whether the account exists (C09)."""
    a, b = user(), user()
    ca, cb = await login(a), await login(b, 1)
    push = f"<query xmlns='{ROSTER}'><item jid='{jid(a)}' subscription='both'/></query>"
    for target in (jid(b), "nobody@localhost"):
        assert condition(await ca.iq("set", push, target)) == "forbidden"
        assert condition(await ca.iq("get", f"<query xmlns='{ROSTER}'/>", target)) == "forbidden"
    ca.send(f"<iq type='set' id='evil' to='{cb.jid}'>{push}</iq>")
    got = await cb.get_where(lambda e: e.get("id") == "evil")
    assert got.get("from") == ca.jid
    assert not items_of(await get_roster(cb))
    await close(ca, cb)


async def test_the_database_knows_neither_contacts_nor_names():
    """N1: what is in PostgreSQL tells a reader how many contacts there are, and no more."""
    name = user()
    c = await login(name)
    await set_item(c, "<item jid='very-secret@example.com' name='Hidden Name'><group>Hidden Group</group></item>")
    dump = cluster.postgres.query("SELECT encode(contact, 'escape') || encode(item, 'escape') FROM router.roster r JOIN router.account a"
                                  f" ON a.id = r.owner WHERE a.bare = '{jid(name)}'")
    assert dump and not re.search("secret|Hidden", dump)
    await close(c)
    ident = cluster.postgres.query(f"SELECT id FROM router.account WHERE bare = '{jid(name)}'")
    cluster.ctl("account", "delete", jid(name))
    rows = f"SELECT (SELECT count(*) FROM router.roster WHERE owner = {ident}) + (SELECT count(*) FROM router.account_key WHERE owner = {ident})"
    deadline = asyncio.get_running_loop().time() + 10  # its home erases it
    while cluster.postgres.query(rows) != "0" and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.1)
    assert cluster.postgres.query(rows) == "0"


@limit(90)
async def test_an_answered_set_survives_all_routers():
    """P1: what was answered is committed."""
    name = user()
    c = await login(name)
    for i in range(5):
        assert (await set_item(c, f"<item jid='c{i}@example.com' name='n{i}'/>")).get("type") == "result"
    for router in cluster.routers:
        router.kill()
    for router in cluster.routers:
        await asyncio.to_thread(router.wait_ready)
    result = await c.iq("get", f"<query xmlns='{ROSTER}'/>", timeout=30)
    assert {k: v[3] for k, v in items_of(result).items()} == {f"c{i}@example.com": f"n{i}" for i in range(5)}
    await close(c)


@limit(90)
async def test_slow_rosters_hold_up_neither_logins_nor_messages():
    """G02: roster writes that wait for a lock end in time with an error; they have connections of their own."""
    held = [await login(user(), i) for i in range(12)]  # on both routers, more than there are connections
    a, b = await login(user()), await login(user(), 1)
    fresh = [user() for _ in range(4)]
    lock = asyncio.create_task(asyncio.to_thread(
        cluster.postgres.query, "BEGIN; LOCK TABLE router.roster IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(20); COMMIT"))
    await asyncio.sleep(1)
    began = time.monotonic()
    sets = [asyncio.create_task(c.iq("set", f"<query xmlns='{ROSTER}'><item jid='slow@example.com'/></query>", timeout=30)) for c in held]
    await asyncio.sleep(0.5)
    quick = time.monotonic()
    for i, name in enumerate(fresh):  # an account nobody has read yet
        await (await client(i).authenticate(name)).close()
    more = [await client(i).login(c.user, resource="more") for i, c in enumerate((a, b))]
    for i in range(20):
        more[0].message(more[1].jid, str(i))
        more[1].message(more[0].jid, str(i))
    for c in more:
        assert [body(await c.get_where(lambda e: e.tag.endswith("}message"))) for _ in range(20)] == [str(i) for i in range(20)]
    assert time.monotonic() - quick < 5, time.monotonic() - quick
    assert not any(task.done() for task in sets), "the roster was not locked"
    results = await asyncio.gather(*sets)
    assert 5 < time.monotonic() - began < 14, time.monotonic() - began
    for result in results:
        error = result.find(f"{{{CLIENT}}}error")
        assert result.get("type") == "error" and error.get("type") == "wait", ET.tostring(result)
    await lock
    for c in held:
        assert (await set_item(c, "<item jid='slow@example.com'/>")).get("type") == "result"
        assert set(items_of(await get_roster(c))) == {"slow@example.com"}
    await close(a, b, *more, *held)


@limit(120)
async def test_a_database_that_is_away_is_a_retryable_error():
    """G01: then everything goes on."""
    c = await login(user())
    await set_item(c, "<item jid='before@example.com'/>")
    await asyncio.to_thread(cluster.postgres.stop)
    answer = await c.iq("set", f"<query xmlns='{ROSTER}'><item jid='during@example.com'/></query>", timeout=40)
    error = answer.find(f"{{{CLIENT}}}error")
    assert error is not None and error.get("type") == "wait", ET.tostring(answer)
    await asyncio.to_thread(cluster.postgres.start)
    for node in cluster.nodes():
        await asyncio.to_thread(node.wait_ready)
    for _ in range(20):
        answer = await c.iq("set", f"<query xmlns='{ROSTER}'><item jid='after@example.com'/></query>", timeout=30)
        if answer.get("type") == "result":
            break
        await asyncio.sleep(0.5)
    assert set(items_of(await get_roster(c))) >= {"before@example.com", "after@example.com"}
    await close(c)


# ---- section 3 and Appendix A. The state of `a` towards `b`; b's is its mirror.

STATES = ("None", "None+Out", "None+In", "None+Out+In", "To", "To+In", "From", "From+Out", "Both")
MIRROR = {"None": "None", "None+Out": "None+In", "None+In": "None+Out", "None+Out+In": "None+Out+In", "To": "From", "To+In": "From+Out",
          "From": "To", "From+Out": "To+In", "Both": "Both"}
TYPES = ("subscribe", "unsubscribe", "subscribed", "unsubscribed")
# state: what each of TYPES makes of it (None: no change), and whether it is routed; RFC 6121 A.2.1 to A.2.4
OUTBOUND = {
    "None": (("None+Out", 1), (None, 1), (None, 0), (None, 0)),
    "None+Out": ((None, 1), ("None", 1), (None, 0), (None, 0)),
    "None+In": (("None+Out+In", 1), (None, 1), ("From", 1), ("None", 1)),
    "None+Out+In": ((None, 1), ("None+In", 1), ("From+Out", 1), ("None+Out", 1)),
    "To": ((None, 1), ("None", 1), (None, 0), (None, 0)),
    "To+In": ((None, 1), ("None+In", 1), ("Both", 1), ("To", 1)),
    "From": (("From+Out", 1), (None, 1), (None, 0), ("None", 1)),
    "From+Out": ((None, 1), ("From", 1), (None, 0), ("None+Out", 1)),
    "Both": ((None, 1), ("From", 1), (None, 0), ("To", 1)),
}
# likewise A.3.1 to A.3.4, and whether it is delivered
INBOUND = {
    "None": (("None+In", 1), (None, 0), (None, 0), (None, 0)),
    "None+Out": (("None+Out+In", 1), (None, 0), ("To", 1), ("None", 1)),
    "None+In": ((None, 0), ("None", 1), (None, 0), (None, 0)),
    "None+Out+In": ((None, 0), ("None+Out", 1), ("To+In", 1), ("None+In", 1)),
    "To": (("To+In", 1), (None, 0), (None, 0), ("None", 1)),
    "To+In": ((None, 0), ("To", 1), (None, 0), ("None+In", 1)),
    "From": ((None, 0), ("None", 1), (None, 0), (None, 0)),
    "From+Out": ((None, 0), ("None+Out", 1), ("Both", 1), ("From", 1)),
    "Both": ((None, 0), ("To", 1), (None, 0), ("From", 1)),
}


def say(c, kind, to):
    c.send(f"<presence type='{kind}' to='{jid(to)}' id='{kind}'/>")


async def calm(*clients):
    """Two rounds of settling: what one's home routes has reached the other one's."""
    came = {c: [] for c in clients}
    for _ in range(3):
        for c in clients:
            came[c] += await settle(c)
        await asyncio.sleep(0.02)
    return came


def kinds(elements, sender):
    return [e.get("type") for e in elements if e.tag == PRESENCE and e.get("from") == jid(sender) and e.get("type") in TYPES]


async def state_of(c, contact):
    """As Appendix A names it: from the roster, and a request that waits is shown at every login."""
    entry = items_of(await get_roster(c)).get(jid(contact), ("none", None))
    c.send("<presence type='unavailable'/>")
    await settle(c)
    c.send("<presence/>")
    is_asked = "subscribe" in kinds(await settle(c), contact)
    name = {"none": "None", "to": "To", "from": "From", "both": "Both"}[entry[0]]
    return name + ("+Out" if entry[1] == "subscribe" else "") + ("+In" if is_asked else "")


async def make_state(a, b, state):
    """Steps in which each stanza has arrived before the next one is sent."""
    steps = {"None": (), "None+Out": ((a, "subscribe"),), "None+In": ((b, "subscribe"),), "None+Out+In": ((a, "subscribe"), (b, "subscribe")),
             "To": ((a, "subscribe"), (b, "subscribed")), "To+In": ((a, "subscribe"), (b, "subscribed"), (b, "subscribe")),
             "From": ((b, "subscribe"), (a, "subscribed")), "From+Out": ((b, "subscribe"), (a, "subscribed"), (a, "subscribe")),
             "Both": ((a, "subscribe"), (b, "subscribed"), (b, "subscribe"), (a, "subscribed"))}
    for sender, kind in steps[state]:
        say(sender, kind, (b if sender is a else a).user)
        await calm(a, b)


async def forget(a, b):
    for c, other in ((a, b), (b, a)):
        say(c, "unsubscribed", other.user)
        await calm(a, b)
        await set_item(c, f"<item jid='{jid(other.user)}' subscription='remove'/>")
        await calm(a, b)


async def check_cell(a, b, state, kind):
    """`a` is in `state` towards `b` and sends `kind`."""
    await make_state(a, b, state)
    column = TYPES.index(kind)
    after_a, is_routed = OUTBOUND[state][column]
    after_b, is_delivered = INBOUND[MIRROR[state]][column] if is_routed else (None, 0)
    say(a, kind, b.user)
    came = await calm(a, b)
    got = kinds(came[b], a.user)
    assert got == ([kind] if is_delivered else []), f"{state} {kind}: delivered {got}"
    seen_a, seen_b = await state_of(a, b.user), await state_of(b, a.user)
    assert seen_a == (after_a or state), f"{state} {kind}: {seen_a}, wanted {after_a or state}"
    assert seen_b == (after_b or MIRROR[state]), f"{state} {kind}: the contact has {seen_b}, wanted {after_b or MIRROR[state]}"
    await forget(a, b)
    assert await state_of(a, b.user) == "None" and await state_of(b, a.user) == "None"


async def check_states(states):
    a, b = await login(user(), 0), await login(user(), 1)
    wrong = []
    for state in states:
        for kind in TYPES:
            try:
                await check_cell(a, b, state, kind)
            except AssertionError as exc:
                wrong.append(str(exc))
                await close(a, b)
                a, b = await login(user(), 0), await login(user(), 1)
    assert not wrong, wrong
    await close(a, b)


@limit(150)
async def test_appendix_a_from_no_subscription():
    await check_states(STATES[:4])


@limit(150)
async def test_appendix_a_from_subscriptions():
    await check_states(STATES[4:])


async def test_an_approval_comes_before_its_push_and_then_presence():
    """Sections 3.1.5 and 3.1.6."""
    a, b = await login(user(), 0), await login(user(), 1)
    b.send("<presence><show>away</show></presence>")
    await settle(b)
    say(a, "subscribe", b.user)
    request = await b.get_where(lambda e: e.get("type") == "subscribe")
    assert request.get("from") == jid(a.user) and request.get("to") == jid(b.user)
    say(b, "subscribed", a.user)
    came = (await calm(b, a))[a]
    order = [e.get("type") or "available" for e in came if e.tag == PRESENCE or e.find(f"{{{ROSTER}}}query") is not None]
    assert order[-3:] in (["subscribed", "set", "available"],), order
    assert came[-1].get("from") == b.jid and came[-1].findtext(f"{{{CLIENT}}}show") == "away"
    await close(a, b)


async def test_a_request_waits_until_it_is_answered():
    """Section 3.1.3: at every login, on any edge, also after the death of the contact's home."""
    a, b = await login(user(), 0), user()
    a.send(f"<presence type='subscribe' to='{jid(b)}' id='r1'><status>let me in</status></presence>")
    await calm(a)
    for edge in (0, 1):
        cb = await login(b, edge, available=False)
        cb.send("<presence/>")
        request = [e for e in await settle(cb) if e.get("type") == "subscribe"]
        assert len(request) == 1 and request[0].findtext(f"{{{CLIENT}}}status") == "let me in" and request[0].get("id") == "r1"
        await close(cb)
    for router in cluster.routers:
        router.kill()
    for router in cluster.routers:
        await asyncio.to_thread(router.wait_ready)
    cb = await login(b, 1, available=False)
    cb.send("<presence/>")
    assert [e for e in await settle(cb) if e.get("type") == "subscribe"]
    say(cb, "unsubscribed", a.user)
    await a.get_where(lambda e: e.get("type") == "unsubscribed")
    await close(cb)
    cb = await login(b, 0, available=False)
    cb.send("<presence/>")
    assert not [e for e in await settle(cb) if e.get("type") == "subscribe"]
    await close(a, cb)


async def test_pre_approval():
    """Section 3.4."""
    a, b = await login(user(), 0), await login(user(), 1)
    say(b, "subscribed", a.user)
    assert items_of(await next_push(b))[jid(a.user)][:3] == ("none", None, "true")
    assert not kinds((await calm(b, a))[a], b.user)
    say(a, "subscribe", b.user)
    await a.get_where(lambda e: kinds([e], b.user) == ["subscribed"])  # over two homes and two commits: that may take a moment
    came = await calm(a, b)
    assert not kinds(came[a], b.user) and not kinds(came[b], a.user)
    assert await state_of(a, b.user) == "To" and await state_of(b, a.user) == "From"
    await forget(a, b)
    say(b, "subscribed", a.user)
    await calm(b, a)
    say(b, "unsubscribed", a.user)  # takes it back
    await calm(b, a)
    say(a, "subscribe", b.user)
    assert kinds((await calm(a, b))[b], a.user) == ["subscribe"]
    await close(a, b)


async def test_unknown_and_known_users_look_alike():
    """C09: a request to nobody waits like one to somebody who is away."""
    a, away = await login(user(), 0), user()
    seen = []
    for target in (away, "nobody-at-all"):
        say(a, "subscribe", target)
        came = (await calm(a))[a]
        seen.append([(e.tag, e.get("type")) for e in came if e.tag == PRESENCE])
        assert items_of(await get_roster(a))[jid(target)][:2] == ("none", "subscribe")
    assert seen[0] == seen[1] == [], seen
    await close(a)


async def test_removing_a_contact_ends_both_subscriptions():
    """Section 2.5."""
    a, b = await login(user(), 0), await login(user(), 1)
    await make_state(a, b, "Both")
    await set_item(a, f"<item jid='{jid(b.user)}' subscription='remove'/>")
    came = []
    while len(kinds(came, a.user)) < 2 or not [e for e in came if e.get("type") == "unavailable"]:
        came.append(await b.get())
    came += (await calm(a, b))[b]
    assert sorted(kinds(came, a.user)) == ["unsubscribe", "unsubscribed"]
    assert [e for e in came if e.get("type") == "unavailable" and e.get("from") == a.jid]
    assert await state_of(b, a.user) == "None" and await state_of(a, b.user) == "None"
    await close(a, b)


async def test_requests_are_limited():
    """C12."""
    cluster.routers  # the limit of this cluster is 400 in an hour: see below
    a = await login(user(), 0)
    for i in range(400):
        say(a, "subscribe", f"spam-target-{i % 5}")
    assert not [e for e in await settle(a) if e.get("type") == "error"]
    say(a, "subscribe", "spam-target-0")
    error = await a.get_where(lambda e: e.get("type") == "error")
    assert condition(error) == "policy-violation"
    await close(a)


async def test_a_removed_account_leaves_no_subscriber():
    a, b = await login(user(), 0), await login(user(), 1)
    await make_state(a, b, "Both")
    await a.iq("set", "<query xmlns='jabber:iq:register'><remove/></query>", "localhost")
    for _ in range(50):
        if await state_of(b, a.user) == "None":
            break
        await asyncio.sleep(0.1)
    assert await state_of(b, a.user) == "None"
    await close(b)


async def befriend_by_itself(a, b, started):
    """Two clients that do what clients do and never repeat anything: a asks, b grants and asks, a grants."""
    async def answer(c, other):
        while True:
            element = await c.get(60)
            if element.tag == PRESENCE and element.get("type") == "subscribe" and element.get("from") == jid(other.user):
                say(c, "subscribed", other.user)
                if c is b:
                    say(c, "subscribe", other.user)

    tasks = [asyncio.create_task(answer(a, b)), asyncio.create_task(answer(b, a))]
    await started.wait()
    say(a, "subscribe", b.user)
    return tasks


async def subscriptions_of(name):
    c = await login(name, counter, available=False)
    items = items_of(await get_roster(c))
    await close(c)
    return {k: v[:2] for k, v in items.items()}


@limit(240)
async def test_handshakes_survive_the_death_of_routers():
    """P1, P2: the clients say each thing once; both rosters end at "both", whichever router died when."""
    import random
    for round_number in range(4):
        pairs = [(await login(user(), 0), await login(user(), 1)) for _ in range(8)]
        started = asyncio.Event()
        starters = [asyncio.create_task(befriend_by_itself(a, b, started)) for a, b in pairs]
        await asyncio.sleep(0.05)
        started.set()
        await asyncio.sleep(random.random() * 0.15)
        cluster.routers[round_number % 2].kill()
        tasks = [task for starter in starters for task in await starter]
        for router in cluster.routers:
            await asyncio.to_thread(router.wait_ready)
        for a, b in pairs:
            wanted = ({jid(b.user): ("both", None)}, {jid(a.user): ("both", None)})
            for _ in range(100):
                seen = (await subscriptions_of(a.user), await subscriptions_of(b.user))
                if seen == wanted:
                    break
                await asyncio.sleep(0.2)
            assert seen == wanted, f"round {round_number}: {seen}"
        await end_tasks(*tasks)
        for a, b in pairs:
            a.abort()
            b.abort()


@limit(120)
async def test_what_a_new_home_does_not_know_comes_whole():
    """Section 2.6.3: what was missed is known since the account came into memory; a router that has just taken it over has the whole list."""
    a = user()
    phone = await login(a, 0, "phone")
    ver = (await get_roster(phone, "")).find(f"{{{ROSTER}}}query").get("ver")
    await set_item(phone, "<item jid='keep@example.com'/>")
    newest, _ = await deltas(phone, ver, {"keep@example.com": "none"})
    phone.abort()
    for router in cluster.routers:
        router.kill()
    for router in cluster.routers:
        router.wait_ready()
    other = await client(1).login(a, resource="other", available=False)
    query = (await get_roster(other, ver)).find(f"{{{ROSTER}}}query")
    assert query.get("ver") == newest and set(items_of(query)) == {"keep@example.com"}
    await deltas(other, newest, {})
    await close(other)


def test_nothing_was_wrong_underneath():
    """Drains every process: exit code 0, no sanitizer report."""
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    with Cluster(edges=2, routers=2, archives=1,
                 config={"router": {"roster": {"max_items": MAX_ITEMS, "subscriptions_per_hour": 400}}}) as cluster:
        sys.exit(0 if run(sys.modules[__name__], context=None) else 1)
