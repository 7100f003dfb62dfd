#!/usr/bin/python3
"""What an account keeps at its server, over real sockets and a real PostgreSQL: private XML (XEP-0049) and vCards (XEP-0054), their limits, and
what is left when a router or the account is gone."""
import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, condition  # noqa: E402
from runner import run  # noqa: E402

PRIVATE, VCARD = "jabber:iq:private", "vcard-temp"
MAX_BYTES, MAX_ITEMS, VCARD_BYTES = 20000, 8, 30000
cluster = None
counter = 0


def user():
    global counter
    counter += 1
    name = f"data{counter}"
    cluster.add_account(name, "secret")
    return name


def client(edge=0):
    return RawClient(cluster.edges[edge].c2s)


async def keep(c, *elements):
    return await c.iq("set", f"<query xmlns='{PRIVATE}'>{''.join(elements)}</query>")


async def ask(c, ns, name="p"):
    result = await c.iq("get", f"<query xmlns='{PRIVATE}'><{name} xmlns='{ns}'/></query>")
    assert result.get("type") == "result", condition(result)
    return result[0]


def rows(name):
    return int(cluster.postgres.query(
        f"SELECT count(*) FROM router.account_data d JOIN router.account a ON a.id = d.owner WHERE a.bare = '{name}@localhost'"))


async def test_private_xml_comes_back_on_another_device():
    a = user()
    phone, desk = await client(0).login(a, resource="phone"), await client(1).login(a, resource="desk")
    prefs = "<p xmlns='my:prefs' a='1'>text<b>&lt;\u263a</b>tail</p>"
    assert (await keep(phone, prefs, "<q xmlns='my:other'><r/></q>")).get("type") == "result"
    got = (await ask(desk, "my:prefs"))[0]
    assert got.get("a") == "1" and got.text == "text" and got[0].text == "<\u263a" and got[0].tail == "tail"
    assert (await ask(desk, "my:other", "q"))[0][0].tag == "{my:other}r"
    empty = await ask(desk, "my:nothing")
    assert len(empty) == 1 and empty[0].tag == "{my:nothing}p" and len(empty[0]) == 0
    await keep(desk, "<p xmlns='my:prefs'>new</p>")
    assert (await ask(phone, "my:prefs"))[0].text == "new"
    await keep(desk, "<p xmlns='my:prefs'/>")
    assert rows(a) == 1
    for c in (phone, desk):
        await c.close()


async def test_private_xml_is_the_accounts_alone():
    a, b = user(), user()
    ca, cb = await client(0).login(a), await client(1).login(b)
    await keep(ca, "<p xmlns='my:prefs'>mine</p>")
    for kind, inner in (("get", "<p xmlns='my:prefs'/>"), ("set", "<p xmlns='my:prefs'>yours</p>")):
        for to in (f"{a}@localhost", "nobody@localhost"):
            refused = await cb.iq(kind, f"<query xmlns='{PRIVATE}'>{inner}</query>", to)
            assert condition(refused) == "service-unavailable", condition(refused)
    assert (await ask(ca, "my:prefs"))[0].text == "mine"
    await ca.close()
    await cb.close()


async def test_private_xml_has_limits():
    """C11: bookmarks live here; what is refused changes nothing."""
    a = user()
    c = await client().login(a)
    for i in range(MAX_ITEMS):
        assert (await keep(c, f"<p xmlns='my:{i}'>x</p>")).get("type") == "result"
    assert condition(await keep(c, "<p xmlns='my:more'>x</p>")) == "resource-constraint"
    assert condition(await keep(c, f"<p xmlns='my:0'>{'x' * MAX_BYTES}</p>")) == "resource-constraint"
    assert (await ask(c, "my:0"))[0].text == "x"
    assert (await keep(c, "<p xmlns='my:0'/>", "<p xmlns='my:more'>x</p>")).get("type") == "result"
    for wrong, wanted in (("", "not-acceptable"), ("<p/>", "not-acceptable"), ("<p xmlns='a'>1</p><p/>", "not-acceptable")):
        assert condition(await keep(c, wrong)) == wanted
    for wrong in ("", "<a xmlns='b'/><b xmlns='c'/>"):
        assert condition(await c.iq("get", f"<query xmlns='{PRIVATE}'>{wrong}</query>")) == "bad-request"
    await c.close()


async def test_vcards_are_shown_and_changed_by_their_owner_only():
    a, b = user(), user()
    ca, cb = await client(0).login(a), await client(1).login(b)
    assert condition(await ca.iq("get", f"<vCard xmlns='{VCARD}'/>")) == "item-not-found"
    for to in (f"{a}@localhost", "nobody@localhost"):  # XEP-0054 §3.3: nobody can tell them apart
        assert condition(await cb.iq("get", f"<vCard xmlns='{VCARD}'/>", to)) == "service-unavailable"
        assert condition(await cb.iq("set", f"<vCard xmlns='{VCARD}'><FN>x</FN></vCard>", to)) == "forbidden"
    card = f"<vCard xmlns='{VCARD}'><FN>J\u00fcrgen &amp; Co</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>{'QUJD' * 2000}</BINVAL></PHOTO></vCard>"
    assert (await ca.iq("set", card)).get("type") == "result"
    await ca.close()
    seen = await cb.iq("get", f"<vCard xmlns='{VCARD}'/>", f"{a}@localhost")  # the owner is away
    assert seen.get("from") == f"{a}@localhost" and seen[0].findtext(f"{{{VCARD}}}FN") == "J\u00fcrgen & Co"
    assert len(seen[0].findtext(f"{{{VCARD}}}PHOTO/{{{VCARD}}}BINVAL")) == 8000
    ca = await client(1).login(a)
    assert condition(await ca.iq("set", f"<vCard xmlns='{VCARD}'><FN>{'x' * VCARD_BYTES}</FN></vCard>")) == "not-acceptable"
    assert condition(await ca.iq("set", f"<vCard xmlns='{VCARD}'>{'<a/>' * 1001}</vCard>")) == "not-acceptable"
    assert (await ca.iq("get", f"<vCard xmlns='{VCARD}'/>"))[0].findtext(f"{{{VCARD}}}FN") == "J\u00fcrgen & Co"
    await ca.close()
    await cb.close()


async def test_what_was_answered_survives_the_routers():
    a = user()
    c = await client().login_managed(a)
    for i in range(5):
        assert (await keep(c, f"<p xmlns='my:prefs'>{i}</p>")).get("type") == "result"
        for router in cluster.routers:
            router.kill()
        for router in cluster.routers:
            router.wait_ready(60)
        result = await c.iq("get", f"<query xmlns='{PRIVATE}'><p xmlns='my:prefs'/></query>", timeout=30)
        assert result[0][0].text == str(i)
    await c.close()


async def test_a_store_that_is_away_is_a_retryable_error():
    a = user()
    c = await client().login(a)
    await keep(c, "<p xmlns='my:prefs'>1</p>")
    cluster.postgres.stop()
    try:
        answer = await c.iq("set", f"<query xmlns='{PRIVATE}'><p xmlns='my:prefs'>2</p></query>", timeout=40)
        assert answer.get("type") == "error" and condition(answer) == "internal-server-error"
        assert answer.find(f"{{{CLIENT}}}error").get("type") == "wait"
    finally:
        cluster.postgres.start()
    deadline = asyncio.get_running_loop().time() + 40
    while (await c.iq("set", f"<query xmlns='{PRIVATE}'><p xmlns='my:prefs'>3</p></query>", timeout=40)).get("type") != "result":
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.5)
    assert (await ask(c, "my:prefs"))[0].text == "3"
    await c.close()


test_a_store_that_is_away_is_a_retryable_error.timeout = 120


async def test_a_deleted_account_leaves_nothing():
    a = user()
    c = await client().login(a)
    await keep(c, "<p xmlns='my:prefs'>1</p>")
    assert rows(a) == 1
    assert (await c.iq("set", "<query xmlns='jabber:iq:register'><remove/></query>")).get("type") == "result"
    assert rows(a) == 0
    await c.close()


def test_nothing_was_wrong_underneath():
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    limits = {"private_xml": {"max_items": MAX_ITEMS, "max_bytes": MAX_BYTES}, "vcard": {"max_bytes": VCARD_BYTES}}
    with Cluster(edges=2, routers=2, config={"all": limits}) as cluster:
        sys.exit(0 if run(sys.modules[__name__]) else 1)
