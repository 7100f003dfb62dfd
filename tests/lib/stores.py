"""PostgreSQL and Redis as larger installations have them, for faults: a primary with a synchronous standby; Redis behind Sentinels. All on loopback."""
import os
import subprocess
import time

from cluster import Postgres, Redis, as_user, free_port

REPLICATION = ("wal_log_hints=on\nwal_keep_size=128MB\nmax_wal_size=192MB\nmin_wal_size=64MB\nhot_standby=on\nwal_receiver_status_interval=1\nwal_retrieve_retry_interval=200ms\n"
               "synchronous_commit=on\n")


def wait_until(what, is_met, seconds=30):
    deadline = time.monotonic() + seconds
    while not is_met():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.05)


class PostgresPair:
    """A primary and its synchronous standby. Who is what changes with each promotion."""

    def __init__(self, folder):
        self.folder = folder
        self.primary = Postgres(folder, "pg-a", free_port(), settings=REPLICATION)
        self.standby = None
        self.ports = (self.primary.port, free_port())
        self._attach("pg-b", self.ports[1])

    def _attach(self, name, port):
        settings = f"primary_conninfo='host=127.0.0.1 port={self.primary.port} user=postgres application_name={name}'\n"
        self.standby = Postgres(self.folder, name, port, copy_of=self.primary, settings=settings)
        self.primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.query("SELECT pg_reload_conf()")
        wait_until("the standby is synchronous", lambda: self.primary.query("SELECT sync_state FROM pg_stat_replication") == "sync")

    def promote(self):
        """The standby takes over, alone for now. Nobody tells the old primary."""
        old, self.primary, self.standby = self.primary, self.standby, None
        self.primary._run("pg_ctl", "-D", self.primary.data, "-w", "promote")
        return old

    def rebuild(self, old):
        """The former primary, dead or alive, becomes the standby of the new one."""
        old.stop()
        subprocess.run(["rm", "-rf", old.data], check=True)
        self._attach(old.name, old.port)

    def start(self):
        self.primary.start()

    def stop(self, mode="immediate"):
        for server in filter(None, (self.primary, self.standby) if mode == "immediate" else (self.primary,)):
            server.stop(mode)

    def stop_primary(self):
        self.primary.stop()

    def restart(self, mode="immediate"):
        self.primary.restart(mode)

    def conninfo(self, user):
        return (f"host=127.0.0.1,127.0.0.1 port={self.ports[0]},{self.ports[1]} user={user} dbname=postgres target_session_attrs=read-write")

    def query(self, sql):
        return self.primary.query(sql)

    def pids(self):
        return self.primary.pids()


class RedisGroup:
    """A primary, two replicas and three Sentinels."""

    def __init__(self, folder):
        self.folder = folder
        ports = [free_port() for _ in range(3)]
        options = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", "--repl-timeout", "5"]
        self.servers = [Redis(folder, f"redis-{i}", port, options + (["--replicaof", f"127.0.0.1 {ports[0]}"] if i else []))
                        for i, port in enumerate(ports)]
        self.sentinels, self.processes = [free_port() for _ in range(3)], []
        for port in self.sentinels:
            path = os.path.join(folder, f"sentinel-{port}.conf")
            with open(path, "w") as out:
                out.write(f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor chat 127.0.0.1 {ports[0]} 2\n"
                          "sentinel down-after-milliseconds chat 1000\nsentinel failover-timeout chat 5000\n")
            self.processes.append(subprocess.Popen(["redis-sentinel", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                                   start_new_session=True))
        wait_until("the Sentinels know each other", lambda: self._ask("ckquorum", "chat").startswith("OK 3"))

    def _ask(self, *args):
        out = subprocess.run(["redis-cli", "-p", str(self.sentinels[0]), "sentinel", *args], capture_output=True, text=True)
        return out.stdout.strip()

    def config(self):
        return {"sentinels": [f"127.0.0.1:{port}" for port in self.sentinels], "sentinel_master": "chat"}

    def primary(self):
        port = int(self._ask("get-master-addr-by-name", "chat").split()[-1])
        return next(server for server in self.servers if server.port == port)

    def command(self, *args):
        return self.primary().command(*args)

    def start_again(self, server):
        """As a replica of nobody; the Sentinels tell it whose."""
        server.options = [o for o in server.options if o != "--replicaof" and not o.startswith("127.0.0.1 ")]
        server.start()

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        for server in self.servers:
            server.stop()


class PostgresOnSmallDisk(Postgres):
    """Its data lie on a file system of `size` (tmpfs, mounted at folder/disk by the caller)."""

    def __init__(self, folder):
        os.chown(os.path.join(folder, "disk"), *self._owner())
        super().__init__(folder, os.path.join("disk", "pg"), free_port(), settings="min_wal_size=32MB\nmax_wal_size=48MB\nlog_min_messages=error\n")

    @staticmethod
    def _owner():
        import pwd
        user = pwd.getpwnam("postgres") if as_user("postgres") else pwd.getpwuid(os.geteuid())
        return user.pw_uid, user.pw_gid

    def is_alive(self):
        return self._run("pg_ctl", "-D", self.data, "status", check=False).returncode == 0
