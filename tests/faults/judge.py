"""What happened to the numbered messages of one round, and whether that was right. No sockets and no cluster here, so that judge_test.py can show
it events that never should happen.

P1-P5 of the design, for every fault alike:

  - what was acknowledged to its sender (P1), and in the end everything that was sent (P5), is delivered or bounced, never both;
  - nothing comes twice to a client whose resumes succeed, also not with the same stanza-id (P2);
  - order per pair is kept (P3), and bodies are what was sent;
  - every resume succeeds, on whichever edge (P4);
  - a client without stream management whose connection died may lose only the tail it had not heard about; what comes to it again came first on a
    connection that has died since, and has the same stanza-id.

What else a client may meet (an error, a login refused, a session that is gone, a stream error) has to be in the fault's Allowance: it says so where it
is registered, and everything it does not say is a problem."""
import collections
import dataclasses
import hashlib
import os
import time
from typing import NamedTuple

from rawclient import CLIENT, AckTooHigh, body, condition

SID = "urn:xmpp:sid:0"
# Without stream management: asks by a ping after so many seconds of silence, and leaves after as many more. What a kernel has acknowledged and nobody
# reads any more is lost to it, so it does not leave while the server is only slow; nor (twice this) just when a partition of 30 s heals.
PATIENCE = 20
TAIL = 3 * PATIENCE             # seconds a message may have waited for its connection to die
SLACK = 0.5                     # seconds between two clocks' readings
# What G01 says of a message that no store took: an error of type "wait", after messages.commit_timeout.
BOUNCES = {("internal-server-error", "wait")}
REFUSALS = {"temporary-auth-failure", "bind: internal-server-error", "enable: internal-server-error"}


@dataclasses.dataclass(frozen=True)
class Allowance:
    """What a fault may do to clients."""
    bounces: bool = False        # no store took a message for messages.commit_timeout (README of router/: G01)
    refusals: bool = False       # logins, binds and <enable/> are refused for the moment
    ends_sessions: bool = False  # a resume finds no session, and hears h (ARCHITECTURE, known limits: Redis and a router at once)
    blind: bool = False          # likewise, but without h: what is sent again may come twice
    not_now: frozenset = frozenset()  # conditions of <failed/> to <resume/>, other than item-not-found
    ends: frozenset = frozenset()     # conditions of stream errors

    def __or__(self, other):
        return Allowance(*(getattr(self, f.name) | getattr(other, f.name) for f in dataclasses.fields(self)))


NOTHING = Allowance()
# Servers, or lines between them, do not answer in time: the edge ends a stream whose negotiation waits for them, and of two attempts of a client the
# one it has given up may be answered last.
STALLS = Allowance(refusals=True, ends=frozenset({"internal-server-error", "connection-timeout", "conflict"}))
STORE_AWAY = STALLS | Allowance(bounces=True)
QUEUES_GONE = Allowance(ends_sessions=True)
DRAINS = Allowance(ends=frozenset({"system-shutdown"}))


class Sent(NamedTuple):
    pair: int
    sequence: int
    text: str
    incarnation: int  # of its sender: each connection has its own
    at: float
    blind: int        # how often its sender had resumed in vain without hearing h


class Arrival(NamedTuple):
    stanza_id: str
    incarnation: int     # of its recipient
    failed_resumes: int  # likewise
    at: float


class Bounce(NamedTuple):
    condition: str
    kind: str
    at: float


def slowness(environment=os.environ):
    """How many times longer than on an idle machine, without sanitizers, things may take here: STARLING_SLOWNESS, which `run` sets."""
    return float(environment.get("STARLING_SLOWNESS", "1"))


def percentile(values, share):
    return sorted(values)[int(len(values) * share)] if values else 0.0


def counted(counter):
    return ", ".join(f"{what} {count}" for what, count in sorted(counter.items()))


class Round:
    """What has happened since `begin`. Users are numbered; `users[i ^ 1]` is the partner of `users[i]`. A user has name, is_managed, incarnation,
    failed_resumes, blind (both of this round) and `ended`: when each of its connections of this round ended."""

    users = ()
    commit_timeout = 10.0  # seconds; messages.commit_timeout of the routers
    rate = 0               # messages a second, all users together

    def __init__(self):
        self.settled = set()  # ids of former rounds
        self.sent = {}
        self.begin()

    def begin(self, allows=NOTHING):
        """A new round: everything before it is settled."""
        self.settled.update(self.sent)
        self.round = os.urandom(3).hex()
        self.allows = allows
        self.sent = {}       # id -> Sent
        self.acked, self.confirmed = set(), set()
        self.delivered = {}  # id -> Arrival
        self.order = {}      # sending session -> sequence numbers in order of arrival
        self.bounced, self.bounced_receipts = {}, {}  # id -> Bounce
        self.duplicates, self.excused, self.wrong, self.gaps, self.delays = [], [], [], [], []
        self.notes = []      # what a fault has to say in the line of its run
        self.resumes = self.failed_resumes = self.blind = 0
        self.refusals, self.not_now, self.ends = collections.Counter(), collections.Counter(), collections.Counter()

    # ---- what happens

    def on_sent(self, user, text):
        """Returns the id of a new message."""
        ident = f"{self.round}-{user.pair}-{user.sequence}"
        self.sent[ident] = Sent(user.pair, user.sequence, text, user.incarnation, time.monotonic(), user.blind)
        user.sequence += 1
        return ident

    def on_acked(self, texts):
        for text in texts:
            if text.startswith("<message") and " id='" in text:
                self.acked.add(text.split(" id='", 1)[1].split("'", 1)[0])

    def on_failed_resume(self, user, h):
        """The server knows no such session (any more)."""
        user.failed_resumes += 1
        self.failed_resumes += 1
        if h is None:
            user.blind += 1
            self.blind += 1

    def on_not_now(self, user, why):
        """A resume failed with another condition; the client tries again with the same session."""
        self.not_now[str(why)] += 1

    def on_refusal(self, user, error):
        """Login refused for the moment; whatever else was asserted on the way, or an h that cannot be, is wrong in any case."""
        text = str(error)
        reason = next((known for known in REFUSALS if known in text), None)
        if isinstance(error, AckTooHigh) or not reason:
            self.wrong.append(f"{user.name}: {text}")
        else:
            self.refusals[reason] += 1

    def on_stream_error(self, user, error_condition):
        self.ends[error_condition] += 1

    def on_message(self, user, element):
        ident = element.get("id") or ""
        if element.get("type") == "error":
            self._on_error(user, ident, element)
            return
        if not body(element) or ident not in self.sent:
            again = " of a former round" if ident in self.settled else ""
            self.wrong.append(f"{user.name}: unknown message {ident}{again}")
            return
        stanza_id = element.find(f"{{{SID}}}stanza-id")
        stanza_id = None if stanza_id is None else stanza_id.get("id")
        sent = self.sent[ident]
        if body(element) != sent.text or hashlib.sha256(sent.text.rpartition(":")[0].encode()).hexdigest() != body(element).rpartition(":")[2]:
            self.wrong.append(f"{ident}: another body")
        if user.pair ^ 1 != sent.pair:
            self.wrong.append(f"{ident} reached {user.name}")
        if ident not in self.delivered:
            self.delivered[ident] = Arrival(stanza_id, user.incarnation, user.failed_resumes, time.monotonic())
            # Without stream management each connection is another full JID, and P3 says nothing between two.
            sender = self.users[sent.pair]
            self.order.setdefault(sender.name if sender.is_managed else f"{sender.name} ({sent.incarnation})", []).append(sent.sequence)
            self.delays.append(time.monotonic() - sent.at)
        elif self.may_come_again(user, ident, stanza_id):
            self.excused.append(ident)
        else:
            self.duplicates.append(f"{ident} to {user.name} (stanza-id {self.delivered[ident].stanza_id}, then {stanza_id})")

    def _on_error(self, user, ident, element):
        error = element.find(f"{{{CLIENT}}}error")
        bounce = Bounce(condition(element), None if error is None else error.get("type"), time.monotonic())
        if ident.startswith("r") and (ident[1:] in self.sent or ident[1:] in self.settled):
            self.bounced_receipts[ident] = bounce
        elif ident in self.settled:
            self.wrong.append(f"{ident} of a former round bounced with {bounce.condition}: its fate was known")
        elif ident not in self.sent:
            self.wrong.append(f"{user.name}: {bounce.condition} for unknown {ident}")
        elif user.pair != self.sent[ident].pair:
            self.wrong.append(f"{ident} bounced to {user.name}")
        elif ident in self.bounced:
            self.wrong.append(f"{ident} bounced twice")
        else:
            self.bounced[ident] = bounce

    def may_come_again(self, user, ident, stanza_id):
        """To whom this came before, on a connection (or in a session) that is gone; or since its sender could not know that it was taken."""
        first, sent = self.delivered[ident], self.sent[ident]
        if self.users[sent.pair].blind > sent.blind:
            return True
        if stanza_id != first.stanza_id:
            return False
        return user.failed_resumes > first.failed_resumes if user.is_managed else user.incarnation > first.incarnation

    # ---- what is left

    def missing(self):
        return [i for i in self.sent if i not in self.delivered and i not in self.bounced and not self.is_tail(i)]

    def is_tail(self, ident):
        """Sent by a client without stream management on a connection that died not long after it, behind the last message that arrived from there:
        nobody ever said that it was taken. And where messages bounce, its error may have gone to that connection."""
        sent = self.sent[ident]
        user = self.users[sent.pair]
        if user.is_managed or not 0 <= user.ended.get(sent.incarnation, -1) - sent.at <= TAIL:
            return False
        return not self._is_arrived_behind(sent, user) or self._is_of_an_outage(sent)

    def _is_arrived_behind(self, sent, user):
        later = (f"{self.round}-{sent.pair}-{sequence}" for sequence in range(sent.sequence + 1, user.sequence))
        return any(self.sent[other].incarnation == sent.incarnation for other in later if other in self.delivered or other in self.bounced)

    def _is_of_an_outage(self, sent):
        """Somebody has heard that what was written about then was not taken."""
        return self.allows.bounces and any(abs(self.sent[other].at - sent.at) < self.commit_timeout for other in self.bounced)

    def longest_delay(self, since, among=None):
        """Of what was sent since then, arrived or not; between these users, or between all."""
        now = time.monotonic()
        return max(((self.delivered[ident].at if ident in self.delivered else now) - sent.at for ident, sent in self.sent.items()
                    if sent.at >= since and (among is None or {sent.pair, sent.pair ^ 1} <= among)
                    and ident not in self.bounced and (ident in self.delivered or not self.is_tail(ident))), default=0.0)

    def p99(self):
        return percentile(self.delays, 0.99)

    def judge(self, max_gap=None):
        """Returns what is wrong. `max_gap`: seconds that 99 % of the reconnections may take on an idle machine."""
        problems = list(self.wrong) + self._judge_messages() + self._judge_allowance()
        if len(self.sent) < min(self.rate, len(self.users)):
            problems.append(f"only {len(self.sent)} messages were sent")
        if max_gap and percentile(self.gaps, 0.99) > max_gap * slowness():
            problems.append(f"99 % of the clients were back only after {percentile(self.gaps, 0.99):.1f} s, more than {max_gap * slowness():.1f} s")
        return problems

    def _judge_messages(self):
        problems = []
        for ident in self.missing():
            problems.append(f"lost{' although acknowledged' if ident in self.acked or ident in self.confirmed else ''}: {ident}"
                            f" to {self.users[self.sent[ident].pair ^ 1].name}")
        both = set(self.delivered) & set(self.bounced)
        if both:
            problems.append(f"delivered and bounced: {len(both)}, such as {sorted(both)[:3]}")
        problems += [f"twice: {i}" for i in self.duplicates]
        for sender, sequences in self.order.items():
            if sequences != sorted(sequences):
                at = next(i for i in range(1, len(sequences)) if sequences[i] < sequences[i - 1])
                problems.append(f"{sender} out of order: {sequences[max(0, at - 3):at + 3]}")
        return problems + self._judge_bounces()

    def _judge_bounces(self):
        bounced = {**self.bounced, **self.bounced_receipts}
        if bounced and not self.allows.bounces:
            conditions = collections.Counter(str(bounce.condition) for bounce in bounced.values())
            return [f"bounced, though every store was there: {counted(conditions)}, such as {sorted(bounced)[:3]}"]
        problems = []
        for ident, bounce in bounced.items():
            if (bounce.condition, bounce.kind) not in BOUNCES:
                problems.append(f"{ident} bounced with {bounce.condition}, type {bounce.kind}")
        for ident, bounce in self.bounced.items():
            age = bounce.at - self.sent[ident].at
            if age < self.commit_timeout - SLACK:
                problems.append(f"{ident} bounced after {age:.1f} s, before commit_timeout")
        return problems

    def _judge_allowance(self):
        problems = []
        if self.failed_resumes and not self.allows.ends_sessions:
            problems.append(f"{self.failed_resumes} resumes found no session")
        if self.blind and not self.allows.blind:
            problems.append(f"{self.blind} resumes found no session, and did not say what had been handled")
        if self.refusals and not self.allows.refusals:
            problems.append(f"logins were refused: {counted(self.refusals)}")
        for what, counter, allowed in (("resumes failed", self.not_now, self.allows.not_now), ("streams ended", self.ends, self.allows.ends)):
            unexpected = {key: count for key, count in counter.items() if key not in allowed}
            if unexpected:
                problems.append(f"{what}: {counted(unexpected)}")
        return problems

    def numbers(self):
        tail = [i for i in self.sent if i not in self.delivered and i not in self.bounced and self.is_tail(i)]
        unheard = [i for i in tail if self._is_arrived_behind(self.sent[i], self.users[self.sent[i].pair])]
        return {"sent": len(self.sent), "delivered": len(self.delivered), "bounced": len(self.bounced), "lost": len(self.missing()),
                "tail": len(tail), "unheard": len(unheard), "twice": len(self.duplicates), "resumes": self.resumes, "not_found": self.failed_resumes,
                "blind": self.blind, "repeated": len(self.excused), "away": round(max(self.gaps, default=0), 1),
                "refused": sum(self.refusals.values()), "not_now": dict(self.not_now), "ends": dict(self.ends)}


def summary(n):
    text = (f"sent {n['sent']} = delivered {n['delivered']} + bounced {n['bounced']} + lost {n['lost']} + unsent tail {n['tail']}; twice {n['twice']};"
            f" resumes {n['resumes']}")
    for key, label in (("not_found", "of these not found {}"), ("blind", "without h {}"), ("repeated", "repeated {}"), ("away", "away at most {} s"),
                       ("refused", "logins refused {}"), ("unheard", "errors nobody heard {}")):
        if n[key]:
            text += ", " + label.format(n[key])
    for key, label in (("not_now", "resumes failed"), ("ends", "streams ended")):
        if n[key]:
            text += f", {label}: {counted(n[key])}"
    return text
