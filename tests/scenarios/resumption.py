#!/usr/bin/python3
"""Sessions that outlive their connection (XEP-0198): resuming on the same edge, on another one, after the death of anything; time-outs, limits."""
import asyncio
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import managed  # noqa: E402
from managed import Device, PRESENCE, acked, bodies, client, in_impatient, is_message, next_message, nothing_more, resume, user, wait_all_ready  # noqa: E402
from rawclient import SM, Closed, StreamError, body, sm_condition  # noqa: E402
from runner import limit  # noqa: E402


# ---- resuming

async def resume_after_a_lost_connection(edge):
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(0).login_managed(b)
    cb.answers_requests = False
    for i in range(5):
        ca.message(f"{b}@localhost", str(i))
    assert await bodies(cb, 3) == ["0", "1", "2"]
    jid = cb.jid
    cb.abort(reset=True)
    await asyncio.sleep(0.3)
    for i in range(5, 40):
        ca.message(f"{b}@localhost", str(i))
    ca.message(jid, "to the full JID")
    ca.send(f"<iq type='get' id='q' to='{jid}'><query xmlns='jabber:iq:version'/></iq>")
    came = await acked(ca)
    assert not came, [e.attrib for e in came]  # no errors: the session is there
    new = await resume(cb, edge)
    assert await bodies(new, 37) == [str(i) for i in range(3, 40)]
    assert body(await next_message(new)) == "to the full JID"
    assert (await new.get()).get("id") == "q"
    await nothing_more(new, lambda _: True)
    new.message(f"{a}@localhost", "back")
    assert body(await next_message(ca)) == "back"
    await new.close()
    await asyncio.sleep(0.5)
    cb = await client(0).login_managed(b)
    await nothing_more(cb)
    for c in (ca, cb):
        await c.close()


async def test_resume_on_the_same_edge():
    await resume_after_a_lost_connection(0)


async def test_resume_on_the_other_edge():
    await resume_after_a_lost_connection(1)


async def takes_over(edge):
    """The old stream is told with conflict, and nothing is lost or repeated."""
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(0).login_managed(b)
    cb.answers_requests = False
    for i in range(10):
        ca.message(f"{b}@localhost", str(i))
    assert await bodies(cb, 4) == ["0", "1", "2", "3"]
    new = await resume(cb, edge)
    await cb.expect_error("conflict")
    assert await bodies(new, 6) == [str(i) for i in range(4, 10)]
    ca.message(f"{b}@localhost", "still there")
    assert body(await next_message(new)) == "still there"
    await nothing_more(new)
    # and back again, many times
    edges = [0, 1] * 4
    for i, at in enumerate(edges):
        newer = await resume(new, at)
        await new.expect_error("conflict")
        ca.message(f"{b}@localhost", f"turn {i}")
        assert body(await next_message(newer)) == f"turn {i}"
        new = newer
    await nothing_more(new)
    for c in (ca, new):
        await c.close()


async def test_resume_on_the_same_edge_while_the_first_lives():
    await takes_over(0)


async def test_resume_on_the_other_edge_while_the_first_lives():
    await takes_over(1)


async def test_what_the_client_sent_in_vain_is_sent_again_and_has_one_effect():
    a, b = user(), user()
    cb = await client(1).login_managed(b)
    ca = await client(0).login_managed(a)
    sent = 0
    for turn in range(6):
        for _ in range(15):
            ca.message(f"{b}@localhost", str(sent))
            sent += 1
        await asyncio.sleep(0.002 * turn)
        ca.abort(reset=turn % 2 == 0)
        ca = await resume(ca, turn)
    await acked(ca)
    assert await bodies(cb, sent) == [str(i) for i in range(sent)]
    await nothing_more(cb)
    for c in (ca, cb):
        await c.close()


async def test_c23_two_edges_resume_the_same_id_at_once():
    """Exactly one wins; the other gets the failure, or wins later and the first one is told."""
    a, b = user(), user()
    cb = await client(1).login_managed(b)
    for turn in range(10):
        ca = await client(0).login_managed(a)
        if turn % 2:
            ca.abort()
        new = [await client(edge).authenticate(a) for edge in (0, 1)]
        elements = await asyncio.gather(*(c.resume(ca.sm) for c in new))
        winners = [c for c, e in zip(new, elements) if e.tag == f"{{{SM}}}resumed"]
        assert winners, [sm_condition(e) for e in elements]
        if len(winners) == 2:
            alive = []
            for c in winners:
                try:
                    await nothing_more(c, lambda _: True, settle=0.7)
                    alive.append(c)
                except StreamError as error:
                    assert error.condition == "conflict", error.condition
            winners = alive
        else:
            loser = next(e for e in elements if e.tag == f"{{{SM}}}failed")
            assert sm_condition(loser) == "item-not-found", sm_condition(loser)
        assert len(winners) == 1, f"{len(winners)} of two hold the session"
        winner = winners[0]
        cb.message(winner.sm.jid, f"for the winner {turn}")
        assert body(await next_message(winner)) == f"for the winner {turn}"
        winner.ack()
        for c in new:
            await c.close()
    await cb.close()


async def chat_while(fault, count=120, settle=30):
    """Two devices talk, both on the first edge, while `fault` happens: everything arrives once and in order, and every resume succeeds."""
    a, b = user(), user()
    da, db = Device(await client(0).login_managed(a), 0), Device(await client(0).login_managed(b), 0)
    faulty = None
    for i in range(count):
        if i == count // 3:
            faulty = asyncio.create_task(fault())
        da.message(b, str(i))
        db.message(a, str(i))
        await asyncio.sleep(0.02)
    wanted = [str(i) for i in range(count)]
    try:
        for device in (da, db):
            await device.has(count, settle)
        await faulty
        await asyncio.sleep(1)
        for device in (da, db):
            got = [body(m) for m in device.messages]
            twice = sorted({x for x in got if got.count(x) > 1}, key=int)
            assert got == wanted, f"{len(got)} messages, missing {sorted(set(wanted) - set(got), key=int)[:5]}, twice {twice[:5]}"
    finally:
        await asyncio.gather(faulty, da.close(), db.close(), return_exceptions=True)
        await wait_all_ready()
    return da.resumes + db.resumes


async def kill(*nodes):
    for node in nodes:
        node.kill()


@limit(90)
async def test_resume_after_the_edge_was_killed():
    assert await chat_while(lambda: kill(managed.cluster.edges[0])) >= 2


@limit(90)
async def test_resume_after_the_routers_were_killed_one_after_the_other():
    async def fault():
        await kill(managed.cluster.routers[0])
        await asyncio.sleep(4)
        await asyncio.to_thread(managed.cluster.routers[0].wait_ready)
        await kill(managed.cluster.routers[1])
    await chat_while(fault, settle=45)


@limit(90)
async def test_resume_after_edge_and_routers_were_killed_at_once():
    assert await chat_while(lambda: kill(managed.cluster.edges[0], *managed.cluster.routers), settle=45) >= 2


@limit(90)
async def test_resume_while_the_edge_is_stopped_for_15_seconds():
    """T10: what the stopped edge still held has no effect when it wakes: its attachment is over."""
    async def fault():
        managed.cluster.edges[0].freeze(15)
        await asyncio.sleep(16)
    assert await chat_while(fault) >= 2


@limit(90)
async def test_inputs_of_a_stopped_edge_are_fenced():
    a, b = user(), user()
    cb = await client(1).login_managed(b)
    ca = await client(0).login_managed(a)
    await acked(ca)
    managed.cluster.edges[0].freeze(6)
    for i in range(5):  # into the sockets of a process that does not run
        ca.message(f"{b}@localhost", str(i))
    new = await resume(ca, 1)
    await acked(new)
    assert await bodies(cb, 5) == [str(i) for i in range(5)]
    await asyncio.sleep(7)
    await nothing_more(cb, settle=2)
    ca.abort()
    for c in (new, cb):
        await c.close()


@limit(60)
async def test_redis_is_emptied_before_a_resume():
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(0).login_managed(b)
    cb.answers_requests = False
    for i in range(4):
        ca.message(f"{b}@localhost", str(i))
    await bodies(cb, 2)
    cb.abort()
    await asyncio.sleep(0.3)
    await asyncio.to_thread(managed.cluster.redis.command, "FLUSHALL")
    for i in range(4, 8):
        ca.message(f"{b}@localhost", str(i))
    await acked(ca)
    new = await resume(cb, 1)
    assert await bodies(new, 6) == [str(i) for i in range(2, 8)]
    await nothing_more(new)
    for c in (ca, new):
        await c.close()


@limit(90)
async def test_redis_and_routers_are_lost_at_once():
    """P6: the resume says item-not-found with h, and everything durable comes from the log, in order."""
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(0).login_managed(b)
    cb.answers_requests = False
    for i in range(4):
        ca.message(f"{b}@localhost", str(i))
        cb.message(f"{a}@localhost", str(i))
    await bodies(cb, 2)
    await acked(ca)
    cb.abort()
    await asyncio.sleep(0.5)
    for i in range(4, 8):
        ca.message(f"{b}@localhost", str(i))
    await acked(ca)
    await asyncio.to_thread(managed.cluster.redis.stop)
    await kill(*managed.cluster.routers)
    await asyncio.to_thread(managed.cluster.redis.start)
    await wait_all_ready()
    c = await resume(cb, 1, wanted="failed")
    assert sm_condition(c.failed) == "item-not-found", sm_condition(c.failed)
    assert c.failed.get("h") is not None, "no h"
    assert not [t for t in cb.sm.unacked if "<body" in t], "h does not cover what was committed"
    await c.bind()
    await c.enable()
    c.send("<presence/>")
    got = await bodies(c, 6)
    while got[0] in ("0", "1"):  # read, but never acknowledged: may come again
        got = got[1:] + await bodies(c, 1)
    assert got == [str(i) for i in range(2, 8)], got
    await nothing_more(c)
    for x in (ca, c):
        await x.close()


@limit(90)
async def test_a_drained_edge_hands_over_its_sessions():
    node = managed.cluster.edges[0]
    code = []

    async def fault():
        code.append(await asyncio.to_thread(node.terminate))
        node.start()
        await asyncio.to_thread(node.wait_ready)
    assert await chat_while(fault) >= 2
    assert code == [0], code


@limit(90)
async def test_a_drained_router_hands_over_its_sessions():
    code = []

    async def fault():
        for node in managed.cluster.routers:
            code.append(await asyncio.to_thread(node.terminate))
            node.start()
            await asyncio.to_thread(node.wait_ready)
    await chat_while(fault, settle=45)
    assert code == [0, 0], code


async def test_a_closed_stream_is_over():
    """</stream:stream> ends the session: presence goes, nothing is left to resume, unacknowledged messages stay for the next login."""
    a, b = user(), user()
    ca, watcher = await client(0).login_managed(a), await client(1).login_managed(b, resource="watcher", available=False)
    watcher.send("<presence><priority>-1</priority></presence>")
    cb = await client(0).login_managed(b, resource="phone")
    cb.answers_requests = False
    ca.message(f"{b}@localhost", "read but not acknowledged")
    await next_message(cb)
    sm = cb.sm
    await cb.close()
    got = await watcher.get_where(lambda e: e.tag == PRESENCE and e.get("from") == sm.jid and e.get("type") == "unavailable")
    assert got is not None
    c = await client(1).authenticate(b)
    element = await c.resume(sm)
    assert sm_condition(element) == "item-not-found"
    await c.close()
    cb = await client(0).login_managed(b)
    assert body(await next_message(cb)) == "read but not acknowledged"
    for c in (ca, cb, watcher):
        await c.close()

# ---- time-outs and limits, in a cluster of their own

async def unavailable_once(watcher, jid, within, settle=5):
    await watcher.get_where(lambda e: e.tag == PRESENCE and e.get("from") == jid and e.get("type") == "unavailable", within)
    await nothing_more(watcher, lambda e: e.tag == PRESENCE and e.get("from") == jid, settle)


async def times_out(fault, with_other_device, within=10):
    """A session that nobody resumes ends once; what it had not acknowledged goes to the other device or waits for the next login."""
    a, b = user(), user()
    watcher = await client(1).login(b, resource="watcher", available=False)
    watcher.send(f"<presence><priority>{0 if with_other_device else -1}</priority></presence>")
    await watcher.get_where(lambda e: e.tag == PRESENCE and e.get("from") == watcher.jid)
    ca, cb = await client(1).login(a), await client(0).login_managed(b, resource="phone")
    cb.answers_requests = False
    cb.message(f"{a}@localhost", "counted")
    assert body(await next_message(ca)) == "counted"
    ca.message(cb.jid, "read, not acknowledged")
    await next_message(cb)
    cb.ack((cb.sm.handled - 1) % 2**32)
    await asyncio.sleep(0.2)
    await fault(cb)
    await asyncio.sleep(0.5)
    ca.message(cb.jid, "while away")
    await unavailable_once(watcher_with_messages(watcher), cb.jid, within)
    c = await resume(cb, 1, wanted="failed")
    assert sm_condition(c.failed) == "item-not-found"
    assert c.failed.get("h") is not None and not cb.sm.unacked, (c.failed.attrib, list(cb.sm.unacked))
    if with_other_device:
        await c.close()
        got = [body(m) for m in watcher.seen]
        assert got == ["read, not acknowledged", "while away"], got
    else:
        await c.bind()
        await c.enable()
        c.send("<presence/>")
        assert await bodies(c, 2) == ["read, not acknowledged", "while away"]
        await nothing_more(c)
        await c.close()
    for x in (ca, watcher):
        await x.close()


def watcher_with_messages(c):
    """Keeps the messages that come while presence is waited for."""
    c.seen = []
    get = c.get

    async def get_and_keep(timeout=10):
        element = await get(timeout)
        if is_message(element):
            c.seen.append(element)
        return element
    c.get = get_and_keep
    return c


async def lose_connection(c):
    c.abort()


async def lose_edge(c):
    managed.cluster.edges[0].kill()


async def lose_edge_and_routers(c):
    await kill(managed.cluster.edges[0], *managed.cluster.routers)


@in_impatient
async def test_timed_out_messages_go_to_the_other_device():
    await times_out(lose_connection, True)


@in_impatient
async def test_timed_out_messages_wait_for_the_next_login():
    await times_out(lose_connection, False)


@in_impatient
async def test_time_out_after_the_edge_was_killed():
    await times_out(lose_edge, True, within=20)


@in_impatient
@limit(90)
async def test_time_out_after_edge_and_routers_were_killed():
    """No ghosts: whichever router owns the entity now ends the session."""
    a, b = user(), user()
    watcher = await client(1).login(b, resource="watcher")
    cb = await client(0).login_managed(b, resource="phone")
    await watcher.get_where(lambda e: e.tag == PRESENCE and e.get("from") == cb.jid)
    await lose_edge_and_routers(cb)
    await unavailable_once(watcher, cb.jid, 40)
    ca = await client(0).login(a)
    ca.message(cb.jid, "to the dead one")
    assert body(await next_message(watcher)) == "to the dead one"
    for c in (ca, watcher):
        await c.close()


@in_impatient
async def test_c20_a_client_that_never_acknowledges():
    """Past the limit its stream ends with policy-violation; the messages are kept, and the sender does not notice."""
    a, b = user(), user()
    ca, cb = await client(1).login_managed(a), await client(0).login_managed(b)
    cb.answers_requests = False
    for i in range(150):
        ca.message(f"{b}@localhost", str(i))
    await cb.expect_error("policy-violation")
    came = await acked(ca)
    assert not came, [e.attrib for e in came]
    c = await resume(cb, 1, wanted="failed")
    await c.bind()
    await c.enable()
    c.send("<presence/>")
    assert await bodies(c, 150) == [str(i) for i in range(150)]
    await nothing_more(c)
    for x in (ca, c):
        await x.close()


@in_impatient
async def test_c20_too_much_for_a_detached_session():
    a, b = user(), user()
    ca, cb = await client(1).login_managed(a), await client(0).login_managed(b)
    cb.abort()
    await asyncio.sleep(0.3)
    for i in range(150):
        ca.message(f"{b}@localhost", f"{i} " + "x" * 1000)
    came = await acked(ca)
    assert not came, [e.attrib for e in came]
    c = await resume(cb, 1, wanted="failed")
    await c.bind()
    await c.enable()
    c.send("<presence/>")
    assert [x.split()[0] for x in await bodies(c, 150)] == [str(i) for i in range(150)]
    for x in (ca, c):
        await x.close()


@in_impatient
async def test_a_silent_client_is_given_up_and_its_session_waits():
    a, b = user(), user()
    ca, cb = await client(1).login_managed(a), await client(0).login_managed(b)
    cb.answers_requests = False
    ca.message(f"{b}@localhost", "hello?")
    began = time.monotonic()
    try:
        while True:
            await cb.get(15)
    except (StreamError, Closed):
        pass
    assert 4 < time.monotonic() - began < 14, time.monotonic() - began
    new = await resume(cb, 1, h=(cb.sm.handled - 1) % 2**32)
    assert body(await next_message(new)) == "hello?"
    for x in (ca, new):
        await x.close()


def test_nothing_was_wrong_underneath():
    managed.nothing_was_wrong_underneath()


if __name__ == "__main__":
    sys.exit(0 if managed.run_all(sys.modules[__name__]) else 1)
