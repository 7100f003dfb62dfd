#!/usr/bin/python3
"""A component of slixmpp that echoes messages, answers disco and pings, and connects again when it is lost.
usage: slix_component.py DOMAIN SECRET PORT..."""
import asyncio
import logging
import sys

import slixmpp

DOMAIN, SECRET, PORTS = sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]]
logging.disable(logging.CRITICAL)


class Echo(slixmpp.ComponentXMPP):
    def __init__(self):
        super().__init__(DOMAIN, SECRET, "127.0.0.1", PORTS[0])
        self.lost = 0
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self["xep_0030"].add_identity(category="client", itype="bot", name="Echo")
        self.add_event_handler("session_start", lambda _: print("ready", flush=True))
        self.add_event_handler("message", self.on_message)
        self.add_event_handler("disconnected", self.on_lost)

    def on_message(self, message):
        if message["type"] in ("chat", "normal"):
            message.reply(f"echo {message['body']}").send()

    def on_lost(self, _):
        self.lost += 1
        asyncio.get_event_loop().call_later(0.3, lambda: self.connect("127.0.0.1", PORTS[self.lost % len(PORTS)]))


echo = Echo()
echo.connect()
asyncio.get_event_loop().run_forever()
