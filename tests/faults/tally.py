"""Results of a series: on the screen, and in a file, from which an interrupted series goes on. The file keeps everything that ever happened: a run that
failed once and passed when it was tried again is told, and still counts as failed when neither the programs nor the tests have changed between."""
import collections
import glob
import hashlib
import json
import os
import re
import subprocess
import time

from catalogue import FAULTS
from cluster import BUILD

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = ("edge", "router", "archive-svc", "starlingctl")


def version():
    """What is tested: the commit of the build's source, "+" if that is changed, and a digest of programs and tests, which tells any two apart."""
    digest = hashlib.sha256()
    for path in [os.path.join(BUILD, "bin", program) for program in PROGRAMS] + sorted(
            path for folder in (HERE, os.path.join(HERE, "..", "lib")) for path in (*glob.glob(os.path.join(folder, "*.py")), os.path.join(folder, "run"))):
        if os.path.exists(path):
            with open(path, "rb") as file:
                digest.update(hashlib.sha256(file.read()).digest())
    return f"{commit()}/{digest.hexdigest()[:10]}"


def commit():
    try:
        with open(os.path.join(BUILD, "CMakeCache.txt")) as cache:
            source = next(line.split("=", 1)[1].strip() for line in cache if line.startswith("CMAKE_HOME_DIRECTORY"))
        git = ["git", "-c", "safe.directory=*", "-C", source]
        head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True).stdout
        return head + ("+" if changed else "")
    except (OSError, StopIteration, subprocess.CalledProcessError):
        return "unknown"


def read(path, seed):
    """Records of a tally file, in the order in which they were written."""
    if not path or not os.path.exists(path):
        return []
    with open(path) as file:
        return [record for record in map(json.loads, file) if record["seed"] == seed]


class Tally:
    def __init__(self, path, seed, tested):
        """`tested`: see version()."""
        self.path, self.seed, self.version = path, seed, tested
        self.results = []
        self.before, self.failed = {}, set()
        for record in read(path, seed):
            key = record["fault"], record["run"]
            self.before[key] = record["result"]
            if record["result"] == "failed" and record.get("version") == self.version:
                self.failed.add(key)

    def is_done(self, name, run):
        if self.before.get((name, run)) == "ok" and (name, run) not in self.failed:
            self.results.append("ok")
            return True
        return False

    def add(self, number, name, run, result, text, problems=(), numbers=None):
        label = {"ok": "ok   ", "failed": "FAIL ", "skipped": "SKIP "}[result]
        print(f"{label} {number} {name} [--seed {self.seed} --at {run}]: {text}", *list(problems)[:8], sep="\n      ", flush=True)
        if self.path:
            with open(self.path, "a") as file:
                file.write(json.dumps({"seed": self.seed, "fault": name, "run": run, "result": result, "at": int(time.time()), "version": self.version,
                                       "problems": list(problems)[:20], **(numbers or {})}) + "\n")
        if result == "ok" and (name, run) in self.failed:
            print("      it failed before, and nothing has changed since: it counts as failed", flush=True)
            result = "failed"
        self.results.append(result)

    def count(self, result):
        return self.results.count(result)


def record_of(line):
    """The record of a line as Tally.add prints it, or None."""
    found = re.match(r"(ok|FAIL|SKIP) +(?:T\d+ )? *(.+?) \[--seed (\d+) --at (\d+)\]", line)
    return found and {"result": {"ok": "ok", "FAIL": "failed", "SKIP": "skipped"}[found[1]], "fault": found[2], "seed": int(found[3]), "run": int(found[4])}


def report(records):
    """Lines: runs and failures by number and by fault, then which runs ever failed, and what was tested."""
    last, ever = {}, collections.Counter()
    for record in records:
        key = record["fault"], record["run"]
        last[key] = record
        ever[key] += record["result"] == "failed"
    rows = collections.defaultdict(collections.Counter)
    for (name, run), record in last.items():
        number = FAULTS[name].number if name in FAULTS else "-"
        what = "skipped" if record["result"] == "skipped" else "runs"
        for row in ((number, ""), (number, name)):
            rows[row][what] += 1
            rows[row]["failed"] += record["result"] == "failed"
            rows[row]["ever"] += ever[name, run] > 0
    lines = [f"{'':4} {'':40} {'runs':>6} {'failed':>7} {'ever':>6} {'skipped':>8}"]
    for (number, name), row in sorted(rows.items()):
        lines.append(f"{number:4} {name:40} {row['runs']:6} {row['failed']:7} {row['ever']:6} {row['skipped']:8}")
    failed = [f"{name} --at {run}{'' if last[name, run]['result'] == 'failed' else ' (passed later)'}" for (name, run), count in ever.items() if count]
    lines.append(f"{len(failed)} of {len(last)} runs failed at some time" + (": " + ", ".join(sorted(failed)) if failed else ""))
    versions = collections.Counter(record.get("version") for record in last.values() if record["result"] == "ok")
    if any(versions):
        lines.append("what passed, by version: " + ", ".join(f"{count} {what}" for what, count in versions.most_common()))
    return lines
