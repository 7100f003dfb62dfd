#!/usr/bin/python3
"""Message carbons (XEP-0280) over real sockets, two edges and two routers: who gets copies of what, that they are numbered like any
stanza, and that they outlive lost connections, edges and routers."""
import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, body, condition  # noqa: E402
from runner import run  # noqa: E402

CARBONS, FORWARD, HINTS = "urn:xmpp:carbons:2", "urn:xmpp:forward:0", "urn:xmpp:hints"
ON, OFF = f"<enable xmlns='{CARBONS}'/>", f"<disable xmlns='{CARBONS}'/>"
cluster = None
counter = 0


def user():
    global counter
    counter += 1
    name = f"carbon{counter}"
    cluster.add_account(name, "secret")
    return name


def client(edge=0):
    return RawClient(cluster.edges[edge].c2s)


def is_message(element):
    return element.tag == f"{{{CLIENT}}}message"


async def next_message(c, timeout=10):
    return await c.get_where(is_message, timeout)


async def nothing_more(c, settle=0.5):
    try:
        element = await c.get_where(is_message, settle)
    except asyncio.TimeoutError:
        return
    raise AssertionError(f"unexpected {element.attrib} {[e.tag for e in element]}")


def inner(element, kind):
    """The message in a copy; its wrapper must be what XEP-0280 §7 and §8 say."""
    assert len(element) == 1 and element[0].tag == f"{{{CARBONS}}}{kind}", [e.tag for e in element]
    bare, _, resource = element.get("to").partition("/")
    assert element.get("from") == bare and resource, element.attrib
    forwarded = element[0][0]
    assert forwarded.tag == f"{{{FORWARD}}}forwarded"
    message = forwarded.find(f"{{{CLIENT}}}message")
    assert message.get("type") == element.get("type")
    return message


async def devices(name, managed=False):
    """Two sessions on two edges: the second one wants copies."""
    phone = await client(0).login(name, resource="phone")
    desk = client(1)
    await (desk.login_managed(name, resource="desk") if managed else desk.login(name, resource="desk"))
    assert (await desk.iq("set", ON)).get("type") == "result"
    return phone, desk


async def close(*clients):
    for c in clients:
        await c.close()


async def test_copies_of_both_directions():
    a, b = user(), user()
    phone, desk = await devices(a)
    pc = await client(1).login(b, resource="pc")
    phone.message(f"{b}@localhost/pc", "hello", ident="m1")
    got = await next_message(pc)
    assert body(got) == "hello" and got.find(f"{{{CARBONS}}}sent") is None
    sent = inner(await next_message(desk), "sent")
    assert body(sent) == "hello" and sent.get("from") == f"{a}@localhost/phone" and sent.get("to") == f"{b}@localhost/pc" and sent.get("id") == "m1"
    pc.message(f"{a}@localhost/phone", "well met", ident="m2")
    original = await next_message(phone)
    received = inner(await next_message(desk), "received")
    assert body(original) == body(received) == "well met" and received.get("from") == f"{b}@localhost/pc"
    ids = [e.find("{urn:xmpp:sid:0}stanza-id").get("id") for e in (original, received)]
    assert ids[0] == ids[1], "one entry of the log"
    for c in (phone, desk, pc):
        await nothing_more(c, 0.3)
    await close(phone, desk, pc)


async def test_a_message_to_the_bare_jid_comes_once_to_everybody():
    a, b = user(), user()
    phone, desk = await devices(a)
    pc = await client(0).login(b)
    pc.message(f"{a}@localhost", "all")
    for c in (phone, desk):
        assert body(await next_message(c)) == "all"
        await nothing_more(c, 0.3)
    desk.send("<presence><priority>-1</priority></presence>")
    await desk.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")
    pc.message(f"{a}@localhost", "not for you")
    assert body(await next_message(phone)) == "not for you"
    assert body(inner(await next_message(desk), "received")) == "not for you"
    await close(phone, desk, pc)


async def test_disabled_sessions_get_no_copies_and_both_may_be_repeated():
    a, b = user(), user()
    phone, desk = await devices(a)
    pc = await client(0).login(b)
    for ask in (ON, ON, OFF, OFF):
        assert (await desk.iq("set", ask)).get("type") == "result"
    phone.message(f"{b}@localhost", "quiet")
    await next_message(pc)
    pc.message(f"{a}@localhost/phone", "quiet")
    await next_message(phone)
    await nothing_more(desk)
    assert (await desk.iq("set", ON, f"{a}@localhost")).get("type") == "result"
    refused = await pc.iq("set", ON, f"{a}@localhost")
    assert refused.get("type") == "error" and condition(refused) == "service-unavailable"
    await close(phone, desk, pc)


async def test_what_is_not_copied():
    a, b = user(), user()
    phone, desk = await devices(a)
    pc = await client(0).login(b)
    private = f"<private xmlns='{CARBONS}'/>"
    for extra in (private, f"<no-copy xmlns='{HINTS}'/>"):
        phone.message(f"{b}@localhost", "secret", extra=extra)
        got = await next_message(pc)
        if extra == private:
            assert got.find(f"{{{CARBONS}}}private") is not None, "XEP-0280 §9: it is not removed any more"
        pc.message(f"{a}@localhost/phone", "secret", extra=extra)
        await next_message(phone)
    pc.message(f"{a}@localhost/phone", "news", kind="headline")
    await next_message(phone)
    pc.message(f"{a}@localhost/phone", "in the room", extra="<x xmlns='http://jabber.org/protocol/muc#user'/>")
    await next_message(phone)
    pc.send(f"<message to='{a}@localhost/phone'><x xmlns='urn:example:other'/></message>")
    await next_message(phone)
    await nothing_more(desk)
    pc.send(f"<message to='{a}@localhost/phone'><x xmlns='jabber:x:conference' jid='r@c.localhost'/></message>")
    await next_message(phone)
    assert inner(await next_message(desk), "received").find("{jabber:x:conference}x") is not None
    await close(phone, desk, pc)


async def test_states_and_errors_are_copied():
    a, b = user(), user()
    phone, desk = await devices(a)
    pc = await client(0).login(b)
    phone.send(f"<message to='{b}@localhost' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
    assert inner(await next_message(desk), "sent")[0].tag.endswith("}composing")
    await next_message(pc)
    phone.message("nobody@localhost", "anybody?", ident="e1")
    assert inner(await next_message(desk), "sent").get("id") == "e1"
    bounced = await next_message(phone)
    assert bounced.get("type") == "error" and condition(bounced) == "service-unavailable"
    copy = inner(await next_message(desk), "received")
    assert copy.get("id") == "e1" and condition(copy) == "service-unavailable"
    await close(phone, desk, pc)


async def test_a_forged_copy_shows_who_sent_it():
    a, b = user(), user()
    phone, desk = await devices(a)
    pc = await client(0).login(b, resource="pc")
    forged = (f"<{{}} xmlns='{CARBONS}'><forwarded xmlns='{FORWARD}'><message xmlns='jabber:client' from='eve@localhost' to='{a}@localhost'>"
              "<body>trust me</body></message></forwarded></{}>")
    for kind in ("received", "sent"):
        pc.send(f"<message to='{a}@localhost/desk' type='chat'>{forged.format(kind, kind)}</message>")
        assert (await next_message(desk)).get("from") == f"{b}@localhost/pc"
        pc.send(f"<message to='{a}@localhost/desk' from='{a}@localhost' type='chat' id='x'>{forged.format(kind, kind)}</message>")
        try:  # RFC 6120 §8.1.2.1: not from this address
            await pc.expect_error("invalid-from")
        except asyncio.TimeoutError:
            raise AssertionError("a forged from was taken") from None
        pc = await client(0).login(b, resource="pc")
    await nothing_more(desk, 0.3)
    await close(phone, desk, pc)


async def test_copies_outlive_the_connection_and_survive_the_edge():
    a, b = user(), user()
    phone, desk = await devices(a, managed=True)
    pc = await client(0).login(b, resource="pc")
    desk.abort()
    phone.message(f"{b}@localhost", "while you were away")
    await next_message(pc)
    pc.message(f"{a}@localhost/phone", "and so was I")
    await next_message(phone)
    new = await client(0).authenticate(a)
    assert (await new.resume(desk.sm)).tag.endswith("}resumed")
    assert body(inner(await next_message(new), "sent")) == "while you were away"
    assert body(inner(await next_message(new), "received")) == "and so was I"
    phone.message(f"{b}@localhost", "still on")
    assert body(inner(await next_message(new), "sent")) == "still on"
    await close(phone, new, pc)


async def test_copies_survive_the_death_of_the_router():
    a, b = user(), user()
    phone, desk = await devices(a, managed=True)
    pc = await client(0).login(b, resource="pc")
    desk.answers_requests = False
    phone.message(f"{b}@localhost", "one")
    await next_message(pc)
    pc.message(f"{a}@localhost/phone", "two")
    await next_message(phone)
    for router in cluster.routers:
        router.kill()
    for router in cluster.routers:
        router.wait_ready(60)
    phone.message(f"{b}@localhost", "three")
    await next_message(pc, 60)
    pc.message(f"{a}@localhost/phone", "four")
    await next_message(phone, 60)
    seen = []
    while len(seen) < 4:
        element = await next_message(desk, 30)
        seen.append(body(inner(element, element[0].tag.split("}")[1])))
    assert seen == ["one", "two", "three", "four"], seen
    await close(phone, desk, pc)


async def lose_redis_and_routers():
    """No record is left of what sessions wanted: only their edges know."""
    await asyncio.to_thread(cluster.redis.command, "FLUSHALL")
    for router in cluster.routers:
        await asyncio.to_thread(router.kill)
    for router in cluster.routers:
        await asyncio.to_thread(router.wait_ready, 60)


async def test_copies_survive_redis_and_the_router():
    a, b = user(), user()
    phone, desk = await devices(a, managed=True)
    pc = await client(0).login(b, resource="pc")
    for text in ("one", "two"):
        await lose_redis_and_routers()
        pc.message(f"{a}@localhost/phone", text)
        assert body(await next_message(phone, 60)) == text
        while (got := body(inner(await next_message(desk, 60), "received"))) != text:
            assert got == "one", got  # the log offers again what was acknowledged just before
        desk.abort()  # and the next edge learns it with the session
        new = await client(0).authenticate(a)
        assert (await new.resume(desk.sm)).tag.endswith("}resumed")
        desk = new
    assert (await desk.iq("set", OFF)).get("type") == "result"
    await lose_redis_and_routers()
    pc.message(f"{a}@localhost/phone", "three")
    assert body(await next_message(phone, 60)) == "three"
    await nothing_more(desk)
    await close(phone, desk, pc)


def test_nothing_was_wrong_underneath():
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    with Cluster(edges=2, routers=2) as cluster:
        sys.exit(0 if run(sys.modules[__name__]) else 1)
