#!/usr/bin/python3
"""Components (XEP-0114) over real sockets, with two edges and two routers: the handshake, stanzas both ways, what is refused, and what holds
when a process dies."""
import asyncio
import hashlib
import json
import os
import shutil
import socket
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster, free_port  # noqa: E402
from rawclient import CLIENT, STREAM, Closed, RawClient, body, condition, end_tasks, tls_context  # noqa: E402
from runner import limit, run  # noqa: E402

ACCEPT = "jabber:component:accept"
INFO, ITEMS = "http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items"
SECRETS = {"echo.localhost": "first secret\nsecond secret\n", "other.localhost": "other secret", "gate.example": "gate secret"}
folder = tempfile.mkdtemp(prefix="starling-components-")
ports = {}
cluster = None
counter = 0


def adjust(name, config):
    """Secrets are the routers' only."""
    if name.startswith("edge"):
        ports[name] = (free_port(), free_port())
        config["listeners"] += [{"kind": "component", "port": ports[name][0]}, {"kind": "component_tls", "port": ports[name][1]}]
        config["components"] = [{"domain": domain} for domain in SECRETS]
        config["component_limits"] = {"max_write_bytes": 262144, "user_timeout": "5s"}
    elif name.startswith("router"):
        config["components"] = [{"domain": domain, "secret_file": secret_file(domain), "disco": domain != "other.localhost"} for domain in SECRETS]
        config["router"].update(component_wait="3s", component_timeout="3s")


def secret_file(domain):
    path = os.path.join(folder, domain)
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
        out.write(SECRETS[domain])
    return path


class Component(RawClient):
    def __init__(self, domain="echo.localhost", edge=0, tls=False):
        super().__init__(ports[f"edge-{edge + 1}"][tls], domain=domain, direct=tls)

    async def begin(self, ns=ACCEPT, **attrs):
        """Sends a header, waits for the answer's."""
        values = {"to": self.domain, **attrs}
        extra = "".join(f" {k}='{v}'" for k, v in values.items() if v is not None)
        await self.connect(tls_context(None))
        self.restart()
        self.send(f"<?xml version='1.0'?><stream:stream xmlns='{ns}' xmlns:stream='{STREAM}'{extra}>")
        while self.root is None:
            await self._fill(10)
        return self

    def handshake(self, secret):
        digest = hashlib.sha1((self.header["id"] + secret).encode()).hexdigest()
        return f"<handshake>{digest}</handshake>"

    async def enter(self, secret=None):
        await self.begin()
        self.send(self.handshake(secret or SECRETS[self.domain].split("\n")[0]))
        element = await self.get(20)
        assert element.tag == f"{{{ACCEPT}}}handshake" and not element.text, element.tag
        return self

    async def stanza(self, name, timeout=10):
        return await self.get_where(lambda e: e.tag == f"{{{ACCEPT}}}{name}", timeout)

    async def text(self, timeout=10):
        return (await self.stanza("message", timeout)).findtext(f"{{{ACCEPT}}}body")

    async def ask(self, payload, to, kind="get", ident="q", sender=None):
        self.send(f"<iq type='{kind}' id='{ident}' from='{sender or self.domain}' to='{to}'>{payload}</iq>")
        return await self.get_where(lambda e: e.get("id") == ident and e.get("type") in ("result", "error"))


def user():
    global counter
    counter += 1
    name = f"comp{counter}"
    cluster.add_account(name, "secret")
    return name


def client(edge=0):
    return RawClient(cluster.edges[edge].c2s)


def error(element):
    return next((c.tag.split("}")[1] for e in element if e.tag.endswith("}error") for c in e), None)


def report(path, nodes):
    found = []
    with open(cluster.file("http.token")) as file:
        token = file.read().strip()
    for node in nodes:
        request = urllib.request.Request(f"http://127.0.0.1:{node.http}{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            found += json.loads(answer.read())
    return found


async def message(source, to, text, kind="chat", ident="m"):
    source.send(f"<message to='{to}' type='{kind}' id='{ident}'><body>{text}</body></message>")


async def test_handshake_and_both_ways():
    """Each component on each edge, with and without TLS."""
    name = user()
    for edge, tls in ((0, False), (1, True)):
        for domain in SECRETS:
            component, c = await Component(domain, edge, tls).enter(), await client(1 - edge).login(name)
            assert component.header["from"] == domain and component.header.get("version") is None
            for to in (domain, f"someone@{domain}", f"someone@{domain}/place", f"{domain}/place"):
                await message(c, to, f"to {to}")
                element = await component.stanza("message")
                assert element.get("to") == to and element.get("from") == c.jid
                assert element.findtext(f"{{{ACCEPT}}}body") == f"to {to}"
                component.send(f"<message from='{to}' to='{name}@localhost' type='chat' id='r'><body>from {to}</body></message>")
                element = await c.get_where(lambda e: e.tag == f"{{{CLIENT}}}message")
                assert element.get("from") == to and body(element) == f"from {to}"
            await c.close()
            await component.close()


async def test_iq_both_ways():
    component, c = await Component().enter(), await client(1).login(user())
    asked = asyncio.create_task(c.iq("get", f"<query xmlns='{INFO}'/>", "echo.localhost"))
    element = await component.stanza("iq")
    assert element[0].tag == f"{{{INFO}}}query"
    component.send(f"<iq type='result' id='{element.get('id')}' from='echo.localhost' to='{element.get('from')}'><query xmlns='{INFO}'/></iq>")
    assert (await asked).get("type") == "result"
    element = await component.ask("<query xmlns='jabber:iq:version'/>", "localhost")
    assert element.get("type") == "result" and element.get("from") == "localhost"
    assert (await component.ask("<ping xmlns='urn:xmpp:ping'/>", "localhost", sender="a@echo.localhost/b")).get("to") == "a@echo.localhost/b"
    items = (await component.ask(f"<query xmlns='{ITEMS}'/>", "localhost"))[0]
    assert [item.get("jid") for item in items] == ["echo.localhost"]
    await c.close()
    await component.close()


async def test_clients_find_components():
    c = await client().login(user())
    items = (await c.iq("get", f"<query xmlns='{ITEMS}'/>", "localhost"))[0]
    assert [item.get("jid") for item in items] == ["echo.localhost"]
    await c.close()


async def test_several_secrets():
    await (await Component().enter("second secret")).close()


async def test_wrong_handshake():
    """D22, B13: no hint what was wrong."""
    for text in ("wrong", "other secret", "first secret\nsecond secret"):
        component = await Component().begin()
        component.send(component.handshake(text))
        await component.expect_error("not-authorized")
    for text in ("", "x" * 40, "0" * 5000, component.header["id"]):
        component = await Component().begin()
        component.send(f"<handshake>{text}</handshake>")
        await component.expect_error("not-authorized")
    component = await Component().begin()  # in upper case it is another text
    component.send(component.handshake("first secret").upper().replace("HANDSHAKE", "handshake"))
    await component.expect_error("not-authorized")


async def test_wrong_headers():
    for attributes, wanted in (({"to": "unknown.localhost"}, "host-unknown"), ({"to": "localhost"}, "host-unknown"),
                               ({"to": None}, "improper-addressing"), ({"to": "user@echo.localhost"}, "improper-addressing"),
                               ({"ns": CLIENT}, "invalid-namespace"), ({"ns": "jabber:server"}, "invalid-namespace")):
        component = await Component().begin(**attributes)
        await component.expect_error(wanted)
    c = await client().connect()
    c.restart()
    c.send(f"<stream:stream xmlns='{ACCEPT}' xmlns:stream='{STREAM}' to='echo.localhost'>")
    await c.expect_error("invalid-namespace")


async def test_nothing_before_the_handshake():
    """D05"""
    name = user()
    c = await client().login(name)
    for text in (f"<message from='echo.localhost' to='{name}@localhost'><body>early</body></message>", "<iq type='get' id='1'/>",
                 "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>", "<other xmlns='urn:other'/>"):
        component = await Component().begin()
        component.send(text)
        await component.expect_error("not-authorized")
    assert (await c.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")).get("type") == "result"
    assert not c.pending
    await c.close()


async def test_addresses():
    """D13, D15"""
    name = user()
    c = await client().login(name)
    for addresses, wanted in (("from='localhost'", "invalid-from"), (f"from='{name}@localhost'", "invalid-from"),
                              ("from='other.localhost'", "invalid-from"), ("from='evil-echo.localhost'", "invalid-from"),
                              ("", "improper-addressing"), ("from='@'", "improper-addressing")):
        component = await Component().enter()
        component.send(f"<message {addresses} to='{name}@localhost'><body>forged</body></message>")
        await component.expect_error(wanted)
    component = await Component().enter()
    for to, wanted in (("to='@x'", "jid-malformed"), ("", "bad-request"), ("to='a@remote.example'", "remote-server-not-found"),
                       ("to='localhost'", "service-unavailable"), ("to='nobody@localhost'", "service-unavailable")):
        component.send(f"<message from='x@echo.localhost/y' {to} id='e'><body>lost</body></message>")
        element = await component.stanza("message")
        assert element.get("type") == "error" and error(element) == wanted, (to, error(element))
        assert element.get("to") == "x@echo.localhost/y"
    await asyncio.sleep(0.2)
    assert not c.pending
    await component.close()
    await c.close()


async def test_no_administration():
    """C29: not even by an address that is an administrator's elsewhere."""
    component = await Component().enter()
    command = "<command xmlns='http://jabber.org/protocol/commands' node='http://jabber.org/protocol/admin#add-user'/>"
    for sender in ("boss@echo.localhost", "echo.localhost"):
        assert error(await component.ask(command, "localhost", "set", sender=sender)) == "forbidden"
    noted = [line for router in cluster.routers for line in open(router.log) if "category=audit" in line and "boss@echo.localhost" in line]
    assert noted, "no line in the audit log"
    assert error(await component.ask("<query xmlns='jabber:iq:register'/>", "localhost")) == "service-unavailable"
    await component.close()


async def test_a_stranger_learns_nothing():
    """C09, C35"""
    component, name = await Component().enter(), user()
    c = await client(1).login(name)
    for account in (name, "nobody"):
        assert error(await component.ask(f"<query xmlns='{INFO}'/>", f"{account}@localhost")) == "service-unavailable"
    assert (await c.iq("set", "<block xmlns='urn:xmpp:blocking'><item jid='echo.localhost'/></block>")).get("type") == "result"
    component.send(f"<message from='a@echo.localhost' to='{name}@localhost' id='b'><body>blocked</body></message>")
    assert error(await component.stanza("message")) == "service-unavailable"
    await c.close()
    await component.close()


async def test_presence_of_contacts():
    """A gateway: subscriptions both ways, presence, unavailable at the end."""
    component, name = await Component("gate.example").enter(), user()
    bare = f"{name}@localhost"
    c = await client(1).login(name)
    for contact in ("gate.example", "friend@gate.example"):
        c.send(f"<presence to='{contact}' type='subscribe'/>")
        element = await component.get_where(lambda e: e.get("type") == "subscribe")
        assert (element.get("from"), element.get("to")) == (bare, contact)
        component.send(f"<presence from='{contact}' to='{bare}' type='subscribed'/>"
                       f"<presence from='{contact}' to='{bare}' type='subscribe'/><presence from='{contact}/x' to='{bare}'/>")
        await c.get_where(lambda e: e.get("type") == "subscribe" and e.get("from") == contact)
        c.send(f"<presence to='{contact}' type='subscribed'/>")
        await component.get_where(lambda e: e.get("type") == "subscribed" and e.get("to") == contact)
    await c.close()
    c = client(0)
    await c.login(name)
    seen = set()
    while len(seen) < 4:
        element = await component.stanza("presence")
        if element.get("from") in (bare, c.jid) and element.get("type") in (None, "probe"):
            seen.add((element.get("to"), element.get("type")))
    assert seen == {(to, kind) for to in ("gate.example", "friend@gate.example") for kind in (None, "probe")}
    component.send(f"<presence from='friend@gate.example/x' to='{bare}'><status>hello</status></presence>")
    element = await c.get_where(lambda e: e.tag == f"{{{CLIENT}}}presence" and e.get("from") == "friend@gate.example/x")
    assert element.findtext(f"{{{CLIENT}}}status") == "hello"
    await c.close()
    await component.get_where(lambda e: e.get("type") == "unavailable" and e.get("to") == "friend@gate.example")
    await component.close()


async def test_components_talk_to_each_other():
    one, two = await Component("echo.localhost", 0).enter(), await Component("other.localhost", 1).enter()
    for i in range(20):
        one.send(f"<message from='a@echo.localhost' to='b@other.localhost'><body>{i}</body></message>")
    for i in range(20):
        element = await two.stanza("message")
        assert element.findtext(f"{{{ACCEPT}}}body") == str(i) and element.get("from") == "a@echo.localhost"
    await one.close()
    await two.close()


async def test_the_newest_connection_is_used():
    """D22: the older one hears <conflict/>."""
    first, second = await Component(edge=0).enter(), await Component(edge=1).enter()
    await first.expect_error("conflict")
    c = await client().login(user())
    await message(c, "echo.localhost", "to the second")
    assert await second.text() == "to the second"
    await c.close()
    await second.close()


async def test_not_connected():
    """RFC 6120 §8.3.3.17, and only after a while: components start again."""
    component = await Component("other.localhost").enter()
    await component.close()
    c = await client().login(user())
    await message(c, "other.localhost", "waits", ident="w")
    component = await Component("other.localhost", 1).enter()
    assert await component.text() == "waits"
    await component.close()
    began = time.monotonic()
    await message(c, "x@other.localhost", "nobody", ident="n")
    element = await c.get_where(lambda e: e.get("id") == "n")
    assert condition(element) == "remote-server-timeout" and 1 < time.monotonic() - began < 8
    assert condition(await c.iq("get", f"<query xmlns='{INFO}'/>", "other.localhost")) == "remote-server-timeout"
    await c.close()


async def test_reports():
    component = await Component(edge=1, tls=True).enter()
    streams = [s for s in report("/v1/streams", cluster.edges) if s["kind"].startswith("component")]
    assert len(streams) == 1, streams
    stream = streams[0]
    assert (stream["kind"], stream["state"], stream["mechanism"], stream["host"]) == ("component_tls", "component", "handshake", "echo.localhost")
    assert stream["tls"] == "TLSv1.3"
    sessions = [s for s in report("/v1/sessions", cluster.routers) if s.get("component") and s["state"] == "attached"]
    assert [s["edge"] for s in sessions] == ["edge-2"], sessions
    assert sum(router.metrics()["router_components_connected"] for router in cluster.routers) == 1
    await component.close()


def home_of(domain):
    """The router that has the component."""
    for router in filter(lambda r: r.process.poll() is None, cluster.routers):
        if any(s["jid"].startswith(f"{domain}/") and s["state"] == "attached" for s in report("/v1/sessions", [router])):
            return router
    raise AssertionError(f"{domain} is not connected")


class Reader:
    """Takes all messages of a component, and answers them if it is told to; connects again by itself, to the other edge."""

    def __init__(self, domain="echo.localhost", edge=0, answers=False):
        self.domain, self.edge, self.answers = domain, edge, answers
        self.texts, self.connections, self.component = [], 0, None
        self.task = asyncio.create_task(self.read())

    async def read(self):
        while True:
            try:
                self.component = await Component(self.domain, self.edge).enter()
                self.connections += 1
                while True:
                    element = await self.component.stanza("message", 3600)
                    text = element.findtext(f"{{{ACCEPT}}}body")
                    self.texts.append(text)
                    if self.answers:
                        self.component.send(f"<message from='{element.get('to')}' to='{element.get('from')}' type='chat' id='a{text}'>"
                                            f"<body>{text}</body></message>")
            except (Closed, OSError, asyncio.TimeoutError):
                self.edge = 1 - self.edge
                await asyncio.sleep(0.2)

    async def until(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.connections, len(self.texts))
            await asyncio.sleep(0.05)

    async def stop(self):
        await end_tasks(self.task)
        await self.component.close()


async def send_all(c, to, count, halfway=None):
    """Messages 0 to count - 1 of a session with stream management, no more than 50 of them unacknowledged."""
    for i in range(count):
        c.message(to, str(i), ident=f"s{i}")
        if i == count // 2 and halfway:
            halfway()
        while len(c.sm.unacked) > 50:
            c.request()
            await take(c)


taken = []


async def take(c, seconds=0.2):
    """What the client has been sent; acknowledgements are worked off."""
    try:
        while True:
            element = await c.get(seconds)
            if element.tag == f"{{{CLIENT}}}message":
                taken.append(element)
    except asyncio.TimeoutError:
        pass


async def settle(c, seconds=40):
    end = time.monotonic() + seconds
    while c.sm.unacked:
        assert time.monotonic() < end, f"{len(c.sm.unacked)} are not acknowledged"
        c.request()
        await take(c, 0.5)


@limit(120)
async def test_a_router_dies():
    """Its home, with messages on their way in both directions: none is lost, none comes twice."""
    taken.clear()
    reader = Reader(edge=0, answers=True)
    await reader.until(lambda: reader.connections)
    c = await client(1).login_managed(user())
    await send_all(c, "echo.localhost", 300, lambda: home_of("echo.localhost").kill())
    await settle(c)
    await reader.until(lambda: len(set(reader.texts)) == 300)
    end = time.monotonic() + 30
    while len(taken) < 300 and time.monotonic() < end:
        await take(c, 0.5)
    wanted = sorted(str(i) for i in range(300))
    assert sorted(reader.texts) == wanted, f"{len(reader.texts)} of {len(set(reader.texts))} at the component"
    assert all(m.get("type") == "chat" for m in taken), [condition(m) for m in taken if m.get("type") == "error"]
    assert sorted(body(m) for m in taken) == wanted, f"{len(taken)} of {len({body(m) for m in taken})} at the client"
    assert reader.connections == 1
    await reader.stop()
    await c.close()
    for router in cluster.routers:
        router.wait_ready()


@limit(120)
async def test_a_router_drains():
    """Its shards go to the other one: the component's stream stays, nothing is lost or comes twice."""
    taken.clear()
    reader = Reader(edge=1, answers=True)
    await reader.until(lambda: reader.connections)
    c = await client(0).login_managed(user())
    home, drained = home_of("echo.localhost"), []
    await send_all(c, "echo.localhost", 300, lambda: drained.append(asyncio.create_task(asyncio.to_thread(home.terminate))))
    assert await drained[0] == 0
    await settle(c)
    assert home_of("echo.localhost") is not home
    end = time.monotonic() + 30
    while len(taken) < 300 and time.monotonic() < end:
        await take(c, 0.5)
    wanted = sorted(str(i) for i in range(300))
    assert sorted(reader.texts) == wanted and sorted(body(m) for m in taken) == wanted, (len(reader.texts), len(taken))
    assert reader.connections == 1
    home.start()
    home.wait_ready()
    await reader.stop()
    await c.close()


@limit(120)
async def test_its_edge_dies():
    """What the client's <a/> covers reached the component; what was under way goes to its next connection."""
    taken.clear()
    reader = Reader(edge=0)
    await reader.until(lambda: reader.connections)
    c = await client(1).login_managed(user())
    await send_all(c, "someone@echo.localhost", 300, cluster.edges[0].kill)
    await settle(c)
    await reader.until(lambda: len(set(reader.texts)) == 300)
    assert not taken, [condition(m) for m in taken]
    assert reader.connections == 2
    cluster.edges[0].wait_ready()
    await reader.stop()
    await c.close()


async def narrow(domain):
    """A component whose kernel has hardly room, and which reads nothing after its handshake."""
    component = Component(domain)
    connect = asyncio.open_connection

    async def small(host, port):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((host, port))
        return await connect(sock=sock, limit=4096)
    asyncio.open_connection = small
    try:
        return await component.enter()
    finally:
        asyncio.open_connection = connect


@limit(60)
async def test_a_component_that_does_not_read():
    """C22: cut off by its router when one message is stuck, by its edge when many are; senders hear of it."""
    for size, count in ((50000, 2), (50000, 200)):
        taken.clear()
        began = time.monotonic()
        component = await narrow("other.localhost")
        c = await client(1).login_managed(user())
        for i in range(count):
            c.message("other.localhost", "x" * size, ident=f"z{i}")
        await settle(c, 30)
        await take(c, 1)
        failed = [m for m in taken if condition(m) == "remote-server-timeout"]
        assert failed and len(failed) == len(taken), (len(failed), len(taken))
        assert 3 < time.monotonic() - began < 20
        got = 0
        try:
            while await component.text(2):
                got += 1
        except (Closed, OSError, asyncio.TimeoutError):
            pass
        assert got + len(failed) >= count, (got, len(failed))
        assert not [s for s in report("/v1/streams", cluster.edges) if s["host"] == "other.localhost"]
        await c.close()


@limit(60)
async def test_slixmpp():
    """An ordinary component, while both edges stop one after the other."""
    bot = await asyncio.create_subprocess_exec("/usr/bin/python3", os.path.join(os.path.dirname(__file__), "slix_component.py"), "echo.localhost",
                                               "first secret", str(ports["edge-1"][0]), str(ports["edge-2"][0]), stdout=asyncio.subprocess.PIPE)
    try:
        for lost in (None, 0, 1):
            if lost is not None:
                cluster.edges[lost].kill()
            assert await asyncio.wait_for(bot.stdout.readline(), 20) == b"ready\n"
            edge = 0 if lost is None else 1 - lost
            c = await client(edge).login(user())
            for i in range(20):
                await message(c, f"bot{i}@echo.localhost", i)
            for i in range(20):
                element = await c.get_where(lambda e: e.tag == f"{{{CLIENT}}}message")
                assert body(element) == f"echo {i}" and element.get("from") == f"bot{i}@echo.localhost"
            info = (await c.iq("get", f"<query xmlns='{INFO}'/>", "echo.localhost"))[0]
            assert ("client", "bot") in [(i.get("category"), i.get("type")) for i in info]
            assert (await c.iq("get", "<ping xmlns='urn:xmpp:ping'/>", "echo.localhost")).get("type") == "result"
            await c.close()
            if lost is not None:
                cluster.edges[lost].wait_ready()
    finally:
        bot.kill()
        await bot.wait()


if __name__ == "__main__":
    with Cluster(edges=2, routers=2, adjust=adjust, config={"router": {"admin": {"accounts": ["boss@localhost"]}}}) as c:
        cluster = c
        ok = run(sys.modules[__name__], timeout=60)
        found = c.problems()
        codes = c.stop_nodes()
        found += c.problems() + [f"{name} ended with {code}" for name, code in codes.items() if code]
        for text in found:
            print(text)
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if ok and not found else 1)
