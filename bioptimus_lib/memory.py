"""How much memory a call takes, measured in a process of its own, and two ways to read XML.

Python's own ``tracemalloc`` does not see what C libraries such as libxml2 take; the system does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bioptimus_lib.files import open_bytes
from bioptimus_lib.machine import peak_memory
from bioptimus_lib.records import documents

MEGABYTE = 1_000_000
#: glibc keeps large blocks that were freed, the more of them the longer a process works: hundreds
#: of megabytes after a few hundred batches. From this size on they go back at once.
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "500000"}


def peak(function: Callable[..., Any], *arguments: Any) -> float:
    """Megabytes by which a call raises the peak memory of a fresh process: what it holds, without
    what the allocator keeps for later.

    Args:
        function: defined in a module, since it travels to the process by name.

    Returns:
        Not a number where the system does not tell (Windows).
    """
    with (
        _environment(GIVEN_BACK),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        return pool.submit(_rise, function, arguments).result()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables that processes started meanwhile inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _rise(function: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    before = peak_memory()
    function(*arguments)
    return (peak_memory() - before) / MEGABYTE


def stream_records(path: Path) -> int:
    """The number of records, read one at a time."""
    return sum(1 for _ in documents(path))


def load_records(path: Path) -> int:
    """The same by loading the whole document, as one would write it first."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    with open_bytes(path) as file:
        return len(etree.parse(file, parser).findall("PubmedArticle"))
