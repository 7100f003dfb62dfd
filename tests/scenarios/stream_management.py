#!/usr/bin/python3
"""Stream management (XEP-0198) as clients see it: negotiation, acknowledgements that mean PostgreSQL, client state (XEP-0352), tools and libraries."""
import asyncio
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import managed  # noqa: E402
from managed import PRESENCE, acked, bodies, client, is_message, next_message, nothing_more, resume, stored, user, wait_all_ready  # noqa: E402
from rawclient import CLIENT, CSI, SM, RawClient, StreamError, body, condition, sm_condition  # noqa: E402
from runner import limit  # noqa: E402

PATIENT = "patient.localhost"
in_two_hosts = managed.in_own_cluster("two hosts", {"router": {"sm": {"resume_timeout": "3s"}}},
                                      hosts=[{"domain": "localhost", "registration": True}, {"domain": PATIENT, "resume_timeout": "60s"}])
SID, STATES = "urn:xmpp:sid:0", "http://jabber.org/protocol/chatstates"


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
        assert sm_condition(got) == ("item-not-found" if previd else "bad-request"), (previd[:20], sm_condition(got))
        if previd == ended_id:
            await c.bind()
            assert c.jid and (await c.enable()).tag == f"{{{SM}}}enabled"  # the stream is usable
        await c.close()
    for c in (ca, cb):  # nothing happened to the real ones
        assert (await c.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")).get("type") == "result"
        await c.close()


async def test_a_resume_with_impossible_h_fails_and_hurts_nobody():
    """A client that has lost count learns what the server has of it."""
    a, b = user(), user()
    c = await client(0).login_managed(a)
    for i in range(3):
        c.message(f"{b}@localhost", str(i))
    await acked(c)
    c.ack()
    await asyncio.sleep(0.3)
    assert c.sm.handled > 0
    c.abort()
    await asyncio.sleep(0.3)
    for h in ("-1", "x", "4294967296", str(c.sm.handled + 7), "0"):
        new = await client(1).authenticate(a)
        new.send(f"<resume xmlns='{SM}' previd='{c.sm.ident}' h='{h}'/>")
        try:
            got = await new.get()
            assert got.tag == f"{{{SM}}}failed", (h, got.tag)
            if sm_condition(got) == "item-not-found":
                assert got.get("h") == str(c.sm.sent), (h, got.attrib)
            else:
                assert h in ("-1", "x", "4294967296"), h
        except StreamError as error:
            assert error.condition in ("undefined-condition", "bad-format"), error.condition
        await new.close()
    await (await resume(c, 1)).close()


@in_two_hosts
@limit(90)
async def test_each_host_has_its_own_time_to_resume():
    """<enabled max=''/> tells it, and it holds although edge and routers die meanwhile."""
    name = user()
    managed.cluster.add_account(name, host=PATIENT)

    def at(domain, edge):
        return RawClient(managed.cluster.edges[edge].c2s, domain=domain)

    short, long = await at("localhost", 0).login(name, available=False), await at(PATIENT, 0).login(name, available=False)
    assert (await short.enable()).get("max") == "3"
    assert (await long.enable(extra=" max='3600'")).get("max") == "60"
    for node in (managed.cluster.edges[0], *managed.cluster.routers):
        node.kill()
    await asyncio.sleep(6)
    await wait_all_ready()
    back = await at(PATIENT, 1).authenticate(name)
    assert (await back.resume(long.sm)).tag == f"{{{SM}}}resumed"
    deadline = time.monotonic() + 20  # whose record is read last waits for its edge first
    while short.jid in (await asyncio.to_thread(managed.cluster.ctl, "sessions")).stdout:
        assert time.monotonic() < deadline, "waits although its time is over"
        await asyncio.sleep(0.5)
    await back.close()


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


async def test_a_request_to_a_session_that_ends_has_an_answer():
    """RFC 6120 section 8.2.3, XEP-0198 section 4: an error when the client had not acknowledged it, however the session ends; else one answer."""
    a = user()
    ca = await client(1).login_managed(a)
    ping = "<ping xmlns='urn:xmpp:ping'/>"
    for may_resume, has_closed in ((False, False), (True, True)):
        cb = await client(0).login_managed(user(), resume=may_resume)
        cb.answers_requests = False
        ca.send(f"<iq type='get' id='q{has_closed}' to='{cb.jid}'>{ping}</iq>")
        assert (await cb.get()).get("id") == f"q{has_closed}"
        await cb.close() if has_closed else cb.abort()
        got = await ca.get()
        assert got.get("id") == f"q{has_closed}" and got.get("from") == cb.jid and condition(got) == "service-unavailable", got.attrib
    cb = await client(0).login_managed(user())
    ca.send(f"<iq type='get' id='q' to='{cb.jid}'>{ping}</iq>")
    assert (await cb.get()).get("id") == "q"
    cb.send(f"<iq type='result' id='q' to='{ca.jid}'/>")
    cb.ack()
    await cb.close()
    assert (await ca.get()).get("type") == "result"
    await nothing_more(ca, lambda _: True)
    await ca.close()


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
    await asyncio.to_thread(managed.cluster.postgres.stop)
    try:
        c.message(f"{b}@localhost", "in the dark")
        took = await answer_time()
        assert took < 0.45, f"answered after {took:.3f} s"
        assert c.sm.acked == h, "acknowledged without a database"
        await nothing_more(c, settle=1)
        assert c.sm.acked == h
    finally:
        await asyncio.to_thread(managed.cluster.postgres.start)
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


async def test_answers_of_the_edge_come_from_whom_the_stanza_was_for():
    """RFC 6120 8.3.1, 10.3: with and without stream management, and nobody else sees them."""
    a, b = user(), user()
    two = "<x xmlns='u:v'/><y xmlns='u:v'/>"
    other = await client(1).login_managed(b)
    for c in (await client(0).login_managed(a, resource="managed"), await client(0).login(a, resource="plain")):
        own = f"{a}@localhost"
        wanted = {"full": (f"<iq type='set' id='full' to='{other.jid}'>{two}</iq>", other.jid),
                  "bare": (f"<iq type='get' id='bare' to='{b}@localhost'/>", f"{b}@localhost"),
                  "host": (f"<iq type='set' id='host' to='localhost'>{two}</iq>", "localhost"),
                  "none": (f"<iq type='set' id='none'>{two}</iq>", own),
                  "nonsense": ("<presence type='nonsense' id='nonsense' to='nobody@localhost'/>", "nobody@localhost"),
                  "jid": ("<message to='@@' id='jid'><body>x</body></message>", "localhost"),
                  "session": ("<iq type='set' id='session'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>", own)}
        for ident, (text, who) in wanted.items():
            c.send(text)
            got = await c.get_where(lambda e: e.get("id") is not None)
            assert (got.get("id"), got.get("from"), got.get("to")) == (ident, who, c.jid), got.attrib
            assert got.get("type") == ("result" if ident == "session" else "error"), got.attrib
        if c.sm:
            await acked(c)
            assert c.sm.acked == c.sm.sent
            c.ack()
        await nothing_more(c, lambda e: e.get("id") is not None)
        await c.close()
    await nothing_more(other, lambda _: True)
    await other.close()


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


async def test_an_origin_id_passes_untouched():
    """XEP-0359: the sender's own; ours stands beside it."""
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(1).login_managed(b)
    ca.send(f"<message to='{b}@localhost' type='chat' id='i'><body>x</body><origin-id xmlns='{SID}' id='de305d54-75b4-431b-adb2'/></message>")
    got = await next_message(cb)
    assert [e.attrib for e in got.findall(f"{{{SID}}}origin-id")] == [{"id": "de305d54-75b4-431b-adb2"}]
    assert got.get("id") == "i" and got.find(f"{{{SID}}}stanza-id").get("id") != "de305d54-75b4-431b-adb2"
    for c in (ca, cb):
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


# ---- tools and libraries

async def test_ctl_sessions_shows_queues_and_counters():
    a, b = user(), user()
    ca, cb = await client(0).login_managed(a), await client(1).login_managed(b)
    await acked(cb)
    cb.ack()
    h = cb.sm.handled
    plain = await client(1).login(a, resource="plain")

    async def row(jid):
        """What programs get; the table for people says the same."""
        rows = json.loads((await asyncio.to_thread(managed.cluster.ctl, "--json", "sessions")).stdout)
        found = next(r for r in rows if r["jid"] == jid)
        lines = [line.split() for line in (await asyncio.to_thread(managed.cluster.ctl, "sessions")).stdout.splitlines()]
        shown = next(dict(zip(lines[0], line)) for line in lines[1:] if jid in line)
        for name in ("jid", "state", "edge", "queued", "queued_bytes", "h_in", "h_out"):
            assert shown[name] == str(found.get(name, "-")), (name, shown, found)
        return found

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
    new = await resume(cb, 0)
    assert await bodies(new, 3) == ["0", "1", "2"]
    for c in (ca, new, plain):
        await c.close()


@limit(90)
async def test_slixmpp_survives_the_death_of_its_edge():
    a, b = user(), user()
    count = 150
    process = await asyncio.create_subprocess_exec("/usr/bin/python3", os.path.join(os.path.dirname(__file__), "slix_resume.py"), b, str(count),
                                                   str(managed.cluster.edges[0].c2s), str(managed.cluster.edges[1].c2s), managed.cluster.file("ec.crt"),
                                                   stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    try:
        line = b"-"
        while line and line != b"ready\n":  # libraries may have something to say, too
            line = await asyncio.wait_for(process.stdout.readline(), 20)
        assert line, "slixmpp did not start"
        ca = await client(1).login_managed(a)
        for i in range(count):
            ca.message(f"{b}@localhost", str(i))
            if i == count // 3:
                managed.cluster.edges[0].kill()
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
    managed.nothing_was_wrong_underneath()


if __name__ == "__main__":
    sys.exit(0 if managed.run_all(sys.modules[__name__]) else 1)
