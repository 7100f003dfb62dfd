#!/usr/bin/python3
"""A slixmpp client with stream management that reads the numbers 0, 1, 2, ... up to COUNT, or, with 0, to the one that "end NUMBER" names; when its
connection is lost or silent it resumes on the next port. Every number must come exactly once and in order, and every resume succeed.
usage: slix.py USER COUNT CA-FILE PORT..."""
import asyncio
import logging
import sys

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout

USER, COUNT, CA, PORTS = sys.argv[1], int(sys.argv[2]), sys.argv[3], [int(p) for p in sys.argv[4:]]
logging.disable(logging.CRITICAL)


class Client(slixmpp.ClientXMPP):
    def __init__(self):
        super().__init__(f"{USER}@localhost", "secret")
        self.ca_certs = CA
        self.register_plugin("xep_0198")
        self.register_plugin("xep_0199")
        self.attempt = 0
        self.is_online = False
        self.got, self.count, self.failed, self.done = [], COUNT, 0, asyncio.Event()
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("session_resumed", self.on_resumed)
        self.add_event_handler("sm_failed", self.on_failed)
        self.add_event_handler("disconnected", self.on_disconnected)
        self.add_event_handler("connection_failed", self.on_disconnected)
        self.add_event_handler("message", self.on_message)
        self.go()

    def go(self):
        self.connect(("127.0.0.1", PORTS[self.attempt % len(PORTS)]))

    def on_start(self, _):
        self.is_online = True
        self.send_presence()
        print("ready", flush=True)

    def on_resumed(self, _):
        self.is_online = True
        print("resumed", flush=True)

    def on_failed(self, _):
        self.failed += 1

    def on_disconnected(self, _):
        self.is_online = False
        if not self.done.is_set():
            self.attempt += 1
            asyncio.get_event_loop().call_later(0.3, self.go)

    def on_message(self, message):
        if message["body"].startswith("end "):
            self.count = int(message["body"].split()[1])
            self.done.set()
            return
        self.got.append(message["body"])
        if len(self.got) >= self.count > 0:
            self.done.set()

    async def watch(self):
        """The library does not notice a silent server soon enough by itself."""
        silent = 0
        while not self.done.is_set():
            await asyncio.sleep(2)
            silent += 1
            if self.is_online:
                try:
                    await self["xep_0199"].send_ping("localhost", timeout=4)
                    silent = 0
                    continue
                except IqError:
                    silent = 0
                    continue
                except IqTimeout:
                    pass
                self.is_online = False
                self.abort()
            elif silent > 5 and self.transport is not None:  # a handshake that hangs
                silent = 0
                self.abort()


async def main():
    client = Client()
    watch = asyncio.ensure_future(client.watch())
    await client.done.wait()
    await asyncio.sleep(1)
    watch.cancel()
    wanted = [str(i) for i in range(client.count)]
    assert not client.failed, f"{client.failed} resumes failed"
    assert client.got == wanted, f"{len(client.got)} messages of {client.count}; missing {sorted(set(wanted) - set(client.got), key=int)[:5]}; {client.got[-5:]}"
    print(f"{len(client.got)} messages", flush=True)
    await client.disconnect(wait=1)

asyncio.get_event_loop().run_until_complete(main())
