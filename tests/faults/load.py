"""The load under every fault, and the checker. Numbered messages with a digest of their body between pairs of users who never give up. Three
pairs of four have stream management and follow XEP-0198 to the letter: a client whose connection is lost or silent resumes on the next edge,
sends again what is above the server's h, and acknowledges what it was asked about. Every fourth pair has none and confirms what it got by receipts.

After each fault judge.py says whether P1 to P5 of the design have held.

Users stay logged in from one fault to the next: what one leaves behind, the next finds."""
import asyncio
import hashlib
import logging
import os
import random
import re
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

from judge import NOTHING, PATIENCE, Round, slowness
from rawclient import CLIENT, SM, AckTooHigh, Closed, RawClient, StreamError, body, condition, sm_condition

logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it reports what is written to a connection that is lost
RECEIPTS, STATES = "urn:xmpp:receipts", "http://jabber.org/protocol/chatstates"
LOST = (Closed, ConnectionError, OSError, asyncio.TimeoutError, ssl.SSLError)
SILENCE = 2.5 * max(1.0, slowness() / 2)  # seconds until a client asks, and once more until it gives the connection up
FILLER = random.Random()  # not the one by which a fault chooses, or its seed would not bring the same choice back


class User:
    """One account with one device that never gives up: when its connection is lost, it resumes on the next edge."""
    is_managed = True

    def __init__(self, load, name, edge):
        self.load, self.name, self.edge = load, name, edge
        self.partner = self.pair = None
        self.client = self.sm = None
        self.again = []           # left unacknowledged by a session that could not be resumed
        self.lost_at = None
        self.online = asyncio.Event()
        self.incarnation = 0      # counts connections
        self.begin()
        self.task = asyncio.create_task(self.live())
        self.task.add_done_callback(self.on_end)

    def on_end(self, task):
        if not task.cancelled() and task.exception():
            self.load.wrong.append(f"{self.name}: the test itself failed: {task.exception()!r}")

    def begin(self):
        """A new round."""
        self.sequence = 0
        self.failed_resumes = 0   # what came before one may come again, with the same stanza-id
        self.blind = 0            # those of them that did not say what had been handled
        self.ended = {}           # connection -> when it ended

    async def live(self):
        while not self.load.over:
            edges = self.load.cluster.edges
            client = RawClient(edges[self.edge % len(edges)].c2s)
            client.on_acked = self.load.on_acked
            try:
                await asyncio.wait_for(self.enter(client), self.load.patience)
                self.client = client
                self.incarnation += 1
                self.online.set()
                if self.lost_at:
                    self.load.gaps.append(time.monotonic() - self.lost_at)
                    self.lost_at = None
                await self.read(client)
            except StreamError as error:
                self.load.on_stream_error(self, error.condition)
            except LOST:
                pass
            except (AssertionError, AckTooHigh) as error:
                self.load.on_refusal(self, error)
            finally:
                if self.client:
                    self.lost_at = self.ended[self.incarnation] = time.monotonic()
                self.online.clear()
                self.client = None
                await self.leave(client)
            self.edge += 1
            await asyncio.sleep(0.2)

    async def leave(self, client):
        """At the end politely, else as a lost connection."""
        if not client.writer:
            return
        if self.load.over:
            if client.sm:
                client.ack()
            await client.close()
        else:
            client.abort()

    async def enter(self, client):
        await client.authenticate(self.name)
        if self.sm:
            self.load.resumes += 1
            element = await client.resume(self.sm)
            if element.tag == f"{{{SM}}}resumed":
                return
            if sm_condition(element) != "item-not-found":
                self.load.on_not_now(self, sm_condition(element))
                raise Closed("not now")
            self.load.on_failed_resume(self, element.get("h"))
            self.again += [t for t in self.sm.unacked if t.startswith("<message")]
            self.sm = None
        # A new session: what the former one left unacknowledged goes first.
        result = await client.bind()
        assert client.jid, f"bind: {condition(result)}"
        element = await client.enable()
        assert element.tag == f"{{{SM}}}enabled", f"enable: {sm_condition(element)}"
        self.sm = client.sm
        for text in self.again:
            client.send(text)
        self.again = []
        client.send("<presence/>")

    async def read(self, client):
        asked = False
        while not self.load.over:
            try:
                element = await client.get(SILENCE)
                asked = False
            except asyncio.TimeoutError:
                if asked:
                    return
                asked = True
                client.request()
                continue
            if element.tag == f"{{{CLIENT}}}message":
                self.load.on_message(self, element)

    def may_send(self):
        return self.online.is_set() and len(self.sm.unacked) < 200

    def send_next(self):
        text = self.load.next_message(self)
        try:
            self.client.send(text)
            if self.sequence % 5 == 0:
                self.client.request()
        except LOST:
            pass

    def is_unacked(self):
        return not self.online.is_set() or any(t.startswith("<message") for t in self.sm.unacked)


class PlainUser(User):
    """Without stream management: a new session each time. Asks by a ping whether a silent connection is alive."""
    is_managed = False

    async def enter(self, client):
        await client.authenticate(self.name)
        result = await client.bind()
        assert client.jid, f"bind: {condition(result)}"
        client.send("<presence/>")

    async def read(self, client):
        asked = False
        while not self.load.over:
            try:
                element = await client.get(PATIENCE)
                asked = False
            except asyncio.TimeoutError:
                if asked:
                    return
                asked = True
                client.send("<iq type='get' id='alive'><ping xmlns='urn:xmpp:ping'/></iq>")
                continue
            self.take(client, element)

    def take(self, client, element):
        if element.tag != f"{{{CLIENT}}}message":
            return
        receipt = element.find(f"{{{RECEIPTS}}}received")
        if receipt is not None:
            self.load.confirmed.add(receipt.get("id"))
            return
        self.load.on_message(self, element)
        if body(element) and element.get("type") != "error":
            client.send(f"<message to='{self.partner.name}@localhost' type='chat' id='r{element.get('id')}'>"
                        f"<received xmlns='{RECEIPTS}' id='{element.get('id')}'/><store xmlns='urn:xmpp:hints'/></message>")

    def may_send(self):
        return self.online.is_set()

    def send_next(self):
        text = self.load.next_message(self)
        try:
            self.client.send(text)
        except LOST:
            pass

    def is_unacked(self):
        return not self.online.is_set()


class Load(Round):
    def __init__(self, cluster, users, rate):
        super().__init__()
        self.cluster, self.rate = cluster, rate
        self.commit_timeout = commit_timeout(cluster)
        self.over, self.patience = False, 15  # seconds for one attempt to log in or resume
        names = [f"u{os.urandom(3).hex()}{i}" for i in range(users // 2 * 2)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(cluster.add_account, names))
        self.users = [(PlainUser if i // 2 % 4 == 3 else User)(self, name, i) for i, name in enumerate(names)]
        for i, user in enumerate(self.users):
            user.pair, user.partner = i, self.users[i ^ 1]

    def begin(self, allows=NOTHING):
        super().begin(allows)
        for user in self.users:
            user.begin()

    async def start(self):
        self.sender = asyncio.create_task(self.send())
        await asyncio.wait_for(asyncio.gather(*(u.online.wait() for u in self.users)), 60 + len(self.users))

    async def send(self):
        due = time.monotonic()
        while not self.over:
            for user in self.users:
                due += 1 / self.rate
                await asyncio.sleep(max(0, due - time.monotonic()))
                if not self.over and self.is_sending and user.may_send():
                    user.send_next()

    is_sending = False

    def next_message(self, user):
        filler = FILLER.randbytes(FILLER.choice((8, 40, 400))).hex()
        text = f"{user.sequence}:{filler}"
        text += ":" + hashlib.sha256(text.encode()).hexdigest()
        ident = self.on_sent(user, text)
        return f"<message to='{user.partner.name}@localhost' type='chat' id='{ident}'><body>{text}</body></message>"

    def unacked(self):
        return [u for u in self.users if u.is_unacked()]

    async def settle(self, seconds):
        """Stops sending, waits until everything has arrived and is acknowledged or nothing moves any more; returns what is wrong then."""
        self.is_sending = False
        deadline, last, last_change = time.monotonic() + seconds, None, time.monotonic()
        while time.monotonic() < deadline and (self.missing() or self.unacked()):
            for user in self.unacked():
                if user.client and user.is_managed:
                    try:
                        user.client.request()
                    except LOST:
                        pass
            state = (len(self.missing()), len(self.unacked()))
            if state != last:
                last, last_change = state, time.monotonic()
            if time.monotonic() - last_change > 20 * slowness():
                break
            await asyncio.sleep(0.2)
        for _ in range(int(10 * slowness())):
            await asyncio.sleep(0.5)  # for what comes twice, and whoever comes back once more
            stuck = self.unacked()
            if not stuck:
                break
        for user in self.users:
            if user.client and user.sm:
                user.client.ack()
        left = await asyncio.to_thread(self.left_in_the_log)
        return ([f"never acknowledged to {u.name}: {len(u.sm.unacked)}" if u.online.is_set() and u.sm else f"{u.name} is not back" for u in stuck]
                + ([f"{left} messages would come again at the next login"] if left else []))

    async def end(self):
        self.over = True
        self.sender.cancel()
        for user in self.users:
            user.task.cancel()
        await asyncio.gather(*(u.task for u in self.users), self.sender, return_exceptions=True)

    def left_in_the_log(self, seconds=8):
        """Entries above the watermark of their owner, although every client has acknowledged what it got."""
        names = ",".join(f"'{user.name}@localhost'" for user in self.users)
        for _ in range(int(seconds / 0.3)):
            left = self.cluster.postgres.query(
                "SELECT count(*) FROM archive.message m JOIN router.account a ON a.id = m.owner LEFT JOIN archive.cursor c ON c.owner = m.owner"
                f" WHERE a.bare IN ({names}) AND m.id > coalesce(c.watermark, 0)")
            if left == "0":
                break
            time.sleep(0.3)
        return int(left)

    def edge_in_use(self):
        """One that somebody is connected to: what happens to the others nobody notices."""
        edges = self.cluster.edges
        used = {user.edge % len(edges) for user in self.users if user.client}
        return edges[random.choice(sorted(used) or range(len(edges)))]

    async def everybody_talks(self, seconds=20):
        """From now on a message of everyone arrives."""
        began, deadline = time.monotonic(), time.monotonic() + seconds
        while time.monotonic() < deadline:
            heard = {self.sent[i].pair for i in self.delivered if self.sent[i].at > began}
            if len(heard) == len(self.users):
                return
            await asyncio.sleep(0.2)
        silent = [u.name for u in self.users if u.pair not in heard]
        raise AssertionError(f"after the fault {len(silent)} of {len(self.users)} are not heard: {silent[:3]}")

    async def goes_on(self, seconds, longest, task=None):
        """For so long, and until `task` has ended, nothing that is sent stays away longer than `longest` seconds (on an idle machine)."""
        began, bound = time.monotonic(), longest * slowness()
        while (now := time.monotonic()) < began + seconds or task and not task.done():
            await asyncio.sleep(0.2)
            delay = self.longest_delay(began)
            assert delay <= bound, f"{now - began:.1f} s into the fault a message stays away for {delay:.1f} s, more than {bound:.1f} s"
        self.notes.append(f"meanwhile all within {self.longest_delay(began):.1f} s")


def commit_timeout(cluster):
    """Seconds; the default is that of router/settings.c."""
    text = cluster.extra.get("router", {}).get("messages", {}).get("commit_timeout", "10s")
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]
