"""What a fault is: a coroutine that does harm to `load.cluster` while the load runs, registered with its number in the catalogue of hostile inputs
(HOSTILE-INPUTS section 3), the kind of cluster it needs, what the machine must be able to do, and what clients may meet. It returns what else the judge
has to know, if anything."""
import dataclasses
import random
from typing import Callable

from judge import NOTHING, Allowance


class Skipped(Exception):
    """This machine cannot run it."""


@dataclasses.dataclass
class Fault:
    number: str
    name: str
    run: Callable
    kind: str        # of cluster, see run
    needs: tuple     # of the machine, see run
    is_quick: bool   # may be chosen in tests/run
    is_long: bool    # minutes: only when it is asked for by name
    allows: Allowance


FAULTS = {}


def fault(number, kind="shared", needs=(), quick=False, is_long=False, name=None, allows=NOTHING):
    def register(fn):
        known_as = name or fn.__name__
        FAULTS[known_as] = Fault(number, known_as, fn, kind, tuple(needs), quick, is_long, allows)
        return fn
    return register


def pick(nodes):
    return random.choice(nodes)
