#!/usr/bin/python3
"""What a server tells of itself and of others, over real sockets: contact addresses (XEP-0157), external services with credentials a TURN
server can check (XEP-0215), last activity (XEP-0012), and the lists the program prints."""
import base64
import calendar
import hashlib
import hmac
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import BUILD, ROOT, Cluster  # noqa: E402
from rawclient import CLIENT, RawClient, condition  # noqa: E402
from runner import run  # noqa: E402

INFO, DATA, EXTDISCO, LAST = "http://jabber.org/protocol/disco#info", "jabber:x:data", "urn:xmpp:extdisco:2", "jabber:iq:last"
SECRET = "correct horse battery staple"
cluster = None
counter = 0


def user():
    global counter
    counter += 1
    name = f"serv{counter}"
    cluster.add_account(name, "secret")
    return name


def client(edge=0):
    return RawClient(cluster.edges[edge].c2s)


async def test_contact_addresses_are_in_disco_info():
    c = await client().login(user())
    info = (await c.iq("get", f"<query xmlns='{INFO}'/>", "localhost"))[0]
    form = info.find(f"{{{DATA}}}x")
    fields = {f.get("var"): [v.text for v in f] for f in form}
    assert form.get("type") == "result" and fields["FORM_TYPE"] == ["http://jabber.org/network/serverinfo"]
    assert fields["abuse-addresses"] == ["mailto:abuse@localhost", "xmpp:abuse@localhost"]
    assert fields["status-addresses"] == ["https://status.localhost/?a=1&b=2"] and "sales-addresses" not in fields
    account = (await c.iq("get", f"<query xmlns='{INFO}'/>"))[0]
    assert account.find(f"{{{DATA}}}x") is None
    await c.close()


async def test_external_services_and_credentials_that_end():
    a, b = user(), user()
    ca, cb = await client(0).login(a), await client(1).login(b)
    features = [f.get("var") for f in (await ca.iq("get", f"<query xmlns='{INFO}'/>", "localhost"))[0]]
    assert EXTDISCO in features and LAST in features
    services = (await ca.iq("get", f"<services xmlns='{EXTDISCO}'/>", "localhost"))[0]
    assert [s.get("type") for s in services] == ["stun", "turn"]
    stun, turn = services
    assert dict(stun.items()) == {"type": "stun", "host": "127.0.0.1", "port": "3478", "transport": "udp"}
    until, _, who = turn.get("username").partition(":")
    assert 3500 < int(until) - time.time() < 3700 and a not in who
    assert abs(calendar.timegm(time.strptime(turn.get("expires")[:19], "%Y-%m-%dT%H:%M:%S")) - int(until)) <= 1
    expected = base64.b64encode(hmac.digest(SECRET.encode(), turn.get("username").encode(), hashlib.sha1)).decode()
    assert turn.get("password") == expected
    only = (await cb.iq("get", f"<services xmlns='{EXTDISCO}' type='turn'/>", "localhost"))[0]
    assert len(only) == 1 and only[0].get("username").partition(":")[2] != who
    ask = f"<credentials xmlns='{EXTDISCO}'><service type='turn' host='{{}}'/></credentials>"
    given = (await cb.iq("get", ask.format("127.0.0.1"), "localhost"))[0]
    assert given[0].get("username").partition(":")[2] == only[0].get("username").partition(":")[2]
    assert condition(await cb.iq("get", ask.format("elsewhere.example"), "localhost")) == "item-not-found"
    await ca.close()
    await cb.close()


async def test_last_activity_tells_strangers_nothing():
    a, b = user(), user()
    ca, cb = await client(0).login(a, resource="phone"), await client(1).login(b)
    ask = f"<query xmlns='{LAST}'/>"
    uptime = (await ca.iq("get", ask, "localhost"))[0]
    assert 0 <= int(uptime.get("seconds")) < 3600
    assert (await ca.iq("get", ask))[0].get("seconds") == "0"
    for to in (f"{a}@localhost", f"{a}@localhost/phone", "nobody@localhost", "nobody@localhost/x"):
        assert condition(await cb.iq("get", ask, to)) == "service-unavailable"
    desk = await client(1).login(a, resource="desk")
    desk.send(f"<iq type='get' id='own' to='{a}@localhost/phone'>{ask}</iq>")
    asked = await ca.get_where(lambda e: e.tag == f"{{{CLIENT}}}iq" and e.get("type") == "get")
    assert asked.get("from") == f"{a}@localhost/desk"
    for c in (ca, cb, desk):
        await c.close()


def test_the_program_prints_what_it_implements():
    router = os.path.join(BUILD, "bin", "router")
    table = subprocess.run([router, "--features"], capture_output=True, text=True, check=True).stdout
    assert "XEP-0280" in table and "XEP-0198" in table
    doap = subprocess.run([router, "--doap"], capture_output=True, text=True, check=True).stdout
    ET.fromstring(doap.split("\n", 1)[1])
    with open(os.path.join(ROOT, "starling.doap")) as file:
        assert file.read() == doap, "starling.doap is old: router --doap > starling.doap"


def test_nothing_was_wrong_underneath():
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    secret = os.path.join(os.environ.get("STARLING_TEST_TMP", "/tmp"), f"turn-secret-{os.getpid()}")
    with open(os.open(secret, os.O_CREAT | os.O_WRONLY, 0o600), "w") as out:
        out.write(SECRET + "\n")
    extra = {
        "contact_addresses": [{"host": "localhost", "abuse": ["mailto:abuse@localhost", "xmpp:abuse@localhost"],
                               "status": ["https://status.localhost/?a=1&b=2"]}],
        "external_services": [{"type": "stun", "host": "127.0.0.1", "port": 3478, "transport": "udp"},
                              {"type": "turn", "host": "127.0.0.1", "port": 3478, "transport": "udp", "secret_file": secret, "ttl": "1h"}],
    }
    try:
        with Cluster(edges=2, routers=2, config={"all": extra}) as cluster:
            sys.exit(0 if run(sys.modules[__name__]) else 1)
    finally:
        os.unlink(secret)
