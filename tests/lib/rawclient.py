"""A raw XMPP client for tests: sends what it is told to the byte, reads elements, knows TLS, SASL PLAIN and SCRAM (with and without channel
binding), stream management, and nothing else. Own code, so that it shares no misunderstanding with a library."""
import asyncio
import base64
import collections
import hashlib
import hmac
import os
import ssl
import struct
import xml.etree.ElementTree as ET

STREAM = "http://etherx.jabber.org/streams"
CLIENT = "jabber:client"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
STREAMS = "urn:ietf:params:xml:ns:xmpp-streams"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
SM = "urn:xmpp:sm:3"
CSI = "urn:xmpp:csi:0"
STANZA_TAGS = tuple(f"{{{CLIENT}}}{name}" for name in ("message", "presence", "iq"))


def tls_context(alpn="xmpp-client", maximum=None, ciphers=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols([alpn])
    if maximum:
        context.maximum_version = maximum
    if ciphers:
        context.set_ciphers(ciphers)
    return context


class Closed(Exception):
    """The stream or the connection ended."""


class StreamError(Closed):
    def __init__(self, condition, element):
        super().__init__(condition)
        self.condition, self.element = condition, element


class AckTooHigh(Exception):
    """The server acknowledged what was never sent, or took an acknowledgement back."""


class StreamManagement:
    """What a session remembers from one connection to the next (XEP-0198): counters modulo 2^32, and what the server has not acknowledged."""

    def __init__(self, jid):
        self.jid, self.ident, self.maximum = jid, None, None
        self.is_counting = False              # from <enabled/> on
        self.handled = self.sent = self.acked = 0
        self.unacked = collections.deque()    # texts, the oldest first

    def on_sent(self, text):
        self.sent = (self.sent + 1) % 2**32
        self.unacked.append(text)

    def on_ack(self, h):
        """Returns the texts that are acknowledged by this."""
        count = (h - self.acked) % 2**32
        if count > len(self.unacked):
            raise AckTooHigh(f"h={h} after {self.acked}, sent {self.sent}")
        self.acked = h
        return [self.unacked.popleft() for _ in range(count)]


async def end_tasks(*tasks):
    """Until each has ended: wait_for of Python 3.11 swallows a cancellation when something arrives in the same moment."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=1)
    await asyncio.gather(*tasks, return_exceptions=True)


class RawClient:
    def __init__(self, port, host="127.0.0.1", domain="localhost", direct=False, source=None):
        self.port, self.host, self.domain, self.direct, self.source = port, host, domain, direct, source
        self.reader = self.writer = self.parser = None
        self.early = b""
        self.root = None
        self.depth = 0
        self.pending = []
        self.features = None
        self.jid = None
        self.header = None
        self.received = b""
        self.is_authenticated = False        # and the features after it are read
        self.sm = None
        self.answers_requests = True         # <r/> gets its <a/> from get()
        self.requests = 0                    # <r/> seen
        self.acks = []                       # h of every <a/> seen
        self.on_acked = lambda texts: None   # called with what an <a/> covers

    async def connect(self, context=None):
        kwargs = {"local_addr": (self.source, 0)} if self.source else {}
        if self.direct:
            kwargs.update(ssl=context or tls_context(), server_hostname=self.domain)
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port, **kwargs)
        return self

    def send(self, data):
        """With stream management a stanza has a call of its own: it is counted and kept until it is acknowledged."""
        if self.sm and isinstance(data, str) and data.startswith(("<message", "<presence", "<iq")):
            self.sm.on_sent(data)
        self.writer.write(data.encode() if isinstance(data, str) else data)

    def open_text(self, **attrs):
        values = {"to": self.domain, "version": "1.0", **attrs}
        extra = "".join(f" {k.replace('_', ':')}='{v}'" for k, v in values.items() if v is not None)
        return f"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{STREAM}'{extra}>"

    def restart(self):
        self.parser, self.root, self.depth, self.pending, self.header = ET.XMLPullParser(["start", "end"]), None, 0, [], None
        self.early = b""  # of the stream that comes

    async def open(self, **attrs):
        """Sends a header, returns the stream features."""
        early = self.early
        self.restart()
        self._feed(early)
        self.send(self.open_text(**attrs))
        self.features = await self.get()
        return self.features

    async def _fill(self, timeout):
        data = await asyncio.wait_for(self.reader.read(65536), timeout)
        if not data:
            raise Closed("connection closed")
        self.received += data if len(self.received) < 1 << 20 else b""
        self._feed(data)

    def _feed(self, data):
        if self.header is not None and b"<?xml" in data:
            # A server that leaves between <success/> and the next header of its client opens the next stream itself, to say why.
            start = data.index(b"<?xml")
            data, self.early = data[:start], data[start:]
        self.parser.feed(data)
        for event, element in self.parser.read_events():
            if event == "start":
                self.depth += 1
                if self.depth == 1:
                    self.root, self.header = element, dict(element.attrib)
            else:
                self.depth -= 1
                if self.depth == 1:
                    self.pending.append(element)
                    self.root.remove(element)
                elif self.depth == 0:
                    self.pending.append(None)

    async def get(self, timeout=10):
        """The next element at stream level. A stream error or the end of the stream raises. <r/> and <a/> of stream management are
        worked off here; a stanza counts as handled when it is returned."""
        while True:
            element = await self._next(timeout)
            if not self.sm or not self._manage(element):
                return element

    def _manage(self, element):
        if element.tag == f"{{{SM}}}r":
            self.requests += 1
            if self.answers_requests:
                self.ack()
            return True
        if element.tag == f"{{{SM}}}a":
            self.acks.append(int(element.get("h")))
            self.on_acked(self.sm.on_ack(self.acks[-1]))
            return True
        if element.tag == f"{{{SM}}}enabled":
            self.sm.is_counting = True
        elif element.tag in STANZA_TAGS and self.sm.is_counting:
            self.sm.handled = (self.sm.handled + 1) % 2**32
        return False

    async def _next(self, timeout):
        while not self.pending:
            try:
                await self._fill(timeout)
            except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError) as exc:
                raise Closed(str(exc)) from exc
        element = self.pending.pop(0)
        if element is None:
            raise Closed("stream closed")
        if element.tag == f"{{{STREAM}}}error":
            raise StreamError(next(c.tag.split("}")[1] for c in element if c.tag.startswith("{" + STREAMS)), element)
        return element

    async def get_where(self, accept, timeout=10):
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            element = await self.get(max(0.01, deadline - asyncio.get_running_loop().time()))
            if accept(element):
                return element

    async def expect_error(self, condition, timeout=10):
        """The stream must die with this condition (or one of them), and the connection must close."""
        wanted = (condition,) if isinstance(condition, str) else condition
        try:
            while True:
                await self.get(timeout)
        except StreamError as error:
            assert error.condition in wanted, f"stream error {error.condition}, wanted {wanted}"
        await self.expect_closed(timeout)

    async def expect_closed(self, timeout=10):
        try:
            while True:
                if not await asyncio.wait_for(self.reader.read(65536), timeout):
                    return
        except (ConnectionError, ssl.SSLError):
            return

    async def start_tls(self, context=None):
        self.send(f"<starttls xmlns='{TLS}'/>")
        element = await self.get()
        assert element.tag == f"{{{TLS}}}proceed", element.tag
        await self.writer.start_tls(context or tls_context(None), server_hostname=self.domain)

    async def secure(self, context=None):
        """Header, STARTTLS if needed, header again: ready for SASL."""
        await self.connect(context)
        if not self.direct:
            await self.open()
            await self.start_tls(context)
        await self.open()
        return self

    def mechanisms(self):
        return [m.text for m in self.features.iter(f"{{{SASL}}}mechanism")]

    def end_point_binding(self):
        """tls-server-end-point (RFC 5929): hash of the server's certificate; our test certificates are signed with SHA-256."""
        return hashlib.sha256(self.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)).digest()

    async def plain(self, user, password, authzid=""):
        data = base64.b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()
        self.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{data}</auth>")
        return await self.get(20)

    async def scram(self, user, password, mechanism="SCRAM-SHA-256", gs2=None, binding=b"", tamper=lambda text: text):
        """Returns the last element (success or failure). Checks the server's signature."""
        name = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}[mechanism.removesuffix("-PLUS")]
        if gs2 is None:
            gs2 = "p=tls-server-end-point,," if mechanism.endswith("-PLUS") else "n,,"
        if gs2.startswith("p=tls-server-end-point") and not binding:
            binding = self.end_point_binding()
        nonce = base64.b64encode(os.urandom(18)).decode()
        first_bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        self.send(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{base64.b64encode((gs2 + first_bare).encode()).decode()}</auth>")
        element = await self.get(20)
        if not element.tag.endswith("}challenge"):
            return element
        first = base64.b64decode(element.text).decode()
        fields = dict(part.split("=", 1) for part in first.split(","))
        self.challenge = fields
        assert fields["r"].startswith(nonce) and len(fields["r"]) > len(nonce) + 15
        salted = hashlib.pbkdf2_hmac(name, password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", name)
        without_proof = f"c={base64.b64encode(gs2.encode() + binding).decode()},r={fields['r']}"
        auth_message = f"{first_bare},{first},{without_proof}".encode()
        signature = hmac.digest(hashlib.new(name, client_key).digest(), auth_message, name)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        final = tamper(f"{without_proof},p={base64.b64encode(proof).decode()}")
        self.send(f"<response xmlns='{SASL}'>{base64.b64encode(final.encode()).decode()}</response>")
        element = await self.get(20)
        if element.tag.endswith("}success"):
            server_key = hmac.digest(salted, b"Server Key", name)
            expected = hmac.digest(server_key, auth_message, name)
            assert base64.b64decode(base64.b64decode(element.text).decode().removeprefix("v=")) == expected, "wrong server signature"
        return element

    async def bind(self, resource=None):
        if not self.is_authenticated:
            await self.open()
        wanted = f"<resource>{resource}</resource>" if resource else ""
        self.send(f"<iq type='set' id='bind'><bind xmlns='{BIND}'>{wanted}</bind></iq>")
        result = await self.get_where(lambda e: e.get("id") == "bind", 20)
        if result.get("type") == "result":
            self.jid = result.findtext(f".//{{{BIND}}}jid")
        return result

    async def login(self, user, password="secret", resource=None, mechanism="SCRAM-SHA-1", available=True):
        await self.secure()
        if mechanism == "PLAIN":
            element = await self.plain(user, password)
        else:
            element = await self.scram(user, password, mechanism)
        assert element.tag.endswith("}success"), ET.tostring(element)
        result = await self.bind(resource)
        assert self.jid, ET.tostring(result)
        if available:
            self.send("<presence/>")
            await self.get_where(lambda e: e.tag == f"{{{CLIENT}}}presence" and e.get("from") == self.jid)
        return self

    async def authenticate(self, user, password="secret", mechanism="SCRAM-SHA-1"):
        """Ready for bind or resume. The features are those after authentication."""
        await self.secure()
        element = await self.scram(user, password, mechanism)
        assert element.tag.endswith("}success"), ET.tostring(element)
        await self.open()
        self.is_authenticated = True
        return self

    async def enable(self, resume=True, extra=""):
        """Returns <enabled/> or <failed/>. What comes before it is dropped: ask before the first presence."""
        wanted = " resume='true'" if resume else ""
        self.sm = StreamManagement(self.jid)
        self.send(f"<enable xmlns='{SM}'{wanted}{extra}/>")
        element = await self.get_where(lambda e: e.tag in (f"{{{SM}}}enabled", f"{{{SM}}}failed"))
        if element.tag == f"{{{SM}}}failed":
            self.sm = None
        else:
            self.sm.ident, self.sm.maximum = element.get("id"), element.get("max")
        return element

    async def login_managed(self, user, password="secret", resource=None, available=True, resume=True):
        await self.login(user, password, resource, available=False)
        element = await self.enable(resume)
        assert element.tag == f"{{{SM}}}enabled", ET.tostring(element)
        if available:
            self.send("<presence/>")
            await self.get_where(lambda e: e.tag == f"{{{CLIENT}}}presence" and e.get("from") == self.jid)
        return self

    async def resume(self, sm, h=None, timeout=20):
        """On an authenticated stream. Returns <resumed/>, with what the server had not got sent again, or <failed/>, with what it had got
        taken from `sm.unacked` if it says so."""
        self.send(f"<resume xmlns='{SM}' previd='{sm.ident}' h='{sm.handled if h is None else h}'/>")
        element = await self.get_where(lambda e: e.tag in (f"{{{SM}}}resumed", f"{{{SM}}}failed"), timeout)
        if element.get("h") is not None:
            self.on_acked(sm.on_ack(int(element.get("h"))))
        if element.tag == f"{{{SM}}}resumed":
            self.sm, self.jid = sm, sm.jid
            for text in sm.unacked:
                self.writer.write(text.encode())
        return element

    def ack(self, h=None):
        self.send(f"<a xmlns='{SM}' h='{self.sm.handled if h is None else h}'/>")

    def request(self):
        self.send(f"<r xmlns='{SM}'/>")

    async def iq(self, kind, payload, to=None, ident=None, timeout=10):
        ident = ident or os.urandom(6).hex()
        address = f" to='{to}'" if to else ""
        self.send(f"<iq type='{kind}' id='{ident}'{address}>{payload}</iq>")
        return await self.get_where(lambda e: e.tag == f"{{{CLIENT}}}iq" and e.get("id") == ident, timeout)

    def message(self, to, body, ident=None, kind="chat", extra=""):
        ident = f" id='{ident}'" if ident else ""
        self.send(f"<message to='{to}' type='{kind}'{ident}><body>{body}</body>{extra}</message>")

    async def close(self):
        if not self.writer:
            return
        try:
            self.send("</stream:stream>")
            await self.expect_closed(5)
        except (Closed, ConnectionError, asyncio.TimeoutError, OSError):
            pass
        self.writer.close()

    def abort(self, reset=False):
        if reset:
            self.writer.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: RST
        self.writer.transport.abort()


def body(element):
    return element.findtext(f"{{{CLIENT}}}body")


def condition(element):
    """The stanza error condition, or None."""
    error = element.find(f"{{{CLIENT}}}error")
    return None if error is None else next(c.tag.split("}")[1] for c in error if c.tag.startswith("{" + STANZAS))


def sm_condition(element):
    """The stanza error condition in <failed/>, or None."""
    return element[0].tag.split("}")[1] if element.tag == f"{{{SM}}}failed" and len(element) else None


def sasl_condition(element):
    return element[0].tag.split("}")[1] if element.tag.endswith("}failure") else None
