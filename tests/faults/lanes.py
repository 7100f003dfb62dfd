"""A long series in lanes: most of a repetition is waiting, so several of them run side by side. Each is `run` again for that repetition alone, in
namespaces of its own; its lines come out as they are, and it writes to the same tally."""
import os
import re
import signal
import subprocess
import sys
import threading

from tally import record_of


class Lanes:
    def __init__(self, count, repeat, command, preexec):
        self.left = iter(range(repeat))
        self.count, self.command, self.preexec = count, command, preexec
        self.children, self.is_interrupted = set(), False
        self.passed = self.failed = self.skipped = 0
        self.records = []
        self.lock = threading.Lock()

    def run(self):
        """Returns when every repetition has ended; an interrupt ends those that run at once, what they had finished is in the tally."""
        threads = [threading.Thread(target=self._lane) for _ in range(self.count)]
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._interrupt)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _interrupt(self, *_):
        self.is_interrupted = True
        for child in list(self.children):
            child.terminate()

    def _next(self):
        with self.lock:
            return None if self.is_interrupted else next(self.left, None)

    def _lane(self):
        while (number := self._next()) is not None:
            child = subprocess.Popen([*self.command, "--at", str(number)], stdout=subprocess.PIPE, text=True, preexec_fn=self.preexec)
            self.children.add(child)
            summary = None
            for line in child.stdout:
                summary = self._line(line) or summary
            self.children.discard(child)
            if why := self._complaint(child.wait(), summary):
                with self.lock:
                    self.failed += 1
                    print(f"FAIL        repetition {number} {why}", flush=True)

    def _complaint(self, code, summary):
        """A repetition that died counts, however it did: the exit code of an exception is that of failures, too."""
        if self.is_interrupted:
            return None
        if not summary:
            return f"ended without a summary (exit {code})"
        if code not in (0, 1) or code == 1 and summary[2] == "0" and summary[1] != "0":
            return f"counted {summary[2]} failures but ended with {code}"
        return None

    def _line(self, line):
        """Returns the match if it is the summary."""
        with self.lock:
            if record := record_of(line):
                self.records.append(record)
            if found := re.fullmatch(r"(\d+) passed, (\d+) failed\n", line):
                self.passed += int(found[1])
                self.failed += int(found[2])
                print(f"      so far: {self.passed} passed, {self.failed} failed", flush=True)
                return found
            if found := re.match(r"(\d+) SKIPPED", line):
                self.skipped += int(found[1])
            elif not line.startswith(("seed ", "interrupted", "      so far")):
                print(line, end="", flush=True)
            return None


def this_command(options):
    """The command line of this run without what each lane gets anew."""
    words, left = [], iter(sys.argv[1:])
    for word in left:
        if word in ("--lanes", "--at", "--seed"):
            next(left, None)
        elif not word.startswith(("--lanes=", "--at=", "--seed=")):
            words.append(word)
    return [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "run"), *words, "--seed", str(options.seed)]
