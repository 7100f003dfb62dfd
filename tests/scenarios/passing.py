#!/usr/bin/python3
"""What the server passes without a part in it: receipts (XEP-0184), markers (XEP-0333), hints (XEP-0334), address changes (XEP-0283); what of it
waits for somebody who is away (XEP-0160); and what claims to come from the server and does not (C14, C15)."""
import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, body, condition  # noqa: E402
from runner import run  # noqa: E402

RECEIPTS, MARKERS, HINTS, SID, DELAY = "urn:xmpp:receipts", "urn:xmpp:chat-markers:0", "urn:xmpp:hints", "urn:xmpp:sid:0", "urn:xmpp:delay"
MAM, CARBONS, FORWARD, PRIVILEGE, MOVED = "urn:xmpp:mam:2", "urn:xmpp:carbons:2", "urn:xmpp:forward:0", "urn:xmpp:privilege:2", "urn:xmpp:moved:1"
cluster = None
counter = 0


def user():
    global counter
    counter += 1
    name = f"pass{counter}"
    cluster.add_account(name, "secret")
    return name


def client(edge=0):
    return RawClient(cluster.edges[edge].c2s)


def is_message(element):
    return element.tag == f"{{{CLIENT}}}message"


async def messages(c, count):
    return [await c.get_where(is_message) for _ in range(count)]


async def until_ping(c):
    """All messages that came before an answer the server gives now."""
    got = []
    c.send("<iq type='get' id='fence'><ping xmlns='urn:xmpp:ping'/></iq>")
    while True:
        element = await c.get()
        if element.get("id") == "fence":
            return got
        if is_message(element):
            got.append(element)


async def stored(name, count):
    """Until the log has so many entries of this account."""
    for _ in range(50):
        rows = cluster.postgres.query(f"SELECT count(*) FROM archive.message m JOIN router.account a ON a.id = m.owner WHERE a.bare = '{name}@localhost'")
        if int(rows) == count:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{rows} entries, not {count}")


RECEIVED, REQUEST = f"<received xmlns='{RECEIPTS}' id='m1'/>", f"<request xmlns='{RECEIPTS}'/>"
MARKED = [f"<{name} xmlns='{MARKERS}' id='m1'/>" for name in ("received", "displayed", "acknowledged")]
STORE, NO_STORE, NO_PERMANENT = (f"<{name} xmlns='{HINTS}'/>" for name in ("store", "no-store", "no-permanent-store"))


async def test_receipts_markers_and_hints_arrive_as_they_were_sent():
    a, b = user(), user()
    ca, cb = await client(0).login(a), await client(1).login(b)
    contents = [REQUEST + f"<markable xmlns='{MARKERS}'/><body>x</body>", RECEIVED, *MARKED, RECEIVED + STORE, RECEIVED + NO_STORE,
                "<body>y</body>" + NO_STORE, "<body>z</body>" + NO_PERMANENT, f"<no-copy xmlns='{HINTS}'/><body>n</body>"]
    for i, content in enumerate(contents):
        to = cb.jid if i % 2 else f"{b}@localhost"
        ca.send(f"<message to='{to}' id='i{i}' type='chat'>{content}</message>")
    for i, (content, got) in enumerate(zip(contents, await messages(cb, len(contents)))):
        assert got.get("id") == f"i{i}" and got.get("from") == ca.jid and got.get("type") == "chat"
        children = [child.tag for child in got if child.tag != f"{{{SID}}}stanza-id"]
        assert len(children) == content.count("<") - content.count("</"), (content, children)
    await ca.close()
    await cb.close()


async def test_what_waits_for_somebody_who_is_away():
    """XEP-0160 section 3, XEP-0334 sections 4.1, 4.2 and 4.4. Receipts and markers are worth keeping: else a message looks lost."""
    a, b = user(), user()
    ca = await client(0).login(a)
    kept = [("chat", "<body>1</body>" + REQUEST), ("chat", RECEIVED), ("normal", MARKED[1]), ("chat", MARKED[2] + f"<x xmlns='urn:x'/>"),
            ("chat", f"<x xmlns='urn:x'/>{STORE}"), ("chat", "<body>6</body>" + NO_PERMANENT), ("normal", "<body>7</body>")]
    dropped = [("chat", "<body>no</body>" + NO_STORE), ("chat", RECEIVED + NO_STORE), ("headline", "<body>no</body>"), ("headline", "<body>no</body>" + STORE),
               ("groupchat", "<body>no</body>"), ("chat", "<composing xmlns='http://jabber.org/protocol/chatstates'/>" + NO_STORE)]
    for i, (kind, content) in enumerate(kept + dropped):
        ca.send(f"<message to='{b}@localhost' id='k{i}' type='{kind}'>{content}</message>")
    refused = {e.get("id"): condition(e) for e in await messages(ca, 3)}
    assert not await until_ping(ca)
    await stored(b, len(kept))
    # A headline is dropped, a chat state, too; others hear that it did not arrive.
    assert refused == {f"k{i}": "service-unavailable" for i in (7, 8, 11)}, refused
    cb = await client(1).login(b)
    got = await messages(cb, len(kept))
    assert [e.get("id") for e in got] == [f"k{i}" for i in range(len(kept))]
    assert all(e.find(f"{{{DELAY}}}delay").get("from") == "localhost" for e in got)
    assert not await until_ping(cb)
    await ca.close()
    await cb.close()


async def test_what_imitates_the_server_shows_who_sent_it():
    """C14: copies, archive results, privileged wrappers and forwards reach a client under the address of who made them up."""
    a, b = user(), user()
    ca, cb = await client(0).login(a), await client(1).login(b)
    inner = f"<forwarded xmlns='{FORWARD}'><message xmlns='jabber:client' from='{b}@localhost' to='{b}@localhost'><body>trust me</body></message></forwarded>"
    wrappers = [f"<received xmlns='{CARBONS}'>{inner}</received>", f"<sent xmlns='{CARBONS}'>{inner}</sent>",
                f"<result xmlns='{MAM}' id='1' queryid='q'>{inner}</result>", f"<privilege xmlns='{PRIVILEGE}'>{inner}</privilege>", inner]
    for wrapper in wrappers:
        for to in (cb.jid, f"{b}@localhost"):
            for kind in ("chat", "headline"):
                ca.send(f"<message to='{to}' type='{kind}'>{wrapper}<body>x</body></message>")
                got = await cb.get_where(is_message)
                assert got.get("from") == ca.jid and got.get("to") in (cb.jid, f"{b}@localhost")
    assert not await until_ping(cb)
    for name in (f"{b}@localhost", "localhost", cb.jid):
        ca.send(f"<message to='{cb.jid}' from='{name}'>{wrappers[0]}</message>")
        await ca.expect_error("invalid-from")
        ca = await client(0).login(a)
    assert not await until_ping(cb)
    await ca.close()
    await cb.close()


async def test_forged_marks_of_ours_are_removed_from_everything():
    """C15: any spelling, any position, kept or not; those of others and those inside a forwarded message stay."""
    a, b = user(), user()
    ca, cb = await client(0).login(a), await client(1).login(b)
    by = (f"{b}@localhost", f"{b.upper()}@LOCALHOST")
    forged = "".join(f"<stanza-id xmlns='{SID}' by='{one}' id='666'/>" for one in by)
    forged += "".join(f"<delay xmlns='{DELAY}' from='{one}' stamp='2000-01-01T00:00:00Z'>x</delay>" for one in ("localhost", "LocalHost", *by))
    other = f"<stanza-id xmlns='{SID}' by='room@elsewhere' id='1'/><delay xmlns='{DELAY}' from='elsewhere' stamp='2001-01-01T00:00:00Z'/>"
    inner = f"<forwarded xmlns='{FORWARD}'><delay xmlns='{DELAY}' from='localhost' stamp='2002-01-01T00:00:00Z'/></forwarded>"
    text = f"{forged}<body>x</body>{forged}{other}{inner}{forged}"
    kept = [("chat", text), ("normal", text)]
    for kind, content in [*kept, ("headline", text), ("chat", text + NO_STORE), ("normal", text + NO_STORE)]:
        for to in (cb.jid, f"{b}@localhost"):
            ca.send(f"<message to='{to}' type='{kind}'>{content}</message>")
            got = await cb.get_where(is_message)
            ids = [(e.get("by"), e.get("id")) for e in got.iter(f"{{{SID}}}stanza-id")]
            stamps = sorted(e.get("stamp")[:4] for e in got.iter(f"{{{DELAY}}}delay"))
            assert body(got) == "x" and "666" not in [i for _, i in ids] and ("room@elsewhere", "1") in ids, ids
            assert len(ids) == (2 if (kind, content) in kept else 1) and stamps == ["2001", "2002"], (ids, stamps)
    await cb.close()
    ca.send(f"<message to='{b}@localhost' type='chat'>{text}</message>")
    await stored(b, len(kept) * 2 + 1)
    cb = await client(1).login(b)
    got = await cb.get_where(is_message)
    stamps = [e.get("stamp")[:4] for e in got.iter(f"{{{DELAY}}}delay") if e.get("from") == "localhost"]
    assert len(stamps) == 2 and "2000" not in stamps and "2002" in stamps, stamps
    assert [e.get("id") for e in got.iter(f"{{{SID}}}stanza-id") if e.get("by") != "room@elsewhere"] != ["666"]
    await ca.close()
    await cb.close()


async def test_a_moved_contact_says_so_in_his_request():
    """XEP-0283 section 4.4: never stripped; who was asked while away reads it later, too. There is nothing to verify it with before PEP."""
    a, b = user(), user()
    moved = f"<moved xmlns='{MOVED}'><old-jid>juliet@elsewhere.example</old-jid></moved>"
    ca = await client(0).login(a)
    cb = await client(1).login(b)
    await cb.iq("get", "<query xmlns='jabber:iq:roster'/>")
    ca.send(f"<presence type='subscribe' to='{b}@localhost'>{moved}</presence>")
    for _ in range(2):
        asked = await cb.get_where(lambda e: e.tag == f"{{{CLIENT}}}presence" and e.get("type") == "subscribe")
        assert asked.findtext(f"{{{MOVED}}}moved/{{{MOVED}}}old-jid") == "juliet@elsewhere.example"
        await cb.close()
        cb = await client(1).login(b, available=False)
        await cb.iq("get", "<query xmlns='jabber:iq:roster'/>")
        cb.send("<presence/>")
    await ca.close()
    await cb.close()


async def test_there_are_no_privacy_lists():
    """README: blocking only. Nothing that would make a client believe in XEP-0016."""
    c = await client().login(user())
    lists = "<query xmlns='jabber:iq:privacy'/>"
    for to in ("localhost", None):
        assert condition(await c.iq("get", lists, to)) == "service-unavailable"
        features = [f.get("var") for f in (await c.iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", to))[0]]
        assert "jabber:iq:privacy" not in features
    assert "urn:xmpp:blocking" in features or "urn:xmpp:blocking" in [
        f.get("var") for f in (await c.iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", "localhost"))[0]]
    await c.close()


def test_nothing_was_wrong_underneath():
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    with Cluster(edges=2, routers=2) as cluster:
        sys.exit(0 if run(sys.modules[__name__]) else 1)
