"""How much memory a call takes, measured in a process of its own, and two ways to read XML.

Python's own ``tracemalloc`` does not see what C libraries such as libxml2 take; the system does.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bioptimus_lib.passes import open_bytes
from bioptimus_lib.records import documents

MEGABYTE = 1_000_000


def peak(function: Callable[..., Any], *arguments: Any) -> float:
    """Megabytes by which a call raises the peak memory of a fresh process.

    Args:
        function: defined in a module, since it travels to the process by name.

    Returns:
        Not a number where the system does not tell (Windows).
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_rise, function, arguments).result()


def _rise(function: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    before = _highest()
    function(*arguments)
    return (_highest() - before) / MEGABYTE


def _highest() -> float:
    """The most memory that this process has held, in bytes."""
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


def stream_records(path: Path) -> int:
    """The number of records, read one at a time."""
    return sum(1 for _ in documents(path))


def load_records(path: Path) -> int:
    """The same by loading the whole document, as one would write it first."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    with open_bytes(path) as file:
        return len(etree.parse(file, parser).findall("PubmedArticle"))
