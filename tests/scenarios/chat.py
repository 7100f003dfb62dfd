#!/usr/bin/python3
"""What a user sees: log in, chat across edges, offline messages, RFC 6121 section 8 delivery, the first extensions. Real TLS, real services."""
import asyncio
import os
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, body, condition, sasl_condition, tls_context  # noqa: E402
from runner import limit, run  # noqa: E402

SID, DELAY = "urn:xmpp:sid:0", "urn:xmpp:delay"
cluster = None
counter = 0


def user(password="secret"):
    """A fresh account each time: no test sees another's sessions or messages."""
    global counter
    counter += 1
    name = f"user{counter}"
    cluster.add_account(name, password)
    return name


def client(edge=0, direct=False, domain="localhost"):
    node = cluster.edges[edge]
    return RawClient(node.direct if direct else node.c2s, direct=direct, domain=domain)


def is_message(element):
    return element.tag == f"{{{CLIENT}}}message"


async def next_message(c, timeout=10):
    return await c.get_where(is_message, timeout)


async def nothing_more(c, accept=is_message, settle=0.5):
    try:
        element = await c.get_where(accept, settle)
    except asyncio.TimeoutError:
        return
    raise AssertionError(f"unexpected {element.tag} {element.attrib} {body(element)}")


async def chat_between(direct_a, direct_b):
    a, b = user(), user()
    ca = await client(0, direct_a).login(a, resource="balcony")
    cb = await client(1, direct_b).login(b)
    ca.message(f"{b}@localhost", "wherefore art thou", ident="m1")
    got = await next_message(cb)
    assert body(got) == "wherefore art thou" and got.get("from") == f"{a}@localhost/balcony" and got.get("id") == "m1"
    assert got.get("type") == "chat"
    stamp = [e for e in got if e.tag == f"{{{SID}}}stanza-id"]
    assert len(stamp) == 1 and stamp[0].get("by") == f"{b}@localhost" and stamp[0].get("id").isdigit()
    cb.message(got.get("from"), "here &lt;&amp;&gt; \u263a")
    assert body(await next_message(ca)) == "here <&> \u263a"
    await ca.close()
    await cb.close()


async def test_chat_across_edges_over_starttls():
    await chat_between(False, False)


async def test_chat_across_edges_over_direct_tls():
    await chat_between(True, True)


async def test_chat_from_starttls_to_direct_tls():
    await chat_between(False, True)


async def test_every_mechanism_logs_in():
    name = user("pa ss=,w\u00f6rd")
    for mechanism in ("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"):
        c = await client().login(name, "pa ss=,w\u00f6rd", mechanism=mechanism)
        assert mechanism in c.mechanisms() or True
        await c.close()


async def test_mechanisms_are_offered_only_inside_tls_with_their_bindings():
    c = client()
    await c.connect()
    await c.open()
    assert c.mechanisms() == []
    await c.start_tls()
    await c.open()
    offered = set(c.mechanisms())
    assert {"PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"} <= offered
    types = {e.get("type") for e in c.features.iter("{urn:xmpp:sasl-cb:0}channel-binding")}
    assert types == {"tls-exporter", "tls-server-end-point"}, types
    await c.close()


async def test_tls_versions_and_forward_secrecy():
    for maximum in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        c = client(0, True)
        await c.connect(tls_context(maximum=maximum))
        cipher = c.writer.get_extra_info("cipher")
        assert cipher[1] in ("TLSv1.2", "TLSv1.3") and ("ECDHE" in cipher[0] or cipher[1] == "TLSv1.3"), cipher
        assert c.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "xmpp-client"
        c.abort()


async def test_certificate_is_chosen_by_signature_algorithm():
    seen = {}
    for kind, ciphers in (("ECDSA", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("RSA", "ECDHE-RSA-AES128-GCM-SHA256")):
        c = client(0, True)
        await c.connect(tls_context(maximum=ssl.TLSVersion.TLSv1_2, ciphers=ciphers))
        seen[kind] = c.end_point_binding()
        c.abort()
    assert seen["ECDSA"] != seen["RSA"]


async def test_tls_session_resumes_on_the_other_edge():
    context = tls_context(maximum=ssl.TLSVersion.TLSv1_2)

    def visit(edge, session):
        import socket
        with socket.create_connection(("127.0.0.1", cluster.edges[edge].direct)) as raw, \
                context.wrap_socket(raw, server_hostname="localhost", session=session) as tls:
            tls.sendall(client().open_text().encode())
            tls.recv(4096)
            return tls.session, tls.session_reused

    session, reused = await asyncio.to_thread(visit, 0, None)
    assert not reused
    _, reused = await asyncio.to_thread(visit, 1, session)
    assert reused, "tickets are not shared between edges"


async def test_offline_messages_come_at_the_next_login_in_order_once_and_stamped():
    a, b = user(), user()
    ca = await client(0).login(a)
    for i in range(250):  # more than two pages
        ca.message(f"{b}@localhost", f"m{i}", ident=f"id{i}")
    await ca.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")
    for _ in range(100):
        if cluster.postgres.query("SELECT count(*) FROM archive.message m JOIN router.account a ON a.id = m.owner WHERE a.bare = "
                                  f"'{b}@localhost'") == "250":
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("the messages are not in PostgreSQL")
    cb = await client(1).login(b, available=False)
    await nothing_more(cb)  # no presence yet: nothing is delivered
    cb.send("<presence/>")
    ids = set()
    for i in range(250):
        got = await next_message(cb)
        assert body(got) == f"m{i}" and got.get("from").startswith(f"{a}@localhost/")
        delays = got.findall(f"{{{DELAY}}}delay")
        assert len(delays) == 1 and delays[0].get("stamp").endswith("Z") and delays[0].get("from") == "localhost"
        ids.add(got.find(f"{{{SID}}}stanza-id").get("id"))
    assert len(ids) == 250
    await nothing_more(cb)
    await asyncio.sleep(0.6)  # the client's kernel acknowledged; the watermark moves
    await cb.close()
    cb = await client(0).login(b)
    await nothing_more(cb)
    await cb.close()
    await ca.close()


async def test_messages_sent_while_catching_up_keep_their_order():
    a, b = user(), user()
    ca = await client(0).login(a)
    for i in range(300):
        ca.message(f"{b}@localhost", f"{i}")
    await asyncio.sleep(1)
    cb = await client(1).login(b, available=False)
    cb.send("<presence/>")
    for i in range(300, 600):
        ca.message(f"{b}@localhost", f"{i}")
    for i in range(600):
        got = await next_message(cb)
        assert body(got) == str(i), f"{body(got)} instead of {i}"
    await nothing_more(cb)
    await ca.close()
    await cb.close()


async def test_negative_priority_gets_no_messages_to_the_bare_jid():
    a, b = user(), user()
    ca = await client(0).login(a)
    cb = await client(1).login(b, available=False)
    cb.send("<presence><priority>-1</priority></presence>")
    await cb.get_where(lambda e: e.tag == f"{{{CLIENT}}}presence")
    ca.message(f"{b}@localhost", "to the bare jid")
    ca.message(cb.jid, "to the full jid")
    assert body(await next_message(cb)) == "to the full jid"
    await nothing_more(cb)
    cb.send("<presence><priority>5</priority></presence>")
    assert body(await next_message(cb)) == "to the bare jid"
    await ca.close()
    await cb.close()


@limit(120)
async def test_messages_to_a_full_jid_go_on_while_an_older_one_waits():
    """More of them than may be unconfirmed (2048): what is confirmed takes no place, and does not come again with the older one."""
    a, b = user(), user()
    ca = await client(0).login(a)
    cb = await client(1).login(b, available=False)
    ca.message(f"{b}@localhost", "to the bare jid")
    for first in range(0, 2300, 100):
        for i in range(first, first + 100):
            ca.message(cb.jid, f"m{i}")
        assert [body(await next_message(cb)) for _ in range(100)] == [f"m{i}" for i in range(first, first + 100)]
    cb.send("<presence/>")
    assert body(await next_message(cb)) == "to the bare jid"
    ca.message(f"{b}@localhost", "and one more")
    assert body(await next_message(cb)) == "and one more"
    await nothing_more(cb)
    await ca.close()
    await cb.close()


async def test_all_available_devices_get_a_chat_message_to_the_bare_jid():
    a, b = user(), user()
    ca = await client(0).login(a)
    phone, laptop = await client(0).login(b, resource="phone"), await client(1).login(b, resource="laptop")
    ca.message(f"{b}@localhost", "to both")
    one, two = await next_message(phone), await next_message(laptop)
    assert body(one) == body(two) == "to both"
    assert one.find(f"{{{SID}}}stanza-id").get("id") == two.find(f"{{{SID}}}stanza-id").get("id")
    ca.message(f"{b}@localhost/phone", "to the phone")
    assert body(await next_message(phone)) == "to the phone"
    await nothing_more(laptop)
    for c in (ca, phone, laptop):
        await c.close()


async def test_a_message_for_a_dead_resource_goes_to_the_other_device():
    a, b = user(), user()
    ca = await client(0).login(a)
    phone, laptop = await client(0).login(b, resource="phone"), await client(1).login(b, resource="laptop")
    await phone.close()
    await asyncio.sleep(0.3)
    ca.message(f"{b}@localhost/phone", "where are you")
    assert body(await next_message(laptop)) == "where are you"
    await ca.close()
    await laptop.close()


async def test_message_types_without_an_available_resource():
    """RFC 6121 8.5.2.2: chat and normal are stored, headline is dropped, groupchat answered with an error; errors are dropped."""
    a, b = user(), user()
    ca = await client(0).login(a)
    ca.message(f"{b}@localhost", "headline", kind="headline")
    ca.message(f"{b}@localhost", "normal", kind="normal")
    ca.send(f"<message to='{b}@localhost' type='error' id='e'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
    ca.message(f"{b}@localhost", "group", kind="groupchat", ident="g")
    got = await next_message(ca)
    assert got.get("type") == "error" and got.get("id") == "g" and condition(got) == "service-unavailable"
    cb = await client(1).login(b)
    assert body(await next_message(cb)) == "normal"
    await nothing_more(cb)
    await ca.close()
    await cb.close()


async def test_chat_states_are_not_stored_and_never_overtake_messages():
    a, b = user(), user()
    ca = await client(0).login(a)
    state = "<{} xmlns='http://jabber.org/protocol/chatstates'/>"
    ca.send(f"<message to='{b}@localhost' type='chat'>{state.format('composing')}</message>")
    await asyncio.sleep(0.3)
    cb = await client(1).login(b)
    await nothing_more(cb)
    for i in range(40):
        ca.message(f"{b}@localhost", str(i))
        ca.send(f"<message to='{b}@localhost' type='chat' id='s{i}'>{state.format('paused')}</message>")
    order = []
    for _ in range(80):
        got = await next_message(cb)
        order.append(body(got) or got.get("id"))
    assert order == [x for i in range(40) for x in (str(i), f"s{i}")], order[:20]
    await ca.close()
    await cb.close()


async def test_no_store_hint_is_obeyed():
    """XEP-0334: with no-store an offline user does not get it, and no row is written."""
    a, b = user(), user()
    ca = await client(0).login(a)
    ca.message(f"{b}@localhost", "ephemeral", extra="<no-store xmlns='urn:xmpp:hints'/>")
    await asyncio.sleep(0.5)
    rows = cluster.postgres.query(f"SELECT count(*) FROM archive.message m JOIN router.account a ON a.id = m.owner WHERE a.bare = '{b}@localhost'")
    assert rows == "0", rows
    await ca.close()


async def test_unknown_and_offline_users_look_alike_to_iqs():
    """C08, C09: the same answer whether the account exists or not."""
    a, b = user(), user()
    ca = await client(0).login(a)
    answers = []
    for name in (b, "nobody-here"):
        got = await ca.iq("get", "<query xmlns='jabber:iq:last'/>", f"{name}@localhost/none")
        answers.append((got.get("type"), condition(got), [e.tag for e in got.iter()]))
    assert answers[0] == answers[1] and answers[0][1] == "service-unavailable", answers
    ca.message("nobody-here@localhost", "hello?", ident="x")
    got = await next_message(ca)
    assert condition(got) == "service-unavailable" and got.get("from") == "nobody-here@localhost"
    await ca.close()


async def test_remote_domains_are_answered():
    a = user()
    ca = await client(0).login(a)
    ca.message("juliet@elsewhere.example", "hello", ident="r")
    got = await next_message(ca)
    assert condition(got) == "remote-server-not-found", condition(got)
    await ca.close()


async def test_iq_between_clients():
    a, b = user(), user()
    ca, cb = await client(0).login(a), await client(1).login(b)
    ca.send(f"<iq type='get' id='q1' to='{cb.jid}'><query xmlns='jabber:iq:version'/></iq>")
    got = await cb.get_where(lambda e: e.tag == f"{{{CLIENT}}}iq")
    assert got.get("from") == ca.jid
    cb.send(f"<iq type='result' id='q1' to='{ca.jid}'><query xmlns='jabber:iq:version'><name>raw</name></query></iq>")
    got = await ca.get_where(lambda e: e.get("id") == "q1")
    assert got.get("type") == "result" and got.get("from") == cb.jid
    await ca.close()
    await cb.close()


async def test_ping_time_version_disco():
    a = user()
    c = await client().login(a)
    for to in (None, "localhost", f"{a}@localhost"):
        assert (await c.iq("get", "<ping xmlns='urn:xmpp:ping'/>", to)).get("type") == "result"
    got = await c.iq("get", "<time xmlns='urn:xmpp:time'/>", "localhost")
    assert got.findtext(".//{urn:xmpp:time}utc").endswith("Z") and got.findtext(".//{urn:xmpp:time}tzo")
    got = await c.iq("get", "<query xmlns='jabber:iq:version'/>", "localhost")
    assert got.findtext(".//{jabber:iq:version}name") == "Starling" and got.findtext(".//{jabber:iq:version}os") is None
    info = "http://jabber.org/protocol/disco#info"
    got = await c.iq("get", f"<query xmlns='{info}'/>", "localhost")
    features = {f.get("var") for f in got.iter(f"{{{info}}}feature")}
    assert {info, "urn:xmpp:ping", "urn:xmpp:time", "jabber:iq:version", "msgoffline"} <= features, features
    assert [(i.get("category"), i.get("type")) for i in got.iter(f"{{{info}}}identity")] == [("server", "im")]
    got = await c.iq("get", f"<query xmlns='{info}'/>", f"{a}@localhost")
    assert ("account", "registered") in [(i.get("category"), i.get("type")) for i in got.iter(f"{{{info}}}identity")]
    got = await c.iq("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", "localhost")
    assert got.get("type") == "result"
    got = await c.iq("get", "<query xmlns='no:such:namespace'/>", "localhost")
    assert condition(got) == "service-unavailable"  # C05
    await c.close()


async def test_resource_conflict_replaces_the_old_stream():
    a = user()
    old = await client(0).login(a, resource="same")
    new = await client(1).login(a, resource="same")
    await old.expect_error("conflict")
    new.message(f"{a}@localhost", "note to self")
    assert body(await next_message(new)) == "note to self"
    await new.close()


async def test_server_chooses_a_resource_and_prepares_the_given_one():
    a = user()
    one, two = await client().login(a), await client().login(a, resource="\u2003Balcony")
    assert len(one.jid.split("/")[1]) >= 8
    assert two.jid == f"{a}@localhost/ Balcony", two.jid
    await one.close()
    await two.close()


async def test_self_presence_reaches_the_other_devices():
    a = user()
    one = await client(0).login(a, resource="one")
    two = await client(1).login(a, resource="two")
    got = await one.get_where(lambda e: e.tag == f"{{{CLIENT}}}presence" and e.get("from") == two.jid)
    assert got.get("type") is None
    await two.close()
    got = await one.get_where(lambda e: e.tag == f"{{{CLIENT}}}presence" and e.get("from") == two.jid)
    assert got.get("type") == "unavailable"
    await one.close()


async def test_in_band_registration_change_and_removal():
    """XEP-0077: register before login, change the password, remove the account; the name stays blocked (C30)."""
    register = "jabber:iq:register"
    c = await client().secure()
    assert c.features.find("{http://jabber.org/features/iq-register}register") is not None
    got = await c.iq("get", f"<query xmlns='{register}'/>")
    assert got.find(f".//{{{register}}}username") is not None
    new = f"<query xmlns='{register}'><username>fresh</username><password>one</password></query>"
    assert (await c.iq("set", new)).get("type") == "result"
    assert condition(await c.iq("set", new)) == "conflict"
    await c.close()
    c = await client(1).login("fresh", "one", mechanism="SCRAM-SHA-256")
    got = await c.iq("set", f"<query xmlns='{register}'><username>fresh</username><password>two</password></query>")
    assert got.get("type") == "result", condition(got)
    got = await c.iq("set", f"<query xmlns='{register}'><username>user1</username><password>two</password></query>")
    assert got.get("type") == "error"  # C28
    await c.close()
    c = await client(1).secure()
    assert sasl_condition(await c.scram("fresh", "one")) == "not-authorized"
    await c.close()
    c = await client(0).login("fresh", "two", mechanism="SCRAM-SHA-512")
    c.send(f"<iq type='set' id='rm'><query xmlns='{register}'><remove/></query></iq>")
    got = await c.get()
    assert got.get("id") == "rm" and got.get("type") == "result"
    await c.expect_error(("not-authorized", "reset", "conflict"))
    c = await client().secure()
    assert sasl_condition(await c.scram("fresh", "two")) == "not-authorized"
    assert condition(await c.iq("set", new)) == "conflict"
    await c.close()
    rows = cluster.postgres.query("SELECT count(*) FROM router.credential c JOIN router.account a ON a.id = c.owner WHERE a.bare = 'fresh@localhost'")
    assert rows == "0"


async def test_a_host_with_any_password():
    c = await client(0, domain="any.localhost").login("whoever", "whatever", mechanism="PLAIN")
    assert c.jid.startswith("whoever@any.localhost/")
    c.message("whoever@any.localhost", "mine")
    assert body(await next_message(c)) == "mine"
    await c.close()


async def test_forged_stanza_ids_are_removed():
    """C15: every stanza-id by= the recipient, at any position; others stay."""
    a, b = user(), user()
    ca, cb = await client(0).login(a), await client(1).login(b)
    forged = f"<stanza-id xmlns='{SID}' by='{b}@localhost' id='666'/>"
    other = f"<stanza-id xmlns='{SID}' by='room@elsewhere' id='1'/>"
    ca.send(f"<message to='{b}@localhost' type='chat'>{forged}<body>x</body>{forged}{other}{forged}</message>")
    got = await next_message(cb)
    ids = [(e.get("by"), e.get("id")) for e in got.iter(f"{{{SID}}}stanza-id")]
    assert len(ids) == 2 and ("room@elsewhere", "1") in ids and (f"{b}@localhost", "666") not in ids, ids
    await ca.close()
    await cb.close()


async def test_slixmpp_clients_chat_across_edges():
    import subprocess
    a, b = user(), user()
    for name in (a, b):
        with open(cluster.file(name), "w") as out:
            out.write("secret")
    process = await asyncio.create_subprocess_exec("/usr/bin/python3", os.path.join(os.path.dirname(__file__), "slix_chat.py"), a, b,
                                                   str(cluster.edges[0].c2s), str(cluster.edges[1].c2s),
                                                   cluster.file("ec.crt"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, out.decode()


def test_ctl_accounts_json_and_exit_codes():
    import json
    name = user()
    rows = json.loads(cluster.ctl("--json", "account", "list", "localhost").stdout)
    assert {"account": f"{name}@localhost", "state": "active"}.items() <= next(r for r in rows if r["account"].startswith(name + "@")).items()
    assert cluster.ctl("account", "add", f"{name}@localhost", "--password-file", "-", stdin="x\n", check=False).returncode == 4
    assert cluster.ctl("account", "passwd", "nobody@localhost", "--password-file", "-", stdin="x\n", check=False).returncode == 3
    assert cluster.ctl("account", "add", "not a jid", check=False).returncode == 2
    assert cluster.ctl("no-such-command", check=False).returncode == 2
    random = json.loads(cluster.ctl("account", "add", "randomly@localhost", "--json").stdout)
    assert len(random["password"]) == 24
    assert "nothing to do" in cluster.ctl("db", "migrate").stdout


def test_ctl_nodes_and_shards():
    import json
    nodes = json.loads(cluster.ctl("--json", "nodes").stdout)
    assert sorted(n["node"] for n in nodes) == sorted(n.name for n in cluster.nodes()), nodes
    assert all(n["ready"] for n in nodes)
    shards = json.loads(cluster.ctl("--json", "shards").stdout)
    assert sum(s["shards"] for s in shards) == 256 and {s["router"] for s in shards} == {r.name for r in cluster.routers}
    assert max(s["shards"] for s in shards) - min(s["shards"] for s in shards) <= 8, shards


async def test_ctl_streams_shows_how_each_stream_is_protected():
    import json
    a = user()
    c = await client(1).login(a, mechanism="SCRAM-SHA-256-PLUS")
    rows = json.loads((await asyncio.to_thread(cluster.ctl, "--json", "streams")).stdout)
    row = next(r for r in rows if r["jid"] == c.jid)
    assert row["tls"] == "TLSv1.3" and row["mechanism"] == "SCRAM-SHA-256-PLUS" and row["channel_binding"] == "tls-server-end-point", row
    assert row["cipher"].startswith("TLS_") and row["node"] == "edge-2" and row["peer"].startswith("127.0.0.1"), row
    assert "localhost" in row["certificate"], row
    await c.close()


async def test_ctl_disable_ends_sessions_and_logins():
    """B21: account-disabled only after a correct proof."""
    a = user()
    c = await client(0).login(a)
    await asyncio.to_thread(cluster.ctl, "account", "disable", f"{a}@localhost")
    await c.expect_error(("not-authorized", "policy-violation", "reset", "conflict"))
    for mechanism in ("PLAIN", "SCRAM"):
        c = await client(1).secure()
        good = await (c.plain(a, "secret") if mechanism == "PLAIN" else c.scram(a, "secret"))
        assert sasl_condition(good) == "account-disabled", mechanism
        await c.close()
        c = await client(1).secure()
        bad = await (c.plain(a, "wrong") if mechanism == "PLAIN" else c.scram(a, "wrong"))
        assert sasl_condition(bad) == "not-authorized", mechanism
        await c.close()
    await asyncio.to_thread(cluster.ctl, "account", "enable", f"{a}@localhost")
    await (await client(0).login(a)).close()


def test_ctl_delete_erases_and_blocks_the_name():
    name = user()
    owner = cluster.postgres.query(f"SELECT id FROM router.account WHERE bare = '{name}@localhost'")
    cluster.ctl("account", "delete", f"{name}@localhost")
    assert cluster.postgres.query(f"SELECT count(*) FROM archive.message WHERE owner = {owner}") == "0"
    assert cluster.ctl("account", "add", f"{name}@localhost", "--password-file", "-", stdin="x\n", check=False).returncode == 4


async def test_reload_takes_a_new_certificate_without_dropping_a_stream():
    import shutil
    import signal
    import subprocess
    a = user()
    node = cluster.edges[0]
    c = await client(0).login(a)
    saved = {n: open(cluster.file(n), "rb").read() for n in ("ec.crt", "ec.key")}

    async def seen():
        t = client(0, True)
        await t.connect(tls_context())
        binding = t.end_point_binding()
        t.abort()
        return binding

    before = await seen()
    with open(cluster.file("ec.crt"), "w") as out:
        out.write("-----BEGIN CERTIFICATE-----\nbroken")  # H06: half written: the old one is kept
    os.kill(node.pid(), signal.SIGHUP)
    await asyncio.sleep(0.5)
    assert await seen() == before
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", cluster.file("ec.key"), "-out", cluster.file("ec.crt")], check=True, stderr=subprocess.DEVNULL)
    os.kill(node.pid(), signal.SIGHUP)
    for _ in range(30):
        await asyncio.sleep(0.1)
        if await seen() != before:
            break
    else:
        raise AssertionError("the new certificate is not used")
    assert (await c.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")).get("type") == "result"
    await c.close()
    for n, data in saved.items():
        with open(cluster.file(n), "wb") as out:
            out.write(data)
    os.kill(node.pid(), signal.SIGHUP)
    assert shutil


def test_programs_explain_themselves():
    import subprocess
    from cluster import BUILD
    for program in ("edge", "router", "archive-svc"):
        path = os.path.join(BUILD, "bin", program)
        node = next(n for n in cluster.nodes() if n.program == program)
        assert subprocess.run([path, "--version"], capture_output=True, text=True).stdout.startswith(f"starling {program} ")
        reference = subprocess.run([path, "--print-config"], capture_output=True, text=True).stdout
        assert "\nbus:" in reference and "max_frame" in reference
        good = subprocess.run([path, "--config", node.path, "--check-config"], capture_output=True, text=True)
        assert good.returncode == 0, good.stderr
        bad = cluster.file(f"bad-{program}.yaml")
        with open(bad, "w") as out:
            out.write("log:\n  level: info\n  colour: red\n")
        wrong = subprocess.run([path, "--config", bad, "--check-config"], capture_output=True, text=True)
        assert wrong.returncode == 2 and ":3:" in wrong.stdout + wrong.stderr, (wrong.stdout, wrong.stderr)


def test_nothing_was_wrong_underneath():
    """Drains every process: exit code 0, no sanitizer report."""
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    with Cluster(edges=2, routers=2, archives=1) as cluster:
        sys.exit(0 if run(sys.modules[__name__], context=None) else 1)
