#!/usr/bin/python3
"""Stream management (XEP-0198) as clients see it: negotiation, acknowledgements that mean PostgreSQL, resuming on the same edge, on another one,
after the death of anything; time-outs, limits, client state (XEP-0352)."""
import asyncio
import json
import os
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, CSI, SM, Closed, RawClient, StreamError, body, sm_condition  # noqa: E402
from runner import limit, run  # noqa: E402

SID, STATES = "urn:xmpp:sid:0", "http://jabber.org/protocol/chatstates"
LOST = (Closed, ConnectionError, OSError, asyncio.TimeoutError, ssl.SSLError)
PRESENCE, MESSAGE = f"{{{CLIENT}}}presence", f"{{{CLIENT}}}message"
cluster = None
impatient = None  # a cluster where sessions wait 4 s and queues are short, started by the first test that wants it
counter = 0


def user():
    """A fresh account each time, in the cluster of the moment."""
    global counter
    counter += 1
    cluster.add_account(f"user{counter}")
    return f"user{counter}"


def in_impatient(test):
    """Runs a test in the cluster with short time-outs and queues."""
    async def inside():
        global cluster, impatient
        patient = cluster
        impatient = impatient or Cluster(edges=2, routers=2, archives=1, config={
            "router": {"sm": {"resume_timeout": "4s", "max_unacked_stanzas": 100, "max_unacked_bytes": "64KiB"}},
            "edge": {"c2s": {"sm_ack_timeout": "3s"}}})
        cluster = impatient
        try:
            for node in cluster.nodes():
                await asyncio.to_thread(node.wait_ready)
            await test()
        finally:
            cluster = patient
    inside.timeout = getattr(test, "timeout", 60) + 30
    return inside


def client(edge=0):
    return RawClient(cluster.edges[edge % len(cluster.edges)].c2s)


def name_of(c):
    return c.sm.jid.split("@")[0]


def is_message(element):
    return element.tag == MESSAGE


async def next_message(c, timeout=10):
    return await c.get_where(is_message, timeout)


async def bodies(c, count, timeout=15):
    return [body(await next_message(c, timeout)) for _ in range(count)]


async def nothing_more(c, accept=is_message, settle=0.5):
    try:
        element = await c.get_where(accept, settle)
    except asyncio.TimeoutError:
        return
    raise AssertionError(f"unexpected {element.tag} {element.attrib} {body(element)}")


async def resume(old, edge, h=None, wanted="resumed"):
    """A new connection that takes over the session of `old`; returns it, or <failed/> if that is wanted."""
    sm = old.sm
    c = await client(edge).authenticate(name_of(old))
    element = await c.resume(sm, h)
    assert element.tag == f"{{{SM}}}{wanted}", f"{element.tag} {element.attrib} {sm_condition(element)}"
    if wanted == "resumed":
        assert element.get("previd") == sm.ident
        old.sm = None
        return c
    c.failed = element
    return c


async def acked(c, timeout=10):
    """Asks until everything sent is acknowledged. Stanzas that come meanwhile are returned."""
    came, deadline = [], time.monotonic() + timeout
    while c.sm.unacked:
        assert time.monotonic() < deadline, f"{len(c.sm.unacked)} stanzas are not acknowledged"
        c.request()
        try:
            came.append(await c.get(0.3))
        except asyncio.TimeoutError:
            pass
    return came


def stored(name):
    return int(cluster.postgres.query("SELECT count(*) FROM archive.message m JOIN router.account a ON a.id = m.owner"
                                      f" WHERE a.bare = '{name}@localhost'"))


async def wait_all_ready(seconds=30):
    for node in cluster.nodes():
        await asyncio.to_thread(node.wait_ready, seconds)


class Device:
    """Reads all the time; when its connection is lost or silent, it resumes on the next edge. What is sent meanwhile goes after that."""

    def __init__(self, c, edge):
        self.c, self.sm, self.edge, self.name = c, c.sm, edge, name_of(c)
        self.messages, self.other, self.failed, self.resumes = [], [], None, 0
        self.task = asyncio.create_task(self.live())

    def send(self, text):
        if self.c:
            self.c.send(text)
        else:
            self.sm.on_sent(text)

    def message(self, to, text):
        self.send(f"<message to='{to}@localhost' type='chat'><body>{text}</body></message>")

    async def live(self):
        while not self.failed:
            silent = 0
            try:
                while silent < 2:
                    try:
                        element = await self.c.get(2)
                        silent = 0
                    except asyncio.TimeoutError:
                        silent += 1
                        self.c.request()
                        continue
                    (self.messages if is_message(element) else self.other).append(element)
            except LOST:
                pass
            old, self.c = self.c, None
            old.abort()
            await self.reconnect()

    async def reconnect(self):
        while True:
            self.edge += 1
            c = client(self.edge)
            try:
                await asyncio.wait_for(c.authenticate(self.name), 8)
                element = await c.resume(self.sm)
            except (*LOST, AssertionError):
                await asyncio.sleep(0.2)
                continue
            self.resumes += 1
            self.c, self.failed = c, element if element.tag.endswith("}failed") else None
            return

    async def has(self, count, timeout=30):
        deadline = time.monotonic() + timeout
        while len(self.messages) < count and time.monotonic() < deadline and not self.failed:
            await asyncio.sleep(0.05)
        assert not self.failed, f"resume failed: {sm_condition(self.failed)}"
        assert len(self.messages) >= count, f"{len(self.messages)} messages instead of {count}: {[body(m) for m in self.messages][-5:]}"

    async def close(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        if self.c:
            await self.c.close()


# ---- negotiation

async def test_the_feature_comes_after_authentication():
    a = user()
    c = client()
    await c.connect()
    await c.open()
    assert c.features.find(f"{{{SM}}}sm") is None
    await c.start_tls()
    await c.open()
    assert c.features.find(f"{{{SM}}}sm") is None
    await c.close()
    c = await client().authenticate(a)
    assert c.features.find(f"{{{SM}}}sm") is not None and c.features.find(f"{{{CSI}}}csi") is not None
    await c.close()


async def test_enable_is_answered_with_id_and_time():
    a = user()
    c = await client().login(a, available=False)
    got = await c.enable()
    assert got.tag == f"{{{SM}}}enabled" and got.get("resume") in ("true", "1"), got.attrib
    assert 16 <= len(got.get("id")) <= 4000 and 0 < int(got.get("max")) <= 86400, got.attrib
    await c.close()
    c = await client().login(a, available=False)
    got = await c.enable(resume=False)
    assert got.tag == f"{{{SM}}}enabled" and got.get("resume") not in ("true", "1"), got.attrib
    await c.close()
    c = await client().login(a, available=False)
    got = await c.enable(extra=" max='10'")
    assert int(got.get("max")) <= 10, got.attrib
    await c.close()


async def test_c18_enable_and_resume_at_the_wrong_time():
    a = user()
    c = await client().authenticate(a)
    c.send(f"<enable xmlns='{SM}' resume='true'/>")
    got = await c.get()
    assert sm_condition(got) == "unexpected-request", got.tag
    c.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    got = await c.get()
    assert got.get("type") == "result"
    c.jid = got.findtext(".//{urn:ietf:params:xml:ns:xmpp-bind}jid")
    assert (await c.enable()).tag == f"{{{SM}}}enabled"
    for element in (f"<enable xmlns='{SM}' resume='true'/>", f"<resume xmlns='{SM}' previd='{c.sm.ident}' h='0'/>"):
        c.send(element)
        got = await c.get()
        assert sm_condition(got) == "unexpected-request", (element, got.tag)
    assert (await c.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")).get("type") == "result"
    await acked(c)
    await c.close()


async def test_c19_an_ack_beyond_what_was_sent():
    a = user()
    c = await client().login_managed(a)
    await acked(c)
    c.ack(c.sm.handled + 1)
    try:
        while True:
            await c.get()
    except StreamError as error:
        assert error.condition == "undefined-condition", error.condition
        detail = error.element.find(f"{{{SM}}}handled-count-too-high")
        assert detail is not None and detail.get("h") == str(c.sm.handled + 1) and detail.get("send-count") == str(c.sm.handled), detail
    await c.expect_closed()


async def test_c19_an_ack_that_is_no_number():
    a = user()
    for h in ("-1", "4294967296", "x", "", "1 1"):
        c = await client().login_managed(a)
        c.ack(h)
        await c.expect_error(("undefined-condition", "bad-format"))
    c = await client().login_managed(a)
    c.send(f"<a xmlns='{SM}'/>")
    await c.expect_error(("undefined-condition", "bad-format"))


async def test_c23_ids_that_are_guessed_foreign_or_ended():
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(0).login_managed(b)
    ended = await client(1).login_managed(a)
    ended_id = ended.sm.ident
    await ended.close()
    await asyncio.sleep(0.3)
    forged = ca.sm.ident[:-2] + ("AA" if ca.sm.ident[-2:] != "AA" else "BB")
    for previd in ("", "guessed", forged, cb.sm.ident, ended_id, "A" * 4000, "&lt;&gt;"):
        c = await client(1).authenticate(a)
        c.send(f"<resume xmlns='{SM}' previd='{previd}' h='0'/>")
        got = await c.get()
        assert sm_condition(got) == "item-not-found", (previd[:20], sm_condition(got))
        if previd == ended_id:
            await c.bind()
            assert c.jid and (await c.enable()).tag == f"{{{SM}}}enabled"  # the stream is usable
        await c.close()
    for c in (ca, cb):  # nothing happened to the real ones
        assert (await c.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")).get("type") == "result"
        await c.close()


async def test_a_resume_with_impossible_h_fails_and_hurts_nobody():
    a = user()
    c = await client(0).login_managed(a)
    c.abort()
    await asyncio.sleep(0.3)
    for h in ("-1", "x", "4294967296", str(c.sm.handled + 7)):
        new = await client(1).authenticate(a)
        new.send(f"<resume xmlns='{SM}' previd='{c.sm.ident}' h='{h}'/>")
        try:
            got = await new.get()
            assert got.tag == f"{{{SM}}}failed", (h, got.tag)
        except StreamError as error:
            assert error.condition in ("undefined-condition", "bad-format"), error.condition
        await new.close()
    await (await resume(c, 1)).close()


# ---- acknowledgements

async def test_an_ack_means_postgresql():
    """P1: at the moment <a/> covers a message to an offline user, its row is there."""
    a, b = user(), user()
    c = await client(0).login_managed(a)
    await acked(c)
    for i in range(20):
        c.message(f"{b}@localhost", f"m{i}")
        await acked(c)
        assert await asyncio.to_thread(stored, b) >= i + 1, "acknowledged, but not stored"
    await c.close()


async def test_requests_are_answered_soon_also_while_postgresql_is_down():
    """<a/> comes within 300 ms, covers nothing that is not committed, and comes by itself when it is."""
    a, b = user(), user()
    c = await client(0).login_managed(a)
    await acked(c)
    h = c.sm.acked

    async def answer_time():
        seen, began = len(c.acks), time.monotonic()
        c.request()
        while len(c.acks) == seen:
            try:
                await c.get(0.02)
            except asyncio.TimeoutError:
                pass
            assert time.monotonic() < began + 3, "no answer"
        return time.monotonic() - began

    assert await answer_time() < 0.3
    await asyncio.to_thread(cluster.postgres.stop)
    try:
        c.message(f"{b}@localhost", "in the dark")
        took = await answer_time()
        assert took < 0.45, f"answered after {took:.3f} s"
        assert c.sm.acked == h, "acknowledged without a database"
        await nothing_more(c, settle=1)
        assert c.sm.acked == h
    finally:
        await asyncio.to_thread(cluster.postgres.start)
    deadline = time.monotonic() + 15
    while c.sm.unacked and time.monotonic() < deadline:
        try:
            await c.get(0.2)
        except asyncio.TimeoutError:
            pass
    assert not c.sm.unacked, "the <a/> for what was committed later never came"
    assert await asyncio.to_thread(stored, b) == 1
    await c.close()


async def test_every_kind_of_stanza_counts_also_wrong_ones():
    """Both counters stay exact over errors, iqs and presence: a resume finds nothing to repeat."""
    a = user()
    c = await client(0).login_managed(a)
    wrong = ["<iq type='get' id='w1'/>", "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>", "<message to='@@' id='w2'><body>x</body></message>",
             "<iq type='set' id='w3'><a xmlns='u:v'/><b xmlns='u:v'/></iq>", "<message type='error' id='w4'/>", "<presence type='nonsense' id='w5'/>",
             f"<iq type='result' id='w6' to='{a}@localhost'/>", "<message to='nobody-here@localhost' id='w7' type='chat'><body>x</body></message>"]
    errors = 0
    for text in wrong:
        c.send(text)
    for i in range(5):
        c.send("<presence><show>away</show></presence>")
        assert (await c.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")).get("type") == "result"
    errors += len(await acked(c))
    assert c.sm.acked == c.sm.sent
    c.ack()
    await nothing_more(c, lambda _: True)
    h = c.sm.handled
    c.abort()
    new = await resume(c, 1)
    assert new.sm.acked == new.sm.sent
    await nothing_more(new, lambda _: True)
    assert new.sm.handled == h
    await new.close()


async def test_the_server_asks_sensibly():
    """After some unacknowledged stanzas, or when the last one has waited; one question at a time."""
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(1).login_managed(b)
    cb.answers_requests = False
    await nothing_more(cb, settle=3)
    assert cb.requests == 1, f"{cb.requests} requests for one presence"
    cb.ack()
    for i in range(60):
        ca.message(f"{b}@localhost", str(i))
    assert await bodies(cb, 60) == [str(i) for i in range(60)]
    await nothing_more(cb, settle=3)
    assert cb.requests == 2, f"{cb.requests - 1} requests although none was answered"
    cb.ack()
    ca.message(f"{b}@localhost", "last")
    await next_message(cb)
    await nothing_more(cb, settle=3)
    assert cb.requests == 3, cb.requests
    cb.ack()
    for c in (ca, cb):
        await c.close()


async def test_delivered_means_acknowledged_by_the_client():
    """Read but not acknowledged: the next login gets it again; acknowledged: never again."""
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(1).login_managed(b, resume=False)
    cb.answers_requests = False
    for i in range(6):
        ca.message(f"{b}@localhost", str(i))
    first = [await next_message(cb) for _ in range(6)]
    cb.ack((cb.sm.handled - 3) % 2**32)
    await cb.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")
    cb.abort()
    await asyncio.sleep(0.5)
    cb = await client(0).login_managed(b)
    again = [await next_message(cb) for _ in range(3)]
    assert [body(m) for m in again] == ["3", "4", "5"]
    ids = [[m.find(f"{{{SID}}}stanza-id").get("id") for m in messages] for messages in (first[3:], again)]
    assert ids[0] == ids[1], ids
    await nothing_more(cb)
    for c in (ca, cb):
        await c.close()


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
    for device in (da, db):
        await device.has(count, settle)
    await faulty
    await asyncio.sleep(1)
    for device in (da, db):
        got = [body(m) for m in device.messages]
        assert got == wanted, f"{len(got)} messages, {sorted(set(wanted) - set(got))[:5]} missing, {[x for x in set(got) if got.count(x) > 1][:5]} twice"
        await device.close()
    await wait_all_ready()
    return da.resumes + db.resumes


async def kill(*nodes):
    for node in nodes:
        node.kill()


@limit(90)
async def test_resume_after_the_edge_was_killed():
    assert await chat_while(lambda: kill(cluster.edges[0])) >= 2


@limit(90)
async def test_resume_after_the_routers_were_killed_one_after_the_other():
    async def fault():
        await kill(cluster.routers[0])
        await asyncio.sleep(4)
        await asyncio.to_thread(cluster.routers[0].wait_ready)
        await kill(cluster.routers[1])
    await chat_while(fault, settle=45)


@limit(90)
async def test_resume_after_edge_and_routers_were_killed_at_once():
    assert await chat_while(lambda: kill(cluster.edges[0], *cluster.routers), settle=45) >= 2


@limit(90)
async def test_resume_while_the_edge_is_stopped_for_15_seconds():
    """T10: what the stopped edge still held has no effect when it wakes: its attachment is over."""
    async def fault():
        cluster.edges[0].freeze(15)
        await asyncio.sleep(16)
    assert await chat_while(fault) >= 2


@limit(90)
async def test_inputs_of_a_stopped_edge_are_fenced():
    a, b = user(), user()
    cb = await client(1).login_managed(b)
    ca = await client(0).login_managed(a)
    await acked(ca)
    cluster.edges[0].freeze(6)
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
    await asyncio.to_thread(cluster.redis.command, "FLUSHALL")
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
    await asyncio.to_thread(cluster.redis.stop)
    await kill(*cluster.routers)
    await asyncio.to_thread(cluster.redis.start)
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
    node = cluster.edges[0]
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
        for node in cluster.routers:
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


# ---- client state

async def test_an_inactive_client_is_left_in_peace():
    """XEP-0352: presence and chat states wait, the newest of each sender; a message with a body takes them along, in front of it."""
    a, b = user(), user()
    ca = await client(0).login_managed(a)
    phone = await client(1).login_managed(b, resource="phone")
    laptop = await client(0).login_managed(b, resource="laptop")
    await phone.get_where(lambda e: e.tag == PRESENCE and e.get("from") == laptop.jid)

    def state(name):
        ca.send(f"<message to='{b}@localhost/phone' type='chat'><{name} xmlns='{STATES}'/></message>")

    phone.send(f"<inactive xmlns='{CSI}'/>")
    await asyncio.sleep(0.3)
    for show in ("away", "dnd", "xa"):
        laptop.send(f"<presence><show>{show}</show></presence>")
    state("composing")
    state("paused")
    await nothing_more(phone, lambda _: True, settle=1.5)
    ca.message(f"{b}@localhost/phone", "important")
    came = []
    while not came or body(came[-1]) != "important":
        came.append(await phone.get())
    assert sum(e.tag == PRESENCE for e in came) == 1, [e.tag for e in came]
    assert next(e for e in came if e.tag == PRESENCE).findtext(f"{{{CLIENT}}}show") == "xa"
    states = [e[0].tag for e in came if is_message(e) and body(e) is None]
    assert states in ([], [f"{{{STATES}}}paused"]), states
    laptop.send("<presence><show>chat</show></presence>")
    await nothing_more(phone, lambda _: True, settle=1)
    phone.send(f"<active xmlns='{CSI}'/>")
    got = await phone.get()
    assert got.tag == PRESENCE and got.findtext(f"{{{CLIENT}}}show") == "chat"
    laptop.send("<presence/>")
    got = await phone.get()
    assert got.tag == PRESENCE and got.find(f"{{{CLIENT}}}show") is None
    got = await phone.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")
    assert got.get("type") == "result"
    await acked(phone)
    for c in (ca, phone, laptop):
        await c.close()


# ---- time-outs and limits, in a cluster of their own

async def unavailable_once(watcher, jid, within, settle=5):
    await watcher.get_where(lambda e: e.tag == PRESENCE and e.get("from") == jid and e.get("type") == "unavailable", within)
    await nothing_more(watcher, lambda e: e.tag == PRESENCE and e.get("from") == jid, settle)


async def times_out(fault, with_other_device, within=10):
    """A session that nobody resumes ends once; what it had not acknowledged goes to the other device or waits for the next login."""
    a, b = user(), user()
    watcher = await client(1).login_managed(b, resource="watcher", available=False)
    watcher.send(f"<presence><priority>{0 if with_other_device else -1}</priority></presence>")
    await watcher.get_where(lambda e: e.tag == PRESENCE and e.get("from") == watcher.jid)
    ca, cb = await client(1).login_managed(a), await client(0).login_managed(b, resource="phone")
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
    cluster.edges[0].kill()


async def lose_edge_and_routers(c):
    await kill(cluster.edges[0], *cluster.routers)


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
    watcher = await client(1).login_managed(b, resource="watcher")
    cb = await client(0).login_managed(b, resource="phone")
    await watcher.get_where(lambda e: e.tag == PRESENCE and e.get("from") == cb.jid)
    await lose_edge_and_routers(cb)
    await unavailable_once(watcher, cb.jid, 40)
    ca = await client(0).login_managed(a)
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
            await cb.get(10)
    except (StreamError, Closed):
        pass
    assert 2 < time.monotonic() - began < 9, time.monotonic() - began
    new = await resume(cb, 1, h=(cb.sm.handled - 1) % 2**32)
    assert body(await next_message(new)) == "hello?"
    for x in (ca, new):
        await x.close()


# ---- tools and libraries

async def test_ctl_sessions_shows_queues_and_counters():
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(1).login_managed(b)
    await acked(cb)
    cb.ack()
    h = cb.sm.handled
    plain = await client(1).login(a, resource="plain")

    async def row(jid):
        rows = json.loads((await asyncio.to_thread(cluster.ctl, "--json", "sessions")).stdout)
        return next((r for r in rows if r["jid"] == jid), None)

    got = await row(cb.jid)
    assert got["state"] == "attached" and got["edge"] == "edge-2" and got["sm"] and got["queued"] == 0, got
    assert got["h_in"] == cb.sm.acked and got["h_out"] == h, (got, cb.sm.acked, h)
    got = await row(plain.jid)
    assert not got["sm"], got
    cb.abort()
    await asyncio.sleep(0.3)
    for i in range(3):
        ca.message(f"{b}@localhost", str(i))
    await acked(ca)
    got = await row(cb.jid)
    assert got["state"] == "detached" and got["queued"] == 3 and got["queued_bytes"] > 0, got
    assert cb.jid in (await asyncio.to_thread(cluster.ctl, "sessions")).stdout
    new = await resume(cb, 0)
    assert await bodies(new, 3) == ["0", "1", "2"]
    for c in (ca, new, plain):
        await c.close()


@limit(90)
async def test_slixmpp_survives_the_death_of_its_edge():
    a, b = user(), user()
    count = 150
    process = await asyncio.create_subprocess_exec("/usr/bin/python3", os.path.join(os.path.dirname(__file__), "slix_resume.py"), b, str(count),
                                                   str(cluster.edges[0].c2s), str(cluster.edges[1].c2s), cluster.file("ec.crt"),
                                                   stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        assert line == b"ready\n", line
        ca = await client(1).login_managed(a)
        for i in range(count):
            ca.message(f"{b}@localhost", str(i))
            if i == count // 3:
                cluster.edges[0].kill()
            await asyncio.sleep(0.02)
        out, _ = await asyncio.wait_for(process.communicate(), 45)
        assert process.returncode == 0, out.decode()
        assert b"resumed" in out, out.decode()
        await ca.close()
    finally:
        if process.returncode is None:
            process.kill()
    await wait_all_ready()


def test_nothing_was_wrong_underneath():
    """Drains every process: exit code 0, no sanitizer report."""
    for one in filter(None, (cluster, impatient)):
        codes = one.stop_nodes()
        assert all(code == 0 for code in codes.values()), codes
        assert not one.problems(), one.problems()


if __name__ == "__main__":
    with Cluster(edges=2, routers=2, archives=1) as cluster:
        ok = run(sys.modules[__name__], context=None)
        if impatient:
            impatient.close()
        sys.exit(0 if ok else 1)
