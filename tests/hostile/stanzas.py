#!/usr/bin/python3
"""Hostile stanzas after authentication, over two edges and two routers: rows C05 to C13 and C33 of the catalogue, as far as c2s.py, roster.py, blocking.py
and delivery_rules.py (C35) do not have them. Each test is named after its row."""
import asyncio
import os
import statistics
import sys
import time
import xml.etree.ElementTree as ET

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib")]
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, Closed, RawClient, body, condition  # noqa: E402
from runner import limit, run  # noqa: E402

IQ, MESSAGE, PRESENCE = (f"{{{CLIENT}}}{name}" for name in ("iq", "message", "presence"))
ROSTER, BLOCKING, PRIVATE, VCARD, REGISTER = "jabber:iq:roster", "urn:xmpp:blocking", "jabber:iq:private", "vcard-temp", "jabber:iq:register"
PING = "<ping xmlns='urn:xmpp:ping'/>"
UNAVAILABLE = ("service-unavailable", "cancel")
MAX_ITEMS = 12
cluster = None
counter = 0


def user(name=None):
    global counter
    counter += 1
    name = name or f"u{counter}"
    cluster.add_account(name)
    return name


def jid(name):
    return f"{name}@localhost"


def client(edge=0, domain="localhost"):
    return RawClient(cluster.edges[edge % 2].c2s, domain=domain)


async def settle(c, rounds=3):
    """What came while so many pings were answered: what was under way between two routers has arrived then."""
    came = []
    for i in range(rounds):
        ident = os.urandom(6).hex()
        c.send(f"<iq type='get' id='{ident}'>{PING}</iq>")
        while (element := await c.get()).get("id") != ident:
            came.append(element)
        await asyncio.sleep(0.03)
    return came


def error_of(element):
    return condition(element), element.find(f"{{{CLIENT}}}error").get("type")


async def close(*clients):
    for c in clients:
        await c.close()


def form_of(element):
    """Everything a client sees of it but the addresses and the id."""
    return element.tag, element.get("type"), [(e.tag, sorted(e.attrib.items()), e.text) for e in element.iter() if e is not element]


# ---- C05, C07

async def test_C05_unknown_requests_and_answers_nobody_asked_for():
    a, b = await client(0).login(user()), await client(1).login(user())
    for to in ("localhost", jid("nobody"), b.jid.split("/")[0], None):
        for kind in ("get", "set"):
            answer = await a.iq(kind, "<x xmlns='urn:example:unheard-of'/>", to)
            assert error_of(answer) == UNAVAILABLE, (to, kind)
    for to in ("localhost", jid("nobody"), b.jid.split("/")[0], a.jid.split("/")[0], f"{jid('nobody')}/x"):
        a.send(f"<iq type='result' id='unasked' to='{to}'/><iq type='error' id='unasked' to='{to}'><error type='cancel'/></iq>")
    assert not [e for e in await settle(a) + await settle(b) if e.get("id") == "unasked"]
    await close(a, b)


async def test_C07_broken_errors_are_never_answered():
    a, b = await client(0).login(user()), await client(1).login(user())
    broken = ("", "<error/>", "<error type='novel'/>", "<error type='cancel'><a xmlns='urn:a'/><b xmlns='urn:b'/></error>", "<error>text</error><error/>",
              "<body>no error at all</body>", "<error xmlns='urn:other' type='cancel'/>")
    for to in ("localhost", jid("nobody"), f"{jid('nobody')}/x", b.jid.split("/")[0], f"{b.jid.split('/')[0]}/gone", "someone@remote.example", "@not a jid"):
        for content in broken:
            for kind in ("message", "presence", "iq"):
                a.send(f"<{kind} type='error' id='broken' to='{to}'>{content}</{kind}>")
    assert not await settle(a) and not [e for e in await settle(b) if e.get("id") == "broken"]
    for content in broken:  # to whom it is for it comes as it is; nothing comes back
        a.send(f"<message type='error' id='mine' to='{b.jid}'>{content}</message>")
    assert len([e for e in await settle(b) if e.get("id") == "mine"]) == len(broken)
    assert not await settle(a)
    await close(a, b)


# ---- C08, C09

NO_STORE = "<body>x</body><no-store xmlns='urn:xmpp:hints'/>"


async def answer_to(c, stanza):
    c.send(stanza)
    return await c.get_where(lambda e: e.get("id") == "q")


async def test_C08_C09_same_words_for_strangers_and_nobody():
    """Messages that are not kept, last activity, version, vCard, PEP, time, disco: to an account that is away, to one that is there, to nobody; to the bare JID
    and to a resource by guess."""
    a, away, here = await client(0).login(user()), user(), user()
    b = await client(1).login(here, resource="secret-name")
    requests = ("<query xmlns='jabber:iq:last'/>", "<query xmlns='jabber:iq:version'/>", f"<vCard xmlns='{VCARD}'/>", "<time xmlns='urn:xmpp:time'/>",
                "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'/></pubsub>", PING,
                "<query xmlns='http://jabber.org/protocol/disco#info'/>", "<query xmlns='http://jabber.org/protocol/disco#items'/>", f"<query xmlns='{ROSTER}'/>")
    for content in requests:
        seen = {repr(form_of(await answer_to(a, f"<iq type='get' id='q' to='{jid(name)}'>{content}</iq>"))) for name in ("nobody", away, here)}
        assert len(seen) == 1, (content, seen)
        seen = {repr(form_of(await answer_to(a, f"<iq type='get' id='q' to='{jid(name)}/guess'>{content}</iq>"))) for name in ("nobody", away, here)}
        assert len(seen) == 1, (content, seen)
    for kind in ("chat", "normal"):
        for tail in ("", "/guess"):
            seen = {repr(form_of(await answer_to(a, f"<message type='{kind}' id='q' to='{jid(name)}{tail}'>{NO_STORE}</message>"))) for name in ("nobody", away)}
            assert len(seen) == 1 and "service-unavailable" in next(iter(seen)), seen
    for name in ("nobody", away, here):
        a.send(f"<presence type='probe' to='{jid(name)}'/><presence to='{jid(name)}/guess'/>")
    assert not [e for e in await settle(a) if e.tag == PRESENCE] and not [e for e in await settle(b) if e.get("from", "").startswith(a.jid)]
    await close(a, b)


@limit(120)
async def test_C08_same_time_for_strangers_and_nobody():
    """At the first question, when the router knows neither, and at the next ones: the median over many names, asked in turn, so that what else the machine does
    concerns both."""
    count, tries = 150, 3
    known = [f"quiet{i}" for i in range(count)]
    cluster.postgres.query("INSERT INTO router.account (bare) VALUES " + ", ".join(f"('{jid(n)}')" for n in known))
    a = await client(0).login(user())

    async def ask(name):
        began = time.perf_counter()
        assert error_of(await a.iq("get", "<query xmlns='jabber:iq:last'/>", jid(name))) == UNAVAILABLE
        return time.perf_counter() - began
    for visit in ("first", "second"):
        times = {True: [], False: []}
        for i in range(count):
            for is_known in (True, False) if i % 2 else (False, True):
                times[is_known].append(await ask(f"{'quiet' if is_known else 'ghost'}{i}"))
        middle = {k: statistics.median(v) for k, v in times.items()}
        print(f"      {visit}: somebody {middle[True] * 1e6:.0f} us, nobody {middle[False] * 1e6:.0f} us")
        assert 0.75 < middle[True] / middle[False] < 1.33, (visit, middle)
    await close(a)


async def test_C08_a_name_that_is_given_away_is_known_at_once():
    """Although every router remembers for a while that there was nobody."""
    a = await client(0).login(user())
    for i in range(4):  # at home in either router, registered through either edge
        name = f"later{i}"
        a.message(jid(name), "too early", ident="early")
        assert condition(await a.get_where(lambda e: e.get("id") == "early")) == "service-unavailable"
        fresh = await client(i).secure()
        answer = await fresh.iq("set", f"<query xmlns='{REGISTER}'><username>{name}</username><password>secret</password></query>")
        assert answer.get("type") == "result", condition(answer)
        fresh.abort()
        for attempt in range(20):
            a.message(jid(name), "welcome", ident=f"try{attempt}")
            if not [e for e in await settle(a, 2) if e.get("id") == f"try{attempt}"]:
                break
        else:
            raise AssertionError(f"{name} stays unknown")
        b = await client(1).login(name)
        assert body(await b.get_where(lambda e: e.tag == MESSAGE)) == "welcome"
        await close(b)
    await close(a)


# ---- C11, C13

async def test_C11_past_the_quota_nothing_is_stored():
    """Roster, blocklist, bookmarks in private XML, vCard: resource-constraint, and the store is as it was."""
    name = user()
    c = await client(0).login(name)
    for i in range(MAX_ITEMS):
        assert (await c.iq("set", f"<query xmlns='{ROSTER}'><item jid='c{i}@x.example'/></query>")).get("type") == "result"
        assert (await c.iq("set", f"<query xmlns='{PRIVATE}'><storage xmlns='storage:bookmarks{i or ''}'><conference jid='r{i}@x.example'/></storage></query>")).get("type") == "result"
    assert (await c.iq("set", f"<block xmlns='{BLOCKING}'>" + "".join(f"<item jid='s{i}@x.example'/>" for i in range(MAX_ITEMS)) + "</block>")).get("type") == "result"
    assert (await c.iq("set", f"<vCard xmlns='{VCARD}'><FN>short</FN></vCard>")).get("type") == "result"
    store = "SELECT (SELECT count(*) FROM router.roster r WHERE r.owner = a.id), (SELECT sum(hashtext(d::text)::bigint) FROM router.account_data d WHERE d.owner = a.id)" \
        f" FROM router.account a WHERE bare = '{jid(name)}'"
    before = cluster.postgres.query(store)
    too_much = (f"<query xmlns='{ROSTER}'><item jid='more@x.example'/></query>", f"<block xmlns='{BLOCKING}'><item jid='more@x.example'/></block>",
                f"<query xmlns='{PRIVATE}'><storage xmlns='storage:more'><conference jid='m@x.example'/></storage></query>",
                f"<query xmlns='{PRIVATE}'><storage xmlns='storage:bookmarks'>{'<conference/>' * 2000}</storage></query>",
                f"<vCard xmlns='{VCARD}'><FN>{'x' * 40000}</FN></vCard>")
    for content in too_much:
        assert condition(await c.iq("set", content)) in ("resource-constraint", "not-acceptable"), content[:80]
        assert condition(await c.iq("set", content)) == "resource-constraint" or VCARD in content, content[:80]
    assert cluster.postgres.query(store) == before
    assert len((await c.iq("get", f"<query xmlns='{ROSTER}'/>"))[0]) == len((await c.iq("get", f"<blocklist xmlns='{BLOCKING}'/>"))[0]) == MAX_ITEMS
    await close(c)


async def test_C13_a_push_from_a_stranger_changes_nothing():
    """Whatever form the address has; `from` is the true one (the other half: roster.py)."""
    a, b = await client(0).login(user()), await client(1).login(user(), resource="pc")
    push = f"<query xmlns='{ROSTER}'><item jid='{a.jid.split('/')[0]}' subscription='both'/></query>"
    bare = b.jid.split("/")[0]
    assert error_of(await a.iq("set", push, bare)) == ("forbidden", "auth")
    assert error_of(await a.iq("set", push, f"{bare}/gone")) == UNAVAILABLE
    a.send(f"<iq type='set' id='push' to='{b.jid}'>{push}</iq>")
    got = await b.get_where(lambda e: e.get("id") == "push")
    assert got.get("from") == a.jid
    assert len((await b.iq("get", f"<query xmlns='{ROSTER}'/>"))[0]) == 0
    await close(a, b)


# ---- C33

VARIANTS = {  # prepared: what means the same
    "ålice": ("ÅLICE", "A\u030aLICE", "a\u030alice", "ålice", "\u212bLICE", "Å\uff2c\uff29\uff23\uff25", "å\uff4cice"),
    "жук": ("ЖУК", "Жук", "\u0436\u0443\u043a"),
    "\u30ab\u30bf": ("\uff76\uff80", "\u30ab\uff80"),
    "\u0623\u062d\u0645\u062f": ("\u0627\u0654\u062d\u0645\u062f",),
}
NOT_A_NAME = ("a\u200db", "a\u200cb", "a\u05d0", "\u05d0a", "a\u0378", "a\ufdd0", "a\u00adb", "a\u202eb", "a b", "a\u00a0b", "a\u3000b", "a\uff20b", "a/b", "a&amp;b", "a&quot;b",
              "a:b", "a&lt;b", "a&gt;b", "a&apos;b", "ﬁ", "\u2163", "\u1680a", "\u0640a", "x" * 1024)


async def test_C33_one_normal_form_everywhere():
    """The edge (addresses, SASL), the router (homes, rosters, blocklists), PostgreSQL (one row), starlingctl, registration: whatever form is written."""
    sender = await client(1).login(user())
    for i, (name, forms) in enumerate(VARIANTS.items()):
        user(forms[0])
        assert cluster.postgres.query(f"SELECT count(*) FROM router.account WHERE bare = '{jid(name)}'") == "1", name
        for form in forms:
            assert cluster.ctl("account", "add", jid(form), "--password-file", "-", stdin="secret\n", check=False).returncode != 0, form
            fresh = await client(i).secure()
            taken = await fresh.iq("set", f"<query xmlns='{REGISTER}'><username>{form}</username><password>x</password></query>")
            assert condition(taken) == "conflict", (form, condition(taken))
            fresh.abort()
            c = await client(0).login(form, resource="r")
            assert c.jid == f"{jid(name)}/r", (form, c.jid)
            sender.message(f"{form}@LocalHost", form, ident="m")
            got = await c.get_where(lambda e: e.tag == MESSAGE)
            assert body(got) == form and got.get("to") == jid(name)
            c.send(f"<message from='{form}@localhost/r' to='{sender.jid}' id='own'><body>from me</body></message>")
            assert (await sender.get_where(lambda e: e.get("id") == "own")).get("from") == c.jid
            await c.iq("set", f"<query xmlns='{ROSTER}'><item jid='{form}@Contacts.Example.'/></query>")
            items = [e.get("jid") for e in (await c.iq("get", f"<query xmlns='{ROSTER}'/>"))[0]]
            assert items == [f"{name}@contacts.example"], (form, items)
            await sender.iq("set", f"<block xmlns='{BLOCKING}'><item jid='{form}@localhost'/></block>")
            c.message(sender.jid, "blocked", ident="b")
            assert condition(await c.get_where(lambda e: e.get("id") == "b")) == "service-unavailable"
            await sender.iq("set", f"<unblock xmlns='{BLOCKING}'/>")
            await close(c)
    await close(sender)


async def test_C33_what_is_no_address_is_refused_everywhere():
    sender = await client(0).login(user())
    accounts = cluster.postgres.query("SELECT count(*) FROM router.account")
    for bad in NOT_A_NAME:
        sender.send(f"<message to='{bad}@localhost' id='bad'><body>x</body></message>")
        wanted = "remote-server-not-found" if "/" in bad else "jid-malformed"  # a resource of the host "a"
        assert condition(await sender.get_where(lambda e: e.get("id") == "bad")) == wanted, bad
        fresh = await client(1).secure()
        answer = await fresh.iq("set", f"<query xmlns='{REGISTER}'><username>{bad}</username><password>x</password></query>")
        assert condition(answer) in ("not-acceptable", "bad-request", "jid-malformed"), (bad, condition(answer))
        fresh.abort()
        plain = bad.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&apos;", "'")
        assert cluster.ctl("account", "add", jid(plain), "--password-file", "-", stdin="secret\n", check=False).returncode != 0 or "/" in plain, bad
    assert cluster.postgres.query("SELECT count(*) FROM router.account") == accounts
    nul = await client(0).login(user())
    nul.send("<message to='a&#0;b@localhost' id='nul'><body>x</body></message>")
    try:
        await nul.expect_error("not-well-formed")
    except Closed:
        pass
    await close(sender)


async def test_C33_names_that_look_like_others_are_not_given_away():
    """In-band registration, in whatever form it is written; honest names of the same scripts pass. An operator may give any name (starlingctl)."""
    accounts = cluster.postgres.query("SELECT count(*) FROM router.account")
    for trick in ("\u0430lice", "p\u0430ypal", "\u0430\u0440\u0440\u04cf\u0435", "\u0410\u0420\u0420\u04cf\u0415", "b\u03bfb", "\u0251lice", "\u0441\u043e\u0441\u043e"):
        fresh = await client(1).secure()
        answer = await fresh.iq("set", f"<query xmlns='{REGISTER}'><username>{trick}</username><password>x</password></query>")
        assert condition(answer) == "not-acceptable", (trick, condition(answer))
        fresh.abort()
    assert cluster.postgres.query("SELECT count(*) FROM router.account") == accounts
    for honest in ("\u043d\u0430\u0442\u0430\u0448\u0430", "jos\u00e9", "\u7530\u4e2d", "\u05d3\u05d5\u05d3"):
        fresh = await client(0).secure()
        answer = await fresh.iq("set", f"<query xmlns='{REGISTER}'><username>{honest}</username><password>x</password></query>")
        assert answer.get("type") == "result", (honest, condition(answer))
        fresh.abort()


async def test_C33_the_longest_address_works():
    longest = "l" * 1023
    user(longest)
    c, sender = await client(0).login(longest, resource="r" * 1023), await client(1).login(user())
    assert c.jid == f"{longest}@localhost/{'r' * 1023}"
    sender.message(c.jid, "far")
    assert body(await c.get_where(lambda e: e.tag == MESSAGE)) == "far"
    sender.send(f"<message to='{longest}l@localhost' id='over'><body>x</body></message>")
    assert condition(await sender.get_where(lambda e: e.get("id") == "over")) == "jid-malformed"
    sender.message(f"{longest[1:]}x@localhost", "nobody", ident="nobody")
    assert condition(await sender.get_where(lambda e: e.get("id") == "nobody")) == "service-unavailable"
    await close(c, sender)


async def test_C33_one_form_of_a_domain():
    name = "idn"
    cluster.ctl("account", "add", "idn@b\u00fccher.localhost", "--password-file", "-", stdin="secret\n")
    for form in ("xn--bcher-kva.localhost", "B\u00dcCHER.localhost", "bu\u0308cher.LOCALHOST", "\uff42\u00fccher.localhost", "b\u00fccher.localhost."):
        assert cluster.ctl("account", "add", f"{name}@{form}", "--password-file", "-", stdin="secret\n", check=False).returncode != 0, form
        c = await client(0, domain=form).login(name, resource="r")
        assert c.jid == "idn@b\u00fccher.localhost/r", (form, c.jid)
        sender = await client(1).login(user())
        sender.message(f"{name}@{form}", form)
        assert body(await c.get_where(lambda e: e.tag == MESSAGE)) == form
        await close(c, sender)


def test_nothing_was_wrong_underneath():
    """Drains every process: exit code 0, no sanitizer report."""
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    router = {"roster": {"max_items": MAX_ITEMS}, "blocking": {"max_items": MAX_ITEMS}, "private_xml": {"max_items": MAX_ITEMS, "max_bytes": 20000},
              "vcard": {"max_bytes": 30000}, "register": {"per_hour": 10000}}
    with Cluster(edges=2, routers=2, archives=1, config={"router": router, "edge": {"c2s": {"max_attempts_per_minute": 1000000}}},
                 hosts=[{"domain": "localhost", "registration": True}, {"domain": "b\u00fccher.localhost"}]) as cluster:
        sys.exit(0 if run(sys.modules[__name__]) else 1)
