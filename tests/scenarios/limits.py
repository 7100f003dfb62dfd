#!/usr/bin/python3
"""Limits of accounts, addresses and hosts over real sockets: two edges, two routers, one Redis. The cluster's limits are small."""
import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from rawclient import RawClient, condition, sasl_condition  # noqa: E402
from runner import limit, run  # noqa: E402

SUBSCRIPTIONS, STRANGERS, OFFLINE, BURST = 12, 8, 40, 1500
FAILURES_ADDRESS, FAILURES_ACCOUNT, FAILURES_PAIR = 24, 8, 3
REGISTRATIONS_ADDRESS, REGISTRATIONS_HOST = 4, 6
cluster = None
counter = 0


def user():
    """A fresh account each time."""
    global counter
    counter += 1
    cluster.add_account(f"user{counter}")
    return f"user{counter}"


def client(edge=0, source=None):
    return RawClient(cluster.edges[edge % 2].c2s, source=source)


async def login(name, edge=0, **options):
    return await client(edge).login(name, **options)


async def settle(c):
    """What came until the server had worked off everything `c` sent."""
    came = []
    ident = os.urandom(6).hex()
    c.send(f"<iq type='get' id='{ident}'><ping xmlns='urn:xmpp:ping'/></iq>")
    while True:
        element = await c.get(20)
        if element.get("id") == ident:
            return came
        came.append(element)


def refused(came):
    return [e for e in came if e.get("type") == "error" and condition(e) == "policy-violation"]


def limited(kind):
    return sum(node.metrics().get(f'router_rate_limited_total{{limit="{kind}"}}', 0) for node in cluster.routers)


async def until(check, seconds=20):
    for _ in range(seconds * 10):
        if check():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("did not happen in time")


# ---- subscriptions

async def test_subscriptions_are_limited_and_one_reaches_each_contact():
    """C12: the first N in an hour, then policy-violation; the recipient sees at most one for each pair."""
    b, a = await login(user(), 1), await login(user(), 0)
    before = limited("subscriptions")
    target = b.jid.split("/")[0]
    for i in range(SUBSCRIPTIONS):
        a.send(f"<presence type='subscribe' to='{target}'/>" if i % 2 else f"<presence type='subscribe' to='nobody{i}@localhost'/>")
    assert not refused(await settle(a))
    for i in range(1000 - SUBSCRIPTIONS):
        a.send(f"<presence type='subscribe' to='{target if i % 2 else f'more{i}@localhost'}'/>")
    assert len(refused(await settle(a))) == 1000 - SUBSCRIPTIONS
    requests = [e for e in await settle(b) if e.get("type") == "subscribe"]
    assert len(requests) == 1 and requests[0].get("from") == a.jid.split("/")[0]
    assert limited("subscriptions") - before == 1000 - SUBSCRIPTIONS
    await a.close()
    await b.close()


@limit(120)
async def test_the_limit_moves_with_the_home_of_an_account():
    """C12: the account's router dies; the next home has heard of what was spent."""
    a = await client(0).login_managed(user())
    for i in range(SUBSCRIPTIONS):
        a.send(f"<presence type='subscribe' to='nobody{i}@localhost'/>")
    assert not refused(await settle(a))
    for router in list(cluster.routers):   # one of the two has it
        router.kill()
        await asyncio.sleep(0.5)
        await asyncio.to_thread(router.wait_ready, 60)
    for i in range(5):
        a.send(f"<presence type='subscribe' to='more{i}@localhost'/>")
    errors = refused(await settle(a))
    assert len(errors) >= 4, f"{len(errors)} of 5"  # the first may go out while Redis is asked
    await a.close()


# ---- strangers

async def test_messages_to_strangers_are_limited():
    """C12: the address of each counts once; contacts and whoever wrote first are free."""
    friend, other, a = await login(user(), 1), await login(user(), 0), await login(user(), 0)
    for i in range(STRANGERS):
        a.message(f"stranger{i}@localhost", "buy")
    assert not refused(await settle(a))
    a.message("one-more@localhost", "buy", ident="refused")
    came = refused(await settle(a))
    assert len(came) == 1 and came[0].get("id") == "refused" and came[0].get("from") == "one-more@localhost"
    for i in range(20):
        a.message("stranger1@localhost", "still here")   # a conversation, not another stranger
    assert not refused(await settle(a))
    a.message(other.jid, "hello?")
    assert len(refused(await settle(a))) == 1
    other.message(a.jid.split("/")[0], "hello")
    await a.get_where(lambda e: e.tag.endswith("message") and e.get("from") == other.jid)
    a.message(other.jid, "good to hear from you")
    assert not refused(await settle(a))
    friend.send(f"<presence type='subscribe' to='{a.jid.split('/')[0]}'/>")
    await a.get_where(lambda e: e.get("type") == "subscribe")
    a.message(friend.jid, "welcome")
    assert not refused(await settle(a))
    for c in (friend, other, a):
        await c.close()


# ---- stanzas and bytes

async def test_stanzas_of_an_account_count_over_all_its_sessions():
    """C21: two connections on two edges share one rate; others are not touched."""
    name = user()
    one, two, other = await login(name, 0), await login(name, 1), await login(user(), 1)
    before = limited("stanzas")
    for i in range(BURST):
        for c in (one, two):
            c.message(name + "@localhost", f"flood {i}", kind="normal")
    came = [e for c in (one, two) for e in await after(c, 2)]
    assert len(refused(came)) >= BURST // 2, len(refused(came))
    assert limited("stanzas") > before
    other.message(f"{name}@localhost", "unharmed")
    await two.get_where(lambda e: e.get("from") == other.jid)
    await asyncio.sleep(2)
    one.message(other.jid, "and later all is well")
    await other.get_where(lambda e: e.get("from") == one.jid)
    for c in (one, two, other):
        await c.close()


async def after(c, seconds):
    """What comes until it is quiet for so long."""
    came = []
    try:
        while True:
            came.append(await c.get(seconds))
    except (asyncio.TimeoutError, TimeoutError):
        return came


async def test_bytes_of_an_account_are_limited():
    """C21: large stanzas."""
    a = await login(user(), 0)
    before = limited("bytes")
    for i in range(60):
        a.message(a.jid.split("/")[0], "x" * 20000, kind="normal")
    assert refused(await after(a, 2))
    assert limited("bytes") > before
    await a.close()


# ---- logins

async def guess(name, edge, source=None, password="wrong"):
    c = await client(edge, source).secure()
    answer = await c.plain(name, password)
    result = "success" if answer.tag.endswith("success") else sasl_condition(answer)
    c.abort()
    return result


async def test_failed_logins_of_an_address_are_limited_over_all_routers():
    """B17: names on both routers, connections to both edges; the address has to wait, another one does not."""
    names = [user() for _ in range(12)]
    results = [await guess(names[i % 12], i, "127.0.0.11") for i in range(2 * FAILURES_ADDRESS)]
    wrong = results.count("not-authorized")
    lot = FAILURES_ADDRESS // 4
    assert FAILURES_ADDRESS - 1 <= wrong <= FAILURES_ADDRESS + 2 * lot, wrong
    assert results[-1] == "temporary-auth-failure"
    assert await guess(names[0], 0, "127.0.0.11", "secret") == "temporary-auth-failure"  # not even looked at
    assert await guess(names[0], 0, "127.0.0.12", "secret") == "success"                 # the account is not locked
    assert limited("address-failed-logins") > 0


async def test_failed_logins_of_an_account_are_limited_over_all_addresses():
    """B17: guesses from many addresses; its user still gets in from an address of its own."""
    name = user()
    results = [await guess(name, i, f"127.0.1.{i + 1}") for i in range(FAILURES_ACCOUNT)]
    assert results == ["not-authorized"] * FAILURES_ACCOUNT
    results = [await guess(name, i, "127.0.1.200") for i in range(FAILURES_PAIR + 3)]
    assert results == ["not-authorized"] * FAILURES_PAIR + ["temporary-auth-failure"] * 3, results
    assert await guess(name, 0, "127.0.1.200", "secret") == "temporary-auth-failure"
    assert await guess(name, 0, "127.0.1.201", "secret") == "success"
    assert limited("account-failed-logins") > 0 and limited("pair-failed-logins") > 0


async def test_right_passwords_cost_nothing():
    name = user()
    for i in range(FAILURES_ACCOUNT + FAILURES_ADDRESS):
        assert await guess(name, i, "127.0.0.13", "secret") == "success"


# ---- registrations

async def register(name, edge, source, host="localhost"):
    c = await RawClient(cluster.edges[edge % 2].c2s, domain=host, source=source).secure()
    c.send(f"<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{name}</username><password>secret</password></query></iq>")
    answer = await c.get_where(lambda e: e.get("id") == "r")
    c.abort()
    return "result" if answer.get("type") == "result" else condition(answer)


async def test_registrations_of_an_address_and_of_a_host_are_limited():
    """JabberSPAM's second demand: registrations for each address and hour, over all edges and routers; and for the host."""
    results = [await register(f"spam{i}", i, "127.0.2.1") for i in range(12)]
    made = results.count("result")
    assert REGISTRATIONS_ADDRESS <= made <= REGISTRATIONS_ADDRESS + 2 * max(1, REGISTRATIONS_ADDRESS // 4), results
    assert results[-1] == "resource-constraint"
    results = [await register(f"other{i}", i, f"127.0.3.{i + 1}", "small.localhost") for i in range(16)]
    made = results.count("result")
    assert REGISTRATIONS_HOST <= made <= REGISTRATIONS_HOST + 2 * max(1, REGISTRATIONS_HOST // 4), results
    assert results[-1] == "resource-constraint"
    assert limited("address-registrations") > 0 and limited("host-registrations") > 0


# ---- offline messages

@limit(120)
async def test_an_offline_user_is_kept_up_to_the_quota_and_nothing_is_lost_silently():
    """C34: each message is either there at the next login or came back, also when the home has moved meanwhile."""
    name = user()
    a = await login(user(), 0)
    sent = 0

    async def flood(count):
        nonlocal sent
        for _ in range(count):
            a.message(f"{name}@localhost", f"number {sent}", ident=f"m{sent}")
            sent += 1
        return [e for e in await after(a, 2) if e.get("type") == "error"]

    errors = await flood(OFFLINE // 2)
    assert not errors
    for router in list(cluster.routers):
        router.kill()
        await asyncio.sleep(0.5)
        await asyncio.to_thread(router.wait_ready, 60)
    errors = await flood(OFFLINE)
    assert len(errors) == OFFLINE // 2 and {condition(e) for e in errors} == {"service-unavailable"}, len(errors)
    assert not [e for e in errors if e.find("{jabber:client}error").find("{urn:ietf:params:xml:ns:xmpp-stanzas}text") is not None]  # as for nobody (C08)
    b = await login(name, 1)
    got = set()
    while len(got) < OFFLINE:
        element = await b.get(20)
        if element.tag.endswith("message"):
            got.add(element.get("id"))
    assert got | {e.get("id") for e in errors} == {f"m{i}" for i in range(sent)}
    assert not await after(b, 1)
    a.message(b.jid, "room again", ident="again")
    await b.get_where(lambda e: e.get("id") == "again")
    await b.close()
    assert not [e for e in await flood(5) if e.get("type") == "error"]
    await a.close()


# ---- hosts

async def test_a_host_has_a_rate_of_its_own():
    cluster.add_account("loud", host="small.localhost")
    c = await RawClient(cluster.edges[0].c2s, domain="small.localhost").login("loud")
    for i in range(50):
        c.message("loud@small.localhost", f"{i}", kind="normal")
    assert refused(await after(c, 2))
    assert limited("host-stanzas") > 0
    await c.close()


# ---- Redis

@limit(120)
async def test_without_redis_the_local_limit_holds():
    cluster.redis.stop()
    try:
        a = await login(user(), 0)
        for i in range(3 * SUBSCRIPTIONS):
            a.send(f"<presence type='subscribe' to='nobody{i}@localhost'/>")
        assert len(refused(await settle(a))) == 2 * SUBSCRIPTIONS
        await a.close()
    finally:
        cluster.redis.start()


async def test_redis_names_nobody():
    """Keys of limits are keyed hashes."""
    name = user()
    a = await login(name, 0)
    for _ in range(SUBSCRIPTIONS):  # the routers may still be looking for Redis: what is unsaid goes with the next one
        a.send("<presence type='subscribe' to='nobody@localhost'/>")
        await settle(a)
        await asyncio.sleep(1)
        if cluster.redis.command("KEYS", "l:*"):
            break
    assert cluster.redis.command("KEYS", "l:*")
    for key in cluster.redis.command("KEYS", "l:*").split():
        assert len(key) == 34 and "user" not in key and "127" != key[2:5]
        assert int(cluster.redis.command("PTTL", key)) > 0
    await a.close()


def test_nothing_is_left_behind():
    codes = cluster.stop_nodes()
    problems = cluster.problems()
    assert not problems, problems
    assert all(code == 0 for code in codes.values()), codes


LIMITS = {
    "limits": {"stanzas_per_second": 20, "stanzas_burst": BURST, "bytes_per_second": "50KiB", "burst_bytes": "1MiB", "strangers_per_hour": STRANGERS,
               "offline_max_messages": OFFLINE, "offline_max_bytes": "1MiB", "registrations_per_address": REGISTRATIONS_ADDRESS, "failed_logins_per_address": FAILURES_ADDRESS,
               "failed_logins_per_account": FAILURES_ACCOUNT, "failed_logins_per_pair": FAILURES_PAIR},
    "register": {"per_hour": 100},
    "roster": {"subscriptions_per_hour": SUBSCRIPTIONS},
}

if __name__ == "__main__":
    HOSTS = [{"domain": "localhost", "registration": True},
             {"domain": "small.localhost", "registration": True, "registrations_per_hour": REGISTRATIONS_HOST, "stanzas_per_second": 1}]
    with Cluster(edges=2, routers=2, archives=1, hosts=HOSTS,
                 config={"router": LIMITS, "edge": {"c2s": {"max_attempts_per_minute": 100000, "sasl_failure_delay": "1ms"}}}) as cluster:
        sys.exit(0 if run(sys.modules[__name__]) else 1)
