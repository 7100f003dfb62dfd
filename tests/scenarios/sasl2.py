#!/usr/bin/python3
"""One or two round trips to a session: SASL2 (XEP-0388), Bind 2 (XEP-0386), inline stream management (XEP-0198 section 9), tokens (XEP-0484),
SCRAM downgrade protection (XEP-0474) and upgrades (XEP-0480)."""
import asyncio
import base64
import hashlib
import itertools
import os
import sys
import time
import uuid
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, SASL, SM, STREAM, body, sasl_condition  # noqa: E402
from runner import run  # noqa: E402
from sasl2client import (BIND2, CARBONS, ENABLE_SM, FAST, INACTIVE, SASL2, UPGRADE, Sasl2Client, bind, failure, tag, token_of, wish)  # noqa: E402

cluster = None
numbers = itertools.count()
FEATURES, SUCCESS, BOUND = tag(STREAM, "features"), tag(SASL2, "success"), tag(BIND2, "bound")


def user(password="secret"):
    name = f"s{next(numbers)}"
    cluster.add_account(name, password)
    return name


def client(edge=0, ident=None):
    return Sasl2Client(cluster.edges[edge].direct, direct=True, ident=ident)


async def opened(edge=0, ident=None, **attrs):
    c = client(edge, ident)
    await c.connect()
    await c.open(**attrs)
    return c


async def has_session(c):
    """Works, and under the address it was told."""
    result = await c.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")
    assert result.get("type") == "result" and result.get("to") in (None, c.jid), ET.tostring(result)


async def logged_in(name, edge=0, ident=None, inline="", bound=True):
    c = await opened(edge, ident)
    got = await c.scram2(name, inline=inline + (bind() if bound else ""))
    assert got.tag == SUCCESS, ET.tostring(got)
    assert (await c.get()).tag == FEATURES
    return c, got


# ---- what is offered

async def test_it_is_offered_inside_tls_only():
    c = Sasl2Client(cluster.edges[0].c2s)
    await c.connect()
    await c.open()
    assert c.features.find(tag(SASL2, "authentication")) is None
    c.send(c.authenticate_text("PLAIN", "\0a\0b"))
    await c.expect_error(("unsupported-stanza-type", "not-authorized"))
    c = Sasl2Client(cluster.edges[0].c2s)
    await c.connect()
    await c.open()
    await c.start_tls()
    await c.open()
    assert "SCRAM-SHA-256" in c.offered() and c.offered() == c.mechanisms(), c.offered()
    inline = c.features.find(f"{tag(SASL2, 'authentication')}/{tag(SASL2, 'inline')}")
    assert {e.tag for e in inline} == {tag(SM, "sm"), tag(BIND2, "bind"), tag(FAST, "fast")}, ET.tostring(inline)
    variables = {f.get("var") for f in inline.iter(tag(BIND2, "feature"))}
    assert variables == {CARBONS, "urn:xmpp:csi:0", SM}, variables
    assert set(c.tokens_offered()) >= {"HT-SHA-256-NONE", "HT-SHA-256-ENDP"}, c.tokens_offered()
    assert inline.find(tag(FAST, "fast")).get("tls-0rtt") is None
    assert {u.text for u in c.features.iter(tag(UPGRADE, "upgrade"))} == {f"UPGR-SCRAM-SHA-{n}" for n in (1, 256, 512)}
    assert not [m for m in c.mechanisms() if m.startswith("HT-")]
    await c.close()


# ---- logging in

async def test_a_session_takes_two_round_trips():
    a = user()
    c = await opened(from_=None)
    got = await c.scram2(a, inline=bind(ENABLE_SM + f"<enable xmlns='{CARBONS}'/>" + INACTIVE))
    assert got.tag == SUCCESS and c.round_trips == 2, (ET.tostring(got), c.round_trips)
    assert c.jid.startswith(f"{a}@localhost/tests/"), c.jid
    assert c.ident not in c.jid and c.sm.ident and int(c.sm.maximum) > 0
    features = await c.get()
    assert features.tag == FEATURES and features.find(tag(SM, "sm")) is None
    limit = features.findtext(f"{{urn:xmpp:stream-limits:0}}limits/{{urn:xmpp:stream-limits:0}}max-bytes")
    assert int(limit) == 262144, limit
    await has_session(c)
    assert c.sm.handled >= 1
    c.request()
    await has_session(c)
    assert c.acks and c.acks[-1] >= 1, c.acks
    await c.close()


async def test_header_and_login_in_one_segment():
    """Features may be cached (XEP-0388 section 2.1): a client with a token needs one round trip, from the first byte on."""
    a = user()
    c, got = await logged_in(a, inline=wish())
    await c.close()
    token = token_of(got)
    again = client(ident=c.ident)
    await again.connect()
    again.restart()
    again.send(again.open_text() + again.token_text(a, token, inline=bind(ENABLE_SM)))
    elements = [await again.get() for _ in range(3)]
    assert [e.tag for e in elements] == [FEATURES, SUCCESS, FEATURES], [e.tag for e in elements]
    again.take(elements[1])
    await has_session(again)
    await again.close()


async def test_without_bind_the_old_one_follows():
    a = user()
    c, got = await logged_in(a, bound=False)
    assert c.jid == f"{a}@localhost" and got.find(BOUND) is None
    c.is_authenticated = True  # no restart
    result = await c.bind("desk")
    assert result.get("type") == "result" and c.jid == f"{a}@localhost/desk", ET.tostring(result)
    await has_session(c)
    await c.close()


async def test_plain_and_plus():
    a = user()
    c = await opened()
    got = await c.plain2(a, inline=bind())
    assert got.tag == SUCCESS and got.find(tag(SASL2, "additional-data")) is None and c.round_trips == 1
    await c.close()
    c = await opened()
    got = await c.scram2(a, mechanism="SCRAM-SHA-256-PLUS", gs2="p=tls-server-end-point,,", binding=c.end_point_binding(), inline=bind())
    assert got.tag == SUCCESS, ET.tostring(got)
    await c.close()
    c = await opened()
    got = await c.scram2(a, mechanism="SCRAM-SHA-256-PLUS", gs2="p=tls-server-end-point,,", binding=b"wrong" * 6, inline=bind())
    assert failure(got) == "not-authorized"  # B15
    await c.close()


async def test_stable_resource_ends_the_former_session_of_the_client():
    a = user()
    first, _ = await logged_in(a)
    second, _ = await logged_in(a, edge=1, ident=first.ident)
    assert second.jid == first.jid
    await first.expect_error("conflict")
    c = await opened(ident=first.ident)
    assert (await c.scram2(a, inline=bind(name="other"))).tag == SUCCESS
    assert c.jid.endswith("/" + second.jid.rsplit("/", 1)[1]) and "/other/" in c.jid, c.jid
    await second.expect_error("conflict")
    other, _ = await logged_in(a)
    assert other.jid.rsplit("/", 1)[1] != c.jid.rsplit("/", 1)[1]
    await has_session(c)
    for x in (c, other):
        await x.close()


async def test_inactive_from_the_beginning():
    a, b = user(), user()
    c = await opened()
    assert (await c.scram2(a, inline=bind(INACTIVE))).tag == SUCCESS
    await c.get()
    d, _ = await logged_in(b)
    d.send(f"<message to='{c.jid}' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
    await has_session(d)
    try:
        element = await c.get(1)
        raise AssertionError(f"an inactive client got {ET.tostring(element)}")
    except asyncio.TimeoutError:
        pass
    c.send("<active xmlns='urn:xmpp:csi:0'/>")
    assert (await c.get()).tag == tag(CLIENT, "message")
    for x in (c, d):
        await x.close()


# ---- resumption

async def test_resumption_takes_two_round_trips():
    a, b = user(), user()
    c, _ = await logged_in(a)
    await c.close()
    c = await opened()
    assert (await c.scram2(a, inline=bind(ENABLE_SM))).tag == SUCCESS
    await c.get()
    c.send("<presence/>")
    await c.get_where(lambda e: e.tag == tag(CLIENT, "presence"))
    sm, jid = c.sm, c.jid
    c.abort()
    d, _ = await logged_in(b)
    d.message(f"{a}@localhost", "while you were away")
    await has_session(d)
    again = await opened(edge=1, ident=c.ident)
    got = await again.scram2(a, inline=f"<resume xmlns='{SM}' previd='{sm.ident}' h='{sm.handled}'/>" + bind(ENABLE_SM))
    resumed = got.find(tag(SM, "resumed"))
    assert got.tag == SUCCESS and resumed is not None and got.find(BOUND) is None, ET.tostring(got)
    assert again.round_trips == 2 and again.jid == jid and resumed.get("previd") == sm.ident
    element = await again.get()  # no features (XEP-0198 section 9.2)
    assert body(element) == "while you were away", ET.tostring(element)
    again.sm = sm
    await has_session(again)
    for x in (again, d):
        await x.close()


async def test_a_failed_resumption_binds():
    a = user()
    for previd in ("nonsense", "x" * 4001, ""):
        c = await opened()
        got = await c.scram2(a, inline=f"<resume xmlns='{SM}' previd='{previd}' h='0'/>" + bind(ENABLE_SM))
        failed = got.find(tag(SM, "failed"))
        assert got.tag == SUCCESS and failed is not None and got.find(BOUND) is not None, ET.tostring(got)
        assert (await c.get()).tag == FEATURES
        await has_session(c)
        await c.close()
    c = await opened()
    got = await c.scram2(a, inline=f"<resume xmlns='{SM}' previd='nonsense' h='0'/>")
    assert got.tag == SUCCESS and got.find(tag(SM, "failed")) is not None and c.jid == f"{a}@localhost"
    c.features, c.is_authenticated = await c.get(), True
    assert (await c.bind()).get("type") == "result"
    await c.close()


# ---- what goes wrong

async def test_failures_leave_the_stream_as_it_was():
    a = user()
    c = await opened()
    assert failure(await c.scram2(a, "wrong", inline=bind(ENABLE_SM))) == "not-authorized"
    assert failure(await c.scram2("nobody-at-all", inline=bind())) == "not-authorized"  # B13
    c.send(c.authenticate_text("ANONYMOUS", ""))
    assert failure(await c.get()) == "invalid-mechanism"  # B11
    c.send(f"<authenticate xmlns='{SASL2}' mechanism='PLAIN'><initial-response>!!!</initial-response></authenticate>")
    assert failure(await c.get()) == "incorrect-encoding"  # B12
    c.send(f"<authenticate xmlns='{SASL2}' mechanism='PLAIN'>{bind()}{bind()}<initial-response>AGEAYg==</initial-response></authenticate>")
    assert failure(await c.get()) == "malformed-request"
    got = await c.scram2(a, inline=bind())
    assert got.tag == SUCCESS, ET.tostring(got)
    await c.get()
    await has_session(c)
    await c.close()


async def test_b17_and_b18_attempts_are_counted_and_may_be_aborted():
    a = user()
    c = await opened()
    c.send(c.authenticate_text("SCRAM-SHA-1", f"n,,n={a},r=abcdefgh"))
    assert (await c.get()).tag == tag(SASL2, "challenge")
    c.send(f"<abort xmlns='{SASL2}'><text>no</text></abort>")
    assert failure(await c.get()) == "aborted"
    for _ in range(5):
        assert failure(await c.plain2(a, "wrong")) == "not-authorized"
    c.send(c.authenticate_text("PLAIN", f"\0{a}\0secret"))
    await c.expect_error("policy-violation")


async def test_nothing_else_comes_in_between():
    """XEP-0388 section 2.4, 4.8."""
    a = user()
    others = ("<message to='x@localhost'/>", f"<auth xmlns='{SASL}' mechanism='PLAIN'>AGEAYg==</auth>", f"<r xmlns='{SM}'/>", "<foo xmlns='urn:x'/>",
              f"<next xmlns='{SASL2}' task='UPGR-SCRAM-SHA-256'/>")
    for other in others:
        c = await opened()
        c.send(c.authenticate_text("SCRAM-SHA-1", f"n,,n={a},r=abcdefgh"))
        assert (await c.get()).tag == tag(SASL2, "challenge")
        c.send(other)
        await c.expect_error(("policy-violation", "not-authorized"))
    c, _ = await logged_in(a)
    c.send(c.authenticate_text("PLAIN", f"\0{a}\0secret"))
    await c.expect_error("policy-violation")
    c = await opened()
    c.send(f"<response xmlns='{SASL2}'>AA==</response>")
    await c.expect_error("not-authorized")


async def test_b14_another_one_than_who_came():
    a, b = user(), user()
    c = await opened(**{"from": f"{a}@localhost"})
    assert failure(await c.scram2(b, inline=bind())) == "invalid-authzid"
    assert (await c.scram2(a, inline=bind())).tag == SUCCESS
    await c.close()


async def test_hundred_thousand_children_meet_a_limit():
    c = await opened()
    c.send(f"<authenticate xmlns='{SASL2}' mechanism='PLAIN'>" + "<a/>" * 1000)
    await c.expect_error("policy-violation")


async def test_b24_a_full_account():
    a = user()
    sessions = [(await logged_in(a))[0] for _ in range(10)]
    c = await opened()
    got = await c.scram2(a, inline=bind())
    assert failure(got) == "temporary-auth-failure", ET.tostring(got)
    assert [e.tag for e in got][1] == "{urn:ietf:params:xml:ns:xmpp-stanzas}resource-constraint", ET.tostring(got)
    again, _ = await logged_in(a, ident=sessions[0].ident)  # in the place of its own
    await sessions[0].expect_error("conflict")
    await has_session(again)
    for s in sessions[1:] + [again, c]:
        await s.close()


# ---- XEP-0474

async def test_the_offer_is_signed():
    a = user()
    for mechanism, name in (("SCRAM-SHA-1", "sha1"), ("SCRAM-SHA-256", "sha256"), ("SCRAM-SHA-512", "sha512")):
        c = await opened()
        offered = sorted(c.offered())
        bindings = sorted(e.get("type") for e in c.features.iter("{urn:xmpp:sasl-cb:0}channel-binding"))
        assert (await c.scram2(a, mechanism=mechanism, inline=bind())).tag == SUCCESS
        text = "\x1e".join(offered) + "\x1f" + "\x1e".join(bindings)
        assert c.challenge["h"] == base64.b64encode(hashlib.new(name, text.encode()).digest()).decode(), (text, c.challenge)
        await c.close()
    c = await opened()  # B16: somebody on the way gives another hash, to go with the list he has changed
    got = await c.scram2(a, tamper=lambda text: text.replace(b",h=", b",h=A"))
    assert failure(got) == "not-authorized"
    await c.close()


# ---- XEP-0480

async def test_an_imported_account_gets_its_missing_verifier():
    a = user()
    owner = cluster.postgres.query(f"SELECT id FROM router.account WHERE bare = '{a}@localhost'")
    cluster.postgres.query(f"DELETE FROM router.credential WHERE owner = {owner} AND digest <> 0")
    wanted = "".join(f"<upgrade xmlns='{UPGRADE}'>UPGR-SCRAM-SHA-{n}</upgrade>" for n in (1, 256, 512))
    c = await opened()
    got = await c.scram2(a, inline=bind(ENABLE_SM) + wanted + wish())
    for name in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
        assert got.tag == tag(SASL2, "continue"), ET.tostring(got)
        assert [t.text for t in got.iter(tag(SASL2, "task"))] == [f"UPGR-{name}"] and got.find(tag(FAST, "token")) is None
        got = await c.upgrade(name)
    assert got.tag == SUCCESS and token_of(got) and got.find(tag(SASL2, "additional-data")) is None, ET.tostring(got)
    await c.get()
    await has_session(c)
    await c.close()
    for name in ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        c = await opened()
        assert (await c.scram2(a, mechanism=name, inline=bind() + wanted)).tag == SUCCESS, name
        await c.close()


async def test_a_task_is_done_right_or_not_at_all():
    a = user()
    owner = cluster.postgres.query(f"SELECT id FROM router.account WHERE bare = '{a}@localhost'")
    cluster.postgres.query(f"DELETE FROM router.credential WHERE owner = {owner} AND digest = 1")
    wanted = f"<upgrade xmlns='{UPGRADE}'>UPGR-SCRAM-SHA-256</upgrade>"
    for wrong in (f"<task-data xmlns='{SASL2}'><hash xmlns='urn:xmpp:scram-upgrade:0'>AAAA</hash></task-data>",
                  f"<task-data xmlns='{SASL2}'/>", f"<next xmlns='{SASL2}' task='UPGR-SCRAM-SHA-512'/>", f"<next xmlns='{SASL2}'/>"):
        c = await opened()
        assert (await c.scram2(a, inline=bind() + wanted)).tag == tag(SASL2, "continue")
        if "task-data" in wrong:
            assert (await c.ask(f"<next xmlns='{SASL2}' task='UPGR-SCRAM-SHA-256'/>")).tag == tag(SASL2, "task-data")
        assert failure(await c.ask(wrong)) == "malformed-request", wrong
        await c.close()
    c = await opened()
    assert (await c.scram2(a, inline=bind() + wanted)).tag == tag(SASL2, "continue")
    c.send("<message to='x@localhost'/>")
    await c.expect_error("not-authorized")
    assert cluster.postgres.query(f"SELECT count(*) FROM router.credential WHERE owner = {owner}") == "2"


# ---- tokens

def families(name):
    return int(cluster.postgres.query("SELECT count(*) FROM router.fast_client f JOIN router.account a ON a.id = f.owner"
                                      f" WHERE a.bare = '{name}@localhost'"))


async def token_for(name, mechanism="HT-SHA-256-NONE", ident=None):
    c, got = await logged_in(name, ident=ident, inline=wish(mechanism))
    token = token_of(got)
    assert token and len(token) >= 32, ET.tostring(got)
    assert got.find(tag(FAST, "token")).get("expiry")[-1] == "Z"
    await c.close()
    return c.ident, token


async def use(name, ident, token, mechanism="HT-SHA-256-NONE", edge=1, inline="", attributes=""):
    """Returns the answer to one login with a token, and the token that came with it."""
    c = await opened(edge, ident)
    got = await c.token2(name, token, mechanism, inline=inline or bind(), attributes=attributes)
    if got.tag == SUCCESS:
        await c.get()
        await has_session(c)
        assert c.round_trips == 1, c.round_trips
    await c.close()
    return got


async def test_a_token_logs_in_again_and_again():
    a = user()
    for mechanism in ("HT-SHA-256-NONE", "HT-SHA-256-ENDP"):
        ident, token = await token_for(a, mechanism)
        for edge in (0, 1, 0):
            got = await use(a, ident, token, mechanism, edge)
            assert got.tag == SUCCESS and token_of(got) is None, ET.tostring(got)
    assert families(a) == 2


async def test_nothing_in_the_database_is_a_token():
    a = user()
    _, token = await token_for(a)
    dump = cluster.postgres.query("SELECT f::text FROM router.fast_client f")
    assert token not in dump and base64.b64decode(token).hex() not in dump


async def test_a_token_is_bound_to_its_mechanism_and_client():
    a, b = user(), user()
    ident, token = await token_for(a, "HT-SHA-256-ENDP")
    assert failure(await use(a, ident, token, "HT-SHA-256-NONE")) == "not-authorized"
    assert failure(await use(b, ident, token, "HT-SHA-256-ENDP")) == "not-authorized"
    assert (await use(a, ident, token, "HT-SHA-256-ENDP")).tag == SUCCESS
    assert failure(await use(a, str(uuid.uuid4()), token, "HT-SHA-256-ENDP")) == "not-authorized"  # B23: another client has it
    assert failure(await use(a, ident, token, "HT-SHA-256-ENDP")) == "not-authorized"  # and nobody any more
    assert families(a) == 0


async def test_b23_replays_revoke_the_family():
    a = user()
    ident, token = await token_for(a)
    assert (await use(a, ident, token, attributes=" count='1'")).tag == SUCCESS
    assert (await use(a, ident, token, attributes=" count='7'")).tag == SUCCESS
    for attributes in (" count='7'", " count='2'", ""):
        assert failure(await use(a, ident, token, attributes=attributes)) == "not-authorized", attributes
        assert families(a) == 0
        assert failure(await use(a, ident, token, attributes=" count='8'")) == "not-authorized"
        ident, token = await token_for(a)
        assert (await use(a, ident, token, attributes=" count='7'")).tag == SUCCESS
    assert failure(await use(a, ident, token, attributes=" count='-1'")) == "malformed-request"


async def test_b23_one_replay_wins_at_most():
    a = user()
    ident, token = await token_for(a)
    clients = [await opened(i % 2, ident) for i in range(6)]
    got = await asyncio.gather(*(c.token2(a, token, inline=bind(), attributes=" count='3'") for c in clients))
    assert sum(g.tag == SUCCESS for g in got) <= 1, [ET.tostring(g) for g in got]
    assert families(a) == 0
    for c in clients:
        c.abort()


async def test_b23_a_new_password_ends_all_tokens():
    a = user()
    ident, token = await token_for(a)
    other, other_token = await token_for(a)
    cluster.ctl("account", "passwd", f"{a}@localhost", "--password-file", "-", stdin="another\n")
    assert failure(await use(a, ident, token)) == "not-authorized"
    assert failure(await use(a, other, other_token)) == "not-authorized"
    assert families(a) == 0
    ident, token = None, None
    c = await opened()
    got = await c.scram2(a, "another", inline=bind() + wish())
    token, ident = token_of(got), c.ident
    await c.get()
    result = await c.iq("set", f"<query xmlns='jabber:iq:register'><username>{a}</username><password>third</password></query>", "localhost")
    assert result.get("type") == "result", ET.tostring(result)
    await c.close()
    assert failure(await use(a, ident, token)) == "not-authorized"


async def test_rotation_keeps_the_old_one_until_the_new_one_is_used():
    a = user()
    ident, old = await token_for(a)
    got = await use(a, ident, old, inline=bind() + wish())
    new = token_of(got)
    assert new and new != old
    assert token_of(await use(a, ident, old)) is None  # the new one got lost, say
    assert (await use(a, ident, new)).tag == SUCCESS
    assert failure(await use(a, ident, old)) == "not-authorized"  # somebody has kept it
    assert failure(await use(a, ident, new)) == "not-authorized"
    assert families(a) == 0


async def test_invalidation():
    a = user()
    ident, token = await token_for(a)
    got = await use(a, ident, token, attributes=" invalidate='true'")
    assert got.tag == SUCCESS and token_of(got) is None
    assert failure(await use(a, ident, token)) == "not-authorized"
    ident, token = await token_for(a)
    got = await use(a, ident, token, inline=bind() + wish(), attributes=" invalidate='1'")
    new = token_of(got)
    assert new and (await use(a, ident, new)).tag == SUCCESS


async def test_a_disabled_account_and_a_deleted_one():
    a = user()
    ident, token = await token_for(a)
    cluster.ctl("account", "disable", f"{a}@localhost")
    assert failure(await use(a, ident, token)) == "account-disabled"
    assert failure(await use(a, ident, token[:-2] + "x=")) == "not-authorized"
    cluster.ctl("account", "enable", f"{a}@localhost")
    assert (await use(a, ident, token)).tag == SUCCESS
    cluster.ctl("account", "delete", f"{a}@localhost")
    assert failure(await use(a, ident, token)) == "not-authorized"


async def test_tokens_need_their_element_and_a_client():
    a = user()
    ident, token = await token_for(a)
    c = await opened(ident=ident)
    c.send(c.token_text(a, token).replace(f"<fast xmlns='{FAST}'/>", ""))
    assert failure(await c.get()) == "malformed-request"
    c.ident = "no-uuid"
    c.send(c.token_text(a, token))
    assert failure(await c.get()) == "malformed-request"
    assert sasl_condition(await c.ask(f"<auth xmlns='{SASL}' mechanism='HT-SHA-256-NONE'>AAAA</auth>")) == "invalid-mechanism"
    await c.close()
    c, got = await logged_in(a, ident="no-uuid", inline=wish())
    assert token_of(got) is None
    await c.close()


async def test_b22_the_store_is_away():
    a = user()
    ident, token = await token_for(a)
    cluster.postgres.stop()
    try:
        assert failure(await use(a, ident, token)) == "temporary-auth-failure"
    finally:
        cluster.postgres.start()
    deadline = time.time() + 30
    while (await use(a, ident, token)).tag != SUCCESS:
        assert time.time() < deadline
        await asyncio.sleep(0.5)


async def test_short_tokens_expire_and_old_ones_rotate():
    with Cluster(edges=1, routers=1, config={"router": {"fast": {"token_lifetime": "6s", "rotate_after": "1s"}}}) as other:
        global cluster
        former, cluster = cluster, other
        try:
            a = user()
            ident, token = await token_for(a)
            await asyncio.sleep(2)
            got = await use(a, ident, token, edge=0)
            new = token_of(got)
            assert got.tag == SUCCESS and new and new != token
            await asyncio.sleep(5)
            assert failure(await use(a, ident, token, edge=0)) == "credentials-expired"
            problems = other.problems()
            assert not problems, problems
        finally:
            cluster = former


def test_nothing_was_wrong_underneath():
    problems = cluster.problems()
    assert not problems, "\n".join(problems)
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    problems = cluster.problems()
    assert not problems, "\n".join(problems)


def main():
    global cluster
    with Cluster() as made:
        cluster = made
        return run(sys.modules[__name__], timeout=60)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
