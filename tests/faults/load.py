"""The load under every fault, and the checker. Numbered messages with a digest of their body between pairs of users who never give up. Three
pairs of four have stream management and follow XEP-0198 to the letter: a client whose connection is lost or silent resumes on the next edge,
sends again what is above the server's h, and acknowledges what it was asked about. Every fourth pair has none and confirms what it got by receipts.

After each fault (P1-P5 of the design):

  - what was acknowledged to its sender (P1), and in the end everything that was sent (P5), is delivered or bounced;
  - nothing comes twice to a client whose resumes succeed, also not with the same stanza-id (P2);
  - order per pair is kept (P3), and bodies are what was sent;
  - every resume succeeds, on whichever edge (P4), unless the fault takes the sessions with it;
  - a client without stream management whose connection died may lose only the tail it had not heard about; what comes to it again after
    its connection died has the same stanza-id.

Users stay logged in from one fault to the next: what one leaves behind, the next finds."""
import asyncio
import hashlib
import logging
import os
import random
import ssl
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from rawclient import CLIENT, SM, AckTooHigh, Closed, RawClient, StreamError, body, condition, sm_condition

logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it reports what is written to a connection that is lost
SID, RECEIPTS, STATES = "urn:xmpp:sid:0", "urn:xmpp:receipts", "http://jabber.org/protocol/chatstates"
LOST = (Closed, ConnectionError, OSError, asyncio.TimeoutError, ssl.SSLError)
SILENCE = 2.5   # seconds until a client asks, and once more until it gives the connection up
PATIENCE = 15   # the same for a client without stream management: what a kernel has acknowledged and nobody reads any more is lost to it,
                # so it does not leave while the server is only slow
FILLER = random.Random()  # not the one by which a fault chooses, or its seed would not bring the same choice back
EXPECTED_ENDS = {"reset", "conflict", "system-shutdown", "internal-server-error", "connection-timeout", "remote-connection-failed",
                 "resource-constraint"}


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
        self.first_incarnation = 0
        self.begin()
        self.task = asyncio.create_task(self.live())
        self.task.add_done_callback(self.on_end)

    def on_end(self, task):
        if not task.cancelled() and task.exception():
            self.load.wrong.append(f"{self.name}: the test itself failed: {task.exception()!r}")

    def begin(self):
        """A new round."""
        self.sequence = 0
        self.failed_resumes = 0   # from the first one on, the same stanza-id may come again
        self.first_incarnation = self.incarnation

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
                if error.condition not in EXPECTED_ENDS:
                    self.load.wrong.append(f"{self.name}: stream error {error.condition}")
            except LOST:
                pass
            except (AssertionError, AckTooHigh) as error:
                self.load.on_refusal(self, error)
            finally:
                if self.client:
                    self.lost_at = time.monotonic()
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
                raise Closed(f"not now: {sm_condition(element)}")
            self.failed_resumes += 1
            self.load.on_failed_resume(self, element.get("h"))
            self.again += [t for t in self.sm.unacked if t.startswith("<message")]
            self.sm = None
        # A new session: what the former one left unacknowledged goes first.
        await client.bind()
        assert client.jid, "bind failed"
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
        return self.sm is None or any(t.startswith("<message") for t in self.sm.unacked)


class PlainUser(User):
    """Without stream management: a new session each time. Asks by a ping whether a silent connection is alive."""
    is_managed = False

    async def enter(self, client):
        await client.authenticate(self.name)
        await client.bind()
        assert client.jid, "bind failed"
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


class Load:
    def __init__(self, cluster, users, rate):
        self.cluster, self.rate = cluster, rate
        self.over, self.patience = False, 15  # seconds for one attempt to log in or resume
        self.former = set()  # rounds whose messages may still come, since they were lost when their round ended
        self.round = None
        self.begin()
        names = [f"u{os.urandom(3).hex()}{i}" for i in range(users // 2 * 2)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(cluster.add_account, names))
        self.users = [(PlainUser if i // 2 % 4 == 3 else User)(self, name, i) for i, name in enumerate(names)]
        for i, user in enumerate(self.users):
            user.pair, user.partner = i, self.users[i ^ 1]

    def begin(self):
        """A new round: everything before it is settled."""
        if self.round and self.missing():
            self.former.add(self.round)
        self.round = os.urandom(3).hex()
        self.sent = {}       # id -> (pair, sequence, body, incarnation of the sender, time)
        self.acked, self.confirmed = set(), set()
        self.delivered = {}  # id -> stanza-id
        self.order = {}      # sending session -> sequence numbers in order of arrival
        self.bounced = {}
        self.duplicates, self.excused, self.wrong, self.refusals, self.gaps, self.delays = [], [], [], [], [], []
        self.queues_are_gone = False  # a fault takes Redis and a router at once: the log delivers again (ARCHITECTURE, known limits)
        self.notes = []      # what a fault has to say in the line of its run
        self.resumes = self.failed_resumes = self.blind = 0
        for user in getattr(self, "users", ()):
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
        ident = f"{self.round}-{user.pair}-{user.sequence}"
        self.sent[ident] = (user.pair, user.sequence, text, user.incarnation, time.monotonic())
        user.sequence += 1
        return f"<message to='{user.partner.name}@localhost' type='chat' id='{ident}'><body>{text}</body></message>"

    def on_acked(self, texts):
        for text in texts:
            if text.startswith("<message") and " id='" in text:
                self.acked.add(text.split(" id='", 1)[1].split("'", 1)[0])

    def on_failed_resume(self, user, h):
        self.failed_resumes += 1
        if h is None:
            self.blind += 1

    def on_refusal(self, user, error):
        """Login refused for the moment (temporary-auth-failure and the like), or h that cannot be."""
        if isinstance(error, AckTooHigh):
            self.wrong.append(f"{user.name}: {error}")
        else:
            self.refusals.append(str(error))

    def on_message(self, user, element):
        ident = element.get("id")
        if ident and ident.split("-")[0].removeprefix("r") in self.former:
            return
        if element.get("type") == "error":
            if ident and not ident.startswith("r"):  # a receipt that bounced
                self.bounced[ident] = condition(element)
            return
        if not body(element) or ident not in self.sent:
            self.wrong.append(f"{user.name}: unknown message {ident}")
            return
        stanza_id = element.find(f"{{{SID}}}stanza-id")
        stanza_id = None if stanza_id is None else stanza_id.get("id")
        pair, sequence, text, incarnation, sent_at = self.sent[ident]
        if body(element) != text or hashlib.sha256(text.rpartition(":")[0].encode()).hexdigest() != body(element).rpartition(":")[2]:
            self.wrong.append(f"{ident}: another body")
        if user.partner.pair != pair:
            self.wrong.append(f"{ident} reached {user.name}")
        if ident not in self.delivered:
            self.delivered[ident] = stanza_id
            # Without stream management each connection is another full JID, and P3 says nothing between two.
            sender = self.users[pair]
            self.order.setdefault(sender.name if sender.is_managed else f"{sender.name} ({incarnation})", []).append(sequence)
            self.delays.append(time.monotonic() - sent_at)
        elif self.may_come_again(user, ident, stanza_id):
            self.excused.append(ident)
        else:
            self.duplicates.append(f"{ident} to {user.name} (stanza-id {self.delivered[ident]}, then {stanza_id})")

    def may_come_again(self, user, ident, stanza_id):
        is_same = self.delivered[ident] == stanza_id
        if not user.is_managed:
            return is_same
        return (user.failed_resumes or self.queues_are_gone) and is_same or self.blind

    def missing(self):
        return [i for i in self.sent if i not in self.delivered and i not in self.bounced and not self.is_tail(i)]

    def is_tail(self, ident):
        """Sent by a client without stream management on a connection that died, behind the last message that arrived from there: nobody ever
        said that it was taken. And where messages bounce, its error may have gone to that connection."""
        pair, sequence, _, incarnation, _ = self.sent[ident]
        user = self.users[pair]
        if user.is_managed or incarnation == user.incarnation and user.online.is_set():
            return False
        return bool(self.bounced) or not any(self.sent[other][3] == incarnation
                       for later in range(sequence + 1, user.sequence)
                       if (other := f"{self.round}-{pair}-{later}") in self.delivered or other in self.bounced)

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
            if time.monotonic() - last_change > 20:
                break
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.5)  # for what comes twice
        stuck = self.unacked()
        for user in self.users:
            if user.client and user.sm:
                user.client.ack()
        left = await asyncio.to_thread(self.left_in_the_log)
        return ([f"never acknowledged to {u.name}: {len(u.sm.unacked) if u.sm else 'no session'}" for u in stuck]
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

    async def everybody_talks(self, seconds=20):
        """From now on a message of everyone arrives."""
        began, deadline = time.monotonic(), time.monotonic() + seconds
        while time.monotonic() < deadline:
            heard = {self.sent[i][0] for i in self.delivered if self.sent[i][4] > began}
            if len(heard) == len(self.users):
                return
            await asyncio.sleep(0.2)
        silent = [u.name for u in self.users if u.pair not in heard]
        raise AssertionError(f"after the fault {len(silent)} of {len(self.users)} are not heard: {silent[:3]}")

    def p99(self):
        return sorted(self.delays)[int(len(self.delays) * 0.99)] if self.delays else 0.0

    def judge(self, sessions_may_end=False, max_median_gap=None):
        problems = list(self.wrong)
        lost = self.missing()
        for ident in lost:
            problems.append(f"lost{' although acknowledged' if ident in self.acked or ident in self.confirmed else ''}: {ident}"
                            f" to {self.users[self.sent[ident][0]].partner.name}")
        both = set(self.delivered) & set(self.bounced)
        if both:
            problems.append(f"delivered and bounced: {len(both)}, such as {sorted(both)[:3]}")
        problems += [f"twice: {i}" for i in self.duplicates]
        for sender, sequences in self.order.items():
            if sequences != sorted(sequences):
                at = next(i for i in range(1, len(sequences)) if sequences[i] < sequences[i - 1])
                problems.append(f"{sender} out of order: {sequences[max(0, at - 3):at + 3]}")
        if self.failed_resumes and not sessions_may_end:
            problems.append(f"{self.failed_resumes} resumes found no session")
        if len(self.sent) < min(self.rate, len(self.users)):
            problems.append(f"only {len(self.sent)} messages were sent")
        if max_median_gap and self.gaps and statistics.median(self.gaps) > max_median_gap:
            problems.append(f"half of the clients were away for more than {statistics.median(self.gaps):.1f} s")
        return problems

    def numbers(self):
        tail = len([i for i in self.sent if i not in self.delivered and i not in self.bounced and self.is_tail(i)])
        return {"sent": len(self.sent), "delivered": len(self.delivered), "bounced": len(self.bounced), "lost": len(self.missing()), "tail": tail,
                "twice": len(self.duplicates), "resumes": self.resumes, "not_found": self.failed_resumes, "repeated": len(self.excused),
                "away": round(max(self.gaps, default=0), 1), "refused": len(self.refusals)}


def summary(n):
    text = (f"sent {n['sent']} = delivered {n['delivered']} + bounced {n['bounced']} + lost {n['lost']} + unsent tail {n['tail']}; twice {n['twice']};"
            f" resumes {n['resumes']}")
    for key, label in (("not_found", "of these not found {}"), ("repeated", "repeated {}"), ("away", "away at most {} s"), ("refused", "logins refused {}")):
        if n[key]:
            text += ", " + label.format(n[key])
    return text
