"""A real Starling cluster for tests: private PostgreSQL and Redis, edges, routers, archive-svcs, each its own process, supervised
(a process that dies is started again, as an orchestrator would) and easy to kill, stop, or partition.

    with Cluster(edges=2, routers=2, archives=1) as c:
        c.add_account("romeo", "secret")
        c.edges[0].c2s, c.edges[0].direct      # ports
        c.routers[0].kill()                    # kill -9; comes back by itself
"""
import atexit
import hmac
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("STARLING_BUILD", os.path.join(ROOT, "build", "asan"))
PG_BIN = os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin")
HOST = "localhost"
_used_ports = set()
# Suites come from one address, write to people who are no contacts, and guess passwords: what would stop them is lifted in every cluster
# of tests, the load generator's and the fault suite's included. tests/scenarios/limits.py sets limits of its own.
LIFTED_LIMITS = {
    "limits": {"stanzas_per_second": 0, "bytes_per_second": 0, "strangers_per_hour": 0, "offline_max_messages": 0, "offline_max_bytes": 0,
               "registrations_per_address": 0, "failed_logins_per_address": 0, "failed_logins_per_account": 0, "failed_logins_per_pair": 0},
    "register": {"per_hour": 1000000000},
}


def free_port():
    """A loopback port nobody listens on, never given twice by this process. Taken below the ephemeral range, so that no
    client connection of another test can be using it."""
    import random
    chooser = random.Random(os.urandom(8))
    while True:
        port = chooser.randrange(12000, 30000)
        if port in _used_ports:
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        _used_ports.add(port)
        return port


def as_user(name):
    """Arguments that run a command as `name`: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups"]


class Postgres:
    """`port`: on loopback, too. `copy_of`: a standby of that one. `settings`: more lines of postgresql.conf."""

    def __init__(self, folder, name="pg", port=None, copy_of=None, settings=""):
        self.folder, self.name, self.port, self.socket = folder, name, port, os.path.join(folder, "run")
        self.data, self.log = os.path.join(folder, name), os.path.join(folder, f"{os.path.basename(name)}.log")  # not on a disk of its own, which may be full
        os.makedirs(self.socket, exist_ok=True)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.socket, user.pw_uid, user.pw_gid)
            os.chown(folder, user.pw_uid, user.pw_gid)
        os.chmod(self.socket, 0o777)
        if copy_of:
            self._run("pg_basebackup", "-D", self.data, "-h", "127.0.0.1", "-p", str(copy_of.port), "-U", "postgres", "-X", "stream", "-c", "fast")
        else:
            self._run("initdb", "-D", self.data, "-A", "trust", "-N", "-U", "postgres")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as conf:
            conf.write(f"listen_addresses='{'127.0.0.1' if port else ''}'\nunix_socket_directories='{self.socket}'\nmax_connections=60\n"
                       "shared_buffers=64MB\nlogging_collector=off\nlog_min_messages=fatal\n" + (f"port={port}\n" if port else "") + settings)
        if copy_of:
            self._run("touch", os.path.join(self.data, "standby.signal"))
        self.start()

    def _run(self, *args, check=True):
        program = os.path.join(PG_BIN, args[0])
        command = as_user("postgres") + [program if os.path.exists(program) else args[0], *args[1:]]
        return subprocess.run(command, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    def start(self):
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "30", "-l", self.log, "start")

    def stop(self, mode="immediate"):
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop", check=False)

    stop_primary = stop

    def restart(self, mode="immediate"):
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "30", "-l", self.log, "restart")

    def conninfo(self, user):
        where = f"host=127.0.0.1 port={self.port}" if self.port else f"host={self.socket}"
        return f"{where} user={user} dbname=postgres"

    def query(self, sql):
        port = ["-p", str(self.port)] if self.port else []
        out = subprocess.run(["psql", "-qAtX", "-h", self.socket, *port, "-U", "postgres", "-d", "postgres", "-c", sql],
                             check=True, capture_output=True, text=True)
        return out.stdout.strip()

    def pids(self):
        """Of the postmaster and of its children."""
        with open(os.path.join(self.data, "postmaster.pid")) as file:
            postmaster = int(file.readline())
        with open(f"/proc/{postmaster}/task/{postmaster}/children") as file:
            return [postmaster] + [int(pid) for pid in file.read().split()]

    def kill(self):
        """kill -9 of everything, as when the power goes."""
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for name in (os.path.join(self.data, "postmaster.pid"), os.path.join(self.socket, f".s.PGSQL.{self.port or 5432}.lock")):
            if os.path.exists(name):
                os.remove(name)


class Redis:
    """`port`: on loopback, too. `options`: more of the server's command line."""

    def __init__(self, folder, name="redis", port=0, options=()):
        self.folder, self.socket, self.port, self.options = folder, os.path.join(folder, f"{name}.sock"), port, list(options)
        self.process = None
        self.start()

    def config(self):
        """The section "redis" of our processes."""
        return {"address": f"tcp:127.0.0.1:{self.port}" if self.port else f"unix:{self.socket}"}

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.socket, "--save", "", "--appendonly", "no",
             "--dir", self.folder, "--enable-debug-command", "local", *self.options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.time() + 10
        while time.time() < deadline:
            if self.command("PING") == "PONG":
                return
            time.sleep(0.05)
        raise RuntimeError("redis-server did not start")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def restart(self):
        self.stop()
        self.start()

    def command(self, *args):
        out = subprocess.run(["redis-cli", "-s", self.socket, *args], capture_output=True, text=True)
        return out.stdout.strip()


class Node:
    """One process of ours, restarted when it dies unless told otherwise."""

    def __init__(self, cluster, program, name, config, env=None):
        self.cluster, self.program, self.name, self.env = cluster, program, name, dict(env or {})
        self.http = config["http"]["port"]
        self.path = os.path.join(cluster.folder, f"{name}.yaml")
        self.log = os.path.join(cluster.folder, f"{name}.log")
        with open(self.path, "w") as out:
            out.write(to_yaml(config))
        self.process, self.supervised, self.deaths = None, True, 0
        self.build, self.prefix = cluster.build, []  # where its program comes from; a command that starts it, such as prlimit
        self.restart_delay = 0.2
        self.exit_codes = []

    def start(self):
        environment = dict(os.environ, ASAN_OPTIONS="abort_on_error=0:detect_leaks=1:exitcode=99:quarantine_size_mb=8", UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1",
                           **self.env)
        environment.setdefault("LSAN_OPTIONS", "report_objects=1")
        self.process = subprocess.Popen([*self.prefix, os.path.join(self.build, "bin", self.program), "--config", self.path, "--node", self.name],
                                        stdout=open(self.log, "ab"), stderr=subprocess.STDOUT, env=environment)
        self.supervised = True

    def pid(self):
        return self.process.pid

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def wait_ready(self, seconds=30):
        deadline = time.time() + seconds
        while time.time() < deadline:
            if self.is_ready():
                return
            if self.process.poll() is not None and not self.supervised:
                break
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} is not ready:\n{self.tail()}")

    def tail(self, lines=30):
        try:
            with open(self.log, errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except OSError:
            return ""

    def kill(self, restart=True):
        """kill -9."""
        self.supervised = restart
        self.process.kill()

    def freeze(self, seconds):
        """SIGSTOP for a while."""
        os.kill(self.pid(), signal.SIGSTOP)
        threading.Timer(seconds, lambda: os.kill(self.pid(), signal.SIGCONT)).start()

    def terminate(self, seconds=40):
        """SIGTERM: drains; returns the exit code."""
        self.supervised = False
        self.process.terminate()
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.exit_codes.append(code)
        return code

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=5) as answer:
            values = {}
            for line in answer.read().decode().splitlines():
                if line and not line.startswith("#"):
                    key, _, value = line.rpartition(" ")
                    values[key] = float(value)
            return values

    def rss_kib(self):
        with open(f"/proc/{self.pid()}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid()}/fd"))


def to_yaml(value, indent=0):
    """The little YAML we need: mappings, lists of mappings, scalars."""
    pad, out = "  " * indent, ""
    for key, item in value.items():
        if isinstance(item, dict):
            out += f"{pad}{key}:\n{to_yaml(item, indent + 1)}" if item else ""
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            out += f"{pad}{key}:\n"
            for entry in item:
                body = to_yaml(entry, indent + 2)
                out += f"{pad}  - {body.lstrip()}"
        elif isinstance(item, list):
            out += f"{pad}{key}: [{', '.join(json.dumps(x) for x in item)}]\n"
        else:
            out += f"{pad}{key}: {json.dumps(item)}\n"
    return out


def merge(base, extra):
    out = dict(base)
    for key, value in (extra or {}).items():
        out[key] = merge(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


class Cluster:
    """`stores`: makes PostgreSQL and Redis in the folder it is given. `adjust`: changes the configuration of the node it is given.
    `prepare`: called with the cluster before its nodes start."""

    def __init__(self, edges=2, routers=2, archives=1, config=None, hosts=None, env=None, keep=None, stores=None, adjust=None, prepare=None,
                 build=None):
        self.folder = tempfile.mkdtemp(prefix="starling-test-", dir=os.environ.get("STARLING_TEST_TMP", "/tmp"))
        os.chmod(self.folder, 0o755)
        self.keep = keep if keep is not None else bool(os.environ.get("STARLING_KEEP"))
        self.extra, self.env, self.adjust, self.build = config or {}, env or {}, adjust, build or BUILD
        self.hosts = hosts or [{"domain": HOST, "registration": True}, {"domain": "any.localhost", "accept_any_password": True},
                               {"domain": "gone.localhost", "formerly": True}]
        self.closing = False
        self.edges, self.routers, self.archives = [], [], []
        self.unexpected = []
        atexit.register(self.close)
        self.postgres = self.redis = None
        self.postgres, self.redis = stores(self.folder) if stores else (Postgres(self.folder), Redis(self.folder))
        self._secrets()
        self._certificates()
        self.ctl_config = os.path.join(self.folder, "ctl.yaml")
        with open(self.ctl_config, "w") as out:
            out.write(to_yaml(self._common("ctl")))
        self.ctl("db", "migrate")
        self.watcher = threading.Thread(target=self._supervise, daemon=True)
        for i in range(archives):
            self.archives.append(self._node("archive-svc", f"archive-{i + 1}"))
        for i in range(routers):
            self.routers.append(self._node("router", f"router-{i + 1}"))
        for i in range(edges):
            self.edges.append(self._edge(i))
        if prepare:
            prepare(self)
        self.watcher.start()
        for node in self.nodes():
            node.start()
        for node in self.nodes():
            node.wait_ready(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def nodes(self):
        return self.archives + self.routers + self.edges

    def _secret(self, name, data):
        path = os.path.join(self.folder, name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as out:
            out.write(data)
        return path

    def _secrets(self):
        for name in ("core.secret", "token.key", "storage.key", "http.token"):
            self._secret(name, os.urandom(32).hex())
        self._secret("ticket.keys", "\n".join(os.urandom(80).hex() for _ in range(2)) + "\n")

    def _edge_secret(self, name):
        """As starlingctl secret edge prints it."""
        with open(self.file("core.secret"), "rb") as core:
            return self._secret(f"{name}.secret", hmac.new(core.read(), f"edge:{name}".encode(), "sha256").hexdigest())

    def _certificates(self):
        names = "DNS:localhost,DNS:any.localhost,DNS:*.localhost"
        for kind, args in (("ec", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]), ("rsa", ["-newkey", "rsa:4096"])):
            subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "365", "-subj", "/CN=localhost", "-addext", f"subjectAltName={names}",
                            *args, "-keyout", os.path.join(self.folder, f"{kind}.key"), "-out", os.path.join(self.folder, f"{kind}.crt")],
                           check=True, stderr=subprocess.DEVNULL)

    def file(self, name):
        return os.path.join(self.folder, name)

    def _common(self, name):
        pg = self.postgres
        base = {
            "process": {"drain_timeout": "30s"},
            "log": {"level": os.environ.get("STARLING_LOG", "info"), "jids": "plain"},
            "http": {"address": "127.0.0.1", "port": 0, "token_file": self.file("http.token")},
            "cluster": {"shards": 256},
            "hosts": self.hosts,
            "bus": {"address": "tcp://127.0.0.1:0"},
            "redis": self.redis.config(),
        }
        if name.startswith("edge"):
            base["bus"]["edge_secret_file"] = self._edge_secret(name)
        else:
            base["bus"]["core_secret_file"] = self.file("core.secret")
        if name.startswith("router"):
            base["postgres_router"] = {"conninfo": pg.conninfo("starling_router")}
            base["router"] = {"token_key_file": self.file("token.key"), "storage_key_file": self.file("storage.key")}
            base.update(LIFTED_LIMITS)
        if name.startswith("archive"):
            base["postgres_archive"] = {"conninfo": pg.conninfo("starling_archive")}
        if name == "ctl":
            del base["http"]["port"]
            base["postgres_admin"] = {"conninfo": pg.conninfo("postgres"), "migrations": os.path.join(ROOT, "deploy", "sql")}
            base["starlingctl"] = {"token_file": self.file("http.token")}
        return merge(base, self.extra.get("all"))

    def _node(self, program, name, config=None):
        full = merge(merge(self._common(name), config), self.extra.get(program))
        full["http"]["port"] = free_port()
        if self.adjust:
            self.adjust(name, full)
        return Node(self, program, name, full, self.env.get(name, self.env.get(program)))

    def _edge(self, i):
        c2s, direct = free_port(), free_port()
        certificates = [{"host": "", "cert_file": self.file(f"{kind}.crt"), "key_file": self.file(f"{kind}.key")} for kind in ("ec", "rsa")]
        node = self._node("edge", f"edge-{i + 1}", {
            "listeners": [{"kind": "c2s", "address": "127.0.0.1", "port": c2s}, {"kind": "c2s_tls", "address": "127.0.0.1", "port": direct}],
            "certificates": certificates,
            "tls": {"ticket_keys_file": self.file("ticket.keys")},
        })
        node.c2s, node.direct = c2s, direct
        return node

    def add_router(self):
        node = self._node("router", f"router-{len(self.routers) + 1}")
        self.routers.append(node)
        node.start()
        node.wait_ready()
        return node

    def _supervise(self):
        while not self.closing:
            for node in list(self.nodes()):
                process = node.process
                if process is None or not node.supervised or process.poll() is None:
                    continue
                node.deaths += 1
                node.exit_codes.append(process.returncode)
                if process.returncode not in (-signal.SIGKILL, 0):
                    self.unexpected.append(f"{node.name} ended with {process.returncode}:\n{node.tail(60)}")
                time.sleep(node.restart_delay)
                if node.supervised and not self.closing:
                    node.start()
            time.sleep(0.02)

    def ctl(self, *args, stdin=None, check=True):
        out = subprocess.run([os.path.join(self.build, "bin", "starlingctl"), "--config", self.ctl_config, *args], input=stdin, text=True,
                             capture_output=True)
        if check and out.returncode != 0:
            raise RuntimeError(f"starlingctl {' '.join(args)}: exit {out.returncode}: {out.stderr}")
        return out

    def add_account(self, user, password="secret", host=HOST):
        self.ctl("account", "add", f"{user}@{host}", "--password-file", "-", stdin=password + "\n")
        return f"{user}@{host}"

    def problems(self):
        """What sanitizers or crashes left behind; call at the end of a test."""
        found, self.unexpected = self.unexpected, []
        for node in self.nodes():
            text = node.tail(100000)
            for mark in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "WARNING: ThreadSanitizer", "assertion failed"):
                if mark in text:
                    at = text.index(mark)
                    found.append(f"{node.name}: {text[max(0, at - 200):at + 3000]}")
        return found

    def stop_nodes(self):
        """Drains everything, edges first; returns exit codes by name (LeakSanitizer reports at exit)."""
        return {node.name: node.terminate() for node in self.edges + self.routers + self.archives if node.process and node.process.poll() is None}

    def close(self):
        if self.closing:
            return
        self.closing = True
        for node in self.nodes():
            if node.process and node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        for store in filter(None, (self.redis, self.postgres)):
            store.stop()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
