#!/usr/bin/python3
"""Shows the judge of the faults what a server must never do, by events that are made up, and that it says so; and what a fault allows, and that it is quiet."""
import hashlib
import os
import sys
import time
import xml.etree.ElementTree as ET

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"), os.path.dirname(os.path.abspath(__file__))]
import judge  # noqa: E402
from judge import DRAINS, QUEUES_GONE, STALLS, STORE_AWAY, Allowance, Round  # noqa: E402
from rawclient import AckTooHigh  # noqa: E402
from runner import run  # noqa: E402


class FakeUser:
    def __init__(self, pair, is_managed):
        self.pair, self.name, self.is_managed = pair, f"u{pair}", is_managed
        self.sequence, self.incarnation, self.failed_resumes, self.blind, self.ended = 0, 1, 0, 0, {}


class Scene(Round):
    """Two pairs: 0 and 1 have stream management, 2 and 3 have none. `ago`: seconds by which an event lies back."""

    def __init__(self, allows=judge.NOTHING):
        super().__init__()
        self.users = [FakeUser(i, i < 2) for i in range(4)]
        self.begin(allows)

    def send(self, pair, ago=0.0):
        text = f"{self.users[pair].sequence}:00"
        ident = self.on_sent(self.users[pair], text + ":" + hashlib.sha256(text.encode()).hexdigest())
        self.sent[ident] = self.sent[ident]._replace(at=time.monotonic() - ago)
        return ident

    def arrive(self, ident, stanza_id="1", at=None, text=None):
        user = self.users[self.sent[ident].pair ^ 1 if at is None else at]
        self.on_message(user, ET.fromstring(
            f"<message xmlns='jabber:client' id='{ident}'><body>{text or self.sent[ident].text}</body>"
            f"<stanza-id xmlns='urn:xmpp:sid:0' by='x' id='{stanza_id}'/></message>"))
        return ident

    def bounce(self, ident, condition="internal-server-error", kind="wait", at=None):
        user = self.users[self.sent[ident].pair if at is None else at]  # of a former round: it is not in `sent`
        self.on_message(user, ET.fromstring(f"<message xmlns='jabber:client' type='error' id='{ident}'><error type='{kind}'>"
                                            f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"))

    def reconnect(self, pair, ago=0.0):
        user = self.users[pair]
        user.ended[user.incarnation] = time.monotonic() - ago
        user.incarnation += 1

    def says(self, *words, **told):
        problems = self.judge(**told)
        for word in words:
            assert any(word in problem for problem in problems), f"no {word!r} in {problems}"
        assert words or not problems, problems


def delivered(allows=judge.NOTHING):
    """A scene in which everything has arrived."""
    scene = Scene(allows)
    for pair in range(4):
        scene.arrive(scene.send(pair))
    return scene


def test_everything_arrived():
    delivered().says()


def test_lost():
    scene = delivered()
    scene.send(0)
    scene.says("lost: ")
    scene.on_acked([f"<message id='{scene.send(0)}'>"])
    scene.says("lost although acknowledged")


def test_body_recipient_order():
    scene = delivered()
    scene.arrive(scene.send(0), text="0:01:02")
    scene.says("another body")
    scene = delivered()
    scene.arrive(scene.send(0), at=3)
    scene.says("reached u3")
    scene = delivered()
    first, second = scene.send(0), scene.send(0)
    scene.arrive(second)
    scene.arrive(first)
    scene.says("out of order")


def test_bounces_where_no_store_was_away():
    scene = delivered()
    scene.bounce(scene.send(0, ago=12))
    scene.says("every store was there")
    scene = delivered(STALLS | DRAINS | QUEUES_GONE)
    scene.bounce(scene.send(2, ago=12))
    scene.says("every store was there")


def test_bounces_of_a_store_away():
    scene = delivered(STORE_AWAY)
    scene.bounce(scene.send(0, ago=10.2))
    scene.says()
    scene.bounce(scene.send(0, ago=3))
    scene.says("before commit_timeout")
    for condition, kind in (("service-unavailable", "cancel"), ("internal-server-error", "cancel"), ("resource-constraint", "wait")):
        scene = delivered(STORE_AWAY)
        scene.bounce(scene.send(0, ago=12), condition, kind)
        scene.says(f"bounced with {condition}, type {kind}")


def test_bounces_that_cannot_be():
    scene = delivered(STORE_AWAY)
    ident = scene.arrive(scene.send(0, ago=12))
    scene.bounce(ident)
    scene.says("delivered and bounced")
    scene = delivered(STORE_AWAY)
    scene.bounce(scene.send(0, ago=12), at=1)
    scene.says("bounced to u1")
    scene = delivered(STORE_AWAY)
    ident = scene.send(0, ago=12)
    scene.bounce(ident)
    scene.bounce(ident)
    scene.says("bounced twice")


def test_a_receipt_that_bounces():
    scene = delivered()
    scene.bounce("r" + next(iter(scene.delivered)), at=1)
    scene.says("every store was there")
    scene = delivered(STORE_AWAY)
    scene.bounce("r" + next(iter(scene.delivered)), at=1)
    scene.says()


def test_what_comes_after_its_round():
    scene = delivered(STORE_AWAY)
    old = scene.arrive(scene.send(0))
    scene.begin(STORE_AWAY)
    scene.bounce(old, at=0)
    scene.says("of a former round bounced")
    scene = delivered()
    old = scene.arrive(scene.send(0))
    scene.begin()
    scene.arrive(old, at=1, text="0:00")
    scene.says("unknown message", "of a former round")


def test_tail_of_a_connection_that_died():
    scene = delivered()
    scene.send(2, ago=1)
    scene.says("lost")  # it lives
    scene.reconnect(2)
    scene.says()
    scene.arrive(scene.send(2))  # on the next one
    scene.says()
    scene = delivered()
    scene.send(0, ago=1)
    scene.reconnect(0)
    scene.says("lost")  # stream management has no tail
    scene = delivered()
    scene.send(2, ago=judge.TAIL + 5)
    scene.reconnect(2)
    scene.says("lost")  # nothing takes so long


def test_a_hole_in_front_of_what_arrived():
    scene = delivered()
    scene.send(2, ago=1)
    scene.arrive(scene.send(2, ago=1))
    scene.reconnect(2)
    scene.says("lost")


def test_an_error_that_went_to_a_dead_connection():
    def hole(allows, bounce_ago):
        scene = delivered(allows)
        scene.send(2, ago=14)
        scene.arrive(scene.send(2, ago=3))
        scene.reconnect(2)
        if bounce_ago:
            scene.bounce(scene.send(0, ago=bounce_ago))
        return scene
    hole(STORE_AWAY, 15).says()
    assert hole(STORE_AWAY, 15).numbers()["unheard"] == 1
    hole(STORE_AWAY, 0).says("lost")    # nobody heard of an outage
    hole(STORE_AWAY, 40).says("lost")   # it was another one
    hole(STALLS, 15).says("lost", "every store was there")


def test_twice_without_stream_management():
    scene = delivered()
    ident = scene.arrive(scene.send(2))
    scene.arrive(ident)
    scene.says("twice")  # its connection is the same
    scene = delivered()
    scene.reconnect(3)
    ident = scene.arrive(scene.send(2))
    scene.arrive(ident)
    scene.says("twice")  # it has reconnected, but before that
    scene = delivered()
    ident = scene.arrive(scene.send(2))
    scene.reconnect(3)
    scene.arrive(ident)
    scene.says()
    scene.arrive(ident, stanza_id="2")
    scene.says("twice")


def test_twice_with_stream_management():
    scene = delivered(QUEUES_GONE)
    ident = scene.arrive(scene.send(0))
    scene.reconnect(1)  # resumed
    scene.arrive(ident)
    scene.says("twice")
    scene = delivered(QUEUES_GONE)
    ident = scene.arrive(scene.send(0))
    scene.on_failed_resume(scene.users[0], "3")  # its sender's
    scene.arrive(ident)
    scene.says("twice")
    scene = delivered(QUEUES_GONE)
    scene.on_failed_resume(scene.users[1], "3")
    ident = scene.arrive(scene.send(0))
    scene.arrive(ident)
    scene.says("twice")  # since then it lost nothing
    scene = delivered(QUEUES_GONE)
    ident = scene.arrive(scene.send(0))
    scene.on_failed_resume(scene.users[1], "3")
    scene.arrive(ident)
    scene.says()
    scene.arrive(ident, stanza_id="2")
    scene.says("twice")


def test_blind():
    scene = delivered(QUEUES_GONE)
    scene.on_failed_resume(scene.users[1], None)
    scene.says("did not say what had been handled")
    allows = QUEUES_GONE | Allowance(blind=True)
    scene = delivered(allows)
    ident = scene.arrive(scene.send(0))
    scene.on_failed_resume(scene.users[0], None)
    scene.arrive(ident, stanza_id="2")
    scene.says()
    scene.arrive(scene.arrive(scene.send(0)), stanza_id="2")
    scene.says("twice")  # sent since
    scene = delivered(allows)
    ident = scene.arrive(scene.send(2))
    scene.on_failed_resume(scene.users[0], None)  # of another pair
    scene.arrive(ident, stanza_id="2")
    scene.says("twice")
    assert scene.numbers()["blind"] == 1


def test_sessions_that_end():
    scene = delivered(STORE_AWAY)
    scene.on_failed_resume(scene.users[1], "3")
    scene.says("found no session")
    scene = delivered(QUEUES_GONE)
    scene.on_failed_resume(scene.users[1], "3")
    scene.says()


def test_resumes_that_fail_otherwise():
    scene = delivered(STORE_AWAY | QUEUES_GONE)
    scene.on_not_now(scene.users[0], "unexpected-request")
    scene.says("resumes failed: unexpected-request 1")
    scene = delivered(Allowance(not_now=frozenset({"unexpected-request"})))
    scene.on_not_now(scene.users[0], "unexpected-request")
    scene.says()


def test_refusals():
    temporary = AssertionError("b'<failure><temporary-auth-failure/></failure>'")
    scene = delivered(DRAINS)
    scene.on_refusal(scene.users[0], temporary)
    scene.says("logins were refused")
    scene = delivered(STALLS)
    scene.on_refusal(scene.users[0], temporary)
    scene.on_refusal(scene.users[0], AssertionError("bind: internal-server-error"))
    scene.says()
    for error in (AssertionError("b'<failure><not-authorized/></failure>'"), AssertionError("wrong server signature"), AssertionError("bind: conflict"),
                  AckTooHigh("h=7 after 3, sent 5")):
        scene = delivered(STALLS)
        scene.on_refusal(scene.users[0], error)
        scene.says(str(error))


def test_stream_errors():
    for condition, allows in (("system-shutdown", DRAINS), ("conflict", STALLS), ("internal-server-error", STORE_AWAY)):
        scene = delivered(allows)
        scene.on_stream_error(scene.users[0], condition)
        scene.says()
        scene = delivered()
        scene.on_stream_error(scene.users[0], condition)
        scene.says(f"streams ended: {condition} 1")
    scene = delivered(STALLS | DRAINS)
    scene.on_stream_error(scene.users[0], "not-authorized")
    scene.on_stream_error(scene.users[0], "reset")
    scene.says("streams ended: not-authorized 1, reset 1")


def test_gaps():
    scene = delivered()
    scene.gaps = [0.5] * 98 + [5.5] * 2
    os.environ["STARLING_SLOWNESS"] = "1"
    scene.says("back only after 5.5 s", max_gap=5)
    os.environ["STARLING_SLOWNESS"] = "2"
    scene.says(max_gap=5)
    del os.environ["STARLING_SLOWNESS"]


def test_longest_delay():
    scene = delivered()
    assert scene.longest_delay(0) < 1
    ident = scene.send(0, ago=4)
    assert 3.9 < scene.longest_delay(time.monotonic() - 5) < 5
    assert scene.longest_delay(time.monotonic() - 3) < 1
    assert scene.longest_delay(0, among={2, 3}) < 1 and scene.longest_delay(0, among={0, 1}) > 3.9
    scene.arrive(ident)
    assert 3.9 < scene.longest_delay(0) < 5


def test_too_little_was_sent():
    scene = delivered()
    scene.rate = 100
    scene.says()
    scene.begin()
    scene.says("only 0 messages were sent")


if __name__ == "__main__":
    sys.exit(0 if run(sys.modules[__name__]) else 1)
