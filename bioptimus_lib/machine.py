"""What the machine offers to this process."""

from __future__ import annotations

import datetime
import math
import os
import sys
from pathlib import Path


def usable_cores() -> int:
    """Cores that this process should use: those that it may, or fewer if ``BIOPTIMUS_CORES`` says
    so, for something else runs beside it.

    Raises:
        ValueError: the variable is not a number above 0.
    """
    given = os.environ.get("BIOPTIMUS_CORES")
    if not given:
        return machine_cores()
    if not given.isdecimal() or int(given) == 0:
        raise ValueError(f"BIOPTIMUS_CORES={given!r}: expected a number of cores above 0")
    return min(int(given), machine_cores())


def machine_cores() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory() -> float:
    """The most memory that this process has held, in bytes; not a number where the system does not
    tell (Windows)."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux; ``resource`` there counts the parent's memory in
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return 1024 * float(line.split()[1])
    try:
        import resource
    except ImportError:
        return math.nan
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else 1024 * most)


def is_first() -> bool:
    """Whether this is the first of the processes that ``torchrun`` started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def process_count() -> int:
    """How many processes ``torchrun`` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def wait_for_all(device: str) -> None:
    """Wait until all processes that ``torchrun`` started have come here, a day at most."""
    if process_count() > 1:
        from accelerate import PartialState

        state = PartialState(cpu=device == "cpu", timeout=datetime.timedelta(days=1))
        state.wait_for_everyone()
