#!/usr/bin/python3
"""RFC 6121 section 8 (and RFC 6120 section 10, to which it refers) over real sockets, rule by rule: two edges, two routers, and of each rule both
ways, from a sender at home where the recipient is and from one at home in the other router. Each cell of the tables is a test of its own.

Absence is never shown by waiting: behind each stanza its sender sends a marker to every session and a request to the account, which take the same
way; what had not come before them does not come."""
import asyncio
import functools
import os
import sys
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, condition  # noqa: E402
from runner import run  # noqa: E402

PRESENCE, IQ, MESSAGE = (f"{{{CLIENT}}}{name}" for name in ("presence", "iq", "message"))
BLOCKING, ROSTER, DELAY = "urn:xmpp:blocking", "jabber:iq:roster", "urn:xmpp:delay"
ERROR_CHILD = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
UNKNOWN = "<query xmlns='urn:example:unknown'/>"
UNAVAILABLE = ("service-unavailable", "cancel")
loop = asyncio.new_event_loop()
cluster = scene = None
counter = 0


def fresh(prefix="x"):
    global counter
    counter += 1
    return f"{prefix}{counter}"


def jid(name):
    return f"{name}@localhost"


class Session(RawClient):
    """Keeps what it reads by id."""

    async def start(self, name, resource, priority, managed=False):
        """`priority` None: no presence at all."""
        self.user = name
        await self.login(name, resource=resource, available=False)
        if managed:
            await self.enable()
        await self.set_priority(priority)
        return self

    async def committed(self):
        """Until what was sent is acknowledged, which means that it is in the log (XEP-0198)."""
        wanted = self.sm.sent
        while (wanted - self.sm.acked) % 2**32 < 2**31 and self.sm.acked != wanted:
            self.request()
            await self.came()

    async def set_priority(self, priority):
        if priority is not None:
            self.send(f"<presence><priority>{priority}</priority></presence>")
        await self.came()

    async def came(self):
        """Everything the server had sent until it answered a ping."""
        ident = fresh("ping")
        self.send(f"<iq type='get' id='{ident}'><ping xmlns='urn:xmpp:ping'/></iq>")
        return await self.until(lambda e: e.tag == IQ and e.get("id") == ident)

    async def until(self, accept):
        elements = []
        while True:
            element = await self.get(20)
            if accept(element):
                return elements
            elements.append(element)


STATES = {  # account: its sessions, by resource, with their priorities
    "nobody": None,
    "away": {},
    "silent": {"quiet": None},
    "negative": {"minus": -1},
    "single": {"zero": 0},
    "several": {"zero": 0, "same": 0, "high": 7, "minus": -1, "quiet": None},
}


class Scene:
    """The accounts of STATES and two senders, whose homes are different routers."""

    async def begin(self):
        self.sessions = {}
        for state, resources in STATES.items():
            if resources is not None:
                cluster.add_account(state)
            self.sessions[state] = {}
            for i, (resource, priority) in enumerate((resources or {}).items()):
                self.sessions[state][resource] = await Session(cluster.edges[i % 2].c2s).start(state, resource, priority)
        self.senders = []
        for i in range(20):
            cluster.add_account(f"sender{i}")
            before = [home_count(r) for r in cluster.routers]
            sender = await Session(cluster.edges[len(self.senders) % 2].c2s).start(f"sender{i}", "s", 0, managed=True)
            sender.home = [home_count(r) - n for r, n in zip(cluster.routers, before)].index(1)
            if not any(s.home == sender.home for s in self.senders):
                self.senders.append(sender)
            if len(self.senders) == 2:
                return
        raise AssertionError("all accounts are at home in one router")


def home_count(router):
    return sum(v for k, v in router.metrics().items() if k.split("{")[0].endswith("_sessions"))


def text_of(kind, kind_type, to, ident):
    """A stanza with what belongs into it."""
    attributes = f" type='{kind_type}'" if kind_type else ""
    address = f" to='{to}'" if to else ""
    children = ERROR_CHILD if kind_type == "error" else \
        {"message": f"<body>{ident}</body>", "presence": "", "iq": UNKNOWN if kind_type in ("get", "set") else ""}[kind]
    return f"<{kind}{attributes}{address} id='{ident}'>{children}</{kind}>"


def error_of(element):
    return condition(element), element.find(f"{{{CLIENT}}}error").get("type")


async def send_and_see(sender, text, account, sessions):
    """Sends; returns (what came back to the sender, {resource: what came there}), of what is not a marker."""
    mark = fresh("mark")
    sender.send(text)
    for resource in sessions:
        sender.send(f"<message type='headline' to='{jid(account)}/{resource}' id='{mark}'><body>marker</body></message>")
    sender.send(f"<iq type='get' id='{mark}' to='{jid(account)}'>{UNKNOWN}</iq>")
    seen = {r: await s.until(lambda e: e.get("id") == mark) for r, s in sessions.items()}
    return await sender.until(lambda e: e.get("id") == mark), seen


async def waiting_for(sender, account):
    """The ids of messages the account finds when it comes (or a silent session becomes available), and how they are stamped."""
    mark = fresh("kept")
    sender.send(f"<message type='chat' to='{jid(account)}' id='{mark}'><body>marker</body></message>")
    await sender.committed()
    held = list(scene.sessions[account].values())
    reader = held[0] if held else await Session(cluster.edges[1].c2s).start(account, "later", None)
    reader.send("<presence/>")
    elements = await reader.until(lambda e: e.get("id") == mark)
    if held:
        priority = STATES[account][next(iter(STATES[account]))]
        reader.send("<presence type='unavailable'/>" if priority is None else f"<presence><priority>{priority}</priority></presence>")
        await reader.came()
    else:
        await reader.close()
    return {e.get("id"): e for e in elements if e.tag == MESSAGE}


def group(state, outcome, resource):
    """Who has to get it."""
    priorities = STATES[state] or {}
    return {"1": {resource}, "A": {r for r, p in priorities.items() if p is not None and p >= 0},
            "V": {r for r, p in priorities.items() if p is not None}}.get(outcome, set())


async def check_cell(state, resource, kind, kind_type, outcome):
    """outcome: . nothing  E service-unavailable  1 that session  A all with non-negative priority  V all available  O kept."""
    to = jid(state) + (f"/{resource}" if resource else "")
    for sender in scene.senders:
        ident = fresh("m")
        back, seen = await send_and_see(sender, text_of(kind, kind_type, to, ident), state, scene.sessions[state])
        mine = [e for e in back if e.get("id") == ident]
        if outcome == "E":
            assert len(mine) == 1 and mine[0].get("type") == "error" and error_of(mine[0]) == UNAVAILABLE, [ET.tostring(e) for e in mine]
            assert mine[0].get("from") == to and mine[0].get("to") == sender.jid and mine[0].tag == f"{{{CLIENT}}}{kind}", mine[0].attrib
        else:
            assert not mine, ET.tostring(mine[0])
        for name, elements in seen.items():
            got = [e for e in elements if e.get("id") == ident]
            assert len(got) == (name in group(state, outcome, resource)), f"{name} got {len(got)}"
            assert all(e.get("from") == sender.jid and e.get("to") == to and e.get("type") == (kind_type or None) for e in got), got[0].attrib
        if kind == "message" and state in ("away", "silent", "negative"):
            kept = (await waiting_for(sender, state)).get(ident)
            assert (kept is not None) == (outcome == "O"), "kept" if kept is not None else "not kept"
            assert kept is None or kept.find(f"{{{DELAY}}}delay") is not None
        if kind == "presence" and outcome == "1" or outcome == "V":
            sender.send(text_of(kind, "unavailable", to, fresh("over")))  # C36


# Rows: form of address. Columns as in RFC 6121 §8.5.4, with what it leaves open decided:
# - chat and normal go to all resources with non-negative priority, not to the most available one;
# - a message to a full JID that is gone goes where the bare one would: for "chat" so says §8.5.3.2.1; for "normal" it asks for an error or
#   silence, but clients send receipts and markers so, and a message that was accepted for a session must not be lost with it (P1). Prosody and
#   ejabberd do the same.
MESSAGE_TYPES = ("normal", "", "chat", "groupchat", "headline", "error")
MESSAGE_RULES = {
    ("8.5.1", "nobody", None): "EEEE..", ("8.5.1", "nobody", "gone"): "EEEE..",
    ("8.5.2.2.1", "away", None): "OOOE..", ("8.5.3.2.1", "away", "gone"): "OOOE..",
    ("8.5.2.2.1", "silent", None): "OOOE..", ("8.5.3.1", "silent", "quiet"): "111111", ("8.5.3.2.1", "silent", "gone"): "OOOE..",
    ("8.5.2.1.1", "negative", None): "OOOE..", ("8.5.3.1", "negative", "minus"): "111111", ("8.5.3.2.1", "negative", "gone"): "OOOE..",
    ("8.5.2.1.1", "single", None): "AAAEA.", ("8.5.3.1", "single", "zero"): "111111", ("8.5.3.2.1", "single", "gone"): "AAAE..",
    ("8.5.2.1.1", "several", None): "AAAEA.", ("8.5.3.1", "several", "high"): "111111", ("8.5.3.1", "several", "same"): "111111",
    ("8.5.3.1", "several", "minus"): "111111", ("8.5.3.1", "several", "quiet"): "111111", ("8.5.3.2.1", "several", "gone"): "AAAE..",
}
# Subscription stanzas of a stranger that change nothing, and probes of one, are ignored (§3, §4.3.2); what they do otherwise stands below and in roster.py.
PRESENCE_TYPES = ("", "unavailable", "error", "subscribed", "unsubscribe", "unsubscribed", "probe")
PRESENCE_RULES = {
    ("8.5.1", "nobody", None): ".......", ("8.5.1", "nobody", "gone"): ".......",
    ("8.5.2.2.2", "away", None): ".......", ("8.5.3.2.2", "away", "gone"): ".......",
    ("8.5.2.2.2", "silent", None): ".......", ("8.5.3.1", "silent", "quiet"): "111....", ("8.5.3.2.2", "silent", "gone"): ".......",
    ("8.5.2.1.2", "negative", None): "VV.....", ("8.5.3.1", "negative", "minus"): "111....", ("8.5.3.2.2", "negative", "gone"): ".......",
    ("8.5.2.1.2", "single", None): "VV.....", ("8.5.3.1", "single", "zero"): "111....", ("8.5.3.2.2", "single", "gone"): ".......",
    ("8.5.2.1.2", "several", None): "VV.....", ("8.5.3.1", "several", "minus"): "111....", ("8.5.3.1", "several", "quiet"): "111....",
    ("8.5.3.2.2", "several", "gone"): ".......",
}
IQ_TYPES = ("get", "set", "result", "error")
IQ_RULES = {
    ("8.5.1", "nobody", None): "EE..", ("8.5.1", "nobody", "gone"): "EE..",
    ("8.5.2.2.3", "away", None): "EE..", ("8.5.3.2.3", "away", "gone"): "EE..",
    ("8.5.2.2.3", "silent", None): "EE..", ("8.5.3.1", "silent", "quiet"): "1111", ("8.5.3.2.3", "silent", "gone"): "EE..",
    ("8.5.2.1.3", "negative", None): "EE..", ("8.5.3.1", "negative", "minus"): "1111", ("8.5.3.2.3", "negative", "gone"): "EE..",
    ("8.5.2.1.3", "single", None): "EE..", ("8.5.3.1", "single", "zero"): "1111", ("8.5.3.2.3", "single", "gone"): "EE..",
    ("8.5.2.1.3", "several", None): "EE..", ("8.5.3.1", "several", "high"): "1111", ("8.5.3.2.3", "several", "gone"): "EE..",
}


def shared_loop(coroutine):
    """As a test: the sessions of the scene outlive it."""
    return lambda: loop.run_until_complete(asyncio.wait_for(coroutine(), 60))


def add_cells(kind, types, rules):
    for (section, state, resource), outcomes in rules.items():
        assert len(outcomes) == len(types)
        for kind_type, outcome in zip(types, outcomes):
            name = f"test_{section.replace('.', '_')}_{kind}_{kind_type or 'without_type'}_to_{state}_{resource or 'bare'}"
            globals()[name] = shared_loop(functools.partial(check_cell, state, resource, kind, kind_type, outcome))



add_cells("message", MESSAGE_TYPES, MESSAGE_RULES)
add_cells("presence", PRESENCE_TYPES, PRESENCE_RULES)
add_cells("iq", IQ_TYPES, IQ_RULES)


async def answers(sender, *texts):
    """What comes back to each of these stanzas, by their ids; the ping behind them is answered last."""
    for text in texts:
        sender.send(text)
    elements = await sender.came()
    return [[e for e in elements if e.get("id") == ET.fromstring(text).get("id")] for text in texts]


async def check_answers(address, kind, types, outcome):
    """outcome: None, or the error's condition and type."""
    for sender in scene.senders:
        texts = [text_of(kind, kind_type, address, fresh("a")) for kind_type in types]
        for text, got in zip(texts, await answers(sender, *texts)):
            assert len(got) == (outcome is not None), (text, [ET.tostring(e) for e in got])
            for element in got:
                assert element.get("type") == "error" and error_of(element) == outcome and element.get("from") == address, ET.tostring(element)


# ---- 8.2: no `to`

@shared_loop
async def test_8_2_message_without_to_is_for_the_own_account():
    """RFC 6120 10.3.1: as if to the own bare JID, so 8.5.2.1.1 holds."""
    own = scene.sessions["several"]
    for kind_type, outcome in zip(MESSAGE_TYPES, "AAAEA."):
        ident = fresh("own")
        own["zero"].send(text_of("message", kind_type, None, ident))
        for resource in own:
            own["zero"].send(f"<message type='headline' to='{jid('several')}/{resource}' id='end-{ident}'><body>marker</body></message>")
        seen = {r: await s.until(lambda e: e.get("id") == f"end-{ident}") for r, s in own.items()}
        got = {r: [e for e in elements if e.get("id") == ident] for r, elements in seen.items()}
        wanted = {"zero"} if outcome == "E" else group("several", outcome, None)
        assert {r for r, elements in got.items() if len(elements) == 1} == wanted and not any(len(e) > 1 for e in got.values()), (kind_type, got)
        assert outcome != "E" or error_of(got["zero"][0]) == UNAVAILABLE


@shared_loop
async def test_8_2_presence_without_to_is_broadcast_or_ignored():
    """RFC 6120 10.3.2: to subscribers and the own available sessions; a subscription stanza needs an address, probes and errors without one are ignored."""
    own = scene.sessions["several"]
    sender, others = own["zero"], {r: s for r, s in own.items() if r != "zero"}
    for kind_type in ("unavailable", ""):
        ident = fresh("own")
        _, seen = await send_and_see(sender, text_of("presence", kind_type, None, ident), "several", others)
        got = {r for r, elements in seen.items() for e in elements if e.tag == PRESENCE and e.get("from") == sender.jid and e.get("type") == (kind_type or None)}
        assert got == {"same", "high", "minus"}, (kind_type, got)
    await sender.came(), await sender.came()  # what the others say to a session that comes
    for kind_type in ("subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error"):
        back, seen = await send_and_see(sender, text_of("presence", kind_type, None, fresh("own")), "several", others)
        came = [e for elements in (back, *seen.values()) for e in elements if e.tag == PRESENCE]
        wanted = [("bad-request", "modify")] if "subscribe" in kind_type else []
        assert [error_of(e) for e in came if e.get("type") == "error"] == wanted and len(came) == len(wanted), (kind_type, [ET.tostring(e) for e in came])


@shared_loop
async def test_8_2_iq_without_to_is_answered_for_the_account():
    """RFC 6120 10.3.3."""
    for sender in scene.senders:
        known, get, unknown_set, result, error = await answers(
            sender, "<iq type='get' id='known'><query xmlns='jabber:iq:roster'/></iq>", text_of("iq", "get", None, "n1"), text_of("iq", "set", None, "n2"),
            text_of("iq", "result", None, "n3"), text_of("iq", "error", None, "n4"))
        assert [e.get("type") for e in known] == ["result"] and known[0].get("from") in (None, jid(sender.user))
        for got in (get, unknown_set):
            assert len(got) == 1 and error_of(got[0]) == UNAVAILABLE and got[0].get("from") in (None, jid(sender.user))
        assert not result and not error


# ---- 8.3: remote domains

REMOTE = ("remote-server-not-found", "cancel")


@shared_loop
async def test_8_3_message_to_a_remote_domain():
    for address in ("juliet@elsewhere.example", "juliet@elsewhere.example/balcony", "elsewhere.example"):
        await check_answers(address, "message", ("normal", "", "chat", "groupchat", "headline"), REMOTE)
        await check_answers(address, "message", ("error",), None)


@shared_loop
async def test_8_3_presence_to_a_remote_domain():
    for address in ("juliet@elsewhere.example", "juliet@elsewhere.example/balcony", "elsewhere.example"):
        await check_answers(address, "presence", ("error",), None)
        await check_answers(address, "presence", ("", "unavailable", "subscribe"), REMOTE)


@shared_loop
async def test_8_3_iq_to_a_remote_domain():
    for address in ("juliet@elsewhere.example", "juliet@elsewhere.example/balcony", "elsewhere.example"):
        await check_answers(address, "iq", ("get", "set"), REMOTE)
        await check_answers(address, "iq", ("result", "error"), None)


# ---- 8.4: the domain itself

@shared_loop
async def test_8_4_message_to_the_server():
    for address in ("localhost", "localhost/echo"):
        await check_answers(address, "message", ("normal", "", "chat", "groupchat"), UNAVAILABLE)
        await check_answers(address, "message", ("error",), None)


@shared_loop
async def test_8_4_presence_to_the_server_is_ignored():
    for address in ("localhost", "localhost/echo"):
        await check_answers(address, "presence", ("", "unavailable", "error", "probe", "subscribe", "subscribed", "unsubscribe", "unsubscribed"), None)


@shared_loop
async def test_8_4_iq_to_the_server():
    for sender in scene.senders:
        (known,) = await answers(sender, "<iq type='get' id='ping-it' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        assert [(e.get("type"), e.get("from")) for e in known] == [("result", "localhost")]
    for address in ("localhost", "localhost/echo"):
        await check_answers(address, "iq", ("get", "set"), UNAVAILABLE)
        await check_answers(address, "iq", ("result", "error"), None)


# ---- 8.5: what the tables above do not show

@shared_loop
async def test_8_5_1_subscription_request_to_nobody():
    """Silence: the stranger cannot tell nobody from somebody who does not answer (C09)."""
    for sender in scene.senders:
        for address in (jid("nobody"), jid("nobody") + "/gone"):
            back, _ = await send_and_see(sender, f"<presence type='subscribe' to='{address}' id='{fresh('s')}'/>", "nobody", {})
            assert not [e for e in back if e.tag == PRESENCE], back


async def check_subscription_request(state, resource, section):
    """3.1.3: to every available session, as between bare JIDs, whatever form the address had. Denied, so that all is as before."""
    sessions = scene.sessions[state]
    for sender in scene.senders:
        ident = fresh("s")
        address = jid(state) + (f"/{resource}" if resource else "")
        back, seen = await send_and_see(sender, f"<presence type='subscribe' to='{address}' id='{ident}'/>", state, sessions)
        assert not [e for e in back if e.tag == PRESENCE]
        for name, elements in seen.items():
            got = [(e.get("from"), e.get("to")) for e in elements if e.get("type") == "subscribe"]
            assert got == ([(jid(sender.user), jid(state))] if name in group(state, "V", None) else []), (section, name, got)
        denier = next(iter(sessions.values()))
        denier.send(f"<presence type='unsubscribed' to='{jid(sender.user)}'/>")
        await sender.until(lambda e: e.get("type") == "unsubscribed" and e.get("from") == jid(state))
        sender.send(f"<presence type='unsubscribe' to='{jid(state)}'/>")
        await send_and_see(sender, "<presence type='unavailable' to='nobody@localhost'/>", state, sessions)


for _state, _resource, _section in (("negative", None, "8.5.2.1.2"), ("single", None, "8.5.2.1.2"), ("several", None, "8.5.2.1.2"), ("single", "zero", "8.5.3.1"),
                                    ("several", "quiet", "8.5.3.1"), ("several", "gone", "8.5.3.2.2")):
    globals()[f"test_{_section.replace('.', '_')}_presence_subscribe_to_{_state}_{_resource or 'bare'}"] = \
        shared_loop(functools.partial(check_subscription_request, _state, _resource, _section))


@shared_loop
async def test_8_5_2_2_2_subscription_request_waits_for_the_next_login():
    name = fresh("late")
    cluster.add_account(name)
    for sender in scene.senders:
        sender.send(f"<presence type='subscribe' to='{jid(name)}'/>")
        await send_and_see(sender, "<presence type='unavailable' to='nobody@localhost'/>", name, {})
    c = await Session(cluster.edges[1].c2s).start(name, "r", None)
    c.send("<presence/>")
    wanted = {jid(s.user) for s in scene.senders}
    while wanted:
        e = await c.get_where(lambda e: e.get("type") == "subscribe")
        wanted.remove(e.get("from"))
    await c.close()


@shared_loop
async def test_8_5_2_presence_probe_of_a_subscriber():
    """4.3.2: each available session answers to the session that asks, to a bare and to a full address alike; nobody else hears it. Without any, the account
    says that it is unavailable."""
    name, watcher = fresh("watched"), scene.senders[0]
    cluster.add_account(name)
    sessions = [await Session(cluster.edges[i].c2s).start(name, f"r{i}", i - 1) for i in range(2)]
    watcher.send(f"<presence type='subscribe' to='{jid(name)}'/>")
    await sessions[0].until(lambda e: e.get("type") == "subscribe")
    sessions[0].send(f"<presence type='subscribed' to='{jid(watcher.user)}'/>")
    shown = set()
    while len(shown) < 2:
        shown.add((await watcher.get_where(lambda e: e.tag == PRESENCE and e.get("from").startswith(jid(name) + "/"))).get("from"))
    for to in (jid(name), f"{jid(name)}/r0", f"{jid(name)}/gone"):
        back, _ = await send_and_see(watcher, f"<presence type='probe' to='{to}'/>", name, {})
        got = sorted((e.get("from"), e.get("to")) for e in back if e.tag == PRESENCE)
        assert got == [(f"{jid(name)}/r{i}", watcher.jid) for i in range(2)], (to, got)
    for s in sessions:
        assert not [e for e in await s.came() if e.get("type") == "probe"]
        await s.close()
    await watcher.until(lambda e: e.get("type") == "unavailable" and e.get("from") == f"{jid(name)}/r1")
    back, _ = await send_and_see(watcher, f"<presence type='probe' to='{jid(name)}'/>", name, {})
    assert [(e.get("from"), e.get("type")) for e in back if e.tag == PRESENCE and e.get("type") is not None][-1] == (jid(name), "unavailable")


@shared_loop
async def test_8_5_2_1_3_iq_to_the_own_account_is_answered_to_others_it_tells_nothing():
    """The server answers for the account (8.5.2.1.3); what it says to strangers is service-unavailable (C09)."""
    own, ask = scene.sessions["single"]["zero"], f"<query xmlns='{ROSTER}'/>"
    result = await own.iq("get", ask, jid("single"))
    assert result.get("type") == "result" and result.get("from") == jid("single")
    for sender in scene.senders:
        for state in ("nobody", "away", "single"):
            refused = await sender.iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", jid(state))
            assert refused.get("type") == "error" and error_of(refused) == UNAVAILABLE, state


@shared_loop
async def test_8_5_3_1_iq_and_its_answer_between_full_jids():
    for sender in scene.senders:
        for state, resource in (("single", "zero"), ("several", "minus"), ("several", "quiet")):
            receiver, ident = scene.sessions[state][resource], fresh("q")
            sender.send(text_of("iq", "get", receiver.jid, ident))
            got = await receiver.get_where(lambda e: e.get("id") == ident)
            receiver.send(f"<iq type='result' id='{ident}' to='{got.get('from')}'><x xmlns='urn:example:answer'/></iq>")
            answer = await sender.get_where(lambda e: e.get("id") == ident)
            assert answer.get("type") == "result" and answer.get("from") == receiver.jid and len(answer) == 1


@shared_loop
async def test_8_5_2_2_1_what_cannot_be_kept_is_an_error_as_for_nobody():
    """C08: no-store, or nothing to keep; typing notices are not worth an error each (XEP-0160 §3)."""
    for state in ("nobody", "away", "silent", "negative"):
        for sender in scene.senders:
            for child, wanted in (("<body>x</body><no-store xmlns='urn:xmpp:hints'/>", [UNAVAILABLE]), ("<x xmlns='urn:example:x'/>", [UNAVAILABLE]),
                                  ("<composing xmlns='http://jabber.org/protocol/chatstates'/>", [])):
                ident = fresh("v")
                back, seen = await send_and_see(sender, f"<message type='chat' to='{jid(state)}' id='{ident}'>{child}</message>", state, scene.sessions[state])
                assert [error_of(e) for e in back if e.get("id") == ident] == wanted, (state, child)
                assert not [e for elements in seen.values() for e in elements if e.get("id") == ident]
                if state != "nobody":
                    assert ident not in await waiting_for(sender, state)


@shared_loop
async def test_8_5_an_unknown_type_of_message_is_normal_and_of_others_bad():
    """5.2.2; RFC 6120 8.2.3, and presence likewise."""
    sender, receiver = scene.senders[0], scene.sessions["single"]
    back, seen = await send_and_see(sender, f"<message type='novel' to='{jid('single')}' id='novel'><body>x</body></message>", "single", receiver)
    assert not [e for e in back if e.get("id") == "novel"] and [e.get("type") for e in seen["zero"] if e.get("id") == "novel"] in ([None], ["normal"])
    for kind in ("presence", "iq"):
        ident = fresh("novel")
        (got,) = await answers(scene.sessions["several"]["high"], f"<{kind} type='novel' to='{jid('single')}' id='{ident}'>{UNKNOWN if kind == 'iq' else ''}</{kind}>")
        assert [error_of(e) for e in got] == [("bad-request", "modify")], kind
    assert not [e for e in await receiver["zero"].came() if (e.get("id") or "").startswith("novel")]


# ---- blocked: XEP-0191 beside section 8 (C35)

async def blocking(state, others, ask):
    c = next(iter(scene.sessions[state].values()))
    result = await c.iq("set", f"<{ask} xmlns='{BLOCKING}'>" + "".join(f"<item jid='{jid(o.user)}'/>" for o in others) + f"</{ask}>")
    assert result.get("type") == "result"


@shared_loop
async def test_8_5_from_a_blocked_contact():
    """C35: messages and requests are answered with service-unavailable, presence, results and errors with silence, to a bare, a matching and another address."""
    sessions = scene.sessions["several"]
    await blocking("several", scene.senders, "block")
    for sender in scene.senders:
        for kind, types in (("message", MESSAGE_TYPES), ("presence", (*PRESENCE_TYPES, "subscribe")), ("iq", IQ_TYPES)):
            for kind_type in types:
                for address in (jid("several"), f"{jid('several')}/high", f"{jid('several')}/gone"):
                    ident = fresh("b")
                    sender.send(text_of(kind, kind_type, address, ident))
                    sender.send(f"<iq type='get' id='m{ident}' to='{jid('several')}'>{UNKNOWN}</iq>")
                    back = [e for e in await sender.until(lambda e: e.get("id") == f"m{ident}") if e.get("id") == ident]
                    is_answered = kind == "message" and kind_type != "error" or kind_type in ("get", "set")
                    assert [error_of(e) for e in back] == ([UNAVAILABLE] if is_answered else []), (kind, kind_type, address)
    for c in sessions.values():
        assert not [e for e in await c.came() if (e.get("from") or "").split("/")[0] in [jid(s.user) for s in scene.senders] and e.get("type") != "unavailable"]
    await blocking("several", scene.senders, "unblock")


@shared_loop
async def test_8_5_to_a_blocked_contact():
    """C35: not-acceptable with <blocked/>, and nothing leaves; errors are not answered."""
    blocker = scene.senders[0]
    await blocker.iq("set", f"<block xmlns='{BLOCKING}'><item jid='{jid('several')}'/></block>")
    for kind, types in (("message", MESSAGE_TYPES), ("presence", ("", "error")), ("iq", IQ_TYPES)):
        for kind_type in types:
            ident = fresh("b")
            (got,) = await answers(blocker, text_of(kind, kind_type, f"{jid('several')}/high", ident))
            is_answered = kind_type not in ("error", "result")
            assert [error_of(e) for e in got] == ([("not-acceptable", "cancel")] if is_answered else []), (kind, kind_type)
            assert all(e.find(f"{{{CLIENT}}}error/{{urn:xmpp:blocking:errors}}blocked") is not None for e in got)
    await blocker.iq("set", f"<unblock xmlns='{BLOCKING}'/>")
    _, seen = await send_and_see(blocker, "<presence type='unavailable' to='nobody@localhost'/>", "several", scene.sessions["several"])
    assert not [e for elements in seen.values() for e in elements if (e.get("id") or "").startswith("b")]


def test_nothing_was_wrong_underneath():
    """Drains every process: exit code 0, no sanitizer report."""
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    with Cluster(edges=2, routers=2, archives=1) as cluster:
        scene = Scene()
        loop.run_until_complete(asyncio.wait_for(scene.begin(), 60))
        sys.exit(0 if run(sys.modules[__name__]) else 1)
