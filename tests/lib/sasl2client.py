"""The raw client with the extensible SASL profile (XEP-0388): SCRAM, PLAIN and hashed tokens (XEP-0484), with anything inside <authenticate/>.
`round_trips` counts how often it waited for the server between the stream header and the last answer."""
import base64
import hashlib
import hmac
import os
import uuid
import xml.etree.ElementTree as ET

from rawclient import CSI, SM, RawClient, StreamManagement

SASL2, BIND2, FAST = "urn:xmpp:sasl:2", "urn:xmpp:bind:0", "urn:xmpp:fast:0"
UPGRADE, SCRAM_UPGRADE, CARBONS = "urn:xmpp:sasl:upgrade:0", "urn:xmpp:scram-upgrade:0", "urn:xmpp:carbons:2"
DIGESTS = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def tag(ns, name):
    return f"{{{ns}}}{name}"


def failure(element):
    """The SASL condition of a failure of this profile, or None."""
    if element.tag != tag(SASL2, "failure"):
        return None
    return next(c.tag.split("}")[1] for c in element if c.tag.startswith("{urn:ietf:params:xml:ns:xmpp-sasl}"))


def bind(text="", name="tests"):
    return f"<bind xmlns='{BIND2}'><tag>{name}</tag>{text}</bind>"


ENABLE_SM = f"<enable xmlns='{SM}' resume='true'/>"
INACTIVE = f"<inactive xmlns='{CSI}'/>"


class Sasl2Client(RawClient):
    def __init__(self, *args, ident=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.ident = ident or str(uuid.uuid4())
        self.round_trips = 0
        self.challenge = {}

    def offered(self):
        return [m.text for m in self.features.findall(f"{tag(SASL2, 'authentication')}/{tag(SASL2, 'mechanism')}")]

    def tokens_offered(self):
        return [m.text for m in self.features.iter(tag(FAST, "mechanism"))]

    def authenticate_text(self, mechanism, data, inline="", agent=True):
        agent = f"<user-agent id='{self.ident}'><software>tests</software></user-agent>" if agent else ""
        first = f"<initial-response>{b64(data)}</initial-response>" if data is not None else ""
        return f"<authenticate xmlns='{SASL2}' mechanism='{mechanism}'>{first}{agent}{inline}</authenticate>"

    async def ask(self, text, timeout=20):
        self.send(text)
        self.round_trips += 1
        return await self.get(timeout)

    def take(self, element):
        """<success/>: who we are, and what stream management begins with."""
        if element.tag == tag(SASL2, "success"):
            self.jid = element.findtext(tag(SASL2, "authorization-identifier"))
            enabled = element.find(f"{tag(BIND2, 'bound')}/{tag(SM, 'enabled')}")
            if enabled is not None:
                self.sm = StreamManagement(self.jid)
                self.sm.ident, self.sm.maximum, self.sm.is_counting = enabled.get("id"), enabled.get("max"), True
        return element

    async def scram2(self, user, password="secret", mechanism="SCRAM-SHA-1", inline="", gs2="n,,", binding=b"", tamper=lambda text: text):
        """Returns the last element. Checks the server's signature, in <success/> or <continue/>."""
        name = DIGESTS[mechanism.removesuffix("-PLUS")]
        nonce = b64(os.urandom(18))
        first_bare = f"n={user},r={nonce}"
        element = await self.ask(self.authenticate_text(mechanism, gs2 + first_bare, inline))
        if element.tag != tag(SASL2, "challenge"):
            return element
        first = base64.b64decode(element.text).decode()
        fields = self.challenge = dict(part.split("=", 1) for part in first.split(","))
        salted = hashlib.pbkdf2_hmac(name, password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", name)
        without_proof = f"c={b64(gs2.encode() + binding)},r={fields['r']}"
        auth_message = f"{first_bare},{first},{without_proof}".encode()
        signature = hmac.digest(hashlib.new(name, client_key).digest(), tamper(auth_message), name)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        element = await self.ask(f"<response xmlns='{SASL2}'>{b64(f'{without_proof},p={b64(proof)}')}</response>")
        if failure(element) is None:
            expected = hmac.digest(hmac.digest(salted, b"Server Key", name), auth_message, name)
            data = base64.b64decode(element.findtext(tag(SASL2, "additional-data"))).decode()
            assert base64.b64decode(data.removeprefix("v=")) == expected, "wrong server signature"
        return self.take(element)

    async def plain2(self, user, password="secret", inline=""):
        return self.take(await self.ask(self.authenticate_text("PLAIN", f"\0{user}\0{password}", inline)))

    def token_binding(self, mechanism):
        return self.end_point_binding() if mechanism.endswith("-ENDP") else b""

    def token_text(self, user, token, mechanism="HT-SHA-256-NONE", inline="", attributes=""):
        proof = hmac.digest(token.encode(), b"Initiator" + self.token_binding(mechanism), "sha256")
        return self.authenticate_text(mechanism, user.encode() + b"\0" + proof, f"<fast xmlns='{FAST}'{attributes}/>{inline}")

    async def token2(self, user, token, mechanism="HT-SHA-256-NONE", inline="", attributes=""):
        """Checks that the server knows the token, too."""
        element = await self.ask(self.token_text(user, token, mechanism, inline, attributes))
        if failure(element) is None:
            expected = hmac.digest(token.encode(), b"Responder" + self.token_binding(mechanism), "sha256")
            assert base64.b64decode(element.findtext(tag(SASL2, "additional-data"))) == expected, "the server does not know the token"
        return self.take(element)

    async def upgrade(self, mechanism, password="secret"):
        """After <continue/>: the task of this mechanism (XEP-0480)."""
        data = await self.ask(f"<next xmlns='{SASL2}' task='UPGR-{mechanism}'/>")
        salt = data.find(tag(SCRAM_UPGRADE, "salt"))
        assert salt is not None, ET.tostring(data)
        salted = hashlib.pbkdf2_hmac(DIGESTS[mechanism], password.encode(), base64.b64decode(salt.text), int(salt.get("iterations")))
        return self.take(await self.ask(f"<task-data xmlns='{SASL2}'><hash xmlns='{SCRAM_UPGRADE}'>{b64(salted)}</hash></task-data>"))


def token_of(element):
    """The token in <success/>, or None."""
    token = element.find(tag(FAST, "token"))
    return None if token is None else token.get("token")


def wish(mechanism="HT-SHA-256-NONE"):
    return f"<request-token xmlns='{FAST}' mechanism='{mechanism}'/>"
