"""The servers that are measured, each started fresh in a folder of its own, with its own private PostgreSQL (and Redis), the same ECDSA
P-256 certificate and accounts PREFIX0..N-1 with one password: what tests/load/compare, profile and selftest stand on."""
import base64
import hashlib
import hmac
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
os.environ.setdefault("STARLING_BUILD", os.path.join(ROOT, "build", "release"))
import cluster as starling  # noqa: E402

HOST, PASSWORD, SALT = "localhost", "secret", b"starling-load-16"
DIGESTS = ("sha1", "sha256", "sha512")


def verifiers(iterations):
    """(digest, stored key, server key): one salt for all accounts, so that thousands are one statement. For benchmarks only."""
    for name in DIGESTS:
        salted = hashlib.pbkdf2_hmac(name, PASSWORD.encode(), SALT, iterations)
        stored = hashlib.new(name, hmac.digest(salted, b"Client Key", name)).digest()
        yield name, stored, hmac.digest(salted, b"Server Key", name)


class Postgres(starling.Postgres):
    """With --fsync-delay each flush of the log takes longer."""
    fsync_delay_us = 0

    def _run(self, *args, check=True):
        if not self.fsync_delay_us or args[0] != "pg_ctl":
            super()._run(*args, check=check)
            return
        command = starling.as_user("postgres") + [os.path.join(starling.PG_BIN, args[0]), *args[1:]]
        environment = dict(os.environ, LD_PRELOAD=slow_fsync(), SLOW_FSYNC_US=str(self.fsync_delay_us))
        subprocess.run(command, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", env=environment)

    def pid(self):
        return self.pids()[0]


starling.Postgres = Postgres


def slow_fsync():
    """The shim, compiled once a run."""
    path = os.path.join(tempfile.gettempdir(), f"starling-slow-fsync-{os.getpid()}.so")
    if not os.path.exists(path):
        subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O2", "-o", path, os.path.join(HERE, "shim", "slow_fsync.c")], check=True)
        os.chmod(path, 0o755)
    return path


def wait_for_port(port, process, log, seconds=60):
    deadline = time.time() + seconds
    while time.time() < deadline:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    with open(log, errors="replace") as file:
        raise RuntimeError("the server did not start:\n" + file.read()[-3000:])


# Limits that are asked for with each stanza, too high to be reached.
LIMITS = {"limits": {"stanzas_per_second": 1000000, "bytes_per_second": "1GiB", "burst_bytes": "1GiB", "strangers_per_hour": 120, "offline_max_messages": 1000000,
                     "offline_max_bytes": "64GiB"}}
HOST_LIMITS = {"stanzas_per_second": 10000000}


class Starling:
    """The release build: edges, routers, one archive-svc. Limits of one address are lifted, since all clients come from one, and so is the rate of one client,
    as with ejabberd (shaper none) and Prosody (no mod_limits), unless `limited`."""

    def __init__(self, accounts, certificate=None, archived=True, edges=1, routers=1, durability=None, limited=False):
        edge = {"c2s": {"bytes_per_second": "1000MiB", "burst_bytes": "100MiB", "max_connections_per_address": 100000, "max_attempts_per_minute": 10000000, "max_connections": 19500}}
        if certificate:
            edge["certificates"] = [{"host": "", "cert_file": certificate[0], "key_file": certificate[1]}]
        config = {"edge": edge}
        if durability or not archived:
            config["router"] = {"messages": {"durability": durability or "routed"}}
        if limited:
            config["router"] = {**config.get("router", {}), **LIMITS}
        self.cluster = starling.Cluster(edges=edges, routers=routers, archives=1, config=config, hosts=[{"domain": HOST, **(HOST_LIMITS if limited else {})}])
        self.targets = [f"127.0.0.1:{node.c2s}" for node in self.cluster.edges]
        self.add_accounts(accounts)

    @staticmethod
    def can_route():
        """Whether this build knows messages.durability."""
        text = subprocess.run([os.path.join(starling.BUILD, "bin", "router"), "--print-config"], capture_output=True, text=True).stdout
        return "  durability:" in text

    @staticmethod
    def version():
        commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
        return f"Starling {commit}"

    def add_accounts(self, count, prefix="u"):
        rows = ", ".join(f"({i}::smallint, 10000, '\\x{SALT.hex()}'::bytea, '\\x{stored.hex()}'::bytea, '\\x{server.hex()}'::bytea)"
                         for i, (_, stored, server) in enumerate(verifiers(10000)))
        self.cluster.postgres.query(
            f"WITH made AS (INSERT INTO router.account (bare) SELECT '{prefix}' || i || '@{HOST}' FROM generate_series(0, {count - 1}) i RETURNING id)"
            f" INSERT INTO router.credential (owner, digest, iterations, salt, stored_key, server_key) SELECT id, v.* FROM made, (VALUES {rows}) v")
        self.cluster.postgres.query("ANALYZE router.account, router.credential")   # not what is empty yet: plans would count on that

    def watches(self):
        c = self.cluster
        nodes = {"edge": c.edges, "router": c.routers, "archive-svc": c.archives}
        return {**{name: [node.pid() for node in found] for name, found in nodes.items()},
                "postgres": [c.postgres.pid()], "redis": [c.redis.process.pid]}

    def problems(self):
        return self.cluster.problems()

    def stop(self):
        self.cluster.close()


class Peer:
    """A server by others in a folder of its own, one process tree, PostgreSQL only where the archive is on."""

    def __init__(self, accounts, certificate, archived):
        self.folder = tempfile.mkdtemp(prefix="load-peer-", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.port, self.accounts, self.certificate, self.archived = starling.free_port(), accounts, certificate, archived
        self.log = os.path.join(self.folder, "console.log")
        self.postgres = Postgres(self.folder, port=starling.free_port()) if archived else None   # ejabberd's driver knows no unix socket
        self.targets = [f"127.0.0.1:{self.port}"]
        self.process = self.start()
        wait_for_port(self.port, self.process, self.log)

    def file(self, *names):
        return os.path.join(self.folder, *names)

    def run(self, command, **environment):
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=open(self.log, "ab"), stderr=subprocess.STDOUT, cwd=self.folder,
                                env=dict(os.environ, HOME=self.folder, **environment), start_new_session=True)

    def watches(self):
        found = {self.tree: [self.process.pid]}
        return {**found, "postgres": [self.postgres.pid()]} if self.postgres else found

    def problems(self):
        return [] if self.process.poll() is None else [f"{self.tree} ended with {self.process.returncode}"]

    def stop(self):
        """Our own process group only."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(5)
                break
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        if self.postgres:
            self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def package_version(name):
    return subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True).stdout


class Prosody(Peer):
    """Lua 5.4, epoll, no Nagle, generational garbage collection: what its operators choose for speed. No rate limits, no debug log."""
    tree = "prosody"

    @staticmethod
    def version():
        return f"Prosody {package_version('prosody')}"

    def start(self):
        folder = self.file("data", HOST, "accounts")
        os.makedirs(folder)
        _, stored, server = next(verifiers(10000))
        for i in range(self.accounts):
            with open(os.path.join(folder, f"u{i}.dat"), "w") as out:
                out.write(f'return {{ ["iteration_count"] = 10000; ["salt"] = "{SALT.decode()}"; ["stored_key"] = "{stored.hex()}"; '
                          f'["server_key"] = "{server.hex()}"; }};\n')
        with open(self.file("prosody.cfg.lua"), "w") as out:
            out.write(self.config())
        return self.run(["prosody", "--config", self.file("prosody.cfg.lua"), "-F"])

    def config(self):
        archive = f"""
default_archive_policy = true
archive_expires_after = "never"
storage = {{ archive = "sql"; default = "internal" }}
sql = {{ driver = "PostgreSQL", database = "postgres", username = "postgres", host = "{self.postgres.socket}", port = {self.postgres.port} }}
""" if self.archived else 'storage = "internal"'
        return f"""run_as_root = true
pidfile = "{self.file('prosody.pid')}"
data_path = "{self.file('data')}"
certificates = "{self.folder}"
log = {{ warn = "*console" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.port} }}
s2s_ports = {{}}
network_backend = "epoll"
network_settings = {{ nagle = false }}
gc = {{ mode = "generational" }}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "carbons", "smacks", "csi_simple", "offline", "ping", "time", "version", "private", "blocklist"{', "mam"' if self.archived else ''} }}
modules_disabled = {{ "s2s" }}
c2s_require_encryption = true
authentication = "internal_hashed"
{archive}
VirtualHost "{HOST}"
  ssl = {{ certificate = "{self.certificate[0]}"; key = "{self.certificate[1]}" }}
"""


class Ejabberd(Peer):
    """Debian's Erlang without busy waiting (it would count as processor time), no shapers; accounts and rosters in Mnesia."""
    tree = "ejabberd"

    @staticmethod
    def version():
        return f"ejabberd {package_version('ejabberd')}"

    def start(self):
        with open(self.file("ejabberd.yml"), "w") as out:
            out.write(self.config())
        if self.archived:
            subprocess.run(["psql", "-qX", "-h", self.postgres.socket, "-p", str(self.postgres.port), "-U", "postgres", "-d", "postgres", "-f",
                            "/usr/share/ejabberd/sql/pg.sql"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stored, server, salt = (f'<<"{base64.b64encode(data).decode()}">>' for data in (*next(verifiers(10000))[1:], SALT))
        accounts = (f'[mnesia:dirty_write({{passwd, {{list_to_binary("u" ++ integer_to_list(I)), <<"{HOST}">>}}, {{scram, {stored}, {server}, {salt}, '
                    f'sha, 10000}}}}) || I <- lists:seq(0, {self.accounts - 1})], file:write_file("{self.file("ready")}", <<"yes">>).')
        process = self.run(["erl", "-noinput", "+K", "true", "+P", "250000", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none",
                            "-mnesia", "dir", f'"{self.file("spool")}"', "-s", "ejabberd", "-eval", accounts],
                           EJABBERD_CONFIG_PATH=self.file("ejabberd.yml"), EJABBERD_LOG_PATH=self.file("ejabberd.log"), ERL_MAX_PORTS="19900",
                           ERL_CRASH_DUMP_BYTES="0", ERL_LIBS="/usr/lib/x86_64-linux-gnu", CONTRIB_MODULES_CONF_DIR=self.file("modules.d"))
        deadline = time.time() + 60
        while not os.path.exists(self.file("ready")) and process.poll() is None and time.time() < deadline:
            time.sleep(0.1)
        return process

    def config(self):
        archive = """  mod_mam:
    db_type: sql
    default: always
    assume_mam_usage: true
""" if self.archived else ""
        database = f"""sql_type: pgsql
sql_server: "127.0.0.1"
sql_port: {self.postgres.port}
sql_database: postgres
sql_username: postgres
sql_password: ""
""" if self.archived else ""
        return f"""hosts: [{HOST}]
loglevel: warning
certfiles: ["{self.certificate[0]}", "{self.certificate[1]}"]
auth_method: [internal]
auth_password_format: scram
default_db: mnesia
{database}listen:
  - port: {self.port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    starttls_required: true
    backlog: 1024
    max_stanza_size: 262144
modules:
  mod_roster: {{}}
  mod_disco: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_stream_mgmt: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_time: {{}}
  mod_version: {{}}
  mod_private: {{}}
  mod_blocking: {{}}
  mod_privacy: {{}}
{archive}"""


def make_certificate(folder):
    """Self-signed ECDSA P-256; returns (certificate, key), readable by everybody: a server may run as somebody else."""
    certificate, key = os.path.join(folder, "load.crt"), os.path.join(folder, "load.key")
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "30", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-newkey", "ec",
                    "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", key, "-out", certificate], check=True, stderr=subprocess.DEVNULL)
    os.chmod(key, 0o644)
    return certificate, key
