#!/usr/bin/python3
"""A slixmpp client with stream management that reads numbered messages; when its edge dies it resumes on the other one. Every number must
come exactly once and in order.
usage: slix_resume.py USER COUNT PORT1 PORT2 CA-FILE"""
import asyncio
import logging
import sys

import slixmpp

USER, COUNT, PORTS, CA = sys.argv[1], int(sys.argv[2]), [int(p) for p in sys.argv[3:5]], sys.argv[5]
logging.disable(logging.CRITICAL)


class Client(slixmpp.ClientXMPP):
    def __init__(self):
        super().__init__(f"{USER}@localhost", "secret")
        self.ca_certs = CA
        self.register_plugin("xep_0198")
        self.attempt = 0
        self.got, self.done = [], asyncio.Event()
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("session_resumed", lambda _: print("resumed", flush=True))
        self.add_event_handler("sm_failed", lambda _: print("failed", flush=True))
        self.add_event_handler("disconnected", self.on_disconnected)
        self.add_event_handler("message", self.on_message)
        self.connect(("127.0.0.1", PORTS[0]))

    def on_start(self, _):
        self.send_presence()
        print("ready", flush=True)

    def on_disconnected(self, _):
        if not self.done.is_set():
            self.attempt += 1
            asyncio.get_event_loop().call_later(0.3, self.connect, ("127.0.0.1", PORTS[self.attempt % 2]))

    def on_message(self, message):
        self.got.append(message["body"])
        if len(self.got) >= COUNT:
            self.done.set()


async def main():
    client = Client()
    try:
        await asyncio.wait_for(client.done.wait(), 60)
        await asyncio.sleep(1)
    except asyncio.TimeoutError:
        pass
    wanted = [str(i) for i in range(COUNT)]
    assert client.got == wanted, f"{len(client.got)} messages; missing {sorted(set(wanted) - set(client.got), key=int)[:5]}; {client.got[-5:]}"
    client.done.set()
    await client.disconnect(wait=1)

asyncio.get_event_loop().run_until_complete(main())
