#!/usr/bin/python3
"""Two real clients (slixmpp), one on each edge: romeo greets, juliet answers. Exit code 0 when both texts have arrived.
usage: quickstart-proof.py HOST PORT1 PORT2 PASSWORD-FILE1 PASSWORD-FILE2 CA-FILE"""
import asyncio
import logging
import sys

import slixmpp

HOST, PORT1, PORT2, FILE1, FILE2, CA = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:7]
logging.disable(logging.CRITICAL)


class Client(slixmpp.ClientXMPP):
    def __init__(self, user, password_file, port):
        super().__init__(f"{user}@{HOST}/proof", open(password_file).read().strip())
        self.ca_certs = CA
        self.online, self.texts = asyncio.Event(), asyncio.Queue()
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("message", lambda m: self.texts.put_nowait(m["body"]))
        self.connect(("127.0.0.1", port))

    def on_start(self, _):
        self.send_presence()
        self.online.set()


async def main():
    romeo, juliet = Client("romeo", FILE1, PORT1), Client("juliet", FILE2, PORT2)
    await asyncio.wait_for(asyncio.gather(romeo.online.wait(), juliet.online.wait()), 20)
    romeo.send_message(f"juliet@{HOST}", "good evening", mtype="chat")
    first = await asyncio.wait_for(juliet.texts.get(), 10)
    juliet.send_message(f"romeo@{HOST}", "good morrow", mtype="chat")
    second = await asyncio.wait_for(romeo.texts.get(), 10)
    assert (first, second) == ("good evening", "good morrow"), (first, second)
    print(f"proof: romeo on port {PORT1} -> juliet on port {PORT2}: \"{first}\"; back: \"{second}\"")
    await asyncio.gather(romeo.disconnect(wait=1), juliet.disconnect(wait=1))

try:
    asyncio.get_event_loop().run_until_complete(main())
except (asyncio.TimeoutError, AssertionError) as exc:
    sys.exit(f"proof failed: {type(exc).__name__} {exc}")
