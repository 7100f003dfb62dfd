"""Runs the test functions of a module: plain or async functions named test_*, in the order of their definition, each with a time-out.
Prints one line each, and "N passed, N failed" at the end."""
import asyncio
import inspect
import os
import sys
import time
import traceback


def run(module, timeout=60, context=None):
    wanted = sys.argv[1:]
    names = [n for n, f in vars(module).items() if n.startswith("test_") and callable(f)]
    names = [n for n in names if not wanted or any(w in n for w in wanted)]
    passed = failed = 0
    for name in names:
        function = getattr(module, name)
        limit = getattr(function, "timeout", timeout)
        began = time.time()
        try:
            arguments = [context] if inspect.signature(function).parameters else []
            if inspect.iscoroutinefunction(function):
                asyncio.run(asyncio.wait_for(function(*arguments), limit))
            else:
                function(*arguments)
            passed += 1
            print(f"ok    {name} ({time.time() - began:.1f} s)", flush=True)
        except Exception as exc:  # noqa: BLE001 - a test may fail in any way
            failed += 1
            print(f"FAIL  {name} ({time.time() - began:.1f} s): {type(exc).__name__}: {exc}", flush=True)
            if os.environ.get("STARLING_TRACE", "1") == "1":
                traceback.print_exc(limit=-6)
    print(f"{passed} passed, {failed} failed", flush=True)
    return failed == 0


def limit(seconds):
    def mark(function):
        function.timeout = seconds
        return function
    return mark
