"""The servers that are measured, each started fresh in a folder of its own, with its own private PostgreSQL (and Redis), the same ECDSA
P-256 certificate and accounts PREFIX0..N-1 with one password: what tests/load/compare, profile and selftest stand on."""
import base64
import glob
import hashlib
import hmac
import os
import subprocess
import sys
import tempfile

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


class Starling:
    """The release build: --edges, --routers, one archive-svc. Limits that concern one address are lifted, since all clients come from one."""
    name, has_archive_off = "Starling", True

    def __init__(self, certificate=None, edges=1, routers=1, durability=None, postgres=None, extra=None):
        edge = {"c2s": {"max_connections_per_address": 100000, "max_attempts_per_minute": 10000000, "max_connections": 19500}}
        if certificate:
            edge["certificates"] = [{"host": "", "cert_file": certificate[0], "key_file": certificate[1]}]
        config = {"edge": edge, "router": {"messages": {"durability": durability}} if durability else {}}
        for program, more in (extra or {}).items():
            config[program] = starling.merge(config.get(program, {}), more)
        self.cluster = starling.Cluster(edges=edges, routers=routers, archives=1, config=config, hosts=[{"domain": HOST}])

    @property
    def targets(self):
        return [f"127.0.0.1:{edge.c2s}" for edge in self.cluster.edges]

    def add_accounts(self, count, prefix="u"):
        query = self.cluster.postgres.query
        query("WITH made AS (INSERT INTO router.account (bare) SELECT format('%s%s@%s', '" + prefix + f"', i, '{HOST}') FROM generate_series(0, {count - 1}) i"
              " RETURNING id) INSERT INTO router.credential (owner, digest, iterations, salt, stored_key, server_key) SELECT id, v.* FROM made, (VALUES " +
              ", ".join(f"({i}::smallint, 10000, '\\x{SALT.hex()}'::bytea, '\\x{stored.hex()}'::bytea, '\\x{server.hex()}'::bytea)"
                        for i, (_, stored, server) in enumerate(verifiers(10000))) + ") v")
        query("ANALYZE")

    def watches(self):
        """Services by program, databases apart."""
        c = self.cluster
        found = {"edge": c.edges, "router": c.routers, "archive": c.archives}
        pids = {name: [node.pid() for node in nodes] for name, nodes in found.items()}
        with open(os.path.join(c.postgres.data, "postmaster.pid")) as file:
            pids["postgres"] = [int(file.readline())]
        pids["redis"] = [c.redis.process.pid]
        return pids

    def problems(self):
        return self.cluster.problems()

    def stop(self):
        self.cluster.close()


def make_certificate(folder):
    """Self-signed ECDSA P-256; returns (certificate, key), readable by everybody: a server may run as somebody else."""
    certificate, key = os.path.join(folder, "load.crt"), os.path.join(folder, "load.key")
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "30", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-newkey", "ec",
                    "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", key, "-out", certificate], check=True, stderr=subprocess.DEVNULL)
    os.chmod(key, 0o644)
    return certificate, key
