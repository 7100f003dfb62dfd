#!/usr/bin/python3
"""Two slixmpp clients on different edges: chat both ways, then one goes offline and finds its message at the next login.
usage: slix_chat.py USER1 USER2 PORT1 PORT2 CA-FILE"""
import asyncio
import logging
import sys

import slixmpp

A, B, PORT1, PORT2, CA = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
logging.disable(logging.CRITICAL)


class Client(slixmpp.ClientXMPP):
    def __init__(self, user, port):
        super().__init__(f"{user}@localhost", "secret")
        self.ca_certs = CA
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self.register_plugin("xep_0203")
        self.online, self.gone, self.messages = asyncio.Event(), asyncio.Event(), asyncio.Queue()
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("disconnected", lambda _: self.gone.set())
        self.add_event_handler("message", self.messages.put_nowait)
        self.connect(("127.0.0.1", port))

    def on_start(self, _):
        self.send_presence()
        self.online.set()

    async def text(self):
        return (await asyncio.wait_for(self.messages.get(), 10))["body"]


async def main():
    a, b = Client(A, PORT1), Client(B, PORT2)
    await asyncio.wait_for(asyncio.gather(a.online.wait(), b.online.wait()), 20)
    for i in range(20):
        a.send_message(f"{B}@localhost", f"to b {i}", mtype="chat")
        b.send_message(f"{A}@localhost", f"to a {i}", mtype="chat")
    for i in range(20):
        assert await b.text() == f"to b {i}"
        assert await a.text() == f"to a {i}"
    await a["xep_0199"].ping("localhost", timeout=5)
    info = await a["xep_0030"].get_info("localhost")
    assert "urn:xmpp:ping" in info["disco_info"]["features"]
    await b.disconnect(wait=1)
    await asyncio.wait_for(b.gone.wait(), 10)
    await asyncio.sleep(0.5)
    a.send_message(f"{B}@localhost", "while you were away", mtype="chat")
    await asyncio.sleep(0.5)
    b = Client(B, PORT1)
    message = await asyncio.wait_for(b.messages.get(), 20)
    assert message["body"] == "while you were away" and message["delay"]["stamp"]
    await asyncio.gather(a.disconnect(wait=1), b.disconnect(wait=1))

asyncio.get_event_loop().run_until_complete(main())
