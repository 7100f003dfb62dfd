#!/usr/bin/python3
"""What a host announces of itself (XEP-0115, XEP-0390), computed here once more from what it answers: for each host, over each edge, after a
change of the configuration; and what clients announce passes as it is."""
import asyncio
import base64
import hashlib
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, condition  # noqa: E402
from runner import limit, run  # noqa: E402

CAPS, CAPS2, HASHES = "http://jabber.org/protocol/caps", "urn:xmpp:caps", "urn:xmpp:hashes:2"
INFO, DATA, LANG = "http://jabber.org/protocol/disco#info", "jabber:x:data", "{http://www.w3.org/XML/1998/namespace}lang"
ALGORITHMS = {"sha-256": hashlib.sha256, "sha3-256": hashlib.sha3_256}
KINDS = ("abuse", "admin", "feedback", "sales", "security", "status", "support")
CONTACTS = {kind: [f"mailto:{kind}@localhost", f"https://{kind}.localhost/?a=1&b=%C3%A4"] for kind in KINDS}
cluster = None
counter = 0


def user():
    global counter
    counter += 1
    name = f"caps{counter}"
    cluster.add_account(name, "secret")
    return name


def client(edge=0, **options):
    return RawClient(cluster.edges[edge].c2s, **options)


def fields_of(form):
    return [(f.get("var"), sorted((v.text or "") for v in f.findall(f"{{{DATA}}}value"))) for f in form.findall(f"{{{DATA}}}field")]


def ver_of(query):
    """XEP-0115 section 5.1."""
    text = ""
    for one in sorted((i.get("category"), i.get("type"), i.get(LANG, ""), i.get("name", "")) for i in query.findall(f"{{{INFO}}}identity")):
        text += "/".join(one) + "<"
    for var in sorted(f.get("var") for f in query.findall(f"{{{INFO}}}feature")):
        text += var + "<"
    forms = [dict(fields_of(form)) for form in query.findall(f"{{{DATA}}}x")]
    for form in sorted(forms, key=lambda form: form["FORM_TYPE"]):
        text += form.pop("FORM_TYPE")[0] + "<"
        for var in sorted(form):
            text += "".join(part + "<" for part in [var, *form[var]])
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()


def hash_input(query):
    """XEP-0390 section 4.1."""
    features = sorted(f.get("var") + "\x1f" for f in query.findall(f"{{{INFO}}}feature"))
    identities = sorted("".join(i.get(name, "") + "\x1f" for name in ("category", "type", LANG, "name")) + "\x1e"
                        for i in query.findall(f"{{{INFO}}}identity"))
    forms = []
    for form in query.findall(f"{{{DATA}}}x"):
        fields = sorted("".join(part + "\x1f" for part in [var, *values]) + "\x1e" for var, values in fields_of(form))
        forms.append("".join(fields) + "\x1d")
    return ("".join(features) + "\x1c" + "".join(identities) + "\x1c" + "".join(sorted(forms)) + "\x1c").encode()


def announced(features):
    """node, ver, and the hashes by their names; None if nothing is announced."""
    c, c2 = features.find(f"{{{CAPS}}}c"), features.find(f"{{{CAPS2}}}c")
    if c is None or c2 is None:
        assert c is None and c2 is None
        return None
    assert c.get("hash") == "sha-1"
    return c.get("node"), c.get("ver"), {h.get("algo"): h.text for h in c2.findall(f"{{{HASHES}}}hash")}


async def ask(c, host, node=None):
    return await c.iq("get", f"<query xmlns='{INFO}'" + (f" node='{node}'" if node else "") + "/>", host)


async def check(c, host):
    """What the stream announced is what the host answers, with each of the nodes and without one."""
    node, ver, hashes = announced(c.features)
    query = (await ask(c, host))[0]
    assert ver == ver_of(query), (ver, ver_of(query))
    assert set(hashes) == set(ALGORITHMS)
    nodes = [f"{node}#{ver}"]
    for name, value in hashes.items():
        assert value == base64.b64encode(ALGORITHMS[name](hash_input(query)).digest()).decode(), name
        nodes.append(f"{CAPS2}#{name}.{value}")
    for one in nodes:
        answer = (await ask(c, host, one))[0]
        assert answer.get("node") == one and hash_input(answer) == hash_input(query)
    return nodes, query


async def test_what_a_host_announces_is_what_it_answers():
    a = user()
    seen = []
    for edge in (0, 1):
        c = await client(edge).login(a)
        nodes, query = await check(c, "localhost")
        seen.append(nodes)
        assert {CAPS, CAPS2} <= {f.get("var") for f in query.findall(f"{{{INFO}}}feature")}
        assert [x.find(f"{{{DATA}}}field/{{{DATA}}}value").text for x in query.findall(f"{{{DATA}}}x")] == ["http://jabber.org/network/serverinfo", "urn:xmpp:sos:0"]
        await c.close()
    assert seen[0] == seen[1]


async def test_every_kind_of_contact_address_and_the_outage_status():
    """XEP-0157, XEP-0128, XEP-0455; what a client reads with its own eyes is in the hash, too (check above)."""
    c = await client().login(user())
    _, query = await check(c, "localhost")
    contacts, outage = (dict(fields_of(form)) for form in query.findall(f"{{{DATA}}}x"))
    assert set(contacts) == {"FORM_TYPE", *(f"{kind}-addresses" for kind in KINDS)}
    for kind in KINDS:
        assert contacts[f"{kind}-addresses"] == sorted(CONTACTS[kind])
    assert outage == {"FORM_TYPE": ["urn:xmpp:sos:0"], "external-status-addresses": ["https://elsewhere.example/status.json?a=1&b=2"]}
    for form in query.findall(f"{{{DATA}}}x"):
        assert form.get("type") == "result" and form[0].get("var") == "FORM_TYPE" and form[0].get("type") == "hidden"
    await c.close()


async def test_hosts_differ():
    c = await client().login(user())
    other = await client(domain="any.localhost").login("whoever", "x", mechanism="PLAIN")
    nodes, _ = await check(c, "localhost")
    others, query = await check(other, "any.localhost")
    assert query.find(f"{{{DATA}}}x") is None and not set(nodes) & set(others)
    # Asked of the other host, each answers for itself.
    assert ver_of((await ask(c, "any.localhost"))[0]) == others[0].split("#")[-1]
    assert (await ask(c, "any.localhost", others[1])).get("type") == "result"
    for node in (nodes[0], nodes[1], others[0] + "x", others[0].split("#")[0], CAPS2, "x" * 3000):
        assert condition(await ask(c, "any.localhost", node)) == "item-not-found", node
    assert condition(await ask(c, None, nodes[0])) == "item-not-found"
    await c.close()
    await other.close()


async def test_nobody_learns_it_before_he_is_somebody():
    c = await client().secure()
    assert announced(c.features) is None
    c.abort()


async def test_what_a_client_announces_passes():
    """No optimization: each presence keeps its <c/>, so that probes show it, and the hash of an avatar (XEP-0153) beside it."""
    a, b = user(), user()
    ca = await client(0).login(a, resource="x")
    cb = await client(1).login(b, resource="y", available=False)
    extra = (f"<c xmlns='{CAPS}' hash='sha-1' node='urn:x' ver='{{}}'/><c xmlns='{CAPS2}'><hash xmlns='{HASHES}' algo='sha-256'>eA==</hash></c>"
             "<x xmlns='vcard-temp:x:update'><photo>01b87fcd030b72895ff8e88db57ec525450f000d</photo></x>")
    for ver in ("eA==", "eA==", "eQ=="):
        ca.send(f"<presence to='{b}@localhost/y'>{extra.format(ver)}</presence>")
        got = await cb.get_where(lambda e: e.tag == f"{{{CLIENT}}}presence" and e.get("from") == f"{a}@localhost/x")
        assert got.find(f"{{{CAPS}}}c").get("ver") == ver and got.findtext(f"{{{CAPS2}}}c/{{{HASHES}}}hash") == "eA=="
        assert got.findtext("{vcard-temp:x:update}x/{vcard-temp:x:update}photo") == "01b87fcd030b72895ff8e88db57ec525450f000d"
    ca.send(f"<presence>{extra.format('eg==')}</presence>")
    await ca.get_where(lambda e: e.tag == f"{{{CLIENT}}}presence" and e.get("from") == ca.jid and e.find(f"{{{CAPS}}}c") is not None)
    later = await client(1).login(a, resource="later", available=False)
    later.send("<presence/>")
    got = await later.get_where(lambda e: e.tag == f"{{{CLIENT}}}presence" and e.get("from") == ca.jid)
    assert got.find(f"{{{CAPS}}}c").get("ver") == "eg==" and got.find("{vcard-temp:x:update}x") is not None
    for c in (ca, cb, later):
        await c.close()


async def login_when(accept):
    a = user()
    for _ in range(50):
        c = await client(1).login(a)
        if accept(announced(c.features)[1]):
            return c
        await c.close()
        await asyncio.sleep(0.2)
    raise AssertionError("nothing new is announced")


@limit(120)
async def test_a_changed_configuration_is_announced():
    c = await client().login(user())
    before, _ = await check(c, "localhost")
    texts = {}
    for node in cluster.routers:
        with open(node.path) as file:
            texts[node] = file.read()
        assert "abuse@localhost" in texts[node]
        with open(node.path, "w") as out:
            out.write(texts[node].replace("abuse@localhost", "other@localhost"))
        os.kill(node.pid(), signal.SIGHUP)
    try:
        after = await login_when(lambda ver: ver not in before[0])
        nodes, query = await check(after, "localhost")
        assert not set(nodes) & set(before) and any("other@localhost" in v for f in fields_of(query.find(f"{{{DATA}}}x")) for v in f[1])
        for node in before:  # XEP-0390 section 6.1: the former ones are still known
            assert (await ask(c, "localhost", node)).get("type") == "result"
        await after.close()
    finally:
        for node, text in texts.items():
            with open(node.path, "w") as out:
                out.write(text)
            os.kill(node.pid(), signal.SIGHUP)
    await c.close()
    await (await login_when(lambda ver: ver in before[0])).close()


@limit(120)
async def test_it_survives_the_death_of_a_router():
    a = user()
    c = await client(0).login(a)
    before, _ = await check(c, "localhost")
    await c.close()
    cluster.routers[0].kill()
    cluster.routers[0].wait_ready()
    for edge in (0, 1):
        c = await client(edge).login(a)
        assert (await check(c, "localhost"))[0] == before
        await c.close()


def test_nothing_was_wrong_underneath():
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    extra = {"contact_addresses": [{"host": "localhost", **CONTACTS, "outage_status": ["https://elsewhere.example/status.json?a=1&b=2"]}]}
    with Cluster(edges=2, routers=2, config={"all": extra}) as cluster:
        sys.exit(0 if run(sys.modules[__name__]) else 1)
