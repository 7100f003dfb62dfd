#!/usr/bin/python3
"""Two devices of one account in step under load (XEP-0280 with XEP-0198): a friend and both devices talk, 50 messages a second, while one device loses its
connection again and again and its edge is killed. At the end both have the same messages, of each sender in the order in which they were sent.

    tests/scenarios/sync.py             20 s; SYNC_SECONDS=300 for longer"""
import asyncio
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import managed  # noqa: E402
from cluster import Cluster  # noqa: E402
from managed import Device, client, user  # noqa: E402
from rawclient import CLIENT, body  # noqa: E402
from runner import limit, run  # noqa: E402

CARBONS, FORWARD = "urn:xmpp:carbons:2", "urn:xmpp:forward:0"
SECONDS, RATE = int(os.environ.get("SYNC_SECONDS", "20")), 50


async def device(name, edge, resource):
    c = await client(edge).login_managed(name, resource=resource)
    assert (await c.iq("set", f"<enable xmlns='{CARBONS}'/>")).get("type") == "result"
    found = Device(c, edge)
    found.said = []
    return found


def content(element):
    """The message itself, out of a copy if it is one, and how it came."""
    for kind in ("sent", "received"):
        message = element.find(f"{{{CARBONS}}}{kind}/{{{FORWARD}}}forwarded/{{{CLIENT}}}message")
        if message is not None:
            return body(message), kind
    return body(element), "direct"


def by_sender(one, *senders):
    """What the device shows of each sender, in its order; its own messages are those it has said."""
    shown = {sender.mark: [] for sender in senders}
    for element in one.messages:
        text, _ = content(element)
        shown[text.split("-")[0]].append(text)
    shown[one.mark] = shown[one.mark] + one.said
    return shown


async def talk(devices, friend, account):
    """Who speaks, and to which address, is by chance."""
    phone, desk = devices
    targets = [f"{account}", f"{account}@localhost/phone", f"{account}@localhost/desk"]
    end = asyncio.get_running_loop().time() + SECONDS
    while asyncio.get_running_loop().time() < end:
        speaker = random.choice((phone, desk, friend, friend))
        to = random.choice(targets) if speaker is friend else friend.name
        text = f"{speaker.mark}-{len(speaker.said)}"
        speaker.said.append(text)
        speaker.send(f"<message to='{to if '@' in to else to + '@localhost'}' type='chat'><body>{text}</body></message>")
        await asyncio.sleep(1 / RATE)


async def disturb(desk):
    """Resets connections; in the middle the edge that holds the device dies."""
    began, kills = asyncio.get_running_loop().time(), 0
    while asyncio.get_running_loop().time() < began + SECONDS - 1:
        await asyncio.sleep(random.uniform(0.5, 1.5))
        if not kills and asyncio.get_running_loop().time() > began + SECONDS / 2 and desk.c:
            managed.cluster.edges[desk.edge % 3].kill()
            kills += 1
        elif desk.c:
            desk.c.abort(reset=True)
    assert kills == 1


@limit(SECONDS + 90)
async def test_two_devices_hold_the_same_messages_whatever_one_of_them_goes_through():
    account, other = user(), user()
    phone, desk = await device(account, 0, "phone"), await device(account, 1, "desk")
    friend = await device(other, 2, "pc")
    phone.mark, desk.mark, friend.mark = "phone", "desk", "friend"
    everybody = (phone, desk, friend)
    await asyncio.gather(talk((phone, desk), friend, account), disturb(desk))
    said = {one.mark: one.said for one in everybody}
    total = sum(map(len, said.values()))
    for one in everybody:
        await one.has(total - len(one.said), 60)
    await asyncio.sleep(1)  # nothing more comes
    for one in everybody:
        shown = by_sender(one, *everybody)
        for mark, texts in said.items():
            assert shown[mark] == texts, f"{one.mark} of {mark}: {len(shown[mark])} of {len(texts)}; first difference " \
                f"{next(((a, b) for a, b in zip(shown[mark], texts) if a != b), 'at the end')}"
    kinds = {kind: sum(content(e)[1] == kind for e in desk.messages) for kind in ("direct", "sent", "received")}
    print(f"      {total} messages, desk resumed {desk.resumes} times and has {kinds}")
    assert desk.resumes >= SECONDS // 3 and all(kinds.values())
    for one in everybody:
        await one.close()


def test_nothing_was_wrong_underneath():
    managed.nothing_was_wrong_underneath()


if __name__ == "__main__":
    with Cluster(edges=3, routers=2, archives=1) as managed.cluster:
        sys.exit(0 if run(sys.modules[__name__]) else 1)
