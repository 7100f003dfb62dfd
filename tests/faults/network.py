"""Faults of the network between our processes. The whole run has a network namespace of its own, so only its loopback is touched. Each process has
a group id of its own, by which nftables marks its connections to each bus port, to PostgreSQL and to Redis: any pair can be cut alone,
in one direction or both. A slow line is a proxy, since this needs no module of the kernel."""
import asyncio
import json
import os
import random
import subprocess
import threading

from cluster import free_port

GID = 20000
POSTGRES, REDIS = 200, 210


def nft(text):
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


class Network:
    """`prepare` fits Cluster(prepare=...), `adjust` fits Cluster(adjust=...)."""

    def __init__(self):
        self.ports = {}

    def adjust(self, name, config):
        self.ports[name] = free_port()
        config["bus"]["address"] = f"tcp://127.0.0.1:{self.ports[name]}"

    def prepare(self, cluster):
        self.cluster = cluster
        targets = {}
        for index, node in enumerate(cluster.nodes(), 1):
            self._number(node, index)
            targets[node.number] = self.ports[node.name]
        for i, port in enumerate(getattr(cluster.postgres, "ports", None) or [cluster.postgres.port]):
            targets[POSTGRES + i] = port
        for i, server in enumerate(getattr(cluster.redis, "servers", None) or [cluster.redis]):
            targets[REDIS + i] = server.port
        rules = "".join(f"meta skgid {GID + node.number} tcp dport {port} ct mark set {node.number << 8 | number}\n"
                        for node in cluster.nodes() for number, port in targets.items() if number != node.number)
        # A cluster before this one may have left its table; a packet that is dropped on its way in was sent as far as its sender knows.
        nft("table inet faults {}\ndelete table inet faults\ntable inet faults {\n"
            f"chain marking {{ type filter hook output priority -100; policy accept;\n{rules}}}\n"
            "chain cut { type filter hook input priority 0; policy accept; }\n}\n")

    @staticmethod
    def _number(node, number):
        node.number = number
        node.prefix = ["setpriv", f"--regid={GID + number}", "--clear-groups"]

    def rule(self, match, verdict="drop"):
        nft(f"add rule inet faults cut {match} counter {verdict}\n")

    def heal(self):
        """Everything is connected again; returns how many packets met a rule."""
        out = subprocess.run(["nft", "-j", "list", "chain", "inet", "faults", "cut"], capture_output=True, text=True, check=True)
        nft("flush chain inet faults cut\n")
        return sum(e["counter"]["packets"] for item in json.loads(out.stdout)["nftables"] for e in item.get("rule", {}).get("expr", ())
                   if "counter" in e)

    def pair(self, a, b, verdict="drop", direction="", only="meta l4proto tcp"):
        """Both connections between two processes; with a direction only what goes from a to b."""
        if direction:
            self.rule(f"ct mark {a.number << 8 | b.number} ct direction original", verdict)
            self.rule(f"ct mark {b.number << 8 | a.number} ct direction reply", verdict)
            return
        for x, y in ((a, b), (b, a)):
            self.rule(f"{only} ct mark {x.number << 8 | y.number}", verdict)

    def store(self, node, first, verdict="drop"):
        for number in range(first, first + 10):
            self.rule(f"ct mark {node.number << 8 | number}", verdict)

    def port(self, port):
        """A server is cut off from everybody who reaches it by TCP."""
        self.rule(f"tcp dport {port}")
        self.rule(f"tcp sport {port}")

    @staticmethod
    def tbf(rate):
        what = ["add", "dev", "lo", "root", "tbf", "rate", rate, "burst", "32kbit", "latency", "400ms"] if rate else ["del", "dev", "lo", "root"]
        subprocess.run(["tc", "qdisc", *what], check=True)


RESET = "reject with tcp reset"


class SlowLine(threading.Thread):
    """A TCP proxy that adds a delay to each chunk and lets through so many bytes a second, in each direction. TCP keeps the order of a connection;
    with `jitter`, connections overtake each other."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.target, self.port = port, free_port()
        self.delay = self.jitter = 0.0
        self.bytes_per_second = None
        self.loop = asyncio.new_event_loop()
        self.is_up = threading.Event()
        self.start()
        self.is_up.wait(5)

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self.is_up.set()
        self.loop.run_forever()

    async def _serve(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def _copy(self, reader, writer):
        queue = asyncio.Queue(64)

        async def deliver():
            while (item := await queue.get()) is not None:
                due, data = item
                await asyncio.sleep(max(0, due - self.loop.time()))
                if self.bytes_per_second:
                    await asyncio.sleep(len(data) / self.bytes_per_second)
                writer.write(data)
                await writer.drain()

        task = asyncio.create_task(deliver())
        try:
            while not task.done() and (data := await reader.read(4096)):
                await queue.put((self.loop.time() + self.delay + random.uniform(0, self.jitter), data))
        except OSError:
            pass
        finally:
            await asyncio.gather(asyncio.wait_for(queue.put(None), 5), return_exceptions=True)
            try:
                await asyncio.wait_for(task, 10)
            except (OSError, asyncio.TimeoutError):
                pass
            writer.transport.abort()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join(5)


def have_namespace():
    return os.environ.get("STARLING_FAULTS_NAMESPACE") == "1"
