#!/usr/bin/python3
"""Sessions that outlive their connection (XEP-0198): resuming on the same edge, on another one, after the death of anything; time-outs, limits."""
import asyncio
import os
import random
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import managed  # noqa: E402
from managed import Device, PRESENCE, acked, bodies, client, in_impatient, is_message, next_message, nothing_more, resume, user, wait_all_ready  # noqa: E402
from rawclient import SM, Closed, StreamError, body, sm_condition  # noqa: E402
from runner import limit  # noqa: E402


in_narrow = managed.in_own_cluster("narrow", {"router": {"redis": {"max_pending": 60}}})

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


async def race(ca, others, order):
    """Both streams were open before; `order` says how long each waits with its <resume/>. Exactly one gets <resumed/>, at once and for good."""
    async def ask(c, delay):
        await asyncio.sleep(delay)
        return await c.resume(ca.sm)
    elements = await asyncio.gather(*map(ask, others, order))
    winners = [c for c, e in zip(others, elements) if e.tag == f"{{{SM}}}resumed"]
    assert len(winners) == 1, [(e.tag, sm_condition(e)) for e in elements]
    for c, element in zip(others, elements):
        if c is not winners[0]:
            assert sm_condition(element) == "item-not-found", sm_condition(element)
            loser = c
    return winners[0], loser


@limit(180)
async def test_c23_two_edges_resume_the_same_id_at_once():
    """50 times, at random moments, while both sides talk: one wins and keeps the stream, nothing is lost or comes twice. An id that was
    resumed stays valid, as the specification knows no other for the next time; streams from before that moment are refused."""
    dice = random.Random(23)
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(1).login_managed(b)
    ca.answers_requests = False
    there = back = read = 0
    for turn in range(50):
        others = [await client(edge).authenticate(a) for edge in dice.choice([(0, 1), (1, 0), (0, 0), (0, 1)])]
        for _ in range(dice.randrange(4)):
            ca.message(f"{b}@localhost", str(there))
            there += 1
        for _ in range(dice.randrange(1, 4)):
            cb.message(f"{a}@localhost", str(back))
            back += 1
        held = ca
        if dice.random() < 0.5:
            await asyncio.sleep(dice.random() * 0.02)
            ca.abort(reset=dice.random() < 0.5)
        ca, loser = await race(ca, others, [dice.random() * dice.choice([0, 0.005, 0.05]) for _ in others])
        held.sm = None
        ca.answers_requests = False
        assert await bodies(ca, back - read) == [str(i) for i in range(read, back)]
        read = back
        if turn % 10 == 0:  # for good: also after a while, and the loser may go on without the session
            await nothing_more(ca, lambda _: True, settle=0.7)
            await loser.bind(f"loser{turn}")
            assert loser.jid
        await loser.close()
        held.abort()
    await acked(ca)
    assert await bodies(cb, there) == [str(i) for i in range(there)]
    await nothing_more(cb)
    await nothing_more(ca)
    for c in (ca, cb):
        await c.close()


async def test_a_client_that_comes_back_takes_over_at_once():
    """Its connection died right behind <resumed/> and nobody has noticed: it resumes again and again, each time on a new stream."""
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(1).login_managed(b)
    for turn in range(8):
        new = await resume(ca, turn)
        ca.abort()
        ca = new
    cb.message(f"{a}@localhost", "there")
    assert body(await next_message(ca)) == "there"
    for c in (ca, cb):
        await c.close()


@limit(90)
async def test_what_the_old_stream_still_sends_is_counted_once():
    """The old stream talks on while the session is resumed, on the same edge too: up to <resumed/> each stanza counts once, then not at all."""
    dice = random.Random(3)
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(1).login_managed(b)
    sent = 0
    for turn in range(20):
        new = await client(turn % 3 // 2).authenticate(a)
        is_over = False

        async def talk():
            nonlocal sent
            while not is_over:
                ca.message(f"{b}@localhost", str(sent))
                sent += 1
                await asyncio.sleep(dice.random() * 0.003)
        talker = asyncio.create_task(talk())
        await asyncio.sleep(dice.random() * 0.02)
        element = await new.resume(ca.sm)
        is_over = True  # nothing ran in between: all that was sent before is sent again by now
        assert element.tag == f"{{{SM}}}resumed", sm_condition(element)
        for _ in range(5):
            ca.writer.write(f"<message to='{b}@localhost' type='chat'><body>ghost</body></message>".encode())
        await talker
        ca.sm = None
        ca.abort()
        ca = new
    await acked(ca)
    assert await bodies(cb, sent) == [str(i) for i in range(sent)]
    await nothing_more(cb, settle=1)
    for c in (ca, cb):
        await c.close()


# ---- slow lines

async def slow_client(edge, bytes_per_second):
    """Its own buffers are small, and it takes its time: what it has not read waits at the edge."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", managed.cluster.edges[edge].c2s))
    c = client(edge)
    c.reader, c.writer = await asyncio.open_connection(sock=sock, limit=4096)

    async def connect(_=None):
        return c

    async def read_slowly(size):
        data = await usual_read(min(size, 8192))
        await asyncio.sleep(len(data) / bytes_per_second)
        return data
    c.connect, usual_read, c.reader.read = connect, c.reader.read, read_slowly
    return c


@limit(90)
async def test_more_than_an_edge_keeps_waits_for_a_slow_line():
    """An edge drops a client that leaves more than 1 MiB unread. Neither what waited for the resume nor what comes after it ends like that, and
    nothing comes twice."""
    a, b = user(), user()
    ca, cb = await client(1).login_managed(a), await client(0).login_managed(b)
    cb.abort()
    await asyncio.sleep(0.3)

    async def send(numbers):
        for i in numbers:
            ca.message(f"{b}@localhost", f"{i} " + "x" * 50000)
            await ca.writer.drain()
        came = await acked(ca, 30)
        assert not came, [e.attrib for e in came]
    await send(range(34))  # 1.7 MB
    slow = await slow_client(0, 150000)
    await slow.authenticate(b)
    element = await slow.resume(cb.sm)
    assert element.tag == f"{{{SM}}}resumed", sm_condition(element)
    got = await bodies(slow, 17)
    live = asyncio.create_task(send(range(34, 44)))
    got += await bodies(slow, 27)
    await live
    assert [x.split()[0] for x in got] == [str(i) for i in range(44)]
    await nothing_more(slow, settle=1)
    for c in (ca, slow):
        await c.close()


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


def in_redis(full, spooled):
    """Its session record and `spooled` elements of its queue."""
    bare, resource = full.split("/", 1)
    command = managed.cluster.redis.command
    spools = command("KEYS", f"u:{{{bare}}}:*").split()
    return command("HEXISTS", f"s:{{{bare}}}", resource) == "1" and [command("ZCARD", key) for key in spools] == [str(spooled)]


async def emptied_then_everything_dies(count):
    """Redis is emptied under living sessions. What was there is there again within 10 s, so that all routers, and the edge, can die at once."""
    redis = managed.cluster.redis
    ca = await client(1).login_managed(user())
    devices = [await client(0).login_managed(user()) for _ in range(count)]
    for c in devices:
        c.answers_requests = False
        for i in range(3):
            ca.message(c.jid.split("/")[0], str(i))
        ca.send(f"<iq type='get' id='q' to='{c.jid}'><query xmlns='jabber:iq:version'/></iq>")  # in no log
        assert await bodies(c, 1) == ["0"]
    await acked(ca)
    await asyncio.sleep(2.5)  # the routers have set their marks
    await asyncio.to_thread(redis.command, "FLUSHALL")
    deadline = time.monotonic() + 10
    missing = devices
    while missing:
        assert time.monotonic() < deadline, f"{len(missing)} of {count} sessions are not in Redis"
        await asyncio.sleep(0.2)
        missing = [c for c in missing if not await asyncio.to_thread(in_redis, c.jid, 5)]  # its own presence is the first
    await kill(managed.cluster.edges[0], *managed.cluster.routers)
    await wait_all_ready()
    for c in devices:
        new = await resume(c, 1)
        assert await bodies(new, 2) == ["1", "2"]
        assert (await new.get()).get("id") == "q"
        ca.message(new.jid or c.jid, "and on")
        assert body(await next_message(new)) == "and on"
        await nothing_more(new, lambda _: True, settle=0.1)
        await new.close()
    await ca.close()


@limit(90)
async def test_redis_is_emptied_then_all_routers_and_an_edge_die():
    await emptied_then_everything_dies(3)


@in_narrow
@limit(120)
async def test_redis_takes_less_than_is_to_be_written_again():
    """Each router has far more to write than Redis may owe it replies (redis.max_pending)."""
    await emptied_then_everything_dies(24)


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
    """P8."""
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
    """P8."""
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
async def test_a_burst_past_the_limit_is_fine_when_it_is_acknowledged_soon():
    a, b = user(), user()
    ca, cb = await client(1).login_managed(a), await client(0).login_managed(b)
    for i in range(150):
        ca.message(f"{b}@localhost", str(i))
    came = await acked(ca)
    assert not came, [e.attrib for e in came]
    assert await bodies(cb, 150) == [str(i) for i in range(150)]
    await nothing_more(cb)
    for c in (ca, cb):
        await c.close()


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


@limit(240)
async def test_c20_ten_thousand_stanzas_and_no_ack():
    """The defaults: past the limit policy-violation; all of it is kept and comes with the next login, once and in order; the sender sees
    neither an error nor a delay."""
    a, b = user(), user()
    ca, cb = await client(1).login_managed(a), await client(0).login_managed(b)
    cb.answers_requests = False
    victim = asyncio.create_task(cb.expect_error("policy-violation", 60))
    for i in range(10000):
        ca.message(f"{b}@localhost", str(i))
        if i % 500 == 499:
            came = await acked(ca, 60)
            assert not came, [e.attrib for e in came]
    await victim
    c = await resume(cb, 1, wanted="failed")
    await c.close()
    c = await client(1).login(b)
    assert await bodies(c, 10000, timeout=60) == [str(i) for i in range(10000)]
    await nothing_more(c)
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


@in_impatient
async def test_a_client_that_is_not_read_is_not_taken_for_silent():
    """Without PostgreSQL its window is full, so its <a/> waits in the kernel of the edge for longer than `sm_ack_timeout` (P6)."""
    a, b = user(), user()
    ca, cb = await client(1).login_managed(a), await client(0).login_managed(b)
    cb.answers_requests = False
    ca.message(f"{b}@localhost", "hello?")
    assert body(await next_message(cb)) == "hello?"
    while not cb.requests:
        try:
            await cb.get(0.2)
        except asyncio.TimeoutError:
            pass
    await asyncio.to_thread(managed.cluster.postgres.stop)
    try:
        for i in range(70):
            cb.message(f"{a}@localhost", str(i))
        cb.ack()
        await nothing_more(cb, settle=7)  # raises if the connection is lost
    finally:
        await asyncio.to_thread(managed.cluster.postgres.start)
    cb.answers_requests = True
    await acked(cb, 20)
    for x in (ca, cb):
        await x.close()


def test_nothing_was_wrong_underneath():
    managed.nothing_was_wrong_underneath()


if __name__ == "__main__":
    sys.exit(0 if managed.run_all(sys.modules[__name__]) else 1)
