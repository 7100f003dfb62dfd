#!/usr/bin/python3
"""Shows that a series tells every run that failed: also one that passed when it was tried again, and a lane that died without a word."""
import contextlib
import io
import json
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"), os.path.dirname(os.path.abspath(__file__))]
import processes  # noqa: E402, F401 - registers faults
from lanes import Lanes  # noqa: E402
from runner import run  # noqa: E402
from tally import Tally, read, record_of, report  # noqa: E402


@contextlib.contextmanager
def quiet():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        yield out


def tally_in(folder, version="a/1"):
    return Tally(os.path.join(folder, "tally"), 7, version)


def test_a_series_goes_on():
    with tempfile.TemporaryDirectory() as folder, quiet():
        first = tally_in(folder)
        first.add("T01", "kill_edge", 0, "ok", "")
        first.add("T01", "kill_edge", 1, "failed", "", ["lost"])
        again = tally_in(folder)
        assert again.is_done("kill_edge", 0) and not again.is_done("kill_edge", 1) and not again.is_done("kill_router", 0)
        assert again.count("ok") == 1


def test_a_pass_after_a_failure_is_none():
    with tempfile.TemporaryDirectory() as folder, quiet() as out:
        tally_in(folder).add("T01", "kill_edge", 1, "failed", "", ["lost"])
        again = tally_in(folder)
        again.add("T01", "kill_edge", 1, "ok", "")
        assert again.count("failed") == 1 and "failed before" in out.getvalue()
        assert not tally_in(folder).is_done("kill_edge", 1)
        mended = tally_in(folder, "b/2")
        mended.add("T01", "kill_edge", 1, "ok", "")
        assert mended.count("ok") == 1
        text = "\n".join(report(read(os.path.join(folder, "tally"), 7)))
        assert "1 of 1 runs failed at some time: kill_edge --at 1 (passed later)" in text and "1 b/2" in text, text


def test_the_table():
    records = [{"fault": name, "run": run, "result": result, "seed": 7} for name, run, result in (
        ("kill_edge", 0, "ok"), ("kill_edge", 1, "failed"), ("kill_edge", 1, "ok"), ("kill_router", 0, "failed"), ("freeze_edge_1", 0, "skipped"),
        ("drain (shared)", 0, "ok"))]
    rows = [line.split() for line in report(records)]
    assert ["T01", "3", "1", "2", "0"] in rows and ["T01", "kill_edge", "2", "0", "1", "0"] in rows, rows
    assert ["T10", "freeze_edge_1", "0", "0", "0", "1"] in rows and ["-", "drain", "(shared)", "1", "0", "0", "0"] in rows, rows


def test_lines_are_records():
    with tempfile.TemporaryDirectory() as folder, quiet() as out:
        tally = tally_in(folder)
        tally.add("T01", "kill_edge", 3, "failed", "sent 1", ["lost: x"])
        tally.add("     ", "drain (shared)", 3, "ok", "")
        with open(tally.path) as file:
            written = [json.loads(line) for line in file]
    records = [record for line in out.getvalue().splitlines(keepends=True) if (record := record_of(line))]
    assert len(records) == 2 and all(record.items() <= line.items() for record, line in zip(records, written)), records


def lanes_of(script):
    with quiet() as out:
        lanes = Lanes(1, 2, [sys.executable, "-c", script], None)
        lanes.run()
    return lanes, out.getvalue()


def test_a_lane_that_dies_counts():
    lanes, out = lanes_of("import sys; sys.exit(1)")
    assert (lanes.passed, lanes.failed) == (0, 2) and "without a summary (exit 1)" in out, out
    lanes, out = lanes_of("import os; os._exit(0)")
    assert lanes.failed == 2, out
    lanes, out = lanes_of("import sys; print('3 passed, 0 failed'); sys.exit(1)")
    assert (lanes.passed, lanes.failed) == (6, 2), out
    lanes, out = lanes_of("import sys; print('3 passed, 1 failed'); sys.exit(1)")
    assert (lanes.passed, lanes.failed) == (6, 2), out
    lanes, out = lanes_of("print('3 passed, 0 failed')")
    assert (lanes.passed, lanes.failed) == (6, 0), out


if __name__ == "__main__":
    sys.exit(0 if run(sys.modules[__name__]) else 1)
